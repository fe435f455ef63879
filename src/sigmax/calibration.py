"""Calibration: the temperature, or a scale and a bias per class, that makes probabilities honest."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _rows
from ._rows import Chunk, Rows
from .labels import _number
from .losses import cross_entropy
from .normalization import _real, softmax

__all__ = ["TemperatureFit", "VectorScalingFit", "fit_temperature", "fit_vector_scaling"]

Status = Literal["ok", "separable", "chance", "flat", "single_class", "empty"]


@dataclass(frozen=True)
class TemperatureFit:
    temperature: float
    interval: tuple[float, float]
    nll_before: float
    nll_after: float
    status: Status
    message: str
    iterations: int
    rows: int

    def apply(self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True) -> Any:
        """Return the probabilities of these logits at the fitted temperature."""
        if self.status != "ok":
            raise ValueError(self.message)
        x = _real(logits, "logits")
        if not from_logits:
            with np.errstate(divide="ignore"):
                x = np.log(x)
        return softmax(x, axis, temperature=self.temperature)


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float | Literal["laplace"] = 0.0,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    confidence: float = 0.95,
) -> TemperatureFit:
    r"""Find the temperature that makes the labels most likely."""
    rows = _rows.rows(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    confidence = _number(confidence, "confidence", 0.0, 1.0)
    smoothing = None if label_smoothing == "laplace" else _smoothing(label_smoothing)
    start = _survey(rows)
    if smoothing is None:
        smoothing = 1.0 / (start.rows + 1)
    status, message = _diagnosis(start, smoothing)
    if status != "ok":
        temperature = {"separable": 0.0, "chance": math.inf}.get(status, math.nan)
        none = (math.nan, math.nan)
        before = start.nll
        return TemperatureFit(temperature, none, before, math.nan, status, message, 0, start.rows)
    b, error, iterations = _newton(rows, smoothing, start.rows)
    temperature = 1.0 / b
    factor = math.exp(NormalDist().inv_cdf(0.5 + confidence / 2) * error)
    after = _mean_nll(rows, temperature)
    low, high = temperature / factor, temperature * factor
    message = f"temperature {temperature:.6g} ({low:.6g} to {high:.6g}) over {start.rows} rows"
    return TemperatureFit(
        temperature, (low, high), start.nll, after, "ok", message, iterations, start.rows
    )


# ---------------------------------------------------------------- diagnosis


@dataclass
class _Start:
    """What the first pass finds out, before anything is fitted."""

    rows: int
    classes: int
    counts: Any  # the weight of each class among the labels
    wrong: int  # rows whose label is not the winner
    flat: int  # rows of equal logits
    slope: float  # f'(0)
    steepness: float  # the sum of its terms' absolute values
    nll: float  # the mean of the losses at temperature 1


def _survey(rows: Rows) -> _Start:
    count, counts, wrong, flat, slope, steepness, nll, mass = rows.sum(_first_look)
    mean = float(nll / mass) if mass else math.nan
    return _Start(int(count), rows.classes, counts, int(wrong), int(flat), slope, steepness, mean)


def _first_look(chunk: Chunk) -> tuple[Any, ...]:
    z = chunk.logits
    if len(chunk) == 0:
        return (0.0, np.zeros(z.shape[-1]), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    label = _Label.of(chunk)
    finite = z > -np.inf
    mean = _mean(z, finite)
    low = np.where(finite, z, np.inf).min(axis=-1)
    terms = label.weight * (mean - label.logit)
    counts = (
        np.bincount(chunk.index, chunk.weight, z.shape[-1])
        if chunk.soft is None
        else chunk.weight @ chunk.soft
    )
    return (
        len(chunk),
        counts,
        np.count_nonzero(label.gap > 0),
        np.count_nonzero(low == label.top),
        _rows.total(terms),
        np.abs(terms).sum(),
        *_nll(chunk, 1.0),
    )


def _diagnosis(start: _Start, smoothing: float) -> tuple[Status, str]:
    n = start.rows
    if n == 0:
        return "empty", "No rows are left to fit: all are ignored or have weight 0."
    if start.classes == 1:
        return "single_class", "The logits have a single class, whose probability is always 1."
    if np.count_nonzero(start.counts) == 1:
        k = int(np.argmax(start.counts))
        return "single_class", (
            f"All {n} rows have the label {k}: a temperature needs rows of at least two classes."
        )
    if start.flat == n:
        return "flat", f"All {n} rows have equal logits, which no temperature changes."
    if start.wrong == 0 and smoothing == 0:
        return "separable", (
            f"The label has the largest logit in all {n} rows, so the best temperature is 0 (always certain): "
            "fit on more rows, or pass label_smoothing='laplace'."
        )
    if -start.slope * (1 - smoothing) <= 2.0**-40 * start.steepness:
        return "chance", (
            f"The logits of the labels are no higher than the others' on average over {n} rows (by "
            f"{-start.slope / start.counts.sum():.3g}), so the best temperature is infinite (always uniform): "
            "check that logits and labels belong together."
        )
    return "ok", ""


# ---------------------------------------------------------------- the fit


def _newton(rows: Rows, smoothing: float, count: int) -> tuple[float, float, int]:
    """Return the root b of f', the standard error of log b, and the number of passes."""
    b, low, high = 1.0, 0.0, math.inf
    iterations, done = 0, False
    while not done:
        iterations += 1
        slope, curvature, spread = (float(s) for s in rows.sum(_moments, b, smoothing))
        if slope < 0:
            low = b
        else:
            high = b
        new = b - slope / curvature if curvature > 0 else math.inf
        if not low < new < high and abs(new - b) > 1e-9 * b:
            new = _between(low, high, b)
        done = abs(new - b) <= 1e-9 * b  # Newton's error is of the order of the square
        b = new
    spread *= count / (count - 1) if count > 1 else math.inf
    return b, math.sqrt(spread) / (curvature * b), iterations


