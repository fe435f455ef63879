"""The report as one page of HTML that needs nothing else."""

import jinja2

from . import verdict, words
from .figures import figures
from .result import Report

_MOST = 50  # classes that the table shows


def environment_of_pages() -> jinja2.Environment:
    """Return what pages are rendered in: their templates are the HTML files of this package."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sigmax.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def page(result: Report) -> str:
    """Return the page of these numbers."""
    environment = environment_of_pages()
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            "certainty",
            "interval",
            "nats",
            "number",
            "percent",
            "points",
            "short",
            "shortened",
            "signed_short",
            "signed_nats",
            "signed_points",
        )
    }
    environment.filters["apply"] = lambda x, shape: shape(x)
    reading, after = result["reading"], result["after"] is not None
    return environment.get_template("template.html").render(
        dict(result),
        figures=figures(result),
        good=verdict.good(result),
        honest=verdict.honest(result),
        most=_MOST,
        contents=_contents(result),
        last="after" if after else "before",
        remarks=verdict.remarks(result),
        sides_shown=["before", "after"] if after else ["before"],
        notices=[] if reading is None else reading["notices"],
        reading_lines=[] if reading is None else reading["lines"],
        names=_NAMES,
        words=words,
    )


def _contents(result: Report) -> list[tuple[str, str]]:
    """Return the anchors and names of the sections that the page has."""
    parts = result["parts"]
    sections = {
        "kept": ("Conditions", result["conditions"]),
        "use": ("To use it", result["apply_commands"]),
        "honesty": ("Confidence and accuracy", True),
        "binary": ("Yes or no", parts["binary"]),
        "decisions": ("Decisions", True),
        "sets": ("Sets of classes", parts["sets"]),
        "errors": ("What the errors are made of", True),
        "slices": ("Slices", parts["slices"]),
        "by-class": ("Labels" if result["labels"] else "Classes", True),
        "all": ("All numbers", True),
        "reading": ("How the files were read", result["reading"]),
        "rules": ("Rules", True),
        "again": ("How to make it again", True),
    }
    return [(anchor, name) for anchor, (name, shown) in sections.items() if shown]


_NAMES = {
    "accuracy": "Accuracy",
    "nll": "Negative log-likelihood (NLL)",
    "brier": "Brier score",
    "ece": "Expected calibration error (ECE)",
    "adaptive_ece": "Adaptive ECE",
    "classwise_ece": "Classwise ECE",
    "mce": "Maximum calibration error",
    "debiased_ece": "Debiased calibration error",
    "null_ece": "Null ECE",
}
