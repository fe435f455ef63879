"""Chapter 9: logits in the frameworks: what from_logits decides, what a logit is there, and how to translate a call."""

from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import Chapter, Choice, Measured, Number, Numbers, Switch

chapter = Chapter(__name__, number=9)

TRUE = 1  # the index of the true class: the second

# ---------------------------------------------------------------- from_logits


def _keras(given: Any) -> tuple[Any, Any]:
    """Keras's loss of what it takes for probabilities, and the gradient to them: eager, in float32.

    They are divided by their sum and clipped; what is clipped has no gradient.
    """
    share = given / given.sum()
    clipped = np.clip(share, 1e-7, 1 - 1e-7)
    if not np.isfinite(share).all():
        return -np.log(clipped[TRUE]), np.full_like(given, np.nan)
    gradient = np.zeros_like(given)
    if share[TRUE] == clipped[TRUE]:
        gradient += 1 / given.sum()
        gradient[TRUE] -= 1 / given[TRUE]
    return -np.log(clipped[TRUE]), gradient


def _cell(x: Any, softmax: bool, from_logits: bool) -> tuple[Any, Any]:
    """The loss of logits x, and its gradient to them."""
    given = sigmax.softmax(x) if softmax else x
    if from_logits:
        loss, gradient = sigmax.value_and_grad(sigmax.cross_entropy)(given, TRUE)
    else:
        with np.errstate(all="ignore"):
            loss, gradient = _keras(given)
    return loss, sigmax.vjp(sigmax.softmax, x, gradient) if softmax else gradient


FAR = [200.0, 0.0]
NEAR = [2.0, 1.0, -1.0]


@chapter.figure(
    prints="loss",
    presets={
        "fused": {"x": FAR, "softmax": False, "from_logits": True},
        "far": {"x": FAR, "softmax": True, "from_logits": False},
        "forgotten": {"x": NEAR, "softmax": False, "from_logits": False},
        "negative": {"x": [-2.0, -1.0, -3.0], "softmax": False, "from_logits": False},
        "twice": {"x": NEAR, "softmax": True, "from_logits": True},
    },
    softmax=Switch(True),
    from_logits=Switch(False),
    x=Numbers(-200.0, 200.0, 0.5, NEAR, shortest=2, longest=3),
)
def switches(softmax: bool, from_logits: bool, x: list[float]) -> dict[str, Any]:
    """Two switches, four losses of the same logits."""
    logits = np.array(x, np.float32)
    cells = {
        (model, told): _cell(logits, model, told)
        for model in (False, True)
        for told in (False, True)
    }
    loss, gradient = cells[softmax, from_logits]
    right = cells[False, True][0]
    given = "sigmax.softmax(x)" if softmax else "x"
    lines = (
        [f"print(sigmax.cross_entropy({given}, {TRUE}))"]
        if from_logits
        else [
            f"p = {given}; p = np.clip(p / p.sum(), 1e-7, 1 - 1e-7)  # as Keras does",
            f"print(-np.log(p[{TRUE}]))",
        ]
    )
    return {
        "cells": [
            {
                "softmax": model,
                "from_logits": told,
                "loss": value,
                "gradient": slope,
                "agrees": bool(np.isclose(value, right, rtol=1e-4)),
            }
            for (model, told), (value, slope) in cells.items()
        ],
        "loss": loss,
        "right": right,
        "pull": gradient[TRUE],
        "python": "\n".join(["import numpy as np, sigmax", f"x = np.float32({x})", *lines]),
    }


@chapter.prediction(low=0.0, high=200.0, step=1.0)
def eager() -> float:
    """Keras's loss of probabilities that have run into 0."""
    return float(_cell(np.array(FAR, np.float32), softmax=True, from_logits=False)[0])


# ---------------------------------------------------------------- softmax twice


def _rows(ahead: Any, classes: int) -> Any:
    """Logits whose first class is so much ahead of the others."""
    rows = np.zeros((len(ahead), classes))
    rows[:, 0] = ahead
    return rows


def _twice(rows: Any) -> Any:
    first = np.zeros(len(rows), int)
    return sigmax.cross_entropy(sigmax.softmax(rows), first, reduction="none")


def _floor(classes: Any) -> Any:
    return np.log(np.e + classes - 1) - 1


@chapter.figure(
    prints="twice",
    presets={
        "two": {"C": 2.0, "d": 30.0},
        "ten": {"C": 10.0, "d": 30.0},
        "thousand": {"C": 1000.0, "d": 30.0},
        "wrong": {"C": 10.0, "d": -10.0},
    },
    C=Number(2.0, 1000.0, 1.0, 10.0),
    d=Number(-10.0, 30.0, 0.5, 12.0),
)
def floors(C: float, d: float) -> dict[str, Any]:  # noqa: N803
    """The loss with one softmax and with two, against how far the true class is ahead."""
    classes = int(C)
    ahead = np.linspace(-10, 30, 81)
    rows, here = _rows(ahead, classes), _rows([d], classes)
    return {
        "ahead": ahead,
        "onces": sigmax.cross_entropy(rows, np.zeros(len(rows), int), reduction="none"),
        "twices": _twice(rows),
        "once": sigmax.cross_entropy(here[0], 0),
        "twice": _twice(here)[0],
        "floor": _floor(classes),
        "most": np.e / (np.e + classes - 1),
        "python": f"import numpy as np, sigmax\nx = np.zeros({classes}); x[0] = {d}\n"
        "print(sigmax.cross_entropy(sigmax.softmax(x), 0))",
    }


