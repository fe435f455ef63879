"""Functions along an axis and their losses for Dask arrays in any blocks of any axis; nothing is computed too early.

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

__all__ = [
    "cross_entropy",
    "cross_entropy_and_grad",
    "distillation_loss",
    "distillation_loss_and_grad",
    "kl_divergence",
    "kl_divergence_and_grad",
    "log_softmax",
    "logsumexp",
    "softmax",
]


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


# ---------------------------------------------------------------- the losses


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
    options = {
        "temperature": temperature,
        "sample_weight": sample_weight,
        "ignore_index": ignore_index,
    }
    return _value(_of_labels(logits, labels, axis, options), (reduction, normalizer))


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
    how = _reduction_of(options)
    return _both(_of_labels(logits, labels, axis, options), how)


def kl_divergence(
    logits: Any,
    labels: Any,
    /,
    axis: int = -1,
    *,
    labels_from_logits: bool = False,
    temperature: Any = 1.0,
    sample_weight: Any = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> Any:
    """Return ``sigmax.kl_divergence`` of Dask arrays, lazily: from distributions, or from logits of such.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> logits = da.from_array([[0.0, 1.0]], chunks=1)
    >>> sigmax.dask.kl_divergence(logits, logits + 1e-3, labels_from_logits=True).compute().round(9)
    np.float64(0.0)
    """
    options = {
        "labels_from_logits": labels_from_logits,
        "temperature": temperature,
        "sample_weight": sample_weight,
    }
    return _value(_of_distributions(logits, labels, axis, options), (reduction, normalizer))


def kl_divergence_and_grad(
    logits: Any, labels: Any, /, axis: int = -1, **options: Any
) -> tuple[Any, Any]:
    """Return the value of :func:`kl_divergence` and its gradient, lazily, in the blocks of the logits.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> logits = da.from_array([[40.0, 0.0]], chunks=1)
    >>> value, gradient = sigmax.dask.kl_divergence_and_grad(logits, [[1.0, 0.0]])
    >>> gradient.compute()
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    how = _reduction_of(options)
    return _both(_of_distributions(logits, labels, axis, options), how)


def distillation_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any = None,
    /,
    axis: int = -1,
    *,
    temperature: Any = 1.0,
    alpha: float = 1.0,
    sample_weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> Any:
    """Return ``sigmax.distillation_loss`` of Dask arrays, lazily.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> student, teacher = (da.from_array([x, 0.0], chunks=1) for x in (1.0, 2.0))
    >>> print(sigmax.dask.distillation_loss(student, teacher, temperature=2.0).compute().round(12))
    0.105378343908
    """
    options = {
        "temperature": temperature,
        "alpha": alpha,
        "sample_weight": sample_weight,
        "ignore_index": ignore_index,
    }
    parts = _of_teacher(student_logits, teacher_logits, labels, axis, options)
    return _value(parts, (reduction, normalizer))


def distillation_loss_and_grad(
    student_logits: Any, teacher_logits: Any, labels: Any = None, /, axis: int = -1, **options: Any
) -> tuple[Any, Any]:
    """Return the value of :func:`distillation_loss` and its gradient, lazily, in the blocks of the student.

    Examples
    --------
    >>> import dask.array as da, sigmax.dask
    >>> student = da.from_array([[1.0, 0.0]], chunks=1)
    >>> value, gradient = sigmax.dask.distillation_loss_and_grad(student, student, [0], alpha=0.5)
    >>> gradient.compute().round(3)
    array([[-0.134,  0.134]])
    """
    how = _reduction_of(options)
    return _both(_of_teacher(student_logits, teacher_logits, labels, axis, options), how)


def _reduction_of(options: dict[str, Any]) -> tuple[str, Any]:
    return options.pop("reduction", "mean"), options.pop("normalizer", None)


def _value(parts: list[_Loss], how: tuple[str, Any]) -> Any:
    return sum(part.value(*how) for part in parts).astype(parts[0].rows.dtype)


def _both(parts: list[_Loss], how: tuple[str, Any]) -> tuple[Any, Any]:
    first = parts[0]
    slopes = sum(part.slopes(*how) for part in parts).astype(first.rows.dtype)
    return _value(parts, how), da.moveaxis(slopes, -1, first.axis)


def _of_labels(logits: Any, labels: Any, axis: int, options: dict[str, Any]) -> list[_Loss]:
    given = _named("cross_entropy", options, temperature=1.0, sample_weight=None, ignore_index=None)
    return [_Loss(logits, labels, axis, *given)]


def _of_distributions(logits: Any, labels: Any, axis: int, options: dict[str, Any]) -> list[_Loss]:
    from_logits, t, weight = _named(
        "kl_divergence", options, labels_from_logits=False, temperature=1.0, sample_weight=None
    )
    kind = _DivergenceOfLogits if from_logits else _Divergence
    return [kind(logits, labels, axis, t, weight)]


def _of_teacher(
    student: Any, teacher: Any, labels: Any, axis: int, options: dict[str, Any]
) -> list[_Loss]:
    """Return the parts of a distillation, each with the mean of its own."""
    t, alpha, weight, ignored = _named(
        "distillation_loss",
        options,
        temperature=1.0,
        alpha=1.0,
        sample_weight=None,
        ignore_index=None,
    )
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be in [0, 1], got {alpha!r}")
    if labels is None and alpha < 1.0:
        raise ValueError(f"labels are needed for alpha < 1, got alpha={alpha!r} and no labels")
    soft = _DivergenceOfLogits(student, teacher, axis, t, weight)
    parts: list[_Loss] = [soft]
    if labels is not None:
        hard = _Loss(student, labels, axis, 1.0, weight, ignored)
        if hard.hard:
            soft.mass = hard.mass
            soft.weight = da.where(hard.labels >= 0, soft.weight, 0.0)
        hard.weight = (1.0 - alpha) * hard.weight
        parts = [soft] * (alpha > 0.0) + [hard] * (alpha < 1.0)
    soft.weight = alpha * soft.rows.temperature**2 * soft.weight
    return parts


