"""Gradients without a framework: the vector-Jacobian product of every function, value and gradient of every loss."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core, elementwise, losses, normalization
from .binary_cross_entropy import _binary_cross_entropy, binary_cross_entropy
from .distillation import _distillation_loss, distillation_loss
from .linear_cross_entropy import _linear_cross_entropy, linear_cross_entropy
from .normalization import (
    Axis,
    _axes,
    _cast,
    _check_batch,
    _masked,
    _per_class,
    _positive,
    _real,
    _refuse_temperature,
    _split,
    _weights_for,
)

__all__ = ["value_and_grad", "vjp"]


def vjp(fn: Callable[..., Any], x: ArrayLike, cotangent: ArrayLike, /, **options: Any) -> Any:
    r"""Vector-Jacobian product: the gradient of ``sum(cotangent * fn(x, **options))`` with respect to ``x``.

    .. math:: g_i = \sum_k c_k \, \frac{\partial f_k}{\partial x_i}

    Parameters
    ----------
    fn : function
        ``sigmoid``, ``log_sigmoid``, ``softplus``, ``logit``, ``log1mexp``, ``softmax``, ``log_softmax``,
        ``logsumexp``, ``inverse_softmax`` or ``entropy`` of this package.
    x : array_like of real numbers
        Where the derivative is taken.
    cotangent : array_like of real numbers, shape of ``fn(x, **options)``
        The weights of the outputs.
    **options
        Those of ``fn``: ``axis``, ``temperature``, ``weights``, ``where``, ``keepdims``, ``from_logits``.

    Returns
    -------
    ndarray, shape of ``x``
        Largest error: float16, bfloat16 and float32 below 1 ULP, float64 below 2 ULP, confident rows
        included: the winner's gradient is the sum of the others, never p - 1. Where terms of both signs
        cancel, the float64 error is 2 ULP of the sum of their absolute values. Gradients are 0 for masked
        classes and rows, and 0 for a cotangent of 0.

    Raises
    ------
    TypeError
        If ``fn`` is not one of these functions or has no such option.
    ValueError
        If shapes do not match, or as ``fn`` does.

    References
    ----------
    Griewank, A., Walther, A. (2008). Evaluating Derivatives. doi:10.1137/1.9780898717761.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.vjp(sigmax.log_softmax, [40.0, 0.0], [1.0, 0.0])
    array([ 4.24835426e-18, -4.24835426e-18])
    >>> print(sigmax.vjp(sigmax.sigmoid, 0.0, 1.0))
    0.25
    """
    if not callable(fn) or not (fn in _elementwise_rules or fn in _axis_rules):
        names = ", ".join(f.__name__ for f in (*_elementwise_rules, *_axis_rules))
        raise TypeError(f"fn must be one of {names}, got {fn!r}")
    if fn in _elementwise_rules:
        return _elementwise(_elementwise_rules[fn], x, cotangent, options)
    if fn in _plain_rules and options.keys() <= {"axis", "temperature"} and _is_last(options):
        temperature = options.get("temperature", 1.0)
        result = _core.call_plain(_plain_rules[fn], x, cotangent, temperature, None)
        if result is not None:
            return result
    values = _real(x)
    weights = _cast(_real(cotangent, "cotangent"), values.dtype)
    shape = _shape_with_temperatures(values, options)
    if shape == values.shape:
        return _axis_rules[fn](values, weights, **options)
    axes = tuple(axis - values.ndim for axis in _axes(options.get("axis", -1), values.ndim))
    spread = np.broadcast_to(values, shape)
    return _summed_to(_axis_rules[fn](spread, weights, **{**options, "axis": axes}), values.shape)


def _is_last(options: dict[str, Any]) -> bool:
    axis = options.get("axis", -1)
    return type(axis) is int and axis == -1


def _shape_with_temperatures(x: Any, options: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of x when its rows are repeated for an array of temperatures."""
    if np.ndim(options.get("temperature", 1.0)) == 0:
        return tuple(x.shape)
    temperatures = _positive(options["temperature"])
    axes = _axes(options.get("axis", -1), x.ndim)
    _check_batch((temperatures,), x, axes)
    batch = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    classes = int(np.prod([x.shape[axis] for axis in axes], dtype=np.intp))
    rows = np.broadcast_shapes(batch, temperatures.shape)
    return tuple(_split(np.broadcast_to(0.0, (*rows, classes)), x.shape, axes).shape)


