"""The report as one page of HTML that needs nothing else."""

from importlib.resources import files

import jinja2

from . import verdict, words
from .figures import figures
from .result import Report

_MOST = 50  # classes that the table shows


def page(result: Report) -> str:
    """Return the page of these numbers."""
    source = files(__package__).joinpath("template.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            "certainty",
            "interval",
            "nats",
            "number",
            "percent",
            "points",
            "shortened",
            "signed_nats",
            "signed_points",
        )
    }
    reading = result["reading"]
    return environment.from_string(source).render(
        dict(result),
        figures=figures(result),
        good=verdict.good(result),
        honest=verdict.honest(result),
        most=_MOST,
        notices=[] if reading is None else reading["notices"],
        reading_lines=[] if reading is None else reading["lines"],
        names=_NAMES,
        words=words,
    )


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
