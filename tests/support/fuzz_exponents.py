"""Every number that multiplies, over all exponents of its type: one at a time and in pairs, against exact arithmetic.

    python tests/support/fuzz_exponents.py --cases 100000 --seed 1

prints what fails, by function, type and the numbers that were swept; `--index 4711` shows one case in full. A case is
a function of seed and index alone. test_exponents.py runs a few thousand.

Right is the definition of reference.py, computed without a limit to its exponents and rounded once. A result too large
for its type is inf, one too small 0; no case warns, whatever the caller's np.errstate.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import reference
from accuracy_cases import CANCELLATION
from flint import arb, ctx
from numpy.typing import NDArray

import sigmax

Array = NDArray[Any]
Exact = list[arb]

TYPES = ("float64", "float32", "float16")
RANGES = {"float64": (-1074, 1023), "float32": (-149, 127), "float16": (-24, 15)}
# The contract; in float64 a mean has the roundings of its sum, its divisor and the quotient besides.
BOUND = {"float64": 4.0, "float32": 1.0, "float16": 0.51}


# ---------------------------------------------------------------- numbers


@dataclass
class Draw:
    """The arguments of a case: those in `swept` anywhere in the range of their type, the others ordinary."""

    random: np.random.Generator
    dtype: str
    swept: tuple[str, ...] = ()

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def has(self, name: str) -> bool:
        """Whether an option is given."""
        return name in self.swept or self.chance(0.2)

    def sizes(self, shape: tuple[int, ...], low: int, high: int) -> Array:
        """Positive numbers of at least 2^low, below 2^(high + 1)."""
        few_bits = self.random.integers(4, 8, shape) / 4  # ties, and sums that are exact
        mantissa = few_bits if self.chance(0.5) else self.random.uniform(1, 2, shape)
        everywhere = self.random.integers(low, high, shape, endpoint=True)
        ends = self.random.choice([low, low + 1, high - 1, high], shape)
        ordinary = self.random.integers(max(low, -2), max(low, min(high, 2)), shape, endpoint=True)
        one = np.full(shape, self.random.integers(low, high, endpoint=True))
        alone = np.arange(int(np.prod(shape))).reshape(shape) == self.random.integers(
            max(1, int(np.prod(shape)))
        )
        exponent = (
            one,
            one,
            everywhere,
            ends,
            np.where(alone, ends, ordinary),
            np.where(alone, everywhere, ordinary),
        )[int(self.random.integers(6))]
        return np.ldexp(mantissa, exponent)

    def positive(self, name: str, shape: tuple[int, ...] = (), dtype: str = "float64") -> Array:
        swept = name in self.swept
        x = self.sizes(shape, *RANGES[dtype]) if swept else self.random.uniform(0.25, 4, shape)
        return np.asarray(np.minimum(x, np.finfo(dtype).max)).astype(dtype)

    def weights(self, name: str, shape: tuple[int, ...], dtype: str = "float64") -> Array:
        """Numbers of at least 0, not all of them 0."""
        x = self.positive(name, shape, dtype)
        if self.chance(0.2) and x.size > 1:
            x.flat[int(self.random.integers(x.size))] = 0
        return x

    def signed(self, name: str, shape: tuple[int, ...], dtype: str = "float64") -> Array:
        sign = self.random.choice([-1, 1], shape) if self.chance(0.8) else 1
        return np.asarray(self.positive(name, shape, dtype) * np.asarray(sign, dtype))

    def share(self, name: str) -> float:
        """A number in [0, 1]; 2^-1060 can be divided among the classes."""
        if name not in self.swept:
            return float(self.random.choice([0.0, 0.1, 0.5, 1.0]))
        size = min(1.0, float(self.sizes((), -1060, -1)))
        return 1.0 - size if self.chance(0.2) else size

    def temperature(self, rows: int) -> Any:
        if not self.has("temperature"):
            return 1.0
        per_row = self.chance(0.5)
        coldest = -1000 if self.dtype != "float64" and "label_smoothing" in self.swept else -1022
        t = self.positive("temperature", (rows,) if per_row else ())
        t = np.clip(t, 2.0**coldest, 2.0**1000)
        return t if per_row else float(t)

    def distributions(self, name: str, shape: tuple[int, int], dtype: str) -> Array:
        """Rows that sum to 1: of a class the rest, of the others numbers that may be tiny."""
        low = RANGES[dtype][0]
        p = self.sizes(shape, low, -1) if name in self.swept else self.random.uniform(0, 1, shape)
        p = p / np.maximum(2 * p.sum(axis=1, keepdims=True), 1)
        if self.chance(0.2):
            p *= self.random.integers(0, 2, shape)
        rest = (np.arange(shape[0]), self.random.integers(0, shape[1], shape[0]))
        p[rest] = 0
        p = p.astype(dtype).astype(float)
        p[rest] = 1 - p.sum(axis=1)
        return p.astype(dtype)


# ---------------------------------------------------------------- cases


@dataclass
class Case:
    """A call, its arguments for the report, and the right results with the sizes of their terms."""

    call: Callable[[], list[Array]]
    truth: Callable[[], list[Exact]]
    sizes: Callable[[], list[Exact]]
    arguments: dict[str, Any] = field(default_factory=dict)


def exact_rows(value: Any, rows: int) -> list[Any]:
    """One exact value for each row; of a number always the same."""
    if np.ndim(value) == 0:
        return [reference.as_exact(float(value))] * rows
    return [reference.as_exact(np.asarray(v)) for v in value]


def without(values: Exact, i: int) -> arb:
    """The sum of all but one."""
    return sum(values[:i] + values[i + 1 :], arb(0))


def spread_about(shares: Exact, values: Exact, i: int) -> arb:
    """Σ_j share_j·|v_i − v_j|."""
    pairs = zip(shares, values, strict=True)
    return sum((p * abs(values[i] - v) for p, v in pairs), arb(0))


# --- elementwise and axis functions


def elementwise_vjp(draw: Draw, name: str) -> Case:
    low = RANGES[draw.dtype][0]
    x = draw.signed("x", (4,), draw.dtype)
    if name == "logit":
        x = np.minimum(draw.sizes((4,), low, -1), 1).astype(draw.dtype)
    elif name == "log1mexp":
        x = -np.abs(x)
    c = draw.signed("cotangent", (4,), draw.dtype)
    definition = getattr(reference, f"{name}_vjp")
    rows = list(zip(exact_rows(x, 4), exact_rows(c, 4), strict=True))
    return Case(
        lambda: [sigmax.vjp(getattr(sigmax, name), x, c)],
        lambda: [[definition(a, b) for a, b in rows]],
        lambda: [[arb(0)] * 4],
        {"x": x, "cotangent": c},
    )


def axis_arguments(draw: Draw, name: str) -> tuple[Array, dict[str, Any], str]:
    """The row or rows, the options, and the name of the definition."""
    shape = rows_and_classes(draw)
    if name in ("inverse_softmax", "entropy_of_probabilities"):
        p = draw.distributions("p", shape, draw.dtype)
        if name == "inverse_softmax":
            return p, {}, name
        return p, {"from_logits": False}, name
    options: dict[str, Any] = {"temperature": draw.temperature(shape[0])}
    x = draw.signed("x", shape, draw.dtype)
    if name == "logsumexp" and draw.has("weights"):
        weights = draw.weights("weights", shape, draw.dtype)
        # A class that is e^1020 below the largest logit counts as 0, whatever its weight.
        options["weights"] = without_far_ones(weights)
    return x, options, name


def without_far_ones(x: Array) -> Array:
    """0 for numbers of a row that are more than 2^1400 below the largest."""
    size = abs(x.astype(float))
    least = size.max(axis=1, keepdims=True) * 2.0**-700 * 2.0**-700
    return np.where(size < least, 0, x).astype(x.dtype)


def rows_and_classes(draw: Draw) -> tuple[int, int]:
    classes = draw.random.choice([1, 2, 3, 5, 10, 33, 70], p=[0.05, 0.3, 0.3, 0.2, 0.1, 0.03, 0.02])
    return int(draw.random.integers(1, 4)), int(classes)


def axis(draw: Draw, name: str, gradient: bool) -> Case:
    x, options, definition = axis_arguments(draw, name)
    function = getattr(sigmax, name.removesuffix("_of_probabilities"))
    rows, classes = x.shape
    named = {k: exact_rows(v, rows) for k, v in options.items() if k != "from_logits"}
    each = [{k: v[n] for k, v in named.items()} for n in range(rows)]
    xs = exact_rows(x, rows)
    arguments = {"x": x, **options}
    if not gradient:
        define = getattr(reference, definition)
        return Case(
            lambda: [function(x, **options)],
            lambda: [flat(define(row, **o) for row, o in zip(xs, each, strict=True))],
            lambda: [flat(value_sizes(name, row, **o) for row, o in zip(xs, each, strict=True))],
            arguments,
        )
    scalar = name.startswith(("logsumexp", "entropy"))
    c = draw.signed("cotangent", (rows,) if scalar else (rows, classes), draw.dtype)
    if name == "log_softmax":
        c = without_far_ones(c)
    cs = exact_rows(c, rows)
    define = getattr(reference, f"{definition}_vjp")
    each_row = list(zip(xs, cs, each, strict=True))
    return Case(
        lambda: [sigmax.vjp(function, x, c, **options)],
        lambda: [flat(define(row, g, **o) for row, g, o in each_row)],
        lambda: [flat(vjp_sizes(name, row, g, **o) for row, g, o in each_row)],
        arguments | {"cotangent": c},
    )


def flat(values: Iterator[arb | Exact]) -> Exact:
    return [w for v in values for w in (v if isinstance(v, list) else [v])]


def value_sizes(name: str, x: Exact, temperature: arb = reference.ONE, **options: Exact) -> Any:
    if name == "inverse_softmax":
        logs = [abs(reference.log(p)) if p != 0 else arb(0) for p in x]
        return [v + sum(logs, arb(0)) / len(x) for v in logs]
    if name != "logsumexp":
        count = len(x) if name.endswith("softmax") else 1
        return [arb(0)] * count
    return size_of_logsumexp(x, temperature, options.get("weights"))


def size_of_logsumexp(x: Exact, temperature: arb, weights: Exact | None = None) -> arb:
    """|m/T| + |log Σ w·e|."""
    lse, top = reference.logsumexp(x, temperature, weights), max(x) / temperature
    return abs(top) + abs(lse - top) if lse.is_finite() else arb(0)


def vjp_sizes(name: str, x: Exact, g: Any, temperature: arb = reference.ONE, **_: Exact) -> Exact:
    """The sums of the absolute values of the terms of a gradient."""
    if name == "inverse_softmax":
        kept = [v for v, p in zip(g, x, strict=True) if p != 0]
        distances = [sum((abs(v - k) for k in kept), arb(0)) / max(len(kept), 1) for v in g]
        return [d / p if p != 0 else arb(0) for d, p in zip(distances, x, strict=True)]
    if name == "entropy_of_probabilities":
        return [abs(g) * (abs(reference.log(p)) + 1) if p != 0 else arb(0) for p in x]
    p = reference.softmax(x, temperature)
    count = range(len(x))
    if name == "softmax":
        return [p[i] * spread_about(p, g, i) / temperature for i in count]
    if name == "log_softmax":
        sizes = [abs(v) for v in g]
        return [(sizes[i] * without(p, i) + p[i] * without(sizes, i)) / temperature for i in count]
    if name == "entropy":
        y = [v / temperature for v in x]
        return [abs(g) * p[i] * spread_about(p, y, i) / temperature for i in count]
    return [arb(0)] * len(x)


# --- losses


@dataclass
class Part:
    """A loss of all rows, or one of the two that a distillation adds: its rows, and what a mean divides them by."""

    values: Callable[[], Exact]
    slopes: Callable[[], list[Exact]]
    value_sizes: Callable[[], Exact]
    slope_sizes: Callable[[], list[Exact]]
    divisor: Callable[[], arb]


def divided(value: arb, divisor: arb) -> arb:
    """Nothing to average is 0."""
    return arb(0) if divisor == 0 else value / divisor


def reduced(rows: list[Exact], divisors: Exact, reduction: str) -> Exact:
    """Of the rows of each part."""
    if reduction == "none":
        return [sum(row, arb(0)) for row in zip(*rows, strict=True)]
    parts = zip(rows, divisors, strict=True)
    return [sum((divided(sum(part, arb(0)), d) for part, d in parts), arb(0))]


def gradients(slopes: list[list[Exact]], divisors: Exact) -> Exact:
    scaled = [
        [divided(g, d) for row in part for g in row]
        for part, d in zip(slopes, divisors, strict=True)
    ]
    return [sum(terms, arb(0)) for terms in zip(*scaled, strict=True)]


def loss_case(
    function: Any, arguments: tuple[Array, ...], options: dict[str, Any], parts: list[Part]
) -> Case:
    reduction = options["reduction"]

    def results(values: str, slopes: str) -> list[Exact]:
        divisors = [part.divisor() for part in parts]
        return [
            reduced([getattr(part, values)() for part in parts], divisors, reduction),
            gradients([getattr(part, slopes)() for part in parts], divisors),
        ]

    def call() -> list[Array]:
        value, slope = sigmax.value_and_grad(function)(*arguments, **options)
        alone = function(*arguments, **options)
        if np.asarray(alone).tobytes() != np.asarray(value).tobytes():
            raise AssertionError(f"the value alone is {alone}, with the gradient {value}")
        return [np.asarray(value), slope]

    return Case(
        call,
        lambda: results("values", "slopes"),
        lambda: results("value_sizes", "slope_sizes"),
        {**{f"[{k}]": a for k, a in enumerate(arguments)}, **options},
    )


def reductions(draw: Draw, rows: tuple[int, ...]) -> dict[str, Any]:
    """reduction, normalizer and sample_weight, which is of one sign where a mean divides by its sum."""
    options: dict[str, Any] = {"reduction": str(draw.random.choice(["mean", "sum", "none"]))}
    if draw.has("normalizer"):
        options |= {"reduction": "mean", "normalizer": float(draw.positive("normalizer"))}
    if draw.has("sample_weight"):
        own_divisor = options["reduction"] == "mean" and "normalizer" not in options
        if options["reduction"] == "none":
            options["sample_weight"] = draw.signed("sample_weight", rows)
        else:  # a sum of losses of both signs has no digits to count on
            sign = 1 if own_divisor or draw.chance(0.5) else -1
            options["sample_weight"] = sign * draw.weights("sample_weight", rows)
    return options


def exact_divisor(options: dict[str, Any], masses: Callable[[], Exact]) -> arb:
    if options["reduction"] != "mean":
        return arb(1)
    if "normalizer" in options:
        return reference.as_exact(options["normalizer"])
    return sum(masses(), arb(0))


def binary(draw: Draw, of_probabilities: bool) -> Case:
    n = int(draw.random.integers(1, 6))
    low, _ = RANGES[draw.dtype]
    x = draw.signed("x", (n,), draw.dtype)
    if of_probabilities:
        x = np.minimum(draw.sizes((n,), low, -1) if "x" in draw.swept else abs(x), 1)
        x = np.where(draw.random.random(n) < 0.2, 1 - x, x).astype(draw.dtype)
    y = draw.random.integers(0, 2, n).astype(draw.dtype)
    if "labels" in draw.swept:
        y = np.minimum(draw.sizes((n,), low, -1), 1).astype(draw.dtype)
    options = reductions(draw, (n,))
    if draw.has("pos_weight"):
        options["pos_weight"] = draw.positive("pos_weight")
    if draw.has("label_smoothing"):
        options["label_smoothing"] = draw.share("label_smoothing")
    s = exact_rows(options.get("sample_weight", 1.0), n)
    w = reference.as_exact(float(options.get("pos_weight", 1.0)))
    e = reference.as_exact(options.get("label_smoothing", 0.0))
    name = "binary_cross_entropy" + ("_of_probabilities" if of_probabilities else "")
    value, slope = getattr(reference, name), getattr(reference, f"{name}_vjp")
    rows = list(zip(exact_rows(x, n), exact_rows(y, n), s, strict=True))

    def slope_sizes() -> list[Exact]:
        """Of both terms where there are two."""
        sizes = []
        for a, b, c in rows:
            one = reference.smoothed(b, e)
            terms = [one * slope(a, arb(1), arb(1), c, w), (1 - one) * slope(a, arb(1), arb(0), c)]
            sizes.append([sum(map(abs, terms), arb(0)) if 0 < one < 1 else arb(0)])
        return sizes

    part = Part(
        lambda: [value(a, b, c, w, e) for a, b, c in rows],
        lambda: [[slope(a, arb(1), b, c, w, e)] for a, b, c in rows],
        lambda: [abs(value(a, b, c, w, e)) for a, b, c in rows],
        slope_sizes,
        lambda: exact_divisor(options, lambda: s),
    )
    if of_probabilities:
        options["from_logits"] = False
    return loss_case(sigmax.binary_cross_entropy, (x, y), options, [part])


def cross_entropy_options(draw: Draw, classes: int) -> dict[str, Any]:
    """Within the limits of docs/numerics/losses.md."""
    options: dict[str, Any] = {}
    if draw.has("class_weight"):
        weights = draw.weights("class_weight", (classes,))
        # Those that are further below the largest count as 0: one scale serves all classes.
        options["class_weight"] = np.where(
            weights < weights.max() * 2.0**-700 * 2.0**-700, 0.0, weights
        )
        if draw.dtype != "float64" and "z_loss" in draw.swept:
            options["class_weight"] = np.minimum(options["class_weight"], 2.0**900)
    if draw.has("label_smoothing"):
        options["label_smoothing"] = draw.share("label_smoothing")
        if draw.has("smoothing_prior"):
            options["smoothing_prior"] = draw.distributions(
                "smoothing_prior", (1, classes), "float64"
            )[0]
    return options


OF_LABELS = ("class_weight", "label_smoothing", "smoothing_prior")


def labels_of_rows(draw: Draw, shape: tuple[int, int], hard: bool) -> tuple[Array, list[Exact]]:
    """Labels, and the same as exact distributions."""
    rows, classes = shape
    if hard:
        labels = draw.random.integers(0, classes, rows)
        return labels, exact_rows(np.eye(classes)[labels], rows)
    labels = draw.distributions("labels", shape, draw.dtype)
    return labels, exact_rows(labels, rows)


def per_row(options: dict[str, Any], rows: int, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The options of each row, exact."""
    result: list[dict[str, Any]] = [{} for _ in range(rows)]
    for name in names:
        if name not in options:
            continue
        shared = name in OF_LABELS
        values = (
            [reference.as_exact(options[name])] * rows
            if shared
            else exact_rows(options[name], rows)
        )
        for n in range(rows):
            result[n][name] = values[n]
    return result


