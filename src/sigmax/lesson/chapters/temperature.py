"""Chapter 7: temperature: what it does to a distribution, what it is not, and what it is good for."""

import functools
import math
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.chapters.softmax import MEANS, PRIORS, log_joints, numbered
from sigmax.lesson.model import Chapter, Choice, Measured, Number, Numbers, Switch

chapter = Chapter(__name__, number=7)

SCORES = [4.0, 2.0, 1.0, -1.0]


def _ratio(x: Any, temperature: Any) -> Any:
    """p_max/p_min, which is inf where p_min is 0."""
    p = sigmax.softmax(x, temperature=temperature)
    with np.errstate(divide="ignore"):
        return p.max(axis=-1) / p.min(axis=-1)


# ---------------------------------------------------------------- hot and cold


@chapter.figure(
    prints="p",
    presets={
        "cold": {"temperature": 0.3},
        "double": {"temperature": 2.0},
        "hot": {"temperature": 10.0},
        "close": {"x": [1.2, 1.0, 0.9, 0.8], "temperature": 0.05},
    },
    temperature=Number(0.05, 10.0, 0.05, 1.0),
    x=Numbers(-6.0, 6.0, 0.1, SCORES),
)
def heat(temperature: float, x: list[float]) -> dict[str, Any]:
    """Softmax at a temperature, and how many times the least probability the greatest is."""
    p = sigmax.softmax(x, temperature=temperature)
    return {
        "p": p,
        "τ": temperature,
        "range": round(max(x) - min(x), 10),
        "ratio": _ratio(x, temperature),
        "entropy": sigmax.entropy(x, temperature=temperature),
        "python": f"import sigmax\nx = {x}\nprint(*sigmax.softmax(x, temperature={temperature}))",
    }


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def twice_as_hot() -> float:
    """The first probability when the temperature goes from 1 to 2."""
    return float(sigmax.softmax(SCORES, temperature=2.0)[0])


TEMPERATURES = np.linspace(0.05, 10, 200)


def _entropy_slope(x: Any, temperature: Any) -> Any:
    """Var(x)/τ³, the variance taken with the probabilities at τ."""
    x = np.asarray(x, np.float64)
    p = sigmax.softmax(x, temperature=temperature)
    mean = (p * x).sum(axis=-1, keepdims=True)
    return (p * (x - mean) ** 2).sum(axis=-1) / np.asarray(temperature) ** 3


@chapter.figure(
    prints="entropy",
    presets={
        "steepest": {"temperature": 0.8},
        "two": {"x": [2.0, 2.0, -4.0, -4.0], "temperature": 1.5},
        "equal": {"x": [1.0, 1.0, 1.0, 1.0]},
    },
    temperature=Number(0.1, 10.0, 0.05, 2.0),
    x=Numbers(-6.0, 6.0, 0.1, SCORES, sliders=False),
)
def disorder(temperature: float, x: list[float]) -> dict[str, Any]:
    """The entropy of the distribution at every temperature, with its tangent."""
    every = np.tile(x, (len(TEMPERATURES), 1))
    return {
        "p": sigmax.softmax(x, temperature=temperature),
        "temperatures": TEMPERATURES,
        "entropies": sigmax.entropy(every, temperature=TEMPERATURES),
        "τ": temperature,
        "entropy": sigmax.entropy(x, temperature=temperature),
        "slope": _entropy_slope(x, temperature),
        "most": math.log(len(x)),
        "ratio": _ratio(x, temperature),
        "python": f"import sigmax\nx = {x}\nprint(sigmax.entropy(x, temperature={temperature}))",
    }


# ---------------------------------------------------------------- towards 0

POWERS = np.linspace(-3, 2, 251)


