"""Losses of classes: cross-entropy and divergence, from class indices or distributions, logits or probabilities."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._reduction import Reduction, check_reduction, divisor, reduced
from .labels import (
    _LARGEST,
    _ONE,
    _check_rows,
    _class_axis,
    _class_indices,
    _distributions,
    _is_hard,
    _number,
    _per_class_weights,
    _prior,
)
from .normalization import (
    _broadcasts,
    _cast,
    _check_legal,
    _check_out,
    _mask,
    _positive,
    _real,
    _refuse_masked,
    _refuse_temperature,
    softmax,
)
from .soft_labels import SparseLabels, SparseLoss, sparse_loss

__all__ = ["cross_entropy", "kl_divergence"]


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
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
    r"""Cross-entropy of labels and the distribution that logits (or probabilities) give.

    .. math:: \ell_n = s_n \sum_k w_k q_{nk} (-\log p_{nk}) + z \, \Lambda_n^2, \quad
        p = \operatorname{softmax}(x / T), \;
        \Lambda = \operatorname{logsumexp}(x / T), \;
        q = (1 - \varepsilon) q^0 + \varepsilon \pi

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        One row per sample along ``axis``: logits, or probabilities with ``from_logits=False``; those are taken as
        given, neither clipped nor normalised.
    labels : array_like
        q⁰. Of the shape of ``logits`` without ``axis``: class indices, of any integer type. Of the shape of
        ``logits``: distributions along ``axis``, one-hot ones of bool or integers included. Or :class:`SparseLabels`,
        with the options that do not ask about all classes.
    axis : int
        The class axis.
    from_logits : bool
        What ``logits`` holds; nothing is guessed from its values.
    temperature : array_like
        T, positive: a number, or one per row. Only with logits.
    class_weight : array_like, shape (C,), optional
        w: finite, not negative.
    sample_weight : array_like, optional
        s: finite, broadcasting to the shape of the rows. Negative ones are legal (policy gradients).
    label_smoothing : float
        ε in [0, 1].
    smoothing_prior : array_like, shape (C,), optional
        π: not negative, with sum 1. Uniform unless given. Of a row with masked classes, the others share it in its
        proportions.
    ignore_index : int, optional
        Rows with this label are left out: their loss and gradient are 0, whatever they hold. Where labels are
        distributions, those that are sure of this class.
    where : array_like of bool, optional
        Mask, broadcasting to ``logits``: a masked class has probability 0 and gradient 0.
    z_loss : float
        z: weight of the squared logsumexp, which keeps logits from drifting. Only with logits.
    reduction : {"mean", "sum", "none"}
        The mean is the sum over D = Σ s Σ w q⁰ of the rows that are not left out, so that class indices and
        distributions agree. With nothing left it is 0.
    normalizer : float, optional
        Takes the place of D, for a mean over several calls.

    Returns
    -------
    scalar, or ndarray of the shape of the rows for ``reduction="none"``
        In the type of ``logits``. In natural units (nats), at least 0 where weights are, inf for a label of
        probability 0. Losses of confident rows keep full relative accuracy, down to the subnormal numbers.
        Largest error: float16 and bfloat16 0.51 ULP, float32 1 ULP, float64 2 ULP. A row with NaN is NaN.

    Raises
    ------
    TypeError
        If an argument is not of real numbers, or class indices are not integers.
    ValueError
        If a label is out of range, a distribution does not sum to 1 (within the square root of the type's
        epsilon), shapes do not match, an option is out of range, or the weights of a mean sum to less than 0.

    See Also
    --------
    value_and_grad : the loss and its gradient from one pass.
    linear_cross_entropy : the same for logits that are never held.

    References
    ----------
    Good, I. J. (1952). Rational decisions. doi:10.1111/j.2517-6161.1952.tb00104.x.
    Chowdhery, A. et al. (2023). PaLM. https://jmlr.org/papers/v24/22-1144.html (z-loss).

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.cross_entropy([[40.0, 0.0], [0.0, 1.0]], [0, 1], reduction="none"))
    [4.24835426e-18 3.13261688e-01]
    >>> print(sigmax.cross_entropy([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]], label_smoothing=0.1))
    0.5200948492805977
    """
    return _cross_entropy(
        logits,
        labels,
        axis,
        from_logits=from_logits,
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


def kl_divergence(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    labels_from_logits: bool = False,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    reduction: Reduction = "mean",
    normalizer: float | None = None,
) -> Any:
    r"""Kullback–Leibler divergence of the labels from the distribution that logits give.

    .. math:: D(q \,\|\, p) = \sum_k q_k (\log q_k - \log p_k), \quad p = \operatorname{softmax}(x / T)

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        As for :func:`cross_entropy`.
    labels : array_like of real numbers, shape of ``logits``
        q: distributions along ``axis``, or with ``labels_from_logits=True`` logits of such, at the same temperature. Or
        :class:`SparseLabels`.
        Close rows of logits keep the digits of their small divergence.
    axis, from_logits, temperature, sample_weight, where
        As for :func:`cross_entropy`; a mask applies to both.
    labels_from_logits : bool
        What ``labels`` holds.
    reduction, normalizer
        As for :func:`cross_entropy`: the mean is that of the rows.

    Returns
    -------
    scalar, or ndarray of the shape of the rows for ``reduction="none"``
        In the type of ``logits``, in nats; at least 0 for distributions, inf where p is 0 and q is not; 0·log 0 is 0.
        Largest error, of labels that are logits: float16 and bfloat16 0.51 ULP, float32 1 ULP, float64 2 ULP; of
        distributions the same, or that part of the sum of the terms' absolute values.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cross_entropy`.

    References
    ----------
    Kullback, S., Leibler, R. A. (1951). On information and sufficiency. doi:10.1214/aoms/1177729694.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.kl_divergence([0.0, 0.0], [1.0, 0.0]))
    0.6931471805599453
    >>> print(sigmax.kl_divergence([0.0, 1.0], [1e-9, 1.0], labels_from_logits=True))
    9.830596665102685e-20
    """
    return _kl_divergence(
        logits,
        labels,
        axis,
        from_logits=from_logits,
        labels_from_logits=labels_from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        where=where,
        reduction=reduction,
        normalizer=normalizer,
    )


# ---------------------------------------------------------------- rows


@dataclass
class _Rows:
    """Rows of logits with their labels, classes last, and what the kernels need besides."""

    x: Any
    index: Any = None  # class indices, -1 for a row that is left out; None: of no row
    soft: Any = None  # distributions, or logits of such
    kept: Any = None  # which rows are not left out; None: all
    weight: Any = None
    temperature: Any = 1.0
    class_weight: Any = None
    smoothing: float = 0.0
    prior: Any = None
    mask: Any = None
    z_loss: Any = 0.0  # of a distillation the weights of the labels

    def count_all(self) -> int:
        return math.prod(self.x.shape[:-1])

    def count(self) -> int:
        return self.count_all() if self.kept is None else int(np.count_nonzero(self.kept))

    def masses(self, sums: Any) -> Any:
        """Return s·Σ w·q of every row, 0 for those left out; None where all that are not count 1.

        `sums` are those of the distributions, or None.
        """
        if self.class_weight is None:
            mass = sums
        elif self.soft is None:
            mass = self.class_weight[self.index]
        else:
            mass = _core.mass(self.soft, self.class_weight)
        if self.weight is not None:
            rows = self.x.shape[:-1]
            mass = np.broadcast_to(self.weight, rows) if mass is None else mass * self.weight
        return mass if mass is None or self.kept is None else np.where(self.kept, mass, 0.0)

    def divisor(self, sums: Any, reduction: Reduction, normalizer: Any) -> float:
        needed = reduction == "mean" and normalizer is None
        return divisor(self.masses(sums) if needed else None, self.count(), reduction, normalizer)

    def run(self, kernel: str, scale: float, place: Any) -> Any:
        """Return the losses, as float64; with a place, the gradient times `scale` is written there."""
        if place is not None:
            kernel += "_gradient"
        if type(self.x) is np.ndarray:
            losses = self.run_plain(_core.loss_functions[kernel], scale, place)
            if losses is not None:
                return losses
        operands = (
            self.x,
            np.int64(0) if self.index is None else self.index,
            *(() if self.soft is None else (self.soft,)),
            1.0 if self.weight is None else self.weight,
            self.temperature,
            _ONE if self.class_weight is None else self.class_weight,
            self.smoothing,
            _ONE if self.prior is None else self.prior,
            self.prior_total(),
            _UNMASKED if self.mask is None else self.mask,
            self.z_loss,
            scale,
        )
        if place is None:
            return getattr(_core, kernel)(*operands)
        return getattr(_core, kernel)(*operands, out=(None, place))[0]

    def run_plain(self, function: int, scale: float, place: Any) -> Any:
        """Do without NumPy's machinery; None where that is not possible."""
        return _core.loss_plain(
            function,
            self.x,
            self.index,
            self.soft,
            1.0 if self.weight is None else self.per_row(self.weight),
            self.per_row(self.temperature),
            _ONE if self.class_weight is None else self.class_weight,
            self.smoothing,
            _ONE if self.prior is None else self.prior,
            self.per_row(self.prior_total()),
            self.mask,
            self.per_row(self.z_loss),
            scale,
            place,
        )

    def per_row(self, numbers: Any) -> Any:
        """Return a float, or one number for each row in contiguous memory."""
        if type(numbers) is float:
            return numbers
        if np.ndim(numbers) == 0:
            return float(numbers)
        return np.ascontiguousarray(np.broadcast_to(numbers, self.x.shape[:-1]))

    def cross_entropy(self, from_logits: bool) -> str:
        """Return the name of the kernel."""
        name = "cross_entropy" if self.soft is None else "soft_cross_entropy"
        return name if from_logits else name + "_of_probabilities"

    def groups(self, step: int) -> Iterator["_Rows"]:
        """Yield the rows by groups of `step`, with one batch dimension."""
        classes = self.x.shape[-1]
        rows = self.count_all()
        shape = self.x.shape[:-1]

        def per_row(numbers: Any, part: slice) -> Any:
            if numbers is None or np.ndim(numbers) == 0:
                return numbers
            return np.broadcast_to(numbers, shape).reshape(-1)[part]

        def per_class(numbers: Any, part: slice) -> Any:
            return None if numbers is None else numbers.reshape(rows, classes)[part]

        for begin in range(0, rows, step):
            part = slice(begin, begin + step)
            yield replace(
                self,
                x=per_class(self.x, part),
                soft=per_class(self.soft, part),
                mask=per_class(self.mask, part),
                index=per_row(self.index, part),
                kept=per_row(self.kept, part),
                weight=per_row(self.weight, part),
                temperature=per_row(self.temperature, part),
            )

    def prior_total(self) -> Any:
        """Return the sum of the prior over the classes of each row."""
        if self.smoothing == 0.0:
            return 1.0
        if self.mask is None:
            return float(self.x.shape[-1]) if self.prior is None else 1.0
        return np.where(self.mask, 1.0 if self.prior is None else self.prior, 0.0).sum(axis=-1)


