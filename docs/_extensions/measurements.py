"""Shows docs/results/NAME.json where a page has the line `{measurements}: NAME`."""

import json
import re
from pathlib import Path
from typing import Any

import report  # of benchmarks

import results  # of tools

DOCS = Path(__file__).parent.parent
FIGURES = DOCS / "benchmarks/figures"


def read(name: str) -> dict[str, Any]:
    return json.loads((DOCS / f"results/{name}.json").read_text())


def shown(name: str) -> str:
    content = read(name)
    return (report.markdown if "cells" in content else results.page)(content)


def fill(app: Any, _: str, source: list[str]) -> None:
    def replace(found: re.Match[str]) -> str:
        app.env.note_dependency(str(DOCS / f"results/{found[1]}.json"))
        return shown(found[1])

    source[0] = re.sub(r"(?m)^\{measurements\}: (\w+)$", replace, source[0])


def draw(_: Any) -> None:
    FIGURES.mkdir(exist_ok=True)
    for name in ("benchmarks", "losses"):
        report.draw(report.from_json(read(name)), FIGURES / f"{name}.svg")


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", draw)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
