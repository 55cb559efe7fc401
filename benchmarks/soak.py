"""Long runs: what is left of 10,000 small fits and sweeps in one process, and 200 rounds of the faults of lockstep.

The first prints memory, threads, open files and temporary files every so often, and fails if memory grows by more than
50 MB after the first hundred or if one of the others is left over. The second runs ``tests/test_lockstep_faults.py``
over and over; each test has a limit of a minute, so a deadlock is a failure with the stacks of all threads.

    python benchmarks/soak.py [--fits 10000]
    python benchmarks/soak.py --faults 200
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
WARM = 100
EVERY = 500
LIMIT = 50
"""Megabytes that memory may grow by after the first `WARM`."""

IN_A_PROCESS = 10
"""Rounds of the faults that one process runs, in random order, so that what one leaves would meet others."""

HUNG = re.compile(r"Timeout \(>|\+ Timeout \+")


def faults(rounds: int) -> bool:
    """Run the fault tests so many times, some rounds in one process; return whether all have passed."""
    failed: Counter[str] = Counter()
    hung, passed, began = 0, 0, time.monotonic()
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout_method=thread", "--keep-duplicates"]
    for done in range(0, rounds, IN_A_PROCESS):
        count = min(IN_A_PROCESS, rounds - done)
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *[str(TESTS / "test_lockstep_faults.py")] * count],
            capture_output=True, text=True, cwd=TESTS.parent, check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )  # fmt: skip
        hung += bool(HUNG.search(run.stdout + run.stderr))
        passed += int((re.findall(r"(\d+) passed", run.stdout) or [0])[-1])
        failures = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", run.stdout, re.MULTILINE)
        failed.update(failures)
        if failures:
            print("\n".join(re.findall(r"^E  .*", run.stdout, re.MULTILINE)[:20]))
        if run.returncode and not failures:
            print(run.stdout[-5000:], run.stderr[-5000:])
            failed["a process without an end"] += 1
        seconds = time.monotonic() - began
        print(f"{done + count:4} rounds, {seconds:6.0f} s: {passed} passed, {dict(failed)}, {hung} hung", flush=True)
    return not failed and not hung


def soak(count: int) -> bool:
    """Do so many pieces of work; return whether nothing is left of them."""
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            return _soak(count)
        finally:
            tempfile.tempdir = None


def _soak(count: int) -> bool:
    import soaked

    began, first = time.monotonic(), soaked.Held.now()
    for i in range(count):
        soaked.work(i)
        if i + 1 == WARM:
            first = soaked.Held.now()
        if i + 1 in (WARM, count) or (i + 1) % EVERY == 0:
            print(f"{i + 1:6} of {count}, {time.monotonic() - began:6.0f} s: {soaked.Held.now()}", flush=True)
    last = soaked.Held.now()
    grown = (last.memory - first.memory) / 2**20
    print(f"grown by {grown:.1f} MB of {LIMIT}, {last.objects - first.objects} objects, after the first {WARM}")
    return grown < LIMIT and last[2:] == first[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=10_000, help="pieces of work, most of them one fit")
    parser.add_argument("--faults", type=int, metavar="ROUNDS", help="run the faults of lockstep instead")
    options = parser.parse_args()
    sys.exit(not (soak(options.fits) if options.faults is None else faults(options.faults)))


if __name__ == "__main__":
    main()
