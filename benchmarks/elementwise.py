"""Nanoseconds per number of the elementwise functions, in cache, on one thread, at every instruction-set level.

python benchmarks/elementwise.py                 a table
python benchmarks/elementwise.py --beside FOLDER a second build's, as its "before": the src folder of another checkout
python benchmarks/elementwise.py --nearest       how many sigmoids of SciPy and PyTorch are not the nearest float32
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import sigmax

SIZE = 4096
NAMES = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
DTYPES = ("float32", "float16", "float64")
LEVELS = sigmax.show_config("dicts")["isa_available"]
HERE = Path(sigmax.__file__).parent.parent


def numbers(name: str) -> np.ndarray:
    """Logits of the spread 4, or what they become as probabilities and their logarithms."""
    x = np.random.default_rng(0).normal(0, 4, SIZE)
    return {"logit": 1 / (1 + np.exp(-x)), "log1mexp": -np.abs(x)}.get(name, x)


def nanoseconds(name: str, dtype: str) -> float:
    function, x = getattr(sigmax, name), numbers(name).astype(dtype)
    out = np.empty_like(x)
    best = np.inf
    for _ in range(60):
        start = time.perf_counter()
        for _ in range(20):
            function(x, out=out)
        best = min(best, (time.perf_counter() - start) / 20)
    return best / SIZE * 1e9


def measure() -> None:
    sigmax.set_num_threads(1)
    print(json.dumps({f"{name} {d}": nanoseconds(name, d) for d in DTYPES for name in NAMES}))


def others_than_the_nearest() -> None:
    """Of a million numbers of the spread 3; ours are the nearest, which tools/accuracy.py --sweep shows."""
    import scipy.special
    import torch

    x = np.random.default_rng(0).normal(0, 3, 10**6).astype(np.float32)
    nearest = sigmax.sigmoid(x)
    for name, result in (
        ("SciPy", scipy.special.expit(x)),
        ("PyTorch", torch.sigmoid(torch.from_numpy(x)).numpy()),
    ):
        print(f"{name}: {(result != nearest).mean():.1%}")


def of_level(level: str, folder: Path) -> dict[str, float]:
    environment = os.environ | {"SIGMAX_ISA": level, "PYTHONPATH": str(folder)}
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, help="the src folder of the build to compare with")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--nearest", action="store_true", help="count those of other libraries")
    arguments = parser.parse_args()
    if arguments.nearest:
        return others_than_the_nearest()
    if arguments.measure:
        return measure()
    folders = [HERE, *([arguments.beside] if arguments.beside else [])][::-1]
    print("| ns per number |", *(f"{level} |" for level in LEVELS))
    print("|---|", *("---:|" for _ in LEVELS))
    times = [[of_level(level, folder) for folder in folders] for level in LEVELS]
    for cell in times[0][0]:
        shown = (" → ".join(f"{build[cell]:.2f}" for build in level) for level in times)
        print(f"| {cell} |", *(f"{text} |" for text in shown))
    return None


if __name__ == "__main__":
    main()
