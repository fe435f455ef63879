"""Distillation: a student learns from the soft labels of a teacher, and from the labels themselves."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments
from ._arguments import Reduction, classes_last
from ._loss import Rows, loss
from ._reduction import Extended, is_ordinary, product, reduced, reduced_to_extended
from .soft_labels import SparseDistillation, SparseLabels

__all__ = ["distillation_loss"]


@loss
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
    share = _arguments.number(alpha, "alpha", 0.0, 1.0)
    if isinstance(teacher_logits, SparseLabels):
        options = {
            "axis": axis,
            "temperature": temperature,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "label_smoothing": label_smoothing,
            "smoothing_prior": smoothing_prior,
            "ignore_index": ignore_index,
            "where": where,
            "z_loss": z_loss,
            "reduction": reduction,
            "normalizer": normalizer,
        }
        return SparseDistillation(student_logits, teacher_logits, labels, share, options)
    if labels is None and share < 1.0:
        raise ValueError(f"labels are needed for alpha < 1, got alpha={alpha!r} and no labels")
    hard = Rows(student_logits, axis, "student_logits")
    hard.take_sample_weight(sample_weight)
    hard.take_mask(where)
    soft = hard.changed()
    soft.take_second_rows(teacher_logits, "teacher_logits")
    soft.take_temperature(temperature)
    hard.take_class_options(class_weight, label_smoothing, smoothing_prior, z_loss)
    if labels is not None:
        hard.take_labels(labels)
        hard.settle(ignore_index)
        hard.reduce(reduction, normalizer)
        soft.kept = hard.not_ignored
    soft.settle(are_distributions=False)
    soft.reduce(reduction, normalizer)
    soft.kernel = "divergence"
    soft.cool(squared=True)
    soft.weight = product(share, soft.temperature, soft.temperature, soft.weight)
    if labels is None or share == 1.0:
        return soft
    if share == 0.0:
        return hard  # whatever the teacher holds
    if hard.soft is not None or hard.smoothing or hard.z_loss:
        hard = _with_share(hard, 1.0 - share)
        return _Both(soft.changed(added=True), hard.changed(added=True))
    return _in_one_pass(soft, hard, 1.0 - share)


def _in_one_pass(soft: Rows, hard: Rows, share: float) -> Rows:
    """Return the divergence with the loss of class indices, whose weights are in units that give both one divisor."""
    ratio = None
    if soft.over != hard.over:
        ordinary = is_ordinary(soft.over, hard.over) or hard.over == np.inf
        ratio = (
            soft.over / hard.over if ordinary else Extended.of(soft.over) / Extended.of(hard.over)
        )
    soft.z_loss = product(share, ratio, hard.masses())
    soft.index, soft.kernel = hard.index, "distillation"
    if soft.kept is not None or hard.kept is not None:
        label = np.maximum(
            hard.index, 0
        )  # of a row that counts as one of the teacher's alone: its weight is 0
        soft.index = label if soft.kept is None else np.where(soft.kept, label, np.int64(-1))
    return soft


def _with_share(hard: Rows, share: float) -> Rows:
    return hard.changed(weight=product(share, hard.weight), z_loss=product(share, hard.z_loss))


@dataclass
class _Both:
    """The sum of a divergence and a cross-entropy that have a kernel each."""

    soft: Rows
    hard: Rows

    def value(self) -> Any:
        return self.reduced([rows.losses(None) for rows in self.parts()])

    def parts(self) -> tuple[Rows, Rows]:
        return self.soft.scaled(), self.hard.scaled()

    def reduced(self, losses: list[Any]) -> Any:
        both = [
            reduced(part, rows.reduction, rows.over, np.dtype(np.float64))
            for part, rows in zip(losses, (self.soft, self.hard), strict=True)
        ]
        total = sum(both)
        if np.isnan(total).any():  # inf - inf
            soft, hard = (
                reduced_to_extended(part, rows.reduction, rows.over)
                for part, rows in zip(losses, (self.soft, self.hard), strict=True)
            )
            total = soft + hard
        return reduced(total, "none", 1.0, self.soft.given.dtype)

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        self.soft.require_place(out)
        parts = self.parts()
        at_once = all(rows.x.dtype == np.float64 for rows in parts)
        slopes: list[Any] = [np.empty(rows.x.shape) if at_once else None for rows in parts]
        losses = [rows.losses(slope) for rows, slope in zip(parts, slopes, strict=True)]
        place = np.empty_like(self.soft.given)
        rows_of_place = classes_last(place, self.soft.axis)
        if at_once:
            slope = _finite(slopes[0] + slopes[1], parts)
            np.copyto(rows_of_place, _arguments.cast(slope, place.dtype))
        else:
            _write_gradient(parts, rows_of_place)
        return self.reduced(losses), self.soft.put(place, out)


def _write_gradient(parts: tuple[Rows, Rows], place: Any) -> None:
    """Write the sum of the gradients, rounded once: they are added as float64, a group of rows at a time."""
    flat = np.empty((math.prod(place.shape[:-1]), place.shape[-1]), place.dtype)
    begin = 0
    step = max(1, _GROUP // max(1, place.shape[-1]))
    for group in zip(*(rows.groups(step) for rows in parts), strict=True):
        for rows in group:
            rows.x = rows.x.astype(np.float64)
            rows.soft = None if rows.soft is None else rows.soft.astype(np.float64)
        slope = _finite(_sum_of_slopes(group, 0), group)
        flat[begin : begin + len(slope)] = _arguments.cast(slope, place.dtype)
        begin += len(slope)
    np.copyto(place, flat.reshape(place.shape))


def _sum_of_slopes(parts: tuple[Rows, ...], power: int) -> Any:
    """Return the sum of the gradients times 2^power."""
    total: Any = 0.0
    for rows in parts:
        slope = np.empty_like(rows.x)
        rows.changed(scale=np.ldexp(rows.scale, power)).run(slope)
        total = total + slope
    return total


def _finite(total: Any, parts: tuple[Rows, ...]) -> Any:
    """Return the sum of the gradients, also where both are infinite."""
    return np.ldexp(_sum_of_slopes(parts, -1000), 1000) if np.isnan(total).any() else total


_GROUP = 1 << 16  # numbers of a group of rows, which stays in the cache
