"""Calibration of yes-or-no questions by more than a temperature: a bias too, a curve, or any rising steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals
from ._arguments import in_exact_arithmetic
from ._questions import as_given, columns, logits_of, questions
from ._rows import Chunk, Rows
from .binary_cross_entropy import binary_cross_entropy
from .calibration import smoothing_of
from .elementwise import sigmoid, softplus

__all__ = [
    "BetaFit",
    "IsotonicFit",
    "LabelFits",
    "PlattFit",
    "fit_beta",
    "fit_isotonic",
    "fit_per_label",
    "fit_platt",
]

BinaryStatus = Literal["ok", "separable", "chance", "flat", "single_class", "empty"]


@dataclass(frozen=True)
class _Fit:
    nll_before: float
    nll_after: float
    status: BinaryStatus
    message: str
    rows: int

    @in_exact_arithmetic
    def apply(self, logits: ArrayLike, *, from_logits: bool = True) -> Any:
        """Return the probability of class 1 for each of these logits (or probabilities), in their shape.

        Raises ValueError, with the message, unless the status is "ok".
        """
        if self.status != "ok":
            raise ValueError(self.message)
        x = _arguments.numpy_array(_arguments.real(logits, "logits"), "logits")
        if not _arguments.flag(from_logits, "from_logits"):
            x = _arguments.probabilities(x, "logits")
        return self._probabilities(x.astype(np.float64), from_logits).astype(x.dtype)

    def _probabilities(self, x: Any, from_logits: bool) -> Any:
        return self._of_logits(x if from_logits else np.log(x) - np.log1p(-x))

    def _of_logits(self, z: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class PlattFit(_Fit):
    """What :func:`fit_platt` finds: p = sigmoid(scale · x + bias).

    Attributes
    ----------
    scale, bias : float
        NaN where there are none to apply.
    scale_interval, bias_interval : (float, float)
        With the confidence that was asked for, whether or not the model is right (Huber's sandwich).
    nll_before, nll_after, status, message, rows
        Mean negative log-likelihood of the labels as given, without and with them; whether there is a best scale, or
        why not: "ok", "separable", "chance", "flat", "single_class" or "empty"; the same in a sentence, with numbers;
        questions that count.
    """

    scale: float = math.nan
    bias: float = math.nan
    scale_interval: tuple[float, float] = (math.nan, math.nan)
    bias_interval: tuple[float, float] = (math.nan, math.nan)

    def _of_logits(self, z: Any) -> Any:
        return sigmoid(self.scale * z + self.bias)


@dataclass(frozen=True)
class BetaFit(_Fit):
    """What :func:`fit_beta` finds: log(p / (1 − p)) = a · log q − b · log(1 − q) + c, of the probability q given.

    Attributes
    ----------
    a, b, c : float
        a and b are not negative; NaN where there are none to apply.
    nll_before, nll_after, status, message, rows
        As for :class:`PlattFit`.
    """

    a: float = math.nan
    b: float = math.nan
    c: float = math.nan

    def _of_logits(self, z: Any) -> Any:
        log_odds = np.full_like(z, self.c)
        for factor, feature in ((self.a, -softplus(-z)), (self.b, softplus(z))):
            if factor:
                log_odds += factor * feature
        return sigmoid(log_odds)


@dataclass(frozen=True)
class IsotonicFit(_Fit):
    """What :func:`fit_isotonic` finds: steps that rise, and lines from each to the next.

    Attributes
    ----------
    points, values : ndarray
        Where each step begins and ends, and its height. The points are logits, or probabilities if such were fitted.
    from_logits : bool
        Which of them they are.
    nll_before, nll_after, status, message, rows
        As for :class:`PlattFit`; ``nll_after`` may be 0 of rows whose next ones are infinite: smooth the labels.
    """

    points: Any = ()
    values: Any = ()
    from_logits: bool = True

    def _probabilities(self, x: Any, from_logits: bool) -> Any:
        if from_logits != self.from_logits:
            x = sigmoid(x) if from_logits else np.log(x) - np.log1p(-x)
        return np.where(np.isnan(x), np.nan, np.interp(x, self.points, self.values))


# ---------------------------------------------------------------- fits


@in_exact_arithmetic
def fit_platt(
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
    multilabel: bool = False,
    confidence: float = 0.95,
) -> PlattFit:
    r"""Find the scale and the bias at which the labels of yes-or-no questions are most likely.

    .. math:: p = \sigma(a x + c), \quad
        \min_{a, c} \; \sum_n s_n \, [\, q_n (-\log p_n) + (1 - q_n) (-\log(1 - p_n)) \,]

    Parameters
    ----------
    logits : array_like of real numbers, shape (N,), or any with ``multilabel=True``
        The logits of class 1 against class 0, or its probabilities with ``from_logits=False``. NumPy or Dask.
    labels : array_like, shape of ``logits``
        0 or 1, or in between the probability q of class 1.
    axis, from_logits, sample_weight, label_smoothing, ignore_index, where, multilabel, confidence
        As for :func:`fit_temperature`. Platt's own targets are near ``label_smoothing="laplace"``.

    Returns
    -------
    PlattFit
        Largest error of scale and bias: 1e-9 of their standard errors (not in ULP: how close the minimum is depends on
        the data).

    Raises
    ------
    TypeError, ValueError
        As for :func:`fit_temperature`; logits of -inf and +inf, probabilities of 0 and 1, have no place on a line and
        are refused. Data without a best scale are no error: see ``status``.

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood
    methods. https://api.semanticscholar.org/CorpusID:56563878.

    Examples
    --------
    >>> import sigmax
    >>> fit = sigmax.fit_platt([2.0, 2.0, 2.0, 2.0, -2.0, -2.0], [1, 1, 1, 0, 1, 0])
    >>> print(round(fit.scale, 6), round(fit.bias, 6))      # log 3 at 2, log 1 at -2
    0.274653 0.549306
    >>> print(fit.apply([2.0, -2.0]).round(12))
    [0.75 0.5 ]
    """
    rows = questions(locals())
    look = _look(rows)
    smoothing = smoothing_of(label_smoothing, look.rows)
    confidence = _arguments.confidence(confidence)
    status, message = _diagnosis(look, smoothing)
    if status == "ok":
        theta, covariance = _logistic(rows, _line, 2, smoothing)
        if theta[0] <= 0:
            status, message = "chance", _no_better(look.rows, theta[0])
    if status != "ok":
        return PlattFit(look.nll, math.nan, status, message, look.rows)
    after = _mean_loss(rows, _line, theta)
    z = _intervals.quantile(confidence)
    half = z * np.sqrt(np.diag(covariance))
    (low, high), of_bias = ((float(t - h), float(t + h)) for t, h in zip(theta, half, strict=True))
    message = (
        f"The best scale is {theta[0]:.4g} ({low:.4g} to {high:.4g}), the best bias {theta[1]:.4g} "
        f"({of_bias[0]:.4g} to {of_bias[1]:.4g}) over {look.rows} rows."
    )
    fit = float(theta[0]), float(theta[1])
    return PlattFit(look.nll, after, "ok", message, look.rows, *fit, (low, high), of_bias)


@in_exact_arithmetic
def fit_beta(
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
    multilabel: bool = False,
) -> BetaFit:
    r"""Find the curve of the beta family at which the labels of yes-or-no questions are most likely.

    .. math:: \log \frac{p}{1 - p} = a \log q - b \log(1 - q) + c, \quad a, b \ge 0

    q is the probability that the logits say. With a = b it is Platt's line; a ≠ b bends one end of it.

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, label_smoothing, ignore_index, where, multilabel
        As for :func:`fit_platt`.

    Returns
    -------
    BetaFit
        Largest error of a, b and c: 1e-9 of their standard errors (not in ULP, as for :func:`fit_platt`).

    Raises
    ------
    TypeError, ValueError
        As for :func:`fit_platt`.

    References
    ----------
    Kull, M., Silva Filho, T., Flach, P. (2017). Beta calibration: a well-founded and easily implemented improvement on
    logistic calibration for binary classifiers. https://proceedings.mlr.press/v54/kull17a.html.

    Examples
    --------
    >>> import sigmax
    >>> p = [0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.1, 0.1, 0.1]
    >>> fit = sigmax.fit_beta(p, [1, 1, 1, 0, 1, 0, 1, 0, 0], from_logits=False)
    >>> fit.apply([0.9, 0.5, 0.1], from_logits=False).round(6)      # 3 of 4, 1 of 2, 1 of 3
    array([0.75    , 0.5     , 0.333333])
    """
    rows = questions(locals())
    look = _look(rows)
    smoothing = smoothing_of(label_smoothing, look.rows)
    status, message = _diagnosis(look, smoothing)
    theta = np.zeros(3)
    if status == "ok":
        theta = _best_beta(rows, smoothing)
        if not theta[:2].any():
            status, message = "chance", _no_better(look.rows, 0.0)
    if status != "ok":
        return BetaFit(look.nll, math.nan, status, message, look.rows)
    after = _mean_loss(rows, _curve, theta)
    a, b, c = map(float, theta)
    message = f"The best a, b and c are {a:.4g}, {b:.4g} and {c:.4g} over {look.rows} rows."
    return BetaFit(look.nll, after, "ok", message, look.rows, a, b, c)


@in_exact_arithmetic
def fit_isotonic(
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
    multilabel: bool = False,
) -> IsotonicFit:
    r"""Find the rising function at which the labels of yes-or-no questions are most likely.

    .. math:: \min_{f \text{ rising}} \; \sum_n s_n \, (q_n - f(x_n))^2

    The same f has the smallest Brier score and the smallest NLL of all. It needs all logits at once: 32 bytes a row.

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, label_smoothing, ignore_index, where, multilabel
        As for :func:`fit_platt`; ±inf, and probabilities of 0 and 1, are welcome with ``from_logits=False``.

    Returns
    -------
    IsotonicFit
        Largest error of a value: that of a mean of float64 numbers, some ULP. Between steps it is on a line, in logits
        or in probabilities, whichever were given; outside of them it stays as at the ends.

    Raises
    ------
    TypeError, ValueError
        As for :func:`fit_platt`.

    References
    ----------
    Zadrozny, B., Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability estimates.
    doi:10.1145/775047.775151.
    Ayer, M. et al. (1955). An empirical distribution function for sampling with incomplete information.
    doi:10.1214/aoms/1177728423.

    Examples
    --------
    >>> import sigmax
    >>> fit = sigmax.fit_isotonic([-1.0, 0.0, 1.0, 2.0], [0, 1, 0, 1])
    >>> fit.apply([-1.0, 0.0, 1.0, 1.5, 2.0])
    array([0.  , 0.5 , 0.5 , 0.75, 1.  ])
    """
    rows = questions(locals())
    look = _look(rows, finite=rows.from_logits)
    smoothing = smoothing_of(label_smoothing, look.rows)
    status, message = _diagnosis(look, smoothing)
    if status != "ok":
        return IsotonicFit(look.nll, math.nan, status, message, look.rows)
    x, y, weight = rows.collect(as_given)
    points, values = steps(x, _smoothed(y, smoothing), weight)
    if len(values) == 2:  # one step, which is flat
        return IsotonicFit(look.nll, math.nan, "chance", _no_better(look.rows, 0.0), look.rows)
    after = binary_cross_entropy(
        np.interp(x, points, values), y, from_logits=False, sample_weight=weight
    )
    message = (
        f"{len(values) // 2} steps from {values[0]:.4g} to {values[-1]:.4g} over {look.rows} rows."
    )
    parts = points, values, rows.from_logits
    return IsotonicFit(look.nll, float(after), "ok", message, look.rows, *parts)


# ---------------------------------------------------------------- one for each label


@dataclass(frozen=True)
class LabelFits:
    """What :func:`fit_per_label` finds.

    Attributes
    ----------
    fits : tuple
        One for each label.
    axis : int
        The axis of the labels.
    """

    fits: tuple[Any, ...]
    axis: int

    @property
    def refused(self) -> dict[int, str]:
        """The labels that have no best fit, and why not."""
        return {k: fit.message for k, fit in enumerate(self.fits) if fit.status != "ok"}

    @in_exact_arithmetic
    def apply(self, logits: ArrayLike, *, from_logits: bool = True) -> Any:
        """Return the probability of each label, in the shape of the logits.

        Labels without a best fit keep the probability that they have.
        """
        x = _arguments.numpy_array(_arguments.real(logits, "logits"), "logits")
        moved = np.moveaxis(x, _arguments.class_axis(self.axis, x.ndim), -1)
        if moved.shape[-1] != len(self.fits):
            raise ValueError(
                f"logits must have {len(self.fits)} labels along the axis, got {moved.shape[-1]}"
            )
        result = np.empty_like(moved)
        for k, fit in enumerate(self.fits):
            own = moved[..., k]
            if fit.status == "ok":
                result[..., k] = fit.apply(own, from_logits=from_logits)
            else:
                result[..., k] = sigmoid(own) if from_logits else own
        return np.moveaxis(result, -1, self.axis)


def fit_per_label(
    fit: Callable[..., Any],
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    **options: Any,
) -> LabelFits:
    r"""Fit each label of a multi-label classifier for itself.

    .. math:: \mathrm{fit}_k = \mathrm{fit}(x_{\cdot k}, y_{\cdot k})

    Parameters
    ----------
    fit : function
        ``fit_temperature``, ``fit_platt``, ``fit_beta``, ``fit_isotonic``: of one-dimensional logits and labels.
    logits, labels : array_like, shape (..., L, ...)
        Of each sample and label, as with ``multilabel=True``.
    axis : int
        The axis of the labels.
    sample_weight, where : array_like, optional
        In the shape of ``logits``, or without the axis: one for all labels of a sample.
    options
        As for the fit.

    Returns
    -------
    LabelFits
        Largest error: as for the fit (1 ULP where it has one).

    Raises
    ------
    TypeError, ValueError
        As for the fit.

    References
    ----------
    Tsoumakas, G., Katakis, I. (2007). Multi-label classification: an overview. doi:10.4018/jdwm.2007070101 (binary
    relevance).

    Examples
    --------
    >>> import sigmax
    >>> logits = [[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [-2.0, -1.0], [-2.0, -1.0], [-2.0, -1.0]]
    >>> labels = [[1, 1], [1, 0], [0, 0], [0, 0], [0, 0], [1, 0]]
    >>> fits = sigmax.fit_per_label(sigmax.fit_temperature, logits, labels)
    >>> print([fit.status for fit in fits.fits], round(fits.fits[0].temperature, 6))
    ['ok', 'ok'] 2.88539
    """
    x, y = (
        _arguments.native_array(a, name) for a, name in ((logits, "logits"), (labels, "labels"))
    )
    axis = _arguments.class_axis(axis, x.ndim)
    if y.shape != x.shape:
        raise ValueError(
            f"labels must have the shape {tuple(x.shape)} of the logits, one label in [0, 1] for each, "
            f"got shape {tuple(y.shape)}"
        )

    def of_label(values: Any, k: int) -> Any:
        if values is None or np.ndim(values) < x.ndim:
            return values
        return np.moveaxis(np.broadcast_to(values, x.shape), axis, -1)[..., k].reshape(-1)

    def fitted(k: int) -> Any:
        beside = {"sample_weight": of_label(sample_weight, k), "where": of_label(where, k)}
        return fit(of_label(x, k), of_label(y, k), **beside, **options)

    return LabelFits(tuple(fitted(k) for k in range(x.shape[axis])), axis - x.ndim)


# ---------------------------------------------------------------- diagnosis


@dataclass
class _Look:
    """What the first pass finds out, before anything is fitted."""

    rows: int
    certain: bool  # whether all labels are 0 or 1
    nll: float
    of_0: tuple[float, float]  # the least and the largest logit with this label
    of_1: tuple[float, float]


def _look(rows: Rows, finite: bool = True) -> _Look:
    parts = rows.collect(_look_at, finite)
    count, certain, loss, weight = (float(x.sum()) for x in parts[:4])
    low_0, high_0, low_1, high_1 = (f(x) for f, x in zip((min, max) * 2, parts[4:], strict=True))
    nll = loss / weight if weight else math.nan
    return _Look(int(count), certain == count, nll, (low_0, high_0), (low_1, high_1))


def _look_at(chunk: Chunk, finite: bool) -> tuple[Any, ...]:
    z, y, weight = columns(chunk)
    legal = np.isfinite(z) if finite else ~np.isnan(z)
    values = z if chunk.probabilities is None else chunk.probabilities[:, 1]
    what = "finite" if chunk.probabilities is None else "above 0 and below 1"
    chunk.require(legal, f"logits must be {what}", values)
    certain = np.count_nonzero((y == 0) | (y == 1))
    loss = binary_cross_entropy(z, y, sample_weight=weight, reduction="sum")
    ends = [
        f(z, where=chosen, initial=start)
        for chosen in (y < 1, y > 0)
        for f, start in ((np.min, math.inf), (np.max, -math.inf))
    ]
    return tuple(np.array([x]) for x in (len(chunk), certain, loss, weight.sum(), *ends))


def _diagnosis(look: _Look, smoothing: float) -> tuple[BinaryStatus, str]:
    n = look.rows
    if n == 0:
        return "empty", "No rows are left to fit: all are ignored or have weight 0."
    low, high = min(look.of_0[0], look.of_1[0]), max(look.of_0[1], look.of_1[1])
    if look.certain and math.inf in (look.of_0[0], look.of_1[0]):
        k = int(look.of_0[0] == math.inf)
        return "single_class", f"All {n} rows have the label {k}: a fit needs rows of both."
    if low == high:
        return "flat", f"All {n} rows have the same logit, {low:.4g}."
    if smoothing == 0 and look.certain and look.of_0[1] <= look.of_1[0]:
        return "separable", (
            f"All {n} rows have the label 1 above a logit of {look.of_1[0]:.4g} and 0 below, so the best fit is "
            "always certain: fit on more rows, or pass label_smoothing='laplace'."
        )
    if smoothing == 0 and look.certain and look.of_1[1] <= look.of_0[0]:
        return "chance", (
            f"All {n} rows have the label 0 above a logit of {look.of_0[0]:.4g} and 1 below: check that logits and "
            "labels belong together."
        )
    return "ok", ""


def _no_better(rows: int, scale: float) -> str:
    return (
        f"The logits of label 1 are no higher than those of label 0 over {rows} rows (the best scale is {scale:.3g}): "
        "check that logits and labels belong together."
    )


def _smoothed(y: Any, smoothing: float) -> Any:
    return y * (1 - smoothing) + smoothing / 2 if smoothing else y


# ---------------------------------------------------------------- logistic regression on a few features


def _line(z: Any) -> Any:
    return np.stack([z, np.ones_like(z)], axis=-1)


def _curve(z: Any) -> Any:
    """Return log q, −log(1 − q) and 1."""
    return np.stack([-softplus(-z), softplus(z), np.ones_like(z)], axis=-1)


def _best_beta(rows: Rows, smoothing: float) -> Any:
    """Return the best a, b and c: those of the free fit, else of the better one with a or b 0."""
    found = []
    for kept in ([0, 1, 2], [0, 2], [1, 2]):
        theta = np.zeros(3)
        theta[kept] = _logistic(rows, partial(_some_of_curve, kept), len(kept), smoothing)[0]
        if (theta[:2] >= 0).all():  # false for NaN
            found.append((_mean_loss(rows, _curve, theta), theta))
        if len(kept) == 3 and found:
            break
    return min(found, key=itemgetter(0))[1] if found else np.zeros(3)


def _some_of_curve(kept: list[int], z: Any) -> Any:
    return _curve(z)[:, kept]


def _divided(features: Any, size: Any, z: Any) -> Any:
    return features(z) / size


def _logistic(rows: Rows, features: Any, count: int, smoothing: float) -> tuple[Any, Any]:
    """Return the parameters of the smallest loss and their covariance (Huber's sandwich); NaN where there are none."""
    size = np.sqrt(rows.sum(_squares, features)[0])  # so that no feature dwarfs another
    if not ((size > 2.0**-500) & (size < 2.0**500)).all():
        raise ValueError(
            "logits must have squares that float64 holds: the largest in [2^-500, 2^500], or multiply them by a number"
        )
    scaled = partial(_divided, features, size)
    theta = np.zeros(count)
    value, slope, hessian, spread = rows.sum(_terms, scaled, theta, smoothing)
    for _ in range(_MOST_STEPS):
        step = np.linalg.lstsq(hessian, -slope, rcond=None)[0]
        gain = -(slope @ step)
        if not gain > _CLOSE:
            break
        for halvings in range(60):
            new = theta + 0.5**halvings * step
            terms = rows.sum(_terms, scaled, new, smoothing)
            if terms[0] <= value - 1e-4 * 0.5**halvings * gain + 1e-13 * abs(value):
                break
        theta, (value, slope, hessian, spread) = new, terms
    else:
        return np.full(count, math.nan), None
    inverse = np.linalg.pinv(hessian)
    covariance = inverse @ spread @ inverse / np.outer(size, size)
    return (theta + np.linalg.lstsq(hessian, -slope, rcond=None)[0]) / size, covariance


def _squares(chunk: Chunk, features: Any) -> tuple[Any]:
    f = features(logits_of(chunk))
    return (chunk.weight @ (f * f),)


def _terms(chunk: Chunk, features: Any, theta: Any, smoothing: float) -> tuple[Any, ...]:
    """Return the sums of the loss, its slope, its curvature, and the products of the slopes of the rows."""
    z, y, weight = columns(chunk)
    f, y = features(z), _smoothed(y, smoothing)
    log_odds = f @ theta
    loss = binary_cross_entropy(log_odds, y, sample_weight=weight, reduction="sum")
    p = sigmoid(log_odds)
    off = (weight * (p - y))[:, None] * f
    return (
        loss,
        off.sum(axis=0),
        (f * (weight * p * sigmoid(-log_odds))[:, None]).T @ f,
        off.T @ off,
    )


def _mean_loss(rows: Rows, features: Any, theta: Any) -> float:
    loss, weight = rows.sum(_loss, features, theta)
    return float(loss / weight)


def _loss(chunk: Chunk, features: Any, theta: Any) -> tuple[Any, Any]:
    z, y, weight = columns(chunk)
    loss = binary_cross_entropy(features(z) @ theta, y, sample_weight=weight, reduction="sum")
    return loss, weight.sum()


_CLOSE = 1e-18  # twice what a step could still gain, of all rows together
_MOST_STEPS = 100


# ---------------------------------------------------------------- rising steps


def steps(x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
    """Return the ends of the steps of the best rising function, and their heights: two points for each step."""
    points, mean, mass = tied(x, y, weight)
    start = pooled(mean, mass)
    end = np.append(start[1:], len(mean)) - 1
    height = np.add.reduceat(mean * mass, start) / np.add.reduceat(mass, start)
    return np.stack([points[start], points[end]], axis=-1).ravel(), np.repeat(height, 2)


def tied(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Return the distinct x in order, and the mean of y and the weight of each."""
    points, of = np.unique(x, return_inverse=True)
    mass = np.bincount(of, weight)
    return points, np.bincount(of, weight * y) / mass, mass


def pooled(mean: Any, mass: Any) -> Any:
    """Return where the steps of the best rising function begin.

    Neighbours that fall, or are equal, belong to one step: all runs of them are pooled at once, until none is left.
    """
    start = np.arange(len(mean))
    total = mean * mass
    while len(start) > 1:
        height = np.add.reduceat(total, start) / np.add.reduceat(mass, start)
        rises = np.append(True, height[1:] > height[:-1])
        if rises.all():
            break
        start = start[rises]
    return start
