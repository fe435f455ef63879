"""Binary cross-entropy of logits or probabilities, and its gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core
from ._arguments import Reduction
from ._loss import loss
from ._reduction import Extended, divisor, is_ordinary, quotient, reduced

__all__ = ["binary_cross_entropy"]


@loss
def binary_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    *,
    from_logits: bool = True,
    pos_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    where: ArrayLike | None = None,
    reduction: Reduction = "mean",
    normalizer: float | None = None,
) -> Any:
    r"""Cross-entropy of yes-or-no questions, each with a logit and a label of its own.

    .. math:: \ell = s \, [\, w \, y \log(1 + e^{-x}) + (1 - y) \log(1 + e^{x}) \,],
        \quad y = (1 - \varepsilon) \, y^0 + \varepsilon / 2

    Parameters
    ----------
    logits : array_like of real numbers
        The x; with ``from_logits=False`` the probabilities p = 1/(1 + e^-x) in [0, 1], which are not clipped.
    labels : array_like of real numbers or bool, shape of ``logits``
        The y⁰ in [0, 1], integers included. They take the type of the logits.
    from_logits : bool
        Whether ``logits`` are logits.
    pos_weight : array_like of real numbers, optional
        The w, at least 0: the weight of label 1, broadcast against ``logits``; for instance one per class.
    sample_weight : array_like of real numbers, optional
        The s, finite, broadcast against ``logits``.
    label_smoothing : float
        The ε in [0, 1].
    where : array_like of bool, optional
        Broadcasts against ``logits``; elements where it is False have loss 0, whatever they hold.
    reduction : 'mean', 'sum' or 'none'
        The mean is Σℓ/Σs over the elements that ``where`` keeps, 0 if there are none.
    normalizer : float, optional
        A positive number that the mean has in place of Σs.

    Returns
    -------
    scalar or ndarray
        Of the type of the logits; bool and integers become float64. With ``reduction='none'`` an array of the shape
        of ``logits``. In [0, inf] for weights of at least 0. Largest error of an element: float16 and bfloat16
        0.51 ULP, float32 below 1 ULP, both 0.5 for labels 0 and 1 of logits without weights; float64 below 2 ULP.
        Elements are added up in float64, compensated, and rounded once. A logit of ±inf costs 0 where it agrees with
        its label and inf where it does not; NaN gives NaN.

    Raises
    ------
    TypeError
        If an argument is complex, longdouble, not numeric, or a masked array.
    ValueError
        If a label, probability, weight, smoothing or normalizer is out of range, shapes do not match, or
        Σs is not positive while some s are not 0.

    References
    ----------
    Cox, D. R. (1958). The regression analysis of binary sequences. doi:10.1111/j.2517-6161.1958.tb00292.x.
    Good, I. J. (1952). Rational decisions. doi:10.1111/j.2517-6161.1952.tb00104.x.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.binary_cross_entropy([2.0, -1.0, 40.0], [1, 0, 1]))
    0.14672989952039844
    >>> sigmax.binary_cross_entropy([2.0, -1.0, 40.0], [1, 0, 1], reduction="none")
    array([1.26928011e-01, 3.13261688e-01, 4.24835426e-18])
    >>> print(sigmax.binary_cross_entropy([0.9, 0.2], [1, 0], from_logits=False, reduction="sum"))
    0.32850406697203605
    """
    given = _arguments.real(logits, "logits")
    labels = _arguments.labels(_arguments.same_library(labels, given))
    y = _arguments.real(labels, "labels")
    _arguments.require_shape(y, "labels", given, "logits")
    weight, positive = _weight(sample_weight, where, given), 1.0
    if pos_weight is not None:
        pos_weight = _arguments.same_library(pos_weight, given)
        positive = _number(_arguments.finite_weights(pos_weight, "pos_weight", given.shape))
    smoothing = _arguments.smoothing(label_smoothing)
    x, y = _counted(given, y, weight, 1.0 if smoothing else positive)
    kernel = "binary_cross_entropy"
    if not _arguments.flag(from_logits, "from_logits"):
        kernel += "_of_probabilities"
        x = _arguments.probabilities(x, "logits", "in [0, 1] for from_logits=False")
    y = _arguments.cast(_arguments.probabilities(y, "labels"), x.dtype)
    reduction, normalizer = _arguments.reduction(reduction, normalizer)
    each = None if weight is None else np.broadcast_to(weight, x.shape)
    over = divisor(each, x.size, reduction, normalizer)
    far = over != np.inf and not is_ordinary(weight, over, positive)
    options = (1.0 if weight is None else weight, positive, smoothing)
    return _Elements(kernel, logits, given, x, y, options, reduction, over, far)


def _weight(sample_weight: Any, where: Any, x: Any) -> Any:
    """Return a weight per element, 0 where masked, or None where all are 1."""
    if sample_weight is None and where is None:
        return None
    weight = np.float64(1.0) if sample_weight is None else sample_weight
    weight, where = (_arguments.same_library(a, x) for a in (weight, where))
    if where is not None:
        weight = _arguments.real(weight, "sample_weight")
        _arguments.require_broadcast(weight, "sample_weight", x.shape)
        weight = _arguments.masked(np.broadcast_to(weight, x.shape), where, 0.0)
    return _number(_arguments.finite_weights(weight, "sample_weight", x.shape, negative=True))


def _number(weight: Any) -> Any:
    return float(weight) if weight.ndim == 0 and isinstance(weight, np.ndarray) else weight


def _counted(x: Any, y: Any, weight: Any, positive: Any) -> tuple[Any, Any]:
    """Return logits and labels, 0 where the weight is: what is there counts for nothing, whatever it is."""
    if weight is None and isinstance(positive, float) and positive:
        return x, y
    nothing: Any = np.False_ if weight is None else weight == 0
    if np.any(nothing):
        y = np.where(nothing, y.dtype.type(0), y)
    if np.any(positive == 0):
        nothing = nothing | ((y == 1) & (positive == 0))
    return (np.where(nothing, x.dtype.type(0), x) if np.any(nothing) else x), y


@dataclass
class _Elements:
    """Elements with all that their losses need."""

    kernel: str
    argument: Any
    given: Any
    x: Any
    y: Any
    options: tuple[Any, Any, float]  # weight, pos_weight, smoothing
    reduction: Reduction
    over: Any
    far: bool  # whether products of the weights may leave the range of float64

    def value(self) -> Any:
        total = self.sum(self.kernel, None)
        if total is not None and np.isfinite(total):
            return quotient(np.float64(total), self.over, self.x.dtype)
        return self.reduced(self.losses())

    def reduced(self, losses: Any) -> Any:
        return reduced(losses, self.reduction, self.over, self.x.dtype)

    def losses(self) -> Any:
        """Return the losses; `Extended` where float64 may not have them."""
        if self.far:
            return self.far_losses()
        losses = getattr(_core, self.kernel)(self.x, self.y, *self.options)
        here = isinstance(losses, np.ndarray | np.generic)  # else another library's
        if here and np.any(np.isinf(losses) & np.isfinite(self.x)):
            return self.far_losses()
        return losses

    def far_losses(self) -> Extended:
        """Return losses of any size: what the kernel gets as a weight makes of each a number about 1."""
        weight, *options = self.options
        s, power = Extended.of(weight), self.exponents()
        small = getattr(_core, self.kernel)(self.x, self.y, np.ldexp(s.m, -power), *options)
        return Extended.of(small) * Extended(1.0, power + s.e)

    def exponents(self) -> Any:
        """Return the exponents of the losses without their weights, about."""
        _, positive, smoothing = self.options
        x, y = self.x.astype(np.float64), self.y.astype(np.float64)
        one, zero = ((1.0 - smoothing) * v + 0.5 * smoothing for v in (y, 1.0 - y))
        if "probabilities" in self.kernel:
            right, wrong = np.log(-np.log(x)), np.log(-np.log1p(-x))
        else:
            right, wrong = (np.where(v > 30.0, -v, np.log(np.logaddexp(0.0, -v))) for v in (x, -x))
        size = np.logaddexp(np.log(positive) + np.log(one) + right, np.log(zero) + wrong)
        most = 1000.0 * np.log(2.0)
        size = np.clip(np.nan_to_num(size, nan=0.0), -most, most)
        return np.rint(size / np.log(2.0)).astype(np.int64)

    def sum(self, kernel: str, out: Any) -> Any:
        """Return the sum of the losses, with the kernel's gradient; None where they are needed one by one."""
        if self.reduction == "none" or self.far:
            return None
        function = _core.binary_loss_functions[kernel]
        return _core.binary_loss_sum(function, self.x, self.y, *self.options, self.scale(), out)

    def may_be_needed_twice(self) -> bool:
        """Whether logits are so large that the sum of the losses may overflow, and not their mean."""
        x = self.x
        is_wide = x.dtype == np.float64 and x.size > 0
        return is_wide and max(float(x.max()), -float(x.min())) > 2.0**900

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        _arguments.numpy_array(self.given, "logits")
        if out is not None:
            _arguments.gradient_place(out, self.given)
        kernel, place = self.kernel + "_gradient", out
        twice = self.may_be_needed_twice()
        if out is not None and twice and np.may_share_memory(out, self.x):
            place = None
        both = self.sum(kernel, place)
        if both is not None and (np.isfinite(both[0]) or not twice):
            value, slopes = quotient(np.float64(both[0]), self.over, self.x.dtype), both[1]
        else:
            value, slopes = self.reduced(self.losses()), self.slopes(kernel, place)
        if out is None:
            return value, _arguments.as_given(slopes, self.argument)
        if slopes is not out:
            np.copyto(out, slopes)
        return value, out

    def scale(self) -> Any:
        """Return what the gradient is divided by: where nothing counts, all weights are 0."""
        return 1.0 if self.over == np.inf else self.over

    def slopes(self, kernel: str, place: Any) -> Any:
        """Return the gradient."""
        weight, *options = self.options
        if not self.far:
            operands = (self.x, self.y, *self.options, self.scale())
            return getattr(_core, kernel)(*operands, out=(None, place))[1]
        s, over = Extended.of(weight), Extended.of(self.scale())
        x, y = (v.astype(np.float64) for v in (self.x, self.y))
        power = s.e - over.e
        within = np.clip(power, -1000, 1000)
        slopes = getattr(_core, kernel)(x, y, np.ldexp(s.m, within), *options, over.m)[1]
        return _arguments.cast(np.ldexp(slopes, power - within), self.x.dtype)
