"""What the commands do. Arguments come from the context, by the names they have in `commands`."""

import math
import secrets
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import typer

from sigmax import (
    filter_probabilities,
    fit_temperature,
    fit_vector_scaling,
    sample,
    show_config,
    softmax,
)
from sigmax.files.blocks import row_blocks, spill
from sigmax.files.cluster import cluster, write_remotely
from sigmax.files.errors import DataError
from sigmax.files.find import Options
from sigmax.files.inputs import Inputs, read_inputs, read_logits
from sigmax.files.outputs import (
    CALIBRATION,
    KINDS,
    check_place,
    check_report_place,
    check_shape,
    check_text_place,
    write_json,
    write_report,
    write_rows,
)
from sigmax.files.progress import progress, tracked
from sigmax.files.standard_input import from_standard_input_of

from . import calibration_file, summary
from .console import out, plain_errors, refusals
from .provenance import command_line, provenance

_READING = (
    "logits_key", "labels_key", "drop", "classes", "probabilities", "normalize", "labels_as", "axis", "header",
    "weights",
)  # fmt: skip


def reading_options(given: dict[str, Any]) -> Options:
    """Return how the files are to be read."""
    names = {field.name for field in fields(Options)} & set(given)
    return Options(**{name: given[name] for name in names}, remote=bool(given.get("scheduler")))


def _paths(given: dict[str, Any]) -> list[Path | None]:
    """Return all files that are read."""
    named = [given.get("logits"), given.get("labels"), given.get("calibration")]
    words = [given.get(name) for name in ("groups", "weights", "classes")]
    return [*named, *(Path(word) for word in words if word is not None and len(word) < 1000)]


def say(inputs: Inputs) -> None:
    """Print how the files were read, before anything is made of it."""
    if inputs.reading is not None:
        for line in inputs.reading.lines():
            out.print(line, style="dim")


# ---------------------------------------------------------------- report


def report(context: typer.Context) -> None:
    from sigmax.report.study import Choices

    given = context.params
    choices = Choices(**{field.name: given[field.name] for field in fields(Choices)})
    choices = replace(choices, method=str(choices.method))
    with plain_errors(), cluster(given["scheduler"]):
        check_report_place(given["output"], _paths(given))
        logits, labels = from_standard_input_of(given["logits"], given["labels"])
        inputs = read_inputs(logits, labels, reading_options(given))
        say(inputs)
        title = given["title"] or given["logits"].name
        result = _report(context, inputs, given["output"], choices, title)
        summary.print_report(result, given["output"])


def _report(context: typer.Context, inputs: Inputs, output: Path, choices: Any, title: str) -> Any:
    """Make the report, write it, and return its numbers."""
    from sigmax.report.page import page
    from sigmax.report.study import study

    result: Any = {
        "schema": 1,
        **provenance(context, inputs.paths),
        "title": title,
        **study(inputs, choices),
    }
    result["apply_commands"] = _apply_commands(context, result)
    write_report(output, page(result), result)
    return result


def _apply_commands(context: typer.Context, result: dict[str, Any]) -> str | None:
    """Return the commands that put a calibration to use, where it is worth it."""
    if result["verdict"]["key"] != "better":
        return None
    if context.info_name == "demo":
        return _OF_A_DEMO
    chosen = ("logits", "labels", "method", *_READING, "label_smoothing", "ignore_index")
    calibrate_it = command_line(context, "calibrate", chosen) + " -o calibration.json"
    of_logits = ("logits", "logits_key", "drop", "probabilities", "normalize", "axis", "header")
    apply_it = command_line(context, "apply", of_logits)
    return f"{calibrate_it}\n{apply_it} calibration.json -o probabilities.npy"


_OF_A_DEMO = (
    "sigmax report logits.npy labels.npy\n"
    "sigmax calibrate logits.npy labels.npy -o calibration.json\n"
    "sigmax apply logits.npy calibration.json -o probabilities.npy"
)


def demo(context: typer.Context) -> None:
    from sigmax.report.study import Choices

    output = context.params["output"]
    with plain_errors(), as_file(files("sigmax.report") / "demo.npz") as logits:
        check_report_place(output, [logits])
        inputs = read_inputs(logits, None, Options())
        say(inputs)
        title = "a network that reads handwritten digits"
        summary.print_report(_report(context, inputs, output, Choices(), title), output)
        out.print("Next, with files of yours: sigmax report logits.npy labels.npy")


