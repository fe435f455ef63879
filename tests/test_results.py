"""The measured results that the site shows: complete, and shown as they are written down."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "docs/results").glob("*.json"))


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), str(ROOT / "benchmarks"), *sys.path])
    return importlib.import_module("results")


def content_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_where_it_comes_from_and_is_written_in_its_form(path, results, tmp_path):
    content = content_of(path)
    assert all(content[name] for name in ("command", "machine", "commit"))
    results.write(tmp_path / path.name, content)
    assert (tmp_path / path.name).read_text() == path.read_text()
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_has_every_row(path, results):
    content = content_of(path)
    if "cells" in content:
        report = importlib.import_module("report")
        page = report.markdown(content)
        shown = cells(page.split("## All cells")[1])[2:]
        assert [row[:2] for row in shown] == [row[:2] for row in content["cells"]]
        losing = cells(page.split("## Losing cells")[1].split("## All cells")[0])[2:]
        assert len(losing) == sum(
            row["peer_seconds"] < row["seconds"] for row in report.from_json(content)
        )
    else:
        shown = cells(results.page(content))
        assert len(shown) == sum(2 + len(table["rows"]) for table in content["tables"])


def test_numbers_have_the_format_of_their_column(results):
    table = {"columns": {"name": "", "ULP": ".3f", "ratio": ".1f"}, "rows": [["a", 0.5, None]]}
    assert cells(results.markdown(table)) == [
        ["name", "ULP", "ratio"],
        ["---", "---:", "---:"],
        ["a", "0.500", ""],
    ]


def test_a_measured_cell_keeps_its_best_peer(results):  # noqa: ARG001 - the path
    report, grid = importlib.import_module("report"), importlib.import_module("grid")
    measured = {
        "threads": 2,
        "bytes": 80,
        "median": {"sigmax": 2.0, "SciPy": 6.0, "JAX": 4.0, "copyto": 1.0},
        "fastest": {"sigmax": 2.0, "SciPy": 3.0, "JAX": 4.0, "copyto": 1.0},
        "ulp": {"sigmax": 0.5, "JAX": 7.0},
    }
    row = report.row_of(grid.Cell("softmax", "float32", (10, 1000), 0, False), measured)
    assert (row["peer"], report.ratio(row), row["ratio_of_fastest"], row["of_memcpy"]) == (
        "JAX",
        2,
        1.5,
        0.5,
    )
    assert (row["shape"], row["axis"], row["out"]) == ("10 x 1_000", "first", "new")
    content = {"columns": report.COLUMNS, "cells": [[row[name] for name in report.COLUMNS]]}
    assert report.from_json(content) == [row]
    assert report.table_line(row)[6:9] == ["2e+03 ms (0.5 ULP)", "JAX 4e+03 ms (7 ULP)", "2.00"]
