"""Write docs/results/conformance.json: PyTorch's and ONNX's cases, how many pass, where sigmax differs on purpose.

    python tools/conformance.py

It needs pip install '.[conformance]', and stops if a case neither passes nor is known to differ.
"""

import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import results

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

from conformance_cases import DEVIATIONS, deviation, onnx_cases, torch_cases  # noqa: E402

HERE = {"zero": "0", "value": "another value", "ValueError": "`ValueError`"}


def content() -> dict[str, Any]:
    total, passed, known, wrong = Counter(), Counter(), Counter(), []
    for case in [*torch_cases(), *onnx_cases()]:
        expected = deviation(case)
        total[case.suite] += 1
        outcome = case.outcome()
        if outcome != (expected.outcome if expected else "same"):
            wrong.append(f"{case}: {outcome}")
        elif expected:
            known[expected.what] += 1
        else:
            passed[case.suite] += 1
    if wrong:
        raise SystemExit("\n".join([*wrong, f"{len(wrong)} cases are wrong"]))
    rows = [*total.items(), ("all", sum(total.values()))]
    passed["all"] = sum(passed.values())
    suites = {
        "title": "",
        "columns": {"suite": "", "cases": ",d", "pass": ",d", "differ on purpose": ",d"},
        "rows": [[suite, n, passed[suite], n - passed[suite]] for suite, n in rows],
    }
    differences = {
        "title": "Where sigmax differs",
        "columns": {"case": "", "here": "", "cases": ",d", "why": ""},
        "rows": [[d.what, HERE[d.outcome], known[d.what], d.reason] for d in DEVIATIONS],
    }
    torch = version("torch").partition("+")[0]
    return results.provenance() | {
        "note": f"Counted with PyTorch {torch} and ONNX {version('onnx')}.",
        "tables": [suites, differences],
    }


if __name__ == "__main__":
    results.write(ROOT / "docs/results/conformance.json", content())
