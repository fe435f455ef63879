"""The figures of the report, as SVG whose colours are variables of the page, for light and dark."""

import io
import math
import re
from collections.abc import Callable
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .result import Report
from .words import interval, number, percent

When = Literal["before", "after"]

# Colours that stand for the variables --ink, --faint, --before and --after of the page.
_COLOURS = {"ink": "#010101", "faint": "#020202", "before": "#030303", "after": "#040404"}
_INK, _FAINT, _BEFORE, _AFTER = _COLOURS.values()
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
}
_SIZE = (4.2, 3.7)


def figures(result: Report) -> dict[str, str]:
    """Return the figures by name."""
    sides: list[When] = ["before"] if result["after"] is None else ["before", "after"]
    drawn = {f"reliability_{side}": _svg(_reliability, result, side) for side in sides}
    drawn["confidence"] = _svg(_confidence, result, *sides)
    if result["temperature_curve"]["rows"]:
        drawn["temperature"] = _svg(_temperature, result)
    drawn["decisions"] = _svg(_decisions, result, *sides)
    drawn["corp"] = _svg(_corp, result, sides[-1])
    if result["parts"]["binary"] is not None:
        drawn["positive"] = _svg(_positive, result, *sides)
        drawn["roc"] = _svg(_roc, result, sides[-1])
    return drawn


def _svg(draw: Callable[..., str], result: Report, *options: str) -> str:
    """Return an SVG element with the text that `draw` returns as its description."""
    name = "-".join((draw.__name__.strip("_"), *options))
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        description = draw(axes, result, *options)
        file = io.StringIO()
        figure.savefig(
            file,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    svg = file.getvalue()
    svg = _hovering(svg[svg.index("<svg") :].strip(), axes)
    for variable, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    # Several figures share a page, so their identifiers must differ.
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        r'<svg viewBox="\1" role="img" aria-label="">',
        svg,
        count=1,
    )
    return svg.replace('aria-label=""', f'aria-label="{description}"', 1)


def _hovering(svg: str, axes: Any) -> str:
    """Return the SVG with what its marks say when the mouse is over them: `texts` of the collections that have any."""
    for marks in axes.collections:
        texts = getattr(marks, "texts", [])
        start = svg.find(f'<g id="{marks.get_gid()}">')
        shape = "use" if "<use " in svg[start : svg.find("<g id=", start + 1)] else "path"
        for text in texts:
            start = svg.index(f"<{shape} ", start)
            end = svg.index("/>", start)
            svg = f"{svg[:end]}><title>{text}</title></{shape}>{svg[end + 2 :]}"
            start = end
    return svg


def _with_texts(marks: Any, name: str, texts: list[str]) -> None:
    marks.set_gid(f"marks-{name}")
    marks.texts = texts


# ---------------------------------------------------------------- drawings: each returns what it shows, in words


def _reliability(axes: Any, result: Report, side: When) -> str:
    of = result["reliability"][side]
    numbers = result[side]
    assert of is not None
    assert numbers is not None
    curve: dict[str, Any] = {name: np.array(x, float) for name, x in of.items()}
    filled = curve["count"] > 0
    confidence, accuracy = curve["confidence"][filled], curve["accuracy"][filled]
    low, high = curve["interval"][filled].T
    colour = _COLOURS[side]
    share = curve["count"][filled] / curve["count"].sum()
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    # A line for each bin: a band from one to the next would speak of confidences between them, which no row has.
    axes.vlines(confidence, low, high, color=colour, linewidth=4, alpha=0.25)
    axes.vlines(confidence, low, high, color=colour, linewidth=1, alpha=0.6)
    marks = axes.scatter(
        confidence, accuracy, 16 + 200 * share, colour, marker=_MARKERS[side], zorder=3
    )
    _with_texts(marks, side, _texts(curve, filled))
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    return (
        f"Reliability diagram {side} calibration: accuracy against confidence in {len(confidence)} bins; "
        f"ECE {percent(numbers['ece']['value'])}."
    )


def _texts(curve: dict[str, Any], filled: Any) -> list[str]:
    """Return what each bin says."""
    columns = (curve[name][filled] for name in ("count", "confidence", "accuracy", "interval"))
    return [
        f"{int(count):,} {'row' if count == 1 else 'rows'}: {percent(sure)} sure, {percent(right)} right "
        f"({interval(ends, percent)})"
        for count, sure, right, ends in zip(*columns, strict=True)
    ]


_MARKERS = {"before": "o", "after": "s"}


def _confidence(axes: Any, result: Report, *sides: When) -> str:
    words = []
    for side in sides:
        curve, numbers = result["reliability"][side], result[side]
        assert curve is not None
        assert numbers is not None
        edges = [*curve["lower"], curve["upper"][-1]]
        share = np.array(curve["count"]) / sum(curve["count"])
        colour = _COLOURS[side]
        mean = numbers["mean_confidence"]
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.15)
        label = f"{side + ': ' if len(sides) > 1 else ''}{percent(mean)} on average"
        axes.stairs(share, edges, color=colour, linewidth=1.5, linestyle=_LINES[side], label=label)
        words.append(f"{percent(mean)} {side}")
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="share of rows")
    most = axes.get_ylim()[1]
    axes.set_ylim(0, most * 1.2)  # room for the legend, without ticks
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= min(most, 1.0) + 1e-9])
    axes.legend(loc="upper left")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    return f"Histogram of the confidence; its mean is {' and '.join(words)}."


