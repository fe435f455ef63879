"""The commands."""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sigmax import __version__, fit_temperature, fit_vector_scaling, show_config, softmax

from . import calibration_file, options, summary
from .cluster import cluster, write_remotely
from .console import DataError, out, plain_errors, progress, tracked
from .features import predict
from .files import open_file
from .inputs import read_inputs, read_logits
from .outputs import check_place, check_shape, write_json, write_rows, write_text
from .provenance import command_line, provenance
from .rows import row_blocks, spill
from .teachers import soften
from .where import Options, find_logits

app = typer.Typer(
    help="How good and how honest are the probabilities of a classifier? From a file of logits to a report, "
    "a calibration, and probabilities that are as sure as they should be.",
    epilog="First try: sigmax demo. Every command explains itself: sigmax report --help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command(epilog="Example: sigmax report logits.npy labels.npy -o report.html")
def report(
    context: typer.Context,
    logits: options.Logits,
    labels: options.Labels = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page; the numbers go beside it, as .json.")
    ] = Path("report.html"),
    method: Annotated[
        options.Method, typer.Option(help="What to calibrate with; none: only measure.")
    ] = options.Method.temperature,
    title: Annotated[str | None, typer.Option(help="Of the page; else the file's name.")] = None,
    logits_key: options.LogitsKey = None,
    labels_key: options.LabelsKey = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = False,
    ignore_index: options.IgnoreIndex = None,
    groups: options.Groups = None,
    label_smoothing: options.Smoothing = 0.0,
    seed: options.Seed = 0,
    bins: options.Bins = 15,
    confidence: options.Confidence = 0.95,
    resamples: options.Resamples = 1000,
    scheduler: options.Scheduler = None,
) -> None:
    """Find out how good and how honest the probabilities are, and whether calibration helps.

    Half of the rows, drawn at random, fit the calibration; the other half test it. Writes a page and its numbers.
    """
    from sigmax.report.study import Choices

    choices = Choices(str(method), seed, bins, confidence, resamples, label_smoothing, ignore_index)
    reading = Options(
        logits_key, labels_key, groups, classes, probabilities, ignore_index, bool(scheduler)
    )
    with plain_errors(), cluster(scheduler):
        page = _report(context, logits, labels, output, reading, choices, title or logits.name)
        summary.print_report(page, output)


def _report(
    context: typer.Context,
    logits: Path,
    labels: Path | None,
    output: Path,
    reading: Options,
    choices: Any,
    title: str,
) -> dict[str, Any]:
    """Make the report, write it, and return its numbers."""
    from sigmax.report.page import page
    from sigmax.report.study import study

    check_place(output, ".html", ".htm")
    inputs = read_inputs(logits, labels, reading)
    result = {
        "schema": 1,
        **provenance(context, inputs.paths),
        "title": title,
        **study(inputs, choices),
    }
    result["apply_commands"] = _apply_commands(context, result)
    html = page(result)
    write_json(output.with_suffix(".json"), result)
    write_text(output, html)
    return result


def _apply_commands(context: typer.Context, result: dict[str, Any]) -> str | None:
    """Return the commands that put a calibration to use, where it is worth it."""
    if result["verdict"]["key"] != "better":
        return None
    if context.info_name == "demo":
        return _OF_A_DEMO
    chosen = ("logits", "labels", "method", *_READING, "label_smoothing", "ignore_index")
    calibrate_it = command_line(context, "calibrate", chosen) + " -o calibration.json"
    apply_it = command_line(context, "apply", ("logits", "logits_key", "probabilities"))
    return f"{calibrate_it}\n{apply_it} calibration.json -o probabilities.npy"


_OF_A_DEMO = (
    "sigmax report logits.npy labels.npy\n"
    "sigmax calibrate logits.npy labels.npy -o calibration.json\n"
    "sigmax apply logits.npy calibration.json -o probabilities.npy"
)
_READING = ("logits_key", "labels_key", "classes", "probabilities")


@app.command(epilog="Example: sigmax calibrate logits.npy labels.npy -o calibration.json")
def calibrate(
    context: typer.Context,
    logits: options.Logits,
    labels: options.Labels = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The calibration.")] = Path(
        "calibration.json"
    ),
    method: Annotated[
        options.FitMethod, typer.Option(help="One temperature, or a scale and a bias per class.")
    ] = options.FitMethod.temperature,
    logits_key: options.LogitsKey = None,
    labels_key: options.LabelsKey = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = False,
    ignore_index: options.IgnoreIndex = None,
    label_smoothing: options.Smoothing = 0.0,
    scheduler: options.Scheduler = None,
) -> None:
    """Fit a calibration on all rows and write it as a small JSON file."""
    reading = Options(
        logits_key, labels_key, None, classes, probabilities, ignore_index, bool(scheduler)
    )
    with plain_errors(), cluster(scheduler):
        check_place(output)
        inputs = read_inputs(logits, labels, reading)
        fit_method = fit_temperature if method == "temperature" else fit_vector_scaling
        with progress("Fitting"):
            fit = fit_method(
                inputs.logits,
                inputs.labels,
                label_smoothing=label_smoothing,
                ignore_index=ignore_index,
            )
        if fit.status != "ok":
            raise DataError(f"no calibration: {fit.message}")
        value = {
            **calibration_file.described(fit),
            "classes": list(inputs.classes),
            **provenance(context, inputs.paths),
        }
        write_json(output, value)
        summary.print_fit(value, output)


