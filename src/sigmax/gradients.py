"""Gradients without a framework: the vector-Jacobian product of every function, value and gradient of every loss."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core, elementwise, normalization
from ._arguments import NO_TEMPERATURE, Axis, exact_arithmetic
from ._axis import per_class, require_batch, result_shape, weighted
from ._loss import definitions, general_value_and_gradient

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
    rule = _elementwise if fn in _elementwise_rules else _axis_rules[fn]
    if fn in _direct_rules and options.keys() <= {"axis", "temperature"}:
        axis, temperature = options.get("axis", -1), options.get("temperature", 1.0)
        result = _core.direct(_direct_rules[fn], axis, x, cotangent, temperature, None)
        if result is not None:
            return result
    for option in options:
        if option not in _options_of(rule):
            raise TypeError(f"{fn.__name__} has no option {option!r} that vjp takes")
    with exact_arithmetic():
        values = _arguments.real(x)
        cotangent = _arguments.same_library(cotangent, values)
        for name in {"where", "weights"} & options.keys():
            options[name] = _arguments.same_library(options[name], values)
        values, weights = _arguments.in_common_type(values, cotangent, "cotangent")
        if rule is _elementwise:
            gradient = _elementwise(values, weights, _elementwise_rules[fn])
        else:
            gradient = _summed_to(rule(values, weights, **options), values.shape)
        return _arguments.as_given(gradient, x)


def _options_of(rule: Callable[..., Any]) -> set[str]:
    return set() if rule is _elementwise else set(list(inspect.signature(rule).parameters)[2:])


def _summed_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Undo a broadcast: a number that was repeated gets the sum of the gradients."""
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(k for k, n in enumerate(shape) if n == 1 and gradient.shape[k] != 1)
    return gradient.sum(axis=repeated, keepdims=True)


def _elementwise(x: Any, cotangent: Any, rule: np.ufunc) -> Any:
    _require_shape(cotangent, x.shape)
    return rule(x, cotangent)


def _require_shape(cotangent: Any, shape: tuple[int, ...]) -> None:
    if cotangent.shape != tuple(shape):
        raise ValueError(
            f"cotangent must have the shape of the output, {tuple(shape)}, got {cotangent.shape}"
        )


def _repeated(x: Any, axis: Axis, temperature: Any) -> tuple[Any, tuple[int, ...]]:
    """Return x with its rows repeated for an array of temperatures, and the axes, counted from the end."""
    axes = _arguments.axes(axis, x.ndim)
    ends = tuple(k - x.ndim for k in axes)
    if temperature is NO_TEMPERATURE or type(temperature) is float:
        return x, ends
    temperature = _arguments.temperatures(_arguments.same_library(temperature, x))
    if np.ndim(temperature) == 0:
        return x, ends
    require_batch(temperature, x.shape, axes)
    return np.broadcast_to(x, result_shape(x.shape, axes, (temperature,))), ends


def _per_class(
    ufunc: Any,
    x: Any,
    cotangent: Any,
    axis: Axis,
    temperature: Any = NO_TEMPERATURE,
    *,
    where: Any = None,
    of_probabilities: bool = False,
) -> Any:
    """Return the gradient of a function with a result for each class."""
    x, axes = _repeated(x, axis, temperature)
    _require_shape(cotangent, x.shape)
    gradient = per_class(
        ufunc,
        x,
        axes,
        temperature,
        where=where,
        operands=(_arguments.masked(cotangent, where, 0.0),),
        of_probabilities=of_probabilities,
    )
    return _arguments.masked(gradient, where, 0.0)


def _softmax(x: Any, c: Any, axis: Axis = -1, *, temperature: Any = 1.0, where: Any = None) -> Any:
    return _per_class(_core.softmax_vjp, x, c, axis, temperature, where=where)


def _log_softmax(
    x: Any, c: Any, axis: Axis = -1, *, temperature: Any = 1.0, where: Any = None
) -> Any:
    return _per_class(_core.log_softmax_vjp, x, c, axis, temperature, where=where)


def _inverse_softmax(p: Any, c: Any, axis: Axis = -1, *, where: Any = None) -> Any:
    c, power = _with_room_for_sums(c, p, axis)
    ufunc = _core.inverse_softmax_vjp
    gradient = _per_class(ufunc, p, c, axis, where=where, of_probabilities=True)
    return gradient if power is None else np.ldexp(gradient, power)


