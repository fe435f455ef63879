"""What ``compare.py`` keeps of its measurements, a Markdown report and a figure."""

from __future__ import annotations

import math
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from grid import GROUP_OF, PER_ELEMENT, Cell
from linear import LINEAR

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import results
from results import markdown_table

LARGE = 32_000_000  # bytes read and written that no level-2 cache holds
COLUMNS = [
    *["function", "dtype", "shape", "axis", "out", "threads", "seconds", "ulp"],
    *["peer", "peer_seconds", "peer_ulp", "ratio_of_fastest", "of_memcpy", "bytes"],
]
HEADER = [
    *["function", "dtype", "shape", "axis", "out", "threads", "ours", "best peer"],
    *["ratio", "ratio of fastest", "GB/s", "of memcpy"],
]

Row = dict[str, Any]


# ------------------------------------------------------------------------------------- results


def row_of(cell: Cell, measured: dict[str, Any]) -> Row:
    """What is kept of a cell: our time and that of the best peer."""
    median, fastest, errors = measured["median"], measured["fastest"], measured["ulp"]
    peer = best_peer(median)
    return {
        "function": cell.function,
        "dtype": cell.dtype,
        "shape": " x ".join(f"{n:_}" for n in cell.shape),
        "axis": axis_name(cell),
        "out": "out" if cell.into_out else "new",
        "threads": measured["threads"],
        "seconds": rounded(median["sigmax"]),
        "ulp": rounded(errors.get("sigmax")),
        "peer": peer,
        "peer_seconds": rounded(median[peer]),
        "peer_ulp": rounded(errors.get(peer)),
        "ratio_of_fastest": rounded(fastest[best_peer(fastest)] / fastest["sigmax"]),
        "of_memcpy": rounded(median["copyto"] / median["sigmax"]),
        "bytes": measured["bytes"],
    }


def axis_name(cell: Cell) -> str:
    if cell.function in PER_ELEMENT + LINEAR:
        return ""
    return "last" if cell.axis == -1 else "first"


def best_peer(times: dict[str, float]) -> str:
    return min((name for name in times if name not in ("sigmax", "copyto")), key=times.get)


def rounded(number: float | None) -> float | None:
    """Four digits; None for what was not measured or is no number."""
    return None if number is None or math.isnan(number) else float(f"{number:.4g}")


def noise(measured: list[dict[str, Any]]) -> float:
    """How far a typical median is above its fastest sample: about 1.05 on a quiet machine."""
    return statistics.median(
        cell["median"][name] / cell["fastest"][name] for cell in measured for name in cell["median"]
    )


def to_json(rows: list[Row], facts: dict[str, Any]) -> dict[str, Any]:
    return {
        **results.provenance(),
        **facts,
        "columns": COLUMNS,
        "cells": [[row[name] for name in COLUMNS] for row in rows],
    }


def from_json(content: dict[str, Any]) -> list[Row]:
    return [dict(zip(content["columns"], cell, strict=True)) for cell in content["cells"]]


def libraries() -> str:
    packages = ("numpy", "scipy", "torch", "jax", "optax", "onnxruntime", "scikit-learn")
    return ", ".join(f"{name} {version(name)}" for name in packages)


def memory_table(cells: list[dict[str, Any]]) -> results.Table:
    """The peak of each library, and as a part of the logits that it may or may not hold."""
    count, features, classes = cells[0]["shape"]
    item = np.dtype(cells[0]["dtype"]).itemsize
    logits, gradients = count * classes * item, (count + classes) * features * item
    text = (
        f"{cells[0]['function']}, {cells[0]['dtype']}, {count:_} rows x {features:_} features x "
        f"{classes:_} classes: what the process holds at the peak of one call beyond what it held "
        f"before. The gradients, {gradients / 1e6:,.0f} MB, are part of it; the logits would be "
        f"{logits / 1e6:,.0f} MB."
    )
    return {
        "title": "Memory",
        "text": text,
        "columns": {"library": "", "peak, MB": ",.0f", "of the logits": ".2f"},
        "rows": [
            [cell["library"], round(cell["peak"] / 1e6), round(cell["peak"] / logits, 2)]
            for cell in sorted(cells, key=lambda cell: cell["peak"])
        ],
    }


# ------------------------------------------------------------------------------------- the text


def ratio(row: Row) -> float:
    """How many times faster than the best peer sigmax is."""
    return row["peer_seconds"] / row["seconds"]


