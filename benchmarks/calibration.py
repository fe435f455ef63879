"""Fit and evaluation of logits in a file larger than the memory they may take, and beside scikit-learn's fit.

    python benchmarks/calibration.py --rows 10000000 --json docs/results/calibration.json

Memory is what the process itself holds at the peak of a call beyond what it held before (RssAnon of
``/proc/self/status``, every 2 ms, Linux only). Pages of the mapped file are not: the system takes them back.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import sigmax

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import results

CLASSES = 100
BLOCK = 2**16  # rows that are made at a time
TEMPERATURE = 2.0


def write(folder: Path, rows: int, classes: int) -> tuple[Path, Path]:
    """Make logits that are twice as sure as they should be."""
    rng = np.random.default_rng(0)
    files = folder / "logits.npy", folder / "labels.npy"
    logits = np.lib.format.open_memmap(files[0], "w+", np.float32, (rows, classes))
    labels = np.lib.format.open_memmap(files[1], "w+", np.int32, (rows,))
    for begin in range(0, rows, BLOCK):
        part = slice(begin, min(begin + BLOCK, rows))
        x = rng.standard_normal((part.stop - begin, classes), np.float32) * 3
        p = sigmax.softmax(x)
        labels[part] = (
            (p.cumsum(axis=-1) < rng.random((len(p), 1))).sum(axis=-1).clip(0, classes - 1)
        )
        logits[part] = TEMPERATURE * x
    logits.flush()
    labels.flush()
    return files


def read(file: Path) -> None:
    buffer = bytearray(2**22)
    with file.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def held() -> int:
    """Bytes of memory that belong to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def peak_of(call: Callable[[], object]) -> int:
    before = peak = held()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return peak - before


def seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def of_a_file(rows: int) -> results.Table:
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), rows, CLASSES)
        logits, labels = (np.load(file, mmap_mode="r") for file in files)
        fit = sigmax.fit_temperature(logits, labels)
        calls = {
            "read the file": (1, lambda: read(files[0])),
            "`fit_temperature`": (
                fit.iterations + 1,
                lambda: sigmax.fit_temperature(logits, labels),
            ),
            "`evaluate`": (
                1,
                lambda: sigmax.evaluate(logits, labels, temperature=fit.temperature),
            ),
        }
        lines = []
        for name, (passes, call) in calls.items():
            memory, time_ = peak_of(call), seconds(call)
            speed = passes * logits.nbytes / 1e9 / time_
            lines.append([name, passes, round(time_, 2), round(speed, 2), round(memory / 1e6)])
        return {
            "title": "A file larger than the memory it may take",
            "text": f"{rows:,} × {CLASSES} float32, memory-mapped: {logits.nbytes / 1e9:.1f} GB.",
            "columns": {
                "call": "",
                "passes": "d",
                "seconds": ".2f",
                "GB/s per pass": ".2f",
                "most memory, MB": ".0f",
            },
            "rows": lines,
        }


def beside_scikit_learn(rows: int = 50_000, classes: int = 1_000) -> results.Table:
    from sklearn.calibration import _TemperatureScaling

    with tempfile.TemporaryDirectory() as folder:
        logits, labels = (np.load(file) for file in write(Path(folder), rows, classes))
    ours = sigmax.fit_temperature(logits, labels)
    exact = sigmax.fit_temperature(logits.astype(np.float64), labels).temperature
    scaling = _TemperatureScaling()
    theirs = seconds(lambda: scaling.fit(logits, labels))
    fit = seconds(lambda: sigmax.fit_temperature(logits, labels))
    whole = fit + seconds(lambda: sigmax.evaluate(logits, labels, temperature=ours.temperature))
    errors = [abs(t / exact - 1) for t in (1 / scaling.beta_, ours.temperature)]
    return {
        "title": "Beside scikit-learn",
        "text": f"{rows:,} × {classes:,} float32 in memory. "
        "The error is that of the temperature, from float64.",
        "columns": {"call": "", "seconds": ".2f", "ratio": ".0f", "error": ".0e"},
        "rows": [
            ["scikit-learn, temperature", round(theirs, 2), 1, float(f"{errors[0]:.0e}")],
            ["`fit_temperature`", round(fit, 2), round(theirs / fit), float(f"{errors[1]:.0e}")],
            ["`fit_temperature` and `evaluate`", round(whole, 2), round(theirs / whole), None],
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--json", type=Path, help="docs/results/calibration.json, which the site shows"
    )
    options = parser.parse_args()
    content = results.provenance()
    content["machine"] += f", load {os.getloadavg()[0]:.1f} at the start; NumPy {np.__version__}"
    content["tables"] = [of_a_file(options.rows), beside_scikit_learn()]
    print(results.page(content))
    if options.json:
        results.write(options.json, content)


if __name__ == "__main__":
    main()
