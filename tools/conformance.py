"""Write docs/conformance.md: the cases of PyTorch and ONNX, how many pass, and where sigmax differs on purpose.

    python tools/conformance.py

It needs pip install '.[conformance]', and stops if a case neither passes nor is known to differ.
"""

import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

from conformance_cases import DEVIATIONS, deviation, onnx_cases, torch_cases  # noqa: E402

PAGE = """\
# Conformance

PyTorch and ONNX ship their test cases with their packages. sigmax runs them: the value and, for PyTorch, the gradient.
A case passes if they are those of PyTorch in float64, to a relative 2^-10 in float16, 2^-7 in bfloat16, 2^-22 in
float32 and 1e-12 in float64, and 16 times as much for linear_cross_entropy, in whose products terms cancel. The
outputs that ONNX ships and the reference functions of PyTorch's tests are compared to 1e-5.

    pip install '.[conformance]'
    pytest -m conformance           # these cases, and the calls of the parity page
    python tools/conformance.py     # writes this page

Counted with PyTorch {torch} and ONNX {onnx}.

| suite | cases | pass | differ on purpose |
|---|---:|---:|---:|
{suites}

Cases that are refused are repeated in a legal form where there is one: class weights made positive, log-probabilities
and labels normalised. Both are counted.

## Where sigmax differs

| case | here | cases | why |
|---|---|---:|---|
{deviations}
"""
HERE = {"zero": "0", "value": "another value", "ValueError": "`ValueError`"}


def page() -> str:
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
    suites = [f"| {s} | {n:,} | {passed[s]:,} | {n - passed[s]:,} |" for s, n in rows]
    deviations = [
        f"| {d.what} | {HERE[d.outcome]} | {known[d.what]} | {d.reason} |" for d in DEVIATIONS
    ]
    return PAGE.format(
        torch=version("torch").partition("+")[0],
        onnx=version("onnx"),
        suites="\n".join(suites),
        deviations="\n".join(deviations),
    )


if __name__ == "__main__":
    (ROOT / "docs" / "conformance.md").write_text(page())
