"""Functions along an axis: softmax, its logarithm, its inverse, logsumexp and entropy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, DTypeLike

from . import _core

__all__ = ["entropy", "inverse_softmax", "log_softmax", "logsumexp", "softmax"]

Axis = int | tuple[int, ...] | None

# The short way for plain arrays: it answers None where the arguments need the long way, checks included.
_call_plain = _core.call_plain
_SOFTMAX = _core.axis_functions["softmax"]
_LOG_SOFTMAX = _core.axis_functions["log_softmax"]
_LOGSUMEXP = _core.axis_functions["logsumexp"]
_ENTROPY = _core.axis_functions["entropy"]


def softmax(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Turn logits into a probability distribution along an axis.

    .. math:: p_i = \frac{e^{x_i / T}}{\sum_j e^{x_j / T}}

    Parameters
    ----------
    x : array_like of real numbers, shape (..., C, ...)
        Logits. -inf has probability 0; +inf logits share probability 1 equally.
    axis : int, tuple of int or None
        The class axis. Several axes, or all for None, are normalised together.
    temperature : float or array_like
        Positive, in [2^-1022, 2^1000]. An array broadcasts against the batch dimensions, those of ``x``
        without ``axis``: one temperature per row.
    where : array_like of bool, optional
        Broadcasts against ``x``; classes where it is False have probability 0.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.
    dtype : dtype, optional
        Type of the computation and the result. By default float16, float32, float64 and bfloat16 keep
        their type; bool and integers become float64.

    Returns
    -------
    ndarray, shape of ``x``
        Probabilities in [0, 1]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.8 ULP,
        float64 1 ULP (1.5 for subnormal results), at any spread of the logits. A row with NaN is NaN;
        a row that is masked throughout is 0.

    Raises
    ------
    TypeError
        If ``x`` is complex, longdouble, not numeric, or a masked array.
    ValueError
        If a temperature is not in [2^-1022, 2^1000], or shapes do not match.
    AxisError
        If ``axis`` is out of bounds.

    See Also
    --------
    log_softmax, logsumexp, inverse_softmax

    References
    ----------
    Bridle, J. S. (1990). Probabilistic interpretation of feedforward classification network outputs.
    doi:10.1007/978-3-642-76153-9_28.
    Hinton, G., Vinyals, O., Dean, J. (2015). Distilling the knowledge in a neural network. arXiv:1503.02531.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.softmax([4.0, 2.0, 1.0, -1.0])
    array([0.83902451, 0.11354962, 0.04177257, 0.0056533 ])
    >>> sigmax.softmax([4.0, 2.0, 1.0, -1.0], temperature=[0.5, 10.0]).round(3)
    array([[0.98 , 0.018, 0.002, 0.   ],
           [0.316, 0.259, 0.234, 0.192]])
    >>> sigmax.softmax([1000.0, 1001.0, float("-inf")])
    array([0.26894142, 0.73105858, 0.        ])
    """
    if where is None and dtype is None and type(axis) is int and axis == -1:
        result = _call_plain(_SOFTMAX, x, None, temperature, out)
        if result is not None:
            return result
    return _per_class(_core.softmax, x, axis, (_positive(temperature),), where, out, dtype)