_UNMASKED = np.ones(1, np.bool_)


def _cross_entropy(
    logits: Any,
    labels: Any,
    axis: Any = -1,
    *,
    reduction: Reduction = "mean",
    normalizer: Any = None,
    gradient: bool = False,
    out: Any = None,
    **options: Any,
) -> Any:
    """Return the value, or with `gradient` the value and the gradient."""
    if isinstance(labels, SparseLabels):
        options |= {"axis": axis, "reduction": reduction, "normalizer": normalizer}
        return sparse_loss(SparseLoss("cross_entropy", logits, labels, options), gradient, out)
    check_reduction(reduction, normalizer)
    given = _real(logits, "logits")
    axis = _class_axis(axis, given)
    if out is not None:
        _check_gradient_place(out, given)
    rows, sums = _labelled_rows(given, labels, axis, **options)
    kernel = rows.cross_entropy(options.get("from_logits", True))
    over = rows.divisor(sums, reduction, normalizer)
    return _finished(rows, kernel, over, axis, given, reduction, gradient, out)


def _labelled_rows(
    x: Any,
    labels: Any,
    axis: int,
    *,
    from_logits: bool = True,
    temperature: Any = 1.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    label_smoothing: Any = 0.0,
    smoothing_prior: Any = None,
    ignore_index: Any = None,
    where: Any = None,
    z_loss: Any = 0.0,
) -> tuple[_Rows, Any]:
    """Return rows with their labels and all options, checked, and the sums of the labels that are distributions."""
    labels = _array(labels, "labels")
    given, given_labels = x, labels
    hard = _is_hard(labels, x, axis)
    classes = x.shape[axis]
    if not hard:
        labels = labels if labels.dtype.kind in "biu" else _real(labels, "labels")
        x, labels = _in_one_type(x, labels)
    rows = _rows(x, axis, from_logits, temperature, sample_weight, where)
    rows.z_loss = _number(z_loss, "z_loss", 0.0, _LARGEST)
    if rows.z_loss and not from_logits:
        raise ValueError(f"z_loss needs from_logits=True, got z_loss={z_loss!r}")
    rows.smoothing = _number(label_smoothing, "label_smoothing", 0.0, 1.0)
    if smoothing_prior is not None:
        rows.prior = _prior(smoothing_prior, "smoothing_prior", classes)
    if class_weight is not None:
        rows.class_weight = _per_class_weights(class_weight, "class_weight", classes)
    sums = None
    if hard:
        rows.index, rows.kept = _class_indices(labels, classes, ignore_index)
    else:
        rows.soft = _classes_last(labels, axis)
        rows.index, rows.kept = _distributions(rows.soft, classes, ignore_index)
        sums = _check_rows(rows.soft, "labels", rows.kept, given.dtype, given_labels.dtype)
    if not from_logits:
        _check_rows(rows.x, "logits", rows.kept, given.dtype)
    return rows, sums


