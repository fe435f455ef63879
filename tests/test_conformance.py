"""sigmax passes the tests of PyTorch and ONNX, or says why not: conformance_cases.DEVIATIONS."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance_cases import DEVIATIONS, Case, deviation, onnx_cases, torch_cases

RESULTS = Path(__file__).parent.parent / "docs/results/conformance.json"
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


def test_the_results_name_every_suite_and_deviation():
    """Their numbers are those of the versions they name."""
    suites, deviations = json.loads(RESULTS.read_text(encoding="utf-8"))["tables"]
    assert [(row[0], row[3]) for row in deviations["rows"]] == [
        (d.what, d.reason) for d in DEVIATIONS
    ]
    counted = {row[0] for row in suites["rows"]}
    assert {case.suite for case in CASES if isinstance(case, Case)} <= counted