def _between(low: float, high: float, b: float) -> float:
    if high == math.inf:
        return 4.0 * b
    return math.sqrt(low * high) if low > 0 else high / 8.0


def _moments(chunk: Chunk, b: float, smoothing: float) -> tuple[float, float, float]:
    """Return f', f'' and the sum of the squares of the terms of f'."""
    if len(chunk) == 0:
        return 0.0, 0.0, 0.0
    label = _Label.of(chunk)
    r = label.logit
    if smoothing:
        r = r + smoothing * (_mean(chunk.logits, chunk.logits > -np.inf) - r)
    first, second = logit_moments(chunk.logits, b, r)
    return (
        _rows.total(label.weight * first),
        _rows.total(label.weight * np.maximum(second - first * first, 0.0)),
        _rows.total((label.weight * first) ** 2),
    )


def logit_moments(z: Any, b: float, r: Any) -> tuple[Any, Any]:
    """Return E[z − r] and E[(z − r)²] of each row, under softmax(b·z)."""
    d = np.asarray(z, np.float64) - r[:, None]
    p = softmax(np.asarray(z, np.float64), temperature=1.0 / b)
    d = np.where(p > 0, d, 0.0)
    return (p * d).sum(axis=-1), (p * d * d).sum(axis=-1)


@dataclass
class _Label:
    """What the labels say of each row."""

    top: Any  # the largest logit
    gap: Any  # how far the label's logit is below it
    logit: Any  # the logit of the label, for a distribution its mean
    weight: Any  # s·Σ q

    @classmethod
    def of(cls, chunk: Chunk) -> "_Label":
        z = chunk.logits
        top = z.max(axis=-1).astype(np.float64)
        if not (top < np.inf).all():
            chunk.require_classes(z < np.inf, "logits must be finite or -inf", z)
        if chunk.soft is None:
            logit = z[np.arange(len(z)), chunk.index].astype(np.float64)
            gap, weight = top - logit, chunk.weight
        else:
            with np.errstate(invalid="ignore"):
                gaps = np.where(chunk.soft > 0, chunk.soft * (top[:, None] - z), 0.0)
            mass = chunk.soft.sum(axis=-1)
            gap, weight = gaps.sum(axis=-1) / mass, chunk.weight * mass
            logit = top - gap
        if not np.isfinite(gap).all():
            _refuse_label(chunk)
        return cls(top, gap, logit, weight)


def _refuse_label(chunk: Chunk) -> None:
    masked = chunk.logits == -np.inf
    if chunk.soft is None:
        label = chunk.index
        legal = ~masked[np.arange(len(masked)), label]
    else:
        wrong = masked & (chunk.soft > 0)
        label, legal = np.argmax(wrong, axis=-1), ~wrong.any(axis=-1)
    message = "labels must not be of a masked class (logit -inf, probability 0)"
    chunk.require(legal, message, label)


def _mean(z: Any, finite: Any) -> Any:
    """Return the mean of the finite logits of each row."""
    if finite.all():
        return z.mean(axis=-1, dtype=np.float64)
    count = np.maximum(finite.sum(axis=-1), 1)
    return np.where(finite, z, 0.0).sum(axis=-1, dtype=np.float64) / count


def _nll(chunk: Chunk, temperature: float) -> tuple[Any, Any]:
    """Return the sum of the losses, and what a mean divides it by."""
    z = chunk.logits
    labels = chunk.index if chunk.soft is None else chunk.soft
    if chunk.soft is not None:
        z = z.astype(np.float64)
    losses = cross_entropy(z, labels, temperature=temperature, reduction="none")
    mass = chunk.weight if chunk.soft is None else chunk.weight * chunk.soft.sum(axis=-1)
    return _rows.total(chunk.weight * losses), mass.sum()


def _mean_nll(rows: Rows, temperature: float) -> float:
    total, mass = rows.sum(_nll, temperature)
    return float(total / mass)


def _smoothing(value: Any) -> float:
    return _number(value, "label_smoothing", 0.0, 1.0)


# ---------------------------------------------------------------- vector scaling


@dataclass(frozen=True)
class VectorScalingFit:
    scale: np.ndarray
    bias: np.ndarray
    nll_before: float
    nll_after: float
    status: str
    message: str
    iterations: int
    rows: int

    def apply(self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True) -> Any:
        raise NotImplementedError


def fit_vector_scaling(*_: Any, **__: Any) -> VectorScalingFit:
    raise NotImplementedError