ROW_OPTIONS = ("temperature", "sample_weight", "z_loss", *OF_LABELS)


def masses_of(qs: list[Exact], options: dict[str, Any]) -> Callable[[], Exact]:
    """s·Σ w·q of each row."""
    rows, classes = len(qs), len(qs[0])
    s = exact_rows(options.get("sample_weight", 1.0), rows)
    w = reference.as_exact(np.asarray(options.get("class_weight", np.ones(classes))))
    return lambda: [a * reference.inner(q, w) for a, q in zip(s, qs, strict=True)]


def cross_entropy_part(
    x: Array, qs: list[Exact], options: dict[str, Any], factors: Exact | None = None
) -> Part:
    """Of all rows, times a factor of each row."""
    rows = len(x)
    xs, each = exact_rows(x, rows), per_row(options, rows, ROW_OPTIONS)
    of_probabilities = options.get("from_logits") is False
    name = "cross_entropy" + ("_of_probabilities" if of_probabilities else "")
    value, slope = getattr(reference, name), getattr(reference, f"{name}_grad")
    count = range(rows)
    k = factors or [arb(1)] * rows

    def slope_sizes() -> list[Exact]:
        if of_probabilities:
            return [[arb(0)] * len(row) for row in xs]
        return [[k[n] * v for v in slope_size(xs[n], qs[n], **each[n])] for n in count]

    def value_sizes() -> Exact:
        if of_probabilities:
            return [abs(value(xs[n], qs[n], **each[n])) for n in count]
        return [reference.times(k[n], value_size(xs[n], qs[n], **each[n])) for n in count]

    return Part(
        lambda: [reference.times(k[n], value(xs[n], qs[n], **each[n])) for n in count],
        lambda: [[reference.times(k[n], v) for v in slope(xs[n], qs[n], **each[n])] for n in count],
        value_sizes,
        slope_sizes,
        lambda: exact_divisor(options, masses_of(qs, options)),
    )


