"""How good and how honest the answers to yes-or-no questions are: ranking, probabilities, decisions at a threshold."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals
from ._arguments import in_exact_arithmetic
from ._errors import binned_error
from ._numbers import ratio
from ._questions import questions, scored
from ._ranking import Order
from ._smooth import smooth_error, sums_on_grid
from ._tables import NOTHING, bin_of, sums_by
from .evaluation import Estimate
from .reliability import ReliabilityCurve

__all__ = ["BinaryEvaluation", "evaluate_binary"]

_POINTS = 400  # of the curve that is kept to draw


@dataclass(frozen=True)
class BinaryEvaluation:
    """What :func:`evaluate_binary` measures.

    Attributes
    ----------
    roc_auc : Estimate
        How often a positive has a larger logit than a negative; NaN without both.
    average_precision : Estimate
        Mean over the positives of the precision at their logit.
    base_rate : Estimate
        Share of positives. ``base_nll`` and ``base_brier`` are the losses of a model that always says it.
    base_nll, base_brier : float
        The Brier score is the sum over both classes, twice (p − y)².
    ece : Estimate
        Mean distance of p and the share of positives in bins of equal width of p, the probability of class 1.
    smooth_ece : float
        The same without bins, as in :func:`calibration_error`.
    threshold : float
        Of p, from which on the answer is yes.
    confusion : dict
        The weight of the rows by answer and label: ``"tp"``, ``"fp"``, ``"fn"``, ``"tn"``.
    accuracy, precision, recall, specificity, f1 : Estimate
        Of the answers; NaN where there is nothing to divide by.
    never : int or None
        The class that no row is given, if there is one.
    curve : ReliabilityCurve
        Share of positives (``accuracy``) by p (``confidence``).
    roc : (ndarray, ndarray)
        False and true positive rates, at most 400 points.
    rows, positives : int, float
        Questions that count, and the weight of the positives.
    """

    roc_auc: Estimate
    average_precision: Estimate
    base_rate: Estimate
    base_nll: float
    base_brier: float
    ece: Estimate
    smooth_ece: float
    threshold: float
    confusion: dict[str, float]
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    never: int | None
    curve: ReliabilityCurve
    roc: tuple[np.ndarray, np.ndarray]
    rows: int
    positives: float

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as numbers, lists and dictionaries."""
        result: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Estimate):
                result[name] = value.to_dict()
            elif name == "curve":
                result[name] = {k: np.transpose(v).tolist() for k, v in vars(value).items()}
            elif name == "roc":
                result[name] = [x.tolist() for x in value]
            else:
                result[name] = value
        return result


@in_exact_arithmetic
def evaluate_binary(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    threshold: float = 0.5,
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
) -> BinaryEvaluation:
    r"""Measure how well yes-or-no questions are ranked and answered, each number with an interval.

    .. math:: \mathrm{AUC} = P(x_+ > x_-) + \tfrac12 P(x_+ = x_-), \quad
        \mathrm{AP} = \sum_t (R_t - R_{t-1}) \, P_t

    with recall R and precision P of the answers yes from the t-th largest logit on.

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, ignore_index, where, multilabel
        As for :func:`fit_platt`; infinite logits are welcome. A label q in (0, 1) is a positive of weight q and a
        negative of weight 1 − q.
    threshold : float
        In [0, 1]: from which probability on the answer is yes.
    temperature, bins, confidence, resamples, groups, seed
        As for :func:`evaluate`.

    Returns
    -------
    BinaryEvaluation
        Largest error: some ULP of float64, that of sums. Intervals of shares are Wilson's, those of the others normal
        on the scale of logits, with the variance of what each row (or group) adds to the number: DeLong's for the AUC.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    DeLong, E. R., DeLong, D. M., Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves. doi:10.2307/2531595.

    Examples
    --------
    >>> import sigmax
    >>> e = sigmax.evaluate_binary([2.0, 1.0, 0.5, -1.0], [1, 0, 1, 0])
    >>> print(e.roc_auc, round(e.average_precision, 6), e.confusion)
    0.75 0.833333 {'tp': 2.0, 'fp': 1.0, 'fn': 0.0, 'tn': 1.0}
    """
    rows = questions(locals())
    threshold = _arguments.number(threshold, "threshold", 0.0, 1.0)
    bins = _arguments.count(bins, "bins")
    confidence = _arguments.confidence(confidence)
    resamples, seed = (
        _arguments.count(resamples, "resamples"),
        _arguments.integer(seed, "seed", 0),
    )
    score, p, y, weight, unit = rows.collect(scored)
    if len(y) == 0:
        raise ValueError(NOTHING)
    positive, negative = weight * y, weight * (1 - y)
    given = not rows.from_logits and np.ndim(rows.temperature) == 0
    own = None if rows.groups is None else unit
    order = Order.of(score, y, weight, own, confidence, shares=given)
    area, precision = order.area(), order.average_precision()
    rate = Estimate(*_intervals.of_ratio(positive, weight, unit, confidence))
    ece = Estimate(*binned_error(p, y, weight, unit, bins, confidence, resamples, seed))
    yes = p >= threshold
    parts = {
        "tp": positive * yes,
        "fp": negative * yes,
        "fn": positive * ~yes,
        "tn": negative * ~yes,
    }
    return BinaryEvaluation(
        roc_auc=Estimate(area.value, order.interval(area), half_width=area.half_width),
        average_precision=Estimate(
            precision.value, order.interval(precision), half_width=precision.half_width
        ),
        base_rate=rate,
        base_nll=_entropy(float(rate)),
        base_brier=2 * rate * (1 - rate),
        ece=ece,
        smooth_ece=smooth_error(sums_on_grid(p, weight * (p - y)), weight.sum()),
        threshold=threshold,
        confusion={name: _as_given(x, rows.power) for name, x in parts.items()},
        **_answers(parts, unit, confidence),
        never=0 if yes.all() else 1 if not yes.any() else None,
        curve=_curve(p, y, weight, bins, confidence),
        roc=order.curve(_POINTS),
        rows=len(y),
        positives=_as_given(positive, rows.power),
    )


def _as_given(weights: Any, power: int) -> float:
    """Return the sum of weights that are divided by 2^power."""
    return float(np.ldexp(weights.sum(), power))


def _answers(parts: dict[str, Any], unit: Any, confidence: float) -> dict[str, Any]:
    tp, fp, fn, tn = parts.values()
    ratios = {
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "f1": (2 * tp, 2 * tp + fp + fn),
    }
    return {
        name: Estimate(*_intervals.of_ratio(*of, unit, confidence)) for name, of in ratios.items()
    }


def _entropy(rate: float) -> float:
    return -sum(r * math.log(r) for r in (rate, 1 - rate) if r > 0)


# ---------------------------------------------------------------- probabilities


def _curve(p: Any, y: Any, weight: Any, bins: int, confidence: float) -> ReliabilityCurve:
    edges = np.arange(bins + 1) / bins
    table = sums_by(
        bin_of(p, bins), (bins,), weight, weight**2, weight * p, weight * y, np.ones_like(p)
    )
    mass, squares, sure, right, count = table.T
    share = ratio(right, mass, math.nan)
    return ReliabilityCurve(
        lower=edges[:-1],
        upper=edges[1:],
        count=count.astype(np.int64),
        confidence=ratio(sure, mass, math.nan),
        accuracy=share,
        interval=_intervals.wilson(share, ratio(mass**2, squares), _intervals.quantile(confidence)),
    )
