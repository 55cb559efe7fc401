"""Seconds that ``import sknnopt`` adds to importing torch, scikit-learn and skorch, each time in a new process.

python benchmarks/import_time.py [--repeats 9]
"""

import argparse
import os
import statistics
import subprocess
import sys

MEASURE = """
import time
import skorch.callbacks, sklearn.base, torch
wall, cpu = time.perf_counter(), time.process_time()
import sknnopt
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", MEASURE]
    runs = [
        [float(one) for one in subprocess.check_output(command, env=environment, text=True).split()]
        for _ in range(options.repeats + 1)
    ][1:]  # the first writes bytecode
    wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"import sknnopt: {wall:.3f} s wall, {cpu:.3f} s CPU (median of {options.repeats})")


if __name__ == "__main__":
    main()
