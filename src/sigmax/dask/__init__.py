"""Functions along an axis and their loss for Dask arrays in any blocks of any axis; nothing is computed too early.

Two passes: the logsumexp of each block of classes first; then each block, with the logsumexp of all others beside it as
one class more, goes through the function for arrays. So confident rows keep their digits, as they do in one block.
Logsumexps are merged in the order of the blocks, whatever order they are computed in. A logsumexp Λ is rounded in
between, which adds a relative error of |Λ|·2^-53: nothing in float32, some ULP in float64.

Functions of one number, and all losses and ``vjp`` where the class axis is in one block, take Dask arrays in
:mod:`sigmax` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np

import sigmax

__all__ = ["cross_entropy", "cross_entropy_and_grad", "log_softmax", "logsumexp", "softmax"]


def softmax(x: Any, /, axis: int = -1, *, temperature: Any = 1.0) -> Any:
    """Return ``sigmax.softmax`` of a Dask array, lazily, in the blocks that it has.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> sigmax.dask.softmax(da.from_array([[4.0, 2.0, 1.0, -1.0]], chunks=(1, 3))).compute().round(4)
    array([[0.839 , 0.1135, 0.0418, 0.0057]])
    """
    return _per_class(sigmax.softmax, x, axis, temperature)


def log_softmax(x: Any, /, axis: int = -1, *, temperature: Any = 1.0) -> Any:
    """Return ``sigmax.log_softmax`` of a Dask array, lazily, in the blocks that it has.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> sigmax.dask.log_softmax(da.from_array([40.0, 0.0], chunks=1)).compute()
    array([-4.24835426e-18, -4.00000000e+01])
    """
    return _per_class(sigmax.log_softmax, x, axis, temperature)


def logsumexp(x: Any, /, axis: int = -1, *, temperature: Any = 1.0) -> Any:
    """Return ``sigmax.logsumexp`` of a Dask array, lazily.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> sigmax.dask.logsumexp(da.zeros((2, 4), chunks=(1, 3))).compute()
    array([1.38629436, 1.38629436])
    """
    rows = _Rows(x, axis, temperature)
    return rows.partial().map_blocks(
        _merged, drop_axis=rows.x.ndim - 1, dtype=rows.dtype, kind=rows.dtype
    )


def _merged(partial: Any, kind: Any) -> Any:
    return np.asarray(sigmax.logsumexp(partial)).astype(kind)


def _per_class(function: Callable[..., Any], x: Any, axis: int, temperature: Any) -> Any:
    rows = _Rows(x, axis, temperature)

    def block(z: Any, rest: Any, t: Any) -> Any:
        extended = np.concatenate([z, rest[..., None]], axis=-1)
        return function(extended, temperature=t)[..., :-1].astype(z.dtype, copy=False)

    return da.moveaxis(rows.with_rest(block, rows.dtype), -1, axis)


class _Rows:
    """Rows of logits in blocks, classes last, with a temperature for each row."""

    def __init__(self, x: Any, axis: int, temperature: Any) -> None:
        if not isinstance(x, da.Array):
            raise TypeError(
                f"x must be a dask.array, got {type(x).__name__}: sigmax takes other arrays"
            )
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"axis must be in [{-x.ndim}, {x.ndim}), got {axis}")
        self.x = da.moveaxis(x, axis, -1)
        if any(np.isnan(n) for n in self.x.shape):
            raise ValueError("x must have known chunks: call x.compute_chunk_sizes() first")
        self.dtype = sigmax.softmax(np.zeros(1, x.dtype)).dtype
        self.batch = tuple(range(self.x.ndim - 1))
        self.classes = self.x.ndim - 1
        sigmax.softmax(np.zeros(1), temperature=1.0 if np.ndim(temperature) else temperature)
        self.temperature = self.per_row(temperature)

    def per_row(self, numbers: Any) -> Any:
        """Return a number for each row, in the blocks of the rows."""
        array = da.broadcast_to(da.asarray(numbers), self.x.shape[:-1])
        return array.rechunk(self.x.chunks[:-1]) if array.ndim else array

    def partial(self) -> Any:
        """Return the logsumexp of each block of classes, of all blocks together in one."""
        index = (*self.batch, self.classes)
        blocks = da.blockwise(
            _logsumexp_of_block,
            index,
            self.x,
            index,
            self.temperature,
            self.batch,
            adjust_chunks={self.classes: 1},
            dtype=np.float64,
            align_arrays=False,
        )
        return blocks.rechunk({self.classes: -1})

    def with_rest(
        self, function: Callable[..., Any], dtype: Any, *operands: Any, **options: Any
    ) -> Any:
        """Call a function on each block, with the logit that stands for all other classes and the row's temperature.

        `operands` are pairs of an array and its index.
        """
        index, count = (*self.batch, self.classes), len(self.x.chunks[-1])
        # Numbers and the first class of each block.
        place = da.from_array(np.arange(count), chunks=1)
        first = da.from_array(np.cumsum([0, *self.x.chunks[-1][:-1]]), chunks=1)

        def block(z: Any, partial: Any, t: Any, number: Any, first: Any, *others: Any) -> Any:
            rest = np.delete(partial, number, axis=-1)
            rest = np.asarray(sigmax.logsumexp(rest)) * t
            extra = (first[0], *others) if others else ()
            return function(_wide(z), rest, t, *extra).astype(dtype, copy=False)

        return da.blockwise(
            block,
            index,
            *(self.x, index, self.partial(), (*self.batch, self.classes + 1)),
            *(self.temperature, self.batch, place, (self.classes,), first, (self.classes,)),
            *operands,
            concatenate=True,
            dtype=dtype,
            align_arrays=False,
            meta=np.empty((0,) * self.x.ndim, dtype),
            **options,
        )


def _wide(z: Any) -> Any:
    return z.astype(np.float64)


def _logsumexp_of_block(z: Any, t: Any) -> Any:
    return np.asarray(sigmax.logsumexp(_wide(z), temperature=t))[..., None]


# ---------------------------------------------------------------- the loss


def cross_entropy(
    logits: Any,
    labels: Any,
    /,
    axis: int = -1,
    *,
    temperature: Any = 1.0,
    sample_weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> Any:
    """Return ``sigmax.cross_entropy`` of a Dask array, lazily: of class indices, or of distributions.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> logits = da.from_array([[40.0, 0.0], [0.0, 1.0]], chunks=1)
    >>> sigmax.dask.cross_entropy(logits, [0, 1], reduction="none").compute()
    array([4.24835426e-18, 3.13261688e-01])
    """
    problem = _Loss(logits, labels, axis, temperature, sample_weight, ignore_index)
    return problem.value(reduction, normalizer)


def cross_entropy_and_grad(
    logits: Any, labels: Any, /, axis: int = -1, **options: Any
) -> tuple[Any, Any]:
    """Return the value of :func:`cross_entropy` and its gradient, lazily, in the blocks of the logits.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> value, gradient = sigmax.dask.cross_entropy_and_grad(da.from_array([[40.0, 0.0]], chunks=1), [0])
    >>> gradient.compute()
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    reduction, normalizer = options.pop("reduction", "mean"), options.pop("normalizer", None)
    names = ("temperature", "sample_weight", "ignore_index")
    if unknown := options.keys() - set(names):
        raise TypeError(
            f"cross_entropy_and_grad() got an unexpected keyword argument {min(unknown)!r}"
        )
    defaults = {"temperature": 1.0, "sample_weight": None, "ignore_index": None} | options
    problem = _Loss(logits, labels, axis, *(defaults[name] for name in names))
    return problem.value(reduction, normalizer), problem.gradient(reduction, normalizer)