@chapter.prediction(low=0.0, high=8.0, step=0.1)
def lowest() -> float:
    """The loss of a model of a thousand classes that is sure and right, with a softmax too many."""
    return float(_twice(_rows([1000.0], 1000))[0])


# ---------------------------------------------------------------- what a logit is


def _log_probabilities(head: str, x: Any) -> Any:
    return sigmax.log_softmax(x) if head == "softmax" else sigmax.log_sigmoid(x)


def _probabilities(head: str, x: Any) -> Any:
    return sigmax.softmax(x) if head == "softmax" else sigmax.sigmoid(x)


@chapter.figure(
    prints="log_1",
    presets={
        "softmax": {"head": "softmax"},
        "sigmoid": {"head": "sigmoid"},
        "shifted": {"head": "softmax", "shift": 2.0},
        "pair": {"head": "softmax", "x": [2.0, 0.0]},
    },
    head=Choice(("softmax", "sigmoid"), "softmax"),
    x=Numbers(-4.0, 4.0, 0.1, NEAR, shortest=2, longest=3),
    shift=Number(-4.0, 4.0, 0.1, 0.0),
)
def names(head: str, x: list[float], shift: float) -> dict[str, Any]:
    """What is called logits, beside ln p and logit(p)."""
    scores = [round(score + shift, 10) for score in x]
    logs, p = _log_probabilities(head, scores), _probabilities(head, scores)
    logits = sigmax.logit(p)
    function = f"log_{head}"
    return {
        "scores": scores,
        "logs": logs,
        "logits": logits,
        "score_1": scores[0],
        "log_1": logs[0],
        "logit_1": logits[0],
        "spread_log": np.ptp(scores - logs),
        "apart_logit": np.abs(scores - logits).max(),
        "python": f"import sigmax\nx = {scores}\nprint(sigmax.{function}(x)[0])",
    }


# ---------------------------------------------------------------- reduction

SAMPLES = np.array([[2.0, 1.0, -1.0], [0.0, 1.0, 3.0], [1.0, -0.5, 0.5], [-1.0, 2.0, 1.5]])
CLASSES = np.array([0, 2, 1, 2])

_OPTIONS = {
    "auto": f", normalizer={len(SAMPLES)}",
    "sum_over_batch_size": f", normalizer={len(SAMPLES)}",
    "mean_with_sample_weight": "",
    "sum": ', reduction="sum"',
}


def _reduced(reduction: str, weights: Any) -> Any:
    options: dict[str, Any] = {"sample_weight": weights}
    if reduction == "sum":
        options["reduction"] = "sum"
    elif reduction != "mean_with_sample_weight":
        options["normalizer"] = len(SAMPLES)
    return sigmax.cross_entropy(SAMPLES, CLASSES, **options)


@chapter.figure(
    prints="result",
    presets={
        "auto": {"reduction": "auto"},
        "heavy": {"reduction": "sum_over_batch_size", "s": 3.0},
        "fair": {"reduction": "mean_with_sample_weight", "s": 3.0},
        "without": {"reduction": "mean_with_sample_weight", "s": 0.0},
    },
    reduction=Choice(tuple(_OPTIONS), "auto"),
    s=Number(0.0, 4.0, 0.1, 1.0),
)
def reductions(reduction: str, s: float) -> dict[str, Any]:
    """Four losses, the last with a weight, and what a reduction makes of them."""
    weights = [1.0, 1.0, 1.0, s]
    return {
        "losses": sigmax.cross_entropy(SAMPLES, CLASSES, sample_weight=weights, reduction="none"),
        "result": _reduced(reduction, weights),
        "divisor": {"sum": 1.0, "mean_with_sample_weight": sum(weights)}.get(
            reduction, float(len(SAMPLES))
        ),
        "python": "import sigmax\n"
        f"x, y, s = {SAMPLES.tolist()}, {CLASSES.tolist()}, {weights}\n"
        f"print(sigmax.cross_entropy(x, y, sample_weight=s{_OPTIONS[reduction]}))",
    }


# ---------------------------------------------------------------- claims


@chapter.claim("T*", figure="switches", preset="fused")
def adds_a_softmax() -> list[Measured]:
    """The same value where the probabilities can be written; no probabilities on the way."""
    x = np.random.default_rng(9).normal(0, 3, (5000, 10))
    label = np.zeros(len(x), int)
    fused = sigmax.cross_entropy(x, label, reduction="none")
    far = np.array(FAR, np.float32)
    return [
        Measured('"near"', np.abs(fused + np.log(sigmax.softmax(x)[:, 0])).max(), "≤", 1e-13),
        Measured('"gone"', float(sigmax.softmax(far)[TRUE]), "=", 0),
        Measured('"fused"', float(sigmax.cross_entropy(far, TRUE)), "=", 200),
    ]


