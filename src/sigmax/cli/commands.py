"""The commands: arguments and options. What they do is in `work`, `features` and `teachers`, imported when one runs.

These take the arguments from the context, by their names.
"""

from pathlib import Path
from typing import Annotated

import typer

from . import options

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
        from sigmax import __version__

        typer.echo(__version__)
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
    drop: options.Drop = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    labels_as: options.LabelsAs = None,
    ignore_index: options.IgnoreIndex = None,
    axis: options.Axis = -1,
    header: options.Header = None,
    only: options.Only = None,
    groups: options.Groups = None,
    weights: options.Weights = None,
    label_smoothing: options.Smoothing = 0.0,
    seed: options.Seed = 0,
    bins: options.Bins = 15,
    confidence: options.Confidence = 0.95,
    resamples: options.Resamples = 1000,
    multilabel: options.Multilabel = False,
    per_label: options.PerLabel = False,
    by: options.By = None,
    threshold: options.Threshold = 0.5,
    costs: options.Costs = "1,1",
    coverage: options.Coverage = 0.9,
    never_empty: options.NeverEmpty = False,
    fail_if: options.FailIf = [],  # noqa: B006
    scheduler: options.Scheduler = None,
) -> None:
    """Find out how good and how honest the probabilities are, and whether calibration helps.

    Half of the rows, drawn at random, fit the calibration; the other half test it. Writes a page and its numbers;
    exit code 3 where a condition says that this must fail.
    """
    from . import work

    work.report(context)


@app.command(epilog="Example: sigmax compare full.npy quantised.npy labels.npy --max-kl 0.01")
def compare(
    context: typer.Context,
    base: options.Base,
    other: options.Other,
    labels: options.OptionalLabels = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page; the numbers go beside it, as .json.")
    ] = Path("comparison.html"),
    title: Annotated[str | None, typer.Option(help="Of the page; else the files' names.")] = None,
    logits_key: options.LogitsKey = None,
    other_logits_key: options.OtherLogitsKey = None,
    labels_key: options.LabelsKey = None,
    drop: options.Drop = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    labels_as: options.LabelsAs = None,
    ignore_index: options.IgnoreIndex = None,
    axis: options.Axis = -1,
    header: options.Header = None,
    only: options.Only = None,
    groups: options.Groups = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    bins: options.Bins = 15,
    confidence: options.Confidence = 0.95,
    resamples: options.Resamples = 1000,
    fail_if: options.FailIf = [],  # noqa: B006
    max_kl: options.MaxKl = None,
    scheduler: options.Scheduler = None,
) -> None:
    """Compare two models on the same rows: how far apart they are, where they disagree, and which is better.

    Divergence in both directions, changed winners and, with labels, the paired change of every number. Writes a page
    and its numbers; exit code 3 where a condition says that this must fail.
    """
    from . import work

    work.compare(context)


@app.command(epilog="Example: sigmax calibrate logits.npy labels.npy -o calibration.json")
def calibrate(
    context: typer.Context,
    logits: options.Logits,
    labels: options.Labels = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The calibration.")] = Path(
        "calibration.json"
    ),
    method: Annotated[
        options.FitMethod,
        typer.Option(
            help="One temperature, or a scale and a bias per class; of two classes or many labels also a line, a "
            "curve or steps."
        ),
    ] = options.FitMethod.temperature,
    logits_key: options.LogitsKey = None,
    labels_key: options.LabelsKey = None,
    drop: options.Drop = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    labels_as: options.LabelsAs = None,
    ignore_index: options.IgnoreIndex = None,
    axis: options.Axis = -1,
    header: options.Header = None,
    only: options.Only = None,
    weights: options.Weights = None,
    label_smoothing: options.Smoothing = 0.0,
    multilabel: options.Multilabel = False,
    per_label: options.PerLabel = False,
    sets: Annotated[
        options.SetMethod | None,
        typer.Option(help="Find conformal sets too: half of the rows fit, the other half ranks."),
    ] = None,
    coverage: options.Coverage = 0.9,
    never_empty: options.NeverEmpty = False,
    seed: options.Seed = 0,
    scheduler: options.Scheduler = None,
) -> None:
    """Fit a calibration on all rows and write it as a small JSON file."""
    from . import work

    work.calibrate(context)


