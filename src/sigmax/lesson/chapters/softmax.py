"""Chapter 6: softmax: what makes it the only one, what a distribution is, and how not to compute it."""

import functools
import math
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import DTYPE, Chapter, Choice, Measured, Number, Numbers

chapter = Chapter(__name__, number=6)


def numbered(name: str, values: Any) -> dict[str, Any]:
    """Results `name_1`, `name_2`, … for formulas and read-outs."""
    return {f"{name}_{j}": value for j, value in enumerate(values, 1)}


# ---------------------------------------------------------------- only differences


@chapter.figure(
    prints="p",
    presets={
        "one": {"x": [2.0]},
        "two": {"x": [1.5, 0.0]},
        "five": {"x": [2.0, 1.0, 0.5, -1.0, -2.0]},
        "moved": {"shift": 4.0},
    },
    x=Numbers(-6.0, 6.0, 0.1, [2.0, 1.0, -1.0], shortest=1, longest=5),
    shift=Number(-4.0, 4.0, 0.1, 0.0),
)
def scores(x: list[float], shift: float) -> dict[str, Any]:
    """Scores that are shifted together, and their softmax."""
    moved = [round(each + shift, 10) for each in x]
    p = sigmax.softmax(moved)
    return {
        **numbered("x", moved),
        **numbered("p", p),
        "moved": moved,
        "p": p,
        "sum": p.sum(),
        "change": np.abs(p - sigmax.softmax(x)).max(),
        "python": f"import sigmax\nx = {moved}\nprint(*sigmax.softmax(x))",
    }


# ---------------------------------------------------------------- every pair

DIFFERENCES = np.linspace(-8, 8, 161)
PAIRS = ("12", "13", "14", "23", "24", "34")
_WEIGHTS = {"exp": "np.exp(x)", "softplus": "sigmax.softplus(x)", "square": "np.square(x)"}


def _distribution(g: str, x: Any) -> Any:
    """g(x_j)/Σ g(x_i)."""
    if g == "exp":
        return sigmax.softmax(x)
    weights = np.square(x) if g == "square" else sigmax.softplus(x)
    with np.errstate(invalid="ignore"):
        return weights / weights.sum(axis=-1, keepdims=True)


def _pair(p: Any, i: int, j: int) -> Any:
    with np.errstate(invalid="ignore"):
        return p[..., i] / (p[..., i] + p[..., j])


@chapter.figure(
    prints="share",
    presets={
        "equal": {"x": [1.0, 2.0, 1.0, -1.0], "pair": "13"},
        "far": {"pair": "14"},
        "softplus": {"g": "softplus"},
        "square": {"g": "square"},
    },
    g=Choice(("exp", "softplus", "square"), "exp"),
    pair=Choice(PAIRS, "12"),
    x=Numbers(-4.0, 4.0, 0.1, [2.0, 1.0, 0.3, -1.5], sliders=False),
)
def pairs(g: str, pair: str, x: list[float]) -> dict[str, Any]:
    """Each pair of classes by itself, as a point: the difference of scores and the share of the first."""
    values = np.array(x)
    p = _distribution(g, values)
    i, j = int(pair[0]) - 1, int(pair[1]) - 1
    forth = [(int(name[0]) - 1, int(name[1]) - 1) for name in PAIRS]
    both = forth + [(b, a) for a, b in forth]
    difference = round(x[i] - x[j], 10)
    library = "sigmax.softmax(x)" if g == "exp" else f"{_WEIGHTS[g]}; p = p / p.sum()"
    return {
        "p": p,
        "x_i": x[i],
        "x_j": x[j],
        "p_i": p[i],
        "p_j": p[j],
        "difference": difference,
        "share": _pair(p, i, j),
        "expected": sigmax.sigmoid(difference),
        "differences": [x[a] - x[b] for a, b in both],
        "shares": [_pair(p, a, b) for a, b in both],
        "xs": DIFFERENCES,
        "sigmoids": sigmax.sigmoid(DIFFERENCES),
        "python": f"import numpy as np, sigmax\nx = np.array({x})\n"
        f"p = {library}\nwith np.errstate(invalid='ignore'): print(p[{i}] / (p[{i}] + p[{j}]))",
    }


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def third_leaves() -> float:
    """The share of score 2 against score 1, when score 0 has left."""
    p = sigmax.softmax([2.0, 1.0, 0.0])
    return float(p[0] / (p[0] + p[1]))


# ---------------------------------------------------------------- Bayes

MEANS = np.array([-2.0, 0.5, 3.0])
PRIORS = np.array([0.2, 0.5, 0.3])
SAMPLES = np.linspace(-6, 7, 261)


