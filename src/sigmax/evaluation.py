"""How good and how honest probabilities are: accuracy, losses, calibration errors, each with an interval."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _rows
from ._rows import Chunk, Rows
from .labels import _integer, _number
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
_GROUPS = (
    2000  # of rows, which the bootstrap resamples: the error of an interval's length is under 2 %
)
_TABLE = 2**23  # numbers in the table of the classwise error: 64 MiB


class Estimate(float):
    """A number that knows how far it may be off."""

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
        """Return everything but the resamples, in types that JSON has."""
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
        """Return self − other of each number, over the same resamples of the same rows."""
        mine, its = (
            (e.rows, e.classes, e.units, e.seed, len(e.accuracy.resamples), e.confidence)
            for e in (self, other)
        )
        if mine != its:
            raise ValueError(
                "other must be an evaluation of the same rows with the same options: (rows, classes, "
                f"groups, seed, resamples, confidence) are {mine} and {its}"
            )
        return {
            name: _estimate(float(a) - float(b), a.resamples - b.resamples, self.confidence)
            for name in _NAMES
            for a, b in [(getattr(self, name), getattr(other, name))]
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
    r"""Measure how good and how honest probabilities are."""
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
    confidence = _number(confidence, "confidence", 0.0, 1.0)
    seed = _integer(seed, "seed")
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
    r"""Measure how far confidence is from accuracy."""
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
    table = _Table.of(rows, _at_least_one(bins, "bins"), classwise=kind == "classwise")
    return float(table.statistics(None)[_KINDS[kind]])


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
    r"""Mean squared distance of probabilities and labels."""
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
    r"""Accuracy by confidence."""
    raise NotImplementedError


# ---------------------------------------------------------------- columns


@dataclass
class _Columns:
    """What the rows are worth, one number per row."""

    confidence: Any
    correct: Any
    nll: Any
    brier: Any
    weight: Any
    unit: Any  # what the bootstrap draws: the number of the row, or of its group

    @classmethod
    def of(cls, chunk: Chunk, p: Any, units: Any) -> "_Columns":
        winner = p.argmax(axis=-1)
        n = np.arange(len(p))
        if chunk.soft is None:
            correct = (winner == chunk.index).astype(np.float64)
        else:
            correct = chunk.soft[n, winner]
        unit = chunk.first + n if units is None else np.searchsorted(units, chunk.groups)
        return cls(p[n, winner], correct, _nll(chunk, p), _squares(chunk, p), chunk.weight, unit)


def _probabilities(chunk: Chunk) -> Any:
    at_one = np.ndim(chunk.temperature) == 0 and chunk.temperature == 1.0
    if chunk.probabilities is not None and at_one:
        return chunk.probabilities.astype(np.float64, copy=False)
    legal = ~np.isnan(chunk.logits).any(axis=-1)
    chunk.require(legal, "logits must not be NaN{}", [""] * len(chunk))
    return softmax(chunk.logits.astype(np.float64, copy=False), temperature=chunk.temperature)


def _nll(chunk: Chunk, p: Any) -> Any:
    labels = chunk.index if chunk.soft is None else chunk.soft
    if p is chunk.probabilities:
        return cross_entropy(p, labels, from_logits=False, reduction="none")
    x = chunk.logits.astype(np.float64, copy=False)
    return cross_entropy(x, labels, temperature=chunk.temperature, reduction="none")


def _squares(chunk: Chunk, p: Any) -> Any:
    """Return the squared distances of probabilities and labels."""
    if chunk.soft is not None:
        return ((p - chunk.soft) ** 2).sum(axis=-1)
    n = np.arange(len(p))
    of_label = p[n, chunk.index]
    return np.maximum(np.einsum("ij,ij->i", p, p) - of_label**2, 0.0) + (1.0 - of_label) ** 2


def _brier(chunk: Chunk) -> tuple[float, float]:
    return (
        _rows.total(chunk.weight * _squares(chunk, _probabilities(chunk))),
        _rows.total(chunk.weight),
    )


# ---------------------------------------------------------------- sums


@dataclass
class _Table:
    """Sums of the columns, and of probabilities less labels by class, for each group of rows.

    The sums of a resample are a product with this table: how often it has each group.
    """

    rows: int
    bins: int
    classes: int
    units: int
    sums: Any  # (groups, columns of `_split`)
    by_class: Any  # (groups, classes · bins + 1), the last the weight; None: not asked for
    cells: Any  # (3, cells): weight, weight · confidence, weight² by confidence

    @classmethod
    def of(cls, rows: Rows, bins: int, *, classwise: bool) -> "_Table":
        count, names = _count(rows)
        if count == 0:
            raise ValueError(_NOTHING)
        units = count if names is None else len(names)
        groups = min(units, _GROUPS)
        few = min(units, max(20, min(_GROUPS, _TABLE // (rows.classes * bins + 1))))
        sums = np.zeros((groups, 5 + 2 * bins))
        by_class = np.zeros((few, rows.classes * bins + 1)) if classwise else None
        cells = np.zeros((3, bins * _CELLS))
        kept = []
        for chunk in rows.chunks():
            p = _probabilities(chunk)
            columns = _Columns.of(chunk, p, names)
            kept.append(columns)
            sums += _by_width(columns, bins, groups, units)
            cells += _by_cell(columns, bins)
            if by_class is not None:
                _add_by_class(by_class, chunk, p, columns, bins, units)
        columns = _Columns(
            *(np.concatenate(parts) for parts in zip(*map(_fields, kept), strict=True))
        )
        by_mass = _by_mass(columns, bins, groups, units)
        return cls(count, bins, rows.classes, units, np.hstack([sums, by_mass]), by_class, cells)

    def statistics(self, draw: Any) -> dict[str, Any]:
        """Return all numbers: of the rows, or of resamples, from a function that draws how often each has a group."""
        sums = self.sums.sum(axis=0)[None] if draw is None else draw(len(self.sums)) @ self.sums
        result = _statistics(sums, self.bins)
        if self.by_class is not None:
            by_class = self.by_class
            table = by_class.sum(axis=0)[None] if draw is None else draw(len(by_class)) @ by_class
            gaps = np.abs(table[:, :-1]).sum(axis=1)
            result["classwise_ece"] = gaps / (self.classes * table[:, -1])
        return result if draw is not None else {name: float(x[0]) for name, x in result.items()}


def _fields(columns: _Columns) -> tuple[Any, ...]:
    return tuple(vars(columns).values())


def _count(rows: Rows) -> tuple[int, Any]:
    """Return the number of rows that count, and the distinct groups."""
    count, names = 0, None
    for chunk in rows.chunks():
        count += len(chunk)
        if chunk.groups is not None:
            new = np.unique(chunk.groups)
            names = new if names is None else np.union1d(names, new)
    return count, names


def _group(unit: Any, units: int, groups: int) -> Any:
    """Return the group of each unit: its own where there are enough, else one by a hash (splitmix64)."""
    if units <= groups:
        return unit
    x = unit.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) % np.uint64(groups)).astype(np.int64)


def _bin(confidence: Any, bins: int) -> Any:
    """Return the bin k of (k / bins, (k + 1) / bins]; the first has 0 too."""
    return np.maximum(np.searchsorted(np.arange(bins + 1) / bins, confidence, "left") - 1, 0)


def _sums_by(key: Any, size: int, *values: Any) -> Any:
    """Return the sums of values by key, values last."""
    return np.stack([np.bincount(key, v, size) for v in values], axis=-1)


def _by_width(c: _Columns, bins: int, groups: int, units: int) -> Any:
    """Return, by group, the sums of the columns, and by bin those of weights and gaps."""
    group = _group(c.unit, units, groups)
    infinite = np.isinf(c.nll)
    nll = np.where(infinite, 0.0, c.nll)
    w = c.weight
    whole = _sums_by(group, groups, w, w * c.correct, w * nll, w * c.brier, infinite)
    key = group * bins + _bin(c.confidence, bins)
    split = _sums_by(key, groups * bins, w, w * (c.confidence - c.correct))
    return np.hstack([whole, split.reshape(groups, -1)])


def _by_mass(c: _Columns, bins: int, groups: int, units: int) -> Any:
    """Return, by group and bin of equal numbers of rows, the sums for the errors."""
    order = np.argsort(c.confidence, kind="stable")
    bin_of = np.empty(len(order), np.int64)
    for k, part in enumerate(np.array_split(order, bins)):
        bin_of[part] = k
    w = c.weight
    key = _group(c.unit, units, groups) * bins + bin_of
    values = (w, w * (c.confidence - c.correct), w * c.correct, w * c.correct**2, w * w)
    return _sums_by(key, groups * bins, *values).reshape(groups, -1)


def _by_cell(c: _Columns, bins: int) -> Any:
    cell = _bin(c.confidence, bins * _CELLS)
    return _sums_by(cell, bins * _CELLS, c.weight, c.weight * c.confidence, c.weight**2).T


def _add_by_class(table: Any, chunk: Chunk, p: Any, c: _Columns, bins: int, units: int) -> None:
    groups, classes = len(table), p.shape[-1]
    group = _group(c.unit, units, groups)
    y = np.zeros_like(p) if chunk.soft is None else chunk.soft
    if chunk.soft is None:
        y[np.arange(len(p)), chunk.index] = 1.0
    cell = np.arange(classes) * bins + _bin(p, bins)
    key = group[:, None] * (classes * bins) + cell
    gaps = (c.weight[:, None] * (p - y)).ravel()
    sums = np.bincount(key.ravel(), gaps, groups * classes * bins)
    table[:, :-1] += sums.reshape(groups, -1)
    table[:, -1] += np.bincount(group, c.weight, groups)


def _statistics(sums: Any, bins: int) -> dict[str, Any]:
    """Return the numbers of each row of sums."""
    weight, correct, nll, brier, infinite = sums[:, :5].T
    width = sums[:, 5 : 5 + 2 * bins].reshape(-1, bins, 2)
    mass = sums[:, 5 + 2 * bins :].reshape(-1, bins, 5)
    gap = np.abs(width[..., 1])
    return {
        "accuracy": correct / weight,
        "nll": np.where(infinite > 0, math.inf, nll / weight),
        "brier": brier / weight,
        "ece": gap.sum(axis=1) / weight,
        "adaptive_ece": np.abs(mass[..., 1]).sum(axis=1) / weight,
        "mce": _ratio(gap, width[..., 0]).max(axis=1),
        "debiased_ece": _debiased(mass) / weight,
    }


def _debiased(mass: Any) -> Any:
    """Return the sum over the bins of weight times the square of the gap, less what chance adds to it."""
    weight, gap, correct, squares, weight_squares = np.moveaxis(mass, -1, 0)
    count = _ratio(weight**2, weight_squares)
    variance = _ratio(squares, weight) - _ratio(correct, weight) ** 2
    chance = np.where(count > 1, variance / np.maximum(count - 1, 1e-300), 0.0)
    return (weight * (_ratio(gap, weight) ** 2 - chance)).sum(axis=1)


def _ratio(a: Any, b: Any) -> Any:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


# ---------------------------------------------------------------- intervals


def _evaluation(rows: Rows, bins: int, confidence: float, resamples: int, seed: int) -> Evaluation:
    table = _Table.of(rows, bins, classwise=True)

    def draw(groups: int) -> Any:
        rng = np.random.default_rng([seed, groups])
        picks = rng.integers(0, groups, (resamples, groups))
        picks += np.arange(resamples)[:, None] * groups
        return (
            np.bincount(picks.ravel(), minlength=resamples * groups)
            .reshape(resamples, groups)
            .astype(np.float64)
        )

    numbers = table.statistics(None)
    others = table.statistics(draw)
    estimates = {}
    for name, value in numbers.items():
        spread = others[name]
        if name.endswith(("ece", "mce")):
            spread = spread - spread.mean() + value
        if name == "debiased_ece":
            value, spread = math.sqrt(max(value, 0.0)), np.sqrt(np.maximum(spread, 0.0))
        estimates[name] = _estimate(value, spread, confidence, name)
    null = _null(table, resamples, seed)
    estimates["null_ece"] = _estimate(float(null.mean()), null, confidence)
    return Evaluation(
        **estimates,
        rows=table.rows,
        classes=table.classes,
        rules=_rules(bins),
        confidence=confidence,
        seed=seed,
        units=table.units,
    )


def _null(table: _Table, resamples: int, seed: int) -> Any:
    """Return the errors that labels drawn from the confidences themselves give."""
    rng = np.random.default_rng([seed, 0])
    weight, mean, squares = table.cells[:, table.cells[0] > 0]
    mean = mean / weight
    count = np.maximum(np.rint(weight**2 / squares), 1).astype(np.int64)
    drawn = rng.binomial(count, np.minimum(mean, 1.0), (resamples, len(count))) / count
    gaps = weight * (mean - drawn)
    bin_of = np.flatnonzero(table.cells[0] > 0) // _CELLS
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    return np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(axis=1) / weight.sum()


def _estimate(value: float, resamples: Any, confidence: float, name: str = "") -> Estimate:
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resamples, [tail, 1.0 - tail], method="inverted_cdf")
    if name.endswith(("ece", "mce")):
        low, high = max(low, 0.0), max(high, 0.0)
    return Estimate(value, (float(low), float(high)), resamples)


def _rules(bins: int) -> dict[str, str]:
    return dict.fromkeys(_NAMES, f"{bins} bins")


def _at_least_one(value: Any, name: str) -> int:
    number = _integer(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


_CELLS = 64  # of confidence in a bin, for the null error
_KINDS = {
    "ece": "ece",
    "adaptive": "adaptive_ece",
    "classwise": "classwise_ece",
    "max": "mce",
    "debiased": "debiased_ece",
}
_NOTHING = "logits must have a row that counts: all are ignored or have weight 0"
