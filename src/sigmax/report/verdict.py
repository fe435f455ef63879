"""The verdict: what the numbers mean and what to do, in plain words."""

from typing import Any

from .words import Words, certainty, interval, nats, number, percent, points, signed_points

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


def verdict(result: dict[str, Any]) -> dict[str, str]:
    """Return `key` (one word), `headline`, `text` (what was found) and `advice` (what to do)."""
    fit, method = result["fit"], result["options"]["method"]
    if fit is None:
        return _measured(result)
    if fit["status"] != "ok":
        return {
            "key": fit["status"],
            "headline": _DEGENERATE[fit["status"]],
            "text": fit["message"],
            "advice": _ADVICE.get(fit["status"], "Check the labels, and fit on more rows."),
        }
    nll, ece = (_change(result["difference"][name]["interval"]) for name in ("nll", "ece"))
    if "worse" not in (nll, ece) and "better" in (nll, ece):
        return _better(result, method)
    if nll == "better":
        return _mixed(result, method)
    if "worse" in (nll, ece):
        return _worse(result, method)
    return _no_gain(result, method)


def _change(of: Any) -> str:
    """Return whether a difference is certainly below 0, where losses and errors are better, or above."""
    low, high = of
    return "better" if high < 0 else "worse" if low > 0 else "same"


def _better(result: dict[str, Any], method: str) -> dict[str, str]:
    return {
        "key": "better",
        "headline": f"Better with {_calibration(result, method)}",
        "text": f"{_changes(result)} {_remaining(result['after'])}",
        "advice": f"{_what_to_do(result, method)} {_accuracy(result, method)}",
    }


def _mixed(result: dict[str, Any], method: str) -> dict[str, str]:
    headline = "NLL better but ECE worse"
    advice = "This does not make the probabilities honest: look at the classes below, and fit on more rows."
    if method == "temperature":
        headline += ": try --method vector"
        advice = (
            "One temperature makes all classes more or less confident alike. Where some classes are favoured, "
            "a scale and a bias per class help: run the report again with --method vector."
        )
    return {"key": "mixed", "headline": headline, "text": _changes(result), "advice": advice}


def _worse(result: dict[str, Any], method: str) -> dict[str, str]:
    return {
        "key": "worse",
        "headline": f"Worse with {_calibration(result, method)}: do not apply it",
        "text": _changes(result),
        "advice": "Keep the probabilities as they are. Check that the rows are of one kind, or fit on more of them.",
    }


def _no_gain(result: dict[str, Any], method: str) -> dict[str, str]:
    honest = _is_honest(result["before"])
    advice = "Keep the probabilities as they are."
    if not honest and method == "temperature":
        advice += " If the classes below differ in how honest they are, try --method vector."
    return {
        "key": "no_gain",
        "headline": "No significant gain",
        "text": f"{_changes(result)} {_remaining(result['before'])}",
        "advice": advice,
    }


def _measured(result: dict[str, Any]) -> dict[str, str]:
    honest = _is_honest(result["before"])
    headline = "Honest already" if honest else _attitude(result["before"]).capitalize()
    return {
        "key": "measured",
        "headline": headline,
        "text": _remaining(result["before"]),
        "advice": "Nothing to do."
        if honest
        else "Run the report with --method temperature to see what calibration gains.",
    }


# ---------------------------------------------------------------- sentences


def good(result: dict[str, Any]) -> str:
    """Return how good the model is, in a sentence."""
    accuracy = result["before"]["accuracy"]
    return f"The most likely class is right in {percent(accuracy['value'])} of {result['split']['test']:,} rows."


def honest(result: dict[str, Any]) -> str:
    """Return how honest it is, in a sentence."""
    before = result["before"]
    sure, right = before["mean_confidence"], before["accuracy"]["value"]
    attitude = _attitude(before)
    by = f" by {points(abs(sure - right))}" if attitude != _NEITHER else ""
    return f"It is {percent(sure)} sure on average and {percent(right)} right: {attitude}{by}."


_NEITHER = "neither over- nor underconfident"


def _attitude(side: dict[str, Any]) -> str:
    low, high = side["accuracy"]["interval"]
    if side["mean_confidence"] > high:
        return "overconfident"
    return "underconfident" if side["mean_confidence"] < low else _NEITHER


def _calibration(result: dict[str, Any], method: str) -> str:
    if method == "vector":
        return "vector scaling"
    return f"temperature {number(result['fit']['temperature'])}"


def _what_to_do(result: dict[str, Any], method: str) -> str:
    if method == "vector":
        return "Multiply the logits of each class by its scale and add its bias before the softmax."
    fit = result["fit"]
    return (
        f"Divide the logits by {number(fit['temperature'])} before the softmax "
        f"({certainty(result['before']['confidence'])} interval {interval(fit['interval'], number)})."
    )


def _accuracy(result: dict[str, Any], method: str) -> str:
    if method == "temperature":
        return "The most likely class stays the same, and so does the accuracy."
    change = result["difference"]["accuracy"]
    return (
        f"The accuracy changes by {signed_points(change['value'])} "
        f"({interval(change['interval'], signed_points)})."
    )


def _changes(result: dict[str, Any]) -> str:
    parts = [_move(result, "nll", "NLL", nats), _move(result, "ece", "ECE", percent)]
    return f"On {result['split']['test']:,} rows that the fit has not seen, {' and '.join(parts)}."


def _move(result: dict[str, Any], name: str, title: str, words: Words) -> str:
    before, after = (result[side][name]["value"] for side in ("before", "after"))
    certain = _change(result["difference"][name]["interval"]) != "same"
    move = "falls" if after < before else "rises"
    return f"{title} {move} from {words(before)} to {words(after)} ({'significant' if certain else 'not significant'})"


def _is_honest(side: dict[str, Any]) -> bool:
    return bool(side["ece"]["value"] <= side["null_ece"]["interval"][1])


def _remaining(side: dict[str, Any]) -> str:
    ece, null = side["ece"]["value"], side["null_ece"]
    within = "no more" if _is_honest(side) else "more"
    return (
        f"An ECE of {percent(ece)} is {within} than a perfectly calibrated model would show on as many rows "
        f"({percent(null['value'])}, by chance up to {percent(null['interval'][1])})."
    )
