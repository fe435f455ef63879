"""Chapter 5: two classes from one number: what is fed, what a network learns, and what a bias can do."""

import functools
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import Chapter, Choice, Measured, Number

chapter = Chapter(__name__, number=5)

SCORE = {"low": -5.0, "high": 5.0, "step": 0.1}


# ---------------------------------------------------------------- one formula for both classes


@chapter.figure(
    prints="total_written",
    presets={
        "too_much": {"a": 2.5, "b": 1.0},
        "too_little": {"a": 1.0, "b": 2.5},
        "tie": {"a": 1.0, "b": 1.0},
    },
    a=Number(**SCORE, start=2.0),
    b=Number(**SCORE, start=1.0),
)
def written(a: float, b: float) -> dict[str, Any]:
    """Two classes that both get σ(a − b), beside two that get σ(a − b) and σ(b − a)."""
    x = round(a - b, 10)
    p_a, p_b = sigmax.sigmoid(x), sigmax.sigmoid(-x)
    return {
        "p_a": p_a,
        "p_b": p_b,
        "total_written": p_a + p_a,
        "total": p_a + p_b,
        "python": f"import sigmax\np = sigmax.sigmoid(round({a} - {b}, 10))\nprint(p + p)",
    }


@chapter.prediction(low=0.0, high=2.0, step=0.01)
def total_of_both() -> float:
    """Both classes get σ(a − b), at a − b = 1.5."""
    return float(2 * sigmax.sigmoid(1.5))


# ---------------------------------------------------------------- what is fed


@chapter.figure(
    prints="p_a",
    presets={
        "difference": {"a": 2.0, "b": 1.0, "fed": "difference"},
        "only_a": {"a": 2.0, "b": 1.0, "fed": "only_a"},
        "reference": {"a": 2.0, "b": 0.0, "fed": "only_a"},
    },
    fed=Choice(("difference", "only_a"), "difference"),
    a=Number(**SCORE, start=2.0),
    b=Number(**SCORE, start=1.0),
)
def fed(fed: str, a: float, b: float) -> dict[str, Any]:
    """The pair σ(x), σ(−x) for x = a − b or x = a, and the softmax of (a, b)."""
    difference = round(a - b, 10)
    x = difference if fed == "difference" else a
    xs = np.linspace(-10, 10, 201)
    return {
        "x": x,
        "difference": difference,
        "p_a": sigmax.sigmoid(x),
        "p_b": sigmax.sigmoid(-x),
        "total": sigmax.sigmoid(x) + sigmax.sigmoid(-x),
        "wanted": sigmax.softmax([a, b])[0],
        "xs": xs,
        "ps": sigmax.sigmoid(xs),
        "python": f"import sigmax\nx = {x}\nprint(sigmax.sigmoid(x))",
    }


# ---------------------------------------------------------------- two logits or one, trained

COUNT, STEPS = 60, 40
DECAY = 0.2


@functools.cache
def _points() -> tuple[Any, Any]:
    """Points with a constant 1 beside them, and whether they are of class a."""
    random = np.random.default_rng(0)
    points = np.column_stack([random.normal(0, [1.5, 0.6], (COUNT, 2)), np.ones(COUNT)])
    return points, random.random(COUNT) < sigmax.sigmoid(points @ [1.2, -2.0, 0.5])


_two_loss = sigmax.value_and_grad(sigmax.cross_entropy)
_one_loss = sigmax.value_and_grad(sigmax.binary_cross_entropy)


def _train_two(start: Any, rate: float, decay: float, steps: int) -> tuple[Any, Any]:
    """Gradient descent with a logit per class: the weights (a in column 0) and the loss at every step."""
    points, is_a = _points()
    labels, w = np.where(is_a, 0, 1), start
    weights, losses = np.empty((steps + 1, 3, 2)), np.empty(steps + 1)
    for i in range(steps + 1):
        weights[i] = w
        losses[i], gradient = _two_loss(points @ w, labels)
        w = w - rate * (points.T @ gradient + decay * w)
    return weights, losses


