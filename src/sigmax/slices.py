"""Calibration by slice: whether the model is as honest about each kind of row as about all of them."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._errors import binned_error
from ._questions import units
from ._rows import Chunk
from ._tables import NOTHING, numbers_of, probabilities
from .evaluation import Estimate

__all__ = ["Slice", "evaluate_by"]


@dataclass(frozen=True)
class Slice:
    """What :func:`evaluate_by` measures of one kind of rows.

    Attributes
    ----------
    name : object
        Of the slice: what ``by`` has.
    rows : int
    accuracy : Estimate
        With Wilson's interval.
    confidence : float
        Mean probability of the winner; of yes-or-no questions of class 1, whose share is then the ``accuracy``.
    gap : Estimate
        Confidence − accuracy: above 0 it is overconfident.
    ece, nll : Estimate
        As in :func:`evaluate`.
    p_value : float
        How often chance alone makes a gap as large, if the probabilities are honest.
    adjusted : float
        The same, corrected for the number of slices (Holm): below 0.05 something is wrong with this one.
    """

    name: Any
    rows: int
    accuracy: Estimate
    confidence: float
    gap: Estimate
    ece: Estimate
    nll: Estimate
    p_value: float
    adjusted: float


@in_exact_arithmetic
def evaluate_by(
    logits: ArrayLike,
    labels: ArrayLike,
    by: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    bins: int = 15,
    confidence: float = 0.95,
    resamples: int = 1000,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> list[Slice]:
    r"""Measure each slice of the rows for itself, and say which gaps are more than chance.

    .. math:: \mathrm{gap}_g = \frac{\sum_{n \in g} s_n (p_n - y_n)}{\sum_{n \in g} s_n}

    with the probability p of the winner and whether it is right, y; of yes-or-no questions with that of class 1 and the
    label.

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`.
    by : array_like, shape of the rows
        The name of the slice that each row is in, of any type that sorts.
    bins, confidence, resamples, groups, seed
        As for :func:`evaluate`.

    Returns
    -------
    list of Slice
        In the order of their names. Largest error: as for :func:`evaluate`, from probabilities within 1
        ULP. The test of a gap has the variance that the
        probabilities themselves say, or of groups, that of their sums.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Spiegelhalter, D. J. (1986). Probabilistic prediction in patient management and clinical trials.
    doi:10.1002/sim.4780050506.
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> import sigmax
    >>> p = [[0.9, 0.1]] * 40
    >>> slices = sigmax.evaluate_by(p, [0] * 20 + [0, 1] * 10, ["new"] * 20 + ["old"] * 20, from_logits=False)
    >>> for s in slices:
    ...     print(s.name, s.rows, round(s.gap, 3), s.adjusted < 0.05)
    new 20 -0.1 False
    old 20 0.4 True
    """
    names, both, count = _slices(by, groups)
    rows = _rows.rows_of(locals(), groups=both)
    options = (
        _arguments.count(bins, "bins"),
        _arguments.confidence(confidence),
        _arguments.count(resamples, "resamples"),
        _arguments.integer(seed, "seed", 0),
    )
    p, y, weight, loss, code, place = rows.collect(_columns, rows.binary)
    if len(p) == 0:
        raise ValueError(NOTHING)
    of = code // count
    unit = place if groups is None and not multilabel else code
    columns = (p, y, weight, loss, unit)
    found = []
    for k in np.unique(of):
        own = [x[of == k] for x in columns]
        found.append(_slice(names[k], own, groups is not None, *options))
    return _adjusted(found)


def _slices(by: Any, groups: Any) -> tuple[Any, Any, int]:
    """Return the names of the slices, and a number for each pair of slice and group."""
    by = np.asarray(_arguments.positions(by, "by"))
    names, code = np.unique(by, return_inverse=True)
    code = code.reshape(by.shape)
    if groups is None:
        return names, code, 1
    group_names, group = np.unique(
        np.asarray(_arguments.positions(groups, "groups")), return_inverse=True
    )
    group = group.reshape(np.shape(groups))
    if group.shape != code.shape:
        raise ValueError(f"groups must have the shape {code.shape} of by, got shape {group.shape}")
    return names, code * len(group_names) + group, len(group_names)


def _columns(chunk: Chunk, binary: bool) -> tuple[Any, ...]:
    sure, right, losses, _ = numbers_of(chunk)
    if binary:
        sure = probabilities(chunk)[:, 1].astype(np.float64)
        right = chunk.index if chunk.soft is None else chunk.soft[:, 1]
    return sure, right * 1.0, chunk.weight, losses, units(chunk), chunk.places


def _slice(
    name: Any,
    columns: list[Any],
    grouped: bool,
    bins: int,
    level: float,
    resamples: int,
    seed: int,
) -> Slice:
    p, y, weight, loss, unit = columns
    total = weight.sum()
    share, (low, high) = _intervals.of_ratio(weight * y, weight, unit, level)
    sure = float(weight @ p / total)
    gap = sure - share
    error, _ = _intervals.error_of(weight * (p - y - gap) / total, unit)
    by_chance = float(np.sqrt(weight**2 @ (p * (1 - p))) / total)
    if grouped and error < math.inf:
        by_chance = max(by_chance, error)
    z = abs(gap) / max(by_chance, 1e-12)
    mean = float(weight @ loss / total)
    of_loss, units = _intervals.error_of(weight * (loss - mean) / total, unit)
    half = math.inf if math.isinf(mean) else _intervals.quantile(level, units) * of_loss
    return Slice(
        name=name.item() if hasattr(name, "item") else name,
        rows=len(p),
        accuracy=Estimate(share, (low, high)),
        confidence=sure,
        gap=Estimate(gap, (sure - high, sure - low)),
        ece=Estimate(*binned_error(p, y, weight, unit, bins, level, resamples, seed)),
        nll=Estimate(mean, (max(mean - half, 0.0), mean + half)),
        p_value=math.erfc(z / math.sqrt(2)),
        adjusted=math.nan,
    )


def _adjusted(slices: list[Slice]) -> list[Slice]:
    """Return the slices with Holm's correction: the k-th smallest value counts n − k times at least."""
    order = sorted(range(len(slices)), key=lambda k: slices[k].p_value)
    largest, result = 0.0, list(slices)
    for k, place in enumerate(order):
        largest = max(largest, min(1.0, (len(slices) - k) * slices[place].p_value))
        result[place] = replace(slices[place], adjusted=largest)
    return result
