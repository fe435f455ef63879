"""JSON in which nan and inf are strings: ``"nan"``, ``"inf"``, ``"-inf"``."""

import json
import math
from typing import Any, NoReturn

import numpy as np

__all__ = ["dumps", "loads"]

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dumps(value: Any) -> bytes:
    """Write numbers, strings, arrays, lists and dictionaries as JSON."""
    return json.dumps(_outward(value), ensure_ascii=False, separators=(",", ":")).encode()


def loads(text: bytes) -> Any:
    """Read JSON; ValueError if it is malformed, nested too deeply, or has NaN or Infinity as bare words."""
    try:
        return _inward(json.loads(text, parse_constant=_refuse))
    except RecursionError:
        raise ValueError("the request is nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f'{word} is not JSON; write "nan", "inf" or "-inf"')


def _outward(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _outward(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and np.isfinite(value).all():
        return value.tolist()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_outward(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _inward(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _inward(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_inward(item) for item in value]
    if isinstance(value, str):
        return _SPECIAL.get(value, value)
    return value
