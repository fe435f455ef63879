"""Chapter 10: points placed by hand, softmax regression trained on them, and whether it can be trusted."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import Chapter, Choice, Measured, Number, Numbers

chapter = Chapter(__name__, number=10)

WIDE, TALL = 3.0, 2.0  # the plane: u in [-3, 3], v in [-2, 2]
CLASSES = 3
STEPS = 400
MOST = 150  # points
FRESH, SPREAD = 400, 0.4  # how many fresh points, and how far from those of the learner
BINS = 10

Floats = tuple[float, ...]
Ints = tuple[int, ...]
Points = tuple[Floats, Floats, Ints]  # u, v, class
Scores = Callable[[Any, Any], Any]  # of places u, v

loss_and_gradient = sigmax.value_and_grad(sigmax.cross_entropy)


# ---------------------------------------------------------------- points


def _cloud(seed: int, *parts: tuple[float, float, int, int], spread: float) -> Points:
    """Parts (u, v, class, how many), each a round cloud."""
    random = np.random.default_rng(seed)
    us: list[float] = []
    vs: list[float] = []
    labels: list[int] = []
    for u, v, label, count in parts:
        for places, middle, end in ((us, u, WIDE), (vs, v, TALL)):
            drawn = np.clip(random.normal(middle, spread, count), -end, end)
            places += (drawn.round(2) + 0.0).tolist()  # + 0.0: no −0.0
        labels += [label] * count
    return tuple(us), tuple(vs), tuple(labels)


BLOBS = _cloud(3, (-1.5, -0.7, 0, 14), (1.5, -0.7, 1, 14), (0, 0.9, 2, 14), spread=0.4)
OVERLAP = _cloud(0, (-0.8, -0.5, 0, 20), (0.8, -0.5, 1, 20), (0, 0.6, 2, 20), spread=0.6)
CORNERS = ((-1.5, -1, 0, 8), (1.5, 1, 0, 8), (-1.5, 1, 1, 8), (1.5, -1, 1, 8), (0, 0, 2, 10))
XOR = _cloud(5, *CORNERS, spread=0.3)
IMBALANCED = _cloud(4, (-0.5, -0.1, 0, 32), (0.6, -0.3, 1, 8), (0, 0.6, 2, 8), spread=0.55)
FEW = _cloud(7, (-0.8, -0.5, 0, 4), (0.8, -0.5, 1, 4), (0, 0.6, 2, 4), spread=0.6)


def _features(us: Any, vs: Any, features: str) -> Any:
    """1, u, v, and with "products" also u², uv, v²."""
    columns = [np.ones_like(us), us, vs]
    if features == "products":
        columns += [us * us, us * vs, vs * vs]
    return np.stack(columns, axis=-1)


SHIFTS = np.random.default_rng(10).normal(0, SPREAD, (2, FRESH))


def _fresh(us: Floats, vs: Floats, labels: Ints) -> tuple[Any, Any, Any]:
    """New points near those that are there, of the same colours: always the same ones for the same points."""
    one = np.arange(FRESH) % len(us) if us else np.empty(0, int)
    du, dv = SHIFTS[:, : len(one)]
    return np.array(us)[one] + du, np.array(vs)[one] + dv, np.array(labels, int)[one]


# ---------------------------------------------------------------- training


@functools.lru_cache(maxsize=8)
def _train(
    us: Floats, vs: Floats, labels: Ints, features: str, smoothing: float, steps: int = STEPS
) -> tuple[Any, Any]:
    """Weights and losses before every step, and after the last: gradient descent from zeros.

    The whole way is kept for the next call, which may ask for another step of it.

    The gradient changes by at most σ²/(2n) per unit of the weights, σ the largest singular value of X;
    the inverse of that is the largest step that is sure to lower the loss.
    """
    X, y = _features(np.array(us), np.array(vs), features), np.array(labels, int)  # noqa: N806
    W = np.zeros((X.shape[1], CLASSES))  # noqa: N806
    rate = 2 * len(X) / np.linalg.norm(X, 2) ** 2 if len(X) else 0.0
    weights, losses = [], []
    for _ in range(steps + 1):
        loss, gradient = loss_and_gradient(X @ W, y, label_smoothing=smoothing)
        weights.append(W.copy())
        losses.append(loss)
        W -= rate * X.T @ gradient  # noqa: N806
    return np.array(weights), np.array(losses)


def _best_temperature(scores: Any, labels: Any) -> float:
    """The temperature of the least loss, in [0.02, 50], by bisection of the slope, which rises with 1/τ."""
    if not np.ptp(scores, axis=-1).any():
        return math.nan  # no points, or no score above another: any temperature is as good
    low, high = 1 / 50, 1 / 0.02
    for _ in range(24):
        middle = math.sqrt(low * high)
        slope = np.sum(loss_and_gradient(middle * scores, labels)[1] * scores)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / high


# ---------------------------------------------------------------- how good it is


def _accuracy(scores: Any, labels: Any) -> float:
    return float(np.mean(scores.argmax(axis=-1) == labels)) if len(labels) else math.nan


def _reliability(p: Any, labels: Any) -> tuple[Any, Any, Any]:
    """How sure the best guess was, the part that was right, and the count, in bins of equal width."""
    sure, right = p.max(axis=-1), p.argmax(axis=-1) == labels
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return (
            np.bincount(place, sure, BINS) / count,
            np.bincount(place, right, BINS) / count,
            count,
        )


def _gap(p: Any, labels: Any) -> float:
    """The average distance between what was said and what happened."""
    said, happened, count = _reliability(p, labels)
    if not count.any():
        return math.nan
    return float(np.nansum(np.abs(said - happened) * count) / count.sum())


# ---------------------------------------------------------------- the plane

COLUMNS, ROWS = 30, 20


def _grid(us: Any, vs: Any) -> tuple[Any, Any]:
    """u and v of every place of a grid, row by row."""
    u, v = np.meshgrid(us, vs)
    return u, v


# Centres of the cells that the plane is divided into, and a finer grid for the borders.
FIELD = _grid(
    ((np.arange(COLUMNS) + 0.5) / COLUMNS * 2 - 1) * WIDE,
    ((np.arange(ROWS) + 0.5) / ROWS * 2 - 1) * TALL,
)
FINE = _grid(np.linspace(-WIDE, WIDE, 91), np.linspace(-TALL, TALL, 61))


CORNER = (
    np.array([[0], [0], [1], [1]]),
    np.array([[0], [1], [1], [0]]),
)  # row and column, around a cell


def _crossings(height: Any) -> Any:
    """Segments u, v, u, v along which a function on the fine grid is 0: marching squares."""
    above = height > 0
    mixed = above[:-1, :-1] != above[:-1, 1:]
    mixed |= above[1:, :-1] != above[1:, 1:]
    mixed |= above[:-1, :-1] != above[1:, :-1]
    row, column = np.nonzero(mixed)
    at = row + CORNER[0], column + CORNER[1]
    place, h = np.stack([FINE[0][at], FINE[1][at]], axis=-1), height[at]
    next_place, next_h = np.roll(place, -1, axis=0), np.roll(h, -1, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where((h > 0) != (next_h > 0), h / (h - next_h), np.nan)[..., None]
    ends = (place + part * (next_place - place)).swapaxes(0, 1)  # cell, side, (u, v)
    # The sides that are crossed first: two of them, or all four.
    crossed = np.argsort(np.isnan(ends[..., 0]), axis=1, kind="stable")[..., None]
    ends = np.take_along_axis(ends, crossed, axis=1).reshape(-1, 4)
    return ends[~np.isnan(ends[:, 2])].round(3)


def _boundary(x: Any) -> Any:
    """Where the largest of three scores changes: around the first class, and between the others."""
    one, two, three = np.moveaxis(x, -1, 0)
    first = _crossings(one - np.maximum(two, three))
    second = _crossings(two - np.maximum(one, three))
    return np.concatenate([first, second])


def _looks(scores: Scores, temperature: float) -> dict[str, Any]:
    """The shades of the plane, in per cent: to be looked at, not read; and the borders of the classes."""
    p = sigmax.softmax(scores(*FIELD), temperature=temperature)
    return {
        "field": np.rint(100 * p).astype(int).reshape(-1, CLASSES),
        "columns": COLUMNS,
        "rows": ROWS,
        "boundary": _boundary(scores(*FINE)),
    }


def _on_own(
    scores: Scores, us: Floats, vs: Floats, labels: Ints, temperature: float
) -> dict[str, Any]:
    """The model on the points it was trained on."""
    x = scores(np.array(us), np.array(vs))
    p = sigmax.softmax(x, temperature=temperature)
    return {
        "shares": np.bincount(np.array(labels, int), minlength=CLASSES) / max(len(labels), 1),
        "mean": p.sum(axis=0) / max(len(labels), 1),
        "right": _accuracy(x, labels),
    }


def _trust(scores: Scores, us: Any, vs: Any, labels: Any, temperature: float) -> dict[str, Any]:
    """The model on fresh points."""
    x = scores(us, vs)
    p = sigmax.softmax(x, temperature=temperature)
    said, happened, count = _reliability(p, labels)
    return {
        "fresh_u": us.round(2),
        "fresh_v": vs.round(2),
        "fresh_y": labels,
        "said": said,
        "happened": happened,
        "count": count,
        "gap": _gap(p, labels),
        "fresh_right": _accuracy(x, labels),
        "fresh_loss": sigmax.cross_entropy(x, labels, temperature=temperature)
        if len(labels)
        else math.nan,
        "best": _best_temperature(x, labels),
    }


@functools.lru_cache(maxsize=8)
def _along(
    us: Floats, vs: Floats, labels: Ints, features: str, smoothing: float, steps: int
) -> dict[str, Any]:
    """The losses step by step, and those on fresh points at some of the steps."""
    weights, losses = _train(us, vs, labels, features, smoothing)
    fresh_us, fresh_vs, fresh_labels = _fresh(us, vs, labels)
    sampled = np.unique(np.geomspace(1, steps + 1, 30).astype(int)) - 1
    x = _features(fresh_us, fresh_vs, features) @ weights[sampled]
    each = np.broadcast_to(fresh_labels, x.shape[:-1])
    on_fresh = sigmax.cross_entropy(x, each, reduction="none").sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return {
            "losses": losses[: steps + 1],
            "loss": losses[steps],
            "sampled": sampled,
            "fresh_losses": np.divide(on_fresh, len(fresh_labels)),
        }


def _python(
    us: Floats, vs: Floats, labels: Ints, features: str, steps: int, smoothing: float
) -> str:
    if not us:
        return "import numpy as np, sigmax\nprint(sigmax.cross_entropy(np.empty((0, 3)), np.empty(0, int)))"
    columns = ["np.ones_like(u)", "u", "v"]
    columns += ["u * u", "u * v", "v * v"] if features == "products" else []
    return (
        "import numpy as np, sigmax\n"
        f"u = np.array({[*us]})\nv = np.array({[*vs]})\ny = {[*labels]}\n"
        f"X = np.stack([{', '.join(columns)}], axis=-1)\n"
        f"W, rate = np.zeros(({len(columns)}, 3)), 2 * len(X) / np.linalg.norm(X, 2) ** 2\n"
        "step = sigmax.value_and_grad(sigmax.cross_entropy)\n"
        f"for _ in range({steps}):\n"
        f"    W -= rate * X.T @ step(X @ W, y, label_smoothing={smoothing})[1]\n"
        f"print(sigmax.cross_entropy(X @ W, y, label_smoothing={smoothing}))"
    )


def _preset(points: Points, **others: Any) -> dict[str, Any]:
    """Points, trained to the last step."""
    us, vs, labels = points
    return {"us": [*us], "vs": [*vs], "labels": [*labels], "steps": float(STEPS), **others}


@chapter.figure(
    prints="loss",
    presets={
        "blobs": _preset(BLOBS),
        "overlap": _preset(OVERLAP),
        "hot": _preset(OVERLAP, τ=5.0),
        "smoothed": _preset(BLOBS, ε=0.1),
        "xor": _preset(XOR),
        "products": _preset(XOR, features="products"),
        "imbalanced": _preset(IMBALANCED),
        "levelled": _preset(IMBALANCED, c_1=-1.4),
        "few": _preset(FEW, features="products"),
        "fitted": _preset(FEW, features="products", τ=3.6),
        "empty": _preset(((), (), ())),
    },
    steps=Number(0.0, float(STEPS), 1.0, 0.0),
    features=Choice(("position", "products"), "position"),
    ε=Number(0.0, 0.5, 0.01, 0.0),
    τ=Number(0.1, 10.0, 0.1, 1.0),
    c_1=Number(-4.0, 4.0, 0.1, 0.0),
    c_2=Number(-4.0, 4.0, 0.1, 0.0),
    c_3=Number(-4.0, 4.0, 0.1, 0.0),
    u=Number(-WIDE, WIDE, 0.01, 0.0),
    v=Number(-TALL, TALL, 0.01, 0.0),
    us=Numbers(-WIDE, WIDE, 0.01, [*BLOBS[0]], 0, MOST, sliders=False),
    vs=Numbers(-TALL, TALL, 0.01, [*BLOBS[1]], 0, MOST, sliders=False),
    labels=Numbers(0.0, CLASSES - 1.0, 1.0, [*BLOBS[2]], 0, MOST, sliders=False),
)
def plane(
    steps: float,
    features: str,
    ε: float,
    τ: float,
    c_1: float,
    c_2: float,
    c_3: float,
    u: float,
    v: float,
    us: list[float],
    vs: list[float],
    labels: list[float],
) -> dict[str, Any]:
    """Softmax regression after some steps on points of three colours: its regions, losses and reliability."""
    if not len(us) == len(vs) == len(labels):
        raise ValueError(
            f"us, vs and labels must be equally long, got {len(us)}, {len(vs)} and {len(labels)}"
        )
    points = tuple(us), tuple(vs), tuple(int(label) for label in labels)
    weights = _train(*points, features, ε)[0][int(steps)]

    def scores(us: Any, vs: Any) -> Any:
        return _features(us, vs, features) @ weights + np.array([c_1, c_2, c_3])

    x = scores(np.float64(u), np.float64(v))
    p = sigmax.softmax(x, temperature=τ)
    return {
        **{f"x_{k + 1}": x[k] for k in range(CLASSES)},
        **{f"p_{k + 1}": p[k] for k in range(CLASSES)},
        **_looks(scores, τ),
        **_on_own(scores, *points, τ),
        **_trust(scores, *_fresh(*points), τ),
        **_along(*points, features, ε, int(steps)),
        "guessing": math.log(CLASSES),
        "python": _python(*points, features, int(steps), ε),
    }


# ---------------------------------------------------------------- predictions and claims


def _fitted(
    points: Points, features: str = "position", steps: int = STEPS, smoothing: float = 0.0
) -> tuple[Any, Any, Any]:
    """The features of some points, their classes, and the weights that were trained on them."""
    us, vs, labels = (np.array(part) for part in points)
    weights = _train(*points, features, smoothing, max(steps, STEPS))[0][steps]
    return _features(us, vs, features), labels, weights


def _on_fresh(points: Points, features: str = "position") -> tuple[Any, Any]:
    """Scores of a trained model on fresh points, and their classes."""
    us, vs, labels = _fresh(*points)
    return _features(us, vs, features) @ _fitted(points, features)[2], labels


@chapter.prediction(low=0.0, high=3.0, step=0.05)
def first_loss() -> float:
    """The loss of three classes before anything was learnt."""
    X, labels, W = _fitted(BLOBS, steps=0)  # noqa: N806
    return float(sigmax.cross_entropy(X @ W, labels))


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def hot_accuracy() -> float:
    """The part that is right at a high temperature: the same as before."""
    X, labels, W = _fitted(OVERLAP)  # noqa: N806
    return _accuracy(sigmax.softmax(X @ W, temperature=5.0), labels)


@chapter.claim("T", figure="plane")
def starts_even() -> list[Measured]:
    """All weights 0: a third for every class."""
    untrained = [_fitted(points, steps=0) for points in (BLOBS, OVERLAP, XOR, IMBALANCED, FEW)]
    losses = [sigmax.cross_entropy(X @ W, labels) for X, labels, W in untrained]
    return [Measured("max |L − ln 3|", max(abs(x - math.log(3)) for x in losses), "≤", 1e-15)]


@chapter.claim("T*", figure="plane", preset="imbalanced")
def every_class() -> list[Measured]:
    """The gradient of the constant is 0 at the minimum, and it is Σ(p − y)."""

    def apart(steps: int) -> float:
        X, labels, W = _fitted(IMBALANCED, steps=steps)  # noqa: N806
        shares = np.bincount(labels) / len(labels)
        return float(np.abs(sigmax.softmax(X @ W).mean(axis=0) - shares).max())

    return [
        Measured('"three"', apart(3), ">", 0.01),
        Measured('"end"', apart(STEPS), "≤", 1e-6),
    ]


@chapter.claim("F", figure="plane", preset="blobs")
def training_ends() -> list[Measured]:
    """What straight lines can separate has no minimum; smoothed labels have one."""
    sharp = [_fitted(BLOBS, steps=steps) for steps in (STEPS, 10 * STEPS)]
    losses = [sigmax.cross_entropy(X @ W, labels) for X, labels, W in sharp]
    X, labels, W = _fitted(BLOBS, steps=10 * STEPS, smoothing=0.1)  # noqa: N806
    smoothed, gradient = loss_and_gradient(X @ W, labels, label_smoothing=0.1)
    floor = sigmax.entropy(sigmax.smooth_labels(np.eye(CLASSES), 0.1), from_logits=False)[0]
    return [
        Measured('"falls"', float(losses[1] / losses[0]), "<", 0.5),
        Measured('"above"', float(losses[1]), ">", 0),
        Measured('"grows"', float(np.abs(sharp[1][2]).max() / np.abs(sharp[0][2]).max()), ">", 1),
        Measured('"rests"', float(np.abs(X.T @ gradient).max()), "≤", 1e-9),
        Measured('"floor"', float(smoothed - floor), ">", 0),
    ]


@chapter.claim("F", figure="plane", preset="xor")
def any_shape() -> list[Measured]:
    """Straight borders fail where the colours sit crosswise; with products of the coordinates they bend."""
    X, labels, W = _fitted(XOR)  # noqa: N806
    gradient = X.T @ loss_and_gradient(X @ W, labels)[1]
    bent = _fitted(XOR, "products")
    return [
        Measured('"gradient"', float(np.abs(gradient).max()), "≤", 1e-6),
        Measured('"straight"', _accuracy(X @ W, labels), "<", 0.5),
        Measured('"bent"', _accuracy(bent[0] @ bent[2], labels), "=", 1),
    ]


@chapter.claim("F", figure="plane", preset="hot")
def temperature_decides() -> list[Measured]:
    """No best guess changes; how sure the model is does."""
    scores = _on_fresh(OVERLAP)[0]
    p = [sigmax.softmax(scores, temperature=t) for t in (0.2, 1.0, 5.0)]
    changed = max(np.count_nonzero(q.argmax(axis=-1) != p[1].argmax(axis=-1)) for q in p)
    moved = np.count_nonzero(
        (scores + np.array([0.0, 0.0, 1.0])).argmax(axis=-1) != scores.argmax(axis=-1)
    )
    return [
        Measured('"changed"', int(changed), "=", 0),
        Measured('"cold"', float(p[0].max(axis=-1).mean()), ">", 0.9),
        Measured('"hot"', float(p[2].max(axis=-1).mean()), "<", 0.6),
        Measured('"biased"', int(moved), ">", 0),
    ]


@chapter.claim("F", figure="plane", preset="few")
def all_right() -> list[Measured]:
    """Every point right, and far too sure of fresh ones; one number repairs most of it."""
    X, own, W = _fitted(FEW, "products")  # noqa: N806
    scores, labels = _on_fresh(FEW, "products")
    best = _best_temperature(scores, labels)
    p = sigmax.softmax(scores)
    return [
        Measured('"own"', _accuracy(X @ W, own), "=", 1),
        Measured('"says"', float(p.max(axis=-1).mean()), ">", 0.9),
        Measured('"is"', _accuracy(scores, labels), "<", 0.75),
        Measured('"best"', best, ">", 1),
        Measured('"trained"', _best_temperature(X @ W, own), "<", 0.1),
        Measured('"repaired"', _gap(sigmax.softmax(scores, temperature=best), labels), "<", 0.1),
    ]


@chapter.claim("T*", figure="plane", preset="levelled")
def equal_classes() -> list[Measured]:
    """Scores less ln π are the logarithms of p/π; every class then counts the same."""
    X, own, W = _fitted(IMBALANCED)  # noqa: N806
    shares = np.bincount(own) / len(own)
    divided = sigmax.softmax(X @ W) / shares
    divided /= divided.sum(axis=-1, keepdims=True)
    levelled = sigmax.softmax(X @ W - np.log(shares))
    scores, labels = _on_fresh(IMBALANCED)

    def per_class(scores: Any) -> float:
        return float(
            np.mean([_accuracy(scores[labels == k], labels[labels == k]) for k in range(CLASSES)])
        )

    return [
        Measured(
            "max |softmax(x − ln π) − (p/π)/Σ(p/π)|", np.abs(levelled - divided).max(), "≤", 1e-14
        ),
        Measured('"before"', per_class(scores), "<", 0.6),
        Measured('"after"', per_class(scores - np.log(shares)), ">", 0.62),
    ]
