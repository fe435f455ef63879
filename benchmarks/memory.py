"""The memory that one call takes at its peak, each in a process of its own. Linux only.

It is what the process holds at most while the call runs, less what it held before (VmHWM and VmRSS
of ``/proc/self/status``): what the kernel counts, whoever allocates. Results are part of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import linear
from grid import Cell, make_task

WARM_UP = (64, 64, 128)  # rows, features, classes: a call that starts threads and loads code


def measure_memory(cells: list[Cell]) -> list[dict]:
    """For the last cell, the largest: one row per library."""
    if not cells or not Path("/proc/self/clear_refs").exists():
        return []
    rows = []
    for library in linear.LIBRARIES:
        command = [sys.executable, __file__, library.name, json.dumps(cells[-1])]
        process = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(cells[-1]._asdict() | json.loads(process.stdout))
    return rows


def held(field: str) -> int:
    """Bytes, of a line of the status such as ``VmHWM:  1234 kB``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_of(name: str, cell: Cell) -> dict:
    library = next(library for library in linear.LIBRARIES if library.name == name)
    prepare = library(os.cpu_count()).prepare
    prepare(make_task(cell._replace(shape=WARM_UP)))()
    call = prepare(make_task(cell))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = held("VmRSS")
    call()
    return {"library": name, "peak": held("VmHWM") - before}


if __name__ == "__main__":
    cell = Cell(*json.loads(sys.argv[2]))
    print(json.dumps(peak_of(sys.argv[1], cell._replace(shape=tuple(cell.shape)))))
