"""The small JSON file that `calibrate` writes and `apply` reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigmax import TemperatureFit, VectorScalingFit, softmax
from sigmax.files.blocks import scaled_block
from sigmax.files.errors import DataError


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities. One of temperature, or scale and bias, is neutral."""

    classes: tuple[str, ...]
    temperature: float = 1.0
    scale: Any = None
    bias: Any = None
    input: str | None = None  # "logits" or "probabilities", that it was fitted on
    normalize: bool = False

    def apply(self, logits: Any) -> Any:
        if self.scale is None:
            return softmax(logits, temperature=self.temperature)
        return softmax(scaled_block(logits, self.scale, self.bias))

    def probabilities(self, path: Path, said: bool | None) -> bool | None:
        """Return whether a file is to be read as probabilities: as said, else as what the calibration was fitted on.

        A calibration of logits says nothing: what looks like probabilities is refused as ever. A temperature gives the
        same from logits and from the probabilities they make; scales and biases do not.
        """
        fitted = self.input == "probabilities"
        if said is None:
            return True if fitted else None
        if said != fitted and self.input is not None and self.scale is not None:
            raise DataError(
                f"{path}: was fitted on {self.input}, and scales and biases are for these only"
            )
        return said


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
        value = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
        return _checked(value)
    except KeyError as error:
        what = f"{error} is missing"
    except (ValueError, TypeError, RecursionError) as error:
        what = str(error)
    raise DataError(f"{path}: not a calibration that `sigmax calibrate` wrote: {what}")


def _checked(value: Any) -> Calibration:
    if not isinstance(value, dict):
        raise ValueError("it must be an object")
    classes, method, given = value["classes"], value["method"], value.get("input")
    if not isinstance(classes, list) or not all(isinstance(x, str) for x in classes):
        raise ValueError("classes must be a list of names")
    if given not in (None, "logits", "probabilities"):
        raise ValueError(f"input must be 'logits' or 'probabilities', got {given!r}")
    normalize = value.get("normalize", False)
    if not isinstance(normalize, bool):
        raise ValueError(f"normalize must be true or false, got {normalize!r}")
    common: Any = {"classes": tuple(classes), "input": given, "normalize": normalize}
    if method == "temperature":
        temperature = _finite(value["temperature"])
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {value['temperature']}")
        return Calibration(**common, temperature=temperature)
    if method == "vector":
        scale, bias = (_numbers(value[name], len(classes)) for name in ("scale", "bias"))
        return Calibration(**common, scale=scale, bias=bias)
    raise ValueError(f"method must be 'temperature' or 'vector', got {method!r}")


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a finite number")


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e308:
        raise ValueError(f"a number must be finite, got {str(value)[:40]}")
    return float(value)


def _numbers(values: Any, count: int) -> Any:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"scale and bias must be {count} finite numbers, one for each class")
    return np.array([_finite(x) for x in values])
