"""Everything between logits and loss: exact, fast, the same bits everywhere."""

import sys as _sys
import typing as _typing

if (_sys.argv or [""])[0] == "-m" or (_sys.argv or [""])[0].endswith("/sigmax"):  # the command
    from .cli import answer_interruptions as _answer_interruptions

    _answer_interruptions()

from ._config import (
    get_num_threads,
    get_rounding,
    release_memory,
    set_num_threads,
    set_rounding,
    show_config,
)
from .binary_cross_entropy import binary_cross_entropy
from .binary_evaluation import BinaryEvaluation, evaluate_binary
from .binary_fits import (
    BetaFit,
    IsotonicFit,
    LabelFits,
    PlattFit,
    fit_beta,
    fit_isotonic,
    fit_per_label,
    fit_platt,
)
from .calibration import (
    TemperatureFit,
    VectorScalingFit,
    fit_temperature,
    fit_vector_scaling,
)
from .comparison import Comparison, Divergence, compare
from .conformal import ConformalSets, SetSizes, conformal_sets
from .decisions import RiskCoverage, Threshold, choose_threshold, decide, risk_coverage
from .decomposition import CorpCurve, Decomposition, corp_curve, decompose
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
from .group_temperatures import GroupTemperatureFit, fit_group_temperatures
from .labels import one_hot, smooth_labels
from .linear import LinearHead, TopK, linear_log_softmax, linear_softmax, linear_top_k
from .linear_cross_entropy import linear_cross_entropy
from .losses import cross_entropy, kl_divergence
from .normalization import entropy, inverse_softmax, log_softmax, logsumexp, softmax
from .prior_shift import PriorShiftFit, fit_prior_shift
from .reliability import ReliabilityCurve, reliability_curve
from .sampling import Accepted, Filtered, filter_probabilities, sample, speculative_accept
from .slices import Slice, evaluate_by
from .soft_labels import SparseLabels, read_soft_labels, write_soft_labels

__all__ = [
    "Accepted",
    "BetaFit",
    "BinaryEvaluation",
    "Comparison",
    "ConformalSets",
    "CorpCurve",
    "Decomposition",
    "Divergence",
    "Estimate",
    "Evaluation",
    "Filtered",
    "GroupTemperatureFit",
    "IsotonicFit",
    "LabelFits",
    "LinearHead",
    "PlattFit",
    "PriorShiftFit",
    "ReliabilityCurve",
    "RiskCoverage",
    "SetSizes",
    "Slice",
    "SparseLabels",
    "TemperatureFit",
    "Threshold",
    "TopK",
    "VectorScalingFit",
    "binary_cross_entropy",
    "brier_score",
    "calibration_error",
    "choose_threshold",
    "compare",
    "conformal_sets",
    "corp_curve",
    "cross_entropy",
    "decide",
    "decompose",
    "distillation_loss",
    "entropy",
    "evaluate",
    "evaluate_binary",
    "evaluate_by",
    "filter_probabilities",
    "fit_beta",
    "fit_group_temperatures",
    "fit_isotonic",
    "fit_per_label",
    "fit_platt",
    "fit_prior_shift",
    "fit_temperature",
    "fit_vector_scaling",
    "get_num_threads",
    "get_rounding",
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
    "risk_coverage",
    "sample",
    "set_num_threads",
    "set_rounding",
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
