"""The functions of one number and those along an axis, of tensors, with their first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import sigmax

from ._operator import Operator, kept
from ._tensors import (
    array,
    checked,
    constant,
    is_quick,
    is_quick_option,
    result_type,
    temperatures,
    tensor,
)

_operators: dict[str, Operator] = {}


def _call(name: str) -> Callable[..., Any]:
    return lambda *arguments: _operators[name](*arguments)


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


# ---------------------------------------------------------------- one number


def _define_elementwise(name: str, curvature: Callable[[Any, Any], Any]) -> None:
    """Define the operators of a function and of its vector-Jacobian product.

    `curvature(x, w)` is w·f''(x).
    """
    function = getattr(sigmax, name)

    def compute(x: Tensor) -> Tensor:
        return tensor(function(array(x)), x.dtype)

    def compute_vjp(x: Tensor, c: Tensor) -> Tensor:
        return tensor(sigmax.vjp(function, array(x), array(c)), x.dtype)

    def fake(x: Tensor, *_: Any) -> Tensor:
        return x.new_empty(x.shape, dtype=result_type(x))

    def backward(ctx: Any, c: Any) -> Any:
        (x,), _ = kept(ctx)
        return (_operators[f"{name}_vjp"](x, c),)

    def backward_vjp(ctx: Any, v: Any) -> Any:
        (x, c), _ = kept(ctx)
        return curvature(x, c * v), _operators[f"{name}_vjp"](x, v)

    def batched(which: str) -> Callable[..., Any]:
        def rule(info: Any, dims: Any, *tensors: Any) -> Any:
            return _operators[which](*_in_front(tensors, dims, info.batch_size)), 0

        return rule

    _operators[name] = Operator(
        name, "(Tensor x) -> Tensor", compute, fake, backward, batched(name)
    )
    _operators[f"{name}_vjp"] = Operator(
        f"{name}_vjp",
        "(Tensor x, Tensor cotangent) -> Tensor",
        compute_vjp,
        fake,
        backward_vjp,
        batched(f"{name}_vjp"),
    )


def _in_front(tensors: Any, dims: Any, size: int) -> list[Tensor]:
    """Return tensors with the dimension of a batch in front."""
    return [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, dims, strict=True)
    ]


def _vjp(name: str) -> Callable[..., Any]:
    return _call(f"{name}_vjp")


_define_elementwise("sigmoid", lambda x, w: _vjp("sigmoid")(x, w * torch.tanh(x / -2)))
_define_elementwise("log_sigmoid", lambda x, w: -_vjp("sigmoid")(x, w))
_define_elementwise("softplus", lambda x, w: _vjp("sigmoid")(x, w))
_define_elementwise("logit", lambda p, w: _vjp("logit")(p, _vjp("logit")(p, w * (2 * p - 1))))
_define_elementwise(
    "log1mexp",
    lambda x, w: _vjp("log1mexp")(x, w * (1 - _vjp("log1mexp")(x, torch.ones_like(x)))),
)


def _elementwise(name: str) -> Callable[..., Tensor]:
    """Return the public function."""
    function, operator = getattr(sigmax, name), _operators[name]

    def of_tensor(x: Tensor, /, *, out: Tensor | None = None) -> Tensor:
        if out is None and is_quick(x):
            return tensor(function(x.numpy()))
        return _placed(operator(checked(x, "x", name)), out, x)

    of_tensor.__name__ = of_tensor.__qualname__ = name
    of_tensor.__doc__ = f"``sigmax.{name}`` of a tensor."
    return of_tensor


sigmoid = _elementwise("sigmoid")
log_sigmoid = _elementwise("log_sigmoid")
softplus = _elementwise("softplus")
logit = _elementwise("logit")
log1mexp = _elementwise("log1mexp")

# ---------------------------------------------------------------- along an axis

# What each function takes after x and the axes, in the order of its operator.
_OPTIONS = {
    "softmax": ("temperature", "where"),
    "log_softmax": ("temperature", "where"),
    "logsumexp": ("temperature", "where", "weights", "keepdims"),
    "inverse_softmax": ("where",),
    "entropy": ("temperature", "where", "from_logits", "keepdims"),
}
_SCHEMAS = {
    "temperature": "float temperature, Tensor? temperatures",
    "where": "Tensor? where",
    "weights": "Tensor? weights",
    "from_logits": "bool from_logits",
    "keepdims": "bool keepdims",
}


def _options(name: str, values: Any) -> dict[str, Any]:
    """Return the options of an operator's call by their names, tensors as they are."""
    names = _OPTIONS[name]
    if names[0] == "temperature":
        one, several, *rest = values
        values = (one if several is None else several, *rest)
    return dict(zip(names, values, strict=True))


