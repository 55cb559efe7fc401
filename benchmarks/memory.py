"""Peak memory of a one-epoch fit at 1,000,000 x 54, above what importing takes, beside the float32 data.

Each case runs in its own process and reads its peak resident set from ``resource.getrusage``. Its parent
imports nothing large, since a child starts from its parent's peak. The data count: a process that only holds
them has taken 1.0 times a float32 array, 2.0 times a float64 frame.

    python benchmarks/memory.py [--rows 1000000] [--cases array frame frame64] [--peers]
"""

import argparse
import json
import resource
import subprocess
import sys
import warnings
from typing import Any

from _table import print_table

N_FEATURES = 54
N_CLASSES = 7

MEGABYTE = 1e6
ALLOWANCE = 100 * MEGABYTE
TARGETS = {"array": 2.0, "frame": 3.0, "frame64": 3.0}
KINDS = {"array": "float32 array", "frame": "float32 frame", "frame64": "float64 frame"}


def peak() -> float:
    """Largest resident set so far, in bytes: kilobytes on Linux, bytes on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def estimator(name: str) -> Any:
    """The estimator of a case, with all that it imports already imported by a small fit."""
    import numpy as np
    import pandas as pd

    def make() -> Any:
        if name == "sklearn":
            from sklearn.neural_network import MLPClassifier

            return MLPClassifier((100,), batch_size=200, max_iter=1, random_state=0)
        from _common import PLAIN

        from sknnopt import NNClassifier

        return NNClassifier(
            **PLAIN,
            hidden_layer_sizes=(100,),
            learning_rate=1e-3,
            weight_decay=0.01,
            batch_size=200,
            max_epochs=1,
            early_stopping="auto",
            validation_fraction=0.1,
            random_state=0,
        )

    X = np.random.default_rng(0).standard_normal((500, N_FEATURES), dtype=np.float32)
    y = np.arange(500) % N_CLASSES
    frame = pd.DataFrame(X)
    frame.columns = [f"x{i}" for i in range(N_FEATURES)]
    make().fit(frame, y)
    return make()


def measure(name: str, case: str, n_rows: int) -> None:
    """Child process: print the bytes taken above importing before and at the peak of the fit."""
    import numpy as np
    import pandas as pd
    from _common import machine, one_thread

    warnings.simplefilter("ignore")
    one_thread()
    fresh = estimator(name)
    imported = peak()
    generator = np.random.default_rng(0)
    X: Any = generator.standard_normal((n_rows, N_FEATURES), dtype=np.float64 if case == "frame64" else np.float32)
    y = np.arange(n_rows) % N_CLASSES
    if case != "array":
        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(N_FEATURES)], copy=False)
    held = peak()
    fresh.fit(X, y)
    print(json.dumps({"held": held - imported, "peak": peak() - imported, "machine": machine()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--cases", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--peers", action="store_true", help="measure only scikit-learn")
    parser.add_argument("--child", nargs=2, metavar=("ESTIMATOR", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(*options.child, options.rows)
        return
    data = options.rows * N_FEATURES * 4
    table = []
    for case in options.cases:
        for name in ["sklearn"] if options.peers else ["sklearn", "sknnopt"]:
            command = [sys.executable, __file__, "--rows", str(options.rows), "--child", name, case]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            taken = json.loads(out)
            row = [KINDS[case], name, f"{taken['held'] / MEGABYTE:.0f}", f"{taken['peak'] / MEGABYTE:.0f}"]
            row.append(f"{taken['peak'] / data:.2f}")
            limit = TARGETS[case] * data + ALLOWANCE
            verdict = "" if name == "sklearn" else "met" if taken["peak"] <= limit else "MISSED"
            table.append([*row, f"{limit / MEGABYTE:.0f}", verdict])
    print(taken["machine"])
    print(f"float32 data: {data / MEGABYTE:.0f} MB")
    print_table(["data", "fit", "held, MB", "peak, MB", "peak / data", "target, MB", ""], table)


if __name__ == "__main__":
    main()
