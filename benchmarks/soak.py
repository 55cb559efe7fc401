"""Long runs: what is left of 10,000 small fits and sweeps in one process, and 200 rounds of the faults of lockstep.

The first prints memory, threads, open files and temporary files every so often, and fails if memory grows by more than
50 MB after the first hundred or if one of the others is left over. The second runs ``tests/test_lockstep_faults.py``
over and over; each test has a limit of a minute, so a deadlock is a failure with the stacks of all threads.

    python benchmarks/soak.py [--fits 10000] [--seed 0]
    python benchmarks/soak.py --faults 200
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
HUNG = re.compile(r"Timeout \(>|\+ Timeout \+")


def faults(rounds: int) -> bool:
    """Run the fault tests so many times; return whether all have passed."""
    failed: Counter[str] = Counter()
    hung, passed, began = 0, 0, time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout_method=thread"]
    for i in range(rounds):
        run = subprocess.run(
            [*command, str(TESTS / "test_lockstep_faults.py")], capture_output=True, text=True, cwd=TESTS.parent,
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )  # fmt: skip
        hung += bool(HUNG.search(run.stdout + run.stderr))
        passed += int((re.findall(r"(\d+) passed", run.stdout) or [0])[-1])
        failures = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)(.*)", run.stdout, re.MULTILINE)
        failed.update(f"{name}{why}" for name, why in failures)
        if run.returncode and not failures:
            print(run.stdout[-5000:], run.stderr[-5000:])
            failed["a round without an end"] += 1
        if failures or i % 10 == 9 or i == rounds - 1:
            seconds = time.monotonic() - began
            print(f"{i + 1:4} rounds, {seconds:6.0f} s: {passed} passed, {dict(failed)}, {hung} hung", flush=True)
    return not failed and not hung


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, metavar="ROUNDS", help="run the faults of lockstep instead")
    options = parser.parse_args()
    sys.exit(not faults(options.faults))


if __name__ == "__main__":
    main()
