"""The losses of tensors: value and gradient come from one pass, the second derivative from the first's parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sigmax

from . import _functions
from ._operator import Operator, kept, requires_grad
from ._public import Function, public
from ._tensors import (
    HALVES,
    array,
    checked,
    constant,
    is_plain,
    normalised,
    result_type,
    temperatures,
    tensor,
)

_TEMPERATURE = "float temperature, Tensor? temperatures"
_OF_LABELS = (
    "Tensor? class_weight, Tensor? sample_weight, float label_smoothing, Tensor? smoothing_prior, "
    "int? ignore_index, Tensor? where, float z_loss, str reduction, float? normalizer"
)
_SCHEMAS = {
    "cross_entropy": f"Tensor labels, int axis, bool from_logits, {_TEMPERATURE}, {_OF_LABELS}",
    "kl_divergence": "Tensor labels, int axis, bool from_logits, bool labels_from_logits, "
    f"{_TEMPERATURE}, Tensor? sample_weight, Tensor? where, str reduction, float? normalizer",
    "distillation_loss": "Tensor teacher_logits, Tensor? labels, int axis, "
    f"{_TEMPERATURE}, float alpha, {_OF_LABELS}",
    "binary_cross_entropy": "Tensor labels, bool from_logits, Tensor? pos_weight, "
    "Tensor? sample_weight, float label_smoothing, Tensor? where, str reduction, float? normalizer",
    "linear_cross_entropy": f"Tensor weight, Tensor? bias, Tensor labels, {_TEMPERATURE}, {_OF_LABELS}",
}
_CONSTANTS = (
    "class_weight",
    "labels",
    "pos_weight",
    "sample_weight",
    "smoothing_prior",
    "teacher_logits",
    "where",
)


_NAMES = {
    loss: [part.split()[-1] for part in schema.split(", ")] for loss, schema in _SCHEMAS.items()
}


def _options(loss: str, values: Any) -> dict[str, Any]:
    """Return the arguments after the first of an operator's call by their names."""
    options = dict(zip(_NAMES[loss], values, strict=True))
    if "temperatures" in options:
        several = options.pop("temperatures")
        options["temperature"] = options["temperature"] if several is None else several
    return options


