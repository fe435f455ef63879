"""What the commands print."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from .console import out
from .files import arrays, kind, open_file
from .inputs import tolerance
from .rows import row_blocks


def print_report(result: dict[str, Any], page: Path) -> None:
    from sigmax.report.verdict import good, honest
    from sigmax.report.words import interval, nats, percent

    verdict, after = result["verdict"], result["after"]
    out.print(verdict["headline"], style="bold")
    for sentence in (good(result), honest(result), verdict["text"], verdict["advice"]):
        out.print(sentence)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("", "before", "", *(("after", "") if after else ())):
        table.add_column(title, justify="left" if not title else "right")
    for name, title, words in (
        ("accuracy", "accuracy", percent),
        ("ece", "ECE", percent),
        ("nll", "NLL", nats),
    ):
        cells = []
        for side in (result["before"], after) if after else (result["before"],):
            cells += [words(side[name]["value"]), interval(side[name]["interval"], words)]
        table.add_row(title, *cells)
    out.print(table)
    out.print(f"Report: {page}\nNumbers: {page.with_suffix('.json')}")


def print_fit(value: dict[str, Any], output: Path) -> None:
    if value["method"] == "temperature":
        low, high = value["interval"]
        out.print(f"temperature {value['temperature']:.6g} ({low:.6g} to {high:.6g})")
    else:
        out.print(f"a scale and a bias for each of {len(value['classes'])} classes")
    out.print(
        f"NLL {value['nll_before']:.4f} before, {value['nll_after']:.4f} after, of the {value['rows']:,} rows "
        "that were fitted"
    )
    out.print(f"Calibration: {output}")


def print_file(path: Path, key: str | None) -> None:
    """Print what is in a file: each array of a .npz, the columns of a table together."""
    names = arrays(path)
    if kind(path) == ".npz" and key is None:
        for name in names:
            _print_array(name, open_file(path, [name], text=True))
        return
    if kind(path) in (".csv", ".parquet"):
        out.print(f"columns        {', '.join(names)}")
    chosen = key.split(",") if key else names
    if kind(path) in (".npy", ".npz") or key:
        _print_array(str(path), open_file(path, chosen or None, text=True))
        return
    for name in names:
        _print_array(name, open_file(path, [name], text=True))


def _print_array(name: str, opened: Any) -> None:
    array = opened.array
    facts: dict[str, Any] = {"shape": array.shape}
    if opened.texts is not None:
        facts |= {"type": "text", "values": f"{len(opened.texts)}: {', '.join(opened.texts[:10])}"}
    else:
        facts |= {"type": array.dtype, **_numbers(array)}
    out.print(name, style="bold")
    for fact, value in facts.items():
        out.print(f"  {fact:15}{value}")


def _numbers(array: Any) -> dict[str, Any]:
    """Return range and counts, and whether the rows look like probabilities, block by block."""
    low, high, nan, infinite, probabilities = (
        np.inf,
        -np.inf,
        0,
        0,
        array.ndim > 1 and array.size > 0,
    )
    for rows in row_blocks(array) if array.ndim else ():
        x = np.asarray(array[rows])
        finite = np.isfinite(x)
        nan += int(np.count_nonzero(np.isnan(x)))
        infinite += int(np.count_nonzero(np.isinf(x)))
        if finite.any():
            low, high = min(low, float(x[finite].min())), max(high, float(x[finite].max()))
        if probabilities:
            legal = finite.all() and x.min() >= 0 and x.max() <= 1
            sums = x.sum(axis=-1, dtype=np.float64)
            probabilities = bool(legal and (np.abs(sums - 1) <= tolerance(x.dtype)).all())
    facts: dict[str, Any] = {"range": f"{low:g} to {high:g}"} if low <= high else {}
    facts |= {"NaN": nan, "infinite": infinite}
    if array.ndim > 1:
        facts["probabilities"] = "yes, rows sum to 1" if probabilities else "no"
    return facts
