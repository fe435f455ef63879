"""The seeded inputs on which accuracy is measured, and the measuring.

Used by test_accuracy.py and tools/accuracy.py. The unit is one unit in the last place (ULP) of the
exact result, subnormal results included. Sums of terms of both signs have no better answer than their
condition allows: when the terms outweigh the result by more than CANCELLATION says for the type, the
unit is an ULP of the terms divided by that factor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import reference
from numpy.typing import NDArray

import sigmax
from sigmax import _core
from sigmax._reduction import reduced

try:
    from ml_dtypes import bfloat16
except ImportError:  # pragma: no cover - bfloat16 is optional
    bfloat16 = None

Array = NDArray[np.float64]
TYPES = {"float16": np.float16, "float32": np.float32, "float64": np.float64} | (
    {"bfloat16": bfloat16} if bfloat16 else {}
)
UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}

# float32 and the half types are computed wider, which pays for cancellation; float64 has less room.
CANCELLATION = {"float16": 2.0**20, "bfloat16": 2.0**20, "float32": 2.0**20, "float64": 2.0**4}

ELEMENTWISE = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
BINARY_LOSSES = ("binary_cross_entropy", "binary_cross_entropy_of_probabilities")
AXIS = (
    "logsumexp",
    "softmax",
    "log_softmax",
    "inverse_softmax",
    "entropy",
    "entropy_of_probabilities",
)
CLASSES = (1, 2, 3, 7, 10, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000)
MANY_CLASSES = (50_257, 1_000_000)


@dataclass(frozen=True)
class Error:
    """An error in ULP, and the input that shows it."""

    ulp: float
    where: str

    def __lt__(self, other: "Error") -> bool:
        return self.ulp < other.ulp


def public(name: str) -> tuple[Callable[..., object], dict[str, object]]:
    """The public function a reference defines, with the options that select it."""
    if name == "entropy_of_probabilities":
        return sigmax.entropy, {"from_logits": False}
    return getattr(sigmax, name), {}


def as_float(x: NDArray[np.floating]) -> Array:
    """Without NumPy's warning about signalling NaN."""
    with np.errstate(invalid="ignore"):
        return x.astype(float)


def generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(list("/".join(map(str, key)).encode()))


# --- elementwise ---------------------------------------------------------------------------------


def from_bits(bits: NDArray[np.unsignedinteger], dtype: str) -> NDArray[np.floating]:
    kind = np.dtype(TYPES[dtype])
    return bits.astype(UNSIGNED[kind.itemsize]).view(kind)


def bit_patterns(dtype: str, per_exponent: int = 24) -> NDArray[np.floating]:
    """All values of a half type; else, for every exponent and sign, its ends and seeded mantissas."""
    size = np.dtype(TYPES[dtype]).itemsize
    if size == 2:
        return from_bits(np.arange(2**16), dtype)
    mantissa_bits = reference.FORMATS[dtype][0] - 1
    tops = np.arange(2 ** (8 * size - mantissa_bits), dtype=np.uint64)[:, None] << np.uint64(
        mantissa_bits
    )
    mantissas = generator("bits", dtype).integers(
        0, 2**mantissa_bits, (len(tops), per_exponent), dtype=np.uint64
    )
    mantissas[:, 0], mantissas[:, 1] = 0, 2**mantissa_bits - 1
    return from_bits((tops | mantissas).ravel(), dtype)


def edges(dtype: str) -> NDArray[np.floating]:
    """Where results become subnormal, saturate or cross 0; the neighbours of ½, 1 and -ln 2."""
    kind = TYPES[dtype]
    seeded = generator("edges", dtype)
    precision = reference.FORMATS[dtype][0]
    # e^x is subnormal, or 1 + e^x all but 1.
    rails = (
        ((-750, -700) if dtype == "float64" else (-105, -80)),
        (-precision * 0.75, -precision * 0.6),
    )
    far = np.concatenate([seeded.uniform(low, high, 1500) for low, high in rails])
    middle = [
        seeded.uniform(-40, 40, 2000),
        seeded.uniform(0, 1, 2000),
        seeded.normal(0, 0.01, 500),
    ]
    near = np.array([0.5, 1.0, -np.log(2.0), 0.25, 0.75])[:, None]
    steps = seeded.integers(-200, 200, (len(near), 100)) * 2.0**-precision
    wider = seeded.normal(0, 1, (len(near), 100)) * 10.0 ** seeded.uniform(
        -12, -1, (len(near), 100)
    )
    return np.concatenate([far, -far, *middle, *(near + steps), *(near + wider)]).astype(kind)


