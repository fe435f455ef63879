"""The functions of sigmax for PyTorch's tensors on the CPU, with autograd, and losses as modules.

Every public function of :mod:`sigmax` is here under its name, with its arguments and its bits. Tensors take the place
of arrays and share their memory. The functions of one number, those along an axis, and the losses are differentiable,
with the errors of :func:`sigmax.vjp` and :func:`sigmax.value_and_grad`. They are operators of ``torch.library``:
``torch.compile``, ``torch.export`` and ``torch.func`` take them as they are.
"""

from __future__ import annotations

from typing import Any

import sigmax

from ._arrays import of_tensors, one_hot, smooth_labels, value_and_grad, vjp
from ._functions import (
    entropy,
    inverse_softmax,
    log1mexp,
    log_sigmoid,
    log_softmax,
    logit,
    logsumexp,
    sigmoid,
    softmax,
    softplus,
)
from ._losses import (
    binary_cross_entropy,
    cross_entropy,
    distillation_loss,
    kl_divergence,
    linear_cross_entropy,
)
from ._modules import BCEWithLogitsLoss, CrossEntropyLoss, DistillationLoss, LinearCrossEntropyLoss

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "DistillationLoss",
    "LinearCrossEntropyLoss",
    "binary_cross_entropy",
    "cross_entropy",
    "distillation_loss",
    "entropy",
    "inverse_softmax",
    "kl_divergence",
    "linear_cross_entropy",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "one_hot",
    "sigmoid",
    "smooth_labels",
    "softmax",
    "softplus",
    "value_and_grad",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """Return a function or class of the package that no gradient is for."""
    if name not in sigmax.__all__:
        raise AttributeError(f"module 'sigmax.torch' has no attribute {name!r}")
    thing = getattr(sigmax, name)
    if not isinstance(thing, type):
        thing = of_tensors(thing, name)
    globals()[name] = thing
    return thing