class _Loss:
    def __init__(
        self, logits: Any, labels: Any, axis: int, temperature: Any, weight: Any, ignored: Any
    ) -> None:
        self.rows = rows = _Rows(logits, axis, temperature)
        self.axis, self.ignored = axis, ignored
        labels = da.asarray(labels)
        self.hard = labels.ndim == rows.x.ndim - 1
        if self.hard and labels.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, as class indices, got dtype {labels.dtype}")
        if not self.hard and ignored is not None:
            raise ValueError("ignore_index is for class indices")
        self.labels = labels if self.hard else da.moveaxis(labels, axis, -1)
        shape = rows.x.shape[:-1] if self.hard else rows.x.shape
        if self.labels.shape != shape:
            raise ValueError(
                f"labels must have the shape {rows.x.shape[:-1]} or {rows.x.shape}, got {labels.shape}"
            )
        chunks = rows.x.chunks[:-1] if self.hard else rows.x.chunks
        self.labels = self.labels.rechunk(chunks) if self.labels.ndim else self.labels
        self.weight = rows.per_row(1.0 if weight is None else weight)
        if self.hard:
            count = rows.x.shape[-1]
            self.labels = self.labels.map_blocks(_checked, count, ignored, dtype=np.int64)
            self.mass = da.where(self.labels >= 0, self.weight, 0.0)
        else:
            self.mass = self.weight * self.labels.sum(axis=-1, dtype=np.float64)

    def _operands(self) -> tuple[Any, ...]:
        rows = self.rows
        index = rows.batch if self.hard else (*rows.batch, rows.classes)
        return self.labels, index, self.weight, rows.batch

    def value(self, reduction: str, normalizer: Any) -> Any:
        if reduction not in ("none", "sum", "mean"):
            raise ValueError(f"reduction must be 'none', 'sum' or 'mean', got {reduction!r}")
        rows = self.rows
        parts = rows.with_rest(
            _losses_of_block,
            np.float64,
            *self._operands(),
            adjust_chunks={rows.classes: 1},
        )
        losses = parts.rechunk({rows.classes: -1}).sum(axis=-1)
        if reduction == "none":
            return losses.astype(rows.dtype)
        return (losses.sum() / self._over(reduction, normalizer)).astype(rows.dtype)

    def _over(self, reduction: str, normalizer: Any) -> Any:
        if reduction != "mean":
            return 1.0
        if normalizer is not None:
            return float(normalizer)
        total = self.mass.sum()
        return da.where(total == 0, np.inf, total)

    def gradient(self, reduction: str, normalizer: Any) -> Any:
        rows = self.rows
        slopes = rows.with_rest(_slopes_of_block, np.float64, *self._operands())
        return da.moveaxis(
            (slopes / self._over(reduction, normalizer)).astype(rows.dtype), -1, self.axis
        )