@cache
def elementwise_inputs(name: str, dtype: str) -> NDArray[np.floating]:
    x = bit_patterns(dtype)
    if np.dtype(TYPES[dtype]).itemsize > 2:
        x = np.concatenate([x, edges(dtype)])
        inside = {"logit": (x >= 0) & (x <= 1), "log1mexp": x <= 0}.get(name, np.ones(len(x), bool))
        # Outside the domain the result is NaN: a few of those are enough.
        x = np.concatenate([x[inside], x[~inside][:: max(1, int((~inside).sum() / 50))]])
    return x


def elementwise_error(name: str, dtype: str) -> Error:
    x = elementwise_inputs(name, dtype)
    exact = [reference.exact(getattr(reference, name), v) for v in as_float(x).tolist()]
    result = getattr(sigmax, name)(x)
    assert result.dtype == x.dtype
    errors = reference.ulp_error(result, exact, dtype)
    worst = int(errors.argmax())
    return Error(
        float(errors[worst]),
        f"{name}({dtype} {float(x[worst]).hex()}) = {float(result[worst]).hex()}",
    )


def elementwise_vjp_error(name: str, dtype: str) -> Error:
    x = elementwise_inputs(name, dtype)
    x = x[:: 3 if np.dtype(x.dtype).itemsize == 2 else 1]
    g = generator("cotangent", name, dtype).normal(0, 1, len(x)).astype(x.dtype)
    definition = getattr(reference, f"{name}_vjp")
    exact = [
        reference.exact(definition, a, b)
        for a, b in zip(as_float(x).tolist(), as_float(g).tolist(), strict=True)
    ]
    result = sigmax.vjp(getattr(sigmax, name), x, g)
    assert result.dtype == x.dtype
    errors = reference.ulp_error(result, exact, dtype)
    worst = int(errors.argmax())
    where = f"vjp({name}, {dtype} {float(x[worst]).hex()}, {float(g[worst]).hex()}) = {float(result[worst]).hex()}"
    return Error(float(errors[worst]), where)


# --- binary losses -------------------------------------------------------------------------------


@dataclass(frozen=True)
class BinaryLossInputs:
    """Elements, each with options of its own; the gradient is divided by the divisor."""

    x: NDArray[np.floating]
    labels: NDArray[np.floating]
    options: tuple[Array, Array, Array]  # sample weight, pos_weight, label smoothing
    divisor: Array


@cache
def binary_loss_inputs(name: str, dtype: str) -> BinaryLossInputs:
    """Hard and soft labels, and options of which most are the default."""
    x = elementwise_inputs("logit" if name.endswith("probabilities") else "sigmoid", dtype)
    x = x[:: 4 if np.dtype(x.dtype).itemsize == 2 else 2]
    if name.endswith("probabilities"):
        with np.errstate(invalid="ignore"):
            x = x[(x >= 0) & (x <= 1)]
    seeded = generator("binary loss", name, dtype)

    def some(share: float, values: Array, default: Array | float) -> Array:
        return np.where(seeded.random(len(x)) < share, values, default)

    hard = seeded.integers(0, 2, len(x)).astype(float)
    labels = some(0.4, seeded.random(len(x)), hard)
    labels = some(0.1, 10.0 ** -seeded.uniform(0, 7, len(x)), labels)
    weight = some(0.4, seeded.normal(0, 1, len(x)) * 10.0 ** seeded.uniform(-3, 3, len(x)), 1.0)
    pos_weight = some(0.4, 10.0 ** seeded.uniform(-3, 3, len(x)), 1.0)
    smoothing = some(0.3, seeded.random(len(x)), 0.0)
    divisor = some(0.7, 10.0 ** seeded.uniform(0, 7, len(x)), 1.0)
    return BinaryLossInputs(x, labels.astype(x.dtype), (weight, pos_weight, smoothing), divisor)


