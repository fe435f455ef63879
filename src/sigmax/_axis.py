"""Calls of the core along any axes: a generalised ufunc of rows, from the arguments of a function to its result."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _arguments, _core
from ._arguments import NO_TEMPERATURE, Axis, exact_arithmetic


def per_class(
    ufunc: Callable[..., Any],
    x: Any,
    axis: Axis,
    temperature: Any = NO_TEMPERATURE,
    *,
    where: Any = None,
    out: Any = None,
    dtype: Any = None,
    operands: tuple[Any, ...] = (),
    scalars: tuple[Any, ...] = (),
    of_probabilities: bool = False,
    name: str = "x",
) -> Any:
    """Call a gufunc (n), ... -> (n).

    `operands` have the shape of x, `scalars` and the temperature, if there is one, are numbers for each row.
    """
    with exact_arithmetic():
        given, x = x, _arguments.real(x, name)
        kind = None
        if dtype is not None:
            kind = _arguments.floating(dtype)
            x = _arguments.cast(x, _arguments.common_type(x.dtype, kind))
        x, axes, scalars = _rows(x, name, axis, temperature, where, scalars, of_probabilities)
        if out is not None:
            shape = result_shape(x.shape, axes, scalars)
            _arguments.result_place(out, shape, kind or x.dtype)
        if kind in (None, x.dtype):
            result = _call(ufunc, x, operands, scalars, axes, out)
            return result if out is not None else _arguments.as_given(result, given)
        result = _arguments.cast(_call(ufunc, x, operands, scalars, axes, None), kind)
        if out is None:
            return _arguments.as_given(result, given)
        np.copyto(out, result, casting="same_kind")
        return out


def per_row(
    ufunc: Callable[..., Any],
    x: Any,
    axis: Axis,
    temperature: Any = NO_TEMPERATURE,
    *,
    where: Any = None,
    keepdims: Any = False,
    out: Any = None,
    operands: tuple[Any, ...] = (),
    of_probabilities: bool = False,
) -> Any:
    """Call a gufunc (n), ... -> ()."""
    with exact_arithmetic():
        x = _arguments.real(x)
        x, axes, scalars = _rows(x, "x", axis, temperature, where, (), of_probabilities)
        keepdims = _arguments.flag(keepdims, "keepdims")
        if out is not None:
            kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
            shape = result_shape(kept, axes, scalars)
            if not keepdims:
                gone = {k - x.ndim for k in axes}
                shape = tuple(n for k, n in enumerate(shape) if k - len(shape) not in gone)
            _arguments.result_place(out, shape, x.dtype)
        if len(axes) == 1 and not keepdims:
            others = (_arguments.in_blocks(o, x, axes[0]) for o in (*operands, *scalars))
            return ufunc(x, *others, out, axis=axes[0] - x.ndim)
        joined = [join_axes(operand, axes) for operand in (x, *operands)]
        scalars = tuple(_arguments.in_blocks(scalar, joined[0]) for scalar in scalars)
        ends = tuple(k - x.ndim for k in axes)
        if out is not None:
            ufunc(*joined, *scalars, np.squeeze(out, ends) if keepdims else out)
            return out
        result = ufunc(*joined, *scalars)
        return np.expand_dims(result, ends) if keepdims and x.ndim else result


def weighted(x: Any, weights: Any, where: Any) -> tuple[Any, tuple[Any]]:
    """Return x and its weights in one type and shape; what is masked has the weight 0, whatever it holds."""
    with exact_arithmetic():
        x = _arguments.real(x)
        weights, where = (_arguments.same_library(a, x) for a in (weights, where))
        x, w = _arguments.in_common_type(x, weights, "weights")
        try:
            shape = np.broadcast_shapes(x.shape, w.shape)
        except ValueError:
            raise ValueError(
                f"weights of the shape {tuple(w.shape)} and x of the shape {tuple(x.shape)} do not broadcast"
            ) from None
        x, w = (a if a.shape == shape else np.broadcast_to(a, shape) for a in (x, w))
        return x, (_arguments.masked(w, where, 0.0),)


def _rows(
    x: Any,
    name: str,
    axis: Axis,
    temperature: Any,
    where: Any,
    scalars: tuple[Any, ...],
    of_probabilities: bool,
) -> tuple[Any, tuple[int, ...], tuple[Any, ...]]:
    """Return x as the core is to see it, the axes, and the numbers for each row."""
    where = _arguments.same_library(where, x)
    x = _arguments.masked(x, where, 0.0 if of_probabilities else -np.inf)
    if of_probabilities:
        x = _arguments.at_most_1(x)
    axes = _arguments.axes(axis, x.ndim)
    _arguments.one_block(x, name, axes)
    if temperature is not NO_TEMPERATURE:
        temperature = _arguments.temperatures(_arguments.same_library(temperature, x))
        require_batch(temperature, x.shape, axes)
        scalars = (*scalars, temperature)
    return x, axes, scalars


def require_batch(temperature: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Check that temperatures broadcast against the batch dimensions, those without the axes."""
    batch = tuple(n for k, n in enumerate(shape) if k not in axes)
    if np.ndim(temperature) and not all(
        1 in (n, m) or n == m
        for n, m in zip(reversed(temperature.shape), reversed(batch), strict=False)
    ):
        raise ValueError(
            f"temperature of shape {temperature.shape} does not broadcast against the batch shape {batch}"
        )


