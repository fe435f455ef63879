"""How good and how honest probabilities are: accuracy, losses, calibration errors, each with an interval."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from operator import itemgetter
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _rows
from ._rows import Chunk, Parts, Rows, merged
from .labels import _integer
from .losses import cross_entropy
from .normalization import softmax

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
_GROUPS = (
    2000  # of rows, which the bootstrap resamples: an error of 1.6 % in the length of an interval
)
_TABLE = 2**23  # numbers in the table of the classwise error: 64 MiB
_CELLS = 16  # of confidence in a bin, for the null error
_BATCH = 2**18  # rows whose columns are added up at a time
_NOTHING = "logits must have a row that counts: all are ignored or have weight 0"


class Estimate(float):
    """A number that knows how far it may be off.

    Attributes
    ----------
    interval : (float, float)
        Between the quantiles of the resamples.
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
        with np.errstate(invalid="ignore"):  # infinite losses have no difference: NaN
            return {
                name: Estimate(float(a) - float(b), _interval(spread, self.confidence), spread)
                for name in _NAMES
                for a, b in [(getattr(self, name), getattr(other, name))]
                for spread in [a.resamples - b.resamples]
            }


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
    bins = _at_least_one(bins, "bins")
    resamples = _at_least_one(resamples, "resamples")
    confidence = _rows.confidence_level(confidence)
    seed = _integer(seed, "seed")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    return _evaluation(rows, bins, confidence, resamples, seed)


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
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
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
    bins = _at_least_one(bins, "bins")
    table = _table(rows, bins, groups=1, by_mass=kind in _BY_MASS, by_class=kind == "classwise")
    return _values(table)[_KINDS[kind]]


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
    total, weight = rows.sum(_brier)
    if not weight:
        raise ValueError(_NOTHING)
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
    bins = _at_least_one(bins, "bins")
    quantile = NormalDist().inv_cdf(0.5 + _rows.confidence_level(confidence) / 2)
    table = _table(rows, bins, groups=1, by_mass=equal_mass, by_class=False)
    sums = (table.by_mass if equal_mass else table.by_width)[0]
    count, weight, squares, gap, correct, _ = sums.T
    accuracy = _ratio(correct, weight, math.nan)
    edges = table.edges if equal_mass else (np.arange(bins) / bins, np.arange(1, bins + 1) / bins)
    lower, upper = edges
    return ReliabilityCurve(
        lower=lower,
        upper=upper,
        count=count.astype(np.int64),
        confidence=_ratio(gap + correct, weight, math.nan),
        accuracy=accuracy,
        interval=_wilson(accuracy, _ratio(weight**2, squares), quantile),
    )


def _wilson(share: Any, count: Any, z: float) -> tuple[Any, Any]:
    """Return the score interval of a share of `count` (Wilson 1927); all of [0, 1] for none."""
    none = count == 0
    n = np.where(none, 1.0, count)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(none, 0.0, low), np.where(none, 1.0, high)


# ---------------------------------------------------------------- columns


@dataclass
class _Columns:
    """What rows are worth: one number for each."""

    first: int  # how many rows are before these
    confidence: Any
    correct: Any
    weight: Any  # None: 1
    group: Any  # the number of the group, if groups were given
    nll: Any = None
    brier: Any = None

    @classmethod
    def of(cls, chunk: Chunk, p: Any, names: Any) -> "_Columns":
        n = np.arange(len(p))
        winner = p.argmax(axis=-1)
        confidence = p[n, winner].astype(np.float64)
        correct = winner == chunk.index if chunk.soft is None else chunk.soft[n, winner]
        group = None if names is None else np.searchsorted(names, chunk.groups)
        weight, nll, brier = chunk.weight, _nll(chunk), _squares(chunk, p)
        return cls(chunk.first, confidence, correct, weight, group, nll, brier)

    @classmethod
    def joined(cls, parts: "list[_Columns]") -> "_Columns":
        columns = zip(*(list(vars(c).values())[1:] for c in parts), strict=True)
        return cls(parts[0].first, *(None if x[0] is None else np.concatenate(x) for x in columns))

    def kept(self) -> "_Columns":
        """Return what the bins of equal mass need."""
        return replace(
            self, nll=None, brier=None, weight=None if (self.weight == 1).all() else self.weight
        )

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def number(self) -> Any:
        return self.first + np.arange(len(self))

    @property
    def unit(self) -> Any:
        """What the bootstrap draws."""
        return self.number if self.group is None else self.group


