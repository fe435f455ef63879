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

INF, NAN, ZERO, ONE = arb.pos_inf(), arb.nan(), arb(0), arb(1)
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


# --- binary losses: one element, its label, sample weight, pos_weight and label smoothing ----------


def smoothed(y: arb, smoothing: arb) -> arb:
    return (1 - smoothing) * y + smoothing / 2


def binary_cross_entropy(x: arb, y: arb, s: arb = ONE, w: arb = ONE, e: arb = ZERO) -> arb:
    y = smoothed(y, e)
    return times(s, times(w * y, softplus(-x)) + times(1 - y, softplus(x)))


def binary_cross_entropy_vjp(
    x: arb, g: arb, y: arb, s: arb = ONE, w: arb = ONE, e: arb = ZERO
) -> arb:
    y = smoothed(y, e)
    return g * s * ((1 - y) * sigmoid(x) - w * y * sigmoid(-x))


def binary_cross_entropy_of_probabilities(
    p: arb, y: arb, s: arb = ONE, w: arb = ONE, e: arb = ZERO
) -> arb:
    y = smoothed(y, e)
    return -times(s, times(w * y, log(p)) + times(1 - y, log(1 - p)))


def binary_cross_entropy_of_probabilities_vjp(
    p: arb, g: arb, y: arb, s: arb = ONE, w: arb = ONE, e: arb = ZERO
) -> arb:
    y = smoothed(y, e)
    one = times(w * y, INF if p == 0 else 1 / p)
    zero = times(1 - y, INF if p == 1 else 1 / (1 - p))
    return times(g * s, zero - one)


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


# --- losses, of one row --------------------------------------------------------------------------
# q is the row's distribution over the classes (one-hot for a class index), `where` a row of 0 and 1.


def kept(values: Row, where: Row | None, masked: arb) -> Row:
    """`masked` where the mask is 0."""
    return [v if k == 1 else masked for v, k in zip(values, where or ones(values), strict=True)]


def one_hot(label: arb, num_classes: arb) -> Row:
    return [arb(int(label == k)) for k in range(int(float(num_classes)))]


def smooth_labels(
    q: Row, smoothing: arb, prior: Row | None = None, where: Row | None = None
) -> Row:
    """(1 − ε)·q + ε·prior, with the prior of the classes that are kept."""
    shares = kept(prior or ones(q), where, arb(0))
    share = smoothing / sum(shares, arb(0))
    return [(1 - smoothing) * v + times(k, share) for v, k in zip(q, shares, strict=True)]


def weighted_labels(
    q: Row,
    class_weight: Row | None = None,
    label_smoothing: arb = ZERO,
    smoothing_prior: Row | None = None,
    where: Row | None = None,
) -> Row:
    """w·q of the smoothed labels."""
    smooth = smooth_labels(q, label_smoothing, smoothing_prior, where)
    return [w * v for w, v in zip(class_weight or ones(q), smooth, strict=True)]


def inner(shares: Row, values: Row) -> arb:
    return sum((times(k, v) for k, v in zip(shares, values, strict=True)), arb(0))


def cross_entropy(
    x: Row,
    q: Row,
    temperature: arb = ONE,
    sample_weight: arb = ONE,
    z_loss: arb = ZERO,
    where: Row | None = None,
    **labels: Row | arb,
) -> arb:
    """s·Σ w q (−log p) + z·lse²."""
    x, wq = kept(x, where, -INF), weighted_labels(q, where=where, **labels)
    loss = -inner(wq, log_softmax(x, temperature))
    return times(sample_weight, loss) + times(z_loss, logsumexp(x, temperature) ** 2)


def cross_entropy_grad(
    x: Row,
    q: Row,
    temperature: arb = ONE,
    sample_weight: arb = ONE,
    z_loss: arb = ZERO,
    where: Row | None = None,
    **labels: Row | arb,
) -> Row:
    """(s·(p_i·Σ w q − w_i q_i) + 2z·lse·p_i)/T; 0 for what is masked and for a row without a class."""
    x, wq = kept(x, where, -INF), weighted_labels(q, where=where, **labels)
    p, a, lse = softmax(x, temperature), sum(wq, arb(0)), logsumexp(x, temperature)
    row = [
        sample_weight * (v * a - k) + times(2 * z_loss * v, lse) for v, k in zip(p, wq, strict=True)
    ]
    return kept([v / temperature for v in row], where, arb(0)) if sum(p, arb(0)) > 0 else p