_LINES = {"before": (0, (4, 1.5)), "after": "-"}


def _temperature(axes: Any, result: Report) -> str:
    curve, fit = result["temperature_curve"], result["fit"]
    axes.plot(curve["temperature"], curve["nll"], color=_AFTER, linewidth=1.8)
    axes.set_xscale("log")
    axes.set(xlabel="temperature", ylabel="NLL (solid)")
    other = axes.twinx()
    other.plot(
        curve["temperature"], curve["ece"], color=_BEFORE, linewidth=1.8, linestyle=_LINES["before"]
    )
    other.set(ylabel="ECE (dashed)", ylim=(0, None))
    other.spines["right"].set_visible(True)
    other.spines["top"].set_visible(False)
    axes.yaxis.label.set_color(_AFTER)
    other.yaxis.label.set_color(_BEFORE)
    _percent_axis(other.yaxis)
    ticks = _temperature_ticks(curve["temperature"][0], curve["temperature"][-1])
    axes.set_xticks(ticks, [number(t) if t < 1e-3 or t >= 1e4 else f"{t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    temperature = fit["temperature"] if fit and "temperature" in fit else None
    if fit is None or not temperature or not np.isfinite(temperature):
        return "NLL and ECE of the test rows against the temperature."
    low, high = fit["interval"]
    axes.axvspan(low, high, color=_AFTER, alpha=0.18, linewidth=0)
    axes.axvline(temperature, color=_INK, linewidth=1)
    axes.annotate(
        f"T = {number(temperature)}",
        (temperature, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
    )
    return (
        f"NLL and ECE of the test rows against the temperature; the fit found {number(temperature)}, "
        f"{number(low)} to {number(high)}."
    )


def _decisions(axes: Any, result: Report, *sides: When) -> str:
    words = []
    for side in sides:
        of = result["parts"]["decisions"][side]
        error = 1 - np.array(of["accuracy"], float)
        label = f"{side + ': ' if len(sides) > 1 else ''}{percent(of['aurc']['value'])} on average"
        axes.plot(
            of["coverage"],
            error,
            color=_COLOURS[side],
            linestyle=_LINES[side],
            label=label,
            linewidth=1.8,
        )
        words.append(f"{percent(of['aurc']['value'])} {side}")
    axes.set(
        xlim=(0, 1),
        ylim=(0, None),
        xlabel="answered, the most confident first",
        ylabel="wrong among them",
    )
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)
    axes.legend(loc="upper left")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    return f"Error rate by the share of rows that are answered; on average {' and '.join(words)}."


def _corp(axes: Any, result: Report, side: When) -> str:
    of = result["parts"]["corp"][side]
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.fill_between(of["grid"], of["lower"], of["upper"], color=_FAINT, alpha=0.25, linewidth=0)
    colour = _COLOURS[side]
    axes.plot(of["confidence"], of["calibrated"], color=colour, linewidth=1.8)
    binary = result["parts"]["binary"] is not None
    what = "probability of the second class" if binary else "confidence"
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel=what, ylabel="what it should be", aspect="equal")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    return (
        f"The rising curve that fits best {side} calibration, with the band that a perfectly calibrated model's curve "
        f"stays in; miscalibration {of['miscalibration']:.4f} of the squared error."
    )


def _positive(axes: Any, result: Report, *sides: When) -> str:
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    words = []
    for side in sides:
        of = result["parts"]["binary"][side]
        curve = {name: np.array(x, float) for name, x in of["curve"].items()}
        filled = curve["count"] > 0
        low, high = curve["interval"][filled].T
        colour, x = _COLOURS[side], curve["confidence"][filled]
        axes.vlines(x, low, high, color=colour, linewidth=1.5, alpha=0.5)
        share = curve["count"][filled] / curve["count"].sum()
        marks = axes.scatter(
            x,
            curve["accuracy"][filled],
            16 + 200 * share,
            colour,
            marker=_MARKERS[side],
            zorder=3,
            label=side if len(sides) > 1 else None,
            alpha=0.8,
        )
        _with_texts(marks, f"positive-{side}", _texts(curve, filled))
        words.append(f"{percent(of['ece']['value'])} {side}")
    if len(sides) > 1:
        axes.legend(loc="upper left", markerscale=0.6)
    axes.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.03), aspect="equal")
    axes.set(xlabel="probability of the second class", ylabel="share of the second class")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    return f"Share of the second class by its probability; calibration error {' and '.join(words)}."


def _roc(axes: Any, result: Report, side: When) -> str:
    of = result["parts"]["binary"][side]
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(*np.array(of["roc"], float), color=_COLOURS[side], linewidth=1.8)
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="false yes", ylabel="true yes", aspect="equal")
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    area = of["roc_auc"]
    return f"ROC curve; the area under it is {percent(area['value'])} ({interval(area['interval'], percent)})."


def _temperature_ticks(low: float, high: float) -> list[float]:
    """Return at most eight round numbers: 1, 2 and 5 of each power of ten, or some of the powers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [digit * 10.0**k for k in powers for digit in (1, 2, 5)]
    coarse = [10.0**k for k in powers[:: 1 + len(powers) // 6]]
    inside = [[t for t in ticks if low <= t <= high] for ticks in (fine, coarse)]
    return inside[0] if len(inside[0]) <= 8 else inside[1]


def _percent_axis(axis: Any) -> None:
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: f"{100 * x:.6g} %"))
