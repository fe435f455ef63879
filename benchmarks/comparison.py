"""Two files of logits compared, and a report on one: speed and memory beside reading the files.

    python benchmarks/comparison.py --rows 10000000 --markdown docs/benchmarks/comparison.md

The function reads memory maps; the command does so too, checks the rows, and adds up the SHA-256 of the files. Memory
is what the process holds at the peak beyond what it held before, as in ``calibration.py``.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from calibration import BLOCK, CLASSES, peak_of, read, write
from typer.testing import CliRunner

import sigmax
from sigmax.cli.commands import app


def write_other(logits: Path) -> Path:
    """Make the logits of the same model in eighths, as a coarse quantisation has them."""
    x = np.load(logits, mmap_mode="r")
    file = logits.with_name("other.npy")
    y = np.lib.format.open_memmap(file, "w+", np.float32, x.shape)
    for begin in range(0, len(x), BLOCK):
        part = slice(begin, begin + BLOCK)
        np.round(x[part] * 8, out=y[part])
        y[part] /= 8
    y.flush()
    return file


def run_command(*words: object) -> None:
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="sigmax")
    if result.exit_code:
        raise RuntimeError(result.output)


def measured(call: Callable[[], object]) -> tuple[float, float, float]:
    """Return seconds, seconds of all processors, and the most memory in MB."""
    begin, busy = time.perf_counter(), time.process_time()
    peak = peak_of(call)
    return time.perf_counter() - begin, time.process_time() - busy, peak / 1e6


def rows_of(folder: Path, rows: int, classes: int) -> list[tuple[str, float, float, float, float]]:
    """Return name, GB that are read, seconds, those of all processors, and MB, of each call."""
    base, labels = write(folder, rows, classes)
    other = write_other(base)
    x, y, z = (np.load(file, mmap_mode="r") for file in (base, other, labels))
    page = ("-o", folder / "page.html")
    of_two: dict[str, Callable[[], object]] = {
        "read both files": lambda: (read(base), read(other)),
        "`compare`, without labels": lambda: sigmax.compare(x, y),
        "`compare`, with labels": lambda: sigmax.compare(x, y, z),
        "`sigmax compare BASE OTHER`": lambda: run_command("compare", base, other, *page),
        "`sigmax compare BASE OTHER LABELS`": lambda: run_command(
            "compare", base, other, labels, *page
        ),
    }
    of_one: dict[str, Callable[[], object]] = {
        "read one file": lambda: read(base),
        "`sigmax report BASE LABELS`": lambda: run_command("report", base, labels, *page),
    }
    size = rows * classes * 4 / 1e9
    found = [(name, 2 * size, *measured(call)) for name, call in of_two.items()]
    other.unlink()
    return found + [(name, size, *measured(call)) for name, call in of_one.items()]


def markdown(
    rows: int, classes: int, found: list[tuple[str, float, float, float, float]], load: float
) -> str:
    lines = [
        "# Benchmarks of comparisons and reports",
        "",
        f"Written by `python benchmarks/comparison.py --rows {rows}` on {os.cpu_count()} CPUs",
        f"({platform.machine()}, {sigmax.show_config(mode='dicts')['isa']}); NumPy {np.__version__}.",
        "The files are in the page cache as far as memory allows. Other processes that wanted a CPU at the start (load",
        f"average): {load:.1f}.",
        "",
        f"Twice {rows:,} × {classes} float32, memory-mapped: {found[0][1]:.1f} GB together.",
        "",
        "| call | seconds | of all processors | GB/s | most memory, MB |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {t:.2f} | {busy:.2f} | {size / t:.2f} | {peak:.0f} |"
            for name, size, t, busy, peak in found
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = rows_of(Path(folder), arguments.rows, arguments.classes)
    text = markdown(arguments.rows, arguments.classes, found, load)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
