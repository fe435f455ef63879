"""Draw a billion times from rows with classes that must not come, and from rows whose distribution is known.

    python tools/draw_many.py --draws 1000000000

Counts the draws of classes of probability 0, masked or cut off or below the smallest double, and compares the counts
of the others with their probabilities (chi-square, as a number of standard deviations from its mean).
"""

import argparse
import math
import time

import numpy as np

import sigmax

BATCH = 4_000_000


def rows() -> dict[str, tuple[np.ndarray, dict[str, float]]]:
    rng = np.random.default_rng(0)
    masked = rng.normal(0, 2, 12)
    masked[[0, 3, 11]] = -np.inf
    deep = np.array([-800.0, 0.0, -30.0, -745.0, -1.0, -40.0, -750.0, 2.0])
    wide = rng.normal(0, 3, 100)
    wide[::3] = -np.inf
    return {
        "masked": (masked, {}),
        "deep": (deep, {}),
        "top_k": (masked, {"top_k": 4}),
        "top_p": (wide, {"top_p": 0.9}),
        "typical_p": (wide, {"typical_p": 0.7, "temperature": 2.0}),
        "float32": (masked.astype(np.float32), {"min_p": 0.05}),
    }


def deviation(counts: np.ndarray, p: np.ndarray) -> float:
    expected = p * counts.sum()
    often = expected >= 10
    statistic = ((counts[often] - expected[often]) ** 2 / expected[often]).sum()
    freedom = max(int(often.sum()) - 1, 1)
    return float((statistic - freedom) / math.sqrt(2 * freedom))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=1_000_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, impossible, total = time.perf_counter(), 0, 0
    cases = rows()
    for name, (row, given) in cases.items():
        p = sigmax.filter_probabilities(row.astype(np.float64), **given).probabilities
        p = np.where(p < 1e-300, 0.0, p)  # cannot come in any number of draws there will ever be
        counts = np.zeros(len(row), np.int64)
        for batch in range(-(-options.draws // (len(cases) * BATCH))):
            many = np.broadcast_to(row, (BATCH // 64, len(row)))
            tokens = sigmax.sample(many, shape=64, seed=options.seed, draw=64 * batch, **given)
            counts += np.bincount(tokens.ravel(), minlength=len(row))
        impossible += int(counts[p == 0].sum())
        total += int(counts.sum())
        print(
            f"{name:10} {counts.sum():>13,} draws, chi-square {deviation(counts, p):+.2f} sigma",
            flush=True,
        )
    print(
        f"{total:,} draws, {impossible} of classes of probability 0, {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
