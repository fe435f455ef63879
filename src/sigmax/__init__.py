"""Everything between logits and loss: exact, fast, the same bits everywhere."""

import sys as _sys
import typing as _typing

if (_sys.argv or [""])[0] == "-m" or (_sys.argv or [""])[0].endswith("/sigmax"):  # the command
    from .cli import answer_interruptions as _answer_interruptions

    _answer_interruptions()

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
    brier_score,
    calibration_error,
    evaluate,
)
from .gradients import value_and_grad, vjp
from .labels import one_hot, smooth_labels
from .linear import LinearHead, TopK, linear_log_softmax, linear_softmax, linear_top_k
from .linear_cross_entropy import linear_cross_entropy
from .losses import cross_entropy, kl_divergence
from .normalization import entropy, inverse_softmax, log_softmax, logsumexp, softmax
from .reliability import ReliabilityCurve, reliability_curve
from .sampling import Accepted, Filtered, filter_probabilities, sample, speculative_accept
from .soft_labels import SparseLabels, read_soft_labels, write_soft_labels

__all__ = [
    "Accepted",
    "Estimate",
    "Evaluation",
    "Filtered",
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
    "filter_probabilities",
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
    "sample",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "smooth_labels",
    "softmax",
    "softplus",
    "speculative_accept",
    "value_and_grad",
    "vjp",
    "write_soft_labels",
]

__version__: str

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """Find out the version when it is asked for: that takes as long as half of the import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version("sigmax")