def _summed_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Undo a broadcast: a number that was repeated gets the sum of the gradients."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(k for k, n in enumerate(shape) if n == 1 and gradient.shape[k] != 1)
    return gradient.sum(axis=repeated, keepdims=True)


def _elementwise(rule: np.ufunc, x: Any, cotangent: Any, options: dict[str, Any]) -> Any:
    if options:
        raise TypeError(f"elementwise functions have no option {next(iter(options))!r}")
    x = _real(x)
    _check_shape(cotangent := _cast(_real(cotangent, "cotangent"), x.dtype), x.shape)
    return rule(x, cotangent)


def _check_shape(cotangent: Any, shape: tuple[int, ...]) -> None:
    if cotangent.shape != shape:
        raise ValueError(
            f"cotangent must have the shape of the output, {shape}, got {cotangent.shape}"
        )


def _vjp_per_class(
    rule: np.ufunc,
    x: Any,
    cotangent: Any,
    axis: Axis,
    where: Any,
    scalars: tuple[Any, ...],
    masked: float,
) -> Any:
    _check_shape(cotangent, x.shape)
    cotangent = _masked(cotangent, where, 0.0)
    gradient = _per_class(
        rule, x, axis, scalars, where, None, None, operands=(cotangent,), masked=masked
    )
    return _masked(gradient, where, 0.0)


def _softmax(x: Any, c: Any, axis: Axis = -1, *, temperature: Any = 1.0, where: Any = None) -> Any:
    return _vjp_per_class(_core.softmax_vjp, x, c, axis, where, (_positive(temperature),), -np.inf)


def _log_softmax(
    x: Any, c: Any, axis: Axis = -1, *, temperature: Any = 1.0, where: Any = None
) -> Any:
    return _vjp_per_class(
        _core.log_softmax_vjp, x, c, axis, where, (_positive(temperature),), -np.inf
    )


def _inverse_softmax(p: Any, c: Any, axis: Axis = -1, *, where: Any = None) -> Any:
    return _vjp_per_class(_core.inverse_softmax_vjp, p, c, axis, where, (), 0.0)


def _row_cotangent(x: Any, cotangent: Any, axis: Axis, keepdims: bool) -> Any:
    """Return the cotangent in the shape of the batch dimensions."""
    axes = _axes(axis, x.ndim)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    batch = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    _check_shape(cotangent, kept if keepdims else batch)
    return cotangent.reshape(batch)


def _logsumexp(
    x: Any,
    c: Any,
    axis: Axis = -1,
    *,
    temperature: Any = 1.0,
    weights: Any = None,
    where: Any = None,
    keepdims: bool = False,
) -> Any:
    scalars = (_row_cotangent(x, c, axis, keepdims), _positive(temperature))
    if weights is None:
        return _per_class(_core.logsumexp_vjp, x, axis, scalars, where, None, None)
    operands = (_weights_for(weights, x),)
    return _per_class(
        _core.logsumexp_weighted_vjp, x, axis, scalars, where, None, None, operands=operands
    )


def _entropy(
    x: Any,
    c: Any,
    axis: Axis = -1,
    *,
    from_logits: bool = True,
    temperature: Any = 1.0,
    where: Any = None,
    keepdims: bool = False,
) -> Any:
    row_cotangent = _row_cotangent(x, c, axis, keepdims)
    if from_logits:
        scalars = (row_cotangent, _positive(temperature))
        return _per_class(_core.entropy_vjp, x, axis, scalars, where, None, None)
    _refuse_temperature(temperature)
    rule = _core.entropy_of_probabilities_vjp
    gradient = _per_class(rule, x, axis, (row_cotangent,), where, None, None, masked=0.0)
    return _masked(gradient, where, 0.0)


