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
    groups: options.Groups = None,
    weights: options.Weights = None,
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
    from . import work

    work.report(context)


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
    drop: options.Drop = None,
    classes: options.Classes = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    labels_as: options.LabelsAs = None,
    ignore_index: options.IgnoreIndex = None,
    axis: options.Axis = -1,
    header: options.Header = None,
    weights: options.Weights = None,
    label_smoothing: options.Smoothing = 0.0,
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
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.Probabilities = None,
    normalize: options.Normalize = False,
    axis: options.Axis = -1,
    header: options.Header = None,
    scheduler: options.Scheduler = None,
) -> None:
    """Turn logits into calibrated probabilities, with what calibrate has written."""
    from . import work

    work.apply(context)


@app.command(
    "softmax", epilog="Example: sigmax softmax logits.npy -o probabilities.npy --temperature 2"
)
def softmax_command(
    context: typer.Context,
    logits: options.Logits,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Probabilities: .npy, .csv or .parquet.")
    ],
    temperature: options.Temperature = 1.0,
    axis: options.Axis = -1,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    typical_p: options.TypicalP = None,
    top_n_sigma: options.TopNSigma = None,
    epsilon: options.Epsilon = None,
    order: options.Order = None,
    preset: options.Preset = None,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.OnlyLogits = None,
    header: options.Header = None,
) -> None:
    """Turn logits of any shape into probabilities, of the likely classes alone if asked."""
    from . import work

    work.softmax_of_file(context)


@app.command(
    "sample", epilog="Example: sigmax sample logits.npy -o tokens.npy --top-p 0.9 --seed 1"
)
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
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    typical_p: options.TypicalP = None,
    top_n_sigma: options.TopNSigma = None,
    epsilon: options.Epsilon = None,
    order: options.Order = None,
    preset: options.Preset = None,
    logits_key: options.LogitsKey = None,
    drop: options.Drop = None,
    probabilities: options.OnlyLogits = None,
    header: options.Header = None,
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