def value_size(
    x: Exact,
    q: Exact,
    temperature: arb = reference.ONE,
    sample_weight: arb = reference.ONE,
    z_loss: arb = reference.ZERO,
    **labels: Any,
) -> arb:
    plain = reference.cross_entropy(x, q, temperature, abs(sample_weight), **labels)
    return plain + reference.times(z_loss, size_of_logsumexp(x, temperature) ** 2)


def slope_size(
    x: Exact,
    q: Exact,
    temperature: arb = reference.ONE,
    sample_weight: arb = reference.ONE,
    z_loss: arb = reference.ZERO,
    **labels: Any,
) -> Exact:
    """(|s|·(p_i·Σ_{j≠i} a_j + a_i·Σ_{j≠i} p_j) + 2z·|lse|·p_i)/T."""
    p, a = reference.softmax(x, temperature), reference.weighted_labels(q, **labels)
    pull = 2 * z_loss * size_of_logsumexp(x, temperature)
    return [
        (abs(sample_weight) * (p[i] * without(a, i) + a[i] * without(p, i)) + pull * p[i])
        / temperature
        for i in range(len(x))
    ]


def cross_entropy(draw: Draw, hard: bool, of_probabilities: bool) -> Case:
    shape = rows_and_classes(draw)
    options = reductions(draw, shape[:1]) | cross_entropy_options(draw, shape[1])
    if of_probabilities:
        x = draw.distributions("x", shape, draw.dtype)
        options["from_logits"] = False
    else:
        x = logits(draw, shape)
        options["temperature"] = draw.temperature(shape[0])
        if draw.has("z_loss"):
            options["z_loss"] = float(draw.positive("z_loss"))
    labels, qs = labels_of_rows(draw, shape, hard)
    return loss_case(
        sigmax.cross_entropy, (x, labels), options, [cross_entropy_part(x, qs, options)]
    )


