"""The numbers of a comparison of two models, and its verdict: how far apart, which is better, what to do."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmax import Comparison, compare
from sigmax.files.errors import DataError
from sigmax.files.inputs import Inputs
from sigmax.files.progress import progress

from . import verdict as of_one
from .study import jsonable, told
from .words import Words, certainty, interval, number, percent, points

ACCURACY = 0.005  # half a point: the least change that is worth a word, as of the ECE
_SAMPLE = 2**22  # logits by which rows that do not belong together are noticed
_CURVE = tuple(np.linspace(0.0, 1.0, 201).tolist())
_SHOWN = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Choices:
    """How the comparison is made."""

    seed: int = 0
    bins: int = 15
    confidence: float = 0.95
    resamples: int = 1000
    ignore_index: int | None = None


def study_two(base: Inputs, other: Inputs, choices: Choices) -> dict[str, Any]:
    """Return all numbers of the comparison, in types that JSON has."""
    check_pair(base, other)
    if choices.ignore_index is not None and base.labels is None:
        raise DataError("--ignore-index needs labels, which are not given")
    with progress("Comparing"):
        result = compare(
            base.logits,
            other.logits,
            base.labels,
            sample_weight=base.weights,
            groups=base.groups,
            quantiles=sorted({*_CURVE, *_SHOWN}),
            **vars(choices),
        )
    numbers: dict[str, Any] = {
        "reading": base.reading and base.reading.to_dict(),
        "other_reading": other.reading and other.reading.to_dict(),
        "data": _data(base, result),
        "options": vars(choices),
        **result.to_dict(),
        "chance": _chance(base, other),
    }
    for name in ("kl", "reverse_kl"):
        of = numbers[name]
        of["row"] = [int(i) for i in np.unravel_index(of["row"][0], base.batch)]
        of["curve"] = [each for each in of["quantiles"] if each["share"] in _CURVE]
        of["quantiles"] = [each for each in of["quantiles"] if each["share"] in _SHOWN]
    return {"verdict": verdict(numbers), **jsonable(numbers)}


def check_pair(base: Inputs, other: Inputs) -> None:
    """Refuse two files that are not of the same rows and classes."""
    one, two = base.paths[0], other.paths[0]
    if base.batch != other.batch:
        raise DataError(
            f"{two}: must have the rows of {one}, got {_shape(other.batch)} and {_shape(base.batch)}"
        )
    if base.logits.shape[1] != other.logits.shape[1]:
        raise DataError(
            f"{two}: must have the {base.logits.shape[1]:,} classes of {one}, got {other.logits.shape[1]:,}"
        )
    numbered = tuple(map(str, range(len(base.classes))))
    if base.classes != other.classes and numbered not in (base.classes, other.classes):
        k = next(k for k, pair in enumerate(zip(base.classes, other.classes)) if pair[0] != pair[1])  # noqa: B905
        raise DataError(
            f"{two}: class {k} is called {other.classes[k]!r}, in {one} {base.classes[k]!r}: name them with --classes"
        )


def _shape(batch: tuple[int, ...]) -> str:
    return f"{batch[0]:,}" if len(batch) == 1 else str(batch)


def _data(base: Inputs, result: Comparison) -> dict[str, Any]:
    rows = len(base.logits)
    return {
        "rows": rows,
        "ignored": rows - result.rows,
        "weighted": base.weights is not None,
        "classes": result.classes,
        "labels": None
        if base.labels is None
        else ("class indices" if base.hard else "distributions"),
        "groups": None if base.groups is None else result.units,
    }


def _chance(base: Inputs, other: Inputs) -> dict[str, float]:
    """Return how often the winners of some rows agree, and how often they would if the rows were shuffled."""
    classes = base.logits.shape[1]
    part = slice(0, max(1, _SAMPLE // classes))
    one, two = (np.asarray(x.logits[part]).argmax(axis=1) for x in (base, other))
    shares = [np.bincount(x, minlength=classes) / len(x) for x in (one, two)]
    return {
        "rows": len(one),
        "agreement": float(np.mean(one == two)),
        "by_chance": float(shares[0] @ shares[1]),
    }


# ---------------------------------------------------------------- conditions


def named_numbers(result: dict[str, Any]) -> dict[str, tuple[float, Any]]:
    """Return the numbers that conditions may name, with their intervals."""
    found: dict[str, tuple[float, Any]] = {}

    for name in ("kl", "reverse_kl"):
        of = result[name]
        found[name] = told(of["mean"])
        if of["infinite"]:
            found[name] = (math.inf, None)
        found[f"{name}_largest"] = (_or_infinite(of["largest"]), None)
        for each in of["quantiles"]:
            found[f"{name}_{100 * each['share']:g}"] = (_or_infinite(each["value"]), None)
    found["agreement"] = told(result["agreement"])
    share, (low, high) = result["agreement"]["value"], result["agreement"]["interval"]
    found["flips"] = (1 - share, None if low is None else [1 - high, 1 - low])
    if result["other"] is None:
        return found
    for name in of_numbers(result):
        found[name] = told(result["other"][name])
    for name in of_numbers(result):
        found[f"change_{name}"] = told(result["difference"][name])
    found["perplexity"] = told(result["perplexity"]["other"])
    found["perplexity_ratio"] = told(result["perplexity"]["ratio"])
    found["broken"], found["fixed"] = told(result["broken"]), told(result["fixed"])
    return found


def _or_infinite(x: float | None) -> float:
    return math.inf if x is None else x


def of_numbers(result: dict[str, Any]) -> list[str]:
    """Return the names of the numbers of both models."""
    return [name for name in result["difference"] if name in result["other"]]


# ---------------------------------------------------------------- verdict


def verdict(result: dict[str, Any]) -> dict[str, str]:
    """Return `key` (one word), `headline`, `text` (what was found) and `advice` (what to do)."""
    if _unrelated(result):
        return {
            "key": "unrelated",
            "headline": "They agree no more than by chance: do the rows belong together?",
            "text": f"Their winners are the same in {percent(result['chance']['agreement'])} of the rows; of rows in "
            f"any order it would be {percent(result['chance']['by_chance'])}.",
            "advice": "Check that both files have the same rows in the same order, and the same classes.",
        }
    if result["rows"] < of_one.ROWS or (result["data"]["groups"] or of_one.GROUPS) < of_one.GROUPS:
        groups = result["data"]["groups"]
        what = _counted(result["rows"], "row") + (
            f" of {_counted(groups, 'group')}" if groups else ""
        )
        return {
            "key": "too_few",
            "headline": f"Too few rows to tell: {what}",
            "text": apart(result),
            "advice": f"Compare on {of_one.ROWS} rows at least, and {of_one.GROUPS} groups where they come in groups.",
        }
    if result["other"] is None:
        return {
            "key": "measured",
            "headline": f"They agree in {percent(result['agreement']['value'])} of the rows",
            "text": "Which of them is better cannot be told without labels.",
            "advice": "Name a file of labels to see which is better, or a limit (--max-kl) that must be kept.",
        }
    return _of_labels(result)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _unrelated(result: dict[str, Any]) -> bool:
    chance = result["chance"]
    rows, expected = chance["rows"], chance["by_chance"]
    if rows < of_one.ROWS or expected > 0.9:
        return False
    return bool(chance["agreement"] - expected < 3 * math.sqrt(expected * (1 - expected) / rows))


_TITLES = {"nll": "NLL", "brier": "Brier score", "accuracy": "accuracy", "ece": "ECE"}


def _of_labels(result: dict[str, Any]) -> dict[str, str]:
    loss = "nll" if math.isfinite(result["difference"]["nll"]["value"]) else "brier"
    changes = {name: _change(result, name) for name in (loss, "accuracy", "ece")}
    better = [name for name, change in changes.items() if change == "better"]
    worse = [name for name, change in changes.items() if change == "worse"]
    text = f"{_costs(result, loss)} {_gains(result)}"
    if better and worse:
        key = "mixed"
        headline = f"The other has a better {_and(better)}, but a worse {_and(worse)}"
        advice = "Decide by what matters to you: the loss has both in one number."
    elif worse:
        key, headline = "worse", f"The other is worse: {_and(worse)}"
        advice = (
            "Keep the base, or accept what the other costs; the rows that differ most are below."
        )
    elif better:
        key, headline = "better", f"The other is better: {_and(better)}"
        advice = "Take the other."
    else:
        key, headline = "same", "No difference that matters"
        advice = (
            f"Take whichever is cheaper: no change is both certain and worth a word ({of_one.LOSS:.0%} of the loss, "
            f"{points(ACCURACY)} of accuracy or ECE)."
        )
    return {"key": key, "headline": headline, "text": text, "advice": advice}


def _and(names: list[str]) -> str:
    titles = [_TITLES[name] for name in names]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)


def _change(result: dict[str, Any], name: str) -> str:
    """Return whether a number is certainly better or worse in the other, and by so much that it is worth a word."""
    of = result["difference"][name]
    (low, high), value = of["interval"], of["value"]
    worth = (
        of_one.LOSS * abs(result["base"][name]["value"]) if name in ("nll", "brier") else ACCURACY
    )
    if not math.isfinite(value) or abs(value) < worth or low <= 0 <= high:
        return "same"
    return "better" if (value > 0) == (name == "accuracy") else "worse"


def _costs(result: dict[str, Any], loss: str) -> str:
    if loss == "brier":
        return "The NLL is infinite for labels of probability 0; the Brier score is compared in its place."
    of = result["perplexity"]
    ratio, (low, high) = of["ratio"]["value"], of["ratio"]["interval"]
    sure = "not significant" if low <= 1 <= high else "significant"
    return (
        f"The perplexity is {number(of['base']['value'])} of the base and {number(of['other']['value'])} of the other: "
        f"{signed_percent(ratio - 1)} ({signed_percent(low - 1)} to {signed_percent(high - 1)}, {sure})."
    )


def signed_percent(x: float) -> str:
    """Return a relative change; a large one as a factor."""
    if x > 10:
        return f"{number(1 + x)} times"
    size = abs(100 * x)
    text = number(size) if size < 0.1 else f"{size:.1f}"
    return f"{'−' if x < 0 else '+'}{text} %"


def divergence(x: float | None, like: float | None = None) -> str:
    """Return a divergence, which is infinite where there is no number."""
    return "∞" if x is None else number(x, like)


def between(of: list[float | None], words: Words) -> str:
    """Return an interval, where there is one."""
    return "–" if None in of else interval(of, words)


def _gains(result: dict[str, Any]) -> str:
    broken, fixed = (percent(result[name]["value"]) for name in ("broken", "fixed"))
    change = result["difference"]["accuracy"]
    low, high = change["interval"]
    sure = "not significant" if low <= 0 <= high else "significant"
    move = "more" if change["value"] > 0 else "less"
    return (
        f"{fixed} of the rows are right in the other alone, {broken} in the base alone: "
        f"{points(abs(change['value']))} {move} ({sure})."
    )


def apart(result: dict[str, Any]) -> str:
    """Return how far apart they are, in a sentence."""
    kl = result["kl"]
    if kl["infinite"]:
        return (
            f"KL(base ‖ other) is infinite in {_counted(kl['infinite'], 'row')}: the other gives probability 0 to a "
            f"class that is possible in the base. In half of the rows it is below {_quantile(kl, 0.5)}."
        )
    return (
        f"KL(base ‖ other) is {number(kl['mean']['value'])} nats on average "
        f"({interval(kl['mean']['interval'], number)}), below {_quantile(kl, 0.5)} in half of the rows and above "
        f"{_quantile(kl, 0.99)} in one of a hundred; at most {number(kl['largest'])}, in row {place(kl['row'])}."
    )


def _quantile(kl: dict[str, Any], share: float) -> str:
    return number(next(each["value"] for each in kl["quantiles"] if each["share"] == share))


def place(row: list[int]) -> str:
    """Return the number of a row, or its index."""
    return f"{row[0]:,}" if len(row) == 1 else str(tuple(row))


def disagree(result: dict[str, Any]) -> str:
    """Return where they disagree, in a sentence."""
    of = result["agreement"]
    table = result["by_confidence"]
    sure = [k for k, low in enumerate(table["lower"]) if low >= 0.8 - 1e-9]
    rows, flips = (sum(table[name][k] for k in sure) for name in ("rows", "flips"))
    said = (
        f"The most likely class is the same in {percent(of['value'])} of {_counted(result['rows'], 'row')} "
        f"({interval(of['interval'], percent)})."
    )
    if rows and sure:
        least = certainty(table["lower"][sure[0]])
        said += f" Where the base is more than {least} sure it is another in {flips:,} of {rows:,}."
    return said