def log_joints(s: Any) -> Any:
    """ln π_j + ln f_j(s) of three bell curves of width 1, one row per sample."""
    distance = np.asarray(s)[..., None] - MEANS
    return np.log(PRIORS) - distance**2 / 2 - math.log(2 * math.pi) / 2


def bayes(s: Any) -> Any:
    """Bayes' posterior: the joint densities, and their shares of the sum."""
    distance = np.asarray(s)[..., None] - MEANS
    joint = PRIORS * np.exp(-(distance**2) / 2) / math.sqrt(2 * math.pi)
    return joint / joint.sum(axis=-1, keepdims=True)


def _sample_scores(kind: str, s: Any) -> Any:
    """Log-joints, the same with a constant, and the same with the priors forgotten."""
    return log_joints(s) + {"joint": 0.0, "constant": 5.0, "no_prior": -np.log(PRIORS)}[kind]


_ADDED = {"joint": "", "constant": " + 5", "no_prior": " - np.log(prior)"}


@chapter.figure(
    prints="p",
    presets={
        "between": {"s": 1.9},
        "constant": {"kind": "constant", "s": 1.9},
        "no_prior": {"kind": "no_prior", "s": -1.0},
    },
    s=Number(-5.0, 6.0, 0.1, -0.5),
    kind=Choice(("joint", "constant", "no_prior"), "joint"),
)
def posterior(s: float, kind: str) -> dict[str, Any]:
    """A sample between three bell curves: Bayes' posterior beside the softmax of its scores."""
    x = _sample_scores(kind, s)
    p, truth = sigmax.softmax(x), bayes(s)
    return {
        **numbered("p", p),
        **numbered("x", x),
        "p": p,
        "bayes": truth,
        "bayes_2": truth[1],
        "gap": np.abs(p - truth).max(),
        "samples": SAMPLES,
        "joint": np.exp(log_joints(SAMPLES)).T,
        "here": np.exp(log_joints(s)),
        "python": "import math, numpy as np, sigmax\n"
        f"mean, prior, s = np.array({MEANS.tolist()}), np.array({PRIORS.tolist()}), {s}\n"
        f"x = np.log(prior) - (s - mean)**2 / 2 - math.log(2 * math.pi) / 2{_ADDED[kind]}\n"
        "print(*sigmax.softmax(x))",
    }


# ---------------------------------------------------------------- the sum


def _three_ways(way: str, x: Any) -> Any:
    if way == "softmax":
        return sigmax.softmax(x)
    if way == "sigmoids":
        return sigmax.sigmoid(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(x) / np.sum(x)


_WAYS = {
    "softmax": "p = sigmax.softmax(x)",
    "shares": "with np.errstate(all='ignore'): p = np.array(x) / np.sum(x)",
    "sigmoids": "p = sigmax.sigmoid(x)",
}


@chapter.figure(
    prints="p",
    presets={
        "negative": {"way": "shares", "x": [3.0, -1.0]},
        "nothing": {"way": "shares", "x": [2.0, -1.0, -1.0]},
        "labels": {"way": "sigmoids"},
    },
    way=Choice(("softmax", "shares", "sigmoids"), "softmax"),
    x=Numbers(-4.0, 4.0, 0.1, [2.0, 1.0, -1.0], shortest=2, longest=3),
)
def sums(way: str, x: list[float]) -> dict[str, Any]:
    """Three ways from scores to numbers, and what these sum to."""
    p = _three_ways(way, x)
    with np.errstate(invalid="ignore"):
        total = p.sum()
    return {
        **numbered("x", x),
        **numbered("p", p),
        "p": p,
        "sum": total,
        "least": p.min(),
        "largest": p.max(),
        "python": f"import numpy as np, sigmax\nx = {x}\n{_WAYS[way]}\nprint(*p)",
    }


def _rows(count: int, classes: int, dtype: str) -> Any:
    return np.random.default_rng(6).normal(0, 2, (count, classes)).astype(dtype)


def _exact_misses(p: Any) -> Any:
    """Exact sum minus 1, rounded once: 0 only where the floats sum to exactly 1."""
    return np.array([math.fsum([*row, -1.0]) for row in p.astype(np.float64).tolist()])


ROWS = 1000
_ADDING = {
    "floats": "p.sum(axis=1) == 1",
    "exactly": "[math.fsum([*row, -1.0]) == 0 for row in p.astype(float).tolist()]",
}


@functools.lru_cache(maxsize=256)
def _histogram(classes: int, dtype: str, adding: str) -> dict[str, Any]:
    """How far sums of rows are from 1, in the distance between floats just below 1."""
    p = sigmax.softmax(_rows(ROWS, classes, dtype))
    misses = p.sum(axis=1).astype(np.float64) - 1 if adding == "floats" else _exact_misses(p)
    steps = misses / (np.finfo(dtype).eps / 2)
    places, counts = np.unique(np.round(steps[steps != 0] * 4) / 4, return_counts=True)
    return {
        "places": places,
        "counts": counts,
        "hits": np.count_nonzero(steps == 0),
        "part": np.mean(steps == 0),
        "farthest": np.abs(steps).max(),
        "worst": np.abs(misses).max(),
    }


@chapter.figure(
    prints="part",
    presets={
        "ten": {"adding": "floats"},
        "exactly": {"adding": "exactly"},
        "hundred": {"classes": 100.0},
        "half": {"dtype": "float16"},
    },
    classes=Number(2.0, 100.0, 1.0, 10.0),
    adding=Choice(("floats", "exactly"), "floats"),
    dtype=DTYPE,
)
def rows(classes: float, adding: str, dtype: str) -> dict[str, Any]:
    """A thousand rows of softmax, and how far their sums are from 1."""
    return {
        **_histogram(int(classes), dtype, adding),
        "python": "import math, numpy as np, sigmax\n"
        f'x = np.random.default_rng(6).normal(0, 2, ({ROWS}, {int(classes)})).astype("{dtype}")\n'
        f"p = sigmax.softmax(x)\nprint(np.mean({_ADDING[adding]}))",
    }


@chapter.prediction(low=0.0, high=100.0, step=1.0)
def exactly_one() -> float:
    """Of a hundred rows of ten probabilities, how many sum to exactly 1."""
    return float(_histogram(10, "float64", "exactly")["part"] * 100)


# ---------------------------------------------------------------- as written


def _naive(x: Any) -> Any:
    """e^(x_j)/Σ e^(x_i), in the type of x."""
    # What this formula does at the ends is the subject.
    with np.errstate(all="ignore"):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)


