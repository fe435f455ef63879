"""Rows that are correctly rounded beside rows in the ordinary way: python benchmarks/correct_rows.py [--threads 1]

Nanoseconds per logit of the correct way, and how much longer it takes; the best of calls that are taken in turns.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import sigmax

SHAPES = [
    (6000, 10),
    (600, 100),
    (64, 1000),
    (4, 16_000),
    (1, 50_000),
    (10_000, 1000),
    (200, 50_257),
]
SHAPES += [(20, 128_256), (1_000_000, 10)]


def best(call: Callable[[], Any], seconds: float) -> float:
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each of ten turns")
    arguments = parser.parse_args()
    sigmax.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    print(
        "| rows x classes | softmax | log_softmax | logsumexp | cross_entropy |\n|---|---|---|---|---|"
    )
    for shape in SHAPES:
        x = (rng.normal(size=shape) * 4).astype(np.float32)
        labels, out, sums = rng.integers(0, shape[1], shape[0]), np.empty_like(x), x[:, 0].copy()
        calls: list[Callable[[], Any]] = [
            lambda x=x, out=out: sigmax.softmax(x, out=out),
            lambda x=x, out=out: sigmax.log_softmax(x, out=out),
            lambda x=x, sums=sums: sigmax.logsumexp(x, out=sums),
            lambda x=x, labels=labels: sigmax.cross_entropy(x, labels, reduction="none"),
        ]
        cells = []
        for call in calls:
            ordinary = correct = np.inf
            for _ in range(5):
                sigmax.set_rounding("ordinary")
                ordinary = min(ordinary, best(call, arguments.seconds))
                sigmax.set_rounding("correct")
                correct = min(correct, best(call, arguments.seconds))
            cells.append(f"{correct / x.size * 1e9:.2f} ns, {correct / ordinary:.2f} x")
        print(f"| {shape[0]:,} x {shape[1]:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
