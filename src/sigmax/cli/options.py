"""The options of the commands, each described once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

_READING = "Reading the files"
_STUDY = "How it is computed"


def _file(help: str) -> Any:  # noqa: A002
    return typer.Argument(help=help, callback=_existing, show_default=False)


def _existing(path: Path | None) -> Path | None:
    """Refuse a file that is not there; - is standard input, which the check of the library does not know."""
    if path is not None and str(path) != "-":
        if not path.exists():
            raise typer.BadParameter(f"file {str(path)!r} does not exist")
        if path.is_dir():
            raise typer.BadParameter(f"{str(path)!r} is a directory")
    return path


def _option(name: str, help: str, panel: str = _READING, **more: Any) -> Any:  # noqa: A002
    return typer.Option(name, help=help, rich_help_panel=panel, **more)


Logits = Annotated[
    Path,
    _file(
        "Logits: .npy, .npz, .csv, .tsv or .parquet, a row per example, a column per class; - is standard input."
    ),
]
Features = Annotated[
    Path,
    _file("Features: .npy, .npz, .csv, .tsv or .parquet, a row per example; - is standard input."),
]
FeaturesKey = Annotated[
    str | None,
    _option(
        "--features-key",
        "The array of a .npz, or the columns (a,b,c or feature_*) of a table, with the features.",
    ),
]
File = Annotated[Path | None, _file("Of this file; else of the installation.")]
Labels = Annotated[
    Path | None,
    _file(
        "Labels: class indices, class names or distributions. In the file of the logits if left out."
    ),
]
LogitsKey = Annotated[
    str | None,
    _option(
        "--logits-key",
        "The array of a .npz, or the columns (a,b,c or logit_*) of a table, with the logits.",
    ),
]
LabelsKey = Annotated[
    str | None,
    _option("--labels-key", "The array of a .npz, or the column of a table, with the labels."),
]
Classes = Annotated[
    str | None,
    _option(
        "--classes",
        "Names of the classes in the order of the logits: a,b,c or a file, one a line; or only how many there are.",
    ),
]
Probabilities = Annotated[
    bool | None,
    _option(
        "--probabilities/--logits",
        "What the file holds; unless given, logits, and what looks like probabilities is refused.",
        show_default=False,
    ),
]
OnlyLogits = Annotated[
    bool | None,
    _option(
        "--logits",
        "The numbers are logits, though they look like probabilities or have columns that do not.",
        show_default=False,
    ),
]
Normalize = Annotated[
    bool,
    _option(
        "--normalize",
        "Divide each row of probabilities by its sum, as of rounded ones and percentages.",
    ),
]
Axis = Annotated[
    int,
    _option(
        "--axis", "The axis of the classes, or features, of an array; the last one unless given."
    ),
]
Drop = Annotated[
    str | None,
    _option("--drop", "Columns (id,Unnamed*) that are not read; of an array, their numbers."),
]
Header = Annotated[
    bool | None,
    _option(
        "--header/--no-header",
        "Whether the first line of a .csv file has the names of the columns; unless given, its lines tell.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    _option("--weights", "How much each row counts: a file, or an array or column of the files."),
]


class LabelForm(StrEnum):
    indices = "indices"
    indices_from_1 = "indices-from-1"
    names = "names"
    distributions = "distributions"


LabelsAs = Annotated[
    LabelForm | None,
    _option("--labels-as", "What the labels are; unless given, their type and the classes tell."),
]
IgnoreIndex = Annotated[
    int | None, _option("--ignore-index", "Leave out rows with this label, for example -100.")
]
Groups = Annotated[
    str | None,
    _option(
        "--groups",
        "Rows that belong together (one patient, one document): a file, or an array or column of the files. "
        "They stay together when rows are split and resampled.",
    ),
]


class Method(StrEnum):
    temperature = "temperature"
    vector = "vector"
    none = "none"


class FitMethod(StrEnum):
    temperature = "temperature"
    vector = "vector"


Temperature = Annotated[float, typer.Option(help="What the logits are divided by.")]


def _smoothing(text: Any) -> float | str:
    if text == "laplace" or 0 <= float(text) <= 1:
        return "laplace" if text == "laplace" else float(text)
    raise ValueError(f"{text} is not in [0, 1]")


Smoothing = Annotated[
    Any,
    _option(
        "--label-smoothing",
        "Share of each label that is spread over the classes, in [0, 1]; laplace: as much as one more row.",
        _STUDY,
        parser=_smoothing,
        metavar="NUMBER|laplace",
    ),
]
Seed = Annotated[int, _option("--seed", "Of the split and the resamples.", _STUDY, min=0)]
Bins = Annotated[int, _option("--bins", "Bins of the calibration errors.", _STUDY, min=1, max=1000)]
Confidence = Annotated[
    float, _option("--confidence", "Of the intervals.", _STUDY, min=0.5, max=0.9999)
]
Resamples = Annotated[
    int,
    _option("--resamples", "Bootstrap resamples for the intervals.", _STUDY, min=20, max=100_000),
]
Scheduler = Annotated[
    str | None,
    _option(
        "--scheduler",
        "Work on a Dask cluster (tcp://host:port), whose workers open the files by their paths: .npy or .parquet.",
        _STUDY,
    ),
]

# ---------------------------------------------------------------- truncation

_TRUNCATION = "Which classes are kept"


def _filter(name: str, help: str) -> Any:  # noqa: A002
    return _option(name, help, _TRUNCATION, show_default=False)


TopK = Annotated[int | None, _filter("--top-k", "The k largest logits, and what equals the last.")]
TopP = Annotated[
    float | None, _filter("--top-p", "The most likely, until they have probability p.")
]
MinP = Annotated[float | None, _filter("--min-p", "What has p times the winner's probability.")]
TypicalP = Annotated[
    float | None,
    _filter(
        "--typical-p", "Those with a surprise close to the entropy, until they have probability p."
    ),
]
TopNSigma = Annotated[
    float | None, _filter("--top-n-sigma", "Logits within n standard deviations of the largest.")
]
Epsilon = Annotated[float | None, _filter("--epsilon", "What has probability ε, and the winner.")]
Order = Annotated[
    str | None,
    _filter("--order", "Names of these options, first things first: temperature,top_k,top_p."),
]
Preset = Annotated[
    str | None,
    _filter("--preset", "The order of llama.cpp, transformers or vllm, in place of --order."),
]