def binary_loss_error(name: str, dtype: str) -> Error:
    inputs = binary_loss_inputs(name, dtype)
    losses = getattr(_core, name)(inputs.x, inputs.labels, *inputs.options)
    result = reduced(losses, "none", 1.0, inputs.x.dtype)
    columns = [as_float(inputs.x), as_float(inputs.labels), *inputs.options]
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    exact = [reference.exact(getattr(reference, name), *row) for row in rows]
    return worst_of(reference.ulp_error(result, exact, dtype), name, dtype, rows, result, exact)


def binary_loss_gradient_error(name: str, dtype: str) -> Error:
    inputs = binary_loss_inputs(name, dtype)
    gradient = getattr(_core, f"{name}_gradient")
    _, result = gradient(inputs.x, inputs.labels, *inputs.options, inputs.divisor)
    assert result.dtype == inputs.x.dtype
    definition = getattr(reference, f"{name}_vjp")
    columns = [as_float(inputs.x), as_float(inputs.labels), *inputs.options]
    x, *others = (column.tolist() for column in columns)
    rows = list(zip(x, inputs.divisor.tolist(), *others, strict=True))
    exact = [reference.exact(lambda x, d, *rest: definition(x, 1 / d, *rest), *row) for row in rows]
    errors = in_units(result, exact, size_of_slopes(name, inputs), dtype)
    return worst_of(errors, f"vjp({name})", dtype, rows, result, exact)


def size_of_slopes(name: str, inputs: BinaryLossInputs) -> Array:
    """The sum of both terms of a gradient, whose difference it is; 0 where there is one alone."""
    x, y = as_float(inputs.x), as_float(inputs.labels)
    weight, pos_weight, smoothing = inputs.options
    y = (1 - smoothing) * y + smoothing / 2
    with np.errstate(all="ignore"):
        if name.endswith("probabilities"):
            slopes = (1 - y) / (1 - x) + pos_weight * y / x
        else:
            slopes = (1 - y) / (1 + np.exp(-x)) + pos_weight * y / (1 + np.exp(x))
        both = (y != 0) & (y != 1) & (pos_weight != 0) & np.isfinite(slopes)
        return np.where(both, np.abs(weight / inputs.divisor) * slopes, 0.0)


def worst_of(
    errors: Array, name: str, dtype: str, rows: list, result: Array, exact: list[reference.arb]
) -> Error:
    i = int(errors.argmax())
    found = f"{float(result[i])!r}, exact {exact[i].str(20, radius=False)}"
    return Error(float(errors[i]), f"{name}{tuple(map(str, rows[i]))} {dtype}: {found}")


# --- along an axis -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Rows of one kind, each with its temperature."""

    kind: str
    x: NDArray[np.floating]
    temperature: Array


def temperatures(seeded: np.random.Generator, count: int) -> Array:
    """1e-3 … 1e3, rounded to 8 bits: the same number in every type."""
    mantissa, exponent = np.frexp(10.0 ** seeded.uniform(-3, 3, count))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def logit_cases(dtype: str, classes: int, rows: int) -> Iterator[Case]:
    seeded = generator("logits", dtype, classes)
    limit = 6e4 if dtype == "float16" else 1e38
    deepest = {"float16": 18.0, "bfloat16": 95.0, "float32": 105.0, "float64": 750.0}[dtype]
    normal = lambda: seeded.normal(0, 1, (rows, classes))  # noqa: E731
    plain = np.ones(rows)

    def case(kind: str, x: Array, temperature: Array = plain) -> Case:
        return Case(kind, np.clip(x, -limit, limit).astype(TYPES[dtype]), temperature)

    for spread in (1e-3, 1.0, 30.0, 1e4):
        yield case(f"spread {spread:g}", normal() * spread)
    for offset in (-100.0, 3e3, 1e30):
        yield case(f"offset {offset:g}", normal() * max(1.0, offset / 1e3) + offset)
    yield case("subnormal results", -deepest * seeded.random((rows, classes)))
    confident = normal()
    confident[np.arange(rows), seeded.integers(0, classes, rows)] += seeded.uniform(
        5, deepest, rows
    )
    yield case("confident winner", confident)
    yield case("exact ties", seeded.integers(0, 3, (rows, classes)).astype(float))
    yield case("all equal", np.full((rows, classes), 0.7))
    t = temperatures(seeded, rows)
    yield case("temperature", normal(), t)
    t = temperatures(seeded, rows)
    yield case("temperature and spread", 3 * normal() * t[:, None], t)


