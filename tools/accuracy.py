"""Measure how exact the functions are.

    python tools/accuracy.py --table             largest error per function and type → docs/results/accuracy.json
    python tools/accuracy.py --sweep [NAME ...]  all 2^32 float32 inputs of every elementwise function, or of these

The sweep compares with the nearest floats of tests/support/nearest.py, which shares nothing with src/core, and fails
if a result is another. It works in 256 blocks per function and takes up where it was interrupted; SIGMAX_ISA chooses
the level.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import accuracy_cases as cases  # noqa: E402
import nearest  # noqa: E402

import results  # noqa: E402
import sigmax  # noqa: E402
from sigmax import _core  # noqa: E402

# --- the sweep -----------------------------------------------------------------------------------

BLOCKS = 256
CHUNK = 1 << 15  # numbers that stay in the second-level cache


def sweep_block(name: str, block: int) -> dict[str, Any]:
    """The 2^24 inputs whose bit pattern starts with this byte."""
    step = (1 << 32) // BLOCKS
    total = nearest.Tally()
    for start in range(block * step, (block + 1) * step, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        total = combined([total, nearest.tally_run(name, x, getattr(sigmax, name)(x))])
    return dataclasses.asdict(total)


def combined(tallies: Iterable[nearest.Tally]) -> nearest.Tally:
    tallies = list(tallies)
    hardest = min(tallies, key=lambda t: t.closest)
    return nearest.Tally(
        sum(t.wrong for t in tallies),
        next((t.example for t in tallies if t.wrong), None),
        sum(t.decided for t in tallies),
        hardest.closest,
        hardest.hardest,
    )


def sweep(names: list[str], state_file: Path, processes: int) -> int:
    """How many results are wrong."""
    saved = json.loads(state_file.read_text()) if state_file.exists() else {}
    build = hashlib.sha256(
        Path(_core.__file__).read_bytes()
    ).hexdigest()  # another build starts afresh
    level = sigmax.show_config("dicts")["isa"]
    state = {f"{build} {level}": saved.get(f"{build} {level}", {})}
    wrong = 0
    with ProcessPoolExecutor(processes, initializer=sigmax.set_num_threads, initargs=(1,)) as pool:
        for name in names:
            done = state[f"{build} {level}"].setdefault(name, {})
            start = time.perf_counter()
            todo = [b for b in range(BLOCKS) if str(b) not in done]
            futures = {pool.submit(sweep_block, name, b): b for b in todo}
            for future in as_completed(futures):
                done[str(futures[future])] = future.result()
                state_file.write_text(json.dumps(state))
                print(f"\r{name}: {len(done)}/{BLOCKS}", end="", file=sys.stderr, flush=True)
            print("\r", end="", file=sys.stderr)
            total = combined(nearest.Tally(**tally) for tally in done.values())
            print(
                f"{name}: {total.wrong} of 2^32 wrong (such as {total.example!r}); {total.decided} within 2^-40 of "
                f"the middle of two floats, {total.hardest!r} within 2^{np.log2(total.closest):.1f} "
                f"({time.perf_counter() - start:.0f} s)",
                flush=True,
            )
            wrong += total.wrong
    return wrong


# --- the table -----------------------------------------------------------------------------------

RESULTS = ROOT / "docs/results/accuracy.json"
TABLE_CLASSES = (1, 2, 3, 10, 17, 64, 100, 1000)

Measure = Callable[[str, str], cases.Error]


def over_classes(measure: Callable[..., cases.Error]) -> Measure:
    return lambda name, dtype: max(measure(name, dtype, classes) for classes in TABLE_CLASSES)


def label(name: str) -> str:
    return name.replace("_of_probabilities", "(…, from_logits=False)")


def rows(names: Iterable[str], measure: Measure, form: str) -> Iterable[list[str | float]]:
    for name in names:
        errors = {dtype: measure(name, dtype) for dtype in cases.TYPES}
        for dtype, error in errors.items():
            print(f"{form.format(name)} {dtype}: {error.ulp:.4f}  {error.where}", file=sys.stderr)
        # Rounded up: the table promises nothing it did not see.
        numbers = [float(np.ceil(error.ulp * 1000)) / 1000 for error in errors.values()]
        yield [f"`{form.format(label(name))}`", *numbers]


def tables() -> list[results.Table]:
    sections = [
        ("Elementwise", cases.ELEMENTWISE, cases.elementwise_error, "{}"),
        ("Binary losses", cases.BINARY_LOSSES, cases.binary_loss_error, "{}"),
        ("Along an axis", cases.AXIS, over_classes(cases.axis_error), "{}"),
        ("Gradients, elementwise", cases.ELEMENTWISE, cases.elementwise_vjp_error, "vjp({})"),
        ("Losses", cases.LOSSES, over_classes(cases.loss_error), "{}"),
        ("Gradients of binary losses", cases.BINARY_LOSSES, cases.binary_loss_gradient_error, "{}"),
        ("Gradients, along an axis", cases.AXIS, over_classes(cases.axis_vjp_error), "vjp({})"),
        ("Gradients of losses", cases.LOSSES, over_classes(cases.loss_gradient_error), "{}"),
    ]
    columns = {"function": "", **dict.fromkeys(cases.TYPES, ".3f")}
    return [
        {"title": title, "columns": columns, "rows": list(rows(names, measure, form))}
        for title, names, measure, form in sections
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--table", action="store_true", help="write docs/results/accuracy.json")
    mode.add_argument(
        "--sweep",
        nargs="*",
        choices=list(nearest.VALUES),
        metavar="NAME",
        help="all float32 inputs",
    )
    state = Path(tempfile.gettempdir()) / "sigmax_accuracy_sweep.json"
    parser.add_argument(
        "--state", type=Path, default=state, help="where the sweep keeps its progress"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.table:
        results.write(RESULTS, results.provenance() | {"tables": tables()})
    else:
        names = arguments.sweep or list(nearest.VALUES)
        return bool(sweep(names, arguments.state, arguments.processes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
