"""What a loss with its gradient costs, in softmaxes of the same logits.

python benchmarks/over_softmax.py [--dtype float32] [--quick] [--json FILE]

One thread, results into existing memory, and the fastest of many turns that all contenders take one after the
other: on a busy machine the least disturbed way to compare. The targets are those of docs/design.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from math import exp, log
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import sigmax

# Rows by classes, about a million numbers: what a call costs does not show.
SHAPES = (
    (300_000, 3),
    (100_000, 10),
    (30_000, 32),
    (30_000, 33),
    (10_000, 100),
    (1_000, 1_000),
    (100, 10_000),
    (20, 50_257),
)
QUICK_SHAPES = ((100_000, 10), (10_000, 100), (100, 10_000))
TARGETS = {
    "cross_entropy": 1.25,
    "smoothed": 1.6,
    "soft": 1.6,
    "kl_divergence": 2.2,
    "distillation": 2.2,
    "softmax_vjp": 1.4,
    "log_softmax_vjp": 1.4,
}

Call = Callable[[], Any]


def contenders(rows: int, classes: int, axis: int, dtype: str) -> dict[str, Call]:
    rng = np.random.default_rng(0)

    def array(scale: float) -> Any:
        a = (rng.standard_normal((rows, classes)) * scale).astype(dtype)
        return np.ascontiguousarray(a if axis == -1 else a.T)

    x, teacher, cotangent = array(3), array(3), array(1)
    soft = sigmax.softmax(teacher, axis=axis)
    labels = rng.integers(0, classes, rows)
    out = np.empty_like(x)
    cross_entropy = sigmax.value_and_grad(sigmax.cross_entropy)
    kl_divergence = sigmax.value_and_grad(sigmax.kl_divergence)
    distillation = sigmax.value_and_grad(sigmax.distillation_loss)
    return {
        "softmax": lambda: sigmax.softmax(x, axis=axis, out=out),
        "cross_entropy": lambda: cross_entropy(x, labels, axis=axis, out=out),
        "smoothed": lambda: cross_entropy(x, labels, axis=axis, label_smoothing=0.1, out=out),
        "soft": lambda: cross_entropy(x, soft, axis=axis, out=out),
        "kl_divergence": lambda: kl_divergence(
            x, teacher, axis=axis, labels_from_logits=True, out=out
        ),
        "distillation": lambda: distillation(
            x, teacher, labels, axis=axis, temperature=2.0, alpha=0.5, out=out
        ),
        "softmax_vjp": lambda: sigmax.vjp(sigmax.softmax, x, cotangent, axis=axis),
        "log_softmax_vjp": lambda: sigmax.vjp(sigmax.log_softmax, x, cotangent, axis=axis),
    }


def fastest(calls: dict[str, Call], turns: int) -> dict[str, float]:
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(turns):
        for name, call in calls.items():
            start = perf_counter()
            call()
            times[name] = min(times[name], perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sigmax.set_num_threads(1)
    print(f"{sigmax.show_config('dicts')['isa']}, {options.dtype}")
    print(f"{'shape':>14} {'axis':>4} {'ns/number':>9}", *(f"{name[:12]:>12}" for name in TARGETS))
    ratios: dict[str, list[float]] = {name: [] for name in TARGETS}
    cells = []
    for rows, classes in QUICK_SHAPES if options.quick else SHAPES:
        for axis in (-1, 0):
            times = fastest(contenders(rows, classes, axis, options.dtype), options.turns)
            softmax = times.pop("softmax")
            for name, time in times.items():
                ratios[name].append(time / softmax)
            cells.append({"shape": [rows, classes], "axis": axis, "softmax": softmax, **times})
            cost = 1e9 * softmax / (rows * classes)
            print(
                f"{rows:>7}x{classes:<6} {axis:>4} {cost:>9.2f}",
                *(f"{ratios[name][-1]:>12.2f}" for name in TARGETS),
            )
    means = {name: exp(sum(map(log, each)) / len(each)) for name, each in ratios.items()}
    print(f"{'mean':>14} {'':>14}", *(f"{means[name]:>12.2f}" for name in TARGETS))
    print(f"{'largest':>14} {'':>14}", *(f"{max(ratios[name]):>12.2f}" for name in TARGETS))
    print(f"{'target':>14} {'':>14}", *(f"{target:>12.2f}" for target in TARGETS.values()))
    if options.json:
        options.json.write_text(json.dumps({"dtype": options.dtype, "cells": cells}, indent=1))


if __name__ == "__main__":
    main()