def _probabilities(chunk: Chunk) -> Any:
    if chunk.probabilities is not None and _is_one(chunk.temperature):
        return chunk.probabilities
    p = softmax(chunk.logits, temperature=chunk.temperature)
    whole = p @ np.ones(p.shape[-1], p.dtype)
    if not (whole > 0).all():
        chunk.require_classes(~np.isnan(chunk.logits), "logits must not be NaN", chunk.logits)
        message = "logits must leave each row a class of positive probability"
        chunk.require(whole > 0, message, ["none"] * len(whole))
    return p


def _is_one(temperature: Any) -> bool:
    return np.ndim(temperature) == 0 and float(temperature) == 1.0


def _nll(chunk: Chunk) -> Any:
    """Return the losses as float64."""
    labels = chunk.index if chunk.soft is None else chunk.soft
    if chunk.probabilities is not None and _is_one(chunk.temperature):
        losses = cross_entropy(chunk.probabilities, labels, from_logits=False, reduction="none")
    else:
        losses = cross_entropy(
            chunk.logits, labels, temperature=chunk.temperature, reduction="none"
        )
    return losses.astype(np.float64)


def _squares(chunk: Chunk, p: Any) -> Any:
    """Return the squared distances of probabilities and labels."""
    if chunk.soft is not None:
        return ((p - chunk.soft) ** 2).sum(axis=-1)
    n = np.arange(len(p))
    of_label = p[n, chunk.index].astype(np.float64)
    others = p.copy() if p is chunk.probabilities else p
    others[n, chunk.index] = 0  # a confident row keeps its digits
    squares = np.einsum("ij,ij->i", others, others) + (1.0 - of_label) ** 2
    others[n, chunk.index] = of_label
    return squares


def _brier(chunk: Chunk) -> tuple[float, float]:
    squares = _squares(chunk, _probabilities(chunk))
    return _rows.total(chunk.weight * squares), _rows.total(chunk.weight)


# ---------------------------------------------------------------- sums


@dataclass
class _Table:
    """Sums for each group of rows. Those of a resample are a product: how often it has each group, times this."""

    rows: int
    units: int
    whole: Any  # (groups, 5): weight, correct, nll, brier, infinite losses
    by_width: Any  # (groups, bins, 6): count, weight, weight², gap, correct, correct²
    cells: Any  # (cells, 3): weight, weight², weight · confidence, by confidence
    by_mass: Any = None  # as by_width, in bins of equal numbers of rows
    edges: Any = None  # the least and the largest confidence in these
    by_class: Any = None  # (groups, bins, classes): weight · (p − label)
    class_weight: Any = None  # (groups of by_class,): weight


@dataclass
class _Plan:
    """What the parts of the rows must agree on."""

    bins: int
    units: int
    names: Any  # of the groups, if they were given
    groups: int
    few: int  # the number of groups of the table by class; 0 without it

    def group(self, columns: _Columns, few: bool = False) -> Any:
        """Return the group of each row: its unit where there are enough, else one by a hash (splitmix64)."""
        groups, unit = self.few if few else self.groups, columns.unit
        if self.units <= groups:
            return unit
        x = unit.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) % np.uint64(groups)).astype(np.int64)