@chapter.figure(
    prints="p",
    presets={
        "tie": {"power": -3.0},
        "nearly": {"x": [3.0, 2.9, 1.0], "power": -3.0},
        "one": {"x": [3.0, 1.0, -1.0], "power": -3.0},
        "all": {"x": [2.0, 2.0, 2.0], "power": -3.0},
    },
    power=Number(-3.0, 2.0, 0.05, 0.0),
    x=Numbers(-3.0, 3.0, 0.1, [3.0, 3.0, 1.0]),
)
def cooling(power: float, x: list[float]) -> dict[str, Any]:
    """Three probabilities at every temperature from 0.001 to 100."""
    temperature = 10.0**power
    p = sigmax.softmax(x, temperature=temperature)
    every = sigmax.softmax(np.tile(x, (len(POWERS), 1)), temperature=10.0**POWERS)
    return {
        **numbered("p", p),
        "powers": POWERS,
        "curves": every.T,
        "p": p,
        "τ": temperature,
        "ratio": _ratio(x, temperature),
        "python": f"import sigmax\nx = {x}\nprint(*sigmax.softmax(x, temperature={temperature!r}))",
    }


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def tie() -> float:
    """The first of scores 3, 3, 1 at a temperature close to 0."""
    return float(sigmax.softmax([3.0, 3.0, 1.0], temperature=1e-9)[0])


# ---------------------------------------------------------------- label smoothing


@chapter.figure(
    prints="p",
    presets={
        "usual": {"temperature": 2.0, "smoothing": 0.1},
        "prediction": {"temperature": 4.0, "smoothing": 0.0},
        "target": {"temperature": 1.0, "smoothing": 0.4},
    },
    temperature=Number(0.2, 10.0, 0.1, 2.0),
    smoothing=Number(0.0, 0.6, 0.01, 0.1),
)
def smoothing(temperature: float, smoothing: float) -> dict[str, Any]:
    """A prediction at a temperature, and a smoothed label: second class beside last."""
    p = sigmax.softmax(SCORES, temperature=temperature)
    y = sigmax.smooth_labels(sigmax.one_hot(0, 4), smoothing)
    return {
        "p": p,
        "y": y,
        "τ": temperature,
        "ε": smoothing,
        "p_apart": p[1] - p[3],
        "y_apart": y[1] - y[3],
        "python": f"import sigmax\nx = {SCORES}\nprint(*sigmax.softmax(x, temperature={temperature}))",
    }


# ---------------------------------------------------------------- actions


def _actions(values: Any, temperature: float, count: int) -> Any:
    """Actions drawn with the probabilities of softmax(Q/τ)."""
    p = sigmax.softmax(values, temperature=temperature)
    return np.searchsorted(np.cumsum(p)[:-1], np.random.default_rng(8).random(count), side="right")


STRIP = 60


@chapter.figure(
    prints="best_part",
    presets={
        "greedy": {"temperature": 0.05},
        "curious": {"temperature": 0.5},
        "blind": {"temperature": 5.0},
    },
    temperature=Number(0.05, 5.0, 0.05, 0.5),
    draws=Number(60.0, 2000.0, 10.0, 60.0),
    values=Numbers(-1.0, 2.0, 0.05, [1.0, 0.8, 0.2, -0.4]),
)
def actions(temperature: float, draws: float, values: list[float]) -> dict[str, Any]:
    """Estimated values of four actions: their probabilities, and what is drawn beside argmax."""
    drawn = _actions(values, temperature, int(draws))
    best = int(np.argmax(values))
    return {
        "p": sigmax.softmax(values, temperature=temperature),
        "part": np.bincount(drawn, minlength=len(values)) / len(drawn),
        "drawn": drawn[:STRIP],
        "best": best,
        "best_part": np.mean(drawn == best),
        "others": np.count_nonzero(drawn != best),
        "python": "import numpy as np, sigmax\n"
        f"p = sigmax.softmax({values}, temperature={temperature})\n"
        f"u = np.random.default_rng(8).random({int(draws)})\n"
        f"print(np.mean(np.searchsorted(np.cumsum(p)[:-1], u, side='right') == {best}))",
    }


# ---------------------------------------------------------------- soft labels

TEACHER = np.array([6.0, 3.0, 1.0, -2.0])
STUDENT = np.array([2.0, 0.5, 1.5, 0.0])
WARMTHS = np.logspace(0, 2, 41)
_distil = sigmax.value_and_grad(sigmax.distillation_loss)


def _gradient(temperature: float) -> Any:
    """The gradient of T² · KL(teacher ‖ student), both at temperature T."""
    return _distil(STUDENT, TEACHER, temperature=temperature)[1]


def _limit() -> Any:
    """Where that gradient goes as T grows: the difference of the centred logits, over C."""
    difference = STUDENT - TEACHER
    return (difference - difference.mean()) / len(difference)


@functools.cache
def _sizes() -> Any:
    return np.array([np.linalg.norm(_gradient(float(t))) for t in WARMTHS])