def _define_along_axis(name: str, second: Callable[..., Any]) -> None:
    """Define the operators of a function and of its vector-Jacobian product.

    `second(x, c, v, axes, options)` returns the derivatives of Σ v·vjp(x, c) by x and by c.
    """
    function = getattr(sigmax, name)
    per_class = name in ("softmax", "log_softmax", "inverse_softmax")
    schema = "int[] axes, " + ", ".join(_SCHEMAS[option] for option in _OPTIONS[name])

    def plain(values: Any) -> dict[str, Any]:
        options = {key: array(value) for key, value in _options(name, values).items()}
        return {key: value for key, value in options.items() if value is not None}

    def compute(x: Tensor, axes: Any, *values: Any) -> Tensor:
        return tensor(function(array(x), _axis(axes), **plain(values)), x.dtype)

    def compute_vjp(x: Tensor, c: Tensor, axes: Any, *values: Any) -> Tensor:
        options = plain(values)
        return tensor(
            sigmax.vjp(function, array(x), array(c), axis=_axis(axes), **options), x.dtype
        )

    def fake(x: Tensor, axes: Any, *values: Any) -> Tensor:
        shape = list(x.shape)
        if not per_class:
            keepdims = _options(name, values)["keepdims"]
            for axis in sorted(axes, reverse=True):
                shape[axis] = 1
            if not keepdims:
                shape = [n for k, n in enumerate(shape) if k - x.ndim not in axes]
        return x.new_empty(shape, dtype=result_type(x))

    def fake_vjp(x: Tensor, *_: Any) -> Tensor:
        return x.new_empty(x.shape, dtype=result_type(x))

    def backward(ctx: Any, c: Any) -> Any:
        (x, *others), _ = kept(ctx)
        return (_vjp(name)(x, c, *others),)

    def backward_vjp(ctx: Any, v: Any) -> Any:
        (x, c, axes, *values), _ = kept(ctx)
        options = _options(name, values)
        if (where := options.get("where")) is not None:
            v = torch.where(where, v, 0.0)
            c = torch.where(where, c, 0.0) if per_class else c
        flat = c if per_class or options["keepdims"] else _unsqueezed(c, axes, x.ndim)
        by_x, by_c = second(x, flat, v, axes, values)
        return by_x, by_c.reshape(c.shape)

    def batched(which: str, tensors: int) -> Callable[..., Any]:
        def rule(info: Any, dims: Any, *arguments: Any) -> Any:
            if any(isinstance(dim, int) for dim in dims[tensors:]):
                return _operators[which].one_by_one(info, dims, *arguments)
            rows = _in_front(arguments[:tensors], dims[:tensors], info.batch_size)
            return _operators[which](*rows, *arguments[tensors:]), 0

        return rule

    _operators[name] = Operator(
        name, f"(Tensor x, {schema}) -> Tensor", compute, fake, backward, batched(name, 1)
    )
    _operators[f"{name}_vjp"] = Operator(
        f"{name}_vjp",
        f"(Tensor x, Tensor cotangent, {schema}) -> Tensor",
        compute_vjp,
        fake_vjp,
        backward_vjp,
        batched(f"{name}_vjp", 2),
    )


def _axis(axes: Any) -> Any:
    return axes[0] if len(axes) == 1 else tuple(axes)


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


def _second_of_softmax(x: Any, c: Any, v: Any, axes: Any, values: Any) -> Any:
    p = _operators["softmax"](x, axes, *values)
    u = v * c - v * _sum(p * c, axes) - c * _sum(p * v, axes)
    t = _temperature(x, axes, *values[:2])
    return _vjp("softmax")(x, u / t, axes, *values), _vjp("softmax")(x, v, axes, *values)


def _second_of_log_softmax(x: Any, c: Any, v: Any, axes: Any, values: Any) -> Any:
    p = _operators["softmax"](x, axes, *values)
    t, where = _temperature(x, axes, *values[:2]), values[2]
    by_c = torch.where(_sum(p, axes) > 0, (v - _sum(p * v, axes)) / t, 0.0)
    by_c = by_c if where is None else torch.where(where, by_c, 0.0)
    return _vjp("softmax")(x, v, axes, *values) * (-_sum(c, axes) / t), by_c


