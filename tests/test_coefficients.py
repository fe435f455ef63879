"""The headers of src/core hold exactly the coefficients that tools/make_coefficients.py derives."""

import importlib
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
HEADER = ROOT / "src/core/simd/wide.h"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def derived() -> tuple[ModuleType, list[str]]:
    """The tool, which derives its lines once for all tests of this module."""
    sys.path.insert(0, str(ROOT / "tools"))
    tool = importlib.import_module("make_coefficients")
    sys.path.pop(0)
    lines = tool.lines()
    tool.lines = lambda: lines
    return tool, lines


def test_coefficients_are_the_derived_ones(derived: tuple[ModuleType, list[str]]) -> None:
    tool, _ = derived
    assert tool.check([HEADER]) == 0


def test_one_unit_in_the_last_place_is_seen(
    derived: tuple[ModuleType, list[str]], tmp_path: Path
) -> None:
    tool, lines = derived
    text = HEADER.read_text()
    for line in lines:
        if not line.startswith("constexpr double"):
            continue
        for number in re.findall(r"-?0x[0-9a-f.]+p[+-]\d+", line):
            planted = math.nextafter(float.fromhex(number), math.inf)
            wrong = tmp_path / "wide.h"
            wrong.write_text(text.replace(line, line.replace(number, planted.hex())))
            assert tool.check([wrong]) == 1, number
