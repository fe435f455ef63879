"""Run time: threads, instruction-set level, result memory, optional types."""

import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np

from . import _core

try:
    import ml_dtypes
except ImportError:
    HAS_BFLOAT16 = False
else:
    _core.register_bfloat16(_core, np.dtype(ml_dtypes.bfloat16).num)
    HAS_BFLOAT16 = True


def get_num_threads() -> int:
    """Return the number of threads one call may use.

    The default is the number of CPUs this process may run on, or what ``SIGMAX_NUM_THREADS`` says.
    The number never changes a result, only its speed.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(n: int, /) -> None:
    """Set the number of threads one call may use, from the next call on.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If ``n`` is not an integer.
    ValueError
        If ``n`` is less than 1.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.set_num_threads(1)
    >>> sigmax.get_num_threads()
    1
    """
    _core.set_num_threads(_thread_count(n, "n"))


def _thread_count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    count = value.__index__()
    if not 1 <= count <= 1024:
        raise ValueError(f"{name} must be in [1, 1024], got {count}")
    return int(count)


def get_rounding() -> str:
    """Return how results are rounded: ``"ordinary"``, or ``"correct"`` as :func:`set_rounding` has it.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.get_rounding()
    'ordinary'
    """
    return "correct" if _core.get_correct_rounding() else "ordinary"


def set_rounding(mode: Literal["ordinary", "correct"], /) -> AbstractContextManager[None]:
    """Set whether results of rows are correctly rounded: for good, or for the time of a ``with`` block.

    With ``"correct"``, :func:`softmax`, :func:`log_softmax`, :func:`logsumexp` without weights and the losses of
    :func:`cross_entropy` for class indices are, for float32, float16 and bfloat16, the numbers of the type that are
    nearest to the exact values: a few in 10,000 change by one unit in the last place, and all are the same on every
    processor. A sum or mean of losses is that of the rounded losses. Losses with weights, smoothing or a z-loss,
    gradients and float64 are as before; the elementwise functions of these types are always correctly rounded.

    It holds for the whole process, from the next call of any thread on, as :func:`set_num_threads` does. The
    environment variable ``SIGMAX_ROUNDING`` sets what it is to begin with.

    Parameters
    ----------
    mode : {"ordinary", "correct"}
        Within 0.51 ULP or so, or the nearest number.

    Returns
    -------
    context manager
        Its end restores what was before this call.

    Raises
    ------
    ValueError
        If ``mode`` is neither.

    References
    ----------
    Ziv, A. (1991). Fast evaluation of elementary mathematical functions with correctly rounded last bit.
    doi:10.1145/114697.116813.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> with sigmax.set_rounding("correct"):
    ...     print(sigmax.softmax(np.float32([2.0, 1.0, 0.0])))
    [0.66524094 0.24472848 0.09003057]
    """
    before = get_rounding()
    _set_rounding(mode, "mode")
    return _Restored(before)


def _set_rounding(mode: str, name: str) -> None:
    if mode not in ("ordinary", "correct"):
        raise ValueError(f"{name} must be 'ordinary' or 'correct', got {mode!r}")
    _core.set_correct_rounding(mode == "correct")


class _Restored(AbstractContextManager[None]):
    """Restores a rounding when a block ends."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def __exit__(self, *_: object) -> None:
        _set_rounding(self._mode, "mode")


def _nearest(*arguments: Any) -> float:
    from ._nearest import nearest  # one result in a billion needs it

    return nearest(*arguments)


_core.provide_correct_rounding(_nearest)


def release_memory() -> int:
    """Give the result memory kept for reuse back to the system; return its size in bytes.

    Results of 1 MiB and more are placed in memory that earlier results have left: a fresh block costs page
    faults, which take as long as the arithmetic. At most 256 MiB are kept, and the system may take them back
    at any time.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.release_memory() >= 0
    True
    """
    return _core.release_memory()


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Print, or return, what this installation runs on.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print one line per fact, or return them as a dictionary.

    Returns
    -------
    dict or None
        ``version``, ``numpy``, ``isa`` (the instruction-set level in use; ``SIGMAX_ISA`` forces one),
        ``isa_available``, ``num_threads``, ``rounding`` and ``bfloat16``.

    Raises
    ------
    ValueError
        If ``mode`` is neither.

    Examples
    --------
    >>> import sigmax
    >>> sorted(sigmax.show_config(mode="dicts"))
    ['bfloat16', 'isa', 'isa_available', 'num_threads', 'numpy', 'rounding', 'version']
    """
    from . import __version__

    facts = {
        "version": __version__,
        "numpy": np.__version__,
        "isa": _core.level(),
        "isa_available": _core.levels(),
        "num_threads": _core.get_num_threads(),
        "rounding": get_rounding(),
        "bfloat16": HAS_BFLOAT16,
    }
    if mode == "dicts":
        return facts
    if mode != "stdout":
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {mode!r}")
    for name, fact in facts.items():
        print(f"{name:14} {fact}")
    return None


def _threads_from_environment() -> None:
    value = os.environ.get("SIGMAX_NUM_THREADS", "").strip()
    if not value:
        return
    try:
        _core.set_num_threads(_thread_count(int(value), "SIGMAX_NUM_THREADS"))
    except ValueError:
        raise ImportError(
            f"SIGMAX_NUM_THREADS must be an integer in [1, 1024], got {value!r}"
        ) from None


def _rounding_from_environment() -> None:
    value = os.environ.get("SIGMAX_ROUNDING", "").strip()
    if not value:
        return
    try:
        _set_rounding(value, "SIGMAX_ROUNDING")
    except ValueError as error:
        raise ImportError(str(error)) from None


_threads_from_environment()
_rounding_from_environment()
