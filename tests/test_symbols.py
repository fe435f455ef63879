"""Each kernel file of an instruction-set level exports its table of functions and nothing else.

A function that two levels' objects hold under one weak name becomes one function when they are
linked, perhaps the one for the newest CPU, and older CPUs crash on it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ("cross_entropy", "divergence", "elements", "evaluation", "normalization", "products")
PROGRAMS = Path(sys.executable).parent  # where pip put ninja


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The static library of each level, freshly built."""
    build = tmp_path_factory.mktemp("build")
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    # Unoptimised, no function vanishes into its callers: every symbol that could leak does.
    environment = os.environ | {"PATH": path, "CXXFLAGS": "-O0"}

    def meson(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "mesonbuild.mesonmain", *arguments]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    meson("setup", build, ROOT)
    targets = json.loads(meson("introspect", "--targets", build))
    paths = {t["name"]: Path(t["filename"][0]) for t in targets if t["type"] == "static library"}
    meson("compile", "-C", build, *paths)
    return paths


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("nm") and shutil.which("c++")), reason="needs nm and a C++ compiler"
)
def test_one_symbol_per_file(libraries: dict[str, Path]) -> None:
    assert libraries
    for name, path in libraries.items():
        command = ["nm", "--defined-only", "--extern-only", "--format=posix", path]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        symbols = [line.split()[:2] for line in listing.splitlines() if not line.endswith(":")]
        kind, level = name.split("_")
        files = FILES if kind == "kernels" else ("sampling_kernels",)
        assert sorted(name for name, _ in symbols) == [f"sigmax_{file}_{level}" for file in files]
        assert all(kind in "DR" for _, kind in symbols), "a table must not be weak"