def divergence_part(
    x: Array,
    labels: Array,
    options: dict[str, Any],
    factors: Exact | None = None,
) -> Part:
    rows = len(x)
    flags = {"labels_from_logits": arb(int(options.get("labels_from_logits", False)))}
    of_probabilities = options.get("from_logits") is False
    name = "kl_divergence" + ("_of_probabilities" if of_probabilities else "")
    value, slope = getattr(reference, name), getattr(reference, f"{name}_grad")
    xs, ys = exact_rows(x, rows), exact_rows(labels, rows)
    each = per_row(options, rows, ("temperature", "sample_weight"))
    count = range(rows)
    k = factors or [arb(1)] * rows

    def teacher(n: int) -> Exact:
        t = each[n].get("temperature", arb(1))
        return reference.teacher(ys[n], flags["labels_from_logits"], t, None)

    def value_sizes() -> Exact:
        """s·Σ q·(|log q| + |log p|)."""
        result = []
        for n in count:
            t, s = each[n].get("temperature", arb(1)), each[n].get("sample_weight", arb(1))
            q = teacher(n)
            log_q = reference.log_teacher(ys[n], flags["labels_from_logits"], t, None)
            logs = [reference.log(v) for v in xs[n]] if of_probabilities else None
            logs = logs or reference.log_softmax(xs[n], t)
            terms = [
                reference.times(v, abs(a) + abs(b)) for v, a, b in zip(q, log_q, logs, strict=True)
            ]
            result.append(reference.times(k[n] * abs(s), sum(terms, arb(0))))
        return result

    def slope_sizes() -> list[Exact]:
        if of_probabilities:
            return [[arb(0)] * len(row) for row in xs]
        return [[k[n] * v for v in slope_size(xs[n], teacher(n), **each[n])] for n in count]

    def row_value(n: int) -> arb:
        """Of labels that sum to less than 1 by a rounding it may be negative: it is 0 then."""
        of_row = {name: v for name, v in each[n].items() if name != "sample_weight"}
        plain = value(xs[n], ys[n], **of_row, **flags)
        weight = each[n].get("sample_weight", arb(1))
        return reference.times(k[n] * weight, plain if not plain < 0 else arb(0))

    return Part(
        lambda: [row_value(n) for n in count],
        lambda: [
            [reference.times(k[n], v) for v in slope(xs[n], ys[n], **each[n], **flags)]
            for n in count
        ],
        value_sizes,
        slope_sizes,
        lambda: exact_divisor(options, lambda: divergence_masses(ys, options)),
    )