def probability_cases(dtype: str, classes: int, rows: int) -> Iterator[Case]:
    """Probabilities from logits, rounded to the type; at least its smallest normal number."""
    least = float(np.finfo(TYPES[dtype]).tiny) if dtype != "bfloat16" else 2.0**-126
    for case in logit_cases(dtype, classes, rows):
        if case.kind.split()[0] not in ("offset", "temperature"):
            x = case.x.astype(float)
            e = np.exp(x - x.max(axis=1, keepdims=True))
            p = np.maximum(e / e.sum(axis=1, keepdims=True), least)
            yield Case(case.kind, p.astype(case.x.dtype), case.temperature)


LARGE = 2.0**12  # as a loss scale: lifts probabilities from below the normal numbers of the type


def cotangents(
    kind: str, like: NDArray[np.floating], seeded: np.random.Generator
) -> NDArray[np.floating]:
    g = {
        "one-hot": lambda: (
            np.arange(like.shape[1]) == seeded.integers(0, like.shape[1], (len(like), 1))
        ),
        "large": lambda: seeded.random(like.shape) * LARGE,
        "mixed": lambda: seeded.normal(0, 1, like.shape),
    }[kind]()
    return g.astype(like.dtype)


def weighted(p: Array, values: Array) -> Array:
    """Σ_j p_j |v_i - v_j| for every i of one row."""
    if (
        len(values) > 2000
    ):  # an upper bound will do: the distance from the centre, and the mean one of the others
        centre = np.abs(values - (p * values).sum())
        return centre + (p * centre).sum()
    return np.concatenate(
        [np.abs(values[i : i + 32, None] - values) @ p for i in range(0, len(values), 32)]
    )


def softmax_float64(x: Array, temperature: float) -> Array:
    e = np.exp((x - x.max()) / temperature)
    return e / e.sum()


def size_of_terms(
    name: str, x: Array, temperature: float, g: Array | None, weights: Array | None
) -> Array | float:
    """Σ|terms| of the sum that a result is, of inputs known exactly; 0 if they share a sign."""
    n = len(x)
    if name == "logsumexp":
        return abs(x.max() / temperature) + abs(
            np.log(
                np.sum(np.exp((x - x.max()) / temperature) * (1 if weights is None else weights))
            )
        )
    if name == "inverse_softmax":
        return weighted(np.full(n, 1 / n), np.log(x))
    if name == "entropy_of_probabilities_vjp":
        return np.abs(g) * (np.abs(np.log(x)) + 1)
    if name == "inverse_softmax_vjp":
        with np.errstate(over="ignore"):
            return weighted(np.full(n, 1 / n), g) / x
    p = softmax_float64(x, temperature)
    if name == "softmax_vjp":
        return p * weighted(p, g) / temperature
    if name == "log_softmax_vjp":
        return (np.abs(g) * (1 - p) + p * (np.abs(g).sum() - np.abs(g))) / temperature
    if name == "entropy_vjp":
        return np.abs(g) * p * weighted(p, x / temperature) / temperature
    return 0.0


def in_units(
    result: NDArray[np.floating], exact: list[reference.arb], terms: Array | float, dtype: str
) -> Array:
    """Errors in ULP, or in ULP of terms / CANCELLATION where that is larger than the result."""
    errors = reference.ulp_error(result, exact, dtype)
    with np.errstate(over="ignore"):
        size = np.abs(np.array([float(v) for v in exact]))
        floor = np.broadcast_to(np.asarray(terms, float) / CANCELLATION[dtype], size.shape)
        larger = np.isfinite(floor) & (floor > size)
        precision, least = reference.FORMATS[dtype]
        leading = lambda v: np.where(v > 0, np.frexp(v)[1] - 1, least)  # noqa: E731
        ulp = lambda v: np.ldexp(1.0, np.maximum(leading(v), least) - precision + 1)  # noqa: E731
        return np.where(larger, errors * (ulp(size) / ulp(np.where(larger, floor, 1.0))), errors)