def _train_one(start: Any, rate: float, decay: float, steps: int) -> tuple[Any, Any]:
    """Gradient descent with one logit for class a: the weights and the loss at every step."""
    points, is_a = _points()
    w = start
    weights, losses = np.empty((steps + 1, 3)), np.empty(steps + 1)
    for i in range(steps + 1):
        weights[i] = w
        losses[i], gradient = _one_loss(points @ w, is_a)
        w = w - rate * (points.T @ gradient + decay * w)
    return weights, losses


_TRAINING = """import numpy as np, sigmax
random = np.random.default_rng(0)
points = np.column_stack([random.normal(0, [1.5, 0.6], ({count}, 2)), np.ones({count})])
is_a = random.random({count}) < sigmax.sigmoid(points @ [1.2, -2.0, 0.5])
two_loss = sigmax.value_and_grad(sigmax.cross_entropy)
one_loss = sigmax.value_and_grad(sigmax.binary_cross_entropy)
two, one, gap = np.zeros((3, 2)), np.zeros(3), 0.0
for _ in range({steps}):
    two = two - {rate} * (points.T @ two_loss(points @ two, np.where(is_a, 0, 1))[1] + {decay_two} * two)
    one = one - {rate_one} * (points.T @ one_loss(points @ one, is_a)[1] + {decay_one} * one)
    gap = max(gap, np.abs(two[:, 0] - two[:, 1] - one).max())
print(gap)"""


@chapter.figure(
    prints="gap",
    presets={
        "equal_rates": {"factor": 1.0},
        "twice": {"factor": 2.0},
        "same_decay": {"factor": 2.0, "decay": "same"},
        "half_decay": {"factor": 2.0, "decay": "half"},
    },
    factor=Number(0.5, 3.0, 0.1, 1.0),
    rate=Number(0.1, 1.5, 0.1, 0.5),
    decay=Choice(("none", "same", "half"), "none"),
)
def training(factor: float, rate: float, decay: str) -> dict[str, Any]:
    """A model with two logits and one with a single logit, trained side by side."""
    decay_two = 0.0 if decay == "none" else DECAY
    decay_one = decay_two / 2 if decay == "half" else decay_two
    two, loss_two = _train_two(np.zeros((3, 2)), rate, decay_two, STEPS)
    one, loss_one = _train_one(np.zeros(3), factor * rate, decay_one, STEPS)
    differences = two[:, :, 0] - two[:, :, 1]
    return {
        "steps": np.arange(STEPS + 1),
        "losses_two": loss_two,
        "losses_one": loss_one,
        "path_two": differences.T,
        "path_one": one.T,
        "loss_two": loss_two[-1],
        "loss_one": loss_one[-1],
        "gap": np.abs(differences - one).max(),
        "python": _TRAINING.format(
            count=COUNT,
            steps=STEPS,
            rate=rate,
            rate_one=factor * rate,
            decay_two=decay_two,
            decay_one=decay_one,
        ),
    }


@chapter.prediction(low=0.0, high=5.0, step=0.1)
def faster() -> float:
    """The first step of w_a − w_b over that of w, at equal rates."""
    two, _ = _train_two(np.zeros((3, 2)), 1.0, 0.0, 1)
    one, _ = _train_one(np.zeros(3), 1.0, 0.0, 1)
    return float(round((two[1, 0, 0] - two[1, 0, 1]) / one[1, 0], 12))


# ---------------------------------------------------------------- a constant for b

FIRST = (2.0, 2.0)  # a and b of the first sample
SECOND_A = 4.0


def _miss(a: float, b: float, c: Any) -> Any:
    """How far σ(a + c) is from σ(a − b)."""
    return np.abs(sigmax.sigmoid(a + c) - sigmax.sigmoid(a - b))


@functools.cache
def _best_constant(b: float) -> tuple[float, float]:
    """The c whose worse miss is least, on a grid of thousandths, and that miss."""
    c = np.linspace(-10, 2, 12_001)
    worse = np.maximum(_miss(*FIRST, c), _miss(SECOND_A, b, c))
    return float(c[worse.argmin()]), float(worse.min())