def log_softmax(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Logarithm of the softmax along an axis, exact for confident rows.

    .. math:: \log p_i = \frac{x_i}{T} - \log \sum_j e^{x_j / T}

    Parameters
    ----------
    x, axis, temperature, where, out, dtype
        As for :func:`softmax`.

    Returns
    -------
    ndarray, shape of ``x``
        In [-inf, 0]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.7 ULP, float64 1 ULP, also
        where the result is as small as 1e-300. A row with NaN is NaN; a row that is masked throughout
        is -inf.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and softmax
    functions. doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.log_softmax([40.0, 0.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    if where is None and dtype is None and type(axis) is int and axis == -1:
        result = _call_plain(_LOG_SOFTMAX, x, None, temperature, out)
        if result is not None:
            return result
    return _per_class(_core.log_softmax, x, axis, (_positive(temperature),), where, out, dtype)


def logsumexp(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    where: ArrayLike | None = None,
    keepdims: bool = False,
    out: np.ndarray | None = None,
) -> Any:
    r"""Logarithm of the sum of exponentials along an axis.

    .. math:: \operatorname{lse}(x) = \log \sum_j w_j \, e^{x_j / T}

    Parameters
    ----------
    x, axis, temperature, where
        As for :func:`softmax`.
    weights : array_like of real numbers, optional
        The w, finite, broadcast against ``x``. A class of weight 0 is left out, whatever its logit. Where the
        weighted sum is negative the result is NaN.
    keepdims : bool
        Keep the reduced axes with length 1.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray or scalar, shape of ``x`` without ``axis``
        In [-inf, inf]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.8 ULP, float64 1 ULP; a float64
        result close to 0 that comes of cancellation between the largest logit and the logarithm has an
        absolute error of 2^-56 of the largest logit. A row with +inf is inf, with NaN is NaN, a row that
        is empty or masked throughout is -inf.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and softmax
    functions. doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.logsumexp([0.0, -40.0]))
    4.248354255291589e-18
    >>> print(sigmax.logsumexp([1000.0, 1000.0], weights=[1.0, 3.0]))
    1001.3862943611199
    """
    if weights is None:
        if where is None and type(axis) is int and axis == -1 and not keepdims:
            result = _call_plain(_LOGSUMEXP, x, None, temperature, out)
            if result is not None:
                return result
        return _per_row(
            _core.logsumexp, x, axis, (), (_positive(temperature),), where, keepdims, out
        )
    x = _real(x)
    operands = (_weights_for(weights, x),)
    return _per_row(
        _core.logsumexp_weighted, x, axis, operands, (_positive(temperature),), where, keepdims, out
    )


def inverse_softmax(
    p: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Logits of zero mean whose softmax is ``p``: the partner of :func:`logit` for many classes.

    .. math:: x_i = \log p_i - \frac{1}{C} \sum_j \log p_j

    Parameters
    ----------
    p : array_like of real numbers, shape (..., C, ...)
        Probabilities in [0, 1]; they need not sum to 1. A class of probability 0 has the logit -inf and
        is left out of the mean.
    axis, where, out, dtype
        As for :func:`softmax`.

    Returns
    -------
    ndarray, shape of ``p``
        In [-inf, inf]. Largest error: float16, bfloat16 and float32 0.51 ULP, float64 2 ULP where the
        logarithm and the mean do not cancel. A row with NaN or a number outside [0, 1] is NaN.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Aitchison, J. (1982). The statistical analysis of compositional data (the centred log-ratio).
    doi:10.1111/j.2517-6161.1982.tb01195.x.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.inverse_softmax([0.25, 0.25, 0.25, 0.25])
    array([0., 0., 0., 0.])
    >>> sigmax.softmax(sigmax.inverse_softmax([0.7, 0.2, 0.1])).round(12)
    array([0.7, 0.2, 0.1])
    """
    return _per_class(_core.inverse_softmax, p, axis, (), where, out, dtype, masked=0.0)


def entropy(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    keepdims: bool = False,
    out: np.ndarray | None = None,
) -> Any:
    r"""Entropy of a distribution along an axis, in nats, from its logits or its probabilities.

    .. math:: H = -\sum_i p_i \log p_i, \quad p = \operatorname{softmax}(x / T)

    Parameters
    ----------
    x : array_like of real numbers, shape (..., C, ...)
        Logits, or probabilities with ``from_logits=False``; those are taken as given, not normalised.
    from_logits : bool
        What ``x`` is; nothing is guessed from its values.
    temperature
        As for :func:`softmax`; only with logits.
    axis, where
        As for :func:`softmax`.
    keepdims, out
        As for :func:`logsumexp`.

    Returns
    -------
    ndarray or scalar, shape of ``x`` without ``axis``
        In [0, log C]. Largest error: float16, bfloat16 and float32 0.51 ULP, float64 2 ULP. 0·log 0 is 0. A
        row with NaN, or with a number outside [0, 1] for probabilities, is NaN.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`; also a temperature for probabilities.

    References
    ----------
    Shannon, C. E. (1948). A mathematical theory of communication. doi:10.1002/j.1538-7305.1948.tb01338.x.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.entropy([0.0, 0.0, float("-inf")]))
    0.6931471805599453
    >>> print(sigmax.entropy([0.5, 0.25, 0.25], from_logits=False))
    1.0397207708399179
    """
    if from_logits:
        if where is None and type(axis) is int and axis == -1 and not keepdims:
            result = _call_plain(_ENTROPY, x, None, temperature, out)
            if result is not None:
                return result
        scalars: tuple[Any, ...] = (_positive(temperature),)
        return _per_row(_core.entropy, x, axis, (), scalars, where, keepdims, out)
    _refuse_temperature(temperature)
    return _per_row(
        _core.entropy_of_probabilities, x, axis, (), (), where, keepdims, out, masked=0.0
    )


# ---------------------------------------------------------------- arguments


def _real(x: Any, name: str = "x", dtype: Any = None) -> Any:
    """Return x as an array of floating-point numbers; bool and integers become float64, or `dtype`."""
    _refuse_masked(x, name)
    if not isinstance(getattr(x, "dtype", None), np.dtype) or isinstance(x, np.generic):
        x = np.asarray(x)
    if x.dtype.kind not in "biufV" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")
    if dtype is not None:
        return _cast(x, _floating(dtype))
    if x.dtype.kind in "biu":
        return x.astype(np.float64)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _refuse_masked(x: Any, name: str) -> None:
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data and where=~{name}.mask")


def _floating(dtype: Any) -> np.dtype[Any]:
    result: np.dtype[Any] = np.dtype(dtype)
    if result.name not in ("float16", "float32", "float64", "bfloat16"):
        raise TypeError(f"dtype must be float16, float32, float64 or bfloat16, got {result}")
    return result


def _cast(x: Any, dtype: Any) -> Any:
    """Return x as `dtype`; what is too large becomes infinite, without a warning."""
    if x.dtype == dtype:
        return x
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def _positive(temperature: Any) -> Any:
    """Check that temperatures are positive, and neither subnormal nor close to overflow."""
    if type(temperature) is int:
        temperature = float(temperature)
    if type(temperature) is float and _SMALLEST_TEMPERATURE <= temperature <= _LARGEST_TEMPERATURE:
        return temperature
    _refuse_masked(temperature, "temperature")
    t = np.asarray(temperature)
    if t.dtype.kind not in "fiu":
        raise TypeError(f"temperature must be real numbers, got {temperature!r}")
    t = t.astype(np.float64, copy=False)
    legal = (t >= _SMALLEST_TEMPERATURE) & (t <= _LARGEST_TEMPERATURE)
    _check_legal(legal, t, "temperature", "in [2^-1022, 2^1000]")
    return t


def _check_legal(legal: Any, values: Any, name: str, what: str) -> None:
    """Raise an error about the first of the values that is not legal."""
    if not legal.all():
        index = tuple(int(i) for i in np.argwhere(~legal)[0])
        where = f" at index {index}" if index else ""
        raise ValueError(f"{name} must be {what}, got {values[index]}{where}")


_SMALLEST_TEMPERATURE, _LARGEST_TEMPERATURE = 2.0**-1022, 2.0**1000


def _refuse_temperature(temperature: Any) -> None:
    if type(temperature) is not float or temperature != 1.0:
        raise ValueError(f"temperature needs from_logits=True, got temperature={temperature!r}")


def _weights_for(weights: Any, x: Any) -> Any:
    """Return weights in the type and shape of x."""
    weights = _cast(_real(weights, "weights"), x.dtype)
    if not _broadcasts(weights.shape, x.shape):
        raise ValueError(
            f"weights must broadcast to the shape {x.shape}, got shape {weights.shape}"
        )
    return np.broadcast_to(weights, x.shape)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )


def _masked(x: Any, where: Any, value: float) -> Any:
    """Return x with `value` where the mask is False."""
    return x if where is None else np.where(_mask(where, x.shape), x, x.dtype.type(value))


def _mask(where: Any, shape: tuple[int, ...]) -> Any:
    """Return a mask, checked, in the given shape."""
    _refuse_masked(where, "where")
    mask = np.asarray(where)
    if mask.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {mask.dtype}")
    if not _broadcasts(mask.shape, shape):
        raise ValueError(f"where must broadcast to the shape {shape}, got shape {mask.shape}")
    return np.broadcast_to(mask, shape)


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes as a tuple of non-negative ints; an int must be one of the array's."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    if not all(hasattr(a, "__index__") and not isinstance(a, bool) for a in axes):
        raise TypeError(f"axis must be an int, a tuple of ints or None, got {axis!r}")
    return normalize_axis_tuple(axes, ndim, "axis")


def _check_batch(scalars: tuple[Any, ...], x: Any, axes: tuple[int, ...]) -> None:
    """Check that temperatures broadcast against the batch dimensions, those of x without the axes."""
    batch = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    for scalar in scalars:
        shape = np.shape(scalar)
        if not all(
            1 in (n, m) or n == m for n, m in zip(reversed(shape), reversed(batch), strict=False)
        ):
            raise ValueError(
                f"temperature of shape {shape} does not broadcast against the batch shape {batch}"
            )


def _joined(x: Any, axes: tuple[int, ...]) -> Any:
    """Return x with the given axes moved to the end and joined into one."""
    if len(axes) == 1:
        return np.moveaxis(x, axes[0], -1)
    moved = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x
    batch = moved.shape[: x.ndim - len(axes)]
    classes = int(np.prod(moved.shape[len(batch) :], dtype=np.intp))
    return moved.reshape((*batch, classes))


def _split(y: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Undo `_joined` on a result that may have more batch dimensions in front."""
    if len(axes) == 1:
        return np.moveaxis(y, -1, axes[0] - len(shape))
    ends = tuple(axis - len(shape) for axis in axes)
    split = y.reshape(y.shape[:-1] + tuple(shape[axis] for axis in axes))
    return np.moveaxis(split, range(-len(axes), 0), ends) if axes else split


def _per_class(
    ufunc: Callable[..., Any],
    x: Any,
    axis: Axis,
    scalars: tuple[Any, ...],
    where: Any,
    out: np.ndarray | None,
    dtype: Any,
    *,
    masked: float = -np.inf,
    operands: tuple[Any, ...] = (),
) -> Any:
    """Call a gufunc (n), ... -> (n) along any axes.

    `operands` have the shape of x, `scalars` broadcast against its batch; masked classes become `masked`.
    """
    x = _masked(_real(x, dtype=dtype), where, masked)
    axes = _axes(axis, x.ndim)
    _check_batch(scalars, x, axes)
    if out is not None:
        _check_out(out)
    if len(axes) == 1:
        if out is None and _has_layout(x, axes[0], scalars):
            out = _core.empty_like(x)
        return ufunc(x, *operands, *scalars, out, axis=axes[0] - x.ndim)
    joined = [_joined(operand, axes) for operand in (x, *operands)]
    result = _split(ufunc(*joined, *scalars), x.shape, axes)
    if out is None:
        return result
    if out.shape != result.shape:
        raise ValueError(f"out must have the shape {result.shape}, got {out.shape}")
    np.copyto(out, result, casting="same_kind")
    return out


def _has_layout(x: Any, axis: int, scalars: tuple[Any, ...]) -> bool:
    """Whether the result is like x in shape and type, and NumPy must be told to keep the layout of x."""
    if type(x) is not np.ndarray or (axis == x.ndim - 1 and x.flags.c_contiguous):
        return False
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    return all(_broadcasts(np.shape(scalar), batch) for scalar in scalars)


def _per_row(
    ufunc: Callable[..., Any],
    x: Any,
    axis: Axis,
    operands: tuple[Any, ...],
    scalars: tuple[Any, ...],
    where: Any,
    keepdims: bool,
    out: np.ndarray | None,
    *,
    masked: float = -np.inf,
) -> Any:
    """Call a gufunc (n), ... -> () along any axes."""
    x = _masked(_real(x), where, masked)
    axes = _axes(axis, x.ndim)
    _check_batch(scalars, x, axes)
    if out is not None:
        _check_out(out)
    if len(axes) == 1 and not keepdims:
        return ufunc(x, *operands, *scalars, out, axis=axes[0] - x.ndim)
    joined = [_joined(operand, axes) for operand in (x, *operands)]
    kept = tuple(axis - x.ndim for axis in axes)
    if out is None:
        result = ufunc(*joined, *scalars)
        return np.expand_dims(result, kept) if keepdims else result
    ufunc(*joined, *scalars, np.squeeze(out, kept) if keepdims else out)
    return out


def _check_out(out: Any) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an ndarray, got {type(out).__name__}")
