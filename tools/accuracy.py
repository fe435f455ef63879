"""Measure how exact the functions are.

    python tools/accuracy.py --table             largest error per function and type → docs/results/accuracy.json
    python tools/accuracy.py --sweep [NAME ...]  all 2^32 float32 inputs of every elementwise function, or of these

The sweep compares with NumPy's float64, by textbook formulas that share nothing with src/core. It works in 256 blocks
per function and takes up where it was interrupted.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import accuracy_cases as cases  # noqa: E402

import results  # noqa: E402
import sigmax  # noqa: E402
from sigmax import _core  # noqa: E402

# --- the sweep -----------------------------------------------------------------------------------

Wide = np.ndarray  # of float64

BLOCKS = 256
CHUNK = 1 << 15  # numbers that stay in the second-level cache


def softplus(x: Wide) -> Wide:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Wide) -> Wide:
    return np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x)))


def logit(p: Wide) -> Wide:
    """1 − p and 2p − 1 are exact for a float32 p that is not tiny."""
    near_half = np.abs(p - 0.5) < 0.25
    return np.where(near_half, np.log1p((2 * p - 1) / (1 - p)), np.log(p / (1 - p)))


def log1mexp(x: Wide) -> Wide:
    return np.where(x > -0.6931, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


WIDE: dict[str, Callable[[Wide], Wide]] = {
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
    "logit": logit,
    "log1mexp": log1mexp,
}


def ulp_errors(name: str, x: np.ndarray, result: np.ndarray) -> np.ndarray:
    """The error of each result in ULP, to 2^-25 or so; 0 for an expected NaN or infinity."""
    with np.errstate(all="ignore"):
        wide = WIDE[name](x.astype(np.float64))
        _, exponent = np.frexp(wide)
        error = np.abs(result - wide) / np.ldexp(1.0, np.maximum(exponent - 24, -149))
    expected = (np.isnan(wide) & np.isnan(result)) | (wide == result)
    return np.where(expected, 0, np.where(np.isnan(error), np.inf, error))


def sweep_block(name: str, block: int) -> dict[str, float]:
    """The 2^24 inputs whose bit pattern starts with this byte."""
    worst, worst_input, wrong = 0.0, None, 0
    step = (1 << 32) // BLOCKS
    for start in range(block * step, (block + 1) * step, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        errors = ulp_errors(name, x, getattr(sigmax, name)(x))
        wrong += int(np.count_nonzero(errors > 0.5))
        i = np.argmax(errors)
        if errors[i] > worst:
            worst, worst_input = float(errors[i]), float(x[i])
    return {"max_ulp": worst, "input": worst_input, "not_correctly_rounded": wrong}


def combined(blocks: Iterable[dict[str, float]]) -> dict[str, float]:
    blocks = list(blocks)
    worst = max(blocks, key=lambda b: b["max_ulp"])
    return worst | {"not_correctly_rounded": sum(b["not_correctly_rounded"] for b in blocks)}


def sweep(names: list[str], state_file: Path, processes: int) -> None:
    saved = json.loads(state_file.read_text()) if state_file.exists() else {}
    build = hashlib.sha256(
        Path(_core.__file__).read_bytes()
    ).hexdigest()  # another build starts afresh
    state = {build: saved.get(build, {})}
    with ProcessPoolExecutor(processes, initializer=sigmax.set_num_threads, initargs=(1,)) as pool:
        for name in names:
            done = state[build].setdefault(name, {})
            start = time.perf_counter()
            todo = [b for b in range(BLOCKS) if str(b) not in done]
            futures = {pool.submit(sweep_block, name, b): b for b in todo}
            for future in as_completed(futures):
                done[str(futures[future])] = future.result()
                state_file.write_text(json.dumps(state))
                print(f"\r{name}: {len(done)}/{BLOCKS}", end="", file=sys.stderr, flush=True)
            print("\r", end="", file=sys.stderr)
            total = combined(done.values())
            print(
                f"{name}: largest error {total['max_ulp']:.4f} ULP at {total['input']!r}, "
                f"{total['not_correctly_rounded'] / 2**32:.2%} of 2^32 not correctly rounded "
                f"({time.perf_counter() - start:.0f} s)",
                flush=True,
            )


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--table", action="store_true", help="write docs/results/accuracy.json")
    mode.add_argument(
        "--sweep", nargs="*", choices=list(WIDE), metavar="NAME", help="all float32 inputs"
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
        sweep(arguments.sweep or list(WIDE), arguments.state, arguments.processes)


if __name__ == "__main__":
    main()
