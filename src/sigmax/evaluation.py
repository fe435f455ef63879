"""How good and how honest probabilities are: accuracy, losses, calibration errors, each with an interval."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._rows import Rows
from ._tables import CELLS, NOTHING, Table, sums_of, sums_of_brier

__all__ = [
    "Estimate",
    "Evaluation",
    "ReliabilityCurve",
    "brier_score",
    "calibration_error",
    "evaluate",
    "reliability_curve",
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
_RESAMPLES = 1000  # at a time
_PRODUCT = 2**23  # and at most so many sums: 64 MiB
_GROUPS = 2000  # of rows, for the bootstrap: an error of 1.6 % in the length of an interval


class Estimate(float):
    """A number that knows how far it may be off.

    Attributes
    ----------
    interval : (float, float)
        Of the accuracy Wilson's; of losses that of the studentised bootstrap; of ``ece`` and ``adaptive_ece`` that of
        their true value; else between the quantiles of the resamples.
    resamples : ndarray
        The number in each resample.
    """

    interval: tuple[float, float]
    resamples: np.ndarray

    def __new__(
        cls,
        value: float,
        interval: tuple[float, float] = (math.nan, math.nan),
        resamples: Any = (),
    ) -> "Estimate":
        self = super().__new__(cls, value)
        self.interval = interval
        self.resamples = np.asarray(resamples, np.float64)
        return self


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
        numbers = {
            name: {"value": float(estimate), "interval": list(estimate.interval)}
            for name in _NAMES
            for estimate in [getattr(self, name)]
        }
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
        unknown = (math.nan, math.nan)  # how much one row varies
        with np.errstate(invalid="ignore"):  # infinite losses have no difference: NaN
            return {
                name: Estimate(
                    float(a) - float(b),
                    _intervals.percentiles(spread, self.confidence) if self.units > 1 else unknown,
                    spread,
                )
                for name in _NAMES
                for a, b in [(getattr(self, name), getattr(other, name))]
                for spread in [a.resamples - b.resamples]
            }


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
    logits, labels, axis, from_logits, sample_weight, ignore_index, where
        As for :func:`fit_temperature`. Probabilities are taken as given, neither clipped nor normalised. With labels
        that are distributions a row is as right as its winner is likely.
    temperature : array_like
        Positive: a number, or one per row. Of probabilities, that of their logarithms.
    bins : int
        Of confidence.
    confidence : float
        Of the intervals, in [0, 1).
    resamples : int
        Of the bootstrap.
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
    rows = _rows.rows(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
        groups=groups,
    )
    bins = _arguments.integer(bins, "bins", 1)
    resamples = _arguments.integer(resamples, "resamples", 1)
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
    kind: Literal["ece", "adaptive", "classwise", "max", "debiased"] = "ece",
    bins: int = 15,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
) -> float:
    r"""Measure how far confidence is from accuracy.

    .. math:: \mathrm{ECE} = \sum_b \frac{|b|}{n} \, |\mathrm{conf}(b) - \mathrm{acc}(b)|

    Parameters
    ----------
    logits, labels, axis, bins, from_logits, temperature, sample_weight, ignore_index, where
        As for :func:`evaluate`.
    kind : {"ece", "adaptive", "classwise", "max", "debiased"}
        Bins of equal width; of equal numbers of rows; the mean over the classes of each class's own error; the largest
        gap of a bin; the root of the squared error without its bias. :func:`evaluate` returns the rules.

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

    Examples
    --------
    >>> import sigmax
    >>> print(round(sigmax.calibration_error([[0.9, 0.1], [0.8, 0.2]], [0, 1], from_logits=False), 9))
    0.45
    """
    _arguments.choice(kind, "kind", tuple(_KINDS))
    rows = _rows.rows(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    bins = _arguments.integer(bins, "bins", 1)
    table = sums_of(rows, bins, groups=1, by_mass=kind in _BY_MASS, by_class=kind == "classwise")
    return _values(table)[_KINDS[kind]]


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
) -> float:
    r"""Mean squared distance of probabilities and labels, summed over the classes.

    .. math:: \frac{\sum_n s_n \sum_k (p_{nk} - q_{nk})^2}{\sum_n s_n}

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where
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
    rows = _rows.rows(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    total, weight = rows.sum(sums_of_brier)
    if not weight:
        raise ValueError(NOTHING)
    return float(total / weight)


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
    confidence: float = 0.95,
) -> ReliabilityCurve:
    r"""Measure accuracy by confidence: the points of a reliability diagram.

    .. math:: \mathrm{acc}(b) = \frac{\sum_{n \in b} s_n [\operatorname{arg\,max} p_n = y_n]}{\sum_{n \in b} s_n}

    Parameters
    ----------
    logits, labels, axis, bins, from_logits, temperature, sample_weight, ignore_index, where
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
    rows = _rows.rows(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    bins = _arguments.integer(bins, "bins", 1)
    quantile = _intervals.quantile(_arguments.confidence(confidence))
    equal_mass = _arguments.flag(equal_mass, "equal_mass")
    table = sums_of(rows, bins, groups=1, by_mass=equal_mass, by_class=False)
    sums = (table.by_mass if equal_mass else table.by_width)[0]
    count, weight, squares, gap, correct, _ = sums.T
    accuracy = _ratio(correct, weight, math.nan)
    edges = table.edges if equal_mass else (np.arange(bins) / bins, np.arange(1, bins + 1) / bins)
    lower, upper = edges
    return ReliabilityCurve(
        lower=lower,
        upper=upper,
        count=np.rint(count).astype(np.int64),
        confidence=_ratio(gap + correct, weight, math.nan),
        accuracy=accuracy,
        interval=_intervals.wilson(accuracy, _ratio(weight**2, squares), quantile),
    )


# ---------------------------------------------------------------- numbers


def _numbers(table: Table, draws: dict[int, Any]) -> dict[str, Any]:
    """Return all numbers of some resamples. `draws` say how often each has each group, of so many groups."""
    whole, by_width = _drawn(draws, table.whole), _drawn(draws, table.by_width)
    weight, correct, nll, brier, infinite = np.moveaxis(whole, -1, 0)
    gaps = np.abs(by_width[..., 3])
    numbers = {
        "accuracy": correct / weight,
        "nll": np.where(infinite > 0, math.inf, nll / weight),
        "brier": brier / weight,
        "ece": gaps.sum(axis=-1) / weight,
        "mce": _ratio(gaps, by_width[..., 1]).max(axis=-1),
    }
    if table.by_mass is not None:
        by_mass = _drawn(draws, table.by_mass)
        numbers["adaptive_ece"] = np.abs(by_mass[..., 3]).sum(axis=-1) / weight
        numbers["debiased_ece"] = _debiased(by_mass) / weight  # its square
    if table.by_class is not None:
        classes = table.by_class.shape[-1]
        gaps = np.abs(_drawn(draws, table.by_class)).sum(axis=(-1, -2))
        numbers["classwise_ece"] = gaps / (classes * _drawn(draws, table.class_weight))
    return numbers


def _drawn(draws: dict[int, Any], table: Any) -> Any:
    """Return the sums of the resamples."""
    counts = draws[len(table)]
    return (counts @ table.reshape(len(table), -1)).reshape(len(counts), *table.shape[1:])


def _group_counts(table: Table) -> set[int]:
    return {len(table.whole)} | (set() if table.by_class is None else {len(table.by_class)})


def _values(table: Table) -> dict[str, float]:
    """Return the numbers of the rows themselves."""
    draws = {groups: np.ones((1, groups)) for groups in _group_counts(table)}
    numbers = {name: float(x[0]) for name, x in _numbers(table, draws).items()}
    if "debiased_ece" in numbers:
        numbers["debiased_ece"] = math.sqrt(max(numbers["debiased_ece"], 0.0))
    return numbers


def _resampled(table: Table, resamples: int, seed: int) -> dict[str, Any]:
    """Return the numbers of resamples, which depend on the seed and the number of groups alone."""
    generators = {g: np.random.default_rng([seed, g]) for g in _group_counts(table)}
    step = max(1, min(_RESAMPLES, _PRODUCT // table.by_class[0].size))
    blocks = []
    for begin in range(0, resamples, step):
        count = min(step, resamples - begin)
        draws = {groups: _draw(rng, count, groups) for groups, rng in generators.items()}
        blocks.append(_numbers(table, draws))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _draw(rng: np.random.Generator, count: int, groups: int) -> Any:
    """Return how often each of some resamples has each group."""
    picks = rng.integers(0, groups, (count, groups)) + groups * np.arange(count)[:, None]
    return np.bincount(picks.ravel(), minlength=picks.size).reshape(picks.shape) * 1.0


def _debiased(sums: Any) -> Any:
    """Return the sum over the bins of weight times the square of the mean gap, less what chance adds to it."""
    _, weight, weight_squares, gap, correct, squares = np.moveaxis(sums, -1, 0)
    count = _ratio(weight**2, weight_squares)
    variance = _ratio(squares, weight) - _ratio(correct, weight) ** 2
    chance = _ratio(variance, count - 1)
    return (weight * (_ratio(gap, weight) ** 2 - chance)).sum(axis=-1)


def _ratio(a: Any, b: Any, otherwise: float = 0.0) -> Any:
    return np.divide(a, b, out=np.full_like(a, otherwise), where=b > 0)


# ---------------------------------------------------------------- intervals


def _evaluation(rows: Rows, bins: int, confidence: float, resamples: int, seed: int) -> Evaluation:
    table = sums_of(rows, bins, groups=_GROUPS, by_mass=True, by_class=True)
    values = _values(table)
    spreads = _resampled(table, resamples, seed)
    null = _null(table.cells, resamples, seed)
    intervals = _intervals_of(table, values, spreads, null, confidence, seed)
    estimates = {
        name: Estimate(values[name], intervals[name], _moved(name, values[name], spreads[name]))
        for name in values
    }
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
    table: Table,
    values: dict[str, float],
    spreads: dict[str, Any],
    null: Any,
    confidence: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    intervals = {
        name: _intervals.percentiles(_moved(name, values[name], spreads[name]), confidence)
        for name in values
    }
    if table.units < 2:  # which leaves it open how much they vary
        intervals = dict.fromkeys(values, (math.nan, math.nan))
    weight, _, nll, brier, infinite = table.whole.T
    rows = min(weight.sum() ** 2 / table.by_width[..., 2].sum(), table.units)
    accuracy = values["accuracy"]
    intervals["accuracy"] = _intervals.of_share(accuracy, rows, spreads["accuracy"], confidence)
    draws = _draw(np.random.default_rng([seed, len(weight)]), len(null), len(weight))
    for name, x, most in (("nll", nll, math.inf), ("brier", brier, 2.0)):
        if name == "brier" or not infinite.any():
            low, high = _intervals.of_mean(values[name], x, weight, draws, confidence)
            intervals[name] = (max(low, 0.0), min(high, most))
    for name, of in (("ece", table.by_width), ("adaptive_ece", table.by_mass)):
        intervals[name] = _intervals.of_gaps(of, values[name], null, confidence, len(null), seed)
    return intervals


def _null(cells: Any, resamples: int, seed: int) -> Any:
    """Return the errors of labels that are drawn from the confidences themselves."""
    bin_of = np.repeat(np.arange(len(cells) // CELLS), CELLS)[cells[:, 0] > 0]
    weight, squares, confidence = cells[cells[:, 0] > 0].T
    mean = np.minimum(confidence / weight, 1.0)
    count = np.maximum(np.rint(weight**2 / squares), 1.0)
    rng = np.random.default_rng([seed, 0])
    drawn = rng.binomial(count.astype(np.int64), mean, (resamples, len(count)))
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    gaps = np.add.reduceat(weight * (mean - drawn / count), starts, axis=1)
    return np.abs(gaps).sum(axis=1) / weight.sum()


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