def divergence_masses(ys: list[Exact], options: dict[str, Any]) -> Exact:
    s = exact_rows(options.get("sample_weight", 1.0), len(ys))
    if options.get("labels_from_logits"):
        return s
    return [a * sum(y, arb(0)) for a, y in zip(s, ys, strict=True)]


def kl_divergence(draw: Draw, labels_from_logits: bool, of_probabilities: bool) -> Case:
    shape = rows_and_classes(draw)
    options = reductions(draw, shape[:1])
    if of_probabilities:
        x = draw.distributions("x", shape, draw.dtype)
        options["from_logits"] = False
    else:
        x = draw.signed("x", shape, draw.dtype)
        options["temperature"] = draw.temperature(shape[0])
    if labels_from_logits:
        labels = near_or_far(draw, x)
        options["labels_from_logits"] = True
    else:
        labels = draw.distributions("labels", shape, draw.dtype)
    return loss_case(
        sigmax.kl_divergence, (x, labels), options, [divergence_part(x, labels, options)]
    )


def near_or_far(draw: Draw, x: Array) -> Array:
    """Logits of a teacher: others, or close to those of the student."""
    if "labels" in draw.swept or draw.chance(0.5):
        return draw.signed("labels", x.shape, draw.dtype)
    with np.errstate(over="ignore"):
        near = x.astype(float) * (1 + 2.0**-8 * draw.random.normal(size=x.shape))
    limit = float(np.finfo(draw.dtype).max)
    return np.clip(near, -limit, limit).astype(draw.dtype)


