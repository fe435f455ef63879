"""Cross-entropy of a linear layer's logits, which are never held."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._reduction import Reduction, check_reduction, reduced
from .losses import _labelled_rows, _Rows
from .normalization import _cast, _check_out, _real

__all__ = ["linear_cross_entropy"]

_SCRATCH = 32 << 20  # bytes of logits at a time: what a large cache holds
_FEWEST_ROWS = 16
_BLOCK = 2 << 20  # bytes of the weights of a block of classes


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
    return _linear_cross_entropy(
        features,
        weight,
        labels,
        bias=bias,
        temperature=temperature,
        class_weight=class_weight,
        sample_weight=sample_weight,
        label_smoothing=label_smoothing,
        smoothing_prior=smoothing_prior,
        ignore_index=ignore_index,
        where=where,
        z_loss=z_loss,
        reduction=reduction,
        normalizer=normalizer,
    )


@np.errstate(all="ignore")  # what products make of numbers of any size is no one's fault
def _linear_cross_entropy(
    features: Any,
    weight: Any,
    labels: Any,
    *,
    bias: Any = None,
    reduction: Reduction = "mean",
    normalizer: Any = None,
    gradient: bool = False,
    out: Any = None,
    **options: Any,
) -> Any:
    """Return the value, or with `gradient` the value and the gradients of features, weight and bias."""
    check_reduction(reduction, normalizer)
    layer = _Layer.checked(features, weight, bias)
    places = layer.places(out) if gradient else (None, None, None)
    # Stands for the logits where only their shape and type count.
    like = np.broadcast_to(layer.kind.type(0), (*layer.batch, len(layer.weight)))
    rows, sums = _labelled_rows(like, labels, like.ndim - 1, from_logits=True, **options)
    over = rows.divisor(sums, reduction, normalizer)
    rows = rows.over(over)
    losses = rows.with_exponents(layer.losses(rows, *places).reshape(layer.batch))
    value = reduced(losses, reduction, over, layer.features.dtype)
    return (value, places) if gradient else value


class _Layer:
    """Features, weight and bias, and the products of theirs."""

    def __init__(self, features: Any, weight: Any, bias: Any) -> None:
        self.features, self.weight, self.bias = features, weight, bias
        self.batch = features.shape[:-1]
        wide = any(x.dtype == np.float64 for x in (features, weight, bias) if x is not None)
        self.kind: np.dtype[Any] = np.dtype(np.float64 if wide else np.float32)

    @classmethod
    def checked(cls, features: Any, weight: Any, bias: Any) -> "_Layer":
        features, weight = _real(features, "features"), _real(weight, "weight")
        if features.ndim == 0:
            raise ValueError("features must have at least one dimension")
        size = features.shape[-1]
        if weight.ndim != 2 or weight.shape[1] != size:
            raise ValueError(f"weight must have the shape (C, {size}), got shape {weight.shape}")
        if bias is not None:
            bias = _real(bias, "bias")
            if bias.shape != weight.shape[:1]:
                raise ValueError(f"bias must have the shape {weight.shape[:1]}, got {bias.shape}")
        return cls(features, weight, bias)

    def places(self, out: Any) -> tuple[Any, Any, Any]:
        """Return where the gradients go: to `out`, a tuple of three arrays or None, or to new arrays."""
        if out is None:
            out = (None, None, None)
        if not isinstance(out, tuple) or len(out) != 3:
            raise TypeError(
                "out must be a tuple: for features, weight and bias, each an array or None"
            )
        of_features, of_weight, of_bias = out
        return (
            self.place(self.features, of_features, "features"),
            self.place(self.weight, of_weight, "weight"),
            None if self.bias is None else self.place(self.bias, of_bias, "bias"),
        )

    def place(self, x: Any, place: Any, name: str) -> Any:
        if place is None:
            return _core.empty_like(x)
        _check_out(place)
        if place.shape != x.shape or place.dtype != x.dtype or not place.flags.writeable:
            raise ValueError(
                f"out for {name} must be a writable array of shape {x.shape} and type {x.dtype}, "
                f"got shape {place.shape} and type {place.dtype}"
            )
        if any(np.may_share_memory(place, other) for other in (self.features, self.weight)):
            raise ValueError(f"out for {name} must not share memory with features or weight")
        return place

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

    def losses(self, rows: _Rows, d_features: Any, d_weight: Any, d_bias: Any) -> Any:
        """Return the losses of all rows, and write the gradients to their places."""
        classes, size = self.weight.shape
        features = self.features.reshape(math.prod(self.batch), size)
        step = max(_FEWEST_ROWS, _SCRATCH // max(1, classes * self.kind.itemsize))
        scratch = np.empty((min(step, len(features)), classes), self.kind)
        losses = np.empty(len(features))
        gradient = None
        if d_weight is not None:
            gradient = _Gradient(self, d_features, d_weight, d_bias)
        begin = 0
        for group in rows.groups(step):
            part = slice(begin, begin + len(group.x))
            x = features[part].astype(self.kind, copy=False)
            logits = scratch[: len(x)]
            self.write_logits(x, logits)
            chunk = replace(group, x=logits, soft=_as(group.soft, self.kind))
            place = None if gradient is None else logits
            losses[part] = chunk.run(chunk.cross_entropy(True), place)
            if gradient is not None:
                gradient.add(x, logits, part)
            begin = part.stop
        if gradient is not None:
            gradient.finish()
        return losses

    def write_logits(self, x: Any, logits: Any) -> None:
        for block, weights in self.weights():
            np.matmul(x, weights.T, out=logits[:, block])
        if self.bias is not None:
            logits += self.bias.astype(self.kind, copy=False)


class _Gradient:
    """Gradients that grow chunk by chunk, those of weight and bias in a type that can hold their sums."""

    def __init__(self, layer: _Layer, d_features: Any, d_weight: Any, d_bias: Any) -> None:
        self.layer = layer
        self.of_features = d_features.reshape(math.prod(layer.batch), d_features.shape[-1])
        self.places = (d_features, d_weight, d_bias)
        same = d_weight.dtype == layer.kind
        self.of_weight = d_weight if same else np.empty(d_weight.shape, layer.kind)
        self.is_empty = True
        self.of_bias = np.zeros(len(d_weight))

    def add(self, x: Any, slopes: Any, part: slice) -> None:
        products = (slopes[:, block] @ weights for block, weights in self.layer.weights())
        of_features = next(products, np.zeros(()))  # the latter without a class
        for product in products:
            of_features += product
        for block in self.layer.blocks():
            if self.is_empty:
                np.matmul(slopes[:, block].T, x, out=self.of_weight[block])
            else:
                self.of_weight[block] += slopes[:, block].T @ x
        self.is_empty = False
        self.of_features[part] = _cast(of_features, self.of_features.dtype)
        if self.places[2] is not None:
            self.of_bias += np.ones(len(x), self.layer.kind) @ slopes

    def finish(self) -> None:
        if self.is_empty:
            self.of_weight[...] = 0
        d_features, d_weight, d_bias = self.places
        if not np.shares_memory(self.of_features, d_features):
            np.copyto(d_features, self.of_features.reshape(d_features.shape))
        if self.of_weight is not d_weight:
            np.copyto(d_weight, _cast(self.of_weight, d_weight.dtype))
        if d_bias is not None:
            np.copyto(d_bias, _cast(self.of_bias, d_bias.dtype))


def _as(labels: Any, kind: Any) -> Any:
    return None if labels is None else _cast(labels, kind)
