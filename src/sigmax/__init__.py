"""Everything between logits and loss: exact, fast, the same bits everywhere."""

from importlib.metadata import version as _version

from ._config import get_num_threads, release_memory, set_num_threads, show_config
from .elementwise import log1mexp, log_sigmoid, logit, sigmoid, softplus
from .gradients import vjp
from .normalization import entropy, inverse_softmax, log_softmax, logsumexp, softmax

__version__ = _version("sigmax")

__all__ = [
    "entropy",
    "get_num_threads",
    "inverse_softmax",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "release_memory",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "softmax",
    "softplus",
    "vjp",
]
