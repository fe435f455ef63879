"""What the tests of losses share: every pair of options, the definitions beside each call, rows, what is close."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import reference
from accuracy_cases import CANCELLATION, as_float, generator, in_units
from flint import arb, ctx
from kernel_inputs import TYPES
from layouts import class_axis_first, read_only, same, strided

import sigmax

INF, NAN = np.inf, np.nan
CONTRACT = {"float16": 0.51, "bfloat16": 0.51, "float32": 1.0, "float64": 2.0}
EPS = {name: 2.0 ** (1 - precision) for name, (precision, _) in reference.FORMATS.items()}

every_type = pytest.mark.parametrize("dtype", TYPES)


def with_gradient(name: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    return sigmax.value_and_grad(getattr(sigmax, name))(*arguments, **options)


def assert_close(a: Any, b: Any, units: float = 4, size: Any = 0.0) -> None:
    """Equal to so many units of the type, of the numbers or of `size` where that is larger."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    precision, least = reference.FORMATS[a.dtype.name]
    a, b = as_float(a), as_float(b)
    unit = np.maximum(
        np.maximum(np.abs(b), size) * 2.0 ** (1 - precision), 2.0 ** (least - precision + 1)
    )
    with np.errstate(invalid="ignore"):
        near = (a == b) | (np.abs(a - b) <= units * unit)
    assert (near | (np.isnan(a) & np.isnan(b))).all(), f"{a} is not {b}"


# ---------------------------------------------------------------- rows


def batch(*shape: int, dtype: str = "float64", name: str = "batch") -> np.ndarray:
    return (3 * generator(name).normal(0, 1, shape)).astype(TYPES[dtype])


def distributions(x: np.ndarray) -> np.ndarray:
    """Distributions over the last axis in the type of x, others than its own."""
    y = np.exp(as_float(x)[..., ::-1] / 2)
    return (y / y.sum(axis=-1, keepdims=True)).astype(x.dtype)


X = batch(4, 10)
HOT = np.eye(10)[[1, 2, 3, 4]]


def changed(a: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    a = a.copy()
    a[index] = value
    return a


P = np.full((4, 10), 0.1)
BOTH = (TypeError, ValueError)


# ---------------------------------------------------------------- every pair of options

CLASSES = 5
HIDDEN, IGNORED = 4, 2  # the class that a mask over classes hides; the class of ignored rows
HARD = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
# What arrays of weights hold is the same number in every type.
CLASS_WEIGHT = np.array([1, 0.5, 2, 0, 1.5])
PRIOR = np.array([0.25, 0.25, 0, 0.375, 0.125])
SAMPLE_WEIGHT = {
    "positive": np.array([1.5, 0.25, 0, 2, 0.75, 1]),
    "signed": np.array([2, 0.5, -0.25, 1, 0.75, 0]),
}
COMMON = {
    "shape": [((5,), -1), ((6, 5), -1), ((5, 6), 0), ((2, 5, 3), -2), ((2, 3, 5), 2)],
    "dtype": list(TYPES),
    "temperature": ["1", "scalar", "per row"],
    "sample_weight": [None, *SAMPLE_WEIGHT],
    "where": [None, "classes", "elements"],
    "reduction": ["mean", "mean of 8", "sum", "none"],
    "layout": ["C", "F", "strided", "read-only"],
    "out": [None, "new", "in place"],
}
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "cross_entropy": {
        "labels": [*HARD, "one-hot bool", "one-hot int64", "one-hot float64", "soft"],
        **COMMON,
        "from_logits": [True, False],
        "class_weight": [None, CLASS_WEIGHT],
        "smoothing": [None, "uniform", "prior"],
        "ignore_index": [None, -100, IGNORED],
        "z_loss": [0.0, 1e-3],
    },
    "kl_divergence": {
        "labels": ["soft", "one-hot bool", "logits"],
        **COMMON,
        "from_logits": [True, False],
    },
    "distillation_loss": {
        "labels": [None, "int64", "soft"],
        **COMMON,
        "alpha": [1.0, 0.25, 0.0],
        "smoothing": [None, "uniform", "prior"],
        "z_loss": [0.0, 1e-3],
    },
}


def possible(o: dict[str, Any]) -> bool:
    """Whether these choices go together, whatever the others."""
    labels, of_probabilities = o.get("labels", "int64"), o.get("from_logits") is False
    label_options = o.get("alpha", 1.0) != 1.0 or o.get("smoothing") or o.get("z_loss")
    return not (
        (of_probabilities and (o.get("temperature", "1") != "1" or o.get("z_loss")))
        or (o.get("ignore_index") == -100 and labels not in HARD)
        or (o.get("layout") == "read-only" and o.get("out") == "in place")
        or (labels is None and label_options)
    )