WIDEST = {"float16": 25.0, "float32": 130.0, "float64": 1100.0}


@functools.cache
def _naive_curve(dtype: str) -> dict[str, Any]:
    c = np.linspace(-WIDEST[dtype], WIDEST[dtype], 551)
    x = np.stack([c, c + 1], axis=-1).astype(dtype)
    return {"xs": c, "ys": _naive(x)[:, 1].astype(np.float64), "widest": WIDEST[dtype]}


@chapter.figure(
    prints="library",
    presets={
        "over": {"c": 1000.0},
        "under": {"c": -800.0},
        "worn": {"c": -744.0},
        "single": {"c": 88.0, "dtype": "float32"},
        "half": {"c": 11.0, "dtype": "float16"},
    },
    c=Number(-1100.0, 1100.0, 1.0, 3.0),
    dtype=DTYPE,
)
def written(c: float, dtype: str) -> dict[str, Any]:
    """The second of two probabilities at scores c and c + 1: the formula as written, and the library."""
    x = np.array([c, c + 1], dtype)
    with np.errstate(all="ignore"):
        exps = np.exp(x)
    return {
        **_naive_curve(dtype),
        "naive": _naive(x)[1],
        "library": sigmax.softmax(x)[1],
        "e_1": exps[0],
        "e_2": exps[1],
        "python": f"import numpy as np, sigmax\nx = np.array([{c}, {c + 1}], np.{dtype})\n"
        "print(sigmax.softmax(x)[1])",
    }


# ---------------------------------------------------------------- claims


def _logits(classes: int) -> Any:
    return np.random.default_rng(1).normal(0, 3, (10_000, classes))


@chapter.claim("T", figure="scores", preset="moved")
def only_differences() -> list[Measured]:
    """All scores shifted, by whole numbers, so that the shifted scores are exact."""
    x = np.round(_logits(5) * 1024) / 1024
    p = sigmax.softmax(x)
    moves = [np.abs(sigmax.softmax(x + shift) - p).max() for shift in (7.0, -100.0, 1e6)]
    return [
        Measured("c = 7: max |Δp|", moves[0], "≤", 1e-15),
        Measured("c = −100: max |Δp|", moves[1], "≤", 1e-15),
        Measured("c = 1000000: max |Δp|", moves[2], "≤", 1e-15),
    ]


