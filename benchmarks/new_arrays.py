"""What a result in a new array costs beside one in an array that is there, also where other code allocates in between.

python benchmarks/new_arrays.py [--threads 2]

Medians of turns that all ways take one after the other. "After others": np.exp of the same numbers comes before each
call, and its result is freed after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import sigmax

CLASSES = 100
ROWS = (160, 640, 2_560, 10_000, 40_000, 160_000, 640_000)  # 64 kB to 256 MB of float32
NUMBERS = 3_000_000  # about as many are computed in a turn
TURNS = 15


def seconds(call: Callable[[], Any], before: Callable[[], Any], count: int) -> float:
    spent = 0.0
    for _ in range(count):
        others = before()
        start = perf_counter()
        result = call()
        spent += perf_counter() - start
        del result, others
    return spent / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=sigmax.get_num_threads())
    options = parser.parse_args()
    sigmax.set_num_threads(options.threads)
    print("|      size | into out=, ms | new array over out= | after others, the same |")
    print("|----------:|--------------:|--------------------:|-----------------------:|")
    for rows in ROWS:
        x = np.random.default_rng(0).normal(0, 3, (rows, CLASSES)).astype(np.float32)
        out = np.empty_like(x)
        calls = {
            "new": lambda x=x: sigmax.softmax(x),
            "out": lambda x=x, out=out: sigmax.softmax(x, out=out),
        }
        before = {"alone": lambda: None, "after others": lambda x=x: np.exp(x)}
        count = max(1, NUMBERS // x.size)
        times: dict[tuple[str, str], list[float]] = {(c, b): [] for c in calls for b in before}
        for _ in range(TURNS):
            for c, b in times:
                times[c, b].append(seconds(calls[c], before[b], count))
        found = {key: median(of) for key, of in times.items()}
        alone, others = (found["new", b] / found["out", b] for b in before)
        size = f"{x.nbytes / 1e6:.3g} MB"
        print(
            f"| {size:>9} | {1e3 * found['out', 'alone']:13.3f} | {alone:19.2f} | {others:22.2f} |"
        )


if __name__ == "__main__":
    main()
