"""The verdict: what the numbers mean and what to do, in plain words.

A change counts where its interval does not contain 0 and it is worth having: `LOSS` of the loss, `ECE` of the error. A
temperature counts where its interval does not contain 1. How often this is wrong is simulated in
tools/simulate_verdicts.py.
"""

import math
from typing import Literal

from .result import Name, Number, Numbers, Side, Verdict
from .words import (
    Words,
    certainty,
    interval,
    nats,
    number,
    percent,
    points,
    shortened,
    signed_points,
)

LOSS = 0.01  # of the loss before: the least change that is worth having
ECE = 0.005  # half a point
ROWS = 50  # to test with: fewer have intervals that cannot be relied on
GROUPS = 10
CHANCE = 0.1  # an error that chance alone may make: where it is larger, honesty cannot be seen

_DEGENERATE = {
    "separable": "No calibration: every row of the fit is right",
    "chance": "No calibration: the logits say nothing about the labels",
    "flat": "No calibration: all logits are equal",
    "single_class": "No calibration: the labels are of a single class",
    "empty": "No calibration: there are no rows to fit",
    "not_converged": "No calibration: the fit did not end",
}
_ADVICE = {
    "separable": "Fit on more rows, or with --label-smoothing laplace.",
    "chance": "Check that logits and labels belong together, row by row and class by class.",
    "flat": "Check the logits: there is nothing in them that could be calibrated.",
}
Change = Literal["better", "worse", "same"]


def verdict(result: Numbers) -> Verdict:
    """Return `key` (one word), `headline`, `text` (what was found) and `advice` (what to do)."""
    fit, method = result["fit"], str(result["options"]["method"])
    if _few(result):
        return _too_few(result)
    if fit is None:
        return _measured(result)
    if fit["status"] != "ok":
        return {
            "key": fit["status"],
            "headline": _DEGENERATE[fit["status"]],
            "text": fit["message"],
            "advice": _ADVICE.get(fit["status"], "Check the labels, and fit on more rows."),
        }
    loss, ece = _change(result, _loss(result)), _change(result, "ece")
    if not _is_sure(result):
        return _no_gain(result, method)
    if loss == "better" and ece == "worse":
        return _mixed(result, method)
    if "worse" in (loss, ece):
        return _worse(result, method)
    if "better" in (loss, ece):
        return _better(result, method)
    return _no_gain(result, method)


# ---------------------------------------------------------------- what counts


def _few(result: Numbers) -> bool:
    split = result["split"]
    return split["test"] < ROWS or (
        split["groups"] is not None and split["groups"]["test"] < GROUPS
    )


def _loss(result: Numbers) -> Name:
    """Return the loss that is compared: of labels with probability 0 the NLL is infinite before and after."""
    return "nll" if _is_finite(result["before"]["nll"]["value"]) else "brier"


def _is_finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)


def _difference(result: Numbers, name: Name) -> Number:
    difference = result["difference"]
    assert difference is not None
    return difference[name]


def _certain(result: Numbers, name: Name) -> Change:
    """Return whether a loss or an error is certainly less after calibration, or more."""
    low, high = _difference(result, name)["interval"]
    return "better" if high < 0 else "worse" if low > 0 else "same"


def _change(result: Numbers, name: Name) -> Change:
    """As `_certain`, and by so much that it is worth having."""
    worth = ECE if name == "ece" else LOSS * abs(result["before"][name]["value"])
    return _certain(result, name) if abs(_difference(result, name)["value"]) >= worth else "same"


def _is_sure(result: Numbers) -> bool:
    """Whether the rows of the fit say that the temperature is not 1."""
    fit = result["fit"]
    if fit is None or "interval" not in fit:
        return True
    low, high = fit["interval"]
    return not low <= 1.0 <= high


# ---------------------------------------------------------------- verdicts


def _too_few(result: Numbers) -> Verdict:
    split, before, fit = result["split"], result["before"], result["fit"]
    groups = split["groups"]
    what = f"{split['test']:,} {_rows(split['test'])}"
    if groups is not None:
        what += f" of {groups['test']:,} {'group' if groups['test'] == 1 else 'groups'}"
    accuracy, null = before["accuracy"], before["null_ece"]
    text = (
        f"With {what} to test, the accuracy may be anything from {interval(accuracy['interval'], percent)}, and a "
        f"perfectly calibrated model could show an ECE of {percent(null['interval'][1])} on them by chance."
    )
    if fit is not None and fit["status"] != "ok":
        text += f" {fit['message']}"
    least = f"{ROWS if fit is None else 2 * ROWS} rows" + (
        f" and {2 * GROUPS} groups" if groups else ""
    )
    return {
        "key": "too_few",
        "headline": f"Too few rows to tell: {what} to test with",
        "text": text,
        "advice": f"Make the report of {least} at least. Until then, keep the probabilities as they are.",
    }


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _better(result: Numbers, method: str) -> Verdict:
    return {
        "key": "better",
        "headline": f"Better with {_calibration(result, method)}",
        "text": f"{_changes(result)} {_remaining(result['after'] or result['before'])}",
        "advice": f"{_what_to_do(result, method)} {_accuracy(result, method)}",
    }


