"""The functions that no gradient is for: tensors go in as arrays, and arrays come out as tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sigmax

from ._tensors import array, checked, constant, normalised, tensor


def of_tensors(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function of arrays as one of tensors."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        halves = [a for a in arguments if isinstance(a, Tensor) and a.dtype is torch.bfloat16]
        like = torch.bfloat16 if halves else None
        given = (_array(value, name) for value in arguments)
        return _tensors(
            function(*given, **{key: _array(value, name) for key, value in options.items()}), like
        )

    call.__doc__ = f"``sigmax.{name}`` of tensors."
    result: Callable[..., Any] = torch.compiler.disable(call)
    return result


def _array(value: Any, name: str) -> Any:
    return array(checked(value, "a tensor", name)) if isinstance(value, Tensor) else value


def _tensors(result: Any, like: Any) -> Any:
    if type(result) is tuple:
        return tuple(_tensors(part, like) for part in result)
    if isinstance(result, np.ndarray | np.generic):
        return tensor(result, like if result.dtype.kind == "f" else None)
    return result


def vjp(fn: Callable[..., Any], x: Tensor, cotangent: Tensor, /, **options: Any) -> Tensor:
    """``sigmax.vjp`` of tensors; ``fn`` is a function of this module."""
    function = _function_of_arrays(fn, "fn")
    return of_tensors(functools.partial(sigmax.vjp, function), "vjp")(x, cotangent, **options)


def value_and_grad(loss: Callable[..., Any], /) -> Callable[..., Any]:
    """``sigmax.value_and_grad`` of tensors; ``loss`` is a function of this module."""
    both = sigmax.value_and_grad(_function_of_arrays(loss, "loss"))
    return of_tensors(both, "value_and_grad")


def _function_of_arrays(function: Any, name: str) -> Any:
    """Return the function of the package that has the name of one of this module."""
    found = getattr(sigmax, getattr(function, "__name__", ""), None)
    if found is None:
        raise TypeError(f"{name} must be a function of sigmax.torch, got {function!r}")
    return found


def one_hot(
    labels: Tensor, num_classes: int, /, axis: int = -1, *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """``sigmax.one_hot`` of a tensor."""
    result = sigmax.one_hot(array(checked(labels, "labels", "one_hot")), num_classes, axis)
    return tensor(result).to(dtype)


def smooth_labels(
    labels: Tensor, smoothing: float, /, axis: int = -1, *, prior: Any = None, where: Any = None
) -> Tensor:
    """``sigmax.smooth_labels`` of a tensor; no gradient goes through labels."""
    checked(labels, "labels", "smooth_labels")
    q = array(constant(labels, "labels", labels))
    if labels.dtype is torch.bfloat16:
        q = normalised(q, axis)
    prior, where = array(prior), array(where)
    return tensor(sigmax.smooth_labels(q, smoothing, axis, prior=prior, where=where), labels.dtype)
