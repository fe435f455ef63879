"""The small JSON file that `calibrate` writes and `apply` reads."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigmax import (
    BetaFit,
    ConformalSets,
    IsotonicFit,
    PlattFit,
    VectorScalingFit,
    softmax,
)
from sigmax._arguments import integer, temperatures
from sigmax.files.blocks import scaled_block
from sigmax.files.errors import DataError
from sigmax.files.jsonl import different_fields
from sigmax.files.questions import ANSWERS
from sigmax.report.labels import PerLabel

MARKS = ('"temperature"', '"scale"', '"points"', '"beta"')  # one of which a file has


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities. One of temperature, or scale and bias, is neutral."""

    classes: tuple[str, ...]
    temperature: float = 1.0
    scale: Any = None
    bias: Any = None
    input: str | None = None  # "logits" or "probabilities", that it was fitted on
    normalize: bool = False
    binary: PlattFit | BetaFit | IsotonicFit | None = None  # of two classes
    shares: Any = None  # of the classes among the labels that it was fitted on
    sets: ConformalSets | None = None  # of its probabilities
    labels: "tuple[Calibration, ...] | None" = (
        None  # of many labels: one of yes and no for all, or for each
    )

    def apply(self, logits: Any, prior: Any = None) -> Any:
        """Return probabilities; with a prior, where classes are as frequent as it says."""
        p = self._probabilities(logits)
        if prior is None:
            return p
        shifted = p * (prior / self.shares)
        return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(p.dtype)

    def apply_to_labels(self, logits: Any) -> Any:
        """Return the probability of yes of each label, of the logits of no and yes: (samples, labels, 2)."""
        assert self.labels is not None
        each = self.labels * (logits.shape[1] if len(self.labels) == 1 else 1)
        columns = [of.apply(logits[:, k])[:, 1] for k, of in enumerate(each)]
        return np.stack(columns, axis=-1)

    @property
    def _bends(self) -> bool:
        """Whether it gives something else of logits than of the probabilities that they make."""
        of_labels = any(of._bends for of in self.labels or ())
        return self.scale is not None or self.binary is not None or of_labels

    def _probabilities(self, logits: Any) -> Any:
        if self.binary is not None:
            z = logits[:, 1].astype(np.float64) - logits[:, 0]
            p = self.binary.apply(z)
            dtype = softmax(np.zeros(1, logits.dtype)).dtype
            return np.stack([1.0 - p, p], axis=-1).astype(dtype)
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
        if said != fitted and self.input is not None and self._bends:
            raise DataError(
                f"{path}: was fitted on {self.input}, and scales and biases are for these only"
            )
        return said


def described(fit: Any) -> dict[str, Any]:
    """Return what is fitted, and what it was fitted on, in types that JSON has."""
    if isinstance(fit, PerLabel):
        return _described_per_label(fit)
    if isinstance(fit, PlattFit):
        parameters = {"method": "platt", "scale": fit.scale, "bias": fit.bias}
    elif isinstance(fit, BetaFit):
        parameters = {"method": "beta", "a": fit.a, "b": fit.b, "c": fit.c}
    elif isinstance(fit, IsotonicFit):
        steps = {"points": fit.points.tolist(), "values": fit.values.tolist()}
        parameters = {"method": "isotonic", **steps}
    elif isinstance(fit, VectorScalingFit):
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


def _described_per_label(fit: PerLabel) -> dict[str, Any]:
    """Return the fit of each label; a label without one says why, and keeps its probabilities."""
    whole = fit.described()
    labels = [
        described(own) if own.status == "ok" else {"method": "none", "message": own.message}
        for own in fit.fits
    ]
    method = next(label["method"] for label in labels if label["method"] != "none")
    names = ("message", "rows", "nll_before", "nll_after")
    return {"method": method, "labels": labels, **{name: whole[name] for name in names}}


