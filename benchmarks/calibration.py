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


def forget(file: Path) -> None:
    """Drop the file from the page cache."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(call: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    times = []
    for _ in range(3):
        before()
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
            "read the file": lambda: read(files[0]),
            f"`fit_temperature` ({fit.iterations + 2} passes)": lambda: sigmax.fit_temperature(
                logits, labels
            ),
            "`evaluate`": lambda: sigmax.evaluate(logits, labels, temperature=fit.temperature),
        }
        lines = [
            f"{rows:,} × {CLASSES} float32, memory-mapped: {logits.nbytes / 1e9:.1f} GB.",
            "",
            "| call | seconds | seconds, cold | most memory, MB |",
            "| --- | --- | --- | --- |",
        ]
        for name, call in calls.items():
            memory = peak_of(call)
            times = seconds(call), seconds(call, lambda: forget(files[0]))
            lines.append(f"| {name} | {times[0]:.2f} | {times[1]:.2f} | {memory / 1e6:.0f} |")
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
        "Times are the least of three calls. *Cold*: the file is not in the page cache before.",
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