@app.command(epilog="Example: sigmax apply logits.npy calibration.json -o probabilities.npy")
def apply(
    logits: options.Logits,
    calibration: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="What calibrate wrote.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    logits_key: options.LogitsKey = None,
    probabilities: options.Probabilities = False,
    scheduler: options.Scheduler = None,
) -> None:
    """Turn logits into calibrated probabilities, with what calibrate has written."""
    reading = Options(logits_key, probabilities=probabilities, remote=bool(scheduler))
    with plain_errors(), cluster(scheduler):
        fitted = calibration_file.load(calibration)
        inputs = read_logits(logits, reading, fitted.classes)
        count = inputs.logits.shape[1]
        if count != len(fitted.classes):
            raise DataError(
                f"{logits}: has {count} classes, {calibration} is for {len(fitted.classes)}"
            )
        shape = (*inputs.batch, count)
        check_shape(output, shape)
        dtype = softmax(np.zeros(1, inputs.logits.dtype)).dtype
        if scheduler:
            write_remotely(output, inputs.logits, fitted.apply, shape, dtype)
        else:
            applied = (fitted.apply(inputs.logits[rows]) for rows in row_blocks(inputs.logits))
            blocks = tracked(applied, "Writing", len(inputs.logits))
            write_rows(output, blocks, shape, dtype, fitted.classes)
        out.print(f"{output}: {len(inputs.logits):,} rows of {count:,} probabilities")


# ---------------------------------------------------------------- the smaller commands


@app.command(
    "softmax", epilog="Example: sigmax softmax logits.npy -o probabilities.npy --temperature 2"
)
def softmax_command(
    logits: options.Logits,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    temperature: Annotated[float, typer.Option(help="What the logits are divided by.")] = 1.0,
    axis: Annotated[int, typer.Option(help="The class axis, the last one unless given.")] = -1,
    logits_key: options.LogitsKey = None,
) -> None:
    """Turn logits of any shape into probabilities."""
    with plain_errors():
        opened = open_logits(logits, logits_key)
        x, names = opened.array, opened.names
        if not -x.ndim <= axis < x.ndim:
            raise DataError(f"{logits}: --axis must be in [{-x.ndim}, {x.ndim}), got {axis}")
        check_shape(output, x.shape)
        dtype = softmax(np.zeros(1, x.dtype), temperature=temperature).dtype
        blocks = softmax_blocks(x, axis % x.ndim, temperature)
        names = names or [str(k) for k in range(x.shape[-1])]
        write_rows(output, tracked(blocks, "Writing", len(x)), x.shape, dtype, names)
        out.print(f"{output}: shape {x.shape}, {dtype}")


def open_logits(path: Path, key: str | None) -> Any:
    where = find_logits(path, Options(logits_key=key), set())
    opened = open_file(where.path, where.names)
    if opened.array.ndim == 0:
        raise DataError(f"{where}: must have a class axis, got a single number")
    return opened


def softmax_blocks(x: Any, axis: int, temperature: float) -> Iterator[Any]:
    """Yield the softmax in blocks of the first axis; where that is the class axis, block by block of the second."""
    if axis > 0:
        for rows in row_blocks(x):
            yield softmax(x[rows], axis, temperature=temperature)
    elif x.ndim == 1:
        yield softmax(x, temperature=temperature)
    else:
        columns = np.moveaxis(x, 0, -1)
        whole = spill(
            softmax(columns[part], temperature=temperature) for part in row_blocks(columns)
        )
        result = np.moveaxis(whole, -1, 0)
        for rows in row_blocks(result):
            yield result[rows]


@app.command(epilog="Example: sigmax info logits.npz")
def info(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="Of this file; else of the installation."),
    ] = None,
    logits_key: options.LogitsKey = None,
) -> None:
    """Say what this installation runs on, or what is in a file."""
    with plain_errors():
        if file is None:
            show_config()
        else:
            summary.print_file(file, logits_key)


@app.command(epilog="Example: sigmax demo -o demo.html")
def demo(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path(
        "sigmax-demo.html"
    ),
) -> None:
    """Make the report of real logits that come with sigmax.

    They are of a small network trained for too long on the handwritten digits of scikit-learn.
    """
    from sigmax.report.study import Choices

    with plain_errors(), as_file(files("sigmax.report") / "demo.npz") as logits:
        title = "a network that reads handwritten digits"
        result = _report(context, logits, None, output, Options(), Choices(), title)
        summary.print_report(result, output)
        out.print("Next, with files of yours: sigmax report logits.npy labels.npy")


@app.command("lesson", epilog="Example: sigmax lesson --lang en")
def lesson_command(
    lang: Annotated[
        str, typer.Option(help="zh-Hant or en to start in; the page switches.")
    ] = "zh-Hant",
    port: Annotated[int, typer.Option(help="On this machine; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    export: Annotated[
        Path | None, typer.Option(help="Write a static copy to this directory instead.")
    ] = None,
) -> None:
    """Learn it all: from the share a/(a+b) to the loss, in ten chapters that check what they say."""
    from sigmax.lesson import lesson

    with plain_errors():
        try:
            lesson(lang, port, browser, export)
        except ModuleNotFoundError as error:
            raise DataError(
                f"the lesson needs {error.name}: pip install 'sigmax[lesson]'"
            ) from error


app.command(epilog="Example: sigmax predict features.npy head.safetensors -o probabilities.npy")(
    predict
)

app.command(
    epilog="Example: sigmax soften logits.npy -o teacher.parquet --temperature 4 --top-k 64"
)(soften)
