"""The functions that users call: the function of arrays at once where that will do, else the operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sigmax
from sigmax._core import arrays_of_tensors, call_with_tensors

from ._tensors import checked, is_traced, modes, tensor

_Parameter = inspect.Parameter


class Function:
    """A function of arrays, as one of tensors sees it: its name, signature and defaults."""

    def __init__(self, name: str) -> None:
        self.name, self.of_arrays = name, getattr(sigmax, name)
        self.signature = _signature_of(self.of_arrays)
        parameters = self.signature.parameters.values()
        self.first, *self.by_position = (p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.known = {*self.by_position, *self.defaults}
        self.at_once = frozenset(self.defaults) - {"dtype"}  # a type of PyTorch means nothing there

    def given(self, x: Any, arguments: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments after the first by their names, defaults too."""
        given = {
            **self.defaults,
            **dict(zip(self.by_position, arguments, strict=False)),
            **options,
        }
        if len(arguments) > len(self.by_position) or given.keys() != self.known:
            self.signature.bind(x, *arguments, **options)  # raises
        return given


def _signature_of(function: Any) -> inspect.Signature:
    if not isinstance(function, np.ufunc):
        return inspect.signature(function)
    x, out = _Parameter("x", _Parameter.POSITIONAL_ONLY), _Parameter("out", _Parameter.KEYWORD_ONLY)
    return inspect.Signature([x, out.replace(default=None)])


def public(
    function: Function,
    types: Any,
    node: Any,
    at_length: Callable[[Tensor, dict[str, Any]], Tensor],
    derivatives: str,
) -> Callable[..., Tensor]:
    """Return the function of tensors.

    Tensors of `types` that have values go to the function of arrays at once; with a gradient by `node`, a function of
    autograd, where that can take the call. All else goes `at_length`, with the arguments by name.
    """

    of_arrays, at_once = function.of_arrays, function.at_once

    def call(x: Tensor, /, *arguments: Any, **options: Any) -> Tensor:
        quick = getattr(x, "dtype", None) in types and not (is_traced() or modes())
        if quick and (not options or options.keys() <= at_once):
            others = (*arguments, *options.values())
            if not (x.requires_grad and torch.is_grad_enabled()):
                first = x.detach() if x.requires_grad else x
                result = call_with_tensors(of_arrays, (first, *others), tuple(options))
                if result is not NotImplemented:
                    if options.get("out") is not None:
                        return options["out"]
                    return result if isinstance(result, Tensor) else tensor(result)
            elif node is not None and node.takes(arguments, options):
                arrays = arrays_of_tensors((x.detach(), *others))
                if arrays is not None:
                    named = {key: arrays.pop() for key in reversed(options)}
                    return node.apply(x, function, arguments, options, arrays, named)[0]
        checked(x, function.first, function.name)
        return at_length(x, function.given(x, arguments, options))

    call.__module__, call.__name__ = "sigmax.torch", function.name
    call.__qualname__ = function.name
    call.__doc__ = f"``sigmax.{function.name}`` of {derivatives}"
    call.__signature__ = function.signature  # type: ignore[attr-defined]
    return call
