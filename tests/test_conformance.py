"""sigmax passes the tests of PyTorch and ONNX, or says why not: conformance_cases.DEVIATIONS."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance_cases import DEVIATIONS, Case, deviation, onnx_cases, torch_cases

PAGE = (Path(__file__).parent.parent / "docs" / "conformance.md").read_text()
pytestmark = pytest.mark.conformance


def cases(make: Callable[[], list[Case]], *packages: str) -> list:
    if all(map(importlib.util.find_spec, packages)):
        return make()
    reason = f"needs {' and '.join(packages)}: pip install '.[conformance]'"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


CASES = [
    *cases(torch_cases, "torch", "expecttest", "ml_dtypes"),
    *cases(onnx_cases, "onnx"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    known = deviation(case)
    assert case.outcome() == (known.outcome if known else "same")


@pytest.mark.parametrize("known", DEVIATIONS, ids=lambda d: d.what)
def test_no_deviation_is_stale(known):
    if not all(isinstance(case, Case) for case in CASES):
        pytest.skip("needs all of '.[conformance]'")
    assert any(deviation(case) is known for case in CASES)


def test_the_page_names_every_suite_and_deviation():
    """Its numbers are those of the versions it names."""
    suites = {f"| {case.suite} |" for case in CASES if isinstance(case, Case)}
    rows = {f"| {known.what} |" for known in DEVIATIONS} | {
        f"| {known.reason} |" for known in DEVIATIONS
    }
    assert [row for row in suites | rows if row not in PAGE] == []
