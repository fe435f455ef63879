"""The options of the commands, each described once."""

import functools
import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sigmax.sampling import TRUNCATION, filter_probabilities

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
        "Logits: .npy, .npz, .safetensors, .pt, .csv, .tsv, .jsonl, .parquet or .arrow, a row per example, a column "
        "per class; - is standard input."
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
Base = Annotated[Path, _file("Logits of the base: the original, or the model that runs today.")]
Other = Annotated[
    Path, _file("Logits of the other on the same rows: the quantised one, or the new model.")
]
OptionalLabels = Annotated[
    Path | None,
    _file("Labels, as for report; without them only how far apart the two are."),
]
LogitsKey = Annotated[
    str | None,
    _option(
        "--logits-key",
        "The array of a file of arrays, the columns (a,b,c or logit_*) of a table, or the field, with the logits.",
    ),
]
OtherLogitsKey = Annotated[
    str | None,
    _option("--other-logits-key", "The same in the file of the other; --logits-key unless given."),
]
LabelsKey = Annotated[
    str | None,
    _option("--labels-key", "The array, the column of a table, or the field, with the labels."),
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
Only = Annotated[
    str | None,
    _option(
        "--only",
        "Of a .jsonl file the rows with this: question=priority, or a field that must be there.",
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
Multilabel = Annotated[
    bool,
    _option(
        "--multilabel",
        "Each column is a label of its own: labels are 0 or 1, in the logits' shape.",
    ),
]
PerLabel = Annotated[
    bool, _option("--per-label", "Of many labels: a fit for each of them, not one for all.", _STUDY)
]
By = Annotated[
    str | None,
    _option(
        "--by",
        "Measure each slice of the rows for itself: a file, or an array or column of the files, as --groups.",
        _STUDY,
    ),
]
Threshold = Annotated[
    float,
    _option(
        "--threshold",
        "Of two classes: from which probability of the second on the answer is yes.",
        _STUDY,
        min=0.0,
        max=1.0,
    ),
]
Costs = Annotated[
    str,
    _option("--costs", "Of two classes: what a false yes and a false no cost, as 1,5.", _STUDY),
]
Coverage = Annotated[
    float,
    _option("--coverage", "How often a conformal set must hold the label, in (0, 1).", _STUDY),
]
NeverEmpty = Annotated[
    bool, _option("--never-empty", "Keep the most likely class in every conformal set.", _STUDY)
]
Groups = Annotated[
    str | None,
    _option(
        "--groups",
        "Rows that belong together (one patient, one document): a file, an array or column of the files, or axis-0. "
        "They stay together when rows are split and resampled.",
    ),
]


class Method(StrEnum):
    temperature = "temperature"
    vector = "vector"
    platt = "platt"
    beta = "beta"
    isotonic = "isotonic"
    none = "none"


class FitMethod(StrEnum):
    temperature = "temperature"
    vector = "vector"
    platt = "platt"
    beta = "beta"
    isotonic = "isotonic"


class SetMethod(StrEnum):
    lac = "lac"
    aps = "aps"
    raps = "raps"


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
_CONDITIONS = "For continuous integration"
FailIf = Annotated[
    list[str],
    _option(
        "--fail-if",
        "End with exit code 3 if this is so: 'ece > 0.05', 'accuracy < 90%'. As often as needed; a name that is "
        "not known lists all of them.",
        _CONDITIONS,
        metavar="CONDITION",
        show_default=False,
    ),
]
MaxKl = Annotated[
    float | None,
    _option(
        "--max-kl", "As --fail-if 'kl > X': the mean KL(base ‖ other).", _CONDITIONS, min=0.0,
        show_default=False,
    ),
]  # fmt: skip
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
_KINDS = {"top_k": int, "order": str, "preset": str}  # others are float


def _first_sentence(option: str) -> str:
    """Return what the documentation of `filter_probabilities` says of an option first."""
    documentation = filter_probabilities.__doc__ or ""  # python -OO has none
    found = re.search(
        rf"^ +{option} : [^\n]*\s+(.*?)[.:]\s", documentation, re.MULTILINE | re.DOTALL
    )
    return " ".join(found[1].replace("`", "").split()) + "." if found else ""


def _truncation_option(name: str) -> Any:
    kind = _KINDS.get(name, float)
    flag = "--" + name.replace("_", "-")
    return Annotated[
        kind | None, _option(flag, _first_sentence(name), _TRUNCATION, show_default=False)
    ]


def with_truncation(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a truncation, which it finds in its context."""
    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    added = [
        inspect.Parameter(name, own[-1].kind, default=None, annotation=_truncation_option(name))
        for name in TRUNCATION
    ]

    @functools.wraps(command)
    def with_more(**given: Any) -> None:
        command(**{parameter.name: given[parameter.name] for parameter in own})

    with_more.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
    with_more.__annotations__ |= {parameter.name: parameter.annotation for parameter in added}
    return with_more
