"""Measured results: a small JSON file each in docs/results, which the scripts write and the site shows as tables."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Table = dict[str, Any]  # title, text, columns (name → format), rows


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit() -> str:
    """The commit that is measured, with a + where the sources differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def provenance() -> dict[str, str]:
    """What a table of measurements says about itself."""
    import sigmax

    level = sigmax.show_config(mode="dicts")["isa"]
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    return {
        "command": " ".join(["python", str(script), *sys.argv[1:]]),
        "machine": f"{processor()}, {os.cpu_count()} CPUs, {level}",
        "commit": commit(),
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with a row to a line, so that a change of numbers is a change of lines."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    rows = re.compile(r"\[\n([^\[\]{}]*)\n *\]")
    in_one_line = rows.sub(lambda row: "[" + " ".join(row[1].split()) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(in_one_line + "\n")


def markdown_table(header: list[str], lines: list[list[str]], right: Iterable[str] = ()) -> str:
    rule = ["---:" if name in right else "---" for name in header]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def markdown(table: Table) -> str:
    """A table of numbers, each in the format of its column."""
    columns = table["columns"]
    lines = [
        [
            "" if value is None else format(value, form)
            for value, form in zip(row, columns.values(), strict=True)
        ]
        for row in table["rows"]
    ]
    right = {name for name, form in columns.items() if form}
    parts = [f"## {table['title']}"] if table.get("title") else []
    parts += [table["text"]] if table.get("text") else []
    return "\n\n".join([*parts, markdown_table(list(columns), lines, right)])


def source(content: dict[str, Any]) -> str:
    """Where the numbers of a file of results come from."""
    note = f" {content['note']}" if "note" in content else ""
    return f"Measured by `{content['command']}` at commit `{content['commit']}`: {content['machine']}.{note}"


def page(content: dict[str, Any]) -> str:
    return "\n\n".join([source(content), *map(markdown, content["tables"])]) + "\n"