def every_pair(options: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Combinations in which every possible pair of values occurs; values are taken greedily."""
    choices = [(name, i) for name in options for i in range(len(options[name]))]
    values = lambda row: {name: options[name][i] for name, i in sorted(row, key=choices.index)}  # noqa: E731
    missing = {
        frozenset(pair): None  # a dict keeps its order
        for pair in itertools.combinations(choices, 2)
        if pair[0][0] != pair[1][0] and possible(values(pair))
    }
    while missing:
        row = list(next(iter(missing)))
        for name in [name for name in options if name not in dict(row)]:
            fitting = [c for c in choices if c[0] == name and possible(values([*row, c]))]
            row.append(max(fitting, key=lambda c: sum(frozenset((c, r)) in missing for r in row)))
        for pair in itertools.combinations(row, 2):
            missing.pop(frozenset(pair), None)
        yield values(row)


def combinations(loss: str) -> list[Any]:
    show = lambda v: "given" if isinstance(v, np.ndarray) else str(v).replace(" ", "")  # noqa: E731
    rows = every_pair(OPTIONS[loss])
    return [pytest.param(row, id="-".join(map(show, row.values()))) for row in rows]


@dataclass
class Rows:
    """One combination as rows: what the definitions take."""

    x: np.ndarray  # (N, C), in the type of the call, NaN where hidden
    q: np.ndarray  # (N, C), the distributions
    index: np.ndarray  # (N,)
    y: np.ndarray  # (N, C), logits of a teacher
    mask: np.ndarray  # (N, C)
    ignored: np.ndarray  # (N,)
    per_row: dict[str, np.ndarray]  # (N,) each
    options: dict[str, Any]  # numbers, and one number per class

    @property
    def visible(self) -> np.ndarray:
        hidden = -INF if self.options.get("from_logits", True) else 0
        return np.where(self.mask, as_float(self.x), hidden)

    def get(self, option: str) -> np.ndarray:
        return self.per_row.get(option, np.full(len(self.x), self.options.get(option, 1.0)))


def indices(o: dict[str, Any], n: int) -> np.ndarray:
    """Every third row is ignored where the type of the labels has the index; never the first."""
    index = np.resize([0, 1, 3, 0], n)
    ignore = o.get("ignore_index")
    if ignore == IGNORED or (ignore and o["labels"].startswith("int")):
        index[1::3] = ignore
    return index


def mask_for(o: dict[str, Any], q: np.ndarray, seeded: np.random.Generator) -> np.ndarray:
    """No label has a share of what is hidden."""
    if o["where"] == "classes":
        return np.broadcast_to(np.arange(CLASSES) != HIDDEN, q.shape)
    return (seeded.random(q.shape) < 0.6) | (q > 0) | (o["where"] is None)


def numbers(o: dict[str, Any]) -> dict[str, Any]:
    """The options that are numbers, or one number per class."""
    given = ("alpha", "class_weight", "from_logits", "z_loss")
    options = {k: o[k] for k in given if o.get(k) is not None}
    if o.get("smoothing"):
        options["label_smoothing"] = 0.1
    if o.get("smoothing") == "prior":
        options["smoothing_prior"] = PRIOR
    if o["temperature"] == "scalar":
        options["temperature"] = 0.7
    if o["labels"] == "logits":
        options["labels_from_logits"] = True
    return options


def make(o: dict[str, Any]) -> Rows:
    seeded = generator(o)
    n = math.prod(o["shape"][0]) // CLASSES
    index = indices(o, n)
    ignored = index == o.get("ignore_index")
    q = (np.arange(CLASSES) == index[:, None]).astype(float)
    if o["labels"] == "soft":  # exact in every type; no whole row on the class to ignore
        q[~ignored] = q[~ignored] / 2 + [0.125, 0, 0.25, 0.125, 0]
    mask = mask_for(o, q, seeded)
    x, y = 3 * seeded.normal(0, 1, (2, n, CLASSES))
    if not o.get("from_logits", True):
        x = np.exp(x / 3) * mask
        x /= x.sum(axis=1, keepdims=True)
    x, y = (np.where(mask, v, NAN).astype(TYPES[o["dtype"]]) for v in (x, y))
    per_row = {}
    if o["sample_weight"]:
        per_row["sample_weight"] = np.resize(SAMPLE_WEIGHT[o["sample_weight"]], n)
    if o["temperature"] == "per row":
        per_row["temperature"] = np.resize([0.5, 1, 2.5, 0.75], n)
    return Rows(x, q, index, y, mask, ignored, per_row, numbers(o))


LAYOUTS = {"C": np.array, "F": class_axis_first, "strided": strided, "read-only": read_only}


def arrange(rows: np.ndarray, o: dict[str, Any]) -> np.ndarray:
    """Rows (N, C), or one number per row (N,), in the shape and layout of the call."""
    shape, axis = o["shape"]
    a = rows.reshape((*np.delete(shape, axis), *rows.shape[1:]))
    a = np.moveaxis(a, -1, axis) if rows.ndim == 2 else a
    return LAYOUTS[o["layout"]](a) if a.ndim else a


def as_rows(a: np.ndarray, o: dict[str, Any]) -> np.ndarray:
    return np.moveaxis(a, o["shape"][1], -1).reshape(-1, CLASSES)


def labels_of(rows: Rows, o: dict[str, Any]) -> np.ndarray:
    """The labels of the call."""
    if o["labels"] == "logits":
        return arrange(rows.y, o)
    if o["labels"] == "soft":
        return arrange(rows.q.astype(rows.x.dtype), o)
    if o["labels"] in HARD:
        return arrange(rows.index.astype(o["labels"]), o)
    hot = np.arange(CLASSES) == rows.index[:, None]
    return arrange(hot.astype(o["labels"].removeprefix("one-hot ")), o)


def options_of(rows: Rows, o: dict[str, Any]) -> dict[str, Any]:
    """The options of the call."""
    shape, axis = o["shape"]
    options = {"axis": axis, "reduction": o["reduction"].split()[0], **rows.options}
    if o["reduction"] == "mean of 8":
        options["normalizer"] = 8.0
    if o.get("ignore_index") is not None:
        options["ignore_index"] = o["ignore_index"]
    options |= {k: arrange(v, o) for k, v in rows.per_row.items()}
    if o["where"] == "classes":
        options["where"] = np.moveaxis(rows.mask[:1].reshape(*[1] * (len(shape) - 1), -1), -1, axis)
    elif o["where"]:
        options["where"] = arrange(rows.mask, o)
    return options


def definitions(name: str, rows: Rows, labels: list[np.ndarray]) -> tuple[list[arb], list[arb]]:
    """The losses of all rows and their gradients, row by row."""
    of_probabilities = name.endswith("of_probabilities")
    unknown = ("from_logits", "temperature", *(("z_loss",) if of_probabilities else ()))
    options = {k: v for k, v in rows.options.items() if k not in unknown}
    values, gradients = [], []
    for i, x in enumerate(rows.visible):
        if rows.ignored[i]:
            values.append(arb(0))
            gradients += [arb(0)] * CLASSES
            continue
        named = {**options, "where": rows.mask[i], "sample_weight": rows.get("sample_weight")[i]}
        if not of_probabilities:
            named["temperature"] = rows.get("temperature")[i]
        arguments = [x, *(a[i] for a in labels)]
        values.append(reference.exact(getattr(reference, name), *arguments, **named))
        gradients += reference.exact(getattr(reference, f"{name}_grad"), *arguments, **named)
    return values, gradients


def total(numbers: list[arb], divisor: float) -> arb:
    before, ctx.prec = ctx.prec, 192
    try:
        return sum(numbers, arb(0)) / divisor
    finally:
        ctx.prec = before


def divisor(loss: str, rows: Rows, o: dict[str, Any]) -> float:
    """D, whose terms float64 adds exactly."""
    if o["reduction"] != "mean":
        return 8.0 if o["reduction"] == "mean of 8" else 1.0
    w = rows.options.get("class_weight", np.ones(CLASSES))
    shares = rows.q @ w if loss == "cross_entropy" else np.ones(len(rows.x))
    return float((rows.get("sample_weight") * shares)[~rows.ignored].sum())


def assert_exact(result: Any, exact: list[arb], terms: Any, dtype: str) -> None:
    """Within the contract; where roundings of several options add up, float64 in ULP of the terms."""
    scale = CANCELLATION[dtype] if dtype == "float64" else 1.0
    errors = in_units(np.ravel(result), exact, np.ravel(terms) * scale, dtype)
    assert errors.max() <= CONTRACT[dtype], f"{errors.max()} ULP: {result}, exact {exact}"


def call(loss: str, rows: Rows, o: dict[str, Any]) -> tuple[Any, np.ndarray]:
    """Value and gradient; the value is that of the plain call, and the arguments are left alone."""
    x, options = arrange(rows.x, o), options_of(rows, o)
    arguments = [x]
    if loss == "distillation_loss":
        arguments.append(arrange(rows.y, o))
    if o["labels"]:
        arguments.append(labels_of(rows, o))
    out = {None: None, "new": np.full_like(x, 7), "in place": x}[o["out"]]
    inputs = [*arguments, *(v for v in options.values() if isinstance(v, np.ndarray))]
    before = [a.copy() for a in inputs]
    value = getattr(sigmax, loss)(*arguments, **options)
    again, gradient = with_gradient(loss, *arguments, out=out, **options)
    assert same(value, again)
    assert out is None or gradient is out
    for a, b in zip(inputs, before, strict=True):
        assert same(a, b) or (a is x and out is x)
    batch = np.delete(x.shape, o["shape"][1])
    assert np.shape(value) == (tuple(batch) if o["reduction"] == "none" else ())
    assert gradient.shape == x.shape
    assert value.dtype == gradient.dtype == x.dtype
    return value, as_rows(gradient, o)


def check(loss: str, definition: str, o: dict[str, Any]) -> None:
    """One combination against its definition and against complex steps."""
    rows, dtype = make(o), o["dtype"]
    value, gradient = call(loss, rows, o)
    teacher = np.where(rows.mask, as_float(rows.y), -INF)
    labels = [teacher if o["labels"] == "logits" else rows.q]
    labels = [teacher, *labels] if loss == "distillation_loss" else labels
    values, gradients = definitions(definition, rows, labels)
    d = divisor(loss, rows, o)

    largest = np.abs(np.reshape([float(g) for g in gradients], gradient.shape)).max(axis=1) / d
    terms = 0.0 if "probabilities" in definition else np.repeat(largest, CLASSES)
    assert_exact(gradient, [total([g], d) for g in gradients], terms, dtype)
    if o["reduction"] == "none":
        assert_exact(value, values, 0.0, dtype)
    else:
        assert_exact(value, [total(values, d)], sum(abs(float(v)) for v in values) / d, dtype)

    bound = max(2 * EPS[dtype], 1e-14) * largest[:, None] + 1e-12
    assert (np.abs(as_float(gradient) - complex_step(loss, rows, labels) / d) <= bound).all()


# ---------------------------------------------------------------- derivatives by complex steps
# Independent: NumPy's complex128 only, nothing of the package or of reference.py.


def complex_softmax(x: np.ndarray, mask: np.ndarray, t: Any) -> tuple[np.ndarray, np.ndarray]:
    """log p, 0 where masked, and lse."""
    x = np.where(mask, x, 0) / t
    top = x.real.max(axis=1, keepdims=True)
    lse = top + np.log(np.sum(np.exp(x - top), axis=1, keepdims=True, where=mask))
    return np.where(mask, x - lse, 0), lse[:, 0]


def complex_cross_entropy(x: np.ndarray, q: np.ndarray, rows: Rows, t: Any) -> np.ndarray:
    o = rows.options
    prior = rows.mask * o.get("smoothing_prior", np.ones(CLASSES))
    smoothing = o.get("label_smoothing", 0.0)
    q = (1 - smoothing) * q + smoothing * prior / prior.sum(axis=1, keepdims=True)
    if o.get("from_logits", True):
        log_p, lse = complex_softmax(x, rows.mask, t)
    else:
        log_p, lse = np.log(np.where(rows.mask, x, 1)), 0
    loss = -(o.get("class_weight", 1.0) * q * log_p).sum(axis=1)
    return rows.get("sample_weight") * loss + o.get("z_loss", 0.0) * lse**2


def complex_loss(loss: str, x: np.ndarray, labels: list[np.ndarray], rows: Rows) -> np.ndarray:
    t = rows.get("temperature")[:, None]
    q = labels[0]
    if loss == "distillation_loss" or "labels_from_logits" in rows.options:
        q = rows.mask * np.exp(complex_softmax(q, rows.mask, t)[0])
    if loss != "distillation_loss":  # a divergence, up to the entropy of q
        return complex_cross_entropy(x, q, rows, t)
    alpha, log_p = rows.options["alpha"], complex_softmax(x, rows.mask, t)[0]
    divergence = -rows.get("sample_weight") * (q * log_p).sum(axis=1)
    hard = complex_cross_entropy(x, labels[1], rows, 1.0)
    return alpha * t[:, 0] ** 2 * divergence + (1 - alpha) * hard


def complex_step(loss: str, rows: Rows, labels: list[np.ndarray]) -> np.ndarray:
    """The derivative of the sum: rows are independent, so one step serves all of them."""
    step = 1e-30
    columns = []
    for direction in np.eye(CLASSES):
        x = np.where(rows.mask, as_float(rows.x), 0) + 1j * step * direction
        columns.append(complex_loss(loss, x, labels, rows).imag / step)
    return np.stack(columns, axis=1) * rows.mask * ~rows.ignored[:, None]