def _with_room_for_sums(c: Any, p: Any, axis: Axis) -> tuple[Any, Any]:
    """Return cotangents whose sums cannot overflow, and the exponents of what gives them back; None for none."""
    if type(c) is not np.ndarray or c.dtype != np.float64 or c.shape != p.shape:
        return c, None
    sizes = np.where(p > 0, np.abs(c), 0.0)
    largest = np.max(sizes, axis=_arguments.axes(axis, c.ndim), keepdims=True, initial=0.0)
    is_large = largest > 2.0**900
    if not is_large.any():
        return c, None
    power = np.where(is_large, 100, 0)
    return np.ldexp(c, -power), power


def _per_row(
    ufunc: Any,
    x: Any,
    cotangent: Any,
    axis: Axis,
    temperature: Any,
    keepdims: Any,
    *,
    where: Any = None,
    operands: tuple[Any, ...] = (),
    of_probabilities: bool = False,
) -> Any:
    """Return the gradient of a function with a result for each row."""
    x, axes = _repeated(x, axis, temperature)
    gone = {k % x.ndim for k in axes}
    batch = tuple(n for k, n in enumerate(x.shape) if k not in gone)
    kept = tuple(1 if k in gone else n for k, n in enumerate(x.shape))
    _require_shape(cotangent, kept if _arguments.flag(keepdims, "keepdims") else batch)
    gradient = per_class(
        ufunc,
        x,
        axes,
        temperature,
        where=where,
        operands=operands,
        scalars=(cotangent.reshape(batch),),
        of_probabilities=of_probabilities,
    )
    return _arguments.masked(gradient, where, 0.0)


def _logsumexp(
    x: Any,
    c: Any,
    axis: Axis = -1,
    *,
    temperature: Any = 1.0,
    weights: Any = None,
    where: Any = None,
    keepdims: Any = False,
) -> Any:
    if weights is None:
        return _per_row(_core.logsumexp_vjp, x, c, axis, temperature, keepdims, where=where)
    x, (w,) = weighted(x, weights, where)
    c = _arguments.cast(c, x.dtype)
    rows, _ = _repeated(x, axis, temperature)
    return _per_row(
        _core.logsumexp_weighted_vjp,
        x,
        c,
        axis,
        temperature,
        keepdims,
        where=where,
        operands=(np.broadcast_to(w, rows.shape),),
    )


def _entropy(
    x: Any,
    c: Any,
    axis: Axis = -1,
    *,
    from_logits: Any = True,
    temperature: Any = 1.0,
    where: Any = None,
    keepdims: Any = False,
) -> Any:
    if _arguments.flag(from_logits, "from_logits"):
        return _per_row(_core.entropy_vjp, x, c, axis, temperature, keepdims, where=where)
    _arguments.no_temperature(temperature)
    ufunc = _core.entropy_of_probabilities_vjp
    options = {"where": where, "of_probabilities": True}
    return _per_row(ufunc, x, c, axis, NO_TEMPERATURE, keepdims, **options)


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
_direct_rules: dict[Any, int] = {
    normalization.softmax: _core.rows_functions["softmax_vjp"],
    normalization.log_softmax: _core.rows_functions["log_softmax_vjp"],
    normalization.logsumexp: _core.rows_functions["logsumexp_vjp"],
    normalization.entropy: _core.rows_functions["entropy_vjp"],
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
    if not callable(loss) or loss not in definitions:
        names = ", ".join(f.__name__ for f in definitions)
        raise TypeError(f"loss must be one of {names}, got {loss!r}")
    return _value_and_gradient(loss)


@functools.cache
def _value_and_gradient(loss: Callable[..., Any]) -> "ValueAndGradient":
    return ValueAndGradient(loss)


class ValueAndGradient:
    """The function that :func:`value_and_grad` returns."""

    def __init__(self, loss: Callable[..., Any]) -> None:
        functools.update_wrapper(self, loss)
        signature = inspect.signature(loss)
        out = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any)
        self.__signature__ = signature.replace(parameters=[*signature.parameters.values(), out])
        self.name, self.loss, self.definition = loss.__name__, loss, definitions[loss]

    def __call__(self, *arguments: Any, out: Any = None, **options: Any) -> Any:
        both = _core.loss_and_gradient(self.name, arguments, options, out)
        if both is None:
            return general_value_and_gradient(self.definition, out, *arguments, **options)
        return both

    def __reduce__(self) -> Any:
        return value_and_grad, (self.loss,)

    def __repr__(self) -> str:
        return f"value_and_grad({self.loss.__name__})"
