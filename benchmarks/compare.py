"""Time sigmax side by side with other libraries, over a grid of functions, types and shapes.

    python benchmarks/compare.py [--quick] [--json FILE] [--markdown FILE] [--figure FILE]

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
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

import linear
import losses
import numpy as np
import peers
from grid import DTYPES, FUNCTIONS, PARTS, Cell, grid, make_task
from memory import measure_memory
from peers import Call, Task
from report import (
    Row,
    best_peer,
    draw,
    libraries,
    markdown,
    memory_table,
    noise,
    results,
    row_of,
    table_line,
    to_json,
)

SHORTEST_SAMPLE = 2e-3  # seconds
SLOW = 50e-3  # seconds: a call this long needs no warm-up
FEWEST_ROUNDS, MOST_ROUNDS = 3, 21
HOPELESS = 3  # a peer whose first call is this many times behind the fastest peer is called once
HELD_TO_AVX2 = {
    "SIGMAX_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
MOST_VALUES_CHECKED = 1_000_000  # larger results are not compared with the exact ones


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
    others = [c for c in contenders if c.name not in ("sigmax", "copyto")]
    for finished_rounds in range(MOST_ROUNDS):
        if finished_rounds >= FEWEST_ROUNDS and time.perf_counter() > deadline:
            break
        fastest_peer = min(other.fastest for other in others)
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


def arrays_of(result: Any) -> list[np.ndarray]:
    """The value, or the value and its gradients; None is that of a bias that there is not."""
    if isinstance(result, tuple | list):
        return [array for part in result if part is not None for array in arrays_of(part)]
    return [np.asarray(result)]


def widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.longdouble) if array.dtype.kind == "f" else array


def exact_results(task: Task) -> list[np.ndarray]:
    operands = tuple(map(widened, task.operands))
    task = replace(task, x=widened(task.x), operands=operands, out=None)
    numpy = losses.Exact if is_loss(task.function) else peers.NumPy
    return arrays_of(numpy(1).prepare(task)())


def largest_error(result: Any, task: Task) -> float:
    """In units in the last place of the exact results, which are computed in long double."""
    largest = []
    for array, exact in zip(arrays_of(result), exact_results(task), strict=True):
        spacing = np.spacing(np.abs(exact).astype(task.x.dtype)).astype(np.longdouble)
        largest.append(float(np.max(np.abs(array - exact) / spacing)))
    return max(largest)


def is_loss(function: str) -> bool:
    return function in losses.LOSSES + losses.LOSS_GRADIENTS


def is_checked(cell: Cell, task: Task) -> bool:
    # float64 would need more than long double, and `out=` gives the same values as a new array.
    if cell.function in linear.LINEAR or cell.dtype == "float64" or cell.into_out:
        return False
    return task.x.size <= MOST_VALUES_CHECKED


@lru_cache
def start(libraries: tuple[type, ...], threads: int) -> list:
    return [library(threads) for library in libraries]


def libraries_for(function: str, threads: int) -> list:
    if function in linear.LINEAR:
        return start(linear.LIBRARIES, threads)
    return start(losses.LIBRARIES if is_loss(function) else peers.LIBRARIES, threads)


def measure(cell: Cell, seconds: float, threads: int) -> dict:
    task = make_task(cell)
    calls = {
        library.name: library.prepare(task) for library in libraries_for(cell.function, threads)
    }
    contenders = [Contender(name, call) for name, call in calls.items() if call]
    contenders.append(Contender("copyto", copy_call(task)))
    race(contenders, seconds, threads)
    moved = [task.x, *task.operands, *arrays_of(calls["sigmax"]())]
    measured = {
        "threads": threads,
        "bytes": sum(array.nbytes for array in moved),
        "median": {c.name: c.median for c in contenders},
        "fastest": {c.name: c.fastest for c in contenders},
        "ulp": {},
    }
    if is_checked(cell, task):
        two_best = "sigmax", best_peer(measured["median"])
        measured["ulp"] = {name: largest_error(calls[name](), task) for name in two_best}
    return measured


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
    print(json.dumps(peers.Sigmax(args.worker).config(), default=str), flush=True)
    for cell in grid(args):
        print(json.dumps(measure(cell, args.seconds_per_cell, args.worker)), flush=True)


def run_workers(args: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and what is the same for all of them."""
    rows, measured, config = [], [], {}
    for threads in args.threads:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", str(threads)]
        with subprocess.Popen(
            command, env=environment_for(threads), stdout=subprocess.PIPE, text=True
        ) as worker:
            config = json.loads(worker.stdout.readline() or "{}")
            for cell, line in zip(grid(args), worker.stdout, strict=False):
                measured.append(json.loads(line))
                rows.append(row_of(cell, measured[-1]))
                print(f"{len(rows):4} ", *table_line(rows[-1]), file=sys.stderr)
        if worker.returncode:
            sys.exit(f"the worker with {threads} thread(s) failed")
    facts = {"libraries": libraries(), "sigmax": config, "noise": round(noise(measured), 2)}
    return rows, facts


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a small part of the grid, in under five minutes")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--of", choices=PARTS, help="the functions and gradients, or the losses")
    which.add_argument("--functions", nargs="+", choices=FUNCTIONS, metavar="NAME")
    add("--dtypes", nargs="+", choices=DTYPES, help="default: all; with --quick float32")
    add("--avx2", action="store_true", help="sigmax, PyTorch and JAX without AVX-512")
    add("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    add("--seconds-per-cell", type=float, help="default: 0.6, or 0.2 with --quick")
    add("--markdown", metavar="FILE", help="write the report here instead of to the terminal")
    add("--json", metavar="FILE", help="write what the site shows: docs/results/benchmarks.json")
    add("--figure", metavar="FILE", help="draw the ratios")
    add("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.functions = args.functions or PARTS.get(args.of, FUNCTIONS)
    args.dtypes = args.dtypes or (["float32"] if args.quick else DTYPES)
    args.seconds_per_cell = args.seconds_per_cell or (0.2 if args.quick else 0.6)
    return args


def main() -> None:
    args = parse_arguments()
    if args.worker:
        run_worker(args)
        return
    if args.avx2:
        os.environ.update(HELD_TO_AVX2)
    rows, facts = run_workers(args)
    if args.avx2:
        facts["note"] = "PyTorch and JAX are held to AVX2 too; onnxruntime and NumPy cannot be."
    memory = measure_memory([cell for cell in grid(args) if cell.function in linear.LINEAR])
    content = to_json(rows, facts | {"memory": [memory_table(memory)] if memory else []})
    if args.json:
        results.write(Path(args.json), content)
    report = markdown(content)
    if args.markdown:
        Path(args.markdown).write_text(report)
    else:
        print(report)
    if args.figure:
        draw(rows, args.figure)


if __name__ == "__main__":
    main()