def distillation(draw: Draw, hard: bool) -> Case:
    shape = rows_and_classes(draw)
    x = logits(draw, shape)
    teacher = near_or_far(draw, x)
    options = reductions(draw, shape[:1]) | cross_entropy_options(draw, shape[1])
    options["temperature"] = draw.temperature(shape[0])
    options["alpha"] = draw.share("alpha") if draw.has("alpha") else 0.5
    if draw.has("z_loss"):
        options["z_loss"] = float(draw.positive("z_loss"))
    labels, qs = labels_of_rows(draw, shape, hard)
    t, alpha = exact_rows(options["temperature"], shape[0]), reference.as_exact(options["alpha"])
    at_one = {k: v for k, v in options.items() if k not in ("temperature", "alpha")}
    of_teacher = {**options, "labels_from_logits": True}
    parts = [
        divergence_part(x, teacher, of_teacher, [alpha * v**2 for v in t]),
        cross_entropy_part(x, qs, at_one, [1 - alpha] * shape[0]),
    ]
    if draw.dtype == "float64":
        parts = [with_gradient_of_its_size(part) for part in parts]
    return loss_case(sigmax.distillation_loss, (x, teacher, labels), options, parts)


def with_gradient_of_its_size(part: Part) -> Part:
    """Of two that are rounded before they are added: the error is in units of the larger."""
    room = arb(CANCELLATION["float64"])

    def sizes() -> list[Exact]:
        rows = zip(part.slope_sizes(), part.slopes(), strict=True)
        return [[s + room * abs(g) for s, g in zip(*row, strict=True)] for row in rows]

    return replace(part, slope_sizes=sizes)


def logits(draw: Draw, shape: tuple[int, int]) -> Array:
    """Below 2^999 beside any z: z·lse² is infinite where lse² is beyond 2^2000 (docs/numerics/losses.md)."""
    x = draw.signed("x", shape, draw.dtype)
    wide = draw.dtype == "float64"
    return np.clip(x, -(2.0**999), 2.0**999) if wide and "z_loss" in draw.swept else x


