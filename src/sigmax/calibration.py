"""Calibration: the temperature, or a scale and a bias per class, that makes probabilities honest."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._rows import Chunk, Rows
from .labels import one_hot, smooth_labels
from .losses import cross_entropy
from .normalization import softmax

__all__ = ["TemperatureFit", "VectorScalingFit", "fit_temperature", "fit_vector_scaling"]

Status = Literal["ok", "separable", "chance", "flat", "single_class", "empty"]
_LARGEST_SPREAD = 2.0**500  # of the logits of a row: squares can be added up
VectorStatus = Status | Literal["not_converged"]


@dataclass(frozen=True)
class TemperatureFit:
    """What :func:`fit_temperature` finds.

    Attributes
    ----------
    temperature : float
        T; where there is none to apply, 0 for ``"separable"``, inf for ``"chance"``, else NaN.
    interval : (float, float)
        In which the temperature of all such data is, with the confidence that was asked for.
    nll_before, nll_after : float
        Mean negative log-likelihood of the labels as given, at temperatures 1 and T.
    status : {"ok", "separable", "chance", "flat", "single_class", "empty"}
        Whether there is a best temperature, or why not.
    message : str
        The same in a sentence, with numbers.
    iterations : int
        Steps of Newton's method: each reads all logits once.
    rows : int
        Rows that count.
    binary : bool
        Whether each logit was a question of its own: then ``apply`` returns as many probabilities of class 1.
    """

    temperature: float
    interval: tuple[float, float]
    nll_before: float
    nll_after: float
    status: Status
    message: str
    iterations: int
    rows: int
    binary: bool = False

    @in_exact_arithmetic
    def apply(self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True) -> Any:
        """Return the probabilities of these logits (or probabilities) at the fitted temperature.

        Raises ValueError, with the message, where there is no best temperature.
        """
        if self.status != "ok":
            raise ValueError(self.message)
        if self.binary:
            x = _rows.columns_of(logits, from_logits)
            return softmax(x, temperature=self.temperature)[..., 1]
        return softmax(_logits(logits, from_logits), axis, temperature=self.temperature)


@in_exact_arithmetic
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
    multilabel: bool = False,
    confidence: float = 0.95,
) -> TemperatureFit:
    r"""Find the temperature at which the labels are most likely.

    .. math:: T = \operatorname{arg\,min}_T \sum_n s_n \sum_k q_{nk} (-\log p_{nk}), \quad
        p = \operatorname{softmax}(x / T), \quad q = (1 - \varepsilon) q^0 + \varepsilon / C

    Newton's method on 1/T, in which the sum is convex. Rows are read in chunks, so a memory map may be larger than
    memory; the blocks of Dask arrays are read where they are, and only sums travel.

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        One row per sample along ``axis``: logits, or probabilities with ``from_logits=False``. NumPy or Dask. A class
        with logit -inf, or probability 0, is masked: it counts for nothing. So is one at the lower end of the type, as
        ``np.finfo(x.dtype).min``, or a mask of this number that was added to the logits.
    labels : array_like
        q⁰: class indices, or distributions along ``axis``; as for :func:`cross_entropy`.
        Of one-dimensional logits with as many labels each is a yes-or-no question: the logit (or probability) of class
        1, against 0 of class 0, and a label 0 or 1 or in between, the probability of 1. All numbers are those of two
        columns, bit for bit.
    axis : int
        The class axis.
    from_logits : bool
        What ``logits`` holds; nothing is guessed from its values.
    sample_weight : array_like, optional
        s: finite, not negative, broadcasting to the shape of the rows. Importances, not counts: their scale changes
        nothing.
    label_smoothing : float or "laplace"
        ε in [0, 1]. ``"laplace"`` is 1/(n + 1) for n rows: one more observation, spread over the classes. With ε > 0
        there is a best temperature even where the label always wins.
    ignore_index : int, optional
        Rows with this label are left out, whatever they hold; of distributions those that are sure of this class.
    where : array_like of bool, optional
        Mask, broadcasting to ``logits``: a class that is masked has probability 0; a question that is does not count.
    multilabel : bool
        Whether the numbers along ``axis`` are questions of their own, as above: ``labels`` have the shape of
        ``logits``. ``sample_weight`` has it too, or the shape without the axis: one for all questions of a sample.
    confidence : float
        Of the interval, in [0, 1).

    Returns
    -------
    TemperatureFit
        Largest error of the temperature: that of the sums of float64 numbers, about 1e-15 relative for float16,
        float32 and float64 logits alike (not in ULP: how close the minimum is depends on the data).
        Chunks and blocks change the last bits at most. The interval is T·exp(±z·σ), σ the standard error of log T
        that holds whether or not the model is right (Huber's sandwich).

    Raises
    ------
    TypeError
        If an argument is not of real numbers, or class indices are not integers.
    ValueError
        If a logit is NaN, +inf or 2^500 above another of its row, a label is out of range or of a masked class, a
        distribution does not sum to 1, a weight is negative or not finite, or shapes do not match; with the position.
        Data without a best temperature is no error: see ``status``.

    See Also
    --------
    fit_vector_scaling : where the model prefers some classes wrongly.
    evaluate : how good the probabilities are; on other rows than these.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural networks. arXiv:1706.04599.
    Huber, P. J. (1967). The behavior of maximum likelihood estimates under nonstandard conditions.
    https://projecteuclid.org/euclid.bsmsp/1200512988.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    >>> fit = sigmax.fit_temperature(logits, [0, 1, 0, 1, 1])
    >>> print(round(fit.temperature, 9))      # 4 / log 4, as 4 of 5 are right
    2.885390082
    >>> fit.apply([4.0, 0.0]).round(12)
    array([0.8, 0.2])
    >>> print(sigmax.fit_temperature(logits, [0, 1, 0, 0, 1]).status)
    separable
    """
    rows = _rows.rows_of(locals(), padded=True)
    confidence = _arguments.confidence(confidence)
    start = _survey(rows)
    smoothing = smoothing_of(label_smoothing, start.rows)
    status, message = _diagnosis(start, smoothing)
    if status != "ok":
        temperature = {"separable": 0.0, "chance": math.inf}.get(status, math.nan)
        none = (math.nan, math.nan)
        before = start.nll
        return TemperatureFit(
            temperature, none, before, math.nan, status, message, 0, start.rows, rows.binary
        )
    best = _newton(rows, smoothing, start)
    temperature = 1.0 / best.b
    low, high = _interval(temperature, best.error, confidence)
    message = f"The best temperature is {temperature:.4g} ({low:.4g} to {high:.4g}) over {start.rows} rows."
    return TemperatureFit(
        temperature,
        (low, high),
        start.nll,
        best.nll,
        "ok",
        message,
        best.iterations,
        start.rows,
        rows.binary,
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

    def first_b(self) -> float:
        """Return where to start: 1, unless that is a far cry for logits of this size."""
        size = float(self.steepness / self.counts.sum())
        return 1.0 if 2.0**-10 < size < 2.0**10 else 1.0 / size


def _survey(rows: Rows) -> _Start:
    count, counts, wrong, flat, slope, steepness, nll, mass = rows.sum(_first_look)
    mean = float(nll / mass) if mass else math.nan
    return _Start(int(count), rows.classes, counts, int(wrong), int(flat), slope, steepness, mean)


def _first_look(chunk: Chunk) -> tuple[Any, ...]:
    z = chunk.logits
    top, least, mean = _core.spans(z)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = _gap(chunk, top)
        spread = top - least
    _check(chunk, top, gap, spread)
    label, weight = label_logits(chunk)
    terms = weight * (mean - label)
    return (
        len(chunk),
        class_weights(chunk),
        np.count_nonzero(gap > 0),
        np.count_nonzero(spread < 1 / _LARGEST_SPREAD),
        _rows.total(terms),
        _rows.total(np.abs(terms)),
        *_nll(chunk, 1.0),
    )


def class_weights(chunk: Chunk) -> Any:
    """Return the weight of each class among the labels."""
    if chunk.soft is None:
        return np.bincount(chunk.index, chunk.weight, chunk.logits.shape[-1])
    return chunk.weight @ chunk.soft


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


class _Minimum(NamedTuple):
    b: float
    error: float  # the standard error of log b
    nll: float  # the mean of the losses
    iterations: int


def _newton(rows: Rows, smoothing: float, start: _Start) -> _Minimum:
    """Return the root b of f'. The losses are added up in the pass that is to be the last."""
    step, nll = math.inf, None
    search = _Search(_b_of_sample(rows, smoothing, start))
    while not abs(step) <= 1e-9 * search.b:  # Newton's error is of the order of the square
        b = search.b
        function = _moments_and_nll if abs(step) <= 2.0**-13 * b else _moments
        slope, curvature, spread, *nll = (float(s) for s in rows.sum(function, b, smoothing))
        step = search.step(slope, curvature)
    total, mass = nll or rows.sum(_nll, 1.0 / search.b)
    spread *= start.rows / (start.rows - 1) if start.rows > 1 else math.inf
    error = math.sqrt(spread) / (curvature * search.b)
    return _Minimum(search.b, error, float(total / mass), search.iterations)


def _b_of_sample(rows: Rows, smoothing: float, start: _Start) -> float:
    """Return where to start: near the root of some of the rows, where these have one."""
    sample = rows.sample(_SAMPLE)
    if sample is not None:
        search = _Search(start.first_b())
        for _ in range(_MOST_STEPS):
            slope, curvature, _ = (float(s) for s in sample.sum(_moments, search.b, smoothing))
            if abs(search.step(slope, curvature)) <= _ROUGH * search.b:
                return search.b
    return start.first_b()


_SAMPLE, _MOST_STEPS = 2**14, 12
_ROUGH = 2.0**-5  # a step, whose square is less than what the sample is sure of


@dataclass
class _Search:
    """Newton's method for the root of a slope that grows with b, between bounds."""

    b: float
    low: float = 0.0
    high: float = math.inf
    iterations: int = 0

    def step(self, slope: float, curvature: float) -> float:
        """Go from b to the next, and return by how much."""
        self.iterations += 1
        before = self.b
        if slope < 0:
            self.low = before
        else:
            self.high = before
        new = before - slope / curvature if curvature > 0 else math.inf
        if not self.low < new < self.high and abs(new - before) > 1e-9 * before:
            new = _between(self.low, self.high, before)
        self.b = new
        return new - before


def _interval(temperature: float, error: float, confidence: float) -> tuple[float, float]:
    """Return T·exp(±z·σ); σ is at least what the temperature itself is sure to, and infinite where nothing is known."""
    z = _intervals.quantile(confidence)
    power = z * max(error, 2.0**-50) if z > 0 else 0.0
    factor = math.exp(power) if power < 700 else math.inf
    return temperature / factor, temperature * factor


def _between(low: float, high: float, b: float) -> float:
    if high == math.inf:
        return 4.0 * b
    return math.sqrt(low) * math.sqrt(high) if low > 0 else high / 8.0


def _moments(chunk: Chunk, b: float, smoothing: float) -> tuple[float, float, float]:
    """Return f', f'' and the sum of the squares of the terms of f'."""
    r, weight = label_logits(chunk)
    if smoothing:
        r = r + smoothing * (mean_logits(chunk.logits) - r)
    first, second = _core.logit_moments(chunk.logits, b, r)
    terms = weight * first
    return (
        _rows.total(terms),
        _rows.total(weight * np.maximum(second - first * first, 0.0)),
        _rows.total(terms * terms),
    )


def _moments_and_nll(chunk: Chunk, b: float, smoothing: float) -> tuple[Any, ...]:
    return (*_moments(chunk, b, smoothing), *_nll(chunk, 1.0 / b))


def label_logits(chunk: Chunk) -> tuple[Any, Any]:
    """Return the logit of each row's label, of a distribution the mean over it, and its weight s·Σ q."""
    z = chunk.logits
    if chunk.soft is None:
        return z[np.arange(len(z)), chunk.index].astype(np.float64), chunk.weight
    mass = chunk.soft.sum(axis=-1)
    products = chunk.soft * np.where(chunk.soft > 0, z, 0.0)
    return products.sum(axis=-1) / mass, chunk.weight * mass


def _gap(chunk: Chunk, top: Any) -> Any:
    """Return how far the label's logit is below the largest: exactly 0 where it is not."""
    z = chunk.logits
    if chunk.soft is None:
        return top - z[np.arange(len(z)), chunk.index]
    below = np.where(chunk.soft > 0, top[:, None] - z.astype(np.float64), 0.0)
    return (chunk.soft * below).sum(axis=-1)


def _check(chunk: Chunk, top: Any, gap: Any, spread: Any) -> None:
    """Refuse logits and labels that no temperature is for."""
    z = chunk.logits
    if not (top < np.inf).all():
        chunk.require_classes(z < np.inf, "logits must be finite or -inf", z)
    if not (gap < np.inf).all():
        _refuse_label(chunk)
    message = "logits must be less than 2^500 apart in a row"
    chunk.require(spread < _LARGEST_SPREAD, message, spread)


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


def mean_logits(z: Any) -> Any:
    """Return the mean of each row's logits but those of masked classes."""
    return _core.spans(z)[2]


def _nll(chunk: Chunk, temperature: float) -> tuple[Any, Any]:
    """Return the sum of the losses, and what a mean divides it by."""
    labels = chunk.index if chunk.soft is None else chunk.soft
    losses = cross_entropy(chunk.logits, labels, temperature=temperature, reduction="none")
    return _rows.total(chunk.weight * losses), _rows.total(label_logits(chunk)[1])


def smoothing_of(value: Any, rows: int) -> float:
    number = _arguments.word_or_number(value, "label_smoothing", "laplace", 0.0, 1.0)
    return 1.0 / (rows + 1) if number is None else number


def _logits(x: Any, from_logits: bool) -> Any:
    """Return logits, of probabilities their logarithms."""
    x = _arguments.real(x, "logits")
    if _arguments.flag(from_logits, "from_logits"):
        return x
    return np.log(_arguments.probabilities(x, "logits"))


# ---------------------------------------------------------------- vector scaling


@dataclass(frozen=True)
class VectorScalingFit:
    """What :func:`fit_vector_scaling` finds.

    Attributes
    ----------
    scale, bias : ndarray, shape (C,)
        a and c; the biases sum to 0. NaN where the status says that there is nothing to apply.
    nll_before, nll_after : float
        Mean negative log-likelihood of the labels as given, without and with them.
    status : {"ok", "separable", "flat", "single_class", "empty", "not_converged"}
        Whether scales and biases were found, or why not.
    message : str
        The same in a sentence, with numbers.
    iterations : int
        Steps of the minimisation.
    rows : int
        Rows that count.
    binary : bool
        As for :class:`TemperatureFit`.
    """

    scale: np.ndarray
    bias: np.ndarray
    nll_before: float
    nll_after: float
    status: VectorStatus
    message: str
    iterations: int
    rows: int
    binary: bool = False

    @in_exact_arithmetic
    def apply(self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True) -> Any:
        """Return the probabilities of these logits (or probabilities) with the fitted scales and biases.

        Raises ValueError, with the message, unless the status is "ok".
        """
        if self.status != "ok":
            raise ValueError(self.message)
        if self.binary:
            x = _rows.without_padding(_rows.columns_of(logits, from_logits))
            return softmax(_scaled(x, self.scale, self.bias).astype(x.dtype))[..., 1]
        x = _logits(logits, from_logits)
        x = _rows.without_padding(x) if from_logits else x
        moved = np.moveaxis(x, _arguments.class_axis(axis, x.ndim), -1)
        if moved.shape[-1] != len(self.scale):
            raise ValueError(
                f"logits must have {len(self.scale)} classes along the axis, got {moved.shape[-1]}"
            )
        scaled = _scaled(moved, self.scale, self.bias).astype(x.dtype)
        return np.moveaxis(softmax(scaled), -1, axis)


@in_exact_arithmetic
def fit_vector_scaling(
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
    regularization: float | Literal["auto"] = "auto",
) -> VectorScalingFit:
    r"""Find a scale and a bias per class at which the labels are most likely, not far from one temperature.

    .. math:: p = \operatorname{softmax}(a \odot x + c), \quad
        \min_{a, c} \; \sum_n s_n \sum_k q_{nk} (-\log p_{nk})
        + \frac{\lambda_u}{2} \|u\|^2 + \frac{\lambda_v}{2} \|v\|^2

    u is the change of the scales from those of the best temperature, v that of the logits at their middle, both in
    units of logits. Vector scaling can change which class wins, and so the accuracy.

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, label_smoothing, ignore_index, where, multilabel
        As for :func:`fit_temperature`.
    regularization : float or "auto"
        λ of both. ``"auto"`` is empirical Bayes: 1/λ is the variance of u, and of v, that the slopes at the best
        temperature show beyond what chance makes of so many rows and classes. Where they show none, the fit stays
        at the temperature.

    Returns
    -------
    VectorScalingFit
        The objective is within 1e-12 nats, all rows together, of its minimum. Largest error of scale and bias: 1e-6 of
        their standard errors (not in ULP: how close the minimum is depends on the data).

    Raises
    ------
    TypeError, ValueError
        As for :func:`fit_temperature`.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural networks. arXiv:1706.04599.
    DerSimonian, R., Laird, N. (1986). Meta-analysis in clinical trials. doi:10.1016/0197-2456(86)90046-2 (the
    variance between groups from the excess of a chi-square over its degrees of freedom).

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> logits = np.tile([[1.0, 0.0], [0.0, 1.0]], (100, 1))
    >>> labels = np.tile([0, 0, 0, 1, 0], 40)     # class 0 is right more often than the logits say
    >>> fit = sigmax.fit_vector_scaling(logits, labels)
    >>> print(fit.status, fit.nll_after < fit.nll_before, fit.bias.round(1))
    ok True [ 0.7 -0.7]
    """
    rows = _rows.rows_of(locals(), padded=True)
    largest = _arguments.LARGEST
    strength = _arguments.word_or_number(regularization, "regularization", "auto", 0.0, largest)
    return vector_fit(rows, label_smoothing, strength)


def vector_fit(
    rows: Rows, label_smoothing: Any, strength: float | None, *, repeats: bool = False
) -> VectorScalingFit:
    """Fit; with `repeats` a weight of 2 is two rows, else weights are importances."""
    start = _survey(rows)
    smoothing = smoothing_of(label_smoothing, start.rows)
    status, message = _diagnosis(start, smoothing)
    if status not in ("ok", "chance"):
        none = np.full(rows.classes, math.nan)
        return VectorScalingFit(
            none, none, start.nll, math.nan, status, message, 0, start.rows, rows.binary
        )
    b = _newton(rows, smoothing, start).b if status == "ok" else 0.0
    problem = _VectorProblem.of(rows, b, smoothing, strength, repeats)
    theta, iterations, converged = _minimum(problem)
    scale, bias = problem.features.scale_and_bias(problem.parameters(theta))
    bias = bias - bias.mean()  # the same number for all classes changes nothing
    total, mass = rows.sum(_scaled_nll, scale, bias)
    message = (
        f"The best scales are {scale.min():.4g} to {scale.max():.4g}, the best biases {bias.min():.4g} to "
        f"{bias.max():.4g} over {start.rows} rows."
    )
    if not converged:
        message = (
            f"No minimum was reached in {iterations} steps: the classes may be separable without regularization; "
            "pass regularization='auto' or a larger number."
        )
    return VectorScalingFit(
        scale,
        bias,
        start.nll,
        float(total / mass),
        "ok" if converged else "not_converged",
        message,
        iterations,
        start.rows,
        rows.binary,
    )


@dataclass
class _Features:
    """Parameters of one size: logits b·z + u·f + v with f = (z − middle) / spread, u = 0 and v = 0 at the start.

    A number that is added to all logits of all rows changes nothing.
    """

    b: float
    smoothing: float
    middle: Any = 0.0
    spread: float = 1.0

    def of(self, chunk: Chunk) -> Any:
        """Return f, 0 where a class is masked."""
        z = chunk.logits.astype(np.float64)
        return np.where(z > -np.inf, (z - self.middle) / self.spread, 0.0)

    def logits(self, chunk: Chunk, uv: Any) -> Any:
        return _scaled(chunk.logits, *self.scale_and_bias(uv))

    def scale_and_bias(self, uv: Any) -> tuple[Any, Any]:
        return self.b + uv[0] / self.spread, uv[1] - uv[0] / self.spread * self.middle


@dataclass
class _VectorProblem:
    """Loss of all rows and a penalty, over parameters in units of their standard errors."""

    rows: Rows
    features: _Features
    share: float  # makes weights count as rows do
    penalty: Any  # of u and v
    root: Any  # of the information with the penalty

    @classmethod
    def of(
        cls, rows: Rows, b: float, smoothing: float, strength: float | None, repeats: bool
    ) -> "_VectorProblem":
        """Choose the penalty by empirical Bayes: the variance of u and v that their slopes have beyond chance."""
        start = _Features(b, smoothing)
        weight, squares, h, hz, hzz = rows.sum(_information, start)
        middle = _quotient(hz, h)
        about = np.maximum(hzz - middle * hz, 0.0)
        features = replace(start, middle=middle, spread=math.sqrt(about.sum() / h.sum()))
        share = 2.0**rows.power if repeats else weight / squares
        information = share * np.stack([about / features.spread**2, h])
        if strength is None:
            slopes = share * rows.sum(_loss_and_slope, features, np.zeros_like(information))[1]
            excess = _quotient(slopes**2, information).sum(axis=-1) - (rows.classes - 1)
            variance = np.maximum(excess / information.sum(axis=-1), _LEAST_VARIANCE)
            penalty = 1.0 / variance[:, None]
        else:
            penalty = np.full((2, 1), strength)
        root = np.sqrt(information + penalty)
        return cls(rows, features, share, penalty, np.where(root > 0, root, 1.0))

    def parameters(self, theta: Any) -> Any:
        """Return u and v."""
        return theta.reshape(2, -1) / self.root

    def value_and_slope(self, theta: Any) -> tuple[float, Any]:
        uv = self.parameters(theta)
        loss, slope = self.rows.sum(_loss_and_slope, self.features, uv)
        value = self.share * loss + 0.5 * (self.penalty * uv**2).sum()
        return float(value), ((self.share * slope + self.penalty * uv) / self.root).ravel()

    def newton_direction(self, theta: Any, slope: Any) -> Any:
        (hessian,) = self.rows.sum(_hessian, self.features, self.parameters(theta))
        root = self.root.ravel()
        hessian = self.share * hessian / np.outer(root, root)
        added = np.broadcast_to(self.penalty, self.root.shape).ravel() / root**2
        # The same number for all biases changes nothing, and no step has it: any curvature will do for it.
        same = np.concatenate([np.zeros(self.rows.classes), 1.0 / self.root[1]])
        hessian += np.outer(same, same) / (same @ same) + np.diag(added + 1e-13)
        return -np.linalg.solve(hessian, slope)


def _minimum(problem: _VectorProblem) -> tuple[Any, int, bool]:
    """Return the minimum, the number of steps, and whether it was reached.

    The steps are Newton's where there are few classes, else those of L-BFGS (Nocedal 1980).
    """
    theta = np.zeros(problem.root.size)
    value, slope = problem.value_and_slope(theta)
    pairs: list[tuple[Any, Any]] = []
    for steps in range(_MOST_STEPS):
        if problem.rows.classes <= _FEW_CLASSES:
            direction = problem.newton_direction(theta, slope)
        else:
            direction = _direction(slope, pairs)
        gain = -(slope @ direction)
        if gain <= _CLOSE:
            return theta, steps, bool(np.abs(direction).max() < _NEAR)
        for halvings in range(_MOST_HALVINGS):
            step = 0.5**halvings
            new = theta + step * direction
            new_value, new_slope = problem.value_and_slope(new)
            if new_value <= value - 1e-4 * step * gain + 1e-13 * abs(value):
                break
        else:
            return theta, steps, False
        pairs = [*pairs[-29:], (new - theta, new_slope - slope)]
        theta, value, slope = new, new_value, new_slope
    return theta, _MOST_STEPS, False


def _direction(slope: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """Return −H⁻¹·slope, where H is the identity but for what the pairs of steps and changes of slope say of it."""
    direction = -slope
    factors = []
    for step, change in reversed(pairs):
        factor = (step @ direction) / (step @ change)
        direction = direction - factor * change
        factors.append(factor)
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + (factor - (change @ direction) / (step @ change)) * step
    return direction


def _information(chunk: Chunk, features: _Features) -> tuple[Any, ...]:
    """Return sums of s, s², h, h·z and h·z², with h = p·(1 − p), at the start."""
    z, s = features.of(chunk), chunk.weight
    p = softmax(_scaled(chunk.logits, features.b, 0.0))
    h = p * (1.0 - p)
    return s.sum(), s @ s, s @ h, s @ (h * z), s @ (h * z * z)


def _loss_and_slope(chunk: Chunk, features: _Features, uv: Any) -> tuple[float, Any]:
    x = features.logits(chunk, uv)
    finite, smoothing = x > -np.inf, features.smoothing
    labels = chunk.index if chunk.soft is None else chunk.soft
    losses = cross_entropy(x, labels, label_smoothing=smoothing, where=finite, reduction="none")
    slopes = softmax(x) - _targets(chunk, smoothing)
    s = chunk.weight
    return _rows.total(s * losses), np.stack([s @ (slopes * features.of(chunk)), s @ slopes])


def _hessian(chunk: Chunk, features: _Features, uv: Any) -> tuple[Any]:
    """Return the sum of s·(diag(p) − p·pᵀ) over products of the features f and 1 of each class."""
    p, f, s = softmax(features.logits(chunk, uv)), features.of(chunk), chunk.weight
    both = np.hstack([p * f, p])
    cross = np.diag(s @ (p * f))
    own = np.block([[np.diag(s @ (p * f * f)), cross], [cross, np.diag(s @ p)]])
    return (own - (both * s[:, None]).T @ both,)


def _scaled_nll(chunk: Chunk, scale: Any, bias: Any) -> tuple[Any, Any]:
    return _nll(replace(chunk, logits=_scaled(chunk.logits, scale, bias)), 1.0)


def _scaled(z: Any, scale: Any, bias: Any) -> Any:
    """Return scale·z + bias as float64; a masked class stays masked, and NaN stays NaN."""
    possible = z != -np.inf
    with np.errstate(invalid="ignore"):  # 0 times infinity
        y = scale * np.where(possible, z, 0.0).astype(np.float64) + bias
    return np.where(possible, y, -np.inf)


def _targets(chunk: Chunk, smoothing: float) -> Any:
    """Return the labels as distributions, smoothed over the classes that are not masked."""
    soft = one_hot(chunk.index, chunk.logits.shape[-1]) if chunk.soft is None else chunk.soft
    if not smoothing:
        return soft
    return smooth_labels(soft, smoothing, where=chunk.logits > -np.inf)


def _quotient(a: Any, b: Any) -> Any:
    """Return a / b, 0 where b is."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


_LEAST_VARIANCE = 1e-12  # of a parameter that chance explains
_CLOSE = 1e-12  # twice what a step could still gain, in nats of all rows together
_NEAR = 1e-3  # the last step in standard errors: a longer one, of no gain, goes towards infinity
_FEW_CLASSES = 128
_MOST_STEPS = 500
_MOST_HALVINGS = 60  # of a step: beyond, it changes nothing