def load(path: Path) -> Calibration:
    """Read a file of `calibrate`, checked."""
    if not path.is_file():
        raise DataError(f"{path}: is not a file")
    try:
        value = json.loads(
            path.read_text("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=different_fields,
        )
        return read(value)
    except KeyError as error:
        what = f"{error} is missing"
    except (ValueError, TypeError, RecursionError) as error:
        what = str(error)
    raise DataError(f"{path}: not a calibration that `sigmax calibrate` wrote: {what}")


def read(value: Any) -> Calibration:
    """Return what the object of a file says, checked."""
    if not isinstance(value, dict):
        raise ValueError("it must be an object")
    classes, method, given = value["classes"], value["method"], value.get("input")
    if not isinstance(classes, list) or not all(isinstance(x, str) for x in classes):
        raise ValueError("classes must be a list of names")
    if len(set(classes)) < len(classes):
        raise ValueError("classes must have different names")
    if given not in (None, "logits", "probabilities"):
        raise ValueError(f"input must be 'logits' or 'probabilities', got {given!r}")
    normalize, multilabel = (
        _flag({name: False, **value}, name) for name in ("normalize", "multilabel")
    )
    common: Any = {
        "classes": tuple(classes),
        "input": given,
        "normalize": normalize,
        "shares": _numbers(value, "shares", len(classes)) if value.get("shares") else None,
        "sets": _sets(value["sets"], len(classes)) if value.get("sets") else None,
    }
    if multilabel:
        return Calibration(**common, labels=_labels(value, len(classes)))
    if method == "none":
        return Calibration(**common)
    if method in ("platt", "beta", "isotonic"):
        if len(classes) != 2:
            raise ValueError(f"method {method!r} is for two classes, got {len(classes)}")
        return Calibration(**common, binary=_binary(method, value))
    if method == "temperature":
        return Calibration(**common, temperature=temperatures(_finite(value, "temperature")))
    if method == "vector":
        scale, bias = (_numbers(value, name, len(classes)) for name in ("scale", "bias"))
        return Calibration(**common, scale=scale, bias=bias)
    legal = "'temperature', 'vector', 'platt', 'beta' or 'isotonic'"
    raise ValueError(f"method must be {legal}, got {method!r}")


def _labels(value: dict[str, Any], count: int) -> tuple[Calibration, ...]:
    """Return the calibration of yes and no of each label, or one for all."""
    each = value.get("labels", [value])
    if not isinstance(each, list) or not all(isinstance(x, dict) for x in each):
        raise ValueError("labels must be a list of calibrations")
    if "labels" in value and len(each) != count:
        raise ValueError(f"must have a calibration for each of {count} labels, got {len(each)}")
    beside = {"classes": list(ANSWERS), "multilabel": False, "shares": None, "sets": None}
    return tuple(read({**x, **beside}) for x in each)


def _binary(method: str, value: dict[str, Any]) -> PlattFit | BetaFit | IsotonicFit:
    """Return the fit of a file, of which only what applies it is kept."""
    found: dict[str, Any] = {
        "nll_before": 0.0,
        "nll_after": 0.0,
        "status": "ok",
        "message": "",
        "rows": 0,
    }
    if method == "platt":
        return PlattFit(**found, scale=_finite(value, "scale"), bias=_finite(value, "bias"))
    if method == "beta":
        a, b, c = (_finite(value, name) for name in "abc")
        return BetaFit(**found, a=a, b=b, c=c)
    points = value["points"]
    if not isinstance(points, list) or len(points) < 2:
        raise ValueError("points must be a list of two numbers at least")
    x, y = (_numbers(value, name, len(points)) for name in ("points", "values"))
    if (np.diff(x) < 0).any() or (np.diff(y) < 0).any() or y[0] < 0 or y[-1] > 1:
        raise ValueError("points and values must rise, values in [0, 1]")
    return IsotonicFit(**found, points=x, values=y)


def _sets(value: Any, classes: int) -> ConformalSets:
    """Return the conformal sets of a file."""
    if not isinstance(value, dict) or value.get("method") not in ("lac", "aps", "raps"):
        raise ValueError("sets must be an object with the method 'lac', 'aps' or 'raps'")
    threshold = math.inf if value["threshold"] is None else _finite(value, "threshold")
    numbers: dict[str, Any] = {name: _finite(value, name) for name in ("coverage", "penalty")}
    if not (0 < numbers["coverage"] < 1 and numbers["penalty"] >= 0):
        raise ValueError("coverage must be in (0, 1) and penalty not negative")
    counts: dict[str, Any] = {
        name: integer(value[name], name, 0) for name in ("free", "seed", "rows")
    }
    return ConformalSets(
        threshold=threshold,
        method=value["method"],
        randomized=_flag(value, "randomized"),
        never_empty=_flag(value, "never_empty"),
        per_class=False,
        temperature=1.0,
        classes=classes,
        **numbers,
        **counts,
    )


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a finite number")


def _flag(values: dict[str, Any], name: str) -> bool:
    if not isinstance(values[name], bool):
        raise ValueError(f"{name} must be true or false, got {values[name]!r}")
    return bool(values[name])


def _finite(values: dict[str, Any], name: str) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e308:
        raise ValueError(f"{name} must be a finite number, got {repr(value)[:40]}")
    return float(value)


def _numbers(values: dict[str, Any], name: str, count: int) -> Any:
    numbers = values[name]
    if not isinstance(numbers, list) or len(numbers) != count:
        raise ValueError(f"{name} must be {count} finite numbers, got {repr(numbers)[:40]}")
    return np.array([_finite({name: x}, name) for x in numbers])
