"""What ``compare.py`` says about its rows: a Markdown report and a figure."""

from __future__ import annotations

import json
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

import numpy as np
from grid import PER_ELEMENT
from linear import LINEAR

LARGE = 32_000_000  # bytes read and written that no level-2 cache holds
HEADER = [
    *["function", "dtype", "shape", "axis", "out", "threads", "ours", "best peer"],
    *["ratio", "ratio of fastest", "GB/s", "of memcpy"],
]


def best_peer(row: dict, statistic: str = "median") -> str:
    times = row[statistic]
    return min((name for name in times if name not in ("sigmax", "copyto")), key=times.get)


def two_best(row: dict) -> tuple[str, str]:
    return "sigmax", best_peer(row)


def ratio(row: dict, statistic: str = "median") -> float:
    """How many times faster than the best peer sigmax is."""
    return row[statistic][best_peer(row, statistic)] / row[statistic]["sigmax"]


def copy_fraction(row: dict) -> float:
    return row["median"]["copyto"] / row["median"]["sigmax"]


def mean_ratio(rows: list[dict], statistic: str = "median") -> float:
    return statistics.geometric_mean(ratio(row, statistic) for row in rows)


def noise(rows: list[dict]) -> float:
    """How far a typical median is above its fastest sample: about 1.05 on a quiet machine."""
    return statistics.median(
        row["median"][name] / row["fastest"][name] for row in rows for name in row["median"]
    )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


# ------------------------------------------------------------------------------------- the text


def show_time(seconds: float) -> str:
    unit, scale = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * scale:.3g} {unit}"


def show_error(row: dict, name: str) -> str:
    return f" ({row['ulp'][name]:.2g} ULP)" if name in row["ulp"] else ""


def table_line(row: dict) -> list[str]:
    times, peer = row["median"], best_peer(row)
    last_or_first = "last" if row["axis"] == -1 else "first"
    return [
        row["function"],
        row["dtype"],
        " x ".join(f"{n:_}" for n in row["shape"]),
        "" if row["function"] in PER_ELEMENT + LINEAR else last_or_first,
        "out" if row["into_out"] else "new",
        str(row["threads"]),
        show_time(times["sigmax"]) + show_error(row, "sigmax"),
        f"{peer} {show_time(times[peer])}" + show_error(row, peer),
        f"{ratio(row):.2f}",
        f"{ratio(row, 'fastest'):.2f}",
        f"{row['bytes'] / times['sigmax'] / 1e9:.2f}",
        f"{copy_fraction(row):.2f}",
    ]


