"""The cells that are measured, and the arrays of a cell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from linear import LINEAR
from losses import BINARY, LOSS_GRADIENTS, LOSSES
from peers import ALONG_AXIS, ELEMENTWISE, GRADIENTS, TAKES_OUT, Task

GROUPS = {
    "elementwise": ELEMENTWISE,
    "along an axis": ALONG_AXIS,
    "gradient": GRADIENTS,
    "loss": LOSSES,
    "loss and gradient": LOSS_GRADIENTS,
    "linear loss and gradients": LINEAR,
}
GROUP_OF = {function: group for group, functions in GROUPS.items() for function in functions}
FUNCTIONS = tuple(GROUP_OF)
PARTS = {
    "functions": ELEMENTWISE + ALONG_AXIS + GRADIENTS,
    "losses": LOSSES + LOSS_GRADIENTS + LINEAR,
}
PER_ELEMENT = ELEMENTWISE + BINARY

DTYPES = ("float16", "float32", "float64")
SHAPES = [(10,), (1_000,), (100_000,), (1_000_000,), (10_000_000,)]
ROWS_BY_CLASSES = [(100_000, 10), (10_000, 100), (10_000, 1_000), (256, 50_257)]
# (shape, class axis): the same rows once with the classes last and once with the classes first
AXIS_SHAPES = [
    *[((10,), -1), ((1_000,), -1), ((1, 1_000_000), -1)],
    *[(shape, -1) for shape in ROWS_BY_CLASSES],
    *[(shape[::-1], 0) for shape in ROWS_BY_CLASSES],
]
LINEAR_SHAPES = [(2_048, 512, 8_192), (4_096, 768, 50_257)]  # rows, features, classes
QUICK_SHAPES = [(1_000,), (1_000_000,)]
QUICK_AXIS_SHAPES = [((10,), -1), ((100_000, 10), -1), ((10_000, 1_000), -1)]
QUICK_LINEAR_SHAPES = LINEAR_SHAPES[:1]


class Cell(NamedTuple):
    function: str
    dtype: str
    shape: tuple[int, ...]
    axis: int
    into_out: bool


def grid(args: argparse.Namespace) -> Iterator[Cell]:
    for dtype, function in product(args.dtypes, args.functions):
        if function in LINEAR and dtype != "float32":
            continue
        for shape, axis in shapes(function, args.quick):
            for into_out in (True, False) if function in TAKES_OUT + LOSS_GRADIENTS else (False,):
                yield Cell(function, dtype, shape, axis, into_out)


def shapes(function: str, quick: bool) -> list[tuple[tuple[int, ...], int]]:
    if function in LINEAR:
        return [(shape, -1) for shape in (QUICK_LINEAR_SHAPES if quick else LINEAR_SHAPES)]
    if function in PER_ELEMENT:
        return [(shape, -1) for shape in (QUICK_SHAPES if quick else SHAPES)]
    return QUICK_AXIS_SHAPES if quick else AXIS_SHAPES


# ---------------------------------------------------------------- arrays


@lru_cache(maxsize=32)
def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_input(cell: Cell) -> np.ndarray:
    if cell.function == "logit":
        return np.random.default_rng(0).random(cell.shape, dtype=np.float32).astype(cell.dtype)
    if cell.function in LINEAR:
        return normal(cell.shape[:2], 0)
    x = 4 * normal(cell.shape, 0)
    return (-abs(x) if cell.function == "log1mexp" else x).astype(cell.dtype)


def make_operands(cell: Cell) -> tuple[np.ndarray, ...]:
    match cell.function.removesuffix("_grad"):
        case "softmax_vjp" | "log_softmax_vjp":
            return (normal(cell.shape, 1).astype(cell.dtype),)
        case "cross_entropy" | "smoothed_cross_entropy":
            return (class_indices(cell),)
        case "soft_cross_entropy":
            return (distributions(cell),)
        case "binary_cross_entropy":
            return ((normal(cell.shape, 1) > 0).astype(cell.dtype),)
        case "kl_divergence":
            return (other_logits(cell),)
        case "distillation_loss":
            return (other_logits(cell), class_indices(cell))
        case "linear_cross_entropy":
            rows, features, classes = cell.shape
            weight = 4 / features**0.5 * normal((classes, features), 1)
            return (weight.astype(cell.dtype), random_integers(classes, rows))
    return ()


def class_indices(cell: Cell) -> np.ndarray:
    return random_integers(cell.shape[cell.axis], np.delete(cell.shape, cell.axis))


def random_integers(end: int, shape: int | np.ndarray) -> np.ndarray:
    return np.asarray(np.random.default_rng(1).integers(end, size=shape))


def distributions(cell: Cell) -> np.ndarray:
    e = np.exp(normal(cell.shape, 1), dtype=np.float64)
    return (e / e.sum(cell.axis, keepdims=True)).astype(cell.dtype)


def other_logits(cell: Cell) -> np.ndarray:
    return (4 * normal(cell.shape, 1)).astype(cell.dtype)


def make_task(cell: Cell) -> Task:
    task = Task(cell.function, make_input(cell), cell.axis, operands=make_operands(cell))
    if cell.into_out:
        shape = np.delete(cell.shape, cell.axis) if cell.function == "logsumexp" else cell.shape
        # Not np.empty or np.zeros: the pages have to exist before the clock starts.
        task.out = np.full(shape, 1, cell.dtype)
    return task
