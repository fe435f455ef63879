"""What sums over rows are worth: the numbers of an evaluation, of its resamples, and of a calibrated model."""

import functools
import math
from typing import Any

import numpy as np

from . import _core
from ._intervals import resampled
from ._tables import CELLS, Table


def _numbers(table: Table, draws: dict[int, Any]) -> dict[str, Any]:
    """Return all numbers of some resamples. `draws` say how often each has each group, of so many groups."""
    counts = draws[len(table.whole)]
    whole, by_width = resampled(counts, table.whole), resampled(counts, table.by_width[..., [1, 3]])
    weight, correct, nll, brier, infinite = np.moveaxis(whole, -1, 0)
    weights, gaps = by_width[..., 0], np.abs(by_width[..., 1])
    numbers = {
        "accuracy": correct / weight,
        "nll": np.where(infinite > 0, math.inf, nll / weight),
        "brier": brier / weight,
        "ece": gaps.sum(axis=-1) / weight,
        "mce": ratio(gaps, weights).max(axis=-1),
    }
    if table.by_mass is not None:
        by_mass = resampled(counts, table.by_mass[..., 1:])
        numbers["adaptive_ece"] = np.abs(by_mass[..., 2]).sum(axis=-1) / weight
        numbers["debiased_ece"] = _debiased(by_mass) / weight  # its square
    if table.by_class is not None:
        classes = table.by_class.shape[-1]
        counts = draws[len(table.by_class)]
        gaps = _core.absolute_sums(counts, table.by_class.reshape(len(table.by_class), -1))
        numbers["classwise_ece"] = gaps / (classes * resampled(counts, table.class_weight))
    return numbers


def _group_counts(table: Table) -> set[int]:
    return {len(table.whole)} | (set() if table.by_class is None else {len(table.by_class)})


def values(table: Table) -> dict[str, float]:
    """Return the numbers of the rows themselves."""
    return _of_rows(
        _numbers(table, {groups: np.ones((1, groups)) for groups in _group_counts(table)})
    )


def _of_rows(numbers: dict[str, Any]) -> dict[str, float]:
    """Return the first of each: of a draw that has all groups once."""
    own = {name: float(x[0]) for name, x in numbers.items()}
    if "debiased_ece" in own:
        own["debiased_ece"] = math.sqrt(max(own["debiased_ece"], 0.0))
    return own


def measured(table: Table, resamples: int, seed: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the numbers of the rows themselves, and those of resamples; of ``debiased_ece`` their squares."""
    numbers = _numbers(table, {g: _draws(seed, resamples, g) for g in _group_counts(table)})
    return _of_rows(numbers), {name: x[1:] for name, x in numbers.items()}


def draws(seed: int, resamples: int, groups: int) -> Any:
    """Return how often each of some resamples has each group, which depends on the seed and their number alone.

    It is not to be written to.
    """
    return _draws(seed, resamples, groups)[1:]


@functools.lru_cache(2)  # of which all numbers of a report are
def _draws(seed: int, resamples: int, groups: int) -> Any:
    """Return how often each of some resamples has each group, after all of the groups once."""
    rng = np.random.default_rng([seed, groups])
    counts = np.ones((resamples + 1, groups))
    for of_one in counts[1:]:
        of_one[:] = np.bincount(rng.integers(0, groups, groups), minlength=groups)
    counts.flags.writeable = False
    return counts


def _debiased(sums: Any) -> Any:
    """Return the sum over the bins of weight times the square of the mean gap, less what chance adds to it."""
    weight, weight_squares, gap, correct, squares = np.moveaxis(sums, -1, 0)
    count = ratio(weight**2, weight_squares)
    variance = ratio(squares, weight) - ratio(correct, weight) ** 2
    chance = ratio(variance, count - 1)
    return (weight * (ratio(gap, weight) ** 2 - chance)).sum(axis=-1)


def like_rows(weight: Any, squares: Any) -> Any:
    """Return how many rows of one weight vary as much as some with these sums of weights and squares."""
    return np.maximum(np.rint(ratio(weight**2, squares)), 1.0)  # squares may have rounded to 0


def ratio(a: Any, b: Any, otherwise: float = 0.0) -> Any:
    return np.divide(a, b, out=np.full_like(a, otherwise), where=b > 0)


def null(cells: Any, resamples: int, seed: int) -> Any:
    """Return the errors of labels that are drawn from the confidences themselves."""
    bin_of = np.repeat(np.arange(len(cells) // CELLS), CELLS)[cells[:, 0] > 0]
    weight, squares, confidence = cells[cells[:, 0] > 0].T
    mean = np.minimum(confidence / weight, 1.0)
    count = like_rows(weight, squares)
    rng = np.random.default_rng([seed, 0])
    drawn = rng.binomial(count.astype(np.int64), mean, (resamples, len(count)))
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    gaps = np.add.reduceat(weight * (mean - drawn / count), starts, axis=1)
    return np.abs(gaps).sum(axis=1) / weight.sum()