def _checked(labels: Any, classes: int, ignored: Any) -> Any:
    """Return labels as int64, -1 for rows that are left out."""
    kept = np.ones(labels.shape, bool) if ignored is None else labels != ignored
    wrong = kept & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise ValueError(f"labels must be in [0, {classes}), got {labels[wrong][0]}")
    return np.where(kept, labels, -1).astype(np.int64)


def _in_block(labels: Any, first: int, count: int) -> Any:
    """Return class indices of a block, in which all other classes are one more."""
    inside = (labels >= first) & (labels < first + count)
    return np.where(inside, labels - first, np.where(labels < 0, -1, count))


def _losses_of_block(z: Any, rest: Any, t: Any, first: int, labels: Any, weight: Any) -> Any:
    """Return the part of the loss that the classes of a block have."""
    extended = np.concatenate([z, rest[..., None]], axis=-1)
    if labels.ndim < z.ndim:
        index = _in_block(labels, first, z.shape[-1])
        index = np.where(index == z.shape[-1], -1, index)
        options = {"ignore_index": -1, "sample_weight": weight, "temperature": t}
        return np.asarray(sigmax.cross_entropy(extended, index, reduction="none", **options))[
            ..., None
        ]
    log_p = sigmax.log_softmax(extended, temperature=t)[..., :-1]
    terms = np.where(labels > 0, labels * -np.where(labels > 0, log_p, 0.0), 0.0)
    return (weight * terms.sum(axis=-1))[..., None]


def _slopes_of_block(z: Any, rest: Any, t: Any, first: int, labels: Any, weight: Any) -> Any:
    """Return the gradient of the sum for the classes of a block."""
    extended = np.concatenate([z, rest[..., None]], axis=-1)
    both = sigmax.value_and_grad(sigmax.cross_entropy)
    options = {"reduction": "sum", "sample_weight": weight, "temperature": t}
    if labels.ndim < z.ndim:
        index = _in_block(labels, first, z.shape[-1])
        return both(extended, index, ignore_index=-1, **options)[1][..., :-1]
    others = np.maximum(1.0 - labels.sum(axis=-1, keepdims=True, dtype=np.float64), 0.0)
    q = np.concatenate([labels, others], axis=-1)
    return both(extended, q, **options)[1][..., :-1]