@chapter.figure(
    prints="worse",
    presets={
        "different": {"b": 5.0, "c": -3.6},
        "first_only": {"b": 5.0, "c": -2.0},
        "second_only": {"b": 5.0, "c": -5.0},
        "same": {"b": 2.0, "c": -2.0},
    },
    c=Number(-9.0, 1.0, 0.05, -2.0),
    b=Number(0.0, 8.0, 0.1, 5.0),
)
def constant(c: float, b: float) -> dict[str, Any]:
    """One constant in place of −b, for two samples whose b differ."""
    cs = np.linspace(-9, 1, 201)
    first, second = _miss(*FIRST, c), _miss(SECOND_A, b, c)
    return {
        "first": first,
        "second": second,
        "worse": np.maximum(first, second),
        "least": _best_constant(b)[1],
        "cs": cs,
        "firsts": _miss(*FIRST, cs),
        "seconds": _miss(SECOND_A, b, cs),
        "python": "import numpy as np, sigmax\n"
        f"a, b, c = np.array([{FIRST[0]}, {SECOND_A}]), np.array([{FIRST[1]}, {b}]), {c}\n"
        "print(np.abs(sigmax.sigmoid(a + c) - sigmax.sigmoid(a - b)).max())",
    }


# ---------------------------------------------------------------- a constant for the prior

PRIOR_STEPS = 60


@chapter.figure(
    prints="loss",
    presets={
        "zero": {"c": 0.0, "prior": 0.03},
        "logit": {"c": -3.48, "prior": 0.03},
        "balanced": {"c": 0.0, "prior": 0.5},
        "mostly": {"c": 0.0, "prior": 0.9},
    },
    c=Number(-6.0, 6.0, 0.01, 0.0),
    prior=Number(0.01, 0.99, 0.01, 0.03),
)
def first_loss(c: float, prior: float) -> dict[str, Any]:
    """The loss of a model that knows nothing but its bias, and how it goes on from there."""
    cs = np.linspace(-6, 6, 241)
    walk = np.empty(PRIOR_STEPS + 1)
    walk[0] = c
    for i in range(PRIOR_STEPS):
        walk[i + 1] = walk[i] - (sigmax.sigmoid(walk[i]) - prior)
    return {
        "loss": sigmax.binary_cross_entropy(c, prior),
        "least": sigmax.binary_cross_entropy(sigmax.logit(prior), prior),
        "best": sigmax.logit(prior),
        "cs": cs,
        "losses": sigmax.binary_cross_entropy(cs, np.full(241, prior), reduction="none"),
        "steps": np.arange(PRIOR_STEPS + 1),
        "walk": sigmax.binary_cross_entropy(
            walk, np.full(PRIOR_STEPS + 1, prior), reduction="none"
        ),
        "python": f"import sigmax\nprint(sigmax.binary_cross_entropy({c}, {prior}))",
    }


@chapter.prediction(low=-6.0, high=6.0, step=0.05)
def best_bias() -> float:
    """The bias of a model that should say 3 % whatever it sees."""
    return float(sigmax.logit(0.03))


# ---------------------------------------------------------------- claims


@chapter.claim("F", figure="written", preset="too_much")
def for_both() -> list[Measured]:
    """With one formula for both the sum is 2σ(a − b); with the sign changed for the second it is 1."""
    a, b = np.random.default_rng(1).normal(0, 3, (2, 100_000))
    p = sigmax.softmax(np.stack([a, b], axis=-1))
    both = sigmax.sigmoid(a - b) + sigmax.sigmoid(b - a)
    return [
        Measured("σ(1.5) + σ(1.5)", float(2 * sigmax.sigmoid(1.5)), ">", 1.6),
        Measured("max |σ(a−b) + σ(b−a) − 1|", np.abs(both - 1).max(), "≤", 3e-16),
        Measured("max |p_a − σ(a−b)|", np.abs(p[:, 0] - sigmax.sigmoid(a - b)).max(), "≤", 1e-15),
        Measured("max |p_b − σ(b−a)|", np.abs(p[:, 1] - sigmax.sigmoid(b - a)).max(), "≤", 1e-15),
    ]