# ---------------------------------------------------------------- calibrate and apply


def calibrate(context: typer.Context) -> None:
    given = context.params
    with plain_errors(), cluster(given["scheduler"]):
        paths = _paths(given)
        check_text_place(given["output"], (".json",), "calibration", CALIBRATION, paths)
        logits, labels = from_standard_input_of(given["logits"], given["labels"])
        inputs = read_inputs(logits, labels, reading_options(given))
        say(inputs)
        fit = _fitted(inputs, given)
        if fit.status != "ok":
            raise DataError(f"no calibration: {fit.message}")
        value = {
            **calibration_file.described(fit),
            "classes": list(inputs.classes),
            "input": "probabilities" if inputs.probabilities else "logits",
            "normalize": given["normalize"],
            "reading": inputs.reading and inputs.reading.to_dict(),
            **provenance(context, inputs.paths),
        }
        write_json(given["output"], value)
        summary.print_fit(value, given["output"])


def _fitted(inputs: Inputs, given: dict[str, Any]) -> Any:
    rows = inputs.rows_to_fit()
    fit = fit_temperature if given["method"] == "temperature" else fit_vector_scaling
    with progress("Fitting"):
        return fit(
            rows.logits,
            rows.labels,
            label_smoothing=given["label_smoothing"],
            ignore_index=given["ignore_index"],
            sample_weight=rows.weights,
        )


def apply(context: typer.Context) -> None:
    given = context.params
    path, output = given["calibration"], given["output"]
    with plain_errors(), cluster(given["scheduler"]):
        check_place(output, *KINDS, inputs=_paths(given))
        fitted = calibration_file.load(path)
        options = reading_options(given)
        options = replace(
            options,
            probabilities=fitted.probabilities(path, options.probabilities),
            normalize=options.normalize or fitted.normalize,
        )
        (logits,) = from_standard_input_of(given["logits"])
        inputs = read_logits(logits, options, fitted.classes)
        count = inputs.logits.shape[1]
        if count != len(fitted.classes):
            raise DataError(f"{logits}: has {count} classes, {path} is for {len(fitted.classes)}")
        say(inputs)
        shape = (*inputs.batch, count)
        check_shape(output, shape)
        dtype = softmax(np.zeros(1, inputs.logits.dtype)).dtype
        if given["scheduler"]:
            write_remotely(output, inputs.logits, fitted.apply, shape, dtype)
        else:
            applied = (fitted.apply(inputs.logits[rows]) for rows in row_blocks(inputs.logits))
            blocks = tracked(applied, "Writing", len(inputs.logits))
            write_rows(output, blocks, shape, dtype, fitted.classes)
        out.print(f"{output}: {len(inputs.logits):,} rows of {count:,} probabilities")


# ---------------------------------------------------------------- softmax and sample


def softmax_of_file(context: typer.Context) -> None:
    given = context.params
    output, axis = given["output"], given["axis"]
    truncation = _truncation(given)

    def function(x: Any, axis: int = -1) -> Any:
        if not truncation:
            return softmax(x, axis, temperature=given["temperature"])
        likely = filter_probabilities(x, axis, temperature=given["temperature"], **truncation)
        return likely.probabilities

    with plain_errors():
        with refusals():
            function(np.zeros(1))
        check_place(output, *KINDS, inputs=_paths(given))
        (logits,) = from_standard_input_of(given["logits"])
        x, names, at = read_array(logits, reading_options(given))
        check_shape(output, x.shape)
        dtype = function(np.zeros(1, x.dtype)).dtype
        blocks = class_blocks(function, x, at)
        names = names or [str(k) for k in range(x.shape[-1])]
        write_rows(output, tracked(blocks, "Writing", len(x)), x.shape, dtype, names)
        out.print(f"{output}: shape {x.shape}, {dtype}, softmax along axis {axis}")


