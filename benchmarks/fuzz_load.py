"""Coverage-guided fuzzing of ``load``: a file gives a working estimator or a ``FileFormatError``, and nothing else.

libFuzzer keeps the files that reach new lines of sknnopt; they are changed in their structure (values, names, types,
arrays, what lies in another file) more often than in their bytes. What comes out wrong is kept in the folder, one file
of each kind: another exception, a warning, an error that no check has foreseen, code or an import that a file brings
about, more memory than a bound; a load of more than 20 seconds ends the run. It needs atheris, which is not among the
packages of the tests: ``pip install atheris`` (Linux and macOS).

    python benchmarks/fuzz_load.py FOLDER [--seconds 600] [--seed 0]
"""

import argparse
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
with atheris.instrument_imports(include=["sknnopt"]):
    import fuzzed

from sknnopt import load

MEMORY = 500 * 2**20
"""Bytes that loading may add to the process, all in all."""

MOST = 1000
"""Files that were opened last, to go on from."""

EVENTS = ("exec", "import", "os.system", "os.exec", "subprocess.Popen", "pickle.find_class", "socket.connect")
"""What a file must not bring about, by the names of Python's audit events."""


class Watch:
    """Notes audit events while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in EVENTS and not (event == "import" and arguments[0] in sys.modules):
            self.seen.append(f"{event} {arguments[0]!r:.80}")

    def load(self, path: Path) -> None:
        """Load a file and raise what it has brought about."""
        self.seen, self.on = [], True
        try:
            load(path)
        except ValueError:
            pass
        finally:
            self.on = False
        assert not self.seen, self.seen


class Target:
    """What libFuzzer calls.

    Attributes
    ----------
    outcomes : Counter
        How often files were opened, refused and so on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.outcomes = folder, Counter[str]()
        self._path, self._watch = folder / "now.safetensors", Watch()
        self._seeds = [found for path in sorted(folder.glob("seeds/*")) if (found := fuzzed.content(path))]
        self._shown, self._began = time.monotonic(), _memory()
        self._known: set[str] = set()
        self._opened: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        """Try a file."""
        self._path.write_bytes(data)
        try:
            outcome, why = self._try(data), ""
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            outcome, why = "wrong", f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}"
        self.outcomes[outcome] += 1
        if outcome in ("wrong", "unforeseen"):
            self._keep(data, why or self._refusal())
        if time.monotonic() > self._shown + 30:
            self._shown = time.monotonic()
            print(
                f"{sum(self.outcomes.values())} files, {dict(self.outcomes)}, {len(self._known)} kinds kept", flush=True
            )
        if outcome == "opened":
            self._opened = [*self._opened[-MOST:], data]

    def _try(self, data: bytes) -> str:
        outcome = fuzzed.outcome(self._path, thoroughly=sum(data[-64:]) % 4 == 0)
        if outcome == "opened" or sum(data[-64:]) % 16 == 0:
            self._watch.load(self._path)
        grown = _memory() - self._began
        if grown > MEMORY:
            self._began += grown
            raise MemoryError(f"{grown / 2**20:.0f} MB more")
        return outcome

    def _refusal(self) -> str:
        try:
            load(self._path)
        except Exception as error:
            cause = error.__cause__ or error
            last = traceback.extract_tb(cause.__traceback__)[-1]
            return f"{type(cause).__name__} at {Path(last.filename).name}:{last.lineno}: {cause}"
        return "not again"

    def _keep(self, data: bytes, why: str) -> None:
        kind = why.partition(": ")[0]
        if kind not in self._known:
            self._known.add(kind)
            (self.folder / f"found-{len(self._known):02}.safetensors").write_bytes(data)
            print(f"found-{len(self._known):02}: {why:.300}", flush=True)

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Return a file like this one, which has reached new lines; or like one that opens, as most of those do not."""
        chance = random.Random(seed)
        if self._opened and chance.random() < 0.8:
            data = chance.choice(self._opened)
        if chance.random() < 0.1:
            return bytes(atheris.Mutate(data, max_size)) if chance.random() < 0.5 else fuzzed.bitten(data, chance)
        self._path.write_bytes(data)
        found = fuzzed.content(self._path)
        if found is None or not found[0]:
            found = chance.choice(self._seeds)
        out = fuzzed.mutated(*found, chance, chance.choice(self._seeds)[0])
        return out if len(out) <= max_size else data


def _memory() -> int:
    """Return the most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in ("seeds", "corpus"):
        (options.folder / name).mkdir(parents=True, exist_ok=True)
    for path in fuzzed.seeds(options.folder / "seeds"):
        fuzzed.outcome(path, thoroughly=True)  # what is imported and compiled on first use now is
    warnings.simplefilter("error")
    target = Target(options.folder)
    flags = [
        f"-max_total_time={options.seconds}", f"-seed={options.seed + 1}", "-timeout=20", "-rss_limit_mb=0",
        "-max_len=300000", "-len_control=0", "-mutate_depth=1", "-verbosity=0", f"-artifact_prefix={options.folder}/",
    ]  # fmt: skip
    folders = [str(options.folder / name) for name in ("corpus", "seeds")]
    atheris.Setup(["fuzz_load", *flags, *folders], target, custom_mutator=target.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
