"""The small JSON file that `calibrate` writes and `apply` reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigmax import TemperatureFit, VectorScalingFit, softmax

from .console import DataError
from .rows import scaled_block


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities. One of temperature, or scale and bias, is neutral."""

    classes: tuple[str, ...]
    temperature: float = 1.0
    scale: Any = None
    bias: Any = None

    def apply(self, logits: Any) -> Any:
        if self.scale is None:
            return softmax(logits, temperature=self.temperature)
        return softmax(scaled_block(logits, self.scale, self.bias))


def described(fit: TemperatureFit | VectorScalingFit) -> dict[str, Any]:
    """Return what is fitted, and what it was fitted on, in types that JSON has."""
    if isinstance(fit, VectorScalingFit):
        parameters = {"method": "vector", "scale": fit.scale.tolist(), "bias": fit.bias.tolist()}
    else:
        parameters = {
            "method": "temperature",
            "temperature": fit.temperature,
            "interval": list(fit.interval),
        }
    return {
        **parameters,
        "rows": fit.rows,
        "nll_before": fit.nll_before,
        "nll_after": fit.nll_after,
    }


def load(path: Path) -> Calibration:
    """Read a file of `calibrate`, checked."""
    try:
        value = json.loads(path.read_text("utf-8"))
        classes = tuple(map(str, value["classes"]))
        if value["method"] == "temperature":
            return Calibration(classes, temperature=_positive(value["temperature"]))
        if value["method"] == "vector":
            scale, bias = (_finite(value[name], len(classes)) for name in ("scale", "bias"))
            return Calibration(classes, scale=scale, bias=bias)
        raise ValueError(f"method must be 'temperature' or 'vector', got {value['method']!r}")
    except (ValueError, TypeError, KeyError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(
            f"{path}: not a calibration that `sigmax calibrate` wrote: {what}"
        ) from error


def _positive(value: Any) -> float:
    if not 0 < float(value) < np.inf:
        raise ValueError(f"temperature must be positive, got {value}")
    return float(value)


def _finite(values: Any, count: int) -> Any:
    array = np.array(values, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"scale and bias must be {count} finite numbers, one for each class")
    return array