@chapter.claim("F", figure="fed", preset="only_a")
def feed_difference() -> list[Measured]:
    """Any x gives a distribution: that of the scores x and 0."""
    x = np.random.default_rng(2).normal(0, 6, 100_000)
    pair = np.stack([sigmax.sigmoid(x), sigmax.sigmoid(-x)], axis=-1)
    reference = sigmax.softmax(np.stack([x, np.zeros_like(x)], axis=-1))
    return [
        Measured("min(σ(x), σ(−x))", pair.min(), ">", 0),
        Measured("max |σ(x) + σ(−x) − 1|", np.abs(pair.sum(axis=1) - 1).max(), "≤", 3e-16),
        Measured(
            "max |(σ(x), σ(−x)) − softmax([x, 0])|", np.abs(pair - reference).max(), "≤", 3e-16
        ),
    ]


@chapter.claim("T*", figure="training", preset="twice")
def learns_normalisation() -> list[Measured]:
    """Two thousand steps side by side: from zeros, from random weights, and with weight decay."""
    random = np.random.default_rng(7)

    def apart(begin: Any, factor: float, decay: float, decay_one: float) -> tuple[float, Any]:
        two, _ = _train_two(begin, 0.5, decay, 2000)
        one, _ = _train_one(begin[:, 0] - begin[:, 1], factor * 0.5, decay_one, 2000)
        return float(np.abs(two[:, :, 0] - two[:, :, 1] - one).max()), two

    zeros, anywhere = np.zeros((3, 2)), random.normal(0, 1, (3, 2))
    from_anywhere, two = apart(anywhere, 2, 0, 0)
    total = two.sum(axis=2)
    return [
        Measured('"zeros"', apart(zeros, 2, 0, 0)[0], "≤", 1e-13),
        Measured('"anywhere"', from_anywhere, "≤", 1e-13),
        Measured('"total"', np.abs(total - total[0]).max(), "≤", 1e-13),
        Measured('"equal"', apart(zeros, 1, 0, 0)[0], ">", 0.1),
        Measured('"same decay"', apart(zeros, 2, DECAY, DECAY)[0], ">", 0.1),
        Measured('"half decay"', apart(zeros, 2, DECAY, DECAY / 2)[0], "≤", 1e-13),
    ]


@chapter.claim("F", figure="constant", preset="different")
def bias_minus_b() -> list[Measured]:
    """Two samples with different b: the best constant still misses by a third. With the same b it is right."""
    return [
        Measured('"different"', _best_constant(5.0)[1], ">", 0.33),
        Measured('"same"', max(_miss(*FIRST, -2.0), _miss(SECOND_A, 2.0, -2.0)), "=", 0),
    ]


@chapter.claim("T", figure="first_loss", preset="logit")
def bias_of_prior() -> list[Measured]:
    """The least loss is the entropy of the prior, and it is reached at its logit."""
    prior = 0.03
    best = float(sigmax.logit(prior))
    labels = np.repeat([1, 0], [30, 970])
    c = np.linspace(-6, 6, 120_001)
    losses = sigmax.binary_cross_entropy(c, np.full(c.shape, prior), reduction="none")
    begin = float(sigmax.binary_cross_entropy(np.full(1000, best), labels))
    return [
        Measured(
            '"nothing"', float(sigmax.binary_cross_entropy(np.zeros(1000), labels)), ">", 0.693
        ),
        Measured('"begin"', begin, "<", 0.1348),
        Measured(
            '"entropy"',
            abs(begin - float(sigmax.entropy([prior, 1 - prior], from_logits=False))),
            "≤",
            1e-15,
        ),
        Measured('"grid"', abs(c[losses.argmin()] - best), "≤", 1e-4),
    ]
