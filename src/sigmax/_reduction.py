"""What every loss has in common: from a float64 loss per row to all of them, their sum or their mean."""

from typing import Any

import numpy as np

from . import _core
from ._arguments import Reduction


def divisor(weights: Any, count: int, reduction: Reduction, normalizer: Any) -> float:
    """Return what the sum of the losses is divided by.

    `weights` are those of the rows, 0 where a row does not count, or None for `count` rows of weight 1.
    Where nothing counts it is infinite: the mean is 0, and so are all gradients.
    """
    if reduction != "mean":
        return 1.0
    if normalizer is not None:
        return float(normalizer)
    result = float(count) if weights is None else float(total(weights))
    if 0 < result < np.inf:
        return result
    if result == 0 and (weights is None or not weights.any()):
        return np.inf
    raise ValueError(
        f"sample_weight must have a positive sum for reduction='mean', got {result}: "
        "pass normalizer, or reduction='sum'"
    )


def reduced(losses: Any, reduction: Reduction, divisor: float, dtype: Any) -> Any:
    """Return the losses, their sum or their mean in the type of the logits."""
    if reduction != "none":
        return quotient(total(losses), divisor, dtype)
    with np.errstate(all="ignore"):
        return losses.astype(dtype, copy=False)


def quotient(total: Any, divisor: float, dtype: Any) -> Any:
    if divisor == np.inf and np.isinf(total):
        total = np.float64(0.0)
    if dtype == np.float64 and divisor != 0:
        return total / divisor
    with np.errstate(all="ignore"):
        return (total / divisor).astype(dtype)


def total(x: Any) -> Any:
    """Return the compensated sum of all numbers; other libraries' arrays add up their own way."""
    return np.float64(_core.total(x)) if isinstance(x, np.ndarray | np.generic) else x.sum()