def linear(draw: Draw, hard: bool) -> Case:
    """Each row has a feature of its own, a power of two: the products are exact, and are the logits that were drawn."""
    rows, classes = int(draw.random.integers(1, 4)), int(draw.random.integers(1, 6))
    x = logits(draw, (rows, classes))
    low, high = RANGES[draw.dtype]
    room = min(-low, high + 1 - int(np.frexp(abs(x.astype(float)).max())[1]))
    shift = draw.random.integers(0, room, rows, endpoint=True)
    features = np.diag(np.ldexp(1.0, -shift)).astype(draw.dtype)
    weight = np.ldexp(x.astype(float), shift[:, None]).T.astype(draw.dtype)
    options = reductions(draw, (rows,)) | cross_entropy_options(draw, classes)
    options["temperature"] = draw.temperature(rows)
    if draw.has("z_loss"):
        options["z_loss"] = float(draw.positive("z_loss"))
        if classes == 1:  # z·lse² above 2^-1022
            options["temperature"] = np.minimum(options["temperature"], 2.0**500)
    labels, qs = labels_of_rows(draw, x.shape, hard)
    of_logits = loss_case(
        sigmax.cross_entropy, (x, labels), options, [cross_entropy_part(x, qs, options)]
    )
    product_type = np.finfo("float64" if draw.dtype == "float64" else "float32")
    largest, least = float(product_type.max), float(product_type.smallest_normal)
    w, f = reference.as_exact(weight), [arb(v) for v in np.diag(features).astype(float).tolist()]

    def products(results: list[Exact], room: int, size: bool) -> list[Exact]:
        """Gradients of the features and of the weight, from those of the logits; `room` for sums of products."""
        value, flat_slopes = results
        slopes = [flat_slopes[n * classes : (n + 1) * classes] for n in range(rows)]
        if any(abs(v) >= largest or 0 < abs(v) < least for v in flat_slopes):
            raise SkipError  # the gradient of the logits, which is no result, leaves the type of the products
        terms = [abs(v) if size else v for row in w for v in row]
        by_class = [terms[k * rows : (k + 1) * rows] for k in range(classes)]
        of_features = [
            room * reference.inner(slopes[n], [by_class[k][h] for k in range(classes)])
            for n in range(rows)
            for h in range(rows)
        ]
        if any(v >= largest for v in of_features) and size:
            raise SkipError
        of_weight = [
            min(room, 2) * slopes[h][k] * f[h] for k in range(classes) for h in range(rows)
        ]
        return [value, of_features + of_weight]

    def call() -> list[Array]:
        value, slopes = sigmax.value_and_grad(sigmax.linear_cross_entropy)(
            features, weight, labels, **options
        )
        return [np.asarray(value), np.concatenate([slopes[0].ravel(), slopes[1].ravel()])]

    return Case(
        call,
        lambda: products(of_logits.truth(), 1, False),
        lambda: products(of_logits.sizes(), 4 * classes * int(CANCELLATION[draw.dtype]), True),
        {"features": features, "weight": weight, "labels": labels, **options},
    )


class SkipError(Exception):
    """Of a case without a right result."""


# ---------------------------------------------------------------- plans

