"""What a loss is made of: miscalibration, which can be repaired, discrimination, and the uncertainty of the labels."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._numbers import like_rows
from ._rows import Chunk
from ._tables import NOTHING, answers_of, losses_of, numbers_of, probabilities, squares_of
from .binary_fits import pooled, steps, tied
from .calibration import class_weights, fit_temperature, fit_vector_scaling
from .evaluation import Estimate
from .normalization import softmax

__all__ = ["CorpCurve", "Decomposition", "corp_curve", "decompose"]

Loss = Literal["nll", "brier"]
_CELLS = 4096  # of equal numbers of rows, in which labels are drawn
_BINS = 20  # in which a fall is looked for
_SURE = 0.01  # so rarely a rising curve is said to fall


# ---------------------------------------------------------------- the decomposition


@dataclass(frozen=True)
class Decomposition:
    """What :func:`decompose` finds: loss = miscalibration − discrimination + uncertainty.

    Attributes
    ----------
    loss : float
        The mean loss.
    miscalibration : float
        What the best recalibration of these rows takes away.
    discrimination : float
        What is better than always saying how often each class is the label, after it.
    uncertainty : float
        The loss of always saying that.
    null_miscalibration : Estimate
        What chance makes a perfectly calibrated model of as many rows show, with ``"isotonic"``; else NaN.
    name, method : str
        Of the loss, and of the recalibration.
    rows : int
    """

    loss: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    null_miscalibration: Estimate
    name: str
    method: str
    rows: int


@in_exact_arithmetic
def decompose(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    loss: Loss = "nll",
    method: Literal["isotonic", "temperature", "vector"] | None = None,
    from_logits: bool = True,
    temperature: float = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Decomposition:
    r"""Split a loss into what calibration would repair, what the model tells apart, and what nobody knows.

    .. math:: S(p) = \underbrace{S(p) - S(\hat p)}_{\text{miscalibration}}
        - \underbrace{(S(\bar q) - S(\hat p))}_{\text{discrimination}} + \underbrace{S(\bar q)}_{\text{uncertainty}}

    with the recalibrated probabilities p̂, and the share q̄ of each class among the labels.

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`; one temperature for all.
    loss : {"nll", "brier"}
        As in :func:`evaluate`.
    method : {"isotonic", "temperature", "vector"}, optional
        How p̂ is made, on the same rows. Of two classes ``"isotonic"`` unless given (CORP): no rising function of p has
        a smaller loss. Of more ``"temperature"``; with both others the Brier score's miscalibration can be negative,
        as they minimise the NLL.
    confidence, resamples, seed
        Of ``null_miscalibration``.

    Returns
    -------
    Decomposition
        The three terms add up to the loss within 1e-12 of the largest. Largest error: as for :func:`evaluate`, from
        probabilities within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Bröcker, J. (2009). Reliability, sufficiency, and the decomposition of proper scores. doi:10.1002/qj.456.
    Dimitriadis, T., Gneiting, T., Jordan, A. (2021). Stable reliability diagrams for probabilistic classifiers.
    doi:10.1073/pnas.2016191118.

    Examples
    --------
    >>> import sigmax
    >>> p = [0.9, 0.9, 0.9, 0.9, 0.2, 0.2]
    >>> parts = sigmax.decompose(p, [1, 1, 1, 0, 0, 0], from_logits=False, loss="brier")
    >>> print(round(parts.miscalibration, 6), round(parts.discrimination, 6), round(parts.uncertainty, 6))
    0.056667 0.25 0.5
    """
    _arguments.choice(loss, "loss", ("nll", "brier"))
    temperature = _arguments.temperatures(temperature, ())
    rows = _rows.rows_of(locals())
    if method is None:
        method = "isotonic" if rows.classes == 2 else "temperature"
    _arguments.choice(method, "method", ("isotonic", "temperature", "vector"))
    level, seed = _arguments.confidence(confidence), _arguments.integer(seed, "seed", 0)
    resamples = _arguments.count(resamples, "resamples")
    count, weight, value, shares = rows.sum(_means, loss)
    if not count:
        raise ValueError(NOTHING)
    share = shares / weight
    uncertainty = _of_shares(share, loss)
    null = Estimate(math.nan)
    if method == "isotonic":
        if rows.classes != 2:
            raise ValueError(f"method='isotonic' is for two classes, got {rows.classes}")
        p, y, s = rows.collect(_of_class_1)
        recalibrated = _isotonic_loss(p, y, s, loss)
        drawn = _null(p, s, loss, resamples, seed)
        null = Estimate(float(drawn.mean()), _intervals.percentiles(drawn, level), drawn)
    else:
        options: dict[str, Any] = {
            "from_logits": from_logits,
            "sample_weight": sample_weight,
            "ignore_index": ignore_index,
            "where": where,
            "multilabel": multilabel,
        }
        make = fit_temperature if method == "temperature" else fit_vector_scaling
        fit: Any = make(logits, labels, axis, **options)
        total = value
        if fit.status == "ok":
            scale = 1.0 / fit.temperature if method == "temperature" else fit.scale
            total, _ = rows.sum(_recalibrated, scale, getattr(fit, "bias", 0.0), loss)
        recalibrated = float(total / weight)
    mean = float(value / weight)
    return Decomposition(
        mean,
        mean - recalibrated,
        uncertainty - recalibrated,
        uncertainty,
        null,
        loss,
        method,
        int(count),
    )


def _means(chunk: Chunk, loss: str) -> tuple[Any, ...]:
    """Return the sums of the rows, their weights, their losses, and the weight of each class."""
    weight = chunk.weight
    _, _, losses, squares = numbers_of(chunk)
    each = losses if loss == "nll" else squares
    shares = class_weights(chunk)
    return len(chunk), _rows.total(weight), _rows.total(weight * each), shares


def _of_shares(share: Any, loss: str) -> float:
    some = share[share > 0]
    return float(-(some * np.log(some)).sum() if loss == "nll" else 1.0 - (share**2).sum())


def _recalibrated(chunk: Chunk, scale: Any, bias: Any, loss: str) -> tuple[Any, Any]:
    z = chunk.logits.astype(np.float64)
    possible = z > -np.inf
    chunk.logits = np.where(possible, scale * np.where(possible, z, 0.0) + bias, -np.inf)
    chunk.probabilities, chunk.temperature = None, 1.0
    each = losses_of(chunk) if loss == "nll" else squares_of(chunk, softmax(chunk.logits))
    return _rows.total(chunk.weight * each), _rows.total(chunk.weight)


def _of_class_1(chunk: Chunk) -> tuple[Any, Any, Any]:
    y = chunk.index if chunk.soft is None else chunk.soft[:, 1]
    return probabilities(chunk)[:, 1].astype(np.float64), y.astype(np.float64), chunk.weight


def _isotonic_loss(p: Any, y: Any, weight: Any, loss: str) -> float:
    points, values = steps(p, y, weight)
    q = values[np.searchsorted(points, p)]
    return float(_loss_of(q, y, loss) @ weight / weight.sum())


def _loss_of(q: Any, y: Any, loss: str) -> Any:
    """Return the mean loss of q where a share y of the rows has the label 1; of the Brier score, of one row."""
    if loss == "brier":
        return 2 * (q - y) ** 2
    of_1, of_0 = np.where(y > 0, y * np.log(q), 0.0), np.where(y < 1, (1 - y) * np.log1p(-q), 0.0)
    return -(of_1 + of_0)


def _cells(p: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Return the mean probability of cells of rows in order, the rows that their weights count as, and the weight."""
    points, mean, mass = tied(p, p, weight)
    squares = tied(p, weight, weight)[1] * mass  # Σ s²
    order = np.arange(len(points)) * _CELLS // max(len(points), _CELLS)
    total = np.bincount(order, mass)
    return (
        np.bincount(order, mass * mean) / total,
        like_rows(total, np.bincount(order, squares)),
        total,
    )


def _null(p: Any, weight: Any, loss: str, resamples: int, seed: int) -> Any:
    """Return the miscalibrations of labels that are drawn from the probabilities."""
    mean, count, mass = _cells(p, weight)
    drawn = (
        np.random.default_rng([seed, 4]).binomial(
            count.astype(np.int64), np.clip(mean, 0, 1), (resamples, len(mean))
        )
        / count
    )
    result = []
    for y in drawn:
        q = _risen(y, mass)
        change = _loss_of(mean, y, loss) - _loss_of(
            q, y, loss
        )  # what does not depend on them cancels
        result.append(float(change @ mass / mass.sum()))
    return np.array(result)


def _risen(mean: Any, mass: Any) -> Any:
    start = pooled(mean, mass)
    height = np.add.reduceat(mean * mass, start) / np.add.reduceat(mass, start)
    return np.repeat(height, np.diff(np.append(start, len(mean))))


# ---------------------------------------------------------------- the diagram


@dataclass(frozen=True)
class CorpCurve:
    """What :func:`corp_curve` finds.

    Attributes
    ----------
    confidence, calibrated : ndarray
        The ends of the steps: probabilities as given, and what they should be.
    grid, lower, upper : ndarray
        Between which a perfectly calibrated model's curve is, at these probabilities.
    miscalibration : float
        Of the Brier score of the event, (p − y)².
    falls : bool
        Whether the share of events falls somewhere as the probability rises, beyond chance. A rising curve cannot show
        that: it is too flat there, and the miscalibration too small.
    message : str
        The warning, or "".
    rows : int
    """

    confidence: np.ndarray
    calibrated: np.ndarray
    grid: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    miscalibration: float
    falls: bool
    message: str
    rows: int


@in_exact_arithmetic
def corp_curve(
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
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> CorpCurve:
    r"""Measure accuracy by confidence without bins: the rising curve that fits best, with what chance makes of it.

    .. math:: \hat f = \operatorname{arg\,min}_{f \text{ rising}} \sum_n s_n \, (y_n - f(p_n))^2

    Of yes-or-no questions p is the probability of class 1 and y the label; else p is that of the winner, and y whether
    it is the label.

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`.
    confidence, resamples, seed
        Of the band: labels are drawn from the probabilities themselves.

    Returns
    -------
    CorpCurve
        Largest error: as for :func:`evaluate`, from probabilities within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Dimitriadis, T., Gneiting, T., Jordan, A. (2021). Stable reliability diagrams for probabilistic classifiers.
    doi:10.1073/pnas.2016191118.

    Examples
    --------
    >>> import sigmax
    >>> curve = sigmax.corp_curve([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], from_logits=False)
    >>> print(curve.confidence, curve.calibrated)
    [0.2 0.2 0.4 0.6 0.8 0.8] [0.  0.  0.5 0.5 1.  1. ]
    """
    rows = _rows.rows_of(locals())
    level, seed = _arguments.confidence(confidence), _arguments.integer(seed, "seed", 0)
    resamples = _arguments.count(resamples, "resamples")
    p, y, weight = rows.collect(_of_class_1 if rows.binary else _of_winner)
    if len(p) == 0:
        raise ValueError(NOTHING)
    points, values = steps(p, y, weight)
    fitted = values[np.searchsorted(points, p)]
    change = (p - y) ** 2 - (fitted - y) ** 2
    grid, lower, upper = _band(p, weight, level, resamples, seed)
    chance = _chance_of_fall(p, y, weight, seed)
    falls = chance < _SURE
    message = (
        "The share of events falls somewhere as the probability rises, beyond chance: the rising curve is too flat "
        "there, and hides part of the miscalibration."
        if falls
        else ""
    )
    return CorpCurve(
        points,
        values,
        grid,
        lower,
        upper,
        float(change @ weight / weight.sum()),
        bool(falls),
        message,
        len(p),
    )


def _of_winner(chunk: Chunk) -> tuple[Any, Any, Any]:
    sure, right = answers_of(chunk)
    return sure, right * 1.0, chunk.weight


def _band(p: Any, weight: Any, level: float, resamples: int, seed: int) -> tuple[Any, Any, Any]:
    mean, count, mass = _cells(p, weight)
    rng = np.random.default_rng([seed, 5])
    drawn = (
        rng.binomial(count.astype(np.int64), np.clip(mean, 0, 1), (resamples, len(mean))) / count
    )
    chosen = np.unique(np.linspace(0, len(mean) - 1, min(len(mean), 100)).astype(int))
    curves = np.stack([_risen(y, mass)[chosen] for y in drawn])
    tail = (1 - level) / 2
    lower, upper = np.quantile(curves, [tail, 1 - tail], axis=0)
    return mean[chosen], lower, upper


def _chance_of_fall(p: Any, y: Any, weight: Any, seed: int) -> float:
    """Return how often a rising curve would leave gaps to the shares of bins as large as these."""
    order = np.argsort(p, kind="stable")
    bins = max(1, min(_BINS, len(p) // 25))
    of = np.empty(len(p), np.int64)
    of[order] = np.arange(len(p)) * bins // len(p)
    mass, squares, total = (np.bincount(of, x) for x in (weight, weight**2, weight * y))
    share = total / mass
    risen, count = _risen(share, mass), like_rows(mass, squares).astype(np.int64)
    seen = (mass * (share - risen) ** 2).sum()
    if not seen > 1e-12 * mass.sum():
        return 1.0
    drawn = (
        np.random.default_rng([seed, 6]).binomial(count, np.clip(risen, 0, 1), (999, bins)) / count
    )
    by_chance = [(mass * (x - _risen(x, mass)) ** 2).sum() for x in drawn]
    return (1 + np.count_nonzero(np.array(by_chance) >= seen)) / 1000
