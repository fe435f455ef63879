"""What the numbers of a file look like: probabilities or logits, and columns that are no class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

_CLOSE = 0.02  # how far the sum of a row of rounded probabilities may be from 1
_FEW = 20  # rows: whole numbers among so few may be chance
_FIRST = 64  # rows by which most columns are known not to be steps
_OTHER_THINGS = re.compile(
    r"|index|idx|id|.*[_ ]id|row|row[_ ]?(number|index|id)|unnamed:.*|__index_level_\d+__|level_\d+"
    r"|pred|preds|prediction|predictions|predicted.*|y_pred|y_hat|yhat|y_true|y|true_.*|target|targets|truth"
    r"|ground_truth|gold|label|labels|.*[_ ]label|class|fold|split|epoch|step|weights?|sample_weights?|groups?|loss"
    r"|timestamp|time|date",
    re.IGNORECASE,
)


@dataclass
class Look:
    """What some rows look like."""

    rows: int
    low: float  # of the finite numbers
    high: float
    sums: tuple[float, float]  # the least and the largest sum of a row
    unit: int  # rows of numbers in [0, 1]
    distributions: int  # those of them that sum to 1, or nearly
    percents: int  # rows of numbers that are not negative and sum to 100, or nearly
    first: Any  # a row
    last: Any
    step: Any  # by column: from one row to the next,
    stepping: Any  # where that is the same for all rows
    whole: Any  # by column: all are whole numbers

    def alike(self) -> bool:
        """Whether all rows have nearly the same sum, which is not 1."""
        least, most = self.sums
        return least > 0 and most - least <= _CLOSE * most and abs(most - 1.0) > 2 * _CLOSE

    def columns_that_are_steps(self) -> Any:
        found = self.stepping & (self.step != 0)
        return (
            np.flatnonzero(found if self.rows >= _FEW else found & self.whole)
            if self.rows > 2
            else []
        )

    def columns_of_whole_numbers(self) -> Any:
        """Return the columns of whole numbers, of which few are, and which are not all the same number."""
        found = np.flatnonzero(self.whole & ~(self.stepping & (self.step == 0)))
        fractions = len(self.whole) - np.count_nonzero(self.whole)
        return found if self.rows >= _FEW and 0 < len(found) <= fractions else []


def look_at(x: Any) -> Look:
    """Look at some rows."""
    x = x[:, None] if x.ndim == 1 else x
    x = x.astype(np.uint8) if x.dtype.kind == "b" else x
    with np.errstate(invalid="ignore", over="ignore"):
        finite = x if x.dtype.kind != "f" or np.isfinite(x).all() else x[np.isfinite(x)]
        sums = x.sum(axis=1, dtype=np.float64)
        unit = ((x >= 0) & (x <= 1)).all(axis=1)
        near = unit if x.shape[1] == 1 else unit & (np.abs(sums - 1.0) <= _CLOSE)
        percents = (np.abs(sums - 100.0) <= 100 * _CLOSE) & (x >= 0).all(axis=1) & ~unit
        step = (x[1].astype(np.float64) - x[0] if len(x) > 1 else np.zeros(x.shape[1])) + 0.0
        return Look(
            len(x),
            float(finite.min(initial=np.inf)) if x.dtype.kind == "f" else float(x.min()),
            float(finite.max(initial=-np.inf)) if x.dtype.kind == "f" else float(x.max()),
            (float(np.fmin.reduce(sums)), float(np.fmax.reduce(sums))),
            int(np.count_nonzero(unit)),
            int(np.count_nonzero(near)),
            int(np.count_nonzero(percents)) if x.shape[1] > 1 else 0,
            x[0].astype(np.float64),
            x[-1].astype(np.float64),
            step,
            _where_all(
                x, lambda part, k: _is_step(np.diff(part.astype(np.float64), axis=0), step[k], part)
            ),
            _where_all(x, lambda part, _: part == np.floor(part))
            if x.dtype.kind == "f"
            else np.ones(x.shape[1], bool),
        )


def _where_all(x: Any, holds: Any) -> Any:
    """Return for which columns something holds in all rows; most fall away by the first ones."""
    every = np.arange(x.shape[1])
    result = holds(x[:_FIRST], every).all(axis=0)
    if len(x) > _FIRST and result.any():
        kept = np.flatnonzero(result)
        result[kept] = holds(x[:, kept], kept).all(axis=0)
    return result


def _is_step(differences: Any, step: Any, values: Any) -> Any:
    rounding = 4 * np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps
    size = np.abs(values).max(axis=0, initial=0).astype(np.float64)
    return (np.abs(differences - step) <= rounding * size) & np.isfinite(size)


def together(looks: Sequence[Look]) -> Look:
    """Return what the rows of all looks, one after the other, look like."""
    return reduce(_both, looks)


def _both(a: Look, b: Look) -> Look:
    between = b.first - a.last
    a_step = a.step if a.rows > 1 else between
    rounding = 1e-6 * np.abs(a_step)
    same = np.abs(between - a_step) <= rounding
    if b.rows > 1:
        same &= np.abs(b.step - a_step) <= rounding
    return Look(
        a.rows + b.rows,
        min(a.low, b.low),
        max(a.high, b.high),
        (min(a.sums[0], b.sums[0]), max(a.sums[1], b.sums[1])),
        a.unit + b.unit,
        a.distributions + b.distributions,
        a.percents + b.percents,
        a.first,
        b.last,
        a_step,
        a.stepping & b.stepping & same,
        a.whole & b.whole,
    )


# ---------------------------------------------------------------- doubts


def doubts_about_columns(
    look: Look, names: Sequence[str] | None, what: str, labels: Sequence[str] = ()
) -> list[str]:
    """Return which columns are not scores of a class, by what is in them or by their names, in sentences.

    A column that is named as one of the labels is.
    """
    why = {
        int(k): f"grows by {look.step[k]:g} from row to row" for k in look.columns_that_are_steps()
    }
    if look.rows and len(look.whole) > 1:
        why = {
            int(k): "is of whole numbers, unlike the others"
            for k in look.columns_of_whole_numbers()
        } | why
    if names is not None:
        by_name = {
            k: "is named like something else"
            for k, n in enumerate(names)
            if _OTHER_THINGS.fullmatch(n.strip())
        }
        why = by_name | why
        why = {k: reason for k, reason in why.items() if names[k] not in labels}
    if not why or len(look.whole) < 2:
        return []
    called = {k: repr(str(k) if names is None else names[k]) for k in why}
    some = sorted(why)[:5]
    said = ", ".join(f"{called[k]} {why[k]}" for k in some) + (", …" if len(why) > 5 else "")
    drop = ",".join([str(k) if names is None else names[k] for k in sorted(why)][:20])
    doubt = (
        f"{what}: is every column the score of a class? Column {said}: leave out what is none with "
        f"--drop {_quoted(drop)}, or name those that are with "
        f"{'--classes ' + str(len(look.whole)) if names is None else '--logits-key'}"
    )
    return [doubt]


def _quoted(text: str) -> str:
    return f"'{text}'" if re.search(r"[^\w,.\-]", text) or not text else text


def doubts_about_values(
    look: Look,
    what: str,
    name: str | None,
    settle: str = "say --probabilities{}, or --logits if they are logits",
) -> list[str]:
    """Return why numbers that are to be read as logits may not be logits, in a sentence."""
    rows, one = look.rows, len(look.whole) == 1
    normalize = " --normalize"
    if rows and 2 * look.percents > rows:
        why = f"logits or percentages? {look.percents:,} of {rows:,} rows sum to 100"
    elif rows > 2 and not one and 0 <= look.low < look.high and look.alike():
        why = f"logits, or shares, votes or counts? All rows sum to {look.sums[1]:g}, or nearly"
    elif rows and 2 * look.distributions > rows and look.low < look.high:
        of = "are in [0, 1]" if one else "are in [0, 1] and sum to 1"
        why = f"logits or probabilities? {look.distributions:,} of {rows:,} rows {of}"
        normalize = ""
    elif rows and look.unit == rows and look.low < look.high:
        sums = f"{look.sums[0]:.3g} to {look.sums[1]:.3g}"
        why = f"logits or probabilities? All numbers are in [0, 1], but rows sum to {sums}"
    elif name is not None and _PROBABILITIES.fullmatch(name):
        why = f"logits or probabilities? The name {name!r} says probabilities"
    else:
        return []
    return [f"{what}: {why}: {settle.format(normalize)}"]


_PROBABILITIES = re.compile(
    r"(y_)?(p|probs?|probas?|probability|probabilities|softmax)(_.*)?", re.IGNORECASE
)