@chapter.claim("F", figure="switches", preset="far")
def same_either_way() -> list[Measured]:
    """Keras clips what has run into 0 and passes no gradient; not clipped, it is inf."""
    far = np.array(FAR, np.float32)
    loss, gradient = _cell(far, softmax=True, from_logits=False)
    right, pull = _cell(far, softmax=False, from_logits=True)
    unclipped = sigmax.cross_entropy(sigmax.softmax(far), TRUE, from_logits=False)
    return [
        Measured('"fused"', float(right), "=", 200),
        Measured('"fused_gradient"', float(pull[TRUE]), "=", -1),
        Measured('"clipped"', float(loss), "<", 16.2),
        Measured('"clipped_gradient"', np.abs(gradient).max(), "=", 0),
        Measured('"unclipped"', float(unclipped), "=", np.inf),
    ]


@chapter.claim("F", figure="switches", preset="forgotten")
def noticed() -> list[Measured]:
    """Keras divides by the sum and clips, whatever it is given; sigmax refuses."""
    x = np.array(NEAR, np.float32)
    try:
        sigmax.cross_entropy(x, TRUE, from_logits=False)
        refused = 0
    except ValueError:
        refused = 1
    return [
        Measured('"mistaken"', float(_cell(x, softmax=False, from_logits=False)[0]), "<", 0.7),
        Measured('"right"', float(sigmax.cross_entropy(x, TRUE)), ">", 1.3),
        Measured('"refused"', refused, "=", 1),
    ]


@chapter.claim("F", figure="floors", preset="thousand")
def double_softmax() -> list[Measured]:
    """What the second softmax sees lies in [0, 1], so its odds are e at most."""
    sure = {classes: _twice(_rows([1000.0], classes))[0] for classes in (2, 3, 10, 1000)}
    return [
        *(Measured(f"C = {classes}", float(loss), ">", 0) for classes, loss in sure.items()),
        Measured(
            '"formula"',
            max(abs(loss - _floor(classes)) for classes, loss in sure.items()),
            "≤",
            1e-14,
        ),
    ]


@chapter.claim("T*", figure="names", preset="shifted")
def unnormalized_log_probabilities() -> list[Measured]:
    """One constant is missing for softmax; for the sigmoid no constant would do."""
    x = np.random.default_rng(9).normal(0, 2, (5000, 4))
    gap = x - sigmax.log_softmax(x)
    single = np.linspace(-5, 5, 101)
    return [
        Measured('"softmax"', np.ptp(gap, axis=-1).max(), "≤", 1e-14),
        Measured(
            "max |x_j − ln p_j − logsumexp(x)|",
            np.abs(gap - sigmax.logsumexp(x)[:, None]).max(),
            "≤",
            1e-14,
        ),
        Measured('"sigmoid"', np.ptp(single - sigmax.log_sigmoid(single)), ">", 4.9),
        Measured(
            "max |x − logit(σ(x))|",
            np.abs(single - sigmax.logit(sigmax.sigmoid(single))).max(),
            "≤",
            1e-13,
        ),
    ]


@chapter.claim("T*", figure="names", preset="softmax")
def called_logits() -> list[Measured]:
    """The logit of p_j is x_j against all the others together."""
    x = np.random.default_rng(9).normal(0, 2, (5000, 4))
    logit = sigmax.logit(sigmax.softmax(x))
    others = np.where(np.eye(4, dtype=bool), -np.inf, x[:, None, :])
    pair = x[:, :2]
    return [
        Measured('"apart"', np.abs(x - logit).max(), ">", 1),
        Measured('"others"', np.abs(logit - (x - sigmax.logsumexp(others))).max(), "≤", 1e-10),
        Measured(
            '"pair"',
            np.abs(sigmax.logit(sigmax.softmax(pair)[:, 0]) - (pair[:, 0] - pair[:, 1])).max(),
            "≤",
            1e-10,
        ),
    ]


@chapter.claim("O", figure="reductions", preset="auto")
def old_signature() -> list[Measured]:
    """AUTO was the sum over the size of the batch; the name is gone, and sigmax never had it."""
    losses = sigmax.cross_entropy(SAMPLES, CLASSES, reduction="none")
    weights = [1.0, 1.0, 1.0, 3.0]
    try:
        sigmax.cross_entropy(SAMPLES, CLASSES, reduction="auto")  # type: ignore[arg-type]
        refused = 0
    except ValueError:
        refused = 1
    gap = _reduced("sum_over_batch_size", weights) - _reduced("mean_with_sample_weight", weights)
    return [
        Measured('"auto"', abs(_reduced("auto", np.ones(4)) - losses.sum() / 4), "≤", 1e-15),
        Measured('"weights"', abs(gap), ">", 0.1),
        Measured('"refused"', refused, "=", 1),
    ]