def _named(function: str, options: dict[str, Any], **defaults: Any) -> list[Any]:
    """Return the options in the order of their defaults."""
    if unknown := options.keys() - defaults.keys():
        raise TypeError(f"{function}() got an unexpected keyword argument {min(unknown)!r}")
    return [options.get(name, default) for name, default in defaults.items()]


class _Loss:
    """A cross-entropy: rows, labels and weights in blocks, and what the sum of the losses is divided by."""

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
        """Return the loss in float64."""
        if reduction not in ("none", "sum", "mean"):
            raise ValueError(f"reduction must be 'none', 'sum' or 'mean', got {reduction!r}")
        rows = self.rows
        parts = rows.with_rest(
            self.losses_of_block,
            np.float64,
            *self._operands(),
            adjust_chunks={rows.classes: 1},
        )
        losses = parts.rechunk({rows.classes: -1}).sum(axis=-1)
        return losses if reduction == "none" else losses.sum() / self._over(reduction, normalizer)

    def slopes(self, reduction: str, normalizer: Any) -> Any:
        """Return the gradient in float64, classes last."""
        slopes = self.rows.with_rest(self.slopes_of_block, np.float64, *self._operands())
        return slopes / self._over(reduction, normalizer)

    def _over(self, reduction: str, normalizer: Any) -> Any:
        if reduction != "mean":
            return 1.0
        if normalizer is not None:
            return float(normalizer)
        total = self.mass.sum()
        return da.where(total == 0, np.inf, total)

    @staticmethod
    def losses_of_block(z: Any, rest: Any, t: Any, first: int, labels: Any, weight: Any) -> Any:
        """Return the part of the loss that the classes of a block have."""
        extended = np.concatenate([z, rest[..., None]], axis=-1)
        if labels.ndim < z.ndim:
            index = _in_block(labels, first, z.shape[-1])
            index = np.where(index == z.shape[-1], -1, index)
            options = {"ignore_index": -1, "sample_weight": weight, "temperature": t}
            losses = sigmax.cross_entropy(extended, index, reduction="none", **options)
            return np.asarray(losses)[..., None]
        log_p = sigmax.log_softmax(extended, temperature=t)[..., :-1]
        terms = np.where(labels > 0, labels * -np.where(labels > 0, log_p, 0.0), 0.0)
        return _weighted(terms, weight)

    @staticmethod
    def slopes_of_block(z: Any, rest: Any, t: Any, first: int, labels: Any, weight: Any) -> Any:
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


class _Divergence(_Loss):
    """A divergence from distributions."""

    def __init__(self, logits: Any, labels: Any, axis: int, temperature: Any, weight: Any) -> None:
        labels = da.asarray(labels)
        if labels.shape != np.shape(logits):
            raise ValueError(f"labels must have the shape {np.shape(logits)}, got {labels.shape}")
        super().__init__(logits, labels, axis, temperature, weight, None)
        self.mass = self.weight

    @staticmethod
    def losses_of_block(z: Any, rest: Any, t: Any, _: int, labels: Any, weight: Any) -> Any:
        """Return the sum of q·(log q − log p)."""
        log_p = sigmax.log_softmax(np.concatenate([z, rest[..., None]], axis=-1), temperature=t)
        possible = labels > 0
        log_q = np.log(np.where(possible, labels, 1.0), dtype=np.float64)
        return _weighted(labels * np.where(possible, log_q - log_p[..., :-1], 0.0), weight)


class _DivergenceOfLogits(_Divergence):
    """A divergence from the distributions that logits give; as labels there are their logarithms."""

    def __init__(self, logits: Any, labels: Any, axis: int, temperature: Any, weight: Any) -> None:
        log_q = log_softmax(da.asarray(labels).astype(np.float64), axis, temperature=temperature)
        super().__init__(logits, log_q, axis, temperature, weight)

    @staticmethod
    def losses_of_block(z: Any, rest: Any, t: Any, _: int, labels: Any, weight: Any) -> Any:
        """Return the sum of q·(log q − log p) − q + p, whose terms are at least 0: close rows keep digits."""
        log_p = sigmax.log_softmax(np.concatenate([z, rest[..., None]], axis=-1), temperature=t)
        log_p = log_p[..., :-1]
        p, q = np.exp(log_p), np.exp(labels)
        with np.errstate(invalid="ignore"):
            d = log_p - labels
            near = d * d * (0.5 + d * (1 / 6 + d * (1 / 24 + d / 120)))  # e^d − 1 − d
            terms = np.where(abs(d) < 1e-3, q * near, p - q - q * d)
        return _weighted(np.where(q > 0, terms, p), weight)

    @staticmethod
    def slopes_of_block(z: Any, rest: Any, t: Any, first: int, labels: Any, weight: Any) -> Any:
        return _Loss.slopes_of_block(z, rest, t, first, np.exp(labels), weight)


def _weighted(terms: Any, weight: Any) -> Any:
    """Return the weighted sum of the terms of each row; a row of weight 0 does not count, whatever it holds."""
    counts = weight > 0
    return (weight * np.where(counts, terms.sum(axis=-1), 0.0))[..., None]


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
