"""Binary cross-entropy of logits or probabilities, and its gradient."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._reduction import (
    Extended,
    Reduction,
    check_reduction,
    divisor,
    exponents,
    is_ordinary,
    quotient,
    reduced,
)
from .normalization import _broadcasts, _cast, _check_legal, _check_out, _masked, _real

__all__ = ["binary_cross_entropy"]


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
        0.51 ULP, float32 below 1 ULP, float64 below 2 ULP. Elements are added up in float64, compensated, and
        rounded once. A logit of ±inf costs 0 where it agrees with its label and inf where it does not; NaN gives
        NaN.

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
    return _binary_cross_entropy(
        logits,
        labels,
        from_logits=from_logits,
        pos_weight=pos_weight,
        sample_weight=sample_weight,
        label_smoothing=label_smoothing,
        where=where,
        reduction=reduction,
        normalizer=normalizer,
        gradient=False,
    )


def _binary_cross_entropy(
    logits: Any,
    labels: Any,
    /,
    *,
    from_logits: bool = True,
    pos_weight: Any = None,
    sample_weight: Any = None,
    label_smoothing: Any = 0.0,
    where: Any = None,
    reduction: Any = "mean",
    normalizer: Any = None,
    gradient: bool,
    out: np.ndarray | None = None,
) -> Any:
    """Return the value, or (value, gradient); `out` takes the gradient and may be `logits` itself."""
    check_reduction(reduction, normalizer)
    x = _real(logits, "logits")
    y = _labels(labels, x, where)
    x = _masked(x, where, 0.0)
    if not from_logits:
        _check_unit_interval(x, "logits", "in [0, 1] for from_logits=False")
    weight = _sample_weight(sample_weight, x, where)
    pos_weight, label_smoothing = _pos_weight(pos_weight, x), _smoothing(label_smoothing)
    if out is not None:
        _check_out(out)
    over = divisor(
        weight if weight is None else np.broadcast_to(weight, x.shape),
        x.size,
        reduction,
        normalizer,
    )
    exponent: Any = 0
    if over != np.inf and not is_ordinary(weight, over, pos_weight):
        weight, scale, exponent = _with_exponents(weight, Extended.of(over), pos_weight, x)
    else:
        scale = np.float64(over)
    options = (
        np.float64(1.0) if weight is None else weight,
        pos_weight,
        label_smoothing,
    )
    name = "binary_cross_entropy" if from_logits else "binary_cross_entropy_of_probabilities"
    name += "_gradient" if gradient else ""
    if reduction != "none" and type(exponent) is int:
        number = _core.binary_loss_functions[name]
        result = _core.sum_plain(number, x, y, *options, scale, out)
        if result is not None:
            total, *slopes = result if gradient else (result,)
            if np.isfinite(total) or (out is not None and np.may_share_memory(out, x)):
                value = quotient(np.float64(total), over, x.dtype)
                return (value, *slopes) if gradient else value
    function = getattr(_core, name)
    if not gradient:
        losses, slopes = function(x, y, *options), None
    else:
        losses, slopes = function(x, y, *options, scale, out=(None, out))
    if type(exponent) is not int:
        losses = Extended.of(losses) * Extended(1.0, exponent)
    value = reduced(losses, reduction, over, x.dtype)
    return (value, slopes) if gradient else value


@np.errstate(all="ignore")
def _with_exponents(weight: Any, over: Extended, pos_weight: Any, x: Any) -> tuple[Any, Any, Any]:
    """Return weights and divisors that kernels can multiply with, and the exponents taken out of the weights."""
    w = Extended.of(1.0 if weight is None else weight)
    large = w * Extended(1.0, np.where(pos_weight > 2.0**400, 600, 0))  # as the kernel takes it
    exponent, of_scale = exponents((large,), over, 1.0, x.dtype != np.float64)
    return w.to(power=-exponent), np.ldexp(over.m, -of_scale), exponent


# ---------------------------------------------------------------- arguments


def _labels(labels: Any, x: Any, where: Any) -> Any:
    """Return labels in the type of x, 0 where masked."""
    y = _real(labels, "labels")
    if y.shape != x.shape:
        raise ValueError(f"labels must have the shape of logits, {x.shape}, got {y.shape}")
    y = _masked(y, where, 0.0)
    _check_unit_interval(y, "labels", "in [0, 1]")
    return _cast(y, x.dtype)


def _check_unit_interval(values: Any, name: str, what: str) -> None:
    if not _core.in_unit_interval(values):  # False too for what is not a plain array
        _check_legal((values >= 0) & (values <= 1), values, name, what)


def _broadcast_number(weights: Any, x: Any, name: str) -> Any:
    """Return finite float64 weights that broadcast to the shape of x."""
    weights = _cast(_real(weights, name), np.float64)
    if not _broadcasts(weights.shape, x.shape):
        raise ValueError(f"{name} must broadcast to the shape {x.shape}, got shape {weights.shape}")
    return weights[()] if weights.ndim == 0 else weights


def _sample_weight(sample_weight: Any, x: Any, where: Any) -> Any:
    """Return a weight per element, 0 where masked, or None where all are 1."""
    if sample_weight is None and where is None:
        return None
    given = 1.0 if sample_weight is None else sample_weight
    weight = _broadcast_number(given, x, "sample_weight")
    if where is not None:
        weight = _masked(np.broadcast_to(weight, x.shape), where, 0.0)
    _check_legal(np.isfinite(weight), weight, "sample_weight", "finite")
    return weight


def _pos_weight(pos_weight: Any, x: Any) -> Any:
    if pos_weight is None:
        return np.float64(1.0)
    weight = _broadcast_number(pos_weight, x, "pos_weight")
    _check_legal((weight >= 0) & (weight < np.inf), weight, "pos_weight", "in [0, inf)")
    return weight


def _smoothing(label_smoothing: Any) -> np.float64:
    if not isinstance(label_smoothing, Real) or isinstance(label_smoothing, bool):
        raise TypeError(f"label_smoothing must be a number in [0, 1], got {label_smoothing!r}")
    if not 0 <= float(label_smoothing) <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    return np.float64(float(label_smoothing))