_elementwise_rules: dict[Any, np.ufunc] = {
    elementwise.sigmoid: _core.sigmoid_vjp,
    elementwise.log_sigmoid: _core.log_sigmoid_vjp,
    elementwise.softplus: _core.softplus_vjp,
    elementwise.logit: _core.logit_vjp,
    elementwise.log1mexp: _core.log1mexp_vjp,
}
_axis_rules: dict[Any, Callable[..., Any]] = {
    normalization.softmax: _softmax,
    normalization.log_softmax: _log_softmax,
    normalization.logsumexp: _logsumexp,
    normalization.inverse_softmax: _inverse_softmax,
    normalization.entropy: _entropy,
}
_plain_rules: dict[Any, int] = {
    normalization.softmax: _core.axis_functions["softmax_vjp"],
    normalization.log_softmax: _core.axis_functions["log_softmax_vjp"],
    normalization.logsumexp: _core.axis_functions["logsumexp_vjp"],
    normalization.entropy: _core.axis_functions["entropy_vjp"],
}


def value_and_grad(loss: Callable[..., Any], /) -> Callable[..., Any]:
    r"""Turn a loss into a function that returns its value and its gradient, from one pass.

    .. math:: (x, \ldots) \mapsto \left( L(x, \ldots), \;
        \frac{\partial}{\partial x} \sum_n L_n(x, \ldots) \right)

    Parameters
    ----------
    loss : function
        ``binary_cross_entropy``, ``cross_entropy``, ``kl_divergence``, ``distillation_loss`` or
        ``linear_cross_entropy`` of this package.

    Returns
    -------
    function
        It takes the arguments of ``loss``, and ``out``: an array for the gradient, of the shape and type of the first
        argument, which it may be itself; for ``linear_cross_entropy`` a tuple of three, each an array or None.
        It returns a tuple.

        value : scalar or ndarray
            Bit for bit what ``loss`` returns.
        gradient : ndarray
            With respect to the first argument, in its shape and type; of ``linear_cross_entropy`` a tuple: with
            respect to features, weight and bias (None without a bias). With ``reduction="none"`` it is the gradient
            of the sum. Finite wherever the value is, short of overflow; 0 for what is masked or left out.
            Largest error: float16 and bfloat16 0.51 ULP, float32 1 ULP, float64 2 ULP, confident rows included: the
            gradient of their label is the sum of the others, never p - 1. Where terms of both signs cancel, as those
            of soft labels do, the float64 error is 2 ULP of the sum of their absolute values. What
            ``linear_cross_entropy`` adds to this is said there.

    Raises
    ------
    TypeError
        If ``loss`` is not one of these functions, or ``out`` is not an array.
    ValueError
        If ``out`` has another shape or type or is read-only, or as ``loss`` does; ``out`` is then left alone.

    See Also
    --------
    vjp : the gradient of the functions that are not losses.

    References
    ----------
    Griewank, A., Walther, A. (2008). Evaluating Derivatives. doi:10.1137/1.9780898717761.

    Examples
    --------
    >>> import sigmax
    >>> value, gradient = sigmax.value_and_grad(sigmax.cross_entropy)([[40.0, 0.0]], [0])
    >>> print(value)
    4.248354255291589e-18
    >>> gradient
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    if not callable(loss) or loss not in _losses:
        names = ", ".join(f.__name__ for f in _losses)
        raise TypeError(f"loss must be one of {names}, got {loss!r}")
    implementation = _losses[loss]

    @functools.wraps(loss)
    def both(*arguments: Any, out: Any = None, **options: Any) -> Any:
        return implementation(*arguments, gradient=True, out=out, **options)

    return both


_losses: dict[Any, Callable[..., Any]] = {
    binary_cross_entropy: _binary_cross_entropy,
    losses.cross_entropy: losses._cross_entropy,
    losses.kl_divergence: losses._kl_divergence,
    distillation_loss: _distillation_loss,
    linear_cross_entropy: _linear_cross_entropy,
}