def _kl_divergence(
    logits: Any,
    labels: Any,
    axis: Any = -1,
    *,
    from_logits: bool = True,
    labels_from_logits: bool = False,
    temperature: Any = 1.0,
    sample_weight: Any = None,
    where: Any = None,
    reduction: Reduction = "mean",
    normalizer: Any = None,
    gradient: bool = False,
    out: Any = None,
) -> Any:
    """Return the value, or with `gradient` the value and the gradient."""
    if isinstance(labels, SparseLabels):
        options = {
            "axis": axis,
            "from_logits": from_logits,
            "labels_from_logits": labels_from_logits,
            "temperature": temperature,
            "sample_weight": sample_weight,
            "where": where,
            "reduction": reduction,
            "normalizer": normalizer,
        }
        return sparse_loss(SparseLoss("kl_divergence", logits, labels, options), gradient, out)
    check_reduction(reduction, normalizer)
    x = given = _real(logits, "logits")
    labels = given_labels = _real(_array(labels, "labels"), "labels")
    axis = _class_axis(axis, x)
    if labels.shape != x.shape:
        raise ValueError(
            f"labels must have the shape {tuple(x.shape)} of logits, got shape {tuple(labels.shape)}"
        )
    if out is not None:
        _check_gradient_place(out, x)
    if labels_from_logits and not from_logits:
        labels = softmax(labels, axis, where=where, dtype=np.float64)
        labels_from_logits = False
    x, labels = _in_one_type(x, labels)
    rows = _rows(x, axis, from_logits, temperature, sample_weight, where)
    rows.soft = _classes_last(labels, axis)
    if not from_logits:
        _check_rows(rows.x, "logits", None, given.dtype)
    if labels_from_logits:
        sums, kernel = None, "divergence"
    else:
        sums = _check_rows(rows.soft, "labels", None, given.dtype, given_labels.dtype)
        kernel = "relative_entropy" if from_logits else "relative_entropy_of_probabilities"
    over = rows.divisor(sums, reduction, normalizer)
    return _finished(rows, kernel, over, axis, given, reduction, gradient, out)


