"""The functions of one number and those along an axis, of tensors, with their first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sigmax
from sigmax._core import arrays_of_tensors

from ._operator import Operator, kept
from ._public import Function, public
from ._tensors import (
    NATIVE,
    array,
    constant,
    is_traced,
    modes,
    result_type,
    temperatures,
    tensor,
)

_operators: dict[str, Operator] = {}


# What each function takes after x, in the order of its operator.
_OPTIONS = {
    "softmax": ("axes", "temperature", "where"),
    "log_softmax": ("axes", "temperature", "where"),
    "logsumexp": ("axes", "temperature", "where", "weights", "keepdims"),
    "inverse_softmax": ("axes", "where"),
    "entropy": ("axes", "temperature", "where", "from_logits", "keepdims"),
}
_SCHEMAS = {
    "axes": "int[] axes",
    "temperature": "float temperature, Tensor? temperatures",
    "where": "Tensor? where",
    "weights": "Tensor? weights",
    "from_logits": "bool from_logits",
    "keepdims": "bool keepdims",
}


def _options(name: str, values: Any) -> dict[str, Any]:
    """Return what an operator's call has after x by names, tensors as they are."""
    names = _OPTIONS.get(name, ())
    if "temperature" in names:
        axes, one, several, *rest = values
        values = (axes, one if several is None else several, *rest)
    return dict(zip(names, values, strict=True))


def _keywords(name: str, values: Any) -> dict[str, Any]:
    """Return the same for the function of arrays."""
    options = {key: array(value) for key, value in _options(name, values).items()}
    if "axes" in options:
        axes = options.pop("axes")
        options["axis"] = axes[0] if len(axes) == 1 else tuple(axes)
    return {key: value for key, value in options.items() if value is not None}


def _define(name: str, second: Callable[..., Any]) -> None:
    """Define the operators of a function and of its vector-Jacobian product.

    `second(x, c, v, *values)` returns the derivatives of Σ v·vjp(x, c) by x and by c.
    """
    function, of_vjp = getattr(sigmax, name), f"{name}_vjp"
    schema = "".join(f", {_SCHEMAS[option]}" for option in _OPTIONS.get(name, ()))

    def compute(x: Tensor, *values: Any) -> Tensor:
        return tensor(function(array(x), **_keywords(name, values)), x.dtype)

    def compute_vjp(x: Tensor, c: Tensor, *values: Any) -> Tensor:
        return tensor(sigmax.vjp(function, array(x), array(c), **_keywords(name, values)), x.dtype)

    def fake(x: Tensor, *values: Any) -> Tensor:
        shape, options = list(x.shape), _options(name, values)
        if "keepdims" in options:
            axes = options["axes"]
            for axis in axes:
                shape[axis] = 1
            if not options["keepdims"]:
                shape = [n for k, n in enumerate(shape) if k - x.ndim not in axes]
        return x.new_empty(shape, dtype=result_type(x))

    def fake_vjp(x: Tensor, *_: Any) -> Tensor:
        return x.new_empty(x.shape, dtype=result_type(x))

    def backward(ctx: Any, c: Any) -> Any:
        (x, *values), _ = kept(ctx)
        return (_operators[of_vjp](x, c, *values),)

    def backward_vjp(ctx: Any, v: Any) -> Any:
        (x, c, *values), _ = kept(ctx)
        options = _options(name, values)
        per_row, flat = "keepdims" in options, c
        if (where := options.get("where")) is not None:
            v = torch.where(where, v, 0.0)
            flat = c if per_row else torch.where(where, c, 0.0)
        if per_row and not options["keepdims"]:
            flat = _unsqueezed(c, options["axes"], x.ndim)
        by_x, by_c = second(x, flat, v, *values)
        return by_x, by_c.reshape(c.shape)

    def batched(which: str, tensors: int) -> Callable[..., Any]:
        def rule(info: Any, dims: Any, *arguments: Any) -> Any:
            if any(isinstance(dim, int) for dim in dims[tensors:]):
                return _operators[which].one_by_one(info, dims, *arguments)
            rows = _in_front(arguments[:tensors], dims[:tensors], info.batch_size)
            return _operators[which](*rows, *arguments[tensors:]), 0

        return rule

    _operators[name] = Operator(
        name, f"(Tensor x{schema}) -> Tensor", compute, fake, backward, batched(name, 1)
    )
    _operators[of_vjp] = Operator(
        of_vjp,
        f"(Tensor x, Tensor cotangent{schema}) -> Tensor",
        compute_vjp,
        fake_vjp,
        backward_vjp,
        batched(of_vjp, 2),
    )


def _vjp(name: str) -> Callable[..., Any]:
    return lambda *arguments: _operators[f"{name}_vjp"](*arguments)


