"""How good and how honest probabilities are: accuracy, losses, calibration errors, each with an interval."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _numbers, _rows
from ._arguments import in_exact_arithmetic
from ._errors import GROUPS
from ._rows import Rows
from ._smooth import smooth_error
from ._tables import NOTHING, Table, sums_of, sums_of_brier, sums_of_smooth

__all__ = [
    "Estimate",
    "Evaluation",
    "brier_score",
    "calibration_error",
    "evaluate",
]

_NAMES = (
    "accuracy",
    "nll",
    "brier",
    "ece",
    "adaptive_ece",
    "classwise_ece",
    "mce",
    "debiased_ece",
    "null_ece",
)
_KINDS = {
    "ece": "ece",
    "adaptive": "adaptive_ece",
    "classwise": "classwise_ece",
    "max": "mce",
    "debiased": "debiased_ece",
}
_BY_MASS = ("adaptive", "debiased")


class Estimate(float):
    """A number that knows how far it may be off.

    Attributes
    ----------
    interval : (float, float)
        Of the accuracy Wilson's; of losses that of the studentised bootstrap; of ``ece`` and ``adaptive_ece`` that of
        their true value; else between the quantiles of the resamples.
    resamples : ndarray
        The number in each resample.
    half_width : float
        How far the number may be from that of sorted rows: 0 unless they are too many to sort (more than 2^18).
    """

    interval: tuple[float, float]
    resamples: np.ndarray
    half_width: float

    def __new__(
        cls,
        value: float,
        interval: tuple[float, float] = (math.nan, math.nan),
        resamples: Any = (),
        half_width: float = 0.0,
    ) -> "Estimate":
        self = super().__new__(cls, value)
        self.interval = interval
        self.resamples = np.asarray(resamples, np.float64)
        self.half_width = half_width
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return value and interval, and the half width where it is not 0."""
        result: dict[str, Any] = {"value": float(self), "interval": list(self.interval)}
        return {**result, "half_width": self.half_width} if self.half_width else result


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` measures.

    Attributes
    ----------
    accuracy, nll, brier : Estimate
        Share of rows whose winner is the label; mean negative log-likelihood; mean squared distance to the label.
    ece, adaptive_ece, classwise_ece, mce, debiased_ece : Estimate
        Calibration errors; each is defined in ``rules``.
    null_ece : Estimate
        The ``ece`` of a perfectly calibrated model with the same confidences: chance alone makes it so large.
    rows, classes : int
        Rows that count, and classes.
    rules : dict
        For each number the rule by which it is computed, in a sentence.
    confidence, seed, units : float, int, int
        Of the intervals; of the resamples; what these draw: rows, or groups.
    """

    accuracy: Estimate
    nll: Estimate
    brier: Estimate
    ece: Estimate
    adaptive_ece: Estimate
    classwise_ece: Estimate
    mce: Estimate
    debiased_ece: Estimate
    null_ece: Estimate
    rows: int
    classes: int
    rules: dict[str, str]
    confidence: float
    seed: int
    units: int = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the resamples, as numbers, lists and dictionaries."""
        numbers = {name: getattr(self, name).to_dict() for name in _NAMES}
        return {
            "rows": self.rows,
            "classes": self.classes,
            "confidence": self.confidence,
            "resamples": len(self.accuracy.resamples),
            "seed": self.seed,
            **numbers,
            "rules": self.rules,
        }

    def difference(self, other: "Evaluation") -> dict[str, Estimate]:
        """Return self − other of each number, over the same resamples of the same rows.

        Raises ValueError if the two were not made with the same rows, groups, seed and options.
        """
        mine, its = (
            (e.rows, e.classes, e.units, e.seed, len(e.accuracy.resamples), e.confidence)
            for e in (self, other)
        )
        if mine != its:
            raise ValueError(
                "other must be an evaluation of the same rows with the same options: (rows, classes, "
                f"groups, seed, resamples, confidence) are {mine} and {its}"
            )
        return {name: self._less(other, name) for name in _NAMES}

    def _less(self, other: "Evaluation", name: str) -> Estimate:
        a, b = getattr(self, name), getattr(other, name)
        with np.errstate(invalid="ignore"):  # infinite losses have no difference: NaN
            spread = a.resamples - b.resamples
        if self.units < 2:
            interval = (math.nan, math.nan)  # one row does not say how much it varies
        elif name in ("ece", "adaptive_ece"):
            interval = _intervals.of_difference(a, b)
        else:
            interval = _intervals.percentiles(spread, self.confidence, self.units)
        return Estimate(float(a) - float(b), interval, spread)


@in_exact_arithmetic
def evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
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
) -> Evaluation:
    r"""Measure how good and how honest probabilities are, each number with an interval.

    .. math:: \mathrm{ECE} = \sum_b \frac{|b|}{n} \, |\mathrm{conf}(b) - \mathrm{acc}(b)|, \quad
        \mathrm{Brier} = \frac{1}{n} \sum_n \sum_k (p_{nk} - q_{nk})^2

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, ignore_index, where, multilabel
        As for :func:`fit_temperature`. Probabilities are taken as given, neither clipped nor normalised. With labels
        that are distributions a row is as right as its winner is likely.
    temperature : array_like
        Positive: a number, or one per row. Of probabilities, that of their logarithms.
    bins : int
        Of confidence, at most 10⁶.
    confidence : float
        Of the intervals, in [0, 1).
    resamples : int
        Of the bootstrap, at most 10⁶.
    groups : array_like, shape of the rows, optional
        Rows of one group, which are not independent (of one patient, one document), are drawn together.
    seed : int
        Not negative. The same seed draws the same rows, so that two evaluations can be compared.

    Returns
    -------
    Evaluation
        Largest error: that of float32 probabilities, below 1 ULP each, summed in float64. The resamples of calibration
        errors are moved to the number: resampling adds the bias that chance gives them a second time.

    Raises
    ------
    TypeError
        If an argument is not of real numbers, or class indices are not integers.
    ValueError
        If a logit is NaN, a label is out of range, no class or no row is left, or an option is out of range; with the
        position.

    References
    ----------
    Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian binning.
    doi:10.1609/aaai.v29i1.9602.
    Kumar, A., Liang, P., Ma, T. (2019). Verified uncertainty calibration. arXiv:1909.10155.
    Efron, B. (1979). Bootstrap methods. doi:10.1214/aos/1176344552.
    Widmann, D., Lindsten, F., Zachariah, D. (2019). Calibration tests in multi-class classification. arXiv:1910.11385
    (the null).

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    >>> before = sigmax.evaluate(logits, [0, 1, 0, 1, 1])
    >>> print(round(before.accuracy, 3), round(before.ece, 3))
    0.8 0.182
    >>> after = sigmax.evaluate(logits, [0, 1, 0, 1, 1], temperature=2.885390)
    >>> print(round(after.difference(before)["ece"], 3))
    -0.182
    """
    rows = _rows.rows_of(locals())
    bins = _arguments.count(bins, "bins")
    resamples = _arguments.count(resamples, "resamples")
    confidence = _arguments.confidence(confidence)
    seed = _arguments.integer(seed, "seed", 0)
    return _evaluation(rows, bins, confidence, resamples, seed)


@in_exact_arithmetic
def calibration_error(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    kind: Literal["ece", "adaptive", "classwise", "max", "debiased", "smooth"] = "ece",
    bins: int = 15,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
) -> float:
    r"""Measure how far confidence is from accuracy.

    .. math:: \mathrm{ECE} = \sum_b \frac{|b|}{n} \, |\mathrm{conf}(b) - \mathrm{acc}(b)|

    Parameters
    ----------
    logits, labels, axis, bins, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`.
    kind : {"ece", "adaptive", "classwise", "max", "debiased", "smooth"}
        Bins of equal width; of equal numbers of rows; the mean over the classes of each class's own error; the largest
        gap of a bin; the root of the squared error without its bias. :func:`evaluate` returns the rules. ``"smooth"``
        has no bins: gaps are averaged by a normal kernel, as wide as the error itself is large.

    Returns
    -------
    float
        In [0, 1]. Largest error: as for :func:`evaluate`, from probabilities within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian binning.
    doi:10.1609/aaai.v29i1.9602.
    Błasiok, J., Nakkiran, P. (2023). Smooth ECE: principled reliability diagrams via kernel smoothing.
    arXiv:2309.12236.

    Examples
    --------
    >>> import sigmax
    >>> print(round(sigmax.calibration_error([[0.9, 0.1], [0.8, 0.2]], [0, 1], from_logits=False), 9))
    0.45
    """
    _arguments.choice(kind, "kind", (*_KINDS, "smooth"))
    rows = _rows.rows_of(locals())
    bins = _arguments.count(bins, "bins")
    if kind == "smooth":
        weight, sums = rows.sum(sums_of_smooth)
        if not weight:
            raise ValueError(NOTHING)
        return smooth_error(sums, weight)
    by_class = kind == "classwise"  # whose groups are shared out among threads
    groups = GROUPS if by_class else 1
    table = sums_of(rows, bins, groups=groups, by_mass=kind in _BY_MASS, by_class=by_class)
    return _numbers.values(table)[_KINDS[kind]]


@in_exact_arithmetic
def brier_score(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
) -> float:
    r"""Mean squared distance of probabilities and labels, summed over the classes.

    .. math:: \frac{\sum_n s_n \sum_k (p_{nk} - q_{nk})^2}{\sum_n s_n}

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`.

    Returns
    -------
    float
        In [0, 2]: with two classes twice what is often called the Brier score of one of them. Largest error: as for
        :func:`evaluate`, from probabilities within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Brier, G. W. (1950). Verification of forecasts expressed in terms of probability.
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> import sigmax
    >>> print(round(sigmax.brier_score([[0.9, 0.1], [0.8, 0.2]], [0, 1], from_logits=False), 9))
    0.65
    """
    rows = _rows.rows_of(locals())
    total, weight = rows.sum(sums_of_brier)
    if not weight:
        raise ValueError(NOTHING)
    return float(total / weight)


# ---------------------------------------------------------------- intervals


def _evaluation(rows: Rows, bins: int, confidence: float, resamples: int, seed: int) -> Evaluation:
    table = sums_of(rows, bins, groups=GROUPS, by_mass=True, by_class=True)
    values, spreads = _numbers.measured(table, resamples, seed)
    null = _numbers.null(table.cells, resamples, seed)
    spreads = {name: _moved(name, values[name], spreads[name]) for name in values}
    intervals = _intervals_of(table, values, spreads, confidence, seed)
    for name, of in (("ece", table.by_width), ("adaptive_ece", table.by_mass)):
        interval, mean = _intervals.of_gaps(of, values[name], null, confidence, resamples, seed)
        intervals[name] = interval if table.units > 1 else (0.0, 1.0)
        spreads[name] = np.maximum(spreads[name] - values[name] + mean, 0.0)
    estimates = {name: Estimate(values[name], intervals[name], spreads[name]) for name in values}
    estimates["null_ece"] = Estimate(null.mean(), _intervals.percentiles(null, confidence), null)
    return Evaluation(
        **estimates,
        rows=table.rows,
        classes=rows.classes,
        rules=_rules(bins),
        confidence=confidence,
        seed=seed,
        units=table.units,
    )


def _moved(name: str, value: float, resamples: Any) -> Any:
    """Return the resamples of a number.

    Resampling adds the bias of a calibration error, which chance makes larger, a second time. So those resamples are
    moved to have the number as their mean.
    """
    if name == "debiased_ece":
        return np.sqrt(np.maximum(resamples - resamples.mean() + value**2, 0.0))
    if name in ("accuracy", "nll", "brier"):
        return resamples
    return np.maximum(resamples - resamples.mean() + value, 0.0)


def _intervals_of(
    table: Table, values: dict[str, float], spreads: dict[str, Any], confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    intervals = {
        name: _intervals.percentiles(spreads[name], confidence, table.units) for name in values
    }
    if table.units < 2:  # which leaves it open how much they vary
        intervals = dict.fromkeys(values, (math.nan, math.nan))
    weight, _, nll, brier, infinite = table.whole.T
    units = table.units
    rows = min(weight.sum() ** 2 / table.by_width[..., 2].sum(), units)
    accuracy, drawn = values["accuracy"], spreads["accuracy"]
    intervals["accuracy"] = _intervals.of_share(accuracy, rows, drawn, confidence, units)
    draws = _numbers.draws(seed, len(drawn), len(weight))
    for name, x, most in (("nll", nll, math.inf), ("brier", brier, 2.0)):
        if name == "brier" or not infinite.any():
            low, high = _intervals.of_mean(values[name], x, weight, draws, confidence)
            intervals[name] = (max(low, 0.0), min(high, most))
    return intervals


def _rules(bins: int) -> dict[str, str]:
    """Return how each number is computed."""
    width = f"{bins} bins of equal width, (lower, upper], of the winner's probability"
    mass = (
        f"{bins} bins of equal numbers of rows (numpy.array_split of the rows by the winner's "
        "probability; equal ones share the bins that they are in)"
    )
    return {
        "accuracy": "share of rows whose winner is the label; of ties the first class wins",
        "nll": "mean of -log p(label), in nats",
        "brier": "mean over the rows of the sum over the classes of (p - label)²: from 0 to 2",
        "ece": f"mean |confidence - accuracy|: {width}, weighted by their rows",
        "adaptive_ece": f"mean |confidence - accuracy|: {mass}",
        "classwise_ece": f"mean over the classes of the error of p(class) against [label is the class]: "
        f"{bins} bins of equal width, (lower, upper], the first with 0, weighted by their rows",
        "mce": f"largest |confidence - accuracy|: {width}",
        "debiased_ece": f"root of the mean (confidence - accuracy)², less the variance of the accuracy, 0 where "
        f"that is negative (Kumar, Liang, Ma 2019): {mass}",
        "null_ece": "mean ece of labels drawn from the winners' probabilities: what a perfectly "
        f"calibrated model shows with so many rows; {width}",
    }