def as_list(value: reference.arb | list[reference.arb]) -> list[reference.arb]:
    return value if isinstance(value, list) else [value]


def row_error(name: str, case: Case, sample: int | None, **extra: NDArray[np.floating]) -> Error:
    """The largest error of a function, or with a cotangent of its vjp, over the rows of a case."""
    dtype = case.x.dtype.name
    function, options = public(name)
    options = dict(options)
    if "weights" in extra:
        options["weights"] = extra["weights"]
    takes_temperature = name not in ("inverse_softmax", "entropy_of_probabilities")
    if takes_temperature and (case.temperature != 1).any():
        options["temperature"] = case.temperature
    g = extra.get("cotangent")
    result = np.asarray(
        function(case.x, **options) if g is None else sigmax.vjp(function, case.x, g, **options)
    )
    assert result.dtype == case.x.dtype, f"{name}: {result.dtype} from {case.x.dtype}"
    definition = name if g is None else f"{name}_vjp"
    worst = Error(-1.0, "")
    for i, (x, t) in enumerate(zip(case.x, case.temperature.tolist(), strict=True)):
        arguments = [x] if g is None else [x, g[i]]
        named = {"temperature": t} if takes_temperature else {}
        if "weights" in extra:
            named["weights"] = extra["weights"]
        exact = as_list(reference.exact(getattr(reference, definition), *arguments, **named))
        terms = size_of_terms(
            definition,
            x.astype(float),
            t,
            None if g is None else g[i].astype(float),
            extra.get("weights"),
        )
        row = result[i].reshape(-1)
        chosen = np.arange(len(row))
        if sample and len(row) > sample:
            chosen = np.r_[
                int(x.argmax()), generator("sample", definition, i).integers(0, len(row), sample)
            ]
            terms = np.broadcast_to(terms, row.shape)[chosen]
        errors = in_units(row[chosen], [exact[j] for j in chosen], terms, dtype)
        j = int(errors.argmax())
        found = f"{float(row[chosen[j]])!r}, exact {exact[chosen[j]].str(20, radius=False)}"
        where = f"{definition} {dtype} {case.kind}: row {i} of {len(x)} classes, T={t!r}, class {chosen[j]}: {found}"
        worst = max(worst, Error(float(errors[j]), where))
    return worst


def cases_for(name: str, dtype: str, classes: int, rows: int) -> Iterator[Case]:
    return (
        probability_cases
        if name in ("inverse_softmax", "entropy_of_probabilities")
        else logit_cases
    )(dtype, classes, rows)


def axis_error(
    name: str,
    dtype: str,
    classes: int,
    rows: int = 2,
    kinds: tuple[str, ...] = (),
    sample: int | None = None,
) -> Error:
    worst = Error(-1.0, "")
    seeded = generator("weights", dtype, classes)
    for case in cases_for(name, dtype, classes, rows):
        if kinds and case.kind not in kinds:
            continue
        worst = max(worst, row_error(name, case, sample))
        if name == "logsumexp":
            worst = max(
                worst,
                row_error(
                    name,
                    case,
                    sample,
                    weights=seeded.random(classes).astype(case.x.dtype) + case.x.dtype.type(0.125),
                ),
            )
    return worst


def axis_vjp_error(
    name: str,
    dtype: str,
    classes: int,
    rows: int = 2,
    kinds: tuple[str, ...] = (),
    sample: int | None = None,
) -> Error:
    seeded = generator("vjp", name, dtype, classes)
    scalar = name in ("logsumexp", "entropy", "entropy_of_probabilities")
    worst = Error(-1.0, "")
    for case in cases_for(name, dtype, classes, rows):
        if kinds and case.kind not in kinds:
            continue
        for kind in ("large", "mixed") if scalar else ("one-hot", "large", "mixed"):
            g = cotangents(kind, case.x[:, :1] if scalar else case.x, seeded)
            g = g[:, 0] if scalar else g
            named = Case(f"{case.kind}, {kind} cotangent", case.x, case.temperature)
            worst = max(worst, row_error(name, named, sample, cotangent=g))
    return worst


