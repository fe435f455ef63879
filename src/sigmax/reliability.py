"""Accuracy by confidence: the points of a reliability diagram."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _numbers, _rows
from ._arguments import in_exact_arithmetic
from ._tables import sums_of

__all__ = ["ReliabilityCurve", "reliability_curve"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """What :func:`reliability_curve` measures.

    Attributes
    ----------
    lower, upper : ndarray, shape (bins,)
        The edges of the bins; of bins of equal mass, the least and the largest confidence in them.
    count : ndarray of int
        Rows.
    confidence, accuracy : ndarray
        Means; NaN in an empty bin.
    interval : (ndarray, ndarray)
        Of the accuracy (Wilson); 0 and 1 in an empty bin.
    """

    lower: np.ndarray
    upper: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    interval: tuple[np.ndarray, np.ndarray]


@in_exact_arithmetic
def reliability_curve(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    bins: int = 15,
    equal_mass: bool = False,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    confidence: float = 0.95,
) -> ReliabilityCurve:
    r"""Measure accuracy by confidence: the points of a reliability diagram.

    .. math:: \mathrm{acc}(b) = \frac{\sum_{n \in b} s_n [\operatorname{arg\,max} p_n = y_n]}{\sum_{n \in b} s_n}

    Parameters
    ----------
    logits, labels, axis, bins, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`.
    equal_mass : bool
        Bins of equal numbers of rows, not of equal width.
    confidence : float
        Of the intervals, in [0, 1).

    Returns
    -------
    ReliabilityCurve
        Largest error: as for :func:`evaluate`, from probabilities within 1 ULP. Weights count in an interval as
        (Σ s)² / Σ s² rows.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> import sigmax
    >>> curve = sigmax.reliability_curve([[0.9, 0.1], [0.8, 0.2]], [0, 1], from_logits=False, bins=2)
    >>> curve.count, curve.accuracy
    (array([0, 2]), array([nan, 0.5]))
    """
    rows = _rows.rows_of(locals())
    bins = _arguments.count(bins, "bins")
    quantile = _intervals.quantile(_arguments.confidence(confidence))
    equal_mass = _arguments.flag(equal_mass, "equal_mass")
    table = sums_of(rows, bins, groups=1, by_mass=equal_mass, by_class=False)
    sums = (table.by_mass if equal_mass else table.by_width)[0]
    count, weight, squares, gap, correct, _ = sums.T
    accuracy = _numbers.ratio(correct, weight, math.nan)
    edges = table.edges if equal_mass else (np.arange(bins) / bins, np.arange(1, bins + 1) / bins)
    lower, upper = edges
    return ReliabilityCurve(
        lower=lower,
        upper=upper,
        count=np.rint(count).astype(np.int64),
        confidence=_numbers.ratio(gap + correct, weight, math.nan),
        accuracy=accuracy,
        interval=_intervals.wilson(accuracy, _numbers.ratio(weight**2, squares), quantile),
    )
