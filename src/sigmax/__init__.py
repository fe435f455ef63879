"""Everything between logits and loss: exact, fast, the same bits everywhere."""

from importlib.metadata import version as _version

from ._config import get_num_threads, release_memory, set_num_threads, show_config
from .binary_cross_entropy import binary_cross_entropy
from .calibration import (
    TemperatureFit,
    VectorScalingFit,
    fit_temperature,
    fit_vector_scaling,
)
from .distillation import distillation_loss
from .elementwise import log1mexp, log_sigmoid, logit, sigmoid, softplus
from .evaluation import (
    Estimate,
    Evaluation,
    ReliabilityCurve,
    brier_score,
    calibration_error,
    evaluate,
    reliability_curve,
)
from .gradients import value_and_grad, vjp
from .labels import one_hot, smooth_labels
from .linear import LinearHead, TopK, linear_log_softmax, linear_softmax, linear_top_k
from .linear_cross_entropy import linear_cross_entropy
from .losses import cross_entropy, kl_divergence
from .normalization import entropy, inverse_softmax, log_softmax, logsumexp, softmax
from .soft_labels import SparseLabels, read_soft_labels, write_soft_labels

__version__ = _version("sigmax")

__all__ = [
    "Estimate",
    "Evaluation",
    "LinearHead",
    "ReliabilityCurve",
    "SparseLabels",
    "TemperatureFit",
    "TopK",
    "VectorScalingFit",
    "binary_cross_entropy",
    "brier_score",
    "calibration_error",
    "cross_entropy",
    "distillation_loss",
    "entropy",
    "evaluate",
    "fit_temperature",
    "fit_vector_scaling",
    "get_num_threads",
    "inverse_softmax",
    "kl_divergence",
    "linear_cross_entropy",
    "linear_log_softmax",
    "linear_softmax",
    "linear_top_k",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "one_hot",
    "read_soft_labels",
    "release_memory",
    "reliability_curve",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "smooth_labels",
    "softmax",
    "softplus",
    "value_and_grad",
    "vjp",
    "write_soft_labels",
]