def mean_ratio(rows: list[Row]) -> float:
    return statistics.geometric_mean(map(ratio, rows))


def mean_ratio_of_fastest(rows: list[Row]) -> float:
    return statistics.geometric_mean(row["ratio_of_fastest"] for row in rows)


def show_time(seconds: float) -> str:
    unit, scale = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * scale:.3g} {unit}"


def show_error(ulp: float | None) -> str:
    return "" if ulp is None else f" ({ulp:.2g} ULP)"


def table_line(row: Row) -> list[str]:
    return [
        *[str(row[name]) for name in ("function", "dtype", "shape", "axis", "out", "threads")],
        show_time(row["seconds"]) + show_error(row["ulp"]),
        f"{row['peer']} {show_time(row['peer_seconds'])}" + show_error(row["peer_ulp"]),
        f"{ratio(row):.2f}",
        f"{row['ratio_of_fastest']:.2f}",
        f"{row['bytes'] / row['seconds'] / 1e9:.2f}",
        f"{row['of_memcpy']:.2f}",
    ]


def means_by(rows: list[Row], key: str) -> str:
    groups = {value: [row for row in rows if row[key] == value] for value in unique(rows, key)}
    lines = [[str(value), *means(group)] for value, group in groups.items()]
    return markdown_table([key, "cells", "ahead", "mean ratio", "mean ratio of fastest"], lines)


def means(rows: list[Row]) -> list[str]:
    ahead = sum(ratio(row) >= 1 for row in rows)
    return [
        str(len(rows)),
        str(ahead),
        f"{mean_ratio(rows):.2f}",
        f"{mean_ratio_of_fastest(rows):.2f}",
    ]


def unique(rows: list[Row], key: str) -> list:
    return list(dict.fromkeys(row[key] for row in rows))


def markdown(content: dict[str, Any]) -> str:
    """The page of a file of results."""
    rows = from_json(content)
    grouped = [row | {"group": GROUP_OF[row["function"]]} for row in rows]
    losing = sorted((row for row in rows if ratio(row) < 1), key=ratio)
    clearly = [row for row in losing if row["ratio_of_fastest"] < 1]
    large = [row for row in rows if row["bytes"] >= LARGE]
    at_copy_speed = [row for row in large if row["of_memcpy"] >= 0.8]
    summary = (
        f"**{len(rows)} cells, geometric mean ratio {mean_ratio(rows):.2f}, ahead in "
        f"{len(rows) - len(losing)}.** `ratio` is the time of the best peer divided by ours: by "
        f"medians, or by the fastest samples (mean {mean_ratio_of_fastest(rows):.2f}). "
        f"A typical median is {content['noise']:.2f} times its fastest sample. "
        f"At least 80 % of the speed of `np.copyto` in {len(at_copy_speed)} of the {len(large)} "
        f"cells that move at least {LARGE / 1e6:.0f} MB."
    )
    parts = [
        results.source(content),
        content["libraries"],
        summary,
        *[means_by(grouped, key) for key in ("group", "function", "dtype", "out", "threads")],
        *map(results.markdown, content["memory"]),
        f"## Losing cells ({len(losing)}, {len(clearly)} of them also by their fastest samples)",
        markdown_table(HEADER, [table_line(row) for row in losing]) if losing else "None.",
        "## All cells",
        markdown_table(HEADER, [table_line(row) for row in rows]),
    ]
    return "\n\n".join(parts) + "\n"


# ----------------------------------------------------------------------------------- the figure


def draw(rows: list[Row], path: str | Path) -> None:
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


def draw_dots(axes, rows: list[Row], functions: list[str], dtypes: list[str]) -> None:
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, len(rows))
    lane_height = 0.8 / len(dtypes)
    for index, peer in enumerate(sorted({row["peer"] for row in rows})):
        color = f"C{index}"
        axes.scatter([], [], color=color, label=peer)  # for the legend
        for row, shift in zip(rows, jitter, strict=True):
            if row["peer"] == peer:
                lane = dtypes.index(row["dtype"]) - (len(dtypes) - 1) / 2
                y = functions.index(row["function"]) + lane * lane_height + shift
                face = "none" if row["threads"] == 1 else color
                axes.scatter(ratio(row), y, 16, edgecolors=color, facecolors=face, alpha=0.8)
