"""What the commands print."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from sigmax.files.blocks import row_blocks
from sigmax.files.errors import DataError
from sigmax.files.find import Options, has_labels
from sigmax.files.inputs import read_inputs, read_logits
from sigmax.files.look import look_at, together
from sigmax.files.opening import ARRAYS, arrays, kind, open_file, table_of
from sigmax.files.tables import Facts

from .console import out

_SHOWN = 20  # columns that `info` describes one by one


def print_report(result: Any, page: Path) -> None:
    from rich.table import Table

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
    _print_conditions(result)
    out.print(f"Report: {page}\nNumbers: {page.with_suffix('.json')}")


def print_comparison(result: Any, page: Path) -> None:
    from rich.table import Table

    from sigmax.report.comparison import apart, between, disagree, divergence
    from sigmax.report.words import percent

    verdict = result["verdict"]
    out.print(verdict["headline"], style="bold")
    said = (apart(result), disagree(result), verdict["text"], verdict["advice"])
    for sentence in dict.fromkeys(said):
        out.print(sentence)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    for title, of, words in (
        ("KL(base ‖ other)", result["kl"]["mean"], divergence),
        ("KL(other ‖ base)", result["reverse_kl"]["mean"], divergence),
        ("same winner", result["agreement"], percent),
    ):
        table.add_row(title, words(of["value"]), between(of["interval"], words))
    out.print(table)
    _print_conditions(result)
    out.print(f"Comparison: {page}\nNumbers: {page.with_suffix('.json')}")


def _print_conditions(result: Any) -> None:
    for each in result["conditions"]:
        out.print(f"{'Failed' if each['failed'] else 'Kept'}: {each['sentence']}")


def print_fit(value: dict[str, Any], output: Path) -> None:
    if "labels" in value:
        out.print(value["message"])
    elif value["method"] == "temperature":
        low, high = value["interval"]
        out.print(f"temperature {value['temperature']:.6g} ({low:.6g} to {high:.6g})")
        if low <= 1 <= high:
            out.print(
                "The interval has 1 in it: these rows do not say that the logits should be changed."
            )
    elif value["method"] == "platt":
        out.print(f"scale {value['scale']:.6g}, bias {value['bias']:.6g}")
    elif value["method"] == "beta":
        out.print("a {a:.6g}, b {b:.6g}, c {c:.6g}".format_map(value))
    elif value["method"] == "isotonic":
        out.print(f"{len(value['values']) // 2:,} rising steps")
    else:
        out.print(f"a scale and a bias for each of {len(value['classes'])} classes")
    out.print(
        f"NLL {value['nll_before']:.4f} before, {value['nll_after']:.4f} after, of the {value['rows']:,} rows "
        "that were fitted"
    )
    out.print(f"Calibration: {output}")


# ---------------------------------------------------------------- info


def print_file(path: Path, options: Options) -> None:
    """Print what is in a file: each array, or each column of a table unless there are many."""
    if kind(path) in ARRAYS:
        key = options.logits_key
        names: list[Any] = [key] if key else arrays(path) or [None]
        for name in names:
            opened = open_file(path, None if name is None else [name], text=True)
            texts = opened.texts
            of_type = "text" if texts is not None else str(opened.array.dtype)
            facts = None if texts is not None else _facts(opened.array)
            _print_facts(name or str(path), opened.array.shape, of_type, facts, texts)
            if facts is not None and opened.array.ndim > 1 and opened.array.size:
                looks = [
                    look_at(np.asarray(opened.array[rows]).reshape(-1, opened.array.shape[-1]))
                    for rows in row_blocks(opened.array)
                ]
                sure = together(looks).distributions == together(looks).rows
                out.print(f"  {'probabilities':15}{'yes, rows sum to 1' if sure else 'no'}")
        return
    profile = table_of(path, options.how).profile()
    names = [name for name, _, _ in profile]
    out.print(f"columns        {len(names):,}: {_some(names)}")
    for name, of_type, facts in profile[:_SHOWN]:
        shape = () if facts is None else (facts.rows, *facts.shape)
        _print_facts(name, shape, of_type, facts, None)
    rest = profile[_SHOWN:]
    if rest:
        numbers = [facts for _, _, facts in rest if facts is not None]
        low = min((facts.low for facts in numbers), default=math.inf)
        high = max((facts.high for facts in numbers), default=-math.inf)
        out.print(f"{len(rest):,} more columns, {len(numbers):,} of numbers", style="bold")
        out.print(f"  {'range':15}{low:g} to {high:g}" if low <= high else "  no finite numbers")


def print_reading(path: Path, labels: Path | None, options: Options) -> None:
    """Print how the other commands would read it, and what is doubtful in that."""
    if kind(path) == ".npy" and labels is None:
        opened = open_file(path, None, text=True)
        if opened.texts is not None or (opened.array.ndim < 2 and opened.array.dtype.kind in "biu"):
            return  # labels, by all appearances
    out.print("As logits", style="bold")
    try:
        inputs = _read(path, labels, options)
    except DataError as error:
        out.print(f"  not to be read: {error}")
        return
    assert inputs.reading is not None
    for line in inputs.reading.lines():
        out.print(f"  {line}")
    for doubt in inputs.reading.doubts:
        out.print(f"  Doubtful: {doubt}")


def _read(path: Path, labels: Path | None, options: Options) -> Any:
    if has_labels(path, labels, options):
        return read_inputs(path, labels, options, settled=False)
    return read_logits(path, options, settled=False)


def _print_facts(
    name: str, shape: tuple[int, ...], of_type: str, facts: Facts | None, texts: list[str] | None
) -> None:
    out.print(name if len(name) < 200 else name[:197] + "…", style="bold")
    said: dict[str, Any] = (
        {"shape": shape} if shape or facts is not None or texts is not None else {}
    )
    said["type"] = of_type
    if texts is not None:
        said["values"] = f"{len(texts)}: {_some(texts)}"
    if facts is not None:
        if facts.low <= facts.high:
            said["range"] = f"{facts.low:g} to {facts.high:g}"
        said |= {"NaN": facts.nan, "infinite": facts.infinite}
    for fact, value in said.items():
        out.print(f"  {fact:15}{value}")


def _facts(array: Any) -> Facts:
    facts = Facts()
    for rows in row_blocks(array) if array.ndim else ():
        facts = facts.and_of(np.asarray(array[rows]))
    return facts


def _some(names: list[str]) -> str:
    shown = [name if len(name) < 40 else name[:37] + "…" for name in names[:10]]
    return ", ".join(shown) + (", …" if len(names) > 10 else "")