@chapter.claim("T", figure="pairs", preset="far")
def every_pair() -> list[Measured]:
    """Pairs are sigmoids; one against the rest too; sigmoids of pairs lead back to softmax; others fail."""
    x = _logits(6)
    p = sigmax.softmax(x)
    first, second = np.triu_indices(6, 1)
    expected = sigmax.sigmoid(x[:, first] - x[:, second])
    others = sigmax.logsumexp(x[:, 1:])
    ratios = sigmax.sigmoid(x - x[:, :1]) / sigmax.sigmoid(x[:, :1] - x)
    back = ratios / ratios.sum(axis=1, keepdims=True)
    softplus = _pair(_distribution("softplus", x), 0, 1)
    return [
        Measured(
            "max |p_i/(p_i+p_j) − σ(x_i−x_j)|",
            np.abs(p[:, first] / (p[:, first] + p[:, second]) - expected).max(),
            "≤",
            1e-15,
        ),
        Measured('"rest"', np.abs(p[:, 0] - sigmax.sigmoid(x[:, 0] - others)).max(), "≤", 1e-15),
        Measured('"back"', np.abs(back - p).max(), "≤", 1e-14),
        Measured('"softplus"', np.abs(softplus - expected[:, 0]).max(), ">", 0.1),
    ]


@chapter.claim("N", figure="posterior", preset="constant")
def two_meanings() -> list[Measured]:
    """Softmax of log-joints is Bayes' posterior, a constant changes nothing, forgotten priors do."""
    s = np.linspace(-5, 6, 1101)

    def gap(kind: str) -> float:
        return float(np.abs(sigmax.softmax(_sample_scores(kind, s)) - bayes(s)).max())

    return [
        Measured('"joint"', gap("joint"), "≤", 1e-15),
        Measured('"constant"', gap("constant"), "≤", 1e-15),
        Measured('"no_prior"', gap("no_prior"), ">", 0.1),
    ]


@chapter.claim("T*", figure="sums", preset="negative")
def sums_to_one() -> list[Measured]:
    """(1.5, −0.5) sums to 1; softmax also has nothing below 0."""
    negative = _three_ways("shares", [3.0, -1.0])
    p = sigmax.softmax(_logits(10))
    eps = float(np.finfo(np.float64).eps)
    return [
        Measured("1.5 + (−0.5)", negative.sum(), "=", 1),
        Measured("−1/(3 + (−1))", negative.min(), "<", 0),
        Measured("softmax: min p_j", p.min(), "≥", 0),
        Measured("softmax: max |Σ p_j − 1|", np.abs(_exact_misses(p)).max(), "≤", 10 * eps),
    ]


@chapter.claim("F", figure="rows", preset="ten")
def sum_is_exact() -> list[Measured]:
    """Of rows of ten floats: added as floats, added exactly, and by the formula as written."""
    x = _rows(100_000, 10, "float64")
    p = sigmax.softmax(x)
    shifted = x - x.max(axis=1, keepdims=True)
    return [
        Measured('"floats"', np.mean(p.sum(axis=1) != 1), ">", 0.2),
        Measured('"exactly"', np.mean(_exact_misses(p[:10_000]) != 0), ">", 0.98),
        Measured('"formula"', np.mean(_naive(shifted).sum(axis=1) != 1), ">", 0.4),
        Measured('"worst"', np.abs(p.sum(axis=1) - 1).max(), "≤", 1e-15),
    ]


@chapter.claim("F", figure="sums", preset="labels")
def separate_sigmoids() -> list[Measured]:
    """Sigmoids of two scores and of three; the pair that is a distribution has opposite scores."""
    return [
        Measured("σ(2) + σ(1) + σ(−1)", sigmax.sigmoid([2.0, 1.0, -1.0]).sum(), ">", 1.8),
        Measured("σ(−2) + σ(−2) + σ(−2)", sigmax.sigmoid([-2.0, -2.0, -2.0]).sum(), "<", 0.4),
        Measured("σ(2) + σ(−2)", sigmax.sigmoid([2.0, -2.0]).sum(), "=", 1),
        Measured("softmax: Σ p_j", sigmax.softmax([2.0, 1.0, -1.0]).sum(), "=", 1),
    ]


@chapter.claim("F", figure="written", preset="over")
def naive() -> list[Measured]:
    """What e^(x_j)/Σ returns where e^x leaves the range of its type, and what is right."""
    one = np.array([0.0, 1.0])
    return [
        Measured("e^1001/(e^1000+e^1001)", float(_naive(one + 1000)[1]), "=", math.nan),
        Measured("e^(−799)/(e^(−800)+e^(−799))", float(_naive(one - 800)[1]), "=", math.nan),
        Measured(
            '"worn"', abs(float(_naive(one - 744)[1]) - float(sigmax.sigmoid(1.0))), ">", 0.01
        ),
        Measured(
            "|softmax([1000, 1001])_2 − σ(1)|",
            abs(float(sigmax.softmax(one + 1000)[1]) - float(sigmax.sigmoid(1.0))),
            "≤",
            1e-15,
        ),
    ]
