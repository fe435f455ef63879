"""Where in the files the logits, the labels, the groups and the weights are."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import DataError
from .jsonl import is_probabilities
from .opening import ARRAYS, NAMED, arrays, kind
from .tables import How, listed

FIRST_AXIS = "axis-0"  # groups: what has the same place along the first axis of an array
_NAMES = {"logits": ("logits", "probabilities"), "features": ("features",)}
_LABELS = ("labels", "label")
_FIELDS_OF_LABELS = (*_LABELS, "gold", "ground_truth", "target", "y")  # of a .jsonl file


@dataclass(frozen=True)
class Where:
    """Where something is: the file, and the arrays or columns in it (None: the one array)."""

    path: Path
    names: list[str] | None = None
    named: bool = False  # by the user, or by a name that says it: nothing was guessed

    def __str__(self) -> str:
        return (
            f"{self.path}: {','.join(self.names)}"
            if self.names and len(self.names) < 4
            else str(self.path)
        )


@dataclass(frozen=True)
class Options:
    """How the files are to be read."""

    logits_key: str | None = None  # of features theirs
    labels_key: str | None = None
    groups: str | None = None
    classes: str | None = None
    probabilities: bool | None = None  # None: logits, unless they look like probabilities
    ignore_index: int | None = None
    remote: bool = False  # rows are read on the workers of a cluster
    weights: str | None = None
    drop: str | None = None
    normalize: bool = False
    axis: int = -1
    labels_as: str | None = None  # "indices", "indices-from-1", "names" or "distributions"
    header: bool | None = None
    only: str | None = None
    order: tuple[str, ...] = ()  # of classes that a file names one by one

    @property
    def how(self) -> How:
        """How tables of text are to be read."""
        counted = self.classes is None or self.classes.strip().isdecimal()
        return How(self.header, self.only, self.order if counted else listed_classes(self.classes))


def listed_classes(classes: str | None) -> tuple[str, ...]:
    """Return the names in a file, one a line, or in a list with commas."""
    path = Path(classes or "")
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a list that is no name of a file
        is_file = False
    try:
        names = path.read_text("utf-8-sig").splitlines() if is_file else str(classes).split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: --classes must be a file of names in UTF-8: {error}") from error
    return tuple(name.strip() for name in names)


def find_rows(path: Path, options: Options, beside: set[str], what: str = "logits") -> Where:
    """Return where the logits, or features, are; `beside` are the labels, groups and weights of the same file."""
    of_arrays, option, key = kind(path) in ARRAYS, f"--{what}-key", options.logits_key
    if key is not None:
        names = columns(path, key, option, options)
        if kind(path) not in NAMED or len(names) == 1:
            return Where(path, _without(path, names, options), named=True)
        raise DataError(f"{path}: {option} must be one array, got {listed(names)}")
    if kind(path) == ".npy":
        return Where(path)
    if kind(path) == ".jsonl":
        return _field_of_logits(path, options)
    names = [name for name in arrays(path, options.how) if name not in beside]
    names = names if of_arrays else _without(path, names, options)
    named = False
    names_of = _NAMES[what][::-1] if options.probabilities else _NAMES[what]
    if kind(path) in NAMED and len(names) != 1:
        names = _known(names, names_of) or _refuse(path, arrays(path), option, what)
    elif kind(path) in (".parquet", ".arrow"):
        named = bool(_known(names, names_of))
        names = _known(names, names_of) or names
    if not names:
        others = f" beside {', '.join(sorted(beside))}" if beside else ""
        raise DataError(f"{path}: has no columns of {what}{others}")
    return Where(path, names, named)


def _field_of_logits(path: Path, options: Options) -> Where:
    names = arrays(path, options.how)
    known = [name for name in names if is_probabilities(name) or name.split(".")[-1] == "logits"]
    if len(known) == 1:
        return Where(path, known, named=True)
    several = known or names
    hint = "; of a file with several questions, name one with --only FIELD=VALUE" if known else ""
    raise DataError(
        f"{path}: which are the logits or probabilities? Name the field with --logits-key: {listed(several)}{hint}"
    )


def _without(path: Path, names: list[str], options: Options) -> list[str]:
    if options.drop is None or kind(path) in ARRAYS:
        return names
    dropped = set(columns(path, options.drop, "--drop", options, may_miss=True))
    return [name for name in names if name not in dropped]


def columns(
    path: Path, key: str, option: str, options: Options, *, may_miss: bool = False
) -> list[str]:
    """Return the names that a list of names and patterns (a,b,logit_*) stands for, patterns in the file's order."""
    names = arrays(path, options.how)
    known = set(names)
    if key in known:
        return [key]
    found: dict[str, None] = {}
    for word in key.split(","):
        word = word if word in known else word.strip()
        matching = (
            [n for n in names if fnmatchcase(n, word)] if _is_pattern(word, known) else [word]
        )
        if kind(path) != ".npy" and not may_miss and not (matching and set(matching) <= known):
            raise DataError(
                f"{path}: {option}: no {'array' if kind(path) in NAMED else 'column'} {word!r}; "
                f"it has {listed(names)}"
            )
        found |= dict.fromkeys(matching)
    return list(found)