def result_shape(
    shape: tuple[int, ...], axes: tuple[int, ...], scalars: tuple[Any, ...]
) -> tuple[int, ...]:
    """Return the shape of x when its rows are repeated for arrays of numbers; axes count from the end."""
    if all(np.ndim(scalar) == 0 for scalar in scalars):
        return tuple(shape)
    batch = tuple(n for k, n in enumerate(shape) if k not in axes)
    rows = list(np.broadcast_shapes(batch, *(np.shape(scalar) for scalar in scalars)))
    ndim = len(rows) + len(axes)
    ends = {k - len(shape) + ndim: shape[k] for k in axes}
    return tuple(ends[k] if k in ends else rows.pop(0) for k in range(ndim))


def _call(
    ufunc: Callable[..., Any],
    x: Any,
    operands: tuple[Any, ...],
    scalars: tuple[Any, ...],
    axes: tuple[int, ...],
    out: Any,
) -> Any:
    if len(axes) == 1:
        if out is None and _has_layout(x, axes[0], scalars):
            out = _core.empty_like(x)
        others = (_arguments.in_blocks(o, x, axes[0]) for o in (*operands, *scalars))
        return ufunc(x, *others, out, axis=axes[0] - x.ndim)
    joined = [join_axes(operand, axes) for operand in (x, *operands)]
    scalars = tuple(_arguments.in_blocks(scalar, joined[0]) for scalar in scalars)
    result = split_axes(ufunc(*joined, *scalars), x.shape, axes)
    if out is None:
        return result if result.ndim else result[()]
    np.copyto(out, result, casting="same_kind")
    return out


def _has_layout(x: Any, axis: int, scalars: tuple[Any, ...]) -> bool:
    """Whether the result is like x in shape and type, and NumPy must be told to keep the layout of x."""
    if type(x) is not np.ndarray or (axis == x.ndim - 1 and x.flags.c_contiguous):
        return False
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    return all(_arguments.broadcasts(np.shape(scalar), batch) for scalar in scalars)


def join_axes(x: Any, axes: tuple[int, ...]) -> Any:
    """Return x with the given axes moved to the end and joined into one."""
    if len(axes) == 1:
        return x if axes[0] == x.ndim - 1 else np.moveaxis(x, axes[0], -1)
    moved = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x
    batch = moved.shape[: x.ndim - len(axes)]
    classes = int(np.prod(moved.shape[len(batch) :], dtype=np.intp))
    return moved.reshape((*batch, classes))


def split_axes(y: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Undo `join_axes` on a result that may have more batch dimensions in front."""
    if axes == (len(shape) - 1,):
        return y
    ends = tuple(axis - len(shape) for axis in axes)
    split = y.reshape(y.shape[:-1] + tuple(shape[axis] for axis in axes))
    return np.moveaxis(split, range(-len(axes), 0), ends) if axes else split