# --- losses --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """A loss with one kind of labels: the public function and its definition."""

    function: str
    definition: str
    labels: str
    options: dict[str, object]  # of both
    flags: dict[str, bool]  # of the function: they choose the definition


LOSSES = {
    "cross_entropy(x, class indices)": Loss("cross_entropy", "cross_entropy", "hard", {}, {}),
    "cross_entropy(x, distributions)": Loss("cross_entropy", "cross_entropy", "soft", {}, {}),
    "cross_entropy(x, class indices, label_smoothing=0.1)": Loss(
        "cross_entropy", "cross_entropy", "hard", {"label_smoothing": 0.1}, {}
    ),
    "cross_entropy(p, distributions, from_logits=False)": Loss(
        "cross_entropy", "cross_entropy_of_probabilities", "soft", {}, {"from_logits": False}
    ),
    "kl_divergence(x, distributions)": Loss("kl_divergence", "kl_divergence", "soft", {}, {}),
    "kl_divergence(x, logits, labels_from_logits=True)": Loss(
        "kl_divergence", "kl_divergence", "logits", {"labels_from_logits": True}, {}
    ),
    "kl_divergence(p, distributions, from_logits=False)": Loss(
        "kl_divergence", "kl_divergence_of_probabilities", "soft", {}, {"from_logits": False}
    ),
    "distillation_loss(x, logits, class indices, alpha=0.5)": Loss(
        "distillation_loss", "distillation_loss", "logits and hard", {"alpha": 0.5}, {}
    ),
}
LOSS_CLASSES = (1, 2, 3, 10, 17, 32, 33, 100, 1000)


def loss_cases(loss: Loss, dtype: str, classes: int, rows: int) -> Iterator[Case]:
    """Probabilities are those of the logits rounded to the type, 0 and subnormal numbers included."""
    for case in logit_cases(dtype, classes, rows):
        if loss.flags.get("from_logits", True):
            yield case
        elif case.kind.split()[0] not in ("offset", "temperature"):
            p = np.stack([softmax_float64(row, 1.0) for row in as_float(case.x)])
            yield Case(case.kind, p.astype(case.x.dtype), case.temperature)


def part_of(loss: Loss, labels: str) -> Loss:
    """One of the two losses that a distillation adds."""
    return replace(
        loss, function="kl_divergence" if labels == "logits" else "cross_entropy", labels=labels
    )


def all_labels_for(
    loss: Loss, case: Case, seeded: np.random.Generator
) -> list[NDArray[np.generic]]:
    kinds = loss.labels.split(" and ")
    return [labels_for(part_of(loss, kind) if kinds[1:] else loss, case, seeded) for kind in kinds]


def labels_for(loss: Loss, case: Case, seeded: np.random.Generator) -> NDArray[np.generic]:
    """In turn: the winner, the loser, any class; distributions close to the row's, far from it, nearly one-hot."""
    x, t = as_float(case.x), case.temperature[:, None]
    turn = np.arange(len(x)) % 3
    if loss.labels == "hard":
        return np.choose(turn, [x.argmax(1), x.argmin(1), seeded.integers(0, x.shape[1], len(x))])
    if not loss.flags.get("from_logits", True):
        x = np.log(np.maximum(x, 1e-300))
    noise = t * seeded.normal(0, 1, x.shape)
    y = np.choose(turn[:, None], [x + noise / 64, noise, 30 * noise])
    if loss.labels == "soft":
        rows = zip(y, case.temperature, strict=True)
        y = np.stack([softmax_float64(row, float(t)) for row, t in rows])
    limit = 6e4 if case.x.dtype == np.float16 else 1e38
    return np.clip(y, -limit, limit).astype(case.x.dtype)


def sum_of_others(values: Array) -> Array:
    """Σ_{j≠i} v_j for every i, of numbers that are not negative."""
    result, top = values.sum() - values, values.argmax()
    result[top] = np.delete(values, top).sum()
    return result


