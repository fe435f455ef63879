"""Losses as modules: those of PyTorch with their arguments and defaults, and distillation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _losses


class CrossEntropyLoss(torch.nn.CrossEntropyLoss):
    """``torch.nn.CrossEntropyLoss`` by :func:`sigmax.torch.cross_entropy`, with its arguments and defaults.

    Differences: a batch whose rows are all ignored has loss 0, not NaN; class weights must not be negative; labels that
    are distributions must sum to 1; errors are of the types that sigmax raises.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return _cross_entropy(self, input, target)


def _cross_entropy(loss: Any, x: Tensor, target: Tensor) -> Tensor:
    """Return the loss with PyTorch's class axis, ignored class and divisor."""
    hard = not (target.is_floating_point() and target.shape == x.shape)
    axis = min(1, x.ndim - 1)
    mean_of_rows = not hard and loss.reduction == "mean"
    ignored = -100 if loss.ignore_index is None else loss.ignore_index
    return _losses.cross_entropy(
        x,
        target,
        axis,
        class_weight=loss.weight,
        label_smoothing=loss.label_smoothing,
        ignore_index=ignored if hard else None,
        reduction=loss.reduction,
        normalizer=_rows(x, axis) if mean_of_rows else None,
    )


def _rows(x: Tensor, axis: int) -> float:
    """Return the number of rows; of none 1, for a mean of 0."""
    return float(max(1, x.numel() // max(1, x.shape[axis])))


class BCEWithLogitsLoss(torch.nn.BCEWithLogitsLoss):
    """``torch.nn.BCEWithLogitsLoss`` by :func:`sigmax.torch.binary_cross_entropy`, with its arguments and defaults.

    Differences: labels must be in [0, 1]; a logit of ±inf that agrees with its label costs 0, not NaN.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return _losses.binary_cross_entropy(
            input,
            target,
            pos_weight=self.pos_weight,
            sample_weight=self.weight,
            reduction=self.reduction,
            normalizer=float(max(1, input.numel())) if self.reduction == "mean" else None,
        )


class LinearCrossEntropyLoss(torch.nn.LinearCrossEntropyLoss):
    """``torch.nn.LinearCrossEntropyLoss`` by :func:`sigmax.torch.linear_cross_entropy`, with its arguments.

    Without ``out_features`` the logits are never held, whatever ``options`` say. With them the logits are, as there.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if self.out_features:
            logits = self.linear(input)
            shape = (*input.shape[:-1], self.num_classes, *self.out_features)
            return _cross_entropy(self, logits.reshape(shape), target)
        hard = not target.is_floating_point()
        ignored = -100 if self.ignore_index is None else self.ignore_index
        rows = float(max(1, input.shape[:-1].numel()))
        return _losses.linear_cross_entropy(
            input,
            self.linear.weight,
            target,
            bias=self.linear.bias,
            class_weight=self.weight,
            label_smoothing=self.label_smoothing,
            ignore_index=ignored if hard else None,
            reduction=self.reduction,
            normalizer=rows if not hard and self.reduction == "mean" else None,
        )


class DistillationLoss(torch.nn.Module):
    """:func:`sigmax.torch.distillation_loss` as a module: ``loss(student_logits, teacher_logits, labels=None)``.

    The class axis is the second one, as in ``torch.nn.CrossEntropyLoss``, or the only one. Teachers get no gradient.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        alpha: float = 1.0,
        *,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.temperature, self.alpha = float(temperature), float(alpha)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, alpha={self.alpha}, reduction={self.reduction!r}"

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
        hard = labels is not None and not labels.is_floating_point()
        return _losses.distillation_loss(
            student,
            teacher.detach(),
            labels,
            min(1, student.ndim - 1),
            temperature=self.temperature,
            alpha=self.alpha,
            class_weight=self.weight,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index if hard else None,
            reduction=self.reduction,
        )
