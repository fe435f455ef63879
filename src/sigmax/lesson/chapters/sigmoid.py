"""Chapter 3: the sigmoid: odds, ends, slope, steps, staircases, and whether its output is a probability."""

import functools
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import DTYPE, Chapter, Choice, Measured, Number, Numbers, Switch

chapter = Chapter(__name__, number=3)

XS = np.linspace(-8, 8, 161)


def _slope(x: Any) -> Any:
    return sigmax.vjp(sigmax.sigmoid, x, np.ones_like(x))


# ---------------------------------------------------------------- odds and slope


@chapter.figure(
    prints="slope",
    presets={"middle": {"x": 0.0}, "odds": {"x": 1.3}, "flat": {"x": -6.0}},
    x=Number(-8.0, 8.0, 0.1, 1.3),
)
def curve(x: float) -> dict[str, Any]:
    """The sigmoid with its tangent at x, and the odds."""
    p = sigmax.sigmoid(x)
    return {
        "xs": XS,
        "ps": sigmax.sigmoid(XS),
        "p": p,
        "N": np.exp(x),
        "odds": p / sigmax.sigmoid(-x),
        "slope": _slope(np.float64(x)),
        "python": f"import sigmax\nprint(sigmax.vjp(sigmax.sigmoid, {x}, 1.0))",
    }


# ---------------------------------------------------------------- the ends


@functools.cache
def _first_one(dtype: str) -> float:
    """The smallest x of the type whose sigmoid is exactly 1, by bisection."""
    low, high = np.dtype(dtype).type(0), np.dtype(dtype).type(64)
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (low, middle) if sigmax.sigmoid(middle) == 1 else (middle, high)
    return float(high)


@chapter.figure(
    prints="p",
    presets={
        "half": {"dtype": "float16", "x": 8.5},
        "single": {"dtype": "float32", "x": 17.5},
        "double": {"dtype": "float64", "x": 37.5},
    },
    x=Number(0.0, 42.0, 0.1, 6.0),
    dtype=DTYPE,
)
def ends(x: float, dtype: str) -> dict[str, Any]:
    """How far below 1 the sigmoid is, exactly and as its type has it."""
    xs = np.linspace(0, 42, 421).astype(dtype)
    at = np.dtype(dtype).type(x)
    return {
        "xs": xs.astype(np.float64),
        "exact": sigmax.sigmoid(-xs.astype(np.float64)),
        "rounded": 1 - sigmax.sigmoid(xs).astype(np.float64),
        "p": sigmax.sigmoid(at),
        "missing": sigmax.sigmoid(-at),
        "first_one": _first_one(dtype),
        "python": f"import numpy as np, sigmax\nx = np.{dtype}({x})\nprint(sigmax.sigmoid(x))",
    }


@chapter.prediction(low=0.0, high=100.0, step=0.5)
def is_one() -> float:
    """Where float64 has no number left between the sigmoid and 1."""
    return _first_one("float64")


# ---------------------------------------------------------------- continuous and differentiable


def _function(name: str, x: Any) -> Any:
    if name == "sigmoid":
        return sigmax.sigmoid(x)
    return np.abs(x) if name == "absolute" else np.where(x < 0, 0.0, 1.0)


@chapter.figure(
    prints="right",
    presets={
        "kink": {"f": "absolute", "zoom": 4.0},
        "jump": {"f": "step", "zoom": 4.0},
        "smooth": {"f": "sigmoid", "zoom": 4.0},
    },
    f=Choice(("sigmoid", "absolute", "step"), "absolute"),
    zoom=Number(0.0, 6.0, 0.1, 0.0),
)
def magnified(f: str, zoom: float) -> dict[str, Any]:
    """A function around 0, magnified 10^zoom times, and its slopes on both sides."""
    h = 10.0**-zoom
    xs = np.linspace(-1, 1, 201) * h
    here = _function(f, np.float64(0))
    source = {
        "sigmoid": "f = sigmax.sigmoid",
        "absolute": "f = np.abs",
        "step": "f = lambda x: np.float64(0.0 if x < 0 else 1.0)",
    }[f]
    return {
        "h": h,
        "here": here,
        "xs": np.linspace(-1, 1, 201),
        "ys": (_function(f, xs) - here) / h,
        "left": (here - _function(f, np.float64(-h))) / h,
        "right": (_function(f, np.float64(h)) - here) / h,
        "python": f"import numpy as np, sigmax\n{source}; h = np.float64({h!r})\n"
        "print((f(h) - f(np.float64(0))) / h)",
    }


