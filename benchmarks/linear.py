"""Cross-entropy of a linear layer, with the gradients of features and weight.

``library.prepare(task)`` is that of ``peers.py``; ``task.x`` holds the features and
``task.operands`` the weight (classes x features) and class indices.
"""

from __future__ import annotations

from functools import partial

import losses
import peers
from peers import Call, Task

LINEAR = ("linear_cross_entropy_grad",)


class Sigmax(peers.Sigmax):
    def prepare(self, task: Task) -> Call:
        function = self.package.value_and_grad(self.package.linear_cross_entropy)
        return partial(function, task.x, *task.operands)


class NumPy:
    """The products of NumPy around our cross_entropy, whose gradient takes the logits' place."""

    name = "NumPy + sigmax"

    def __init__(self, threads: int):
        self.package = peers.Sigmax(threads).package

    def prepare(self, task: Task) -> Call:
        function = self.package.value_and_grad(self.package.cross_entropy)
        return partial(self.value_and_grad, function, task.x, *task.operands)

    @staticmethod
    def value_and_grad(function, x, weight, labels):
        logits = x @ weight.T
        value, slope = function(logits, labels, out=logits)
        return value, (slope @ weight, slope.T @ x)


class PyTorch(losses.PyTorch):
    """Two calls: the logits, then their loss."""

    def prepare(self, task: Task) -> Call:
        *inputs, labels = map(self.torch.from_numpy, (task.x, *task.operands))
        for tensor in inputs:
            tensor.requires_grad_()
        return partial(self.value_and_grad, partial(self.loss, *inputs, labels), *inputs)

    def loss(self, x, weight, labels):
        return self.nn.cross_entropy(self.nn.linear(x, weight), labels)


class PyTorchChunked(PyTorch):
    """One call that holds the logits of a part of the rows at a time."""

    name = "PyTorch chunked"

    def loss(self, x, weight, labels):
        options = self.torch.nn.LinearCrossEntropyOptions()
        return self.nn.linear_cross_entropy(x, weight, labels, options=options)


class Jax(losses.Jax):
    def prepare(self, task: Task) -> Call:
        jax = self.jax
        arguments = [jax.numpy.asarray(array) for array in (task.x, *task.operands)]
        function = jax.value_and_grad(self.loss, argnums=(0, 1))
        # Compiled without a first call, whose memory `memory.py` would not see.
        compiled = jax.jit(function).lower(*arguments).compile()
        return lambda: jax.block_until_ready(compiled(*arguments))

    def loss(self, x, weight, labels):
        return self.cross_entropy(x @ weight.T, labels, -1).mean()


LIBRARIES = (Sigmax, NumPy, PyTorch, PyTorchChunked, Jax)
