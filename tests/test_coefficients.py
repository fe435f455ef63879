"""The headers of src/core hold exactly the coefficients that tools/make_coefficients.py derives."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_coefficients_are_the_derived_ones() -> None:
    command = [
        sys.executable,
        ROOT / "tools/make_coefficients.py",
        "--check",
        ROOT / "src/core/simd/wide.h",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
