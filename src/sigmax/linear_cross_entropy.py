"""Cross-entropy of a linear layer's logits, which are never held."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core
from ._arguments import Reduction
from ._loss import Rows, loss
from ._reduction import Extended, reduced

__all__ = ["linear_cross_entropy"]

_SCRATCH = 32 << 20  # bytes of logits at a time: what a large cache holds
_FEWEST_ROWS = 16
_BLOCK = 2 << 20  # bytes of the weights of a block of classes


@loss
def linear_cross_entropy(
    features: ArrayLike,
    weight: ArrayLike,
    labels: ArrayLike,
    /,
    *,
    bias: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    smoothing_prior: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    normalizer: float | None = None,
) -> Any:
    r"""Cross-entropy of ``features @ weight.T + bias``, a few rows at a time.

    .. math:: \operatorname{cross\_entropy}(F W^\top + b, y)

    The logits of many rows and classes do not fit the memory that their features do. Here chunks of rows go through
    the matrix product, the loss and, with :func:`value_and_grad`, the products of the gradient, in a scratch of
    32 MiB (more where 16 rows need more).

    Parameters
    ----------
    features : array_like of real numbers, shape (..., H)
        F, one row per sample.
    weight : array_like of real numbers, shape (C, H)
        W, one row per class.
    labels : array_like
        Class indices of the shape (...), or distributions of the shape (..., C).
    bias : array_like of real numbers, shape (C,), optional
        b.
    temperature, class_weight, sample_weight, label_smoothing, smoothing_prior, ignore_index, z_loss, where
    reduction, normalizer
        As for :func:`cross_entropy`; ``where`` broadcasts to the shape (..., C).

    Returns
    -------
    scalar, or ndarray of shape (...) for ``reduction="none"``
        In the type of ``features``, in nats. The products are NumPy's, in float32 or float64 (half types are widened).
        Largest error: that of :func:`cross_entropy` for logits with the errors of these products, each at most about
        H/2 ULP of the sum of its terms' absolute values. Bits depend on NumPy's BLAS.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cross_entropy`; also where the shapes of ``features``, ``weight`` and ``bias`` do not match.

    References
    ----------
    Wijmans, E. et al. (2024). Cut your losses in large-vocabulary language models. https://arxiv.org/abs/2411.09009.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.linear_cross_entropy([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], [1]))
    0.3132616875182228
    """
    layer = _Layer.checked(features, weight, bias)
    # Stands for the logits where only their shape and type count.
    like = np.broadcast_to(layer.kind.type(0), (*layer.batch, len(layer.weight)))
    rows = Rows(like, -1)
    rows.take_labels(_arguments.numpy_labels(labels))
    rows.take_temperature(temperature)
    rows.take_sample_weight(sample_weight)
    rows.take_mask(where)
    rows.take_class_options(class_weight, label_smoothing, smoothing_prior, z_loss)
    rows.settle(ignore_index)
    rows.reduce(reduction, normalizer)
    return _LinearLoss(layer, rows, (features, weight, bias))


@dataclass
class _LinearLoss:
    """A layer, and rows that stand for those of its logits."""

    layer: "_Layer"
    rows: Rows
    arguments: tuple[Any, Any, Any]

    def value(self) -> Any:
        return self.reduced(None)

    def reduced(self, gradient: "_Gradient | None") -> Any:
        rows = self.rows.scaled()
        losses, powers = (each.reshape(rows.batch) for each in self.layer.losses(rows, gradient))
        losses = rows.with_exponents(losses)
        if powers.any():
            losses = Extended.of(losses) * Extended(1.0, powers)
        return reduced(losses, rows.reduction, rows.over, self.layer.features.dtype)

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        places = self.layer.places(out, self.rows.operands())
        value = self.reduced(_Gradient(self.layer, *places))
        given = (None, None, None) if out is None else out
        gradients = (
            place if place is None or own is not None else _arguments.as_given(place, argument)
            for place, own, argument in zip(places, given, self.arguments, strict=True)
        )
        return value, tuple(gradients)


class _Layer:
    """Features, weight and bias, and the products of theirs."""

    def __init__(self, features: Any, weight: Any, bias: Any) -> None:
        self.features, self.weight, self.bias = features, weight, bias
        self.batch = features.shape[:-1]
        wide = any(x.dtype == np.float64 for x in (features, weight, bias) if x is not None)
        self.kind: np.dtype[Any] = np.dtype(np.float64 if wide else np.float32)
        self.count = math.prod(self.batch)
        self.step = max(_FEWEST_ROWS, _SCRATCH // max(1, len(weight) * self.kind.itemsize))

    @classmethod
    def checked(cls, features: Any, weight: Any, bias: Any) -> "_Layer":
        features = _arguments.numpy_array(features, "features")
        weight = _arguments.numpy_array(weight, "weight")
        if features.ndim == 0:
            raise ValueError("features must have at least one dimension")
        size = features.shape[-1]
        if weight.ndim != 2 or weight.shape[1] != size:
            raise ValueError(f"weight must have the shape (C, {size}), got shape {weight.shape}")
        if bias is not None:
            bias = _arguments.numpy_array(bias, "bias")
            if bias.shape != weight.shape[:1]:
                raise ValueError(f"bias must have the shape {weight.shape[:1]}, got {bias.shape}")
        return cls(features, weight, bias)

    def places(self, out: Any, operands: tuple[Any, ...]) -> tuple[Any, Any, Any]:
        """Return where the gradients go: to `out`, a tuple of three arrays or None, or to new arrays."""
        if out is None:
            out = (None, None, None)
        if not isinstance(out, tuple) or len(out) != 3:
            raise TypeError(
                "out must be a tuple: for features, weight and bias, each an array or None"
            )
        names = ("features", "weight", "bias")
        arguments = (self.features, self.weight, self.bias)
        for k, (place, x, name) in enumerate(zip(out, arguments, names, strict=True)):
            if place is None:
                continue
            if x is None:
                raise ValueError("out for bias must be None where there is no bias")
            _arguments.gradient_place(place, x, f"out for {name}")
            for other in (self.features, self.weight, *operands, *out[:k]):
                if isinstance(other, np.ndarray) and np.may_share_memory(place, other):
                    raise ValueError(
                        f"out for {name} must not share memory with an argument or another out"
                    )
        of_features, of_weight, of_bias = (
            x if x is None else _core.empty_like(x) if place is None else place
            for place, x in zip(out, arguments, strict=True)
        )
        return of_features, of_weight, of_bias

    def blocks(self) -> Iterator[slice]:
        classes, size = self.weight.shape
        step = max(1, _BLOCK // max(1, size * self.kind.itemsize))
        for begin in range(0, classes, step):
            yield slice(begin, min(begin + step, classes))

    def weights(self) -> Iterator[tuple[slice, Any]]:
        """Yield the weights in the type of the products: all at once, or block by block where they are widened."""
        if self.weight.dtype == self.kind:
            yield slice(None), self.weight
        else:
            for block in self.blocks():
                yield block, self.weight[block].astype(self.kind)

    def losses(self, rows: Rows, gradient: "_Gradient | None") -> tuple[Any, Any]:
        """Return the losses of all rows times powers of two, and what gives these back; the gradient grows by them."""
        losses, powers = np.empty(self.count), np.zeros(self.count, np.int64)
        chunks = zip(self.chunks(), rows.groups(self.step), strict=True)
        for (part, x, logits), group in chunks:
            group.x = logits
            group.soft = None if group.soft is None else _arguments.cast(group.soft, self.kind)
            place = None if gradient is None else logits
            losses[part] = group.run(place)
            if gradient is not None:
                gradient.add(x, logits, part, not (group.kept is None and group.mask is None))
            if self.kind == np.float64 and not np.isfinite(losses[part]).all():
                self.write_logits(x, logits)  # the gradient took their place
                losses[part], powers[part] = group.beyond(losses[part])
        if gradient is not None:
            gradient.finish()
        return losses, powers

    def chunks(self) -> Iterator[tuple[slice, Any, Any]]:
        """Yield slices of the rows, their features, and their logits in memory that is used again."""
        classes, size = self.weight.shape
        features = self.features.reshape(self.count, size)
        scratch = np.empty((min(self.step, self.count), classes), self.kind)
        for begin in range(0, self.count, self.step):
            part = slice(begin, min(begin + self.step, self.count))
            x = features[part].astype(self.kind, copy=False)
            logits = scratch[: len(x)]
            self.write_logits(x, logits)
            yield part, x, logits

    def write_logits(self, x: Any, logits: Any) -> None:
        for block, weights in self.weights():
            np.matmul(x, weights.T, out=logits[:, block])
        if self.bias is not None:
            logits += self.bias.astype(self.kind, copy=False)


class _Gradient:
    """Gradients that grow chunk by chunk, those of weight and bias in a type that can hold their sums."""

    def __init__(self, layer: _Layer, d_features: Any, d_weight: Any, d_bias: Any) -> None:
        self.layer = layer
        self.of_features = d_features.reshape(layer.count, d_features.shape[-1])
        self.places = (d_features, d_weight, d_bias)
        same = d_weight.dtype == layer.kind
        self.of_weight = d_weight if same else np.empty(d_weight.shape, layer.kind)
        self.is_empty = True
        self.of_bias = np.zeros(len(d_weight))

    def add(self, x: Any, slopes: Any, part: slice, some_are_out: bool) -> None:
        """Add those of some rows; `some_are_out` where rows or classes do not count, whatever they hold."""
        product = _product_of_counted if some_are_out else np.matmul
        weights = self.layer.weights()
        products = (product(slopes[:, block], weight) for block, weight in weights)
        of_features = next(products, np.zeros(()))  # the latter without a class
        for more in products:
            of_features += more
        for block in self.layer.blocks():
            of_block = product(slopes[:, block].T, x)
            if self.is_empty:
                self.of_weight[block] = of_block
            else:
                self.of_weight[block] += of_block
        self.is_empty = False
        self.of_features[part] = _arguments.cast(of_features, self.of_features.dtype)
        if self.places[2] is not None:
            self.of_bias += np.ones(len(x), self.layer.kind) @ slopes

    def finish(self) -> None:
        if self.is_empty:
            self.of_weight[...] = 0
        d_features, d_weight, d_bias = self.places
        if not np.shares_memory(self.of_features, d_features):
            np.copyto(d_features, self.of_features.reshape(d_features.shape))
        if self.of_weight is not d_weight:
            np.copyto(d_weight, _arguments.cast(self.of_weight, d_weight.dtype))
        if d_bias is not None:
            np.copyto(d_bias, _arguments.cast(self.of_bias, d_bias.dtype))


def _product_of_counted(slopes: Any, x: Any) -> Any:
    """Return slopes @ x, in which 0 times anything is 0."""
    wrong = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if not wrong.size:
        return slopes @ x
    finite = x.copy()
    finite[wrong] = 0
    product = slopes @ finite
    for k in wrong:
        counts = slopes[:, k] != 0
        product[counts] += slopes[counts, k, None] * x[k]
    return product
