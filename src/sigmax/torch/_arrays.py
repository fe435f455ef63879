"""The functions that no gradient is for: tensors go in as arrays, and arrays come out as tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sigmax
from sigmax._core import call_with_tensors

from ._tensors import array, checked, constant, is_traced, modes, normalised, tensor


def of_tensors(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function of arrays as one of tensors."""

    def at_length(*arguments: Any, **options: Any) -> Any:
        halves = [a for a in arguments if isinstance(a, Tensor) and a.dtype is torch.bfloat16]
        given = [_array(value, name) for value in arguments]
        named = {key: _array(value, name) for key, value in options.items()}
        return _tensors(function(*given, **named), torch.bfloat16 if halves else None)

    eagerly = torch.compiler.disable(at_length)

    def call(*arguments: Any, **options: Any) -> Any:
        result = NotImplemented
        if not (is_traced() or modes()):
            values = (*arguments, *options.values())
            result = call_with_tensors(function, values, tuple(options))
        if result is NotImplemented:
            return eagerly(*arguments, **options)
        return result if isinstance(result, Tensor) else _tensors(result)

    call.__module__, call.__name__ = "sigmax.torch", name
    call.__qualname__ = name
    call.__doc__ = f"``sigmax.{name}`` of tensors."
    call.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return call


def _array(value: Any, name: str) -> Any:
    """Return the array in the memory of a tensor, which must not need a gradient: it would be missing."""
    if not isinstance(value, Tensor):
        return value
    return array(constant(checked(value, "a tensor", name), "a tensor", value))


def _tensors(result: Any, like: Any = None) -> Any:
    if isinstance(result, np.ndarray | np.generic):
        return tensor(result, like if result.dtype.kind == "f" else None)
    if type(result) is tuple:
        return tuple(_tensors(part, like) for part in result)
    if isinstance(result, tuple):  # with names
        return type(result)(*(_tensors(part, like) for part in result))
    if isinstance(result, sigmax.TopK):
        parts = (_tensors(getattr(result, field.name), like) for field in fields(result))
        return sigmax.TopK(*parts)
    return result


def vjp(fn: Callable[..., Any], x: Tensor, cotangent: Tensor, /, **options: Any) -> Tensor:
    """``sigmax.vjp`` of tensors; ``fn`` is a function of this module."""
    result: Tensor = _vjp(_function_of_arrays(fn, "fn"), x, cotangent, **options)
    return result


_vjp = of_tensors(sigmax.vjp, "vjp")


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
    result: Tensor = _one_hot(checked(labels, "labels", "one_hot"), num_classes, axis)
    return result if result.dtype is dtype else result.to(dtype)


_one_hot = of_tensors(sigmax.one_hot, "one_hot")


def smooth_labels(
    labels: Tensor, smoothing: float, /, axis: int = -1, *, prior: Any = None, where: Any = None
) -> Tensor:
    """``sigmax.smooth_labels`` of a tensor; no gradient goes through labels."""
    q: Any = checked(labels, "labels", "smooth_labels")
    if labels.dtype is torch.bfloat16:
        q = normalised(_array(labels, "smooth_labels"), axis)
    result: Tensor = _smooth_labels(q, smoothing, axis, prior=prior, where=where)
    return result.bfloat16() if q is not labels else result


_smooth_labels = of_tensors(sigmax.smooth_labels, "smooth_labels")