def _is_pattern(word: str, known: Iterable[str]) -> bool:
    return word not in known and any(mark in word for mark in "*?[")


def has_labels(path: Path, labels_path: Path | None, options: Options) -> bool:
    """Whether labels are given: a file or a name of them, or one that says it in the file of the logits."""
    if labels_path is not None or options.labels_key is not None:
        return True
    return bool(_known(arrays(path, options.how), _labels_of(path)))


def _labels_of(path: Path) -> tuple[str, ...]:
    return _FIELDS_OF_LABELS if kind(path) == ".jsonl" else _LABELS


def beside_logits(path: Path, options: Options) -> list[str]:
    """Return the names of what a file may hold beside logits: labels, groups, weights."""
    names = [*_labels_of(path), options.groups, options.weights]
    if options.labels_key is not None:
        names += columns(path, options.labels_key, "--labels-key", options, may_miss=True)
    return [name for name in names if name is not None]


def find_labels(path: Path, labels_path: Path | None, options: Options) -> Where:
    own = labels_path is not None and labels_path != path
    file = labels_path if labels_path is not None else path
    if options.labels_key is not None:
        return Where(file, columns(file, options.labels_key, "--labels-key", options), named=True)
    if kind(file) == ".npy":
        if not own:
            raise DataError(f"{file}: is one array of logits: name the file of the labels too")
        return Where(file)
    names = arrays(file, options.how)
    if set(_LABELS) <= set(names):
        _refuse(file, list(_LABELS), "--labels-key", "labels")
    found = _known(names, _labels_of(file))
    if not found and own:
        names = _without(file, names, options)
        found = names if kind(file) not in NAMED or len(names) == 1 else []
    return Where(file, found or _refuse(file, names, "--labels-key", "labels"))


def find_beside(
    path: Path, labels_path: Path, key: str | None, option: str, options: Options
) -> Where | None:
    """Return where groups or weights are: an array or column of the files, or a file of their own."""
    if key is None or (key == FIRST_AXIS and option == "--groups"):
        return None
    for file in (path, labels_path):
        if key in arrays(file, options.how):
            return Where(file, [key], named=True)
    file = Path(key)
    if not file.exists():
        names = arrays(path, options.how)
        raise DataError(
            f"{option} must be a file, or an array or column of {path}, got {key!r}; "
            f"it has {listed(names) or 'no names'}"
        )
    names = arrays(file, options.how)
    if len(names) > 1:
        what = option.removeprefix("--")
        names = _known(names, (what, what.removesuffix("s")))
        if not names:
            raise DataError(f"{file}: {option} must be one column; it has {listed(arrays(file))}")
    return Where(file, names or None)


def _known(names: list[str], known: tuple[str, ...]) -> list[str]:
    return [name for name in known if name in names][:1]


def _refuse(path: Path, names: list[str], option: str, what: str) -> list[str]:
    raise DataError(
        f"{path}: which are the {what}? Name them with {option}: {', '.join(names[:50])}"
    )
