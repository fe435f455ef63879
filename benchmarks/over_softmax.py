"""What a loss with its gradient costs, in softmaxes of the same logits.

python benchmarks/over_softmax.py [--dtype float32] [--quick]
python benchmarks/over_softmax.py --json FILE    # at each instruction-set level but the baseline

One thread, results into existing memory, and the fastest of many turns that all contenders take one after the
other: on a busy machine the least disturbed way to compare. The targets are those of docs/design.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import numpy as np

import sigmax

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import results

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


def measured(options: argparse.Namespace) -> list[list[Any]]:
    """A row per shape and axis: the softmax in nanoseconds per number, and the others in softmaxes."""
    sigmax.set_num_threads(1)
    rows = []
    for shape in QUICK_SHAPES if options.quick else SHAPES:
        for axis in (-1, 0):
            times = fastest(contenders(*shape, axis, options.dtype), options.turns)
            softmax = times.pop("softmax")
            name = f"{shape[0]:_} x {shape[1]:_}"
            cost = 1e9 * softmax / (shape[0] * shape[1])
            rows.append([name, axis, cost, *(time / softmax for time in times.values())])
    columns = list(zip(*(row[3:] for row in rows), strict=True))
    rows.append(["mean", None, None, *map(geometric_mean, columns)])
    rows.append(["largest", None, None, *map(max, columns)])
    rows.append(["target", None, None, *TARGETS.values()])
    return rows


def table(level: str, rows: list[list[Any]]) -> results.Table:
    columns = {"shape": "", "axis": "d", "ns per number": ".2f"} | dict.fromkeys(TARGETS, ".2f")
    rounded = [[round(x, 3) if isinstance(x, float) else x for x in row] for row in rows]
    return {"title": f"Over softmax, {level}", "columns": columns, "rows": rounded}


def at_level(level: str, options: argparse.Namespace) -> results.Table:
    """Measured by a process of its own."""
    given = ["--dtype", options.dtype, "--turns", str(options.turns), "--rows"]
    command = [sys.executable, __file__, *given, *(["--quick"] if options.quick else [])]
    environment = os.environ | {"SIGMAX_ISA": level}
    rows = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    return table(level, json.loads(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.rows:
        print(json.dumps(measured(options)))
    elif options.json:
        levels = [
            name for name in sigmax.show_config("dicts")["isa_available"] if name != "baseline"
        ]
        tables = [at_level(level, options) for level in levels]
        results.write(options.json, results.provenance() | {"tables": tables})
    else:
        print(results.markdown(table(sigmax.show_config("dicts")["isa"], measured(options))))


if __name__ == "__main__":
    main()