@chapter.figure(
    prints="factored",
    presets={
        "one": {"temperature": 1.0},
        "four": {"temperature": 4.0},
        "hot": {"temperature": 50.0},
    },
    temperature=Number(1.0, 100.0, 0.5, 4.0),
)
def teacher(temperature: float) -> dict[str, Any]:
    """Soft labels of a teacher at a temperature, and the size of the gradient with and without T²."""
    size = np.linalg.norm(_gradient(temperature))
    return {
        "p": (p := sigmax.softmax(TEACHER, temperature=temperature)),
        "p_2": p[1],
        "q": sigmax.softmax(STUDENT, temperature=temperature),
        "warmths": WARMTHS,
        "with_factor": _sizes(),
        "without_factor": _sizes() / WARMTHS**2,
        "T": temperature,
        "factored": size,
        "plain": size / temperature**2,
        "limit": np.linalg.norm(_limit()),
        "python": "import numpy as np, sigmax\n"
        f"student, teacher = {STUDENT.tolist()}, {TEACHER.tolist()}\n"
        "learn = sigmax.value_and_grad(sigmax.distillation_loss)\n"
        f"print(np.linalg.norm(learn(student, teacher, temperature={temperature})[1]))",
    }


# ---------------------------------------------------------------- a student

STEPS, RATE, SEEN = 100, 0.5, 12
GRID = np.linspace(-6, 7, 131)


@functools.cache
def _class_room() -> tuple[Any, Any]:
    """A dozen samples of the three bell curves, with their classes."""
    random = np.random.default_rng(3)
    labels = random.choice(3, SEEN, p=PRIORS)
    return random.normal(MEANS[labels], 1).round(2), labels


def _features(s: Any) -> Any:
    return np.stack([s, np.ones(len(s))], axis=1)


@functools.cache
def _everywhere() -> tuple[Any, Any, Any]:
    """Features, log-joints and density of all samples there could be."""
    joints = log_joints(GRID)
    return _features(GRID), joints, np.exp(sigmax.logsumexp(joints))


def _gap(weights: Any) -> Any:
    """Divergence of the teacher from the student, averaged over all samples; of one student, or of each of many."""
    features, joints, density = _everywhere()
    scores = features @ weights
    divergences = sigmax.kl_divergence(
        scores, np.broadcast_to(joints, scores.shape), labels_from_logits=True, reduction="none"
    )
    return divergences @ density / density.sum()


@functools.lru_cache(maxsize=64)
def _trained(lesson: str, temperature: float, factor: bool) -> tuple[Any, Any]:
    """Weights after every step, and their gaps: taught by the labels, or by the teacher's soft labels."""
    s, labels = _class_room()
    features, joints = _features(s), log_joints(s)
    by_labels = sigmax.value_and_grad(sigmax.cross_entropy)
    weights = [np.zeros((2, 3))]
    for _ in range(STEPS):
        scores = features @ weights[-1]
        if lesson == "labels":
            slope = by_labels(scores, labels)[1]
        else:
            slope = _distil(scores, joints, temperature=temperature)[1]
            slope = slope if factor else slope / temperature**2
        weights.append(weights[-1] - RATE * features.T @ slope)
    return weights, _gap(np.array(weights))