# ---------------------------------------------------------------- step and pulse


@chapter.figure(
    prints="middle",
    presets={
        "gentle": {"k": 1.0},
        "steep": {"k": 100.0},
        "pulse": {"k": 20.0, "pulse": True},
    },
    k=Number(1.0, 100.0, 1.0, 4.0),
    pulse=Switch(False),
)
def steps(k: float, pulse: bool) -> dict[str, Any]:
    """A steep sigmoid, or the difference of two, beside the step or the box that it resembles."""
    xs = np.linspace(-2, 2, 801)
    if pulse:
        ys = sigmax.sigmoid(k * (xs + 1)) - sigmax.sigmoid(k * (xs - 1))
        middle = sigmax.sigmoid(k) - sigmax.sigmoid(-k)
        code = f"print(sigmax.sigmoid({k}) - sigmax.sigmoid(-{k}))"
    else:
        ys = sigmax.sigmoid(k * xs)
        middle = sigmax.sigmoid(0.0)
        code = f"k = {k}\nprint(sigmax.sigmoid(k * 0.0))"
    # At the jump the sigmoid is one half, and the step 0 on one side and 1 on the other.
    return {
        "xs": xs,
        "ys": ys,
        "middle": middle,
        "gap": _gap_to_step(k),
        "python": "import sigmax\n" + code,
    }


def _gap_to_step(k: float) -> float:
    """The largest distance from σ(kx) to the step, looking ever closer to the jump."""
    x = np.concatenate([-np.logspace(-300, 2, 303), np.logspace(-300, 2, 303)])
    return float(np.abs(sigmax.sigmoid(k * x) - (x > 0)).max())


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def gap_to_step() -> float:
    """How far σ(1000x) is from the step, at worst."""
    return _gap_to_step(1000.0)


# ---------------------------------------------------------------- staircase

COLUMNS = 65
T = np.linspace(0, 1, COLUMNS)
DRAWINGS = {
    "wave": 0.5 + 0.4 * np.sin(2 * np.pi * T),
    "hills": 0.15
    + 0.7 * np.exp(-(((T - 0.28) / 0.12) ** 2))
    + 0.45 * np.exp(-(((T - 0.75) / 0.09) ** 2)),
    "roof": 0.9 - 1.5 * np.abs(T - 0.5),
    "stairs": 0.2 + 0.2 * np.floor(3.999 * T),
}


def _staircase(values: Any, n: int, steepness: float, x: Any) -> Any:
    """f(0) + Σ rise_i · σ(n · steepness · (x − middle_i)), for the curve through the given values on [0, 1]."""
    edges = np.linspace(0, 1, n + 1)
    heights = np.interp(edges, np.linspace(0, 1, len(values)), values)
    middles = (edges[:-1] + edges[1:]) / 2
    return heights[0] + sigmax.sigmoid(n * steepness * (x[:, None] - middles)) @ np.diff(heights)


@chapter.figure(
    prints="error",
    presets={name: {"drawing": values.round(3).tolist()} for name, values in DRAWINGS.items()},
    drawing=Numbers(0.0, 1.0, 0.001, DRAWINGS["hills"].round(3).tolist(), sliders=False),
    n=Number(1.0, 200.0, 1.0, 12.0),
    steepness=Number(1.0, 40.0, 0.5, 8.0),
)
def staircase(drawing: list[float], n: float, steepness: float) -> dict[str, Any]:
    """A sum of n sigmoids that follows a drawn curve, and its largest error."""
    x = np.linspace(0, 1, 4 * (COLUMNS - 1) + 1)
    ys = _staircase(drawing, int(n), steepness, x)
    target = np.interp(x, T, drawing)
    return {
        "xs": x,
        "ys": ys,
        "error": np.abs(ys - target).max(),
        "python": "import numpy as np, sigmax\n"
        f"n, k, f = {int(n)}, {steepness}, np.array({drawing})\n"
        f"x, t, edges = np.linspace(0, 1, {len(x)}), np.linspace(0, 1, {COLUMNS}), np.linspace(0, 1, n + 1)\n"
        "rise = np.diff(h := np.interp(edges, t, f)); at = (edges[:-1] + edges[1:]) / 2\n"
        "total = h[0] + sigmax.sigmoid(n * k * (x[:, None] - at)) @ rise\n"
        "print(np.abs(total - np.interp(x, t, f)).max())",
    }


