"""Distillation: a student learns from the soft labels of a teacher, and from the labels themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._reduction import Reduction, check_reduction, reduced, total
from .labels import _class_axis, _number
from .losses import (
    _array,
    _check_gradient_place,
    _classes_last,
    _finished,
    _in_one_type,
    _labelled_rows,
    _Rows,
    _rows,
)
from .normalization import _cast, _real
from .soft_labels import SparseDistillation, SparseLabels, sparse_loss

__all__ = ["distillation_loss"]


def distillation_loss(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike | None = None,
    /,
    axis: int = -1,
    *,
    temperature: ArrayLike = 1.0,
    alpha: float = 1.0,
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
    r"""Divergence of a softened teacher from a softened student, mixed with the cross-entropy of the labels.

    .. math:: \alpha T^2 D(\operatorname{softmax}(t / T) \,\|\, \operatorname{softmax}(x / T))
        + (1 - \alpha) \operatorname{cross\_entropy}(x, y)

    Parameters
    ----------
    student_logits : array_like of real numbers, shape (..., C, ...)
        x, one row per sample along ``axis``.
    teacher_logits : array_like of real numbers, shape of ``student_logits``
        t. Or :class:`SparseLabels` at the same temperature: what is known of softmax(t/T).
    labels : array_like, optional
        y, class indices or distributions, as for :func:`cross_entropy`; not needed for ``alpha=1``.
    axis : int
        The class axis.
    temperature : array_like
        T, positive: a number, or one per row. The factor T² keeps the size of the gradient (Hinton et al.).
        The labels' part has temperature 1.
    alpha : float
        α in [0, 1], the share of the teacher.
    sample_weight, where, reduction, normalizer
        As for :func:`cross_entropy`, of both parts; each part has the mean of its own.
    class_weight, label_smoothing, smoothing_prior, ignore_index, z_loss
        As for :func:`cross_entropy`, of the labels' part. A row that is left out is so in both parts.

    Returns
    -------
    scalar, or ndarray of the shape of the rows for ``reduction="none"``
        In the type of ``student_logits``, in nats. Largest error: float16 and bfloat16 0.51 ULP, float32 1 ULP,
        float64 2 ULP, of a gradient in those of the larger part; 1 ULP more where labels are distributions or have
        ``label_smoothing`` or ``z_loss``.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cross_entropy`; also where ``labels`` are missing and ``alpha`` is less than 1.

    References
    ----------
    Hinton, G., Vinyals, O., Dean, J. (2015). Distilling the knowledge in a neural network. https://arxiv.org/abs/1503.02531.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.distillation_loss([1.0, 0.0], [2.0, 0.0], temperature=2.0))
    0.10537834390754515
    """
    return _distillation_loss(
        student_logits,
        teacher_logits,
        labels,
        axis,
        temperature=temperature,
        alpha=alpha,
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


def _distillation_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any = None,
    axis: Any = -1,
    *,
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    sample_weight: Any = None,
    where: Any = None,
    reduction: Reduction = "mean",
    normalizer: Any = None,
    gradient: bool = False,
    out: Any = None,
    **options: Any,
) -> Any:
    """Return the value, or with `gradient` the value and the gradient."""
    check_reduction(reduction, normalizer)
    share = _number(alpha, "alpha", 0.0, 1.0)
    if isinstance(teacher_logits, SparseLabels):
        options |= {"axis": axis, "temperature": temperature, "sample_weight": sample_weight}
        options |= {"where": where, "reduction": reduction, "normalizer": normalizer}
        problem = SparseDistillation(student_logits, teacher_logits, labels, share, options)
        return sparse_loss(problem, gradient, out)
    if labels is None and share < 1.0:
        raise ValueError(f"labels are needed for alpha < 1, got alpha={alpha!r} and no labels")
    given = _real(student_logits, "student_logits")
    axis = _class_axis(axis, given, "student_logits")
    teacher = _real(_array(teacher_logits, "teacher_logits"), "teacher_logits")
    if teacher.shape != given.shape:
        raise ValueError(
            f"teacher_logits must have the shape {tuple(given.shape)} of student_logits, "
            f"got shape {tuple(teacher.shape)}"
        )
    if out is not None:
        _check_gradient_place(out, given)
    x, teacher = _in_one_type(given, teacher)
    soft = _rows(x, axis, True, temperature, sample_weight, where)
    soft.soft = _classes_last(teacher, axis)
    if labels is not None:
        hard, sums = _labelled_rows(
            given,
            labels,
            axis,
            from_logits=True,
            temperature=1.0,
            sample_weight=sample_weight,
            where=where,
            **options,
        )
        soft.kept = hard.kept
        hard_over = hard.divisor(sums, reduction, normalizer)
    over = soft.divisor(None, reduction, normalizer)
    factor = share * soft.temperature * soft.temperature
    soft.weight = factor if soft.weight is None else factor * soft.weight
    kernel = "divergence"
    if soft.kept is not None:
        soft.index = np.where(soft.kept, np.int64(0), np.int64(-1))
    if labels is not None and share < 1.0:
        if hard.soft is not None or hard.smoothing or hard.z_loss:
            parts = (soft, over), (_share_of(hard, 1.0 - share), hard_over)
            return _sum_of_parts(parts, axis, given, reduction, gradient, out)
        soft.index, kernel = hard.index, "distillation"
        soft.z_loss = _label_weights(hard, 1.0 - share, over, hard_over)
    return _finished(soft, kernel, over, axis, given, reduction, gradient, out)


def _label_weights(hard: _Rows, share: float, over: float, hard_over: float) -> Any:
    """Return the weights of class indices, in units in which their mean has the teacher's divisor, `over`."""
    masses = hard.masses(None)
    if over != hard_over:
        share *= over / hard_over
    return share if masses is None else share * masses


def _share_of(hard: _Rows, share: float) -> _Rows:
    weight = share if hard.weight is None else share * hard.weight
    return replace(hard, weight=weight, z_loss=share * hard.z_loss)


def _sum_of_parts(
    parts: Any, axis: int, given: Any, reduction: Reduction, gradient: bool, out: Any
) -> Any:
    """Return what `_finished` does, of a divergence and a cross-entropy that have a kernel each."""
    kernels = "divergence", parts[1][0].cross_entropy(True)
    at_once = gradient and all(rows.x.dtype == np.float64 for rows, _ in parts)
    slopes: list[Any] = [np.empty(rows.x.shape) if at_once else None for rows, _ in parts]
    losses = [
        rows.run(kernel, 1.0 / over, slope)
        for (rows, over), kernel, slope in zip(parts, kernels, slopes, strict=True)
    ]
    if reduction == "none":
        value = reduced(sum(losses), reduction, 1.0, given.dtype)
    else:
        means = [total(part) / over for part, (_, over) in zip(losses, parts, strict=True)]
        value = _cast(np.float64(sum(means)), given.dtype)
    if not gradient:
        return value
    place = np.empty_like(given) if out is None else out
    rows_of_place = _classes_last(place, axis)
    if at_once:
        np.copyto(rows_of_place, _cast(slopes[0] + slopes[1], place.dtype))
    else:
        _write_gradient(parts, kernels, rows_of_place)
    return value, place


def _write_gradient(parts: Any, kernels: tuple[str, str], place: Any) -> None:
    """Write the sum of the gradients, rounded once: they are added as float64, a group of rows at a time."""
    flat = np.empty((parts[0][0].count_all(), place.shape[-1]), place.dtype)
    begin = 0
    step = max(1, _GROUP // max(1, place.shape[-1]))
    for group in zip(*(rows.groups(step) for rows, _ in parts), strict=True):
        slope: Any = 0.0
        for rows, (_, over), kernel in zip(group, parts, kernels, strict=True):
            wide = replace(rows, x=rows.x.astype(np.float64), soft=_widened(rows.soft))
            one = np.empty_like(wide.x)
            wide.run(kernel, 1.0 / over, one)
            slope = slope + one
        flat[begin : begin + len(slope)] = _cast(slope, place.dtype)
        begin += len(slope)
    np.copyto(place, flat.reshape(place.shape))


_GROUP = 1 << 16  # numbers of a group of rows, which stays in the cache


def _widened(x: Any) -> Any:
    return None if x is None else x.astype(np.float64)