def sample_of_file(context: typer.Context) -> None:
    given = context.params
    output, draws = given["output"], given["draws"]
    seed = secrets.randbits(64) if given["seed"] is None else given["seed"]
    how = {"temperature": given["temperature"], "seed": seed, **_truncation(given)}
    with plain_errors():
        with refusals():
            sample(np.zeros(1), **how)
        check_place(output, ".npy", inputs=_paths(given))
        (logits,) = from_standard_input_of(given["logits"])
        x, _, at = read_array(logits, reading_options(given))
        rows = np.moveaxis(x, at, -1)
        shape = rows.shape[:-1] + (() if draws is None else (draws,))
        rows = rows if rows.ndim > 1 else rows[None]
        numbers = np.arange(math.prod(rows.shape[:-1])).reshape(rows.shape[:-1])

        def drawn(part: slice) -> Any:
            _check_classes(logits, rows[part], numbers[part])
            try:
                return sample(
                    rows[part], shape=draws, replace=given["replace"], rows=numbers[part], **how
                )
            except ValueError as error:  # fewer classes than draws without replacement
                first = numbers[part].flat[0]
                raise DataError(f"{logits}: from row {first} on: {error}") from error

        blocks = tracked((drawn(part) for part in row_blocks(rows)), "Drawing", len(rows))
        write_rows(output, blocks, shape, np.dtype(np.int64), [])
        out.print(f"{output}: shape {shape}, classes drawn with seed {seed}")


_FILTERS = ("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "epsilon", "preset")


def _truncation(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `filter_probabilities` that are given."""
    chosen = {name: given[name] for name in _FILTERS if given[name] is not None}
    if given["order"] is not None:
        names = given["order"].split(",")
        chosen["order"] = tuple(name.strip().replace("-", "_") for name in names)
    return chosen


def _check_classes(path: Path, rows: Any, numbers: Any) -> None:
    """Refuse rows from which nothing can be drawn."""
    bad = np.isnan(rows).any(axis=-1) | ~(rows > -np.inf).any(axis=-1)
    if bad.any():
        raise DataError(f"{path}: row {numbers[bad][0]} has NaN, or no class that is possible")


def read_array(path: Path, options: Options) -> tuple[Any, list[str] | None, int]:
    """Return an array of any shape, which does not look like probabilities, its names, and the class axis."""
    from sigmax.files.find import find_rows
    from sigmax.files.inputs import opened_array
    from sigmax.files.look import doubts_about_columns, doubts_about_values, look_at, together

    where = find_rows(path, options, set())
    x, names = opened_array(where, options)
    if x.ndim == 0:
        raise DataError(f"{where}: must have a class axis, got a single number")
    if not -x.ndim <= options.axis < x.ndim:
        raise DataError(f"{where}: --axis must be in [{-x.ndim}, {x.ndim}), got {options.axis}")
    axis = options.axis % x.ndim
    if x.size and x.ndim > 1 and options.probabilities is None:
        rows = np.moveaxis(x, axis, -1)
        looks = [look_at(np.asarray(rows[k]).reshape(-1, x.shape[axis])) for k in row_blocks(rows)]
        look = together(looks)
        doubts = [] if where.named else doubts_about_columns(look, names, str(where))
        settle = "say --logits to take them for logits all the same"
        doubts = doubts or doubts_about_values(look, str(where), None, settle)
        if doubts:
            raise DataError("\n        ".join(doubts))
    return x, names, axis


def class_blocks(function: Any, x: Any, axis: int) -> Iterator[Any]:
    """Yield function(x, axis) in blocks of the first axis; where that is the class axis, in blocks of the second."""
    if axis > 0:
        for rows in row_blocks(x):
            yield function(x[rows], axis)
    elif x.ndim == 1:
        yield function(x)
    else:
        columns = np.moveaxis(x, 0, -1)
        whole = spill(function(columns[part]) for part in row_blocks(columns))
        result = np.moveaxis(whole, -1, 0)
        for rows in row_blocks(result):
            yield result[rows]


# ---------------------------------------------------------------- info and the lesson


def info(context: typer.Context) -> None:
    given = context.params
    with plain_errors():
        if given["file"] is None:
            show_config()
            return
        path, labels = from_standard_input_of(given["file"], given["labels"])
        options = reading_options(given)
        summary.print_file(path, options)
        summary.print_reading(path, labels, options)


def lesson(*chosen: Any) -> None:
    from sigmax.lesson import lesson as start

    with plain_errors(), refusals():
        start(*chosen)