def _table(rows: Rows, bins: int, *, groups: int, by_mass: bool, by_class: bool) -> _Table:
    parts = rows.parts()
    counts, names = zip(*parts.map(_count).gather(), strict=True)
    count = sum(counts)
    if count == 0:
        raise ValueError(_NOTHING)
    distinct = None if rows.groups is None else np.unique(np.concatenate(names))
    units = count if distinct is None else len(distinct)
    most = max(20, min(groups, _TABLE // (rows.classes * bins)))
    few = min(units, groups, most) if by_class else 0
    plan = _Plan(bins, units, distinct, min(units, groups), few)
    firsts = [int(n) for n in np.cumsum([0, *counts[:-1]])]
    parts = parts.map(_summed, plan, each=[firsts]).persist()
    whole, by_width, cells, *classwise = parts.map(itemgetter(1)).sum()
    table = _Table(count, units, whole, by_width, cells)
    if by_class:
        table.by_class, table.class_weight = classwise
    if by_mass:
        columns = parts.map(itemgetter(0))
        cuts, table.edges = _cuts(columns, count, bins)
        (table.by_mass,) = columns.map(_by_mass, plan, cuts).sum()
    return table


def _count(rows: Rows) -> tuple[int, Any]:
    """Return the number of rows that count, and the distinct groups."""
    count, names = 0, [np.array([], rows.groups.dtype if rows.groups is not None else None)]
    for chunk in rows.chunks():
        count += len(chunk)
        if chunk.groups is not None:
            names.append(np.unique(chunk.groups))
    return count, np.unique(np.concatenate(names))


def _summed(rows: Rows, first: int, plan: _Plan) -> tuple[list[_Columns], tuple[Any, ...]]:
    """Return the columns that the bins of equal mass need, in batches, and all other sums, from one pass."""
    by_class = np.zeros((plan.few, plan.bins, rows.classes))
    class_weight = np.zeros(plan.few)
    kept = []

    def chunks() -> Iterator[_Columns]:
        for chunk in replace(rows, first=first).chunks():
            p = _probabilities(chunk)
            columns = _Columns.of(chunk, p, plan.names)
            if plan.few:
                _add_by_class(by_class, class_weight, chunk, p, plan.group(columns, few=True))
            yield columns

    def sums() -> Iterator[tuple[Any, ...]]:
        for columns in _batches(chunks()):
            kept.append(columns.kept())
            yield _one_pass(columns, plan)

    result = merged(sums())
    return kept, (*result, by_class, class_weight) if plan.few else result


def _batches(parts: Iterator[_Columns]) -> Iterator[_Columns]:
    waiting: list[_Columns] = []
    for columns in parts:
        waiting.append(columns)
        if sum(map(len, waiting)) >= _BATCH:
            yield _Columns.joined(waiting)
            waiting = []
    if waiting:
        yield _Columns.joined(waiting)


def _bin(confidence: Any, bins: int) -> Any:
    """Return the bin k of (k / bins, (k + 1) / bins]; the first has 0 too."""
    return np.maximum(np.searchsorted(np.arange(bins + 1) / bins, confidence, "left") - 1, 0)


def _sums_by(key: Any, shape: tuple[int, ...], *values: Any) -> Any:
    """Return the sums of values by key, in an array of this shape, values last."""
    sums = [np.bincount(key, value, math.prod(shape)) for value in values]
    return np.stack(sums, axis=-1).reshape(*shape, len(values))


def _one_pass(c: _Columns, plan: _Plan) -> tuple[Any, Any, Any]:
    infinite = np.isinf(c.nll)
    nll = np.where(infinite, 0.0, c.nll)
    w = c.weight
    group = plan.group(c)
    whole = _sums_by(group, (plan.groups,), w, w * c.correct, w * nll, w * c.brier, infinite)
    cells = plan.bins * _CELLS
    cell = _bin(c.confidence, cells)
    return (
        whole,
        _by_bin(c, cell // _CELLS, plan),
        _sums_by(cell, (cells,), w, w * w, w * c.confidence),
    )


def _by_bin(c: _Columns, bin_of: Any, plan: _Plan) -> Any:
    """Return count, weight, weight², gap, correct and correct² by group and bin."""
    w = np.ones(len(c)) if c.weight is None else c.weight
    one = np.ones(len(c))
    key = plan.group(c) * plan.bins + bin_of
    gap = w * (c.confidence - c.correct)
    values = (one, w, w * w, gap, w * c.correct, w * c.correct**2.0)
    return _sums_by(key, (plan.groups, plan.bins), *values)


def _add_by_class(table: Any, weights: Any, chunk: Chunk, p: Any, group: Any) -> None:
    """Add weight · (p − label) to the sums by group, bin of p and class.

    Nearly all p are in the first bin: all are added there at once, and the few others are moved.
    """
    _, bins, classes = table.shape
    weighted = not (chunk.weight == 1).all()
    terms = p if chunk.soft is None else p - chunk.soft
    if weighted:
        terms = terms * chunk.weight[:, None]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    table[group[order[starts]], 0] += np.add.reduceat(terms[order], starts, axis=0)
    sums = table.reshape(-1)
    others = np.flatnonzero(p > _largest_in_first_bin(bins, p.dtype))
    row, k = np.divmod(others, classes)
    moved = terms.ravel()[others].astype(np.float64)
    first = group[row] * (bins * classes) + k
    np.add.at(sums, first + _bin(p.ravel()[others], bins) * classes, moved)
    np.subtract.at(sums, first, moved)
    if chunk.soft is None:
        of_label = p[np.arange(len(p)), chunk.index]
        cell = (group * bins + _bin(of_label, bins)) * classes + chunk.index
        np.subtract.at(sums, cell, chunk.weight)
    np.add.at(weights, group, chunk.weight)


def _largest_in_first_bin(bins: int, dtype: Any) -> Any:
    edge = dtype.type(1 / bins)
    return edge if float(edge) <= 1 / bins else np.nextafter(edge, dtype.type(0))


# ---------------------------------------------------------------- bins of equal mass


def _cuts(columns: Parts, count: int, bins: int) -> tuple[Any, Any]:
    """Return where the bins begin, as confidences and numbers of rows, and the edges of the bins."""
    sizes = np.array([len(part) for part in np.array_split(np.arange(count), bins)])
    ends = np.cumsum(sizes)[sizes > 0] - 1
    starts = np.cumsum(sizes)[sizes > 0] - sizes[sizes > 0]
    order = columns.map(_sorted_bits).persist()
    least = _of_rank(order, starts)
    most = _of_rank(order, ends)
    less, equal = (
        np.array(x) for x in zip(*order.map(_less_and_equal, least).gather(), strict=True)
    )
    tie = starts - less.sum(
        axis=0
    )  # of the rows as confident as the first of a bin, how many go to the bins before
    local = list(tie - (np.cumsum(equal, axis=0) - equal))
    least = least.view(np.float64)
    (number,) = columns.map(_tied_row, least, each=[local]).sum()
    empty = np.full(bins - len(ends), math.nan)
    edges = (np.append(least, empty), np.append(most.view(np.float64), empty))
    return (least[1:], number.astype(np.int64)[1:]), edges


def _sorted_bits(columns: list[_Columns]) -> Any:
    """Return the confidences as integers, which have the same order."""
    return np.sort(np.concatenate([[], *(c.confidence for c in columns)])).view(np.uint64)


def _of_rank(order: Parts, ranks: Any) -> Any:
    """Return the numbers of these ranks among those of all parts, byte by byte."""
    found = np.zeros(len(ranks), np.uint64)
    for shift in range(56, -8, -8):
        (below,) = order.map(_below, found, shift).sum()
        digit = np.count_nonzero(below <= ranks[:, None], axis=1)
        found += digit.astype(np.uint64) << np.uint64(shift)
    return found


def _below(order: Any, found: Any, shift: int) -> tuple[Any]:
    steps = np.arange(1, 256, dtype=np.uint64) << np.uint64(shift)
    return (np.searchsorted(order, found[:, None] + steps).astype(np.float64),)


def _less_and_equal(order: Any, bits: Any) -> tuple[Any, Any]:
    less = np.searchsorted(order, bits, "left")
    return less, np.searchsorted(order, bits, "right") - less


def _tied_row(columns: list[_Columns], local: Any, confidences: Any) -> tuple[Any]:
    """Return, for each confidence, the number of the row that is the local-th to have it, or 0 if that is elsewhere."""
    result = np.zeros(len(local))
    for j, confidence in enumerate(confidences):
        before = 0
        for c in columns:
            rows = np.flatnonzero(c.confidence == confidence)
            if before <= local[j] < before + len(rows):
                result[j] = c.first + rows[local[j] - before]
            before += len(rows)
    return (result,)


def _by_mass(columns: list[_Columns], plan: _Plan, cuts: Any) -> tuple[Any]:
    none = np.zeros((plan.groups, plan.bins, 6))
    return merged([(none,), *((_by_bin(c, _bin_by_mass(c, cuts), plan),) for c in columns)])


def _bin_by_mass(c: _Columns, cuts: Any) -> Any:
    confidences, numbers = cuts
    result = np.searchsorted(confidences, c.confidence, "left")
    tied = np.flatnonzero(np.isin(c.confidence, confidences))
    equal = c.confidence[tied, None] == confidences
    result[tied] += (equal & (c.number[tied, None] >= numbers)).sum(axis=1)
    return result


# ---------------------------------------------------------------- numbers


def _numbers(table: _Table, draw: Any) -> dict[str, Any]:
    """Return all numbers, of each of the resamples for which `draw` says how often they have each group."""
    whole, by_width = _drawn(draw, table.whole), _drawn(draw, table.by_width)
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
        by_mass = _drawn(draw, table.by_mass)
        numbers["adaptive_ece"] = np.abs(by_mass[..., 3]).sum(axis=-1) / weight
        numbers["debiased_ece"] = _debiased(by_mass) / weight  # its square
    if table.by_class is not None:
        classes = table.by_class.shape[-1]
        gaps = np.abs(_drawn(draw, table.by_class)).sum(axis=(-1, -2))
        numbers["classwise_ece"] = gaps / (classes * _drawn(draw, table.class_weight))
    return numbers


def _drawn(draw: Any, table: Any) -> Any:
    """Return the sums of the resamples."""
    counts = draw(len(table))
    return (counts @ table.reshape(len(table), -1)).reshape(len(counts), *table.shape[1:])


def _values(table: _Table) -> dict[str, float]:
    """Return the numbers of the rows themselves."""
    numbers = {name: float(x[0]) for name, x in _numbers(table, lambda g: np.ones((1, g))).items()}
    if "debiased_ece" in numbers:
        numbers["debiased_ece"] = math.sqrt(max(numbers["debiased_ece"], 0.0))
    return numbers


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
    table = _table(rows, bins, groups=_GROUPS, by_mass=True, by_class=True)
    values = _values(table)
    spreads = _numbers(table, _draws(resamples, seed))
    estimates = {name: _estimate(name, values[name], spreads[name], confidence) for name in values}
    null = _null(table.cells, resamples, seed)
    estimates["null_ece"] = Estimate(null.mean(), _interval(null, confidence), null)
    return Evaluation(
        **estimates,
        rows=table.rows,
        classes=rows.classes,
        rules=_rules(bins),
        confidence=confidence,
        seed=seed,
        units=table.units,
    )


def _draws(resamples: int, seed: int) -> Callable[[int], Any]:
    """Return how often each resample has each group: the same for the same seed and number of groups."""

    @cache
    def draw(groups: int) -> Any:
        shape = (resamples, groups)
        picks = np.random.default_rng([seed, groups]).integers(0, groups, shape)
        picks += groups * np.arange(resamples)[:, None]
        return np.bincount(picks.ravel(), minlength=math.prod(shape)).reshape(shape) * 1.0

    return draw


def _estimate(name: str, value: float, resamples: Any, confidence: float) -> Estimate:
    """Return a number with its interval.

    Resampling adds the bias of a calibration error, which chance makes larger, a second time. So those resamples are
    moved to have the number as their mean.
    """
    if name == "debiased_ece":
        resamples = np.sqrt(np.maximum(resamples - resamples.mean() + value**2, 0.0))
    elif name not in ("accuracy", "nll", "brier"):
        resamples = np.maximum(resamples - resamples.mean() + value, 0.0)
    return Estimate(value, _interval(resamples, confidence), resamples)


def _interval(resamples: Any, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resamples, [tail, 1.0 - tail], method="inverted_cdf")
    return float(low), float(high)


def _null(cells: Any, resamples: int, seed: int) -> Any:
    """Return the errors of labels that are drawn from the confidences themselves."""
    bin_of = np.repeat(np.arange(len(cells) // _CELLS), _CELLS)[cells[:, 0] > 0]
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
        "probability, ties in the order of the rows)"
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


def _at_least_one(value: Any, name: str) -> int:
    number = _integer(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number
