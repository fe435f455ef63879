"""What a call on ten numbers costs, in calls of softmax on the same ten; and what a result in a new array costs.

python benchmarks/calls.py [--json docs/results/calls.json]

Fastest of many turns that all contenders take one after the other. PyTorch's loss is shown where it is installed.
"After others": np.exp of the same numbers comes before each call, and its result is freed after it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from timeit import timeit
from typing import Any

import numpy as np

import sigmax

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import results

Call = Callable[[], Any]
# Calls of softmax that a call of the same shape may cost; the reasons are in docs/design.md.
TARGETS = {
    "cross_entropy": 3.0,
    "cross_entropy, class weights": 3.0,
    "cross_entropy, gradient": 4.5,
    "smoothed at T = 2, gradient": 4.5,
    "distributions": 6.0,
    "distributions, gradient": 6.0,
    "kl_divergence": 6.0,
    "distillation_loss": 6.0,
    "binary_cross_entropy": 3.0,
    "binary_cross_entropy, gradient": 4.5,
    "vjp of softmax": 3.0,
    "logsumexp": 3.0,
}
TURNS, CALLS = 40, 500
CLASSES = 100
ROWS = (160, 640, 2_560, 10_000, 40_000, 160_000, 640_000)  # 64 kB to 256 MB of float32
NUMBERS = 3_000_000  # about as many are computed in a turn


def contenders(dtype: str) -> dict[str, Call]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 10)).astype(dtype)
    labels, soft, weight = np.array([3]), sigmax.softmax(2 * x), np.linspace(1, 2, 10)
    teacher = 2 * x
    loss, both = sigmax.cross_entropy, sigmax.value_and_grad(sigmax.cross_entropy)
    binary = sigmax.value_and_grad(sigmax.binary_cross_entropy)
    smoothed = {"label_smoothing": 0.1, "temperature": 2.0}
    return {
        "softmax": lambda: sigmax.softmax(x),
        "cross_entropy": lambda: loss(x, labels),
        "cross_entropy, class weights": lambda: loss(x, labels, class_weight=weight),
        "cross_entropy, gradient": lambda: both(x, labels),
        "smoothed at T = 2, gradient": lambda: both(x, labels, **smoothed),
        "distributions": lambda: loss(x, soft),
        "distributions, gradient": lambda: both(x, soft),
        "kl_divergence": lambda: sigmax.kl_divergence(x, soft),
        "distillation_loss": lambda: sigmax.distillation_loss(x, teacher, temperature=2.0),
        "binary_cross_entropy": lambda: sigmax.binary_cross_entropy(x, soft),
        "binary_cross_entropy, gradient": lambda: binary(x, soft),
        "vjp of softmax": lambda: sigmax.vjp(sigmax.softmax, x, soft),
        "logsumexp": lambda: sigmax.logsumexp(x),
    } | peers(x, labels)


def peers(x: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    try:
        import torch
    except ImportError:
        return {}
    logits, classes = torch.from_numpy(x), torch.from_numpy(labels)
    return {"PyTorch's cross_entropy": lambda: torch.nn.functional.cross_entropy(logits, classes)}


def calls(dtype: str) -> results.Table:
    of = contenders(dtype)
    least = dict.fromkeys(of, np.inf)
    for _ in range(TURNS):
        for name, call in of.items():
            least[name] = min(least[name], timeit(call, number=CALLS) / CALLS)
    rows = [
        [name, round(1e6 * s, 2), round(s / least["softmax"], 2), TARGETS.get(name)]
        for name, s in least.items()
    ]
    columns = {"call": "", "µs": ".2f", "of softmax": ".2f", "target": ".1f"}
    return {"title": f"Ten numbers of {dtype}", "columns": columns, "rows": rows}


def seconds(call: Call, before: Call, count: int) -> float:
    spent = 0.0
    for _ in range(count):
        others = before()
        start = perf_counter()
        result = call()
        spent += perf_counter() - start
        del result, others
    return spent / count


def new_arrays() -> results.Table:
    rows = [of_size(count) for count in ROWS]
    columns = {
        "MB": ".3g",
        "into out=, ms": ".3f",
        "new array / out=": ".2f",
        "after others": ".2f",
    }
    text = f"softmax of float32, rows of {CLASSES}, {sigmax.get_num_threads()} threads."
    return {"title": "Results in new arrays", "text": text, "columns": columns, "rows": rows}


def of_size(rows: int) -> list[float]:
    x = np.random.default_rng(0).normal(0, 3, (rows, CLASSES)).astype(np.float32)
    out = np.empty_like(x)
    ways = {"new": lambda: sigmax.softmax(x), "out": lambda: sigmax.softmax(x, out=out)}
    before: dict[str, Call] = {"alone": lambda: None, "after others": lambda: np.exp(x)}
    least = {(way, b): np.inf for way in ways for b in before}
    for _ in range(15):
        for way, b in least:
            count = max(1, NUMBERS // x.size)
            least[way, b] = min(least[way, b], seconds(ways[way], before[b], count))
    ratios = [round(least["new", b] / least["out", b], 2) for b in before]
    return [x.nbytes / 1e6, round(1e3 * least["out", "alone"], 3), *ratios]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="docs/results/calls.json, which the site shows")
    options = parser.parse_args()
    tables = [calls("float32"), calls("float64"), new_arrays()]
    content = results.provenance() | {"tables": tables}
    print(results.page(content))
    if options.json:
        results.write(options.json, content)


if __name__ == "__main__":
    main()
