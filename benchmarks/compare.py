"""Time sigmax side by side with other libraries, over a grid of functions, types and shapes.

    python benchmarks/compare.py [--quick] [--markdown FILE] [--json FILE] [--figure FILE]

How it measures: all contenders of a cell take turns in one process (A B C A B C ...), every sample
lasts at least 2 ms, and a cell reports medians. There is one process per thread count, confined to
that many CPUs, because some libraries fix their number of threads when they start. The result of a
call is dropped before the next call.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from peers import ALONG_AXIS, ELEMENTWISE, GRADIENTS, PEERS, TAKES_OUT, Call, NumPy, Sigmax, Task
from report import draw, markdown, table_line, two_best

FUNCTIONS = ELEMENTWISE + ALONG_AXIS + GRADIENTS
DTYPES = ("float16", "float32", "float64")
ELEMENTWISE_SHAPES = [(10,), (1_000,), (100_000,), (1_000_000,), (10_000_000,)]
ROWS_BY_CLASSES = [(100_000, 10), (10_000, 100), (10_000, 1_000), (256, 50_257)]
# (shape, class axis): the same rows once with the classes last and once with the classes first
AXIS_SHAPES = [
    *[((10,), -1), ((1_000,), -1), ((1, 1_000_000), -1)],
    *[(shape, -1) for shape in ROWS_BY_CLASSES],
    *[(shape[::-1], 0) for shape in ROWS_BY_CLASSES],
]
QUICK_ELEMENTWISE_SHAPES = [(1_000,), (1_000_000,)]
QUICK_AXIS_SHAPES = [((10,), -1), ((100_000, 10), -1), ((10_000, 1_000), -1)]

SHORTEST_SAMPLE = 2e-3  # seconds
SLOW = 50e-3  # seconds: a call this long needs no warm-up
FEWEST_ROUNDS, MOST_ROUNDS = 3, 21
HOPELESS = 3  # a peer whose first call is this many times behind the fastest peer is called once
MOST_VALUES_CHECKED = 1_000_000  # larger results are not compared with the exact ones


class Cell(NamedTuple):
    function: str
    dtype: str
    shape: tuple[int, ...]
    axis: int
    into_out: bool


# ------------------------------------------------------------------------------------ the grid


def grid(args: argparse.Namespace) -> Iterator[Cell]:
    sizes = QUICK_ELEMENTWISE_SHAPES if args.quick else ELEMENTWISE_SHAPES
    elementwise = [(shape, -1) for shape in sizes]
    along_axis = QUICK_AXIS_SHAPES if args.quick else AXIS_SHAPES
    for dtype, function in product(args.dtypes, args.functions):
        for shape, axis in elementwise if function in ELEMENTWISE else along_axis:
            for into_out in (True, False) if function in TAKES_OUT else (False,):
                yield Cell(function, dtype, shape, axis, into_out)


@lru_cache(maxsize=32)
def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_input(cell: Cell) -> np.ndarray:
    if cell.function == "logit":
        return np.random.default_rng(0).random(cell.shape, dtype=np.float32).astype(cell.dtype)
    x = 4 * normal(cell.shape, 0)
    return (-abs(x) if cell.function == "log1mexp" else x).astype(cell.dtype)


def make_task(cell: Cell) -> Task:
    task = Task(cell.function, make_input(cell), cell.axis)
    if cell.function in GRADIENTS:
        task.cotangent = normal(cell.shape, 1).astype(cell.dtype)
    if cell.into_out:
        shape = np.delete(cell.shape, cell.axis) if cell.function == "logsumexp" else cell.shape
        # Not np.empty or np.zeros: the pages have to exist before the clock starts.
        task.out = np.full(shape, 1, cell.dtype)
    return task


# ------------------------------------------------------------------------------------ one cell


@dataclass
class Contender:
    name: str
    call: Call
    repeats: int = 1
    estimate: float = math.inf
    samples: list[float] = field(default_factory=list)

    def calibrate(self) -> None:
        """Find how many calls fill a sample. The smallest estimate counts: a hiccup must not."""
        for _ in range(4):
            self.repeats = max(1, math.ceil(SHORTEST_SAMPLE / self.estimate))
            self.estimate = min(self.estimate, self.sample())
            if self.estimate > SLOW:
                break
        self.repeats = max(1, math.ceil(SHORTEST_SAMPLE / self.estimate))

    def sample(self) -> float:
        """Seconds per call, after one that wakes threads and evicts what the last one cached."""
        if self.estimate < SLOW:
            self.call()
        start = time.perf_counter()
        for _ in repeat(None, self.repeats):
            self.call()
        return (time.perf_counter() - start) / self.repeats

    @property
    def fastest(self) -> float:
        return min([self.estimate, *self.samples])

    @property
    def median(self) -> float:
        return statistics.median(self.samples or [self.estimate])


def wait_until_idle() -> None:
    """Let the last contender's threads fall asleep.

    Some spin for 50 ms after a call, on the CPU that the next contender needs.
    """
    for _ in range(40):
        cpu = time.process_time()
        time.sleep(5e-3)  # a scheduler tick: in less, the time of other threads may not show
        if time.process_time() - cpu < 2e-3:
            return


def still_racing(contender: Contender, fastest_peer: float) -> bool:
    if contender.name in ("sigmax", "copyto") or contender.repeats > 1:
        return True
    return contender.fastest <= HOPELESS * fastest_peer


def race(contenders: list[Contender], seconds: float, threads: int) -> None:
    deadline = time.perf_counter() + seconds
    for contender in contenders:
        contender.calibrate()
    peers = [c for c in contenders if c.name not in ("sigmax", "copyto")]
    for finished_rounds in range(MOST_ROUNDS):
        if finished_rounds >= FEWEST_ROUNDS and time.perf_counter() > deadline:
            break
        fastest_peer = min(peer.fastest for peer in peers)
        for contender in contenders:
            if still_racing(contender, fastest_peer):
                if threads > 1:
                    wait_until_idle()
                contender.samples.append(contender.sample())


def copy_call(task: Task) -> Call:
    """The yardstick: copy the input, into memory that is there already or into new memory."""
    if task.out is None:
        return lambda: np.copyto(np.empty_like(task.x), task.x)
    target = task.x.copy()
    return lambda: np.copyto(target, task.x)


def largest_error(result: np.ndarray, task: Task) -> float:
    """In units in the last place of the exact result, which is computed in long double."""
    wide = [a.astype(np.longdouble) for a in (task.x, task.cotangent) if a is not None]
    axis = [] if task.function in ELEMENTWISE else [task.axis]
    exact = getattr(NumPy, task.function)(*wide, *axis)
    spacing = np.spacing(np.abs(exact).astype(task.x.dtype)).astype(np.longdouble)
    return float(np.max(np.abs(np.asarray(result) - exact) / spacing))


def measure(cell: Cell, libraries: list, seconds: float, threads: int) -> dict:
    task = make_task(cell)
    calls = {library.name: library.prepare(task) for library in libraries}
    contenders = [Contender(name, call) for name, call in calls.items() if call]
    contenders.append(Contender("copyto", copy_call(task)))
    race(contenders, seconds, threads)
    result = np.asarray(calls["sigmax"]())
    row = cell._asdict() | {"threads": threads}
    row["bytes"] = sum(a.nbytes for a in (task.x, task.cotangent, result) if a is not None)
    row["median"] = {c.name: c.median for c in contenders}
    row["fastest"] = {c.name: c.fastest for c in contenders}
    row["ulp"] = {}
    # float64 would need more than long double, and `out=` gives the same values as a new array.
    if cell.dtype != "float64" and not cell.into_out and task.x.size <= MOST_VALUES_CHECKED:
        row["ulp"] = {name: largest_error(calls[name](), task) for name in two_best(row)}
    return row


# ---------------------------------------------------------------- one process per thread count


def environment_for(threads: int) -> dict[str, str]:
    # NPROC is what JAX calls it.
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
    return os.environ | dict.fromkeys(names, str(threads))


def confine_to_cpus(threads: int) -> None:
    if hasattr(os, "sched_setaffinity"):  # elsewhere the libraries' own settings have to do
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def run_worker(args: argparse.Namespace) -> None:
    """Measure the grid with one thread count: a JSON line about the set-up, then one per cell."""
    confine_to_cpus(args.worker)
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    libraries = [library(args.worker) for library in (Sigmax, *PEERS)]
    print(json.dumps(libraries[0].config(), default=str), flush=True)
    for cell in grid(args):
        row = measure(cell, libraries, args.seconds_per_cell, args.worker)
        print(json.dumps(row), flush=True)


def run_workers(args: argparse.Namespace) -> tuple[list[dict], dict]:
    rows, config = [], {}
    for threads in args.threads:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", str(threads)]
        with subprocess.Popen(
            command, env=environment_for(threads), stdout=subprocess.PIPE, text=True
        ) as worker:
            config = json.loads(worker.stdout.readline() or "{}")
            for line in worker.stdout:
                rows.append(json.loads(line))
                print(f"{len(rows):4} ", *table_line(rows[-1]), file=sys.stderr)
        if worker.returncode:
            sys.exit(f"the worker with {threads} thread(s) failed")
    return rows, config


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a small part of the grid, in under three minutes")
    add("--functions", nargs="+", choices=FUNCTIONS, default=FUNCTIONS, metavar="NAME")
    add("--dtypes", nargs="+", choices=DTYPES, help="default: all; with --quick float32")
    add("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    add("--seconds-per-cell", type=float, help="default: 0.6, or 0.2 with --quick")
    add("--markdown", metavar="FILE", help="write the report here instead of to the terminal")
    add("--json", metavar="FILE", help="write every time of every contender")
    add("--figure", metavar="FILE", help="draw the ratios")
    add("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.dtypes = args.dtypes or (["float32"] if args.quick else DTYPES)
    args.seconds_per_cell = args.seconds_per_cell or (0.2 if args.quick else 0.6)
    return args


def main() -> None:
    args = parse_arguments()
    if args.worker:
        run_worker(args)
        return
    rows, config = run_workers(args)
    if args.json:
        Path(args.json).write_text(json.dumps({"config": config, "cells": rows}, indent=1))
    if args.markdown:
        Path(args.markdown).write_text(markdown(rows, config))
    else:
        print(markdown(rows, config))
    if args.figure:
        draw(rows, args.figure)


if __name__ == "__main__":
    main()