# ---------------------------------------------------------------- calibrated?

BINS = 10


@functools.cache
def _patients() -> tuple[Any, Any]:
    """Scores, and outcomes that happen with probability σ(score)."""
    random = np.random.default_rng(7)
    scores = random.normal(0, 1.7, 40_000)
    return scores, random.random(40_000) < sigmax.sigmoid(scores)


def _reliability(sharpness: float) -> tuple[Any, Any, Any]:
    """Mean prediction, part that came true, and count, in bins of equal width of the prediction."""
    scores, outcomes = _patients()
    p = sigmax.sigmoid(sharpness * scores)
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, p, BINS) / count
        happened = np.bincount(place, outcomes, BINS) / count
    return said, happened, count


def _calibration_error(sharpness: float) -> float:
    said, happened, count = _reliability(sharpness)
    return float(np.nansum(np.abs(said - happened) * count) / count.sum())


@chapter.figure(
    prints="said_example",
    presets={
        "honest": {"sharpness": 1.0},
        "boastful": {"sharpness": 3.3},
        "timid": {"sharpness": 0.3},
    },
    sharpness=Number(0.1, 5.0, 0.1, 3.3),
)
def reliability(sharpness: float) -> dict[str, Any]:
    """What was said against what happened, for scores multiplied by a sharpness."""
    said, happened, count = _reliability(sharpness)
    return {
        "said": said,
        "happened": happened,
        "count": count,
        "calibration_error": _calibration_error(sharpness),
        "said_example": sigmax.sigmoid(sharpness * 1.0),
        "true_example": sigmax.sigmoid(1.0),
        "python": f"import sigmax\nscore = 1.0\nprint(sigmax.sigmoid({sharpness} * score))",
    }


# ---------------------------------------------------------------- claims


@chapter.claim("T*", figure="curve", preset="odds")
def odds() -> list[Measured]:
    """e^x is the odds, and x its logarithm."""
    x = np.linspace(-30, 30, 10_001)
    ratio = sigmax.sigmoid(x) / sigmax.sigmoid(-x)
    near = np.linspace(-5, 5, 10_001)
    return [
        Measured("max |(p/(1−p))/e^x − 1|", np.abs(ratio / np.exp(x) - 1).max(), "≤", 1e-14),
        Measured(
            "max |logit(σ(x)) − x|",
            np.abs(sigmax.logit(sigmax.sigmoid(near)) - near).max(),
            "≤",
            1e-13,
        ),
    ]


@chapter.claim("T*", figure="ends", preset="double")
def closed_range() -> list[Measured]:
    """The ends are never reached by the function, but by its floats."""
    return [
        *(
            Measured(f'"{dtype}"', _first_one(dtype), "≤", round(bits * np.log(2), 2) + 0.01)
            for dtype, bits in (("float16", 12), ("float32", 25), ("float64", 54))
        ),
        Measured("1 − σ(30)", float(sigmax.sigmoid(-30.0)), ">", 0),
        Measured("σ(−745)", float(sigmax.sigmoid(-745.0)), ">", 0),
    ]


