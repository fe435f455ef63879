"""Time truncation and draws beside our softmax of the same rows, and beside PyTorch, taking turns in one process.

python benchmarks/sampling.py --threads 1 2 --json docs/results/sampling.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sigmax

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import results

COLUMNS = {
    "rows × classes": "",
    "threads": "d",
    "function": "",
    "ms": ".3f",
    "of softmax": ".2f",
    "PyTorch ms": ".3f",
    "PyTorch / sigmax": ".1f",
}
SHAPES = [(1, 151_936), (32, 151_936), (100_000, 10)]
TRUNCATIONS: dict[str, dict[str, Any]] = {
    "": {},
    "top_p": {"top_p": 0.9},
    "top_k": {"top_k": 50},
    "min_p": {"min_p": 0.05},
    "typical_p": {"typical_p": 0.9},
    "top_n_sigma": {"top_n_sigma": 1.0},
    "epsilon": {"epsilon": 1e-3},
    "all": {"temperature": 0.7, "top_k": 50, "top_p": 0.95, "min_p": 0.05},
}


def torch_contenders(x: Any, threads: int) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    logits = torch.from_numpy(x)

    def top_p() -> Any:
        """As decoders write it: sort, cumulate, mask, put back."""
        ordered, order = torch.sort(logits, descending=True)
        total = ordered.softmax(-1).cumsum(-1)
        removed = (total - ordered.softmax(-1)) > 0.9
        return logits.masked_fill(torch.zeros_like(removed).scatter(1, order, removed), -torch.inf)

    def top_k() -> Any:
        last = logits.topk(min(50, x.shape[1]), -1).values[:, -1, None]
        return logits.masked_fill(logits < last, -torch.inf)

    def draw(scores: Any) -> Any:
        return torch.multinomial(scores.softmax(-1), 1)

    return {
        "sample": lambda: draw(logits),
        "filter top_p": lambda: top_p().softmax(-1),
        "sample top_p": lambda: draw(top_p()),
        "filter top_k": lambda: top_k().softmax(-1),
        "sample top_k": lambda: draw(top_k()),
    }


def contenders(x: Any) -> dict[str, Callable[[], Any]]:
    result: dict[str, Callable[[], Any]] = {"softmax": lambda: sigmax.softmax(x)}
    for name, options in TRUNCATIONS.items():
        options = {k: min(v, x.shape[1] // 2) if k == "top_k" else v for k, v in options.items()}
        if name:
            result[f"filter {name}"] = lambda o=options: sigmax.filter_probabilities(x, **o)
        result[f"sample {name}".strip()] = lambda o=options: sigmax.sample(x, seed=1, **o)
    return result


def fastest(
    functions: dict[str, Callable[[], Any]], seconds: float, clock: Any
) -> dict[str, float]:
    """Take turns until the time is over; the fastest call of each, in seconds. PyTorch takes part in five turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    turn, end = 0, time.perf_counter() + seconds
    while turn < 5 or time.perf_counter() < end:
        for name, function in functions.items():
            if turn >= 5 and name.startswith("torch"):
                continue
            start = clock()
            function()
            times[name].append(clock() - start)
        turn += 1
    return {name: min(values) for name, values in times.items()}


def measure(threads: int, seconds: float, clock: Any) -> list[list[Any]]:
    sigmax.set_num_threads(threads)
    measured = []
    for shape in SHAPES:
        x = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
        theirs = {f"torch {name}": f for name, f in torch_contenders(x, threads).items()}
        found = fastest({**contenders(x), **theirs}, seconds, clock)
        rows, classes = shape
        for name in contenders(x):
            own, peer = found[name], found.get(f"torch {name}")
            beside = [round(peer * 1e3, 3), round(peer / own, 1)] if peer else [None, None]
            times = [round(own * 1e3, 3), round(own / found["softmax"], 2)]
            measured.append([f"{rows:,} × {classes:,}", threads, name, *times, *beside])
    return measured


def measure_each(options: argparse.Namespace) -> list[list[Any]]:
    """Each number of threads in a process of its own."""
    measured = []
    for threads in options.threads:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, __file__, "--threads", threads, "--json", file.name]
            command += ["--seconds", options.seconds]
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
            measured += json.loads(Path(file.name).read_text())["tables"][0]["rows"]
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each shape")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, for a busy machine")
    parser.add_argument(
        "--json", type=Path, help="docs/results/sampling.json, which the site shows"
    )
    options = parser.parse_args()
    if len(options.threads) > 1:
        rows = measure_each(options)
    else:
        clock = time.thread_time if options.cpu_time else time.perf_counter
        rows = measure(options.threads[0], options.seconds, clock)
    table = {"title": "", "columns": COLUMNS, "rows": rows}
    content = results.provenance() | {"tables": [table]}
    content["machine"] += f", load {os.getloadavg()[0]:.1f} at the end"
    print(results.page(content))
    if options.json:
        results.write(options.json, content)


if __name__ == "__main__":
    main()
