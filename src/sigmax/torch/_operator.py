"""What a function of tensors is to PyTorch: an operator that it can trace, and a node of its autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._tensors import are_transforms_active, is_plain


class Operator:
    """A function of tensors: called at once where that is possible, else an operator of torch.library.

    `compute` works on tensors that have values; `fake` says what shape and type it returns. `backward` takes the
    context and the gradients of the outputs, and returns one for each of the first inputs, those that can have one.
    `batched` is the rule of vmap. With `once` the outputs after the first, which are gradients, have none themselves.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        compute: Callable[..., Any],
        fake: Callable[..., Any],
        backward: Callable[..., Any] | None = None,
        batched: Callable[..., Any] | None = None,
        *,
        once: bool = False,
    ) -> None:
        def computed(*arguments: Any) -> Any:
            return _map(Tensor.contiguous, compute(*arguments))

        self.compute = compute
        self.operator = torch.library.custom_op(
            f"sigmax::{name}", computed, mutates_args=(), device_types="cpu", schema=schema
        )
        self.operator.register_fake(fake)
        self.operator.register_vmap(batched or self.one_by_one)
        self.node: Any = None
        self.transformed: Any = None
        if backward is not None:
            padded, keep = _padded(backward), _keep_once if once else _keep
            self.operator.register_autograd(padded, setup_context=keep)
            self.node = _node(name, compute, keep, padded)
            self.transformed = self.node_of_transforms(name, keep, padded, batched)

    def __call__(self, x: Any, *others: Any) -> Any:
        if not is_plain(x):
            if self.transformed and are_transforms_active() and not torch.compiler.is_compiling():
                return self.transformed.apply(x, *others)
            return self.operator(x, *others)
        if torch.is_grad_enabled() and (x.requires_grad or requires_grad(others)):
            return self.node.apply(x, *others)
        return self.compute(x, *others)

    def node_of_transforms(self, name: str, keep: Any, backward: Any, batched: Any) -> Any:
        """Return a function of autograd for torch.func, which the autograd of an operator does not know."""
        methods = {
            "forward": lambda *arguments: self(*arguments),
            "setup_context": keep,
            "backward": backward,
            "vmap": batched or self.one_by_one,
        }
        methods = {key: staticmethod(method) for key, method in methods.items()}
        return type(f"{name}_transformed", (torch.autograd.Function,), methods)

    def one_by_one(self, info: Any, in_dims: Any, *arguments: Any) -> Any:
        """Call the operator for each element of a batch."""
        results = [
            self(
                *(
                    a.select(dim, k) if isinstance(dim, int) else a
                    for a, dim in zip(arguments, in_dims, strict=True)
                )
            )
            for k in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results, strict=True))), tuple(0 for _ in results[0])


def requires_grad(arguments: Any) -> bool:
    """Whether any of the arguments is a tensor that requires a gradient."""
    return any(isinstance(a, Tensor) and a.requires_grad for a in arguments)


def _map(function: Callable[[Any], Any], results: Any) -> Any:
    return function(results) if isinstance(results, Tensor) else tuple(map(function, results))


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    """Keep all inputs for the backward pass, and the outputs after the first: gradients of losses."""
    outputs = () if isinstance(output, Tensor) else output[1:]
    tensors = [a if isinstance(a, Tensor) else None for a in inputs]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *outputs)
    ctx.others = [None if isinstance(a, Tensor) else a for a in inputs]


def _keep_once(ctx: Any, inputs: Any, output: Any) -> None:
    _keep(ctx, inputs, output)
    ctx.mark_non_differentiable(*output[1:])


def kept(ctx: Any) -> tuple[list[Any], Any]:
    """Return the inputs and the outputs that were kept."""
    saved, count = ctx.saved_tensors, len(ctx.others)
    inputs = [o if t is None else t for t, o in zip(saved[:count], ctx.others, strict=True)]
    return inputs, saved[count:]


def _padded(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that returns None for the inputs that have no gradient."""

    def padded(ctx: Any, *gradients: Any) -> Any:
        used = any(g is not None for g in gradients)
        results = backward(ctx, *gradients) if used else ()
        return (*results, *[None] * (len(ctx.others) - len(results)))

    return padded


def _node(
    name: str,
    compute: Callable[..., Any],
    keep: Callable[..., None],
    backward: Callable[..., Any],
) -> Any:
    """Return a function of autograd that costs less than the operator does."""

    def forward(ctx: Any, *arguments: Any) -> Any:
        output = compute(*arguments)
        keep(ctx, arguments, output)
        return output

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), methods)