def _finished(
    rows: _Rows,
    kernel: str,
    over: float,
    axis: int,
    given: Any,
    reduction: Reduction,
    gradient: bool,
    out: Any,
) -> Any:
    """Return the loss, and its gradient if that is asked for, in the type of the logits that were given."""
    if not gradient:
        return reduced(rows.run(kernel, 1.0 / over, None), reduction, over, given.dtype)
    direct = out is not None and out.dtype == rows.x.dtype and _apart(out, given, rows)
    place = out if direct else _place_like(given, rows.x.dtype)
    losses = rows.run(kernel, 1.0 / over, _classes_last(place, axis))
    value = reduced(losses, reduction, over, given.dtype)
    if direct or (out is None and place.dtype == given.dtype):
        return value, place
    slopes = _cast(place, given.dtype)
    if out is None:
        return value, slopes
    np.copyto(out, slopes)
    return value, out


def _apart(out: Any, given: Any, rows: _Rows) -> bool:
    """Whether writing the gradient to `out` cannot change an operand: it may be the logits themselves, in full."""
    same = out is given or (out.ctypes.data == given.ctypes.data and out.strides == given.strides)
    others = (rows.soft, rows.mask, rows.index, rows.weight, rows.temperature)
    return (same or not np.may_share_memory(out, rows.x)) and not any(
        isinstance(other, np.ndarray) and np.may_share_memory(out, other) for other in others
    )