def _second_of_logsumexp(x: Any, c: Any, v: Any, axes: Any, values: Any) -> Any:
    one, several, where, weights, _ = values
    t = _temperature(x, axes, one, several)
    ones = torch.ones_like(c)
    share = _vjp("logsumexp")(x, ones, axes, one, several, where, weights, True)  # p/T
    mean = _sum(share * v, axes)
    return share * (v / t - mean) * c, mean


def _second_of_inverse_softmax(p: Any, c: Any, v: Any, axes: Any, values: Any) -> Any:
    (where,) = values
    over = _vjp("inverse_softmax")(p, c, axes, where)  # (c − mean)/p
    counted = p > 0 if where is None else where & (p > 0)
    share = torch.where(counted, v / p, 0.0)
    by_c = share - _sum(share, axes) / _sum(counted.to(p.dtype), axes)
    return -share * over, torch.where(counted, by_c, 0.0)


def _second_of_entropy(x: Any, c: Any, v: Any, axes: Any, values: Any) -> Any:
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


_define_along_axis("softmax", _second_of_softmax)
_define_along_axis("log_softmax", _second_of_log_softmax)
_define_along_axis("logsumexp", _second_of_logsumexp)
_define_along_axis("inverse_softmax", _second_of_inverse_softmax)
_define_along_axis("entropy", _second_of_entropy)


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


def _along_axis(
    name: str, x: Any, axis: Any, out: Any, dtype: Any = None, **options: Any
) -> Tensor:
    """Check the arguments of the public function and call the operator."""
    if dtype is None and is_quick(x) and all(map(is_quick_option, (out, *options.values()))):
        arrays = {key: array(value) for key, value in options.items()}
        result = getattr(sigmax, name)(x.numpy(), axis, **arrays, out=array(out))
        return tensor(result) if out is None else out
    checked(x, "x", name)
    if dtype is not None:
        wide = torch.promote_types(x.dtype, dtype)
        x = x.to(wide)
    axes = _axes_of(axis, x)
    values: list[Any] = []
    for option in _OPTIONS[name]:
        value = options[option]
        if option == "temperature":
            one, several = temperatures(value, x)
            x = _spread(x, axes, several)
            values += [one, several]
        elif option in ("where", "weights"):
            values.append(constant(value, option, x))
        else:
            values.append(bool(value))
    result = _operators[name](x, axes, *values)
    return _placed(result if dtype is None else result.to(dtype), out, x)


def softmax(
    x: Tensor,
    /,
    axis: Any = -1,
    *,
    temperature: Any = 1.0,
    where: Any = None,
    out: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``sigmax.softmax`` of a tensor."""
    if axis == -1 and where is out is dtype is None and type(temperature) is float and is_quick(x):
        return tensor(sigmax.softmax(x.numpy(), temperature=temperature))
    return _along_axis("softmax", x, axis, out, dtype, temperature=temperature, where=where)


def log_softmax(
    x: Tensor,
    /,
    axis: Any = -1,
    *,
    temperature: Any = 1.0,
    where: Any = None,
    out: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``sigmax.log_softmax`` of a tensor."""
    if axis == -1 and where is out is dtype is None and type(temperature) is float and is_quick(x):
        return tensor(sigmax.log_softmax(x.numpy(), temperature=temperature))
    return _along_axis("log_softmax", x, axis, out, dtype, temperature=temperature, where=where)


def logsumexp(
    x: Tensor,
    /,
    axis: Any = -1,
    *,
    temperature: Any = 1.0,
    weights: Any = None,
    where: Any = None,
    keepdims: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``sigmax.logsumexp`` of a tensor; ``weights`` get no gradient."""
    plain = axis == -1 and weights is where is out is None and not keepdims
    if plain and type(temperature) is float and is_quick(x):
        return tensor(sigmax.logsumexp(x.numpy(), temperature=temperature))
    return _along_axis(
        "logsumexp",
        x,
        axis,
        out,
        temperature=temperature,
        weights=weights,
        where=where,
        keepdims=keepdims,
    )


def inverse_softmax(
    p: Tensor,
    /,
    axis: Any = -1,
    *,
    where: Any = None,
    out: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``sigmax.inverse_softmax`` of a tensor."""
    return _along_axis("inverse_softmax", p, axis, out, dtype, where=where)


def entropy(
    x: Tensor,
    /,
    axis: Any = -1,
    *,
    from_logits: bool = True,
    temperature: Any = 1.0,
    where: Any = None,
    keepdims: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``sigmax.entropy`` of a tensor."""
    return _along_axis(
        "entropy",
        x,
        axis,
        out,
        from_logits=from_logits,
        temperature=temperature,
        where=where,
        keepdims=keepdims,
    )
