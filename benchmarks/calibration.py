"""Fit and evaluation of logits in a file larger than the memory they may take, and beside scikit-learn's fit.

    python benchmarks/calibration.py --rows 10000000 --markdown docs/benchmarks_calibration.md

Memory is what the process itself holds at the peak of a call beyond what it held before (RssAnon of
``/proc/self/status``, every 2 ms, Linux only). Pages of the mapped file are not: the system takes them back.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import sigmax

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


def of_a_file(rows: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), rows, CLASSES)
        logits, labels = (np.load(file, mmap_mode="r") for file in files)
        fit = sigmax.fit_temperature(logits, labels)
        calls = {
            "read the file": (1, lambda: read(files[0])),
            "`fit_temperature`": (
                fit.iterations + 2,
                lambda: sigmax.fit_temperature(logits, labels),
            ),
            "`evaluate`": (
                1,
                lambda: sigmax.evaluate(logits, labels, temperature=fit.temperature),
            ),
        }
        lines = [
            f"{rows:,} × {CLASSES} float32, memory-mapped: {logits.nbytes / 1e9:.1f} GB.",
            "",
            "| call | passes | seconds | GB/s per pass | most memory, MB |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name, (passes, call) in calls.items():
            memory, time_ = peak_of(call), seconds(call)
            speed = passes * logits.nbytes / 1e9 / time_
            lines.append(f"| {name} | {passes} | {time_:.2f} | {speed:.2f} | {memory / 1e6:.0f} |")
        return lines


def beside_scikit_learn(rows: int = 50_000, classes: int = 1_000) -> list[str]:
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
    return [
        f"{rows:,} × {classes:,} float32 in memory. The error is that of the temperature, from float64.",
        "",
        "| call | seconds | ratio | error |",
        "| --- | --- | --- | --- |",
        f"| scikit-learn, temperature | {theirs:.2f} | 1 | {errors[0]:.0e} |",
        f"| `fit_temperature` | {fit:.2f} | {theirs / fit:.0f} | {errors[1]:.0e} |",
        f"| `fit_temperature` and `evaluate` | {whole:.2f} | {theirs / whole:.0f} | |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    lines = [
        "# Benchmarks of calibration",
        "",
        f"Written by `python benchmarks/calibration.py --rows {options.rows}` on {os.cpu_count()} CPUs",
        f"({platform.machine()}, {sigmax.show_config(mode='dicts')['isa']}); NumPy {np.__version__}.",
        "Times are the least of three calls; the file is in the page cache. Other processes that wanted a CPU",
        f"at the start (load average): {os.getloadavg()[0]:.1f}.",
        "",
        *of_a_file(options.rows),
        "",
        *beside_scikit_learn(),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
