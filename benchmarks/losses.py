"""The losses, by sigmax and its peers: the mean over the rows, alone or with its gradient.

``library.prepare(task)`` is that of ``peers.py``. ``task.x`` holds logits and ``task.operands`` the
labels: class indices; distributions, if it is soft; 0 or 1 in the type of the logits, if it is
binary; other logits for the divergence; a teacher's logits and class indices for distillation.

With ``task.out`` the gradient goes there. A library that has no such thing takes part all the same,
with a new array: otherwise the fastest peer would often be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers
from peers import Call, Task

LOSSES = ("cross_entropy", "binary_cross_entropy")
LOSS_GRADIENTS = (
    "cross_entropy_grad",
    "smoothed_cross_entropy_grad",
    "soft_cross_entropy_grad",
    "binary_cross_entropy_grad",
    "kl_divergence_grad",
    "distillation_loss_grad",
)
BINARY = ("binary_cross_entropy", "binary_cross_entropy_grad")

SMOOTHING, TEMPERATURE, ALPHA = 0.1, 2.0, 0.5


def loss_of(task: Task) -> str:
    return task.function.removesuffix("_grad")


def count_rows(x: Any, axis: int) -> int:
    return int(np.prod(x.shape)) // x.shape[axis]


NAMES_AND_OPTIONS = {
    "cross_entropy": ("cross_entropy", {}),
    "smoothed_cross_entropy": ("cross_entropy", {"label_smoothing": SMOOTHING}),
    "soft_cross_entropy": ("cross_entropy", {}),
    "binary_cross_entropy": ("binary_cross_entropy", {}),
    "kl_divergence": ("kl_divergence", {"labels_from_logits": True}),
    "distillation_loss": ("distillation_loss", {"temperature": TEMPERATURE, "alpha": ALPHA}),
}


class Sigmax(peers.Sigmax):
    def prepare(self, task: Task) -> Call:
        name, options = NAMES_AND_OPTIONS[loss_of(task)]
        function = getattr(self.package, name)
        if task.function not in BINARY:
            options = {**options, "axis": task.axis}
        if task.function in LOSS_GRADIENTS:
            function = self.package.value_and_grad(function)
            options = {**options, "out": task.out}
        return partial(function, task.x, *task.operands, **options)


class NumPy:
    """The stable expression that a careful user writes, with as few temporaries as it allows."""

    name = "NumPy"

    def __init__(self, _threads: int):
        pass

    def prepare(self, task: Task) -> Call:
        expression = getattr(self, task.function)
        axis = () if task.function in BINARY else (task.axis,)
        out = () if task.out is None else (task.out,)
        return partial(expression, task.x, *task.operands, *axis, *out)

    @staticmethod
    def cross_entropy(x, labels, axis):
        chosen = np.take_along_axis(x, np.expand_dims(labels, axis), axis)
        return (peers.NumPy.logsumexp(x, axis) - chosen.squeeze(axis)).mean()

    @staticmethod
    def softmax_and_logsumexp(x, axis, out):
        peak = x.max(axis, keepdims=True)
        p = np.subtract(x, peak, out)
        total = np.exp(p, p).sum(axis, keepdims=True)
        p /= total
        return p, np.log(total, total) + peak

    @staticmethod
    def cross_entropy_grad(x, labels, axis, out=None):
        p, logsumexp = NumPy.softmax_and_logsumexp(x, axis, out)
        index = np.expand_dims(labels, axis)
        value = (logsumexp - np.take_along_axis(x, index, axis)).mean()
        np.put_along_axis(p, index, np.take_along_axis(p, index, axis) - 1, axis)
        p *= 1 / count_rows(x, axis)
        return value, p

    @staticmethod
    def smoothed_cross_entropy_grad(x, labels, axis, out=None):
        p, logsumexp = NumPy.softmax_and_logsumexp(x, axis, out)
        index = np.expand_dims(labels, axis)
        hard = (logsumexp - np.take_along_axis(x, index, axis)).mean()
        value = (1 - SMOOTHING) * hard + SMOOTHING * (logsumexp.mean() - x.mean())
        p -= SMOOTHING / x.shape[axis]
        chosen = np.take_along_axis(p, index, axis) - (1 - SMOOTHING)
        np.put_along_axis(p, index, chosen, axis)
        p *= 1 / count_rows(x, axis)
        return value, p

    @staticmethod
    def soft_cross_entropy_grad(x, labels, axis, out=None):
        p, logsumexp = NumPy.softmax_and_logsumexp(x, axis, out)
        value = (logsumexp.squeeze(axis) - (labels * x).sum(axis)).mean()
        p -= labels
        p *= 1 / count_rows(x, axis)
        return value, p

    @staticmethod
    def binary_cross_entropy(x, labels):
        y = np.abs(x)
        np.log1p(np.exp(np.negative(y, y), y), y)
        y += np.maximum(x, 0) - x * labels
        return y.mean()

    @staticmethod
    def binary_cross_entropy_grad(x, labels, out=None):
        value = NumPy.binary_cross_entropy(x, labels)
        p = peers.NumPy.sigmoid(x, out)
        p -= labels
        p *= 1 / x.size
        return value, p

    @staticmethod
    def kl_divergence_grad(x, other, axis, out=None):
        log_p = peers.NumPy.log_softmax(x, axis, out)
        log_q = peers.NumPy.log_softmax(other, axis)
        q = np.exp(log_q)
        value = (np.subtract(log_q, log_p, log_q) * q).sum(axis).mean()
        p = np.exp(log_p, log_p)
        p -= q
        p *= 1 / count_rows(x, axis)
        return value, p

    @staticmethod
    def distillation_loss_grad(x, teacher, labels, axis, out=None):
        soft, slope = NumPy.kl_divergence_grad(x / TEMPERATURE, teacher / TEMPERATURE, axis)
        hard, p = NumPy.cross_entropy_grad(x, labels, axis, out)
        slope *= ALPHA * TEMPERATURE
        p *= 1 - ALPHA
        p += slope
        return ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * hard, p


class Exact(NumPy):
    """The same in long double, where it has to be right for distributions whose sum was rounded."""

    @staticmethod
    def soft_cross_entropy_grad(x, labels, axis):
        p, logsumexp = NumPy.softmax_and_logsumexp(x, axis, None)
        mass = labels.sum()
        value = (labels * (logsumexp - x)).sum() / mass
        return value, (p * labels.sum(axis, keepdims=True) - labels) / mass


class PyTorch(peers.PyTorch):
    def prepare(self, task: Task) -> Call:
        arrays, axis = (task.x, *task.operands), task.axis
        if axis == 0:  # the classes are its second dimension: a batch of one
            arrays, axis = [array[None] for array in arrays], 1
        x, *operands = map(self.torch.from_numpy, arrays)
        loss = partial(getattr(self, loss_of(task)), x, *operands, axis)
        if task.function in LOSSES:
            return loss
        return partial(self.value_and_grad, loss, x.requires_grad_())

    def value_and_grad(self, loss, *inputs):
        with self.torch.enable_grad():
            value = loss()
            return value.detach(), *self.torch.autograd.grad(value, inputs)

    @property
    def nn(self):
        return self.torch.nn.functional

    def cross_entropy(self, x, labels, _axis):
        return self.nn.cross_entropy(x, labels)

    soft_cross_entropy = cross_entropy

    def smoothed_cross_entropy(self, x, labels, _axis):
        return self.nn.cross_entropy(x, labels, label_smoothing=SMOOTHING)

    def binary_cross_entropy(self, x, labels, _axis):
        return self.nn.binary_cross_entropy_with_logits(x, labels)

    def kl_divergence(self, x, other, axis):
        log_p, log_q = self.nn.log_softmax(x, axis), self.nn.log_softmax(other, axis)
        # Not "batchmean": its sum overflows float16.
        return self.nn.kl_div(log_p, log_q, reduction="mean", log_target=True) * x.shape[axis]

    def distillation_loss(self, x, teacher, labels, axis):
        soft = self.kl_divergence(x / TEMPERATURE, teacher / TEMPERATURE, axis)
        return ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * self.nn.cross_entropy(x, labels)


class Jax(peers.Jax):
    """The losses of optax."""

    def __init__(self, threads: int):
        import optax

        super().__init__(threads)
        self.optax = optax.losses

    def prepare(self, task: Task) -> Call:
        jax, loss = self.jax, self.mean(loss_of(task), task.axis)
        function = jax.value_and_grad(loss) if task.function in LOSS_GRADIENTS else loss
        arguments = [jax.numpy.asarray(array) for array in (task.x, *task.operands)]
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(*arguments))
        return lambda: jax.block_until_ready(compiled(*arguments))

    def mean(self, name: str, axis: int) -> Callable:
        loss = getattr(self, name)
        return lambda x, *operands: loss(x, *operands, axis).mean()

    def cross_entropy(self, x, labels, axis):
        return self.optax.softmax_cross_entropy_with_integer_labels(x, labels, axis)

    def smoothed_cross_entropy(self, x, labels, axis):
        hard = self.jax.nn.one_hot(labels, x.shape[axis], dtype=x.dtype, axis=axis)
        # optax.smooth_labels has the classes last.
        smoothed = (1 - SMOOTHING) * hard + SMOOTHING / x.shape[axis]
        return self.optax.softmax_cross_entropy(x, smoothed, axis)

    def soft_cross_entropy(self, x, labels, axis):
        return self.optax.softmax_cross_entropy(x, labels, axis)

    def binary_cross_entropy(self, x, labels, _axis):
        return self.optax.sigmoid_binary_cross_entropy(x, labels)

    def kl_divergence(self, x, other, axis):
        log_p, log_q = self.jax.nn.log_softmax(x, axis), self.jax.nn.log_softmax(other, axis)
        return self.optax.kl_divergence_with_log_targets(log_p, log_q, axis)

    def distillation_loss(self, x, teacher, labels, axis):
        soft = self.kl_divergence(x / TEMPERATURE, teacher / TEMPERATURE, axis)
        hard = self.cross_entropy(x, labels, axis)
        return ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * hard


class ScikitLearn:
    """What its linear models and its boosting minimise. Private, for float32 and float64."""

    name = "scikit-learn"

    def __init__(self, threads: int):
        from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss

        self.threads = threads
        self.losses = {
            "cross_entropy": HalfMultinomialLoss,
            "binary_cross_entropy": HalfBinomialLoss,
        }

    def prepare(self, task: Task) -> Call | None:
        if loss_of(task) not in self.losses or task.x.dtype == np.float16:
            return None
        (labels,) = task.operands
        labels = np.ravel(labels).astype(task.x.dtype)
        weight = np.full_like(labels, 1 / labels.size)  # makes the sum the mean
        loss = self.losses[loss_of(task)]()
        rows = partial(self.rows, task)
        if task.function in LOSSES:
            place = np.empty_like(labels)
            return lambda: loss.loss(labels, rows(task.x), weight, place, self.threads).sum()

        def run():
            gradient = np.empty_like(task.x) if task.out is None else task.out
            places = np.empty_like(labels), rows(gradient)
            losses, _ = loss.loss_gradient(labels, rows(task.x), weight, *places, self.threads)
            return losses.sum(), gradient

        return run

    @staticmethod
    def rows(task: Task, array: np.ndarray) -> np.ndarray:
        """A view with the classes last and one dimension of rows; binary: one of elements."""
        if task.function in BINARY:
            return array.reshape(-1)
        return np.moveaxis(array, task.axis, -1).reshape(-1, array.shape[task.axis])


LIBRARIES = (Sigmax, NumPy, PyTorch, Jax, ScikitLearn)
