"""The comparison as one page of HTML that needs nothing else, in the style of the report."""

import math
from collections import defaultdict
from typing import Any

import numpy as np

from . import comparison, words
from .figures import _AFTER, _BEFORE, _FAINT, _percent_axis, _svg
from .page import _NAMES, environment_of_pages


def page(result: dict[str, Any]) -> str:
    """Return the page of these numbers."""
    readings = [result[name] for name in ("reading", "other_reading") if result[name]]
    template = environment_of_pages().get_template("comparison.html")
    return template.render(
        result,
        figures=_figures(result),
        apart=comparison.apart(result),
        disagree=comparison.disagree(result),
        place=comparison.place(result["kl"]["row"]),
        reverse_place=comparison.place(result["reverse_kl"]["row"]),
        ratio=_ratio,
        small_nats=_small_nats,
        said=comparison,
        names=defaultdict(str, _NAMES),
        titles=_TITLES,
        numbers=[] if result["other"] is None else comparison.of_numbers(result),
        notices=[line for reading in readings for line in reading["notices"]],
        lines=[line for reading in readings for line in reading["lines"]],
        words=words,
        zip=zip,
    )


_TITLES = {
    "kl": "KL(base ‖ other)",
    "reverse_kl": "KL(other ‖ base)",
    "quantiles": "Its distribution",
    "agreement": "Same winner",
    "by_confidence": "Changed winners",
    "perplexity": "Perplexity",
    "ratio": "Their ratio",
    "broken": "Right in the base alone",
    "fixed": "Right in the other alone",
    "difference": "Changes",
}


def _ratio(x: float | None, like: float | None = None) -> str:
    """Return a ratio with three digits of what it is off 1; a large one in three."""
    if x is not None and (like or x) >= 100:
        return words.number(x, like)
    off = abs((like if like is not None else x or 1.0) - 1)
    digits = min(9, max(3, 2 - math.floor(math.log10(off)))) if 0 < off < 1 else 3
    return "–" if x is None else f"{x:,.{digits}f}"


def _small_nats(x: float | None, like: float | None = None) -> str:
    """Return a change of a loss with its sign, in three digits."""
    if x is None:
        return "–"
    sign = words.MINUS if x < 0 else "+" if x > 0 else ""
    return sign + (words.number(abs(x), None if like is None else abs(like)) if x else "0")


def _figures(result: dict[str, Any]) -> dict[str, str]:
    of: Any = result
    drawn = {"flips": _svg(_flips, of)}
    if result["kl"]["curve"][-1]["value"] != 0:
        drawn["divergence"] = _svg(_divergence, of)
    return drawn


def _divergence(axes: Any, result: Any) -> str:
    lines = (
        ("kl", _AFTER, "-", "base ‖ other"),
        ("reverse_kl", _BEFORE, (0, (4, 1.5)), "other ‖ base"),
    )
    for name, colour, style, label in lines:
        points = [(p["value"], p["share"]) for p in result[name]["curve"] if p["value"]]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, label=label)
    axes.set_xscale("log")
    axes.set(
        ylim=(0, 1.02), xlabel="KL of a row, nats", ylabel="share of rows with at most so much"
    )
    axes.legend(loc="lower right")
    _percent_axis(axes.yaxis)
    return (
        "Share of the rows whose divergence is at most so large; half of them are below "
        f"{words.number(result['kl']['curve'][len(result['kl']['curve']) // 2]['value'])} nats."
    )


def _flips(axes: Any, result: Any) -> str:
    table = {name: np.array(x, float) for name, x in result["by_confidence"].items()}
    some = table["rows"] > 0
    share = table["flips"][some] / table["rows"][some]
    lower, upper = table["lower"][some], table["upper"][some]
    axes.bar((lower + upper) / 2, share, 0.9 * (upper - lower), color=_AFTER, alpha=0.5)
    axes.plot([0, 1], [0, 0], color=_FAINT, linewidth=1)
    axes.set(
        xlim=(0, 1), ylim=(0, max(1e-3, 1.1 * share.max())), xlabel="confidence of the base",
        ylabel="share of rows with another winner",
    )  # fmt: skip
    _percent_axis(axes.xaxis)
    decimals = 0 if share.max() > 0.05 else 1 if share.max() > 0.005 else 2
    axes.yaxis.set_major_formatter(_percents(decimals))
    return (
        f"Share of rows whose winner changes, by the confidence of the base, in {some.sum()} bins."
    )


def _percents(decimals: int) -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=decimals, symbol=" %")
