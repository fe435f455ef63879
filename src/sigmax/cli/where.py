"""Where in the files the logits, the labels and the groups are."""

from dataclasses import dataclass
from pathlib import Path

from .console import DataError
from .files import arrays, kind

_LOGITS = ("logits", "probabilities")
_LABELS = ("labels", "label")


@dataclass(frozen=True)
class Where:
    """Where something is: the file, and the arrays or columns in it (None: the one array)."""

    path: Path
    names: list[str] | None = None

    def __str__(self) -> str:
        return (
            f"{self.path}: {','.join(self.names)}"
            if self.names and len(self.names) < 4
            else str(self.path)
        )


@dataclass(frozen=True)
class Options:
    """How the files are to be read."""

    logits_key: str | None = None
    labels_key: str | None = None
    groups: str | None = None
    classes: str | None = None
    probabilities: bool = False
    ignore_index: int | None = None
    remote: bool = False  # rows are read on the workers of a cluster


def find_logits(path: Path, options: Options, beside: set[str]) -> Where:
    """Return where the logits are; `beside` are the labels and groups of the same file."""
    if options.logits_key is not None:
        return Where(path, options.logits_key.split(","))
    if kind(path) == ".npy":
        return Where(path)
    names = [name for name in arrays(path) if name not in beside]
    if kind(path) == ".npz" and len(names) != 1:
        names = _known(names, _LOGITS) or _refuse(path, arrays(path), "--logits-key", "logits")
    elif kind(path) == ".parquet":
        names = _known(names, _LOGITS) or names
    if not names:
        raise DataError(f"{path}: has no columns of logits beside {', '.join(sorted(beside))}")
    return Where(path, names)


def find_labels(path: Path, labels_path: Path | None, options: Options) -> Where:
    own = labels_path is not None and labels_path != path
    file = labels_path if labels_path is not None else path
    if options.labels_key is not None:
        return Where(file, options.labels_key.split(","))
    if kind(file) == ".npy":
        if not own:
            raise DataError(f"{file}: is one array of logits: name the file of the labels too")
        return Where(file)
    names = arrays(file)
    found = _known(names, _LABELS)
    if not found and own and (kind(file) != ".npz" or len(names) == 1):
        found = names
    return Where(file, found or _refuse(file, names, "--labels-key", "labels"))


def find_groups(path: Path, labels_path: Path, groups: str | None) -> Where | None:
    if groups is None:
        return None
    for file in (path, labels_path):
        if groups in arrays(file):
            return Where(file, [groups])
    file = Path(groups)
    if not file.exists():
        raise DataError(
            f"--groups must be a file, or an array or column of {path}, got {groups!r}; "
            f"it has {', '.join(map(repr, arrays(path))) or 'no names'}"
        )
    names = arrays(file)
    if len(names) > 1:
        names = _known(names, ("groups", "group")) or _refuse(file, names, "--groups", "groups")
    return Where(file, names or None)


def _known(names: list[str], known: tuple[str, ...]) -> list[str]:
    return [name for name in known if name in names][:1]


def _refuse(path: Path, names: list[str], option: str, what: str) -> list[str]:
    raise DataError(f"{path}: which are the {what}? Name them with {option}: {', '.join(names)}")