def _place_like(x: Any, dtype: Any) -> Any:
    return _core.empty_like(x) if x.dtype == dtype else np.empty_like(x, dtype)


# ---------------------------------------------------------------- arguments


def _classes_last(x: Any, axis: int) -> Any:
    return x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1)


def _array(x: Any, name: str) -> Any:
    _refuse_masked(x, name)
    return x if isinstance(getattr(x, "dtype", None), np.dtype) else np.asarray(x)


def _rows(
    x: Any, axis: int, from_logits: bool, temperature: Any, sample_weight: Any, where: Any
) -> _Rows:
    """Return rows with the options that all losses have, checked."""
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    if not from_logits:
        _refuse_temperature(temperature)
    rows = _Rows(_classes_last(x, axis))
    rows.temperature = _row_temperatures(temperature, batch)
    if sample_weight is not None:
        rows.weight = _per_row_weights(sample_weight, batch)
    if where is not None:
        rows.mask = np.moveaxis(_mask(where, x.shape), axis, -1)
        if not from_logits:
            rows.x = np.where(rows.mask, rows.x, x.dtype.type(0))
    return rows


def _per_row_weights(weights: Any, batch: tuple[int, ...]) -> Any:
    """Return sample weights, checked, as float64."""
    w = _real(weights, "sample_weight", np.float64)
    if not _broadcasts(w.shape, batch):
        raise ValueError(
            f"sample_weight must broadcast to the shape {batch}, got shape {tuple(w.shape)}"
        )
    _check_legal(np.isfinite(w), w, "sample_weight", "finite")
    return w


def _row_temperatures(temperature: Any, batch: tuple[int, ...]) -> Any:
    temperature = _positive(temperature)
    if type(temperature) is float:
        return temperature
    if not _broadcasts(np.shape(temperature), batch):
        raise ValueError(
            f"temperature must broadcast to the shape {batch}, got shape {np.shape(temperature)}"
        )
    return temperature


def _check_gradient_place(out: Any, x: Any) -> None:
    _check_out(out)
    if out.shape != x.shape or out.dtype != x.dtype or not out.flags.writeable:
        raise ValueError(
            f"out must be a writable array of shape {x.shape} and type {x.dtype}, "
            f"got shape {out.shape} and type {out.dtype}"
        )


def _in_one_type(x: Any, labels: Any) -> tuple[Any, Any]:
    """Return logits and soft labels in one type: that of x if it holds the labels, else one that holds both."""
    if labels.dtype == x.dtype:
        return x, labels
    narrow = _cast(labels, x.dtype)
    if labels.dtype.kind in "biu" or labels.dtype.itemsize < x.dtype.itemsize:
        return x, narrow
    wide = np.promote_types(x.dtype, labels.dtype)
    if wide == x.dtype or bool((narrow == labels).all()):
        return x, narrow
    return x.astype(wide), _cast(labels, wide)
