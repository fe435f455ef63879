"""float32 results of the elementwise functions are the nearest floats: proof, a part of the sweep, planted errors."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nearest
import numpy as np
import pytest
from test_isa import LEVELS, python

import sigmax

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src/core"
PROOF = [sys.executable, ROOT / "tools/prove_rounding.py"]

every_function = pytest.mark.parametrize("name", nearest.VALUES)


def proof(core: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROOF, "--core", core], capture_output=True, text=True, check=False)


def test_the_errors_are_proved() -> None:
    done = proof(CORE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("True") == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["kExp2Short", "kLog1pShort", "kLogTailShort", "kLog1p", "kExp2", "kDecay", "kExpTail"]
)
def test_the_proof_sees_a_wrong_coefficient(name: str, tmp_path: Path) -> None:
    """Off by what a float32 coefficient would be: the first that no float32 is."""
    core = shutil.copytree(CORE, tmp_path / "core")
    header = core / "simd/wide.h"
    text = header.read_text()
    (right,) = re.findall(rf"{name}\[\] = {{([^}}]+)}}", text)
    rounded = {c: float(np.float32(float.fromhex(c))) for c in right.split(", ")}
    inexact = next(c for c in rounded if rounded[c] != float.fromhex(c))
    header.write_text(text.replace(right, right.replace(inexact, rounded[inexact].hex())))
    done = proof(core)
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_some_of_all_floats(level: str) -> None:
    """The hardest inputs that the sweep met, and runs of floats in every range, as each level rounds them."""
    done = python(nearest.__file__, level=level)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 wrong") == len(nearest.VALUES)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_losses_of_hard_labels_are_a_softplus(dtype: str) -> None:
    """With and without the gradient: all numbers of the half types, some runs of floats."""
    if dtype == "float32":
        x = np.concatenate([*nearest.runs("softplus"), *nearest.runs("log_sigmoid")])
    else:
        bits = np.arange(65536, dtype=np.uint16)
        x = bits.view(
            np.float16 if dtype == "float16" else pytest.importorskip("ml_dtypes").bfloat16
        )
        x = x[~np.isnan(x.astype(np.float32))]
    for label, expected in ((0, sigmax.softplus(x)), (1, -sigmax.log_sigmoid(x))):
        labels = np.full_like(x, label)
        loss = sigmax.binary_cross_entropy(x, labels, reduction="none")
        again, _ = sigmax.value_and_grad(sigmax.binary_cross_entropy)(x, labels, reduction="none")
        np.testing.assert_array_equal(loss, expected)
        np.testing.assert_array_equal(again, expected)


@every_function
def test_a_result_one_unit_off_is_seen(name: str) -> None:
    x = nearest.runs(name)[0]
    result = getattr(sigmax, name)(x)
    assert nearest.tally_run(name, x, result).wrong == 0
    result[1234] = np.nextafter(result[1234], np.float32(1))
    assert nearest.tally_run(name, x, result).wrong == 1


@every_function
def test_an_error_of_the_first_step_is_seen(name: str) -> None:
    """Results rounded from values that are off by the error of a first step, without a second one."""
    x = nearest.runs(name)[0]
    value = nearest.VALUES[name](x.astype(np.float64)) * (1 + 2.0**-37)
    assert nearest.tally(name, x, value.astype(np.float32)).wrong > 0
