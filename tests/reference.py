"""What every function means, in ball arithmetic (python-flint's `arb`), and errors in ULP.

Each definition is the textbook formula with the extended-real limits of the contract, on one row
(a list of `arb`). No formula here is arranged to be stable: `exact` evaluates it at rising precision
until the balls prove 100 correct bits (or that the value is below 2^-1400, far under every
subnormal), so cancellation cannot matter.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from flint import arb, ctx

INF, NAN, ONE = arb.pos_inf(), arb.nan(), arb(1)
Row = list[arb]


# --- helpers -------------------------------------------------------------------------------------


def log(v: arb) -> arb:
    return -INF if v == 0 else v.log()


def times(share: arb, v: arb) -> arb:
    """0·inf = 0: what has no share does not count."""
    return arb(0) if share == 0 else share * v


def average(values: Row) -> arb:
    return sum(values, arb(0)) / max(len(values), 1)


def proper(p: Row) -> Row:
    """A row with a number outside [0, 1] is all NaN."""
    return p if all(0 <= v <= 1 for v in p) else [NAN] * len(p)


def ones(x: Row) -> Row:
    return [arb(1)] * len(x)


def largest(x: Row, weights: Row) -> arb:
    """The largest entry that counts; -inf when none does."""
    return max((v for v, w in zip(x, weights, strict=True) if w != 0), default=-INF)


def shares(x: Row, temperature: arb, weights: Row | None = None) -> Row:
    """w·e^((x - max)/T) as a limit: 0 in a row without a class, w for +inf and 0 beside it."""
    w = weights or ones(x)
    top = largest(x, w)
    if not top.is_finite():
        return [k if v == INF else arb(0) for v, k in zip(x, w, strict=True)]
    return [times(k, ((v - top) / temperature).exp()) for v, k in zip(x, w, strict=True)]


# --- elementwise ---------------------------------------------------------------------------------


def sigmoid(x: arb) -> arb:
    return min(x, arb(0)).exp() / (1 + (-abs(x)).exp())


def softplus(x: arb) -> arb:
    return max(x, arb(0)) + (-abs(x)).exp().log1p()


def log_sigmoid(x: arb) -> arb:
    return -softplus(-x)


def logit(p: arb) -> arb:
    return log(p) - log(1 - p) if 0 <= p <= 1 else NAN


def log1mexp(x: arb) -> arb:
    return log(-x.expm1()) if x <= 0 else NAN


def sigmoid_vjp(x: arb, g: arb) -> arb:
    return g * sigmoid(x) * sigmoid(-x)


def softplus_vjp(x: arb, g: arb) -> arb:
    return g * sigmoid(x)


def log_sigmoid_vjp(x: arb, g: arb) -> arb:
    return g * sigmoid(-x)


def logit_vjp(p: arb, g: arb) -> arb:
    if p == 0 or p == 1:
        return times(g, INF)
    return g / p / (1 - p) if 0 < p < 1 else NAN


def log1mexp_vjp(x: arb, g: arb) -> arb:
    if x == 0:
        return -times(g, INF)
    return g * x.exp() / x.expm1() if x < 0 else NAN


# --- along an axis -------------------------------------------------------------------------------


def softmax(x: Row, temperature: arb = ONE) -> Row:
    e = shares(x, temperature)
    total = sum(e, arb(0))
    return [v / total for v in e] if total > 0 else e


def log_softmax(x: Row, temperature: arb = ONE) -> Row:
    if not max(x, default=-INF).is_finite():
        return [log(p) for p in softmax(x, temperature)]
    total = logsumexp(x, temperature)
    return [v / temperature - total for v in x]


def logsumexp(x: Row, temperature: arb = ONE, weights: Row | None = None) -> arb:
    top = largest(x, weights or ones(x))
    total = sum(shares(x, temperature, weights), arb(0))
    return top / temperature + log(total) if top.is_finite() else top


def inverse_softmax(p: Row) -> Row:
    """A class of probability 0 is at -inf and left out of the mean."""
    mean = average([log(v) for v in p if v != 0])
    return [log(v) - mean if v != 0 else -INF for v in proper(p)]


def entropy(x: Row, temperature: arb = ONE) -> arb:
    terms = zip(softmax(x, temperature), log_softmax(x, temperature), strict=True)
    return -sum((times(p, logp) for p, logp in terms), arb(0))


def entropy_of_probabilities(p: Row) -> arb:
    return -sum((times(v, log(v)) for v in proper(p)), arb(0))


def softmax_vjp(x: Row, g: Row, temperature: arb = ONE) -> Row:
    p = softmax(x, temperature)
    mean = sum((v * c for v, c in zip(p, g, strict=True)), arb(0))
    return [v * (c - mean) / temperature for v, c in zip(p, g, strict=True)]


def log_softmax_vjp(x: Row, g: Row, temperature: arb = ONE) -> Row:
    p, total = softmax(x, temperature), sum(g, arb(0))
    row = [(c - v * total) / temperature for v, c in zip(p, g, strict=True)]
    return row if sum(p, arb(0)) > 0 else p


def logsumexp_vjp(x: Row, g: arb, temperature: arb = ONE, weights: Row | None = None) -> Row:
    e = shares(x, temperature, weights)
    total = sum(e, arb(0))
    return [g * v / total / temperature for v in e] if total > 0 else e


def inverse_softmax_vjp(p: Row, g: Row) -> Row:
    mean = average([c for v, c in zip(p, g, strict=True) if v != 0])
    return [(c - mean) / v if v != 0 else arb(0) for v, c in zip(proper(p), g, strict=True)]


def entropy_vjp(x: Row, g: arb, temperature: arb = ONE) -> Row:
    h = entropy(x, temperature)
    terms = zip(softmax(x, temperature), log_softmax(x, temperature), strict=True)
    return [-g * times(p, logp + h) / temperature for p, logp in terms]


def entropy_of_probabilities_vjp(p: Row, g: arb) -> Row:
    return [-times(g, log(v) + 1) for v in proper(p)]


# --- evaluation ----------------------------------------------------------------------------------


def settled(v: arb) -> bool:
    """100 proven bits, or proven to be below 2^-1400 in size or in error."""
    return v.rel_accuracy_bits() >= 100 or not v.mid().is_finite() or v.rad() < arb((1, -1400))


def as_exact(value: object) -> object:
    """Floats of any type as `arb`, which represents each of them; arrays as lists."""
    if isinstance(value, np.ndarray):
        return [arb(v) for v in value.astype(float).tolist()] if value.ndim else arb(float(value))
    return value if value is None or isinstance(value, arb) else arb(float(value))  # type: ignore[arg-type]


def has_nan(value: object) -> bool:
    return (
        any(v.is_nan() for v in value)
        if isinstance(value, list)
        else isinstance(value, arb) and value.is_nan()
    )


def exact(function: Callable[..., arb | Row], *arguments: object, **options: object) -> arb | Row:
    """function(...) proven to 100 bits; NaN anywhere in the row makes all of it NaN."""
    exact_arguments = [as_exact(a) for a in arguments]
    exact_options = {k: as_exact(v) for k, v in options.items()}
    poisoned = any(map(has_nan, exact_arguments))
    before = ctx.prec
    try:
        for ctx.prec in (192, 384, 768, 1536, 3072, 6144):
            result = function(*exact_arguments, **exact_options)
            if poisoned:
                return [NAN] * len(result) if isinstance(result, list) else NAN
            # An infinite radius is a failed evaluation, not the number inf, whose ball is exact.
            values = result if isinstance(result, list) else [result]
            if all(settled(v) and (v.is_nan() or v.rad().is_finite()) for v in values):
                return result
    finally:
        ctx.prec = before
    raise ArithmeticError(f"{function.__name__}{arguments} needs more than 6144 bits")


FORMATS = {
    "float16": (11, -14),
    "bfloat16": (8, -126),
    "float32": (24, -126),
    "float64": (53, -1022),
}  # precision, emin


def ulp_exponent(value: arb, dtype: str) -> int:
    """k where 2^k is one unit in the last place of the value in this type; never less than its smallest subnormal."""
    precision, least = FORMATS[dtype]
    mantissa, exponent = value.mid().man_exp()
    leading = int(exponent) + int(abs(mantissa)).bit_length() - 1 if mantissa else least
    return max(leading, least) - precision + 1


def distance(result: float, value: arb, dtype: str) -> float:
    """|result − value| in ULP. inf and NaN must match, except that an overflow counts as the next power of two."""
    if value.is_nan() or math.isnan(result):
        return 0.0 if value.is_nan() and math.isnan(result) else math.inf
    if value == result:
        return 0.0
    if not value.is_finite() or (math.isinf(result) and (result > 0) != (value > 0)):
        return math.inf
    scale = arb((1, -ulp_exponent(value, dtype)))
    if math.isinf(result):
        return max(0.0, float((arb((1, 2 - FORMATS[dtype][1])) - abs(value)) * scale))
    return abs(float((value - result).mid() * scale))


def ulp_error(result: np.ndarray, exact_list: Sequence[arb], dtype: object) -> np.ndarray:
    """The error of each result in units in the last place (of the exact value) of the result type."""
    before, ctx.prec = ctx.prec, 192
    try:
        values = np.asarray(result).astype(float).ravel().tolist()
        name = np.dtype(dtype).name
        return np.array([distance(r, e, name) for r, e in zip(values, exact_list, strict=True)])
    finally:
        ctx.prec = before