def cross_entropy_of_probabilities(
    p: Row, q: Row, sample_weight: arb = ONE, where: Row | None = None, **labels: Row | arb
) -> arb:
    wq = weighted_labels(q, where=where, **labels)
    return times(sample_weight, -inner(wq, [log(v) for v in kept(p, where, arb(0))]))


def cross_entropy_of_probabilities_grad(
    p: Row, q: Row, sample_weight: arb = ONE, where: Row | None = None, **labels: Row | arb
) -> Row:
    """−s·w·q/p."""
    wq = weighted_labels(q, where=where, **labels)
    row = [-times(sample_weight * k, INF if v == 0 else 1 / v) for v, k in zip(p, wq, strict=True)]
    return kept(row, where, arb(0))


def teacher(q: Row, from_logits: arb, temperature: arb, where: Row | None) -> Row:
    """The distribution that labels stand for."""
    return softmax(kept(q, where, -INF), temperature) if from_logits == 1 else q


def log_teacher(q: Row, from_logits: arb, temperature: arb, where: Row | None) -> Row:
    """Its logarithms: of logits not by way of probabilities, which may be smaller than any ball tells from 0."""
    x = kept(q, where, -INF)
    return log_softmax(x, temperature) if from_logits == 1 else [log(v) for v in q]


def divergence(q: Row, log_q: Row, log_p: Row) -> arb:
    return inner(q, [a - b for a, b in zip(log_q, log_p, strict=True)])


def kl_divergence(
    x: Row,
    q: Row,
    temperature: arb = ONE,
    sample_weight: arb = ONE,
    where: Row | None = None,
    labels_from_logits: arb = ZERO,
) -> arb:
    """s·Σ q (log q − log p)."""
    log_q = log_teacher(q, labels_from_logits, temperature, where)
    q = teacher(q, labels_from_logits, temperature, where)
    return times(
        sample_weight, divergence(q, log_q, log_softmax(kept(x, where, -INF), temperature))
    )


def kl_divergence_grad(
    x: Row,
    q: Row,
    temperature: arb = ONE,
    sample_weight: arb = ONE,
    where: Row | None = None,
    labels_from_logits: arb = ZERO,
) -> Row:
    """That of the cross-entropy: the entropy of q is no function of x."""
    q = teacher(q, labels_from_logits, temperature, where)
    return cross_entropy_grad(x, q, temperature, sample_weight, where=where)


def kl_divergence_of_probabilities(
    p: Row,
    q: Row,
    sample_weight: arb = ONE,
    where: Row | None = None,
    labels_from_logits: arb = ZERO,
) -> arb:
    log_q = log_teacher(q, labels_from_logits, ONE, where)
    q = teacher(q, labels_from_logits, ONE, where)
    return times(sample_weight, divergence(q, log_q, [log(v) for v in kept(p, where, arb(0))]))


def kl_divergence_of_probabilities_grad(
    p: Row,
    q: Row,
    sample_weight: arb = ONE,
    where: Row | None = None,
    labels_from_logits: arb = ZERO,
) -> Row:
    q = teacher(q, labels_from_logits, ONE, where)
    return cross_entropy_of_probabilities_grad(p, q, sample_weight, where)


def distillation_loss(
    x: Row,
    y: Row,
    q: Row,
    temperature: arb = ONE,
    alpha: arb = ONE,
    sample_weight: arb = ONE,
    where: Row | None = None,
    **options: Row | arb,
) -> arb:
    """α·T²·KL(teacher_T ‖ student_T) + (1 − α)·cross_entropy, the latter at temperature 1."""
    soft = kl_divergence(x, y, temperature, sample_weight, where, ONE)
    hard = cross_entropy(x, q, ONE, sample_weight, where=where, **options)
    return times(alpha * temperature**2, soft) + times(1 - alpha, hard)