def size_of_loss_terms(
    loss: Loss, x: Array, q: Array, temperature: float, gradient: bool
) -> Array | float:
    """Σ|terms|: of Σ q log q − Σ q log p, and of p_i Σ_{j≠i} q_j − q_i Σ_{j≠i} p_j over T."""
    of_probabilities = not loss.flags.get("from_logits", True)
    if gradient and not of_probabilities:
        e = np.exp((x - x.max()) / temperature)
        return (e * sum_of_others(q) + q * sum_of_others(e)) / e.sum() / temperature
    if gradient or loss.function == "cross_entropy":
        return 0.0
    p = x if of_probabilities else softmax_float64(x, temperature)
    possible = (q > 0) & (p > 0)
    q, p = q[possible], p[possible]
    return float(-(q * (np.log(q) + np.log(p))).sum())


def size_of_all_terms(
    loss: Loss, x: Array, labels: list[Array], temperature: float, gradient: bool
) -> Array | float:
    if loss.labels != "logits and hard":
        shares = distribution(loss, labels[0], temperature)
        return size_of_loss_terms(loss, x, shares, temperature, gradient)
    alpha = float(loss.options["alpha"])  # type: ignore[arg-type]
    soft, hard = part_of(loss, "logits"), part_of(loss, "hard")
    teacher = distribution(soft, labels[0], temperature)
    soft_size = size_of_loss_terms(soft, x, teacher, temperature, gradient)
    hard_size = size_of_loss_terms(hard, x, labels[1], 1.0, gradient)
    return alpha * temperature**2 * soft_size + (1 - alpha) * hard_size


def distribution(loss: Loss, q: Array, temperature: float) -> Array:
    """The labels of a row as probabilities; float64 is enough for the size of terms."""
    if loss.labels == "logits":
        return softmax_float64(q, temperature)
    smoothing = float(loss.options.get("label_smoothing", 0.0))  # type: ignore[arg-type]
    return q * (1 - smoothing) + smoothing / len(q)


def rounded_labels_cost_nothing(value: reference.arb, dtype: str) -> reference.arb:
    """A divergence from labels that rounding has kept from a sum of 1 may be negative by an epsilon: it is 0."""
    epsilon = 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)
    return reference.arb(0) if -epsilon <= float(value) < 0 else value


def loss_error(
    name: str,
    dtype: str,
    classes: int,
    rows: int = 3,
    kinds: tuple[str, ...] = (),
    gradient: bool = False,
) -> Error:
    """The largest error of a loss per row, or of its gradient."""
    loss = LOSSES[name]
    function = sigmax.value_and_grad(getattr(sigmax, loss.function))
    definition = getattr(reference, loss.definition + ("_grad" if gradient else ""))
    seeded = generator("loss", name, dtype, classes)
    worst = Error(-1.0, "")
    for case in loss_cases(loss, dtype, classes, rows):
        if kinds and case.kind not in kinds:
            continue
        labels = all_labels_for(loss, case, seeded)
        options = {**loss.options, **loss.flags}
        if (case.temperature != 1).any():
            options["temperature"] = case.temperature
        result = function(case.x, *labels, reduction="none", **options)[gradient]
        assert result.dtype == case.x.dtype
        hot = [np.arange(classes) == a[:, None] if a.ndim == 1 else a for a in labels]
        for i, (x, *q, t) in enumerate(zip(case.x, *hot, case.temperature.tolist(), strict=True)):
            named = dict(loss.options) | ({"temperature": t} if "temperature" in options else {})
            exact = as_list(reference.exact(definition, x, *q, **named))
            if loss.function == "kl_divergence" and loss.labels == "soft" and not gradient:
                exact = [rounded_labels_cost_nothing(value, dtype) for value in exact]
            terms = size_of_all_terms(loss, as_float(x), [as_float(a) for a in q], t, gradient)
            row = result[i].reshape(-1)
            errors = in_units(row, exact, terms, dtype)
            j = int(errors.argmax())
            found = f"{float(row[j])!r}, exact {exact[j].str(20, radius=False)}"
            where = f"{name} {dtype} {case.kind}: row {i} of {classes} classes, T={t!r}, class {j}: {found}"
            worst = max(worst, Error(float(errors[j]), where))
    return worst


def loss_gradient_error(name: str, dtype: str, classes: int, **options: object) -> Error:
    return loss_error(name, dtype, classes, gradient=True, **options)  # type: ignore[arg-type]