def _arrays(x: Any, options: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of the function of arrays, by position and by name.

    Half precision is widened: a gradient must not vanish before it is multiplied by the scale of the loss.
    """
    arrays = {key: array(value) for key, value in options.items()}
    for key in ("weight", "bias"):
        if key in arrays:
            arrays[key] = _widened(arrays[key])
    labels, axis = options["labels"], options.get("axis", -1)
    binary, logits = "pos_weight" in options, options.get("labels_from_logits")
    if getattr(labels, "dtype", None) is torch.bfloat16 and not (binary or logits):
        arrays["labels"] = normalised(arrays["labels"], axis)
    first = array(x)
    if options.get("from_logits", True):
        first = _widened(first)
    elif x.dtype is torch.bfloat16 and not binary:
        first = normalised(first, axis)
    by_position = ("teacher_logits", "weight", "labels")
    others = [arrays.pop(key) for key in by_position if arrays.get(key) is not None]
    return [first, *others], {key: a for key, a in arrays.items() if key != "labels"}


def _wide(x: Tensor) -> Any:
    """Return the type of gradients: half precision is widened."""
    return torch.float32 if x.dtype in HALVES else result_type(x)


def _widened(x: Any) -> Any:
    return x.astype(np.float32) if x is not None and x.dtype == np.float16 else x


def _define(loss: str, second: Callable[..., Any]) -> None:
    """Define two operators: the value, and value and gradient.

    `second(x, v, options)` returns the product of the second derivative and v, times the type of v.
    """
    function, both = getattr(sigmax, loss), _both[loss]
    schema = f"(Tensor x, {_SCHEMAS[loss]})"

    def compute(x: Tensor, *values: Any) -> Tensor:
        arguments, options = _arrays(x, _options(loss, values))
        return _narrowed(function(*arguments, **options), x)

    def compute_both(x: Tensor, *values: Any) -> tuple[Tensor, ...]:
        arguments, options = _arrays(x, _options(loss, values))
        value, gradient = both(*arguments, **options)
        gradient = tensor(gradient)
        return _narrowed(value, x), gradient.float() if x.dtype in HALVES else gradient

    def fake(x: Tensor, *values: Any) -> Tensor:
        options = _options(loss, values)
        shape = list(x.shape) if options["reduction"] == "none" else []
        if shape and "axis" in options:
            del shape[options["axis"]]
        return x.new_empty(shape, dtype=result_type(x))

    def fake_both(x: Tensor, *values: Any) -> tuple[Tensor, ...]:
        return fake(x, *values), x.new_empty(x.shape, dtype=_wide(x))

    def backward(ctx: Any, by_value: Any, by_gradient: Any) -> Any:
        (x, *values), (gradient,) = kept(ctx)
        options = _options(loss, values)
        return (_chained(loss, x, gradient, by_value, by_gradient, options.get("axis"), options),)

    _seconds[loss] = second
    _operators[loss] = Operator(loss, f"{schema} -> Tensor", compute, fake)
    _operators[f"{loss}_gradient"] = Operator(
        f"{loss}_gradient", f"{schema} -> (Tensor, Tensor)", compute_both, fake_both, backward
    )


_operators: dict[str, Operator] = {}
_seconds: dict[str, Callable[..., Any]] = {}


def _chained(
    loss: str,
    x: Tensor,
    gradient: Tensor,
    by_value: Any,
    by_gradient: Any,
    axis: int | None,
    options: dict[str, Any],
) -> Any:
    """Return the gradient for x, from those for the value and for the gradient."""
    result = None
    if by_value is not None:
        result = _scaled(gradient, by_value, axis)
        result = result if result.dtype is x.dtype else result.to(x.dtype)
    if by_gradient is not None:
        curved = _seconds[loss](x, by_gradient.to(x.dtype), options)
        result = curved if result is None else result + curved
    return result


class _AtOnce(torch.autograd.Function):
    """A loss and its gradient at once: the arguments go to the function of arrays as they are."""

    @staticmethod
    def takes(*_: Any) -> bool:
        return True

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        function: Function,
        arguments: Any,
        options: Any,
        arrays: Any,
        named: Any,
    ) -> tuple[Tensor, Tensor]:
        value, gradient = _both[function.name](*arrays, **named)
        gradient = tensor(gradient)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, gradient)
        ctx.call = function, arguments, options
        return tensor(value), gradient

    @staticmethod
    def backward(ctx: Any, by_value: Any, by_gradient: Any) -> Any:
        (x, gradient), (function, arguments, options) = ctx.saved_tensors, ctx.call
        given: dict[str, Any] = {}
        if by_gradient is not None or (by_value is not None and by_value.ndim):
            given = function.given(x, arguments, options)
        if by_gradient is not None:
            if _are_sparse(given):
                raise TypeError(_ONLY_ONCE)
            given = _options(function.name, _checked_values(function.name, x, given))
        axis = given.get("axis")
        chained = _chained(function.name, x, gradient, by_value, by_gradient, axis, given)
        return chained, *(None,) * 5


_both = {loss: sigmax.value_and_grad(getattr(sigmax, loss)) for loss in _SCHEMAS}


def _narrowed(value: Any, x: Tensor) -> Tensor:
    result = tensor(value)
    return result.to(x.dtype) if x.dtype in HALVES else result


def _scaled(gradient: Tensor, scale: Tensor, axis: int | None) -> Tensor:
    """Return the gradient times that of the value, which is 1 at the end of a network: no pass is spent on it."""
    if scale.ndim == 0 and is_plain(scale) and not scale.requires_grad:
        return gradient if scale.item() == 1 else gradient * scale
    if scale.ndim and axis is not None:
        scale = scale.unsqueeze(axis)
    return gradient * scale


# ---------------------------------------------------------------- second derivatives


def _constant_logits(x: Tensor, options: dict[str, Any], **changed: Any) -> Tensor:
    """Return the loss for equal logits, which tells what weight the labels of each row have."""
    zeros = torch.zeros_like(x).detach()
    loss = "cross_entropy" if "axis" in options else "binary_cross_entropy"
    names = _NAMES[loss]
    values = {**options, **changed}
    if "temperature" in values:
        one, several = temperatures(values["temperature"], x)
        values |= {"temperature": one, "temperatures": several}
    return _operators[loss](zeros, *(values[name] for name in names))


def _mass(x: Tensor, options: dict[str, Any]) -> Tensor:
    """Return s·Σ w·q of each row over the divisor of the mean, with the class axis as 1."""
    axis, where = options["axis"], options["where"]
    plain = {"from_logits": True, "temperature": 1.0, "z_loss": 0.0, "normalizer": None}
    rows = _constant_logits(x, options, **plain, reduction="none")
    count = (
        torch.full_like(rows, x.shape[axis])
        if where is None
        else where.expand(x.shape).sum(axis).to(x.dtype)
    )
    weights = torch.where(count > 1, rows / count.log(), 0.0)
    return weights.unsqueeze(axis) / _divisor(x, options)


def _divisor(x: Tensor, options: dict[str, Any]) -> Any:
    """Return what the sum of the losses is divided by."""
    if options["reduction"] != "mean":
        return 1.0
    if options["normalizer"] is not None:
        return options["normalizer"]
    plain = {"from_logits": True, "temperature": 1.0, "z_loss": 0.0, "normalizer": None}
    plain |= {"label_smoothing": 0.0, "smoothing_prior": None, "where": None}
    total = _constant_logits(x, options, **plain, reduction="sum") / math.log(
        x.shape[options["axis"]]
    )
    return torch.where(total == 0, torch.inf, total)


def _curvature(x: Tensor, v: Tensor, mass: Any, options: dict[str, Any]) -> Tensor:
    """Return (mass/T)·J·v, with the Jacobian J of the softmax: the second derivative of mass·logsumexp(x/T)."""
    one, several = temperatures(options["temperature"], x)
    axis = options["axis"]
    t = _functions._temperature(x, [axis], one, several)
    jacobian = _functions._vjp("softmax")(x, v, [axis], one, several, options["where"])
    return mass / t * jacobian


def _second_of_cross_entropy(x: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    if options["where"] is not None:
        v = torch.where(options["where"], v, 0.0)
    if not options["from_logits"]:
        return _second_of_logarithms(x, v, "cross_entropy", options)
    result = _curvature(x, v, _mass(x, options), options)
    if options["z_loss"]:
        result = result + _second_of_z_loss(x, v, options)
    return result


def _second_of_z_loss(x: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    """Return the second derivative of z·Λ², with Λ = logsumexp(x/T), times v."""
    axis, where = options["axis"], options["where"]
    one, several = temperatures(options["temperature"], x)
    lse = _functions._operators["logsumexp"](x, [axis], one, several, where, None, True)
    p = _functions._operators["softmax"](x, [axis], one, several, where)
    t = _functions._temperature(x, [axis], one, several)
    kept_rows = _constant_logits(
        x, {**options, "class_weight": None, "sample_weight": None}, **_COUNTING
    )
    scale = (
        2 * options["z_loss"] * (kept_rows > 0).to(x.dtype).unsqueeze(axis) / _divisor(x, options)
    )
    mean = (p * v).sum(axis, keepdim=True)
    return _curvature(x, v, scale * lse, options) + scale * p * mean / t**2


_COUNTING = {
    "from_logits": True,
    "temperature": 1.0,
    "z_loss": 0.0,
    "normalizer": None,
    "where": None,
    "label_smoothing": 0.0,
    "smoothing_prior": None,
    "reduction": "none",
}


def _second_of_logarithms(p: Tensor, v: Tensor, loss: str, options: dict[str, Any]) -> Tensor:
    """Return it where the loss is −Σ a·log p, whose gradient is −a/p."""
    values = dict(options)
    one, several = temperatures(values.pop("temperature"), p)
    values |= {"temperature": one, "temperatures": several}
    _, gradient = _operators[f"{loss}_gradient"](p, *(values[name] for name in _NAMES[loss]))
    return torch.where(p > 0, -gradient.to(p.dtype) * v / p, 0.0)


def _second_of_kl_divergence(x: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    if options["where"] is not None:
        v = torch.where(options["where"], v, 0.0)
    if not options["from_logits"]:
        return _second_of_logarithms(x, v, "kl_divergence", options)
    if options["labels_from_logits"]:  # any distribution has the weight of one
        options = {**options, "labels": _uniform(x, options)}
    return _curvature(x, v, _mass(x, _WITHOUT_LABELS | options), options)


def _uniform(x: Tensor, options: dict[str, Any]) -> Tensor:
    """Return labels of weight 1 for the classes that are not masked."""
    where = options["where"]
    possible = torch.ones_like(x) if where is None else where.expand(x.shape).to(x.dtype)
    return possible / possible.sum(options["axis"], keepdim=True)


_WITHOUT_LABELS = {
    "class_weight": None,
    "label_smoothing": 0.0,
    "smoothing_prior": None,
    "ignore_index": None,
    "z_loss": 0.0,
}


def _second_of_distillation_loss(x: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    alpha, t = options["alpha"], options["temperature"]
    if options["labels"] is None:
        labelled, of_labels = torch.zeros_like(x), _WITHOUT_LABELS
    else:
        hard = {**options, "from_logits": True, "temperature": 1.0}
        labelled = (1 - alpha) * _second_of_cross_entropy(x, v, hard)
        of_labels = {"ignore_index": options["ignore_index"]}
    if options["where"] is not None:
        v = torch.where(options["where"], v, 0.0)
    labels = options["labels"]
    if labels is None or options["ignore_index"] is None:
        labels = _uniform(x, options)
        of_labels = {"ignore_index": None}
    soft = _WITHOUT_LABELS | {
        key: options[key] for key in ("axis", "sample_weight", "where", "reduction", "normalizer")
    }
    soft |= {"labels": labels, "temperature": t, "from_logits": True, **of_labels}
    one, several = temperatures(t, x)
    square = _functions._temperature(x, [options["axis"]], one, several) ** 2
    return alpha * square * _curvature(x, v, _mass(x, soft), soft) + labelled


def _second_of_binary_cross_entropy(x: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    equal = {"from_logits": True, "reduction": "none", "normalizer": None}
    weight, where, over = options["sample_weight"], options["where"], options["normalizer"]
    if over is None:
        ones = torch.ones_like(x) if weight is None else weight.expand(x.shape)
        total = ones.sum() if where is None else torch.where(where, ones, 0.0).sum()
        over = torch.where(total == 0, torch.inf, total) if options["reduction"] == "mean" else 1.0
    mass = _constant_logits(x, options, **equal) / math.log(2) / over
    if options["from_logits"]:
        return mass * _functions._vjp("sigmoid")(x, v)
    negative = _constant_logits(x, {**options, "pos_weight": torch.zeros_like(x)}, **equal)
    negative = negative / math.log(2) / over
    positive = torch.where(x > 0, (mass - negative) / x**2, 0.0)
    return v * (positive + torch.where(x < 1, negative / (1 - x) ** 2, 0.0))


_define("cross_entropy", _second_of_cross_entropy)
_define("kl_divergence", _second_of_kl_divergence)
_define("distillation_loss", _second_of_distillation_loss)
_define("binary_cross_entropy", _second_of_binary_cross_entropy)

# ---------------------------------------------------------------- a linear layer


def _define_linear() -> None:
    """Define the operators of `linear_cross_entropy`: the value, and value and three gradients."""
    loss = "linear_cross_entropy"
    both = _both[loss]
    schema = f"(Tensor x, {_SCHEMAS[loss]})"

    def compute(x: Tensor, *values: Any) -> Tensor:
        arguments, options = _arrays(x, _options(loss, values))
        return _narrowed(sigmax.linear_cross_entropy(*arguments, **options), x)

    def compute_both(x: Tensor, *values: Any) -> tuple[Tensor, ...]:
        arguments, options = _arrays(x, _options(loss, values))
        value, gradients = both(*arguments, **options)
        of_bias = tensor(gradients[2]) if gradients[2] is not None else torch.zeros(0)
        return _narrowed(value, x), tensor(gradients[0]), tensor(gradients[1]), of_bias

    def fake(x: Tensor, *values: Any) -> Tensor:
        shape = x.shape[:-1] if _options(loss, values)["reduction"] == "none" else ()
        return x.new_empty(shape, dtype=result_type(x))

    def fake_both(x: Tensor, weight: Tensor, bias: Any, *values: Any) -> tuple[Tensor, ...]:
        def like(a: Tensor) -> Tensor:
            return a.new_empty(a.shape, dtype=_wide(a))

        of_bias = x.new_empty(0, dtype=torch.float32) if bias is None else like(bias)
        return fake(x, weight, bias, *values), like(x), like(weight), of_bias

    def backward(ctx: Any, by_value: Any, *_: Any) -> Any:
        (x, weight, bias, *values), gradients = kept(ctx)
        layer = (x, weight, bias)
        if torch.is_grad_enabled():  # a gradient of the gradient may follow: through the logits
            return _gradients_of_logits(layer, values, by_value)
        return [
            None if a is None else _scaled(g, by_value, None).to(a.dtype)
            for a, g in zip(layer, gradients, strict=True)
        ]

    def backward_of_rows(ctx: Any, by_rows: Any) -> Any:
        (x, weight, bias, *values), _ = kept(ctx)
        layer = (x, weight, bias)
        if torch.is_grad_enabled():
            return _gradients_of_logits(layer, values, by_rows)
        options = dict(zip(_NAMES[loss], (weight, bias, *values), strict=True))
        given = options["sample_weight"]
        options |= {"sample_weight": by_rows if given is None else by_rows * given}
        options |= {"reduction": "sum"}
        _, *gradients = _operators[f"{loss}_gradient"](x, *options.values())
        return [None if a is None else g.to(a.dtype) for a, g in zip(layer, gradients, strict=True)]

    _operators[loss] = Operator(loss, f"{schema} -> Tensor", compute, fake, backward_of_rows)
    _operators[f"{loss}_gradient"] = Operator(
        f"{loss}_gradient",
        f"{schema} -> (Tensor, Tensor, Tensor, Tensor)",
        compute_both,
        fake_both,
        backward,
        once=True,
    )


def _gradients_of_logits(layer: Any, values: Any, scale: Tensor) -> Any:
    """Return the gradients by differentiable steps, through all logits at once."""
    x, weight, bias = layer
    logits = torch.nn.functional.linear(x, weight, bias)
    labels, one, several, *others = values
    arguments = (logits, labels, -1, True, one, several, *others)
    _, gradient = _operators["cross_entropy_gradient"](*arguments)
    slopes = (gradient * (scale.unsqueeze(-1) if scale.ndim else scale)).to(logits.dtype)
    flat, rows = slopes.reshape(-1, slopes.shape[-1]), x.reshape(-1, x.shape[-1])
    return slopes @ weight, flat.T @ rows, None if bias is None else flat.sum(0)


_define_linear()

# ---------------------------------------------------------------- the public functions


def _public(loss: str) -> Callable[..., Tensor]:
    node, function = _AtOnce if loss in _seconds else None, Function(loss)

    def at_length(x: Tensor, given: dict[str, Any]) -> Tensor:
        if _are_sparse(given):
            if x.dtype in _DIRECT:
                raise TypeError(_ONLY_ONCE)
            others = [given.pop(name) for name in function.by_position]
            return whole(x.to(_wide(x)), *others, **given).to(result_type(x))
        values = _checked_values(loss, x, given)
        if not (torch.is_grad_enabled() and (x.requires_grad or requires_grad(values))):
            return _operators[loss](x, *values)
        if loss == "linear_cross_entropy" and given["reduction"] == "none":
            return _of_rows(x, values, given)
        return _operators[f"{loss}_gradient"](x, *values)[0]

    about = f"tensors, {_DERIVATIVES.get(loss, _TWICE)}"
    whole = public(function, _DIRECT, node, at_length, about)
    return whole


_DIRECT = (torch.float32, torch.float64)
_ONLY_ONCE = (
    "SparseLabels are not tensors: losses of theirs have a first derivative, outside of torch.compile and torch.func; "
    "pass torch.from_numpy(labels.dense(num_classes)) for more"
)


def _are_sparse(given: dict[str, Any]) -> bool:
    return any(isinstance(value, sigmax.SparseLabels) for value in given.values())


_TWICE = "twice differentiable with respect to the first."
_DERIVATIVES = {
    "linear_cross_entropy": """differentiable with respect to features, weight and bias.

    A second derivative goes through all logits at once, and so do gradients of ``reduction="none"`` with a z-loss.
    """
}


def _checked_values(loss: str, x: Tensor, options: dict[str, Any]) -> list[Any]:
    """Return the arguments of the operator after the first, checked."""
    values: list[Any] = []
    for key in _NAMES[loss]:
        value = options.get(key)
        if key == "temperature":
            values += temperatures(value, x)
        elif key in ("weight", "bias"):
            values.append(value if value is None else checked(value, key, loss))
        elif key in _CONSTANTS:
            values.append(value if value is None else constant(value, key, x))
        elif key == "axis":
            values += _functions._axes_of(_one_axis(value), x)
        elif key == "normalizer" and value is not None:
            values.append(float(value))
        elif key != "temperatures":
            values.append(value)
    return values


def _of_rows(x: Tensor, values: list[Any], options: dict[str, Any]) -> Tensor:
    """Return the losses of a linear layer's rows, whose gradients come with a scale for each row."""
    if not options["z_loss"]:
        return _operators["linear_cross_entropy"](x, *values)
    # The z-loss has no weight of a row to carry that scale: through all logits at once.
    weight, bias, labels, *others = values
    logits = torch.nn.functional.linear(x, weight, bias)
    return _operators["cross_entropy_gradient"](logits, labels, -1, True, *others)[0]


def _one_axis(axis: Any) -> Any:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"axis must be an int, got {axis!r}")
    return axis


cross_entropy = _public("cross_entropy")
kl_divergence = _public("kl_divergence")
distillation_loss = _public("distillation_loss")
binary_cross_entropy = _public("binary_cross_entropy")
linear_cross_entropy = _public("linear_cross_entropy")