def distillation_loss_grad(
    x: Row,
    y: Row,
    q: Row,
    temperature: arb = ONE,
    alpha: arb = ONE,
    sample_weight: arb = ONE,
    where: Row | None = None,
    **options: Row | arb,
) -> Row:
    soft = kl_divergence_grad(x, y, temperature, sample_weight, where, ONE)
    hard = cross_entropy_grad(x, q, ONE, sample_weight, where=where, **options)
    factors = alpha * temperature**2, 1 - alpha
    return [inner(list(factors), [a, b]) for a, b in zip(soft, hard, strict=True)]


def linear_logits(features: Row, weight: list[Row], bias: Row | None) -> Row:
    shifts = bias or [arb(0)] * len(weight)
    return [inner(w, features) + b for w, b in zip(weight, shifts, strict=True)]


def linear_cross_entropy(
    features: Row, weight: list[Row], q: Row, bias: Row | None = None, **options: Row | arb
) -> arb:
    return cross_entropy(linear_logits(features, weight, bias), q, **options)


def linear_cross_entropy_grad(
    features: Row, weight: list[Row], q: Row, bias: Row | None = None, **options: Row | arb
) -> Row:
    """Of the features, then of the weights of each class, then of the bias."""
    slopes = cross_entropy_grad(linear_logits(features, weight, bias), q, **options)
    of_features = [inner(slopes, [w[k] for w in weight]) for k in range(len(features))]
    return [*of_features, *(g * f for g in slopes for f in features), *slopes]


# --- evaluation ----------------------------------------------------------------------------------


def settled(v: arb) -> bool:
    """100 proven bits, or proven to be below 2^-1400 in size or in error."""
    return v.rel_accuracy_bits() >= 100 or not v.mid().is_finite() or v.rad() < arb((1, -1400))


def of_floats(a: np.ndarray) -> arb | Row:
    numbers = a.astype(float).tolist()
    return list(map(arb, numbers)) if a.ndim else arb(numbers)


def as_exact(value: object) -> object:
    """Floats of any type as `arb`, which represents each of them; arrays as lists."""
    if isinstance(value, np.ndarray):
        return [as_exact(v) for v in value] if value.ndim > 1 else of_floats(value)
    return value if value is None or isinstance(value, arb) else arb(float(value))  # type: ignore[arg-type]


def has_nan(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.isnan(value).any())
    if isinstance(value, list):
        return any(map(has_nan, value))
    return value.is_nan() if isinstance(value, arb) else value is not None and math.isnan(value)  # type: ignore[arg-type]


def exact(function: Callable[..., arb | Row], *arguments: object, **options: object) -> arb | Row:
    """function(...) proven to 100 bits; NaN anywhere in the row makes all of it NaN."""
    exact_arguments = [as_exact(a) for a in arguments]
    exact_options = {k: as_exact(v) for k, v in options.items()}
    poisoned = any(map(has_nan, arguments))
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
        found = np.asarray(result).astype(float).ravel()
        name = np.dtype(dtype).name
        if len(found) != len(exact_list):
            raise ValueError(f"{len(found)} results for {len(exact_list)} exact values")
        errors, usual = distances(found, exact_list, name)
        for i in np.flatnonzero(~usual):
            errors[i] = distance(float(found[i]), exact_list[i], name)
        return errors
    finally:
        ctx.prec = before


def distances(found: np.ndarray, exact_list: Sequence[arb], dtype: str) -> tuple[np.ndarray, ...]:
    """`distance` of each, in pairs of doubles, and where these can tell it: where all is well inside their range."""
    nearest = np.array(list(map(float, exact_list)))
    with np.errstate(all="ignore"):
        usual = (np.abs(nearest) > 2.0**-900) & (np.abs(nearest) < 2.0**900) & np.isfinite(found)
    values = zip(exact_list, nearest.tolist(), usual.tolist(), strict=True)
    rest = np.array([float(v - near) if ok else 0.0 for v, near, ok in values])
    precision, least = FORMATS[dtype]
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(nearest)
        # A value just below a power of 2 that rounds to it has the unit of the numbers below.
        below = (np.abs(mantissa) == 0.5) & (rest * mantissa < 0)
        leading = exponent - 1 - below
        unit = np.ldexp(1.0, np.maximum(leading, least) - precision + 1)
        return np.abs((found - nearest) - rest) / unit, usual