def _in_front(tensors: Any, dims: Any, size: int) -> list[Tensor]:
    """Return tensors with the dimension of a batch in front."""
    return [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, dims, strict=True)
    ]


# ---------------------------------------------------------------- second derivatives


def _of_curvature(name: str, curvature: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return the second derivatives of a function of one number, from `curvature(x, w)` = w·f''(x)."""
    return lambda x, c, v: (curvature(x, c * v), _vjp(name)(x, v))


def _unsqueezed(rows: Tensor, axes: Any, ndim: int) -> Tensor:
    """Return numbers of rows with the class axes, of length 1, in their places."""
    for axis in sorted(ndim + axis for axis in axes):
        rows = rows.unsqueeze(axis)
    return rows


def _temperature(x: Tensor, axes: Any, one: float, several: Any) -> Any:
    """Return temperatures that broadcast against x."""
    if several is None:
        return one
    batch = [n for k, n in enumerate(x.shape) if k - x.ndim not in axes]
    return _unsqueezed(several.expand(batch), axes, x.ndim).to(x.dtype)


def _sum(x: Tensor, axes: Any) -> Tensor:
    return x.sum(list(axes), keepdim=True) if axes else x


def _second_of_softmax(x: Any, c: Any, v: Any, axes: Any, *values: Any) -> Any:
    p = _operators["softmax"](x, axes, *values)
    u = v * c - v * _sum(p * c, axes) - c * _sum(p * v, axes)
    t = _temperature(x, axes, *values[:2])
    return _vjp("softmax")(x, u / t, axes, *values), _vjp("softmax")(x, v, axes, *values)


def _second_of_log_softmax(x: Any, c: Any, v: Any, axes: Any, *values: Any) -> Any:
    p = _operators["softmax"](x, axes, *values)
    t, where = _temperature(x, axes, *values[:2]), values[2]
    by_c = torch.where(_sum(p, axes) > 0, (v - _sum(p * v, axes)) / t, 0.0)
    by_c = by_c if where is None else torch.where(where, by_c, 0.0)
    return _vjp("softmax")(x, v, axes, *values) * (-_sum(c, axes) / t), by_c


def _second_of_logsumexp(x: Any, c: Any, v: Any, axes: Any, *values: Any) -> Any:
    one, several, where, weights, _ = values
    t = _temperature(x, axes, one, several)
    ones = torch.ones_like(c)
    share = _vjp("logsumexp")(x, ones, axes, one, several, where, weights, True)  # p/T
    mean = _sum(share * v, axes)
    return share * (v / t - mean) * c, mean


def _second_of_inverse_softmax(p: Any, c: Any, v: Any, axes: Any, *values: Any) -> Any:
    (where,) = values
    over = _vjp("inverse_softmax")(p, c, axes, where)  # (c − mean)/p
    counted = p > 0 if where is None else where & (p > 0)
    share = torch.where(counted, v / p, 0.0)
    by_c = share - _sum(share, axes) / _sum(counted.to(p.dtype), axes)
    return -share * over, torch.where(counted, by_c, 0.0)


def _second_of_entropy(x: Any, c: Any, v: Any, axes: Any, *values: Any) -> Any:
    one, several, where, from_logits, _ = values
    slope = _vjp("entropy")(x, torch.ones_like(c), axes, one, several, where, from_logits, True)
    by_c = _sum(slope * v, axes)
    if not from_logits:
        return torch.where(x > 0, -c * v / x, 0.0), by_c
    t = _temperature(x, axes, one, several)
    p = _operators["softmax"](x, axes, one, several, where)
    # With m = log p + H: the slope is −p·m/T.
    pm, mean = -slope * t, _sum(p * v, axes)
    by_z = pm * (v - mean) + p * (v - mean - _sum(pm * v, axes))
    return -c * by_z / t**2, by_c


_CURVATURES: dict[str, Callable[[Any, Any], Any]] = {
    "sigmoid": lambda x, w: _vjp("sigmoid")(x, w * torch.tanh(x / -2)),
    "log_sigmoid": lambda x, w: -_vjp("sigmoid")(x, w),
    "softplus": lambda x, w: _vjp("sigmoid")(x, w),
    "logit": lambda p, w: _vjp("logit")(p, _vjp("logit")(p, w * (2 * p - 1))),
    "log1mexp": lambda x, w: _vjp("log1mexp")(x, w * (1 - _vjp("log1mexp")(x, torch.ones_like(x)))),
}
for _name, _curvature in _CURVATURES.items():
    _define(_name, _of_curvature(_name, _curvature))
_define("softmax", _second_of_softmax)
_define("log_softmax", _second_of_log_softmax)
_define("logsumexp", _second_of_logsumexp)
_define("inverse_softmax", _second_of_inverse_softmax)
_define("entropy", _second_of_entropy)

# ---------------------------------------------------------------- the public functions


def _axes_of(axis: Any, x: Tensor) -> list[int]:
    """Return the class axes, counted from the end."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    result = []
    for one in axes:
        if isinstance(one, bool) or not isinstance(one, int):
            raise TypeError(f"axis must be an int, a tuple of ints or None, got {axis!r}")
        if not -x.ndim <= one < x.ndim:
            raise IndexError(f"axis must be in [{-x.ndim}, {x.ndim}), got {one}")
        result.append(one % x.ndim - x.ndim)
    if len(set(result)) < len(result):
        raise ValueError(f"axis must not name a dimension twice, got {axis!r}")
    return result


def _spread(x: Tensor, axes: list[int], several: Any) -> Tensor:
    """Return x, repeated where there are temperatures for more rows than it has."""
    if several is None:
        return x
    batch = [n for k, n in enumerate(x.shape) if k - x.ndim not in axes]
    try:
        rows = list(torch.broadcast_shapes(batch, several.shape))
    except RuntimeError:
        raise ValueError(
            f"temperature of shape {tuple(several.shape)} does not broadcast "
            f"against the batch shape {tuple(batch)}"
        ) from None
    if rows == batch:
        return x
    ndim = len(rows) + len(axes)
    kept_rows = iter(rows)
    shape = [x.shape[k] if k in axes else next(kept_rows) for k in range(-ndim, 0)]
    return x.expand(shape)


def _values(name: str, x: Tensor, given: dict[str, Any]) -> tuple[Tensor, list[Any]]:
    """Return x, with a row for each temperature, and the operator's other arguments, checked."""
    values: list[Any] = []
    for option in _OPTIONS.get(name, ()):
        if option == "axes":
            axes = _axes_of(given["axis"], x)
            values.append(axes)
        elif option == "temperature":
            one, several = temperatures(given[option], x)
            x = _spread(x, axes, several)
            values += [one, several]
        elif option in ("where", "weights"):
            values.append(constant(given[option], option, x))
        else:
            values.append(bool(given[option]))
    return x, values


def _placed(result: Tensor, out: Tensor | None, x: Tensor) -> Tensor:
    """Return the result, or `out` with the result in it."""
    if out is None:
        return result
    if torch.is_grad_enabled() and (x.requires_grad or out.requires_grad):
        raise ValueError("out is for calls without a gradient: detach x, or leave out= away")
    if out.shape != result.shape or out.dtype != result.dtype:
        raise ValueError(
            f"out must have the shape {tuple(result.shape)} and the type {result.dtype}, "
            f"got shape {tuple(out.shape)} and type {out.dtype}"
        )
    return out.copy_(result)


_ARRAYS = (Tensor, np.ndarray, list)


class _AtOnce(torch.autograd.Function):
    """A function whose options are numbers: arrays go to the function of arrays, and to its derivative."""

    @staticmethod
    def takes(arguments: Any, options: dict[str, Any]) -> bool:
        arrays = any(isinstance(a, _ARRAYS) for a in (*arguments, *options.values()))
        return not arrays and "out" not in options

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        function: Function,
        arguments: Any,
        options: Any,
        arrays: Any,
        named: Any,
    ) -> tuple[Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.call = function, arguments, options
        return (tensor(function.of_arrays(*arrays, **named)),)

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        (x,), (function, arguments, options) = ctx.saved_tensors, ctx.call
        nothing = (None,) * 5
        if c is None:
            return None, *nothing
        if not (torch.is_grad_enabled() or is_traced() or modes()):
            arrays = arrays_of_tensors((x.detach(), c))
            if arrays is not None:
                named = dict(zip(function.by_position, arguments, strict=False)) | options
                named = {
                    key: value for key, value in named.items() if value is not None or key == "axis"
                }
                return tensor(sigmax.vjp(function.of_arrays, *arrays, **named)), *nothing
        x, values = _values(function.name, x, function.given(x, arguments, options))
        return _operators[f"{function.name}_vjp"](x, c, *values), *nothing


def _public(name: str) -> Callable[..., Tensor]:
    function = Function(name)

    def at_length(x: Tensor, given: dict[str, Any]) -> Tensor:
        dtype, out = given.get("dtype"), given.get("out")
        if dtype is not None:
            x = x.to(torch.promote_types(x.dtype, dtype))
        x, values = _values(name, x, given)
        result = _operators[name](x, *values)
        return _placed(result if dtype is None else result.to(dtype), out, x)

    return public(function, NATIVE, _AtOnce, at_length, "a tensor.")


sigmoid = _public("sigmoid")
log_sigmoid = _public("log_sigmoid")
softplus = _public("softplus")
logit = _public("logit")
log1mexp = _public("log1mexp")
softmax = _public("softmax")
log_softmax = _public("log_softmax")
logsumexp = _public("logsumexp")
inverse_softmax = _public("inverse_softmax")
entropy = _public("entropy")
