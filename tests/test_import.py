"""What an import of the library brings along: only what its ordinary calls need."""

import subprocess
import sys

import pytest

SLOW = {
    "concurrent.futures",
    "dask",
    "decimal",
    "fractions",
    "importlib.metadata",
    "matplotlib",
    "numpy.random",
    "pandas",
    "pyarrow",
    "random",
    "rich",
    "secrets",
    "sklearn",
    "statistics",
    "torch",
    "typer",
}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_the_library_imports_nothing_slow():
    assert not (modules_after("import numpy, sigmax") - modules_after("import numpy")) & SLOW


def test_the_help_of_the_command_reads_no_files_and_draws_nothing():
    needed = modules_after("import typer.rich_utils, sigmax")
    assert not (modules_after("import sigmax.cli.commands") - needed) & SLOW


def test_the_version_is_found_when_asked_for():
    import sigmax

    assert sigmax.__version__
    with pytest.raises(AttributeError, match="module 'sigmax' has no attribute 'sofmax'"):
        sigmax.sofmax  # noqa: B018