@chapter.figure(
    prints="gap",
    presets={
        "before": {"steps": 0.0},
        "labels": {"lesson": "labels"},
        "distilled": {"lesson": "soft"},
        "no_factor": {"lesson": "soft", "factor": False},
    },
    lesson=Choice(("labels", "soft"), "labels"),
    temperature=Number(1.0, 8.0, 0.5, 4.0),
    factor=Switch(True),
    steps=Number(0.0, float(STEPS), 1.0, float(STEPS)),
)
def student(lesson: str, temperature: float, factor: bool, steps: float) -> dict[str, Any]:
    """A student with a dozen samples, taught by labels or by a teacher, after some steps."""
    s, labels = _class_room()
    weights, gaps = _trained(lesson, temperature, factor)
    step = int(steps)
    taught = (
        "learn = sigmax.value_and_grad(sigmax.cross_entropy)\nteach = lambda z: learn(z, y)[1]"
        if lesson == "labels"
        else "learn = sigmax.value_and_grad(sigmax.distillation_loss)\n"
        f"teach = lambda z: learn(z, joint(s), temperature={temperature})[1]"
        + ("" if factor else f" / {temperature}**2")
    )
    return {
        "grid": GRID,
        "teacher_p": sigmax.softmax(log_joints(GRID)).T,
        "student_p": sigmax.softmax(_features(GRID) @ weights[step]).T,
        "samples": s,
        "labels": labels,
        "by_labels": _trained("labels", 1.0, True)[1],
        "by_teacher": _trained("soft", temperature, factor)[1],
        "gap": _gap(weights[step]),
        "start_gap": gaps[0],
        "python": "import math, numpy as np, sigmax\n"
        f"mean, prior = np.array({MEANS.tolist()}), np.array({PRIORS.tolist()})\n"
        "joint = lambda s: np.log(prior) - (s[:, None] - mean)**2 / 2 - math.log(2 * math.pi) / 2\n"
        "features = lambda s: np.stack([s, np.ones(len(s))], axis=1)\n"
        f"s, y = np.array({s.tolist()}), {labels.tolist()}\n"
        f"{taught}\n"
        "w = np.zeros((2, 3))\n"
        f"for _ in range({step}): w = w - {RATE} * features(s).T @ teach(features(s) @ w)\n"
        f"t = np.linspace({GRID[0]}, {GRID[-1]}, {len(GRID)})\n"
        "density = np.exp(sigmax.logsumexp(joint(t)))\n"
        "gaps = sigmax.kl_divergence(features(t) @ w, joint(t), labels_from_logits=True, reduction='none')\n"
        "print(gaps @ density / density.sum())",
    }


# ---------------------------------------------------------------- claims


def _logits(classes: int) -> Any:
    return np.random.default_rng(1).normal(0, 3, (10_000, classes))


@chapter.claim("T", figure="heat", preset="double")
def formula() -> list[Measured]:
    """Dividing the scores, and raising the probabilities to 1/τ, come to the same; τ must be positive."""
    x = _logits(5)
    p = sigmax.softmax(x)
    gaps, powers = [], []
    for t in (0.7, 3.0, 10.0):
        warm = sigmax.softmax(x, temperature=t)
        raised = p ** (1 / t)
        gaps.append(np.abs(warm - sigmax.softmax(x / t)).max())
        powers.append(np.abs(warm - raised / raised.sum(axis=1, keepdims=True)).max())
    refused = 0
    for t in (0.0, -1.0):
        try:
            sigmax.softmax(x, temperature=t)
        except ValueError:
            refused += 1
    return [
        Measured('"divided"', max(gaps), "≤", 1e-15),
        Measured('"raised"', max(powers), "≤", 1e-14),
        Measured('"refused"', refused, "=", 2),
    ]


@chapter.claim("T", figure="disorder", preset="steepest")
def equal_shares() -> list[Measured]:
    """The law of the ratio, that of the entropy, and where both lead; only differences need be small."""
    x = _logits(5)
    t = np.random.default_rng(2).uniform(0.5, 20, len(x))
    law = (x.max(axis=1) - x.min(axis=1)) / t
    h = 1e-4 * t
    risen = sigmax.entropy(x, temperature=t + h) - sigmax.entropy(x, temperature=t - h)
    slope = _entropy_slope(x, t)
    far = sigmax.softmax([1e6 + 1, 1e6], temperature=10.0)
    return [
        Measured('"ratio"', np.abs(np.log(_ratio(x, t)) / law - 1).max(), "≤", 1e-12),
        Measured('"slope"', np.abs(risen / (2 * h) - slope).max(), "≤", 1e-6),
        Measured("min Var(x)/τ^3", slope.min(), "≥", 0),
        Measured('"entropy"', math.log(4) - sigmax.entropy(SCORES, temperature=1e4), "≤", 1e-6),
        Measured('"far"', abs(float(far[0]) - float(sigmax.sigmoid(0.1))), "≤", 1e-15),
    ]


@chapter.claim("F", figure="heat", preset="hot")
def mnemonic() -> list[Measured]:
    """As the temperature rises, the greatest ratio only falls and the entropy only rises."""
    t = np.linspace(0.1, 50, 500)
    x = np.tile(SCORES, (len(t), 1))
    return [
        Measured('"ratio"', np.diff(_ratio(x, t)).max(), "<", 0),
        Measured('"entropy"', np.diff(sigmax.entropy(x, temperature=t)).min(), ">", 0),
    ]