def _mixed(result: Numbers, method: str) -> Verdict:
    headline = f"{_TITLES[_loss(result)]} better but ECE worse"
    advice = "This does not make the probabilities honest: look at the classes below, and fit on more rows."
    if method == "temperature":
        headline += ": try --method " + ("platt" if _is_of_questions(result) else "vector")
        advice = f"One temperature makes all answers more or less confident alike.{_finer(result)}"
    return {"key": "mixed", "headline": headline, "text": _changes(result), "advice": advice}


def _worse(result: Numbers, method: str) -> Verdict:
    return {
        "key": "worse",
        "headline": f"Worse with {_calibration(result, method)}: do not apply it",
        "text": _changes(result),
        "advice": "Keep the probabilities as they are. Check that the rows are of one kind, or fit on more of them.",
    }


def _is_of_questions(result: Numbers) -> bool:
    """Whether the rows are yes-or-no questions, of which many labels are many."""
    return result["labels"] is not None or result["data"]["classes"] == 2


def _finer(result: Numbers) -> str:
    """Return which calibration can do more than a temperature."""
    if result["labels"] is not None:
        return " If the labels below differ in how honest they are, try --method platt --per-label."
    if _is_of_questions(result):
        return " If yes is favoured, or no, try --method platt: it has a bias."
    return " If the classes below differ in how honest they are, try --method vector."


def _no_gain(result: Numbers, method: str) -> Verdict:
    fit, honest = result["fit"], _is_honest(result["before"])
    advice = "Keep the probabilities as they are."
    if not honest and method == "temperature":
        advice += _finer(result)
    small = _is_sure(result) and "same" not in (
        _certain(result, _loss(result)),
        _certain(result, "ece"),
    )
    why = f"The changes are certain, but below what is worth having ({LOSS:.0%} of the loss, {points(ECE)}). "
    if fit is not None and not _is_sure(result):
        why = (
            f"The temperature of the fit, {number(fit['temperature'])} "
            f"({interval(fit['interval'], number)}), cannot be told from 1. "
        )
        small = True
    return {
        "key": "no_gain",
        "headline": "No significant gain",
        "text": f"{why if small else ''}{_changes(result)} {_remaining(result['before'])}",
        "advice": advice,
    }


def _measured(result: Numbers) -> Verdict:
    before = result["before"]
    attitude = _attitude(before)
    honest = _is_honest(before) and attitude == _NEITHER
    chance = before["null_ece"]["interval"][1]
    if honest and chance > CHANCE:
        return {
            "key": "too_few",
            "headline": "Too few rows to tell how honest it is",
            "text": _remaining(before),
            "advice": f"Make the report of more rows: chance alone makes an ECE of up to {percent(chance)} of these.",
        }
    headline = (
        attitude.capitalize()
        if attitude != _NEITHER
        else "Not honest: some are over-, some underconfident"
    )
    return {
        "key": "measured",
        "headline": "Honest already" if honest else headline,
        "text": _remaining(before),
        "advice": "Nothing to do."
        if honest
        else "Run the report with --method temperature to see what calibration gains.",
    }


# ---------------------------------------------------------------- sentences


def good(result: Numbers) -> str:
    """Return how good the model is, in a sentence."""
    accuracy, data = result["before"]["accuracy"], result["data"]
    rows = f"{result['split']['test']:,} {_rows(result['split']['test'])}"
    said = f"The most likely class is right in {percent(accuracy['value'])} of {rows}"
    labels = result["labels"]
    if labels is not None:
        said = (
            f"The likelier answer is right in {percent(accuracy['value'])} of {result['split']['test']:,} "
            f"({labels['samples']:,} samples with {labels['count']:,} labels each)"
        )
    said += ", by weight." if data["weighted"] else "."
    if data["impossible"]:
        count = data["impossible"]
        said += (
            f" The NLL is infinite: {count:,} {'label has' if count == 1 else 'labels have'} probability 0, which no "
            "calibration changes; the Brier score is compared instead."
        )
    return said