@app.command(epilog="Example: sigmax apply logits.npy calibration.json -o probabilities.npy")
def apply(
    context: typer.Context,
    logits: options.Logits,
    calibration: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="What calibrate wrote.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    prior: Annotated[
        str | None,
        typer.Option(
            help="How frequent the classes are here: a,b,c, or auto to find out from these rows.",
            show_default=False,
        ),
    ] = None,
    sets: Annotated[
        Path | None,
        typer.Option(help="Write the conformal sets of a calibration with --sets: .npy of bool."),
    ] = None,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    axis: options.Axis = -1,
    header: options.Header = None,
    only: options.Only = None,
    scheduler: options.Scheduler = None,
) -> None:
    """Turn logits into calibrated probabilities, with what calibrate has written."""
    from . import work

    work.apply(context)


@app.command(
    "softmax", epilog="Example: sigmax softmax logits.npy -o probabilities.npy --temperature 2"
)
@options.with_truncation
def softmax_command(
    context: typer.Context,
    logits: options.Logits,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    temperature: options.Temperature = 1.0,
    axis: options.Axis = -1,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.OnlyLogits = None,
    header: options.Header = None,
    only: options.Only = None,
) -> None:
    """Turn logits of any shape into probabilities, of the likely classes alone if asked."""
    from . import work

    work.softmax_of_file(context)


@app.command(
    "sample", epilog="Example: sigmax sample logits.npy -o tokens.npy --top-p 0.9 --seed 1"
)
@options.with_truncation
def sample_command(
    context: typer.Context,
    logits: options.Logits,
    output: Annotated[Path, typer.Option("--output", "-o", help="Class indices: .npy.")],
    temperature: options.Temperature = 1.0,
    axis: options.Axis = -1,
    draws: Annotated[
        int | None,
        typer.Option(help="So many of each row, as a last axis.", min=1, show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option(help="Whether a class can be drawn again from the same row.")
    ] = True,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed draws the same; any unless given.", min=0, show_default=False
        ),
    ] = None,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.OnlyLogits = None,
    header: options.Header = None,
    only: options.Only = None,
) -> None:
    """Draw a class from each row of logits of any shape."""
    from . import work

    work.sample_of_file(context)


@app.command(epilog="Example: sigmax info logits.npz")
def info(
    context: typer.Context,
    file: options.File = None,
    labels: options.Labels = None,
    logits_key: options.LogitsKey = None,
    labels_key: options.LabelsKey = None,
    drop: options.Drop = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    labels_as: options.LabelsAs = None,
    ignore_index: options.IgnoreIndex = None,
    axis: options.Axis = -1,
    header: options.Header = None,
    only: options.Only = None,
) -> None:
    """Say what this installation runs on, or what is in a file and how the other commands read it."""
    from . import work

    work.info(context)


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
    from . import work

    work.demo(context)


@app.command("lesson", epilog="Example: sigmax lesson --lang en")
def lesson_command(
    lang: Annotated[
        str, typer.Option(help="zh-Hant or en to start in; the page switches.")
    ] = "zh-Hant",
    port: Annotated[int, typer.Option(help="On this machine; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    export: Annotated[
        Path | None, typer.Option(help="Write it to this directory, for any web server.")
    ] = None,
    single_file: Annotated[
        Path | None, typer.Option(help="Write it as one page, which needs no server.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Where the exported copy will stand, for previews of links.")
    ] = None,
) -> None:
    """Learn it all: from the share a/(a+b) to the loss, in ten chapters that check what they say."""
    from . import work

    work.lesson(lang, port, browser, export, single_file, address)


@app.command(epilog="Example: sigmax predict features.npy head.safetensors -o probabilities.npy")
def predict(
    context: typer.Context,
    features: options.Features,
    head: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="The layer: .npz or .safetensors."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=1, help="Only so many classes a row: index, probability, index, …"
        ),
    ] = None,
    temperature: options.Temperature = 1.0,
    weight: Annotated[
        str | None, typer.Option(help="The name of the weight in the head's file.")
    ] = None,
    bias: Annotated[str | None, typer.Option(help="The name of the bias.")] = None,
    features_key: options.FeaturesKey = None,
    drop: options.Drop = None,
    classes: options.Classes = None,
    axis: options.Axis = -1,
    header: options.Header = None,
) -> None:
    """Turn features into the probabilities of a linear layer, of any number of rows."""
    from .features import predict

    predict(context)


@app.command(
    epilog="Example: sigmax soften logits.npy -o teacher.parquet --temperature 4 --top-k 64"
)
def soften(
    context: typer.Context,
    logits: options.Logits,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Soft labels: .parquet or .arrow.")
    ],
    temperature: Annotated[
        float,
        typer.Option(help="What the logits are divided by; the student's loss needs the same."),
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k", min=1, help="Classes a row; the others are one number. All unless given."
        ),
    ] = None,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    axis: options.Axis = -1,
    header: options.Header = None,
) -> None:
    """Turn a teacher's logits into a file of soft labels for a student."""
    from .teachers import soften

    soften(context)