@chapter.claim("T*", figure="cooling", preset="tie")
def to_zero() -> list[Measured]:
    """A tie is shared; the smallest lead takes all; the temperature 0 itself is no temperature."""
    shared = sigmax.softmax([3.0, 3.0, 1.0], temperature=1e-3)
    led = sigmax.softmax([3.0, 2.999, 1.0], temperature=1e-5)
    return [
        Measured("softmax([3, 3, 1]/0.001)_1", float(shared[0]), "=", 0.5),
        Measured("softmax([3, 3, 1]/0.001)_3", float(shared[2]), "=", 0),
        Measured("softmax([3, 2.999, 1]/1e-5)_1", float(led[0]), "=", 1),
    ]


@chapter.claim("F", figure="smoothing", preset="usual")
def called_smoothing() -> list[Measured]:
    """Temperature keeps the order of the losers, smoothing makes them equal; the gradients tell which side moved."""
    p = sigmax.softmax(SCORES, temperature=2.0)
    y = sigmax.one_hot(0, 4)
    smooth = sigmax.smooth_labels(y, 0.1)
    slope = sigmax.value_and_grad(sigmax.cross_entropy)
    smoothed = slope(SCORES, 0, label_smoothing=0.1)[1]
    warm = slope(SCORES, 0, temperature=2.0)[1]
    return [
        Measured("τ = 2: p_2 − p_4", p[1] - p[3], ">", 0.17),
        Measured("ε = 0.1: y_2 − y_4", smooth[1] - smooth[3], "=", 0),
        Measured(
            '"target"', np.abs(smoothed - (sigmax.softmax(SCORES) - smooth)).max(), "≤", 1e-15
        ),
        Measured('"prediction"', np.abs(warm - (p - y) / 2).max(), "≤", 1e-15),
    ]


@chapter.claim("T*", figure="actions", preset="curious")
def action_probabilities() -> list[Measured]:
    """What is drawn follows the probabilities; argmax takes one action only."""
    values = [1.0, 0.8, 0.2, -0.4]
    drawn = np.bincount(_actions(values, 0.5, 100_000), minlength=4) / 100_000
    p = sigmax.softmax(values, temperature=0.5)
    return [
        Measured('"follows"', np.abs(drawn - p).max(), "≤", 0.01),
        Measured('"best"', drawn[0], "<", 0.6),
        Measured('"least"', drawn[3], ">", 0),
    ]


@chapter.claim("T", figure="teacher", preset="four")
def soft_labels() -> list[Measured]:
    """The second class shows; the gradient shrinks like 1/T², the factor undoes it, and the limit is right."""
    p = {t: sigmax.softmax(TEACHER, temperature=t) for t in (1.0, 4.0)}
    sizes = {t: float(np.linalg.norm(_gradient(t))) for t in (1.0, 10.0, 1000.0)}
    return [
        Measured("T = 1: p_2", p[1.0][1], "<", 0.05),
        Measured("T = 4: p_2", p[4.0][1], ">", 0.2),
        Measured('"shrinks"', sizes[10.0] / 10**2 / sizes[1.0], "<", 0.03),
        Measured('"kept"', sizes[10.0] / sizes[1.0], ">", 0.5),
        Measured('"limit"', np.abs(_gradient(1000.0) / _limit() - 1).max(), "≤", 0.01),
    ]


@chapter.claim("F", figure="student", preset="distilled")
def is_distilling() -> list[Measured]:
    """A temperature changes no decision; a student that is trained on soft labels comes to the teacher."""
    s = np.linspace(-6, 7, 1301)
    choice = sigmax.softmax(log_joints(s)).argmax(axis=1)
    warm = [sigmax.softmax(log_joints(s), temperature=t).argmax(axis=1) for t in (0.5, 4.0, 50.0)]
    by_labels, by_teacher = _trained("labels", 1.0, True)[1], _trained("soft", 4.0, True)[1]
    return [
        Measured('"decisions"', float(np.count_nonzero(np.array(warm) != choice)), "=", 0),
        Measured('"before"', by_teacher[0], ">", 0.5),
        Measured('"distilled"', by_teacher[-1], "≤", 0.001),
        Measured('"labels"', by_labels[-1], ">", 0.05),
    ]