def table(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def means_by(rows: list[dict], key: str) -> str:
    groups = {value: [row for row in rows if row[key] == value] for value in unique(rows, key)}
    lines = [[str(value), *means(group)] for value, group in groups.items()]
    return table([key, "cells", "ahead", "mean ratio", "mean ratio of fastest"], lines)


def means(rows: list[dict]) -> list[str]:
    ahead = sum(ratio(row) >= 1 for row in rows)
    mean, mean_of_fastest = mean_ratio(rows), mean_ratio(rows, "fastest")
    return [str(len(rows)), str(ahead), f"{mean:.2f}", f"{mean_of_fastest:.2f}"]


def unique(rows: list[dict], key: str) -> list:
    return list(dict.fromkeys(row[key] for row in rows))


def memory_table(rows: list[dict]) -> str:
    """The peak of each library, and as a part of the logits that it may or may not hold."""
    count, features, classes = rows[0]["shape"]
    item = np.dtype(rows[0]["dtype"]).itemsize
    logits, gradients = count * classes * item, (count + classes) * features * item
    lines = [
        [row["library"], f"{row['peak'] / 1e6:,.0f} MB", f"{row['peak'] / logits:.2f}"]
        for row in sorted(rows, key=lambda row: row["peak"])
    ]
    return (
        f"{rows[0]['function']}, {rows[0]['dtype']}, {count:_} rows x {features:_} features x "
        f"{classes:_} classes: what the process holds at the peak of one call beyond what it held "
        f"before. The gradients, {gradients / 1e6:,.0f} MB, are part of it; the logits would be "
        f"{logits / 1e6:,.0f} MB.\n\n" + table(["library", "peak", "of the logits"], lines)
    )


def markdown(rows: list[dict], config: dict, memory: list[dict]) -> str:
    losing = sorted((row for row in rows if ratio(row) < 1), key=ratio)
    clearly = [row for row in losing if ratio(row, "fastest") < 1]
    large = [row for row in rows if row["bytes"] >= LARGE]
    at_copy_speed = [row for row in large if copy_fraction(row) >= 0.8]
    packages = ("numpy", "scipy", "torch", "jax", "optax", "onnxruntime", "scikit-learn")
    summary = (
        f"**{len(rows)} cells, geometric mean ratio {mean_ratio(rows):.2f}, ahead in "
        f"{len(rows) - len(losing)}.** `ratio` is the time of the best peer divided by ours: by "
        f"medians, or by the fastest samples (mean {mean_ratio(rows, 'fastest'):.2f}). "
        f"A typical median is {noise(rows):.2f} times its fastest sample. "
        f"At least 80 % of the speed of `np.copyto` in {len(at_copy_speed)} of the {len(large)} "
        f"cells that move at least {LARGE / 1e6:.0f} MB."
    )
    parts = [
        "# sigmax compared",
        f"{processor()}; {', '.join(f'{name} {version(name)}' for name in packages)}",
        f"sigmax: `{json.dumps(config)}`",
        summary,
        *[means_by(rows, key) for key in ("group", "function", "dtype", "into_out", "threads")],
        *(["## Memory", memory_table(memory)] if memory else []),
        f"## Losing cells ({len(losing)}, {len(clearly)} of them also by their fastest samples)",
        table(HEADER, [table_line(row) for row in losing]) if losing else "None.",
        "## All cells",
        table(HEADER, [table_line(row) for row in rows]),
    ]
    return "\n\n".join(parts) + "\n"


# ----------------------------------------------------------------------------------- the figure


def draw(rows: list[dict], path: str) -> None:
    """One dot per cell, one band per function, one lane per type."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    functions, dtypes = unique(rows, "function"), sorted(unique(rows, "dtype"))
    figure, axes = plt.subplots(figsize=(10, 2 + 0.8 * len(functions)), layout="constrained")
    axes.axvline(1, color="black", linewidth=1)
    draw_dots(axes, rows, functions, dtypes)
    for band, function in enumerate(functions):
        mean = mean_ratio([row for row in rows if row["function"] == function])
        axes.plot([mean, mean], [band - 0.45, band + 0.45], color="black", linewidth=2)
        axes.annotate(f" {mean:.1f}", (mean, band - 0.38), va="center", fontsize=9)
        axes.axhline(band + 0.5, color="0.85", linewidth=0.8)
    axes.set(xscale="log", xlabel="time of the best peer / time of sigmax")
    axes.set(yticks=range(len(functions)), yticklabels=functions, ylim=(len(functions) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(
        f"{len(rows)} cells: right of the line sigmax is faster. Black bars: geometric means.\n"
        f"Lanes from the top: {', '.join(dtypes)}. Hollow: one thread.",
        fontsize=10,
    )
    figure.legend(loc="outside lower center", ncols=5, frameon=False, title="best peer")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_dots(axes, rows: list[dict], functions: list[str], dtypes: list[str]) -> None:
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, len(rows))
    lane_height = 0.8 / len(dtypes)
    for index, peer in enumerate(sorted({best_peer(row) for row in rows})):
        color = f"C{index}"
        axes.scatter([], [], color=color, label=peer)  # for the legend
        for row, shift in zip(rows, jitter, strict=True):
            if best_peer(row) == peer:
                lane = dtypes.index(row["dtype"]) - (len(dtypes) - 1) / 2
                y = functions.index(row["function"]) + lane * lane_height + shift
                face = "none" if row["threads"] == 1 else color
                axes.scatter(ratio(row), y, 16, edgecolors=color, facecolors=face, alpha=0.8)
