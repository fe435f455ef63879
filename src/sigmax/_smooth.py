"""The smooth calibration error: gaps averaged over near probabilities, without bins (Błasiok, Nakkiran 2023)."""

from typing import Any

import numpy as np

CELLS = 2**12  # of the grid: a kernel is at least a few of them wide


def sums_on_grid(p: Any, gap: Any) -> Any:
    """Return the gaps by probability, each shared by the two points of the grid beside it."""
    place = p * CELLS
    left = np.minimum(place.astype(np.int64), CELLS - 1)
    right = place - left
    sums = np.bincount(left, gap * (1 - right), CELLS + 1)
    return sums + np.bincount(left + 1, gap * right, CELLS + 1)


def smooth_error(sums: Any, weight: float) -> float:
    """Return the error at the width of the kernel that equals it."""
    even = np.concatenate([sums, sums[-2:0:-1]])  # reflected at 0 and 1, as the kernel is
    even[0] *= 2
    even[CELLS] *= 2
    waves = np.fft.rfft(even).real / weight
    low, high = 1.0 / CELLS, 1.0
    if _at(waves, low) <= low:
        return _at(waves, low)
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if _at(waves, middle) > middle else (low, middle)
    return float(high)


def _at(waves: Any, width: float) -> float:
    """Return the integral of |gaps smoothed by a normal kernel|."""
    smoothed = np.fft.irfft(waves * np.exp(-0.5 * (np.pi * np.arange(len(waves)) * width) ** 2))
    inside = np.abs(smoothed[: CELLS + 1])
    return float(inside.sum() - (inside[0] + inside[-1]) / 2)