OF_ROWS = ("sample_weight", "normalizer")
OF_CLASSES = ("class_weight", "label_smoothing", "smoothing_prior")
Plan = tuple[Callable[..., Case], tuple[Any, ...], tuple[str, ...]]
PLANS: dict[str, Plan] = {
    **{
        f"vjp({name})": (elementwise_vjp, (name,), ("x", "cotangent"))
        for name in ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
    },
    **{
        f"vjp({name})" if gradient else name: (
            axis,
            (name, gradient),
            (*operands, "cotangent") if gradient else operands,
        )
        for name, operands in {
            "softmax": ("x", "temperature"),
            "log_softmax": ("x", "temperature"),
            "logsumexp": ("x", "temperature", "weights"),
            "entropy": ("x", "temperature"),
            "inverse_softmax": ("p",),
            "entropy_of_probabilities": ("p",),
        }.items()
        for gradient in (False, True)
    },
    "binary_cross_entropy": (
        binary,
        (False,),
        ("x", "labels", "pos_weight", "label_smoothing", *OF_ROWS),
    ),
    "binary_cross_entropy of probabilities": (
        binary,
        (True,),
        ("x", "labels", "pos_weight", "label_smoothing", *OF_ROWS),
    ),
    "cross_entropy of indices": (
        cross_entropy,
        (True, False),
        ("x", "temperature", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
    "cross_entropy of distributions": (
        cross_entropy,
        (False, False),
        ("x", "labels", "temperature", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
    "cross_entropy of probabilities and indices": (
        cross_entropy,
        (True, True),
        ("x", *OF_CLASSES, *OF_ROWS),
    ),
    "cross_entropy of probabilities and distributions": (
        cross_entropy,
        (False, True),
        ("x", "labels", *OF_CLASSES, *OF_ROWS),
    ),
    "kl_divergence of distributions": (
        kl_divergence,
        (False, False),
        ("x", "labels", "temperature", *OF_ROWS),
    ),
    "kl_divergence of logits": (
        kl_divergence,
        (True, False),
        ("x", "labels", "temperature", *OF_ROWS),
    ),
    "kl_divergence of probabilities": (kl_divergence, (False, True), ("x", "labels", *OF_ROWS)),
    "distillation_loss of indices": (
        distillation,
        (True,),
        ("x", "labels", "temperature", "alpha", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
    "distillation_loss of distributions": (
        distillation,
        (False,),
        ("x", "labels", "temperature", "alpha", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
    "linear_cross_entropy of indices": (
        linear,
        (True,),
        ("x", "temperature", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
    "linear_cross_entropy of distributions": (
        linear,
        (False,),
        ("x", "labels", "temperature", "z_loss", *OF_CLASSES, *OF_ROWS),
    ),
}


# ---------------------------------------------------------------- running


@dataclass
class Failure:
    plan: str
    dtype: str
    swept: tuple[str, ...]
    index: int
    what: str

    @property
    def group(self) -> tuple[str, str, tuple[str, ...]]:
        return self.plan, self.dtype, self.swept


def drawn(seed: int, index: int) -> tuple[str, Draw, Case]:
    """The case of this index: every plan and type in turn, then one or two of its numbers at random."""
    ctx.prec = 256
    names = list(PLANS)
    plan, dtype = names[index % len(names)], TYPES[index // len(names) % len(TYPES)]
    random = np.random.default_rng([seed, index])
    make, arguments, operands = PLANS[plan]
    count = min(len(operands), int(random.integers(1, 3)))
    swept = tuple(sorted(random.choice(operands, count, replace=False).tolist()))
    draw = Draw(random, dtype, swept)
    return plan, draw, make(draw, *arguments)


def error(result: float, value: arb, size: arb, dtype: str) -> float:
    """In ULP of the exact value, or of its terms where these outweigh it by more than the type's factor."""
    plain = reference.distance(result, value, dtype)
    floor = size / CANCELLATION[dtype]
    if plain == 0.0 or not (floor.is_finite() and floor > abs(value)):
        return plain
    if plain == np.inf and result == result and floor >= float(np.finfo(dtype).max) * 2.0**60:
        return 0.0  # any result is within a unit of the terms
    shift = reference.ulp_exponent(value, dtype) - reference.ulp_exponent(floor, dtype)
    return float(np.ldexp(plain, shift))


def check(seed: int, index: int) -> Failure | None:
    plan, draw, case = drawn(seed, index)

    def failure(what: str) -> Failure:
        return Failure(plan, draw.dtype, draw.swept, index, what)

    try:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            results = case.call()
    except Exception as raised:
        return failure(f"{type(raised).__name__}: {raised}")
    shapes: list[int] = []

    def all_values() -> Exact:
        lists = case.truth()
        shapes[:] = [len(values) for values in lists]
        return [v for values in lists for v in values]

    before = ctx.prec
    try:
        exact = reference.exact(all_values)
        ctx.prec = 4096
        sizes = [v for values in case.sizes() for v in values]
    except SkipError:
        return None
    finally:
        ctx.prec = before
    found = np.concatenate([np.asarray(r).astype(float).ravel() for r in results]).tolist()
    if len(found) != len(exact):
        return failure(f"{len(found)} numbers, not {len(exact)}")
    ctx.prec = 256
    for k, (r, v, s) in enumerate(zip(found, exact, sizes, strict=True)):
        ulp = error(r, v, s, draw.dtype)
        bound = BOUND[draw.dtype]
        if not (ulp <= bound if bound < 1 else ulp < bound):
            of = "value" if len(shapes) == 1 or k < shapes[0] else "gradient"
            at = k if of == "value" else k - shapes[0]
            right = v.str(17, radius=False) if v.is_finite() else float(v)
            return failure(f"{of} {at}: {r!r}, exact {right}, {ulp:.3g} ULP")
    return None


def indices(plan: str, dtype: str, count: int) -> range:
    """Of the first cases of this plan and type."""
    first = list(PLANS).index(plan) + len(PLANS) * TYPES.index(dtype)
    step = len(PLANS) * len(TYPES)
    return range(first, first + step * count, step)


def check_all(seed: int, indices: range) -> list[Failure]:
    return [f for i in indices if (f := check(seed, i)) is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--index", type=int, help="show one case")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.index is not None:
        _, draw, case = drawn(options.seed, options.index)
        print(check(options.seed, options.index) or "passes", draw.swept, sep="\n")
        for name, value in case.arguments.items():
            print(f"  {name} = {value!r}")
        return 0
    step = 500
    parts = [range(k, min(k + step, options.cases)) for k in range(0, options.cases, step)]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = [f for fs in pool.map(check_all, [options.seed] * len(parts), parts) for f in fs]
    counts = Counter(f.group for f in found)
    examples = {f.group: f for f in reversed(found)}
    for group, count in sorted(counts.items()):
        plan, dtype, swept = group
        example = examples[group]
        print(
            f"{count:4d}  {plan}, {dtype}, {' and '.join(swept)}: index {example.index}: {example.what}"
        )
    print(f"{len(found)} of {options.cases} cases fail (seed {options.seed})")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