@chapter.claim("T", figure="curve", preset="middle")
def steepest_at_zero() -> list[Measured]:
    """The slope rises up to 0, where it is a quarter, and falls after."""
    x = np.linspace(-8, 8, 3201)
    slope = _slope(x)
    rises = np.diff(slope)
    return [
        Measured("σ′(0)", float(_slope(np.float64(0))), "=", 0.25),
        Measured('"left"', rises[: len(rises) // 2].min(), ">", 0),
        Measured('"right"', rises[len(rises) // 2 :].max(), "<", 0),
    ]


@chapter.claim("F", figure="curve", preset="middle")
def sigmoid_widens() -> list[Measured]:
    """Differences shrink to a quarter at most."""
    x, y = np.random.default_rng(4).normal(0, 2, (2, 100_000))
    shrunk = np.abs(sigmax.sigmoid(x) - sigmax.sigmoid(y)) / np.abs(x - y)
    return [Measured("max |σ(x)−σ(y)|/|x−y|", shrunk.max(), "≤", 0.25)]


@chapter.claim("F", figure="magnified", preset="kink")
def continuous_hence_differentiable() -> list[Measured]:
    """|x| is continuous; its slopes at 0 differ on the two sides. Those of the sigmoid agree."""
    h = 1e-6
    left, right = (abs(0.0) - abs(-h)) / h, (abs(h) - abs(0.0)) / h
    sides = [(sigmax.sigmoid(s * h) - sigmax.sigmoid(0.0)) / (s * h) for s in (-1, 1)]
    return [
        Measured('"left"', left, "=", -1),
        Measured('"right"', right, "=", 1),
        Measured('"apart"', abs(sides[1] - sides[0]), "≤", 1e-6),
    ]


@chapter.claim("T*", figure="steps", preset="steep")
def like_a_step() -> list[Measured]:
    """Away from the jump the gap vanishes; at the jump it stays one half."""
    away = max(abs(float(sigmax.sigmoid(1e4 * x)) - (x > 0)) for x in (-0.1, 0.1))
    return [
        Measured("max_(|x| ≥ 0.1) |σ(10000 x) − H(x)|", away, "≤", 1e-300),
        Measured("sup |σ(10000 x) − H(x)|", _gap_to_step(1e4), "=", 0.5),
    ]


@chapter.claim("T", figure="steps", preset="pulse")
def pulse() -> list[Measured]:
    """Two steps, one taken from the other."""
    k = 50.0
    inside = sigmax.sigmoid(k) - sigmax.sigmoid(-k)
    outside = sigmax.sigmoid(k * 3) - sigmax.sigmoid(k * 1)
    return [
        Measured("σ(k(0+1)) − σ(k(0−1))", float(inside), "≥", 1 - 1e-15),
        Measured("σ(k(2+1)) − σ(k(2−1))", float(outside), "≤", 1e-15),
    ]


def _wave_error(n: int) -> float:
    x = np.linspace(0, 1, 20_001)
    values = np.sin(2 * np.pi * np.linspace(0, 1, 20_001))
    return float(np.abs(_staircase(values, n, 8.0, x) - np.sin(2 * np.pi * x)).max())


@chapter.claim("T*", figure="staircase", preset="wave")
def every_function() -> list[Measured]:
    """On a closed interval the error halves with n; on the whole line one error stays."""
    errors = {n: _wave_error(n) for n in (5, 160, 320)}
    x = np.linspace(-200, 200, 40_001)
    values = np.sin(np.linspace(-np.pi, np.pi, 2001))
    everywhere = _staircase(values, 320, 8.0, (x + np.pi) / (2 * np.pi))
    return [
        Measured('"n = 5"', errors[5], "≤", 0.22),
        Measured('"n = 320"', errors[320], "≤", 0.003),
        Measured('"halving"', errors[160] / errors[320], "≥", 1.8),
        Measured('"line"', np.abs(everywhere - np.sin(x)).max(), ">", 0.999),
    ]


@chapter.claim("F", figure="staircase")
def like_fourier() -> list[Measured]:
    """Waves are orthogonal, steps are not."""
    t = (np.arange(10_000) + 0.5) / 10_000

    def cosine(f: Any, g: Any) -> float:
        return float(f @ g / np.sqrt((f @ f) * (g @ g)))

    waves = cosine(np.sin(2 * np.pi * t), np.sin(4 * np.pi * t))
    two = cosine(sigmax.sigmoid(100 * (t - 0.25)), sigmax.sigmoid(100 * (t - 0.75)))
    return [
        Measured('"waves"', abs(waves), "≤", 1e-12),
        Measured('"steps"', two, ">", 0.5),
    ]


@chapter.claim("T*", figure="reliability", preset="boastful")
def hence_a_probability() -> list[Measured]:
    """In [0, 1] both; calibrated is only the one."""
    return [
        Measured('"honest"', _calibration_error(1.0), "≤", 0.01),
        Measured('"boastful"', _calibration_error(3.3), "≥", 0.1),
    ]