def honest(result: Numbers) -> str:
    """Return how honest it is, in a sentence."""
    before = result["before"]
    sure, right = before["mean_confidence"], before["accuracy"]["value"]
    said = f"It is {percent(sure)} sure on average and {percent(right)} right"
    if _few(result):
        low_to_high = interval(before["accuracy"]["interval"], percent)
        return f"{said} ({low_to_high}, as far as {_counted(result)} can tell)."
    attitude = _attitude(before)
    by = f" by {points(abs(sure - right))}" if attitude != _NEITHER else ""
    return f"{said}: {attitude}{by}."


def remarks(result: Numbers) -> list[str]:
    """Return what should not be overlooked, in sentences."""
    binary = result["parts"]["binary"]
    if binary is None or binary["before"]["never"] is None:
        return []
    never, last = binary["before"]["never"], binary["after"] or binary["before"]
    name = result["data"]["class_names"][never]
    threshold = number(result["options"]["threshold"])
    said = (
        f"The model never says {shortened(name)!r}: at a threshold of {threshold} all rows get the other class. Its "
        "accuracy is the share of that class; see Yes or no for a better threshold."
    )
    changed = result["after"] is not None and last["never"] is None
    return [said + (" After calibration it does." if changed else "")]


def _counted(result: Numbers) -> str:
    return f"{result['split']['test']:,} {_rows(result['split']['test'])}"


_NEITHER = "neither over- nor underconfident"


def _attitude(side: Side) -> str:
    low, high = side["accuracy"]["interval"]
    sure, right = side["mean_confidence"], side["accuracy"]["value"]
    enough = side["null_ece"]["interval"][1] <= CHANCE  # rows for the error to speak for itself
    if abs(sure - right) < ECE or low <= sure <= high or (enough and _is_honest(side)):
        return _NEITHER
    return "overconfident" if sure > high else "underconfident"


def _calibration(result: Numbers, method: str) -> str:
    if result["fit"] is not None and "labels" in result["fit"]:
        return f"{METHODS.get(method, 'temperature')} per label"
    if method != "temperature" or result["fit"] is None:
        return METHODS[method]
    return f"temperature {number(result['fit']['temperature'])}"


def _what_to_do(result: Numbers, method: str) -> str:
    fit = result["fit"]
    if fit is not None and "labels" in fit:
        return "Apply the fit of each label, as below."
    if method != "temperature" or fit is None:
        return _USE[method]
    return (
        f"Divide the logits by {number(fit['temperature'])} before the softmax "
        f"({certainty(result['before']['confidence'])} interval {interval(fit['interval'], number)})."
    )


def _accuracy(result: Numbers, method: str) -> str:
    if method == "temperature":
        return "The most likely class stays the same, and so does the accuracy."
    change = _difference(result, "accuracy")
    if not any(change["interval"]):
        return "The accuracy stays the same."
    return (
        f"The accuracy changes by {signed_points(change['value'])} "
        f"({interval(change['interval'], signed_points)})."
    )


METHODS = {
    "vector": "vector scaling",
    "platt": "Platt scaling",
    "beta": "beta calibration",
    "isotonic": "isotonic regression",
}
_USE = {
    "vector": "Multiply the logits of each class by its scale and add its bias before the softmax.",
    "platt": "Multiply the logit by the scale and add the bias before the sigmoid.",
    "beta": "Bend the logit by the three numbers of the fit before the sigmoid.",
    "isotonic": "Replace the probability by that of its step.",
}
_TITLES = {"nll": "NLL", "brier": "Brier score", "ece": "ECE"}


def _changes(result: Numbers) -> str:
    parts = [_move(result, _loss(result), nats), _move(result, "ece", percent)]
    return f"On {result['split']['test']:,} rows that the fit has not seen, {' and '.join(parts)}."


def _move(result: Numbers, name: Name, words: Words) -> str:
    before, after = (
        result["before"][name]["value"],
        (result["after"] or result["before"])[name]["value"],
    )
    significance = "not significant" if _certain(result, name) == "same" else "significant"
    title = _TITLES[name]
    if words(before) == words(after):
        return f"{title} stays at {words(before)} ({significance})"
    move = "falls" if after < before else "rises"
    return f"{title} {move} from {words(before)} to {words(after)} ({significance})"


def _is_honest(side: Side) -> bool:
    return bool(side["ece"]["value"] <= side["null_ece"]["interval"][1])


def _remaining(side: Side) -> str:
    ece, null = side["ece"]["value"], side["null_ece"]
    within = "no more" if _is_honest(side) else "more"
    return (
        f"An ECE of {percent(ece)} is {within} than a perfectly calibrated model would show on as many rows "
        f"({percent(null['value'])}, by chance up to {percent(null['interval'][1])})."
    )
