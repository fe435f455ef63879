"""What a call on ten numbers costs, in calls of softmax on the same ten.

python benchmarks/calls.py [--dtype float32] [--json FILE]

The fastest of many turns that all contenders take one after the other. PyTorch's loss is shown where it is installed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from timeit import timeit
from typing import Any

import numpy as np

import sigmax

# Calls of softmax that a call of the same shape may cost; the reasons are in docs/design.md.
TARGETS = {
    "cross_entropy": 3,
    "cross_entropy, gradient": 4.5,
    "smoothed at T = 2, gradient": 4.5,
    "distributions": 6,
    "distributions, gradient": 6,
    "kl_divergence": 6,
    "distillation_loss": 6,
    "binary_cross_entropy": 3,
    "binary_cross_entropy, gradient": 4.5,
    "vjp of softmax": 3,
    "logsumexp": 3,
}
TURNS, CALLS = 40, 500


def contenders(dtype: str) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 10)).astype(dtype)
    labels, soft = np.array([3]), sigmax.softmax(2 * x)
    loss, both = sigmax.cross_entropy, sigmax.value_and_grad(sigmax.cross_entropy)
    binary = sigmax.value_and_grad(sigmax.binary_cross_entropy)
    smoothed = {"label_smoothing": 0.1, "temperature": 2.0}
    return {
        "softmax": lambda: sigmax.softmax(x),
        "cross_entropy": lambda: loss(x, labels),
        "cross_entropy, gradient": lambda: both(x, labels),
        "smoothed at T = 2, gradient": lambda: both(x, labels, **smoothed),
        "distributions": lambda: loss(x, soft),
        "distributions, gradient": lambda: both(x, soft),
        "kl_divergence": lambda: sigmax.kl_divergence(x, soft),
        "distillation_loss": lambda: sigmax.distillation_loss(x, 2 * x, temperature=2.0),
        "binary_cross_entropy": lambda: sigmax.binary_cross_entropy(x, soft),
        "binary_cross_entropy, gradient": lambda: binary(x, soft),
        "vjp of softmax": lambda: sigmax.vjp(sigmax.softmax, x, soft),
        "logsumexp": lambda: sigmax.logsumexp(x),
    } | peers(x, labels)


def peers(x: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {}
    logits, classes = torch.from_numpy(x), torch.from_numpy(labels)
    return {"PyTorch's cross_entropy": lambda: torch.nn.functional.cross_entropy(logits, classes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calls = contenders(options.dtype)
    least = dict.fromkeys(calls, np.inf)
    for _ in range(TURNS):
        for name, call in calls.items():
            least[name] = min(least[name], timeit(call, number=CALLS) / CALLS)
    of_softmax = {name: seconds / least["softmax"] for name, seconds in least.items()}
    for name, ratio in of_softmax.items():
        target = f"(target {TARGETS[name]:g})" if name in TARGETS else ""
        print(f"{name:32s}{1e6 * least[name]:7.2f} µs {ratio:6.2f} {target}")
    if options.json:
        cells = {"microseconds": {n: 1e6 * s for n, s in least.items()}, "of_softmax": of_softmax}
        level = sigmax.show_config(mode="dicts")["isa"]
        found = {"dtype": options.dtype, "level": level, **cells}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
