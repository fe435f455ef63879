"""Random calls of every public function, for what must never change a result.

    python tests/support/fuzz.py layouts --cases 100000 --seed 1    # operands and out= in any layout
    python tests/support/fuzz.py left-out --cases 100000 --seed 1   # anything in what does not count

Results are compared byte by byte. A case that fails is printed with its number, which `--first` starts from.
test_fuzz.py runs the first cases of both.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from kernel_inputs import TYPES

import sigmax

Array = Any
ELEMENTWISE = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
PER_CLASS = ("softmax", "log_softmax", "inverse_softmax")
PER_ROW = ("logsumexp", "entropy")
LOSSES = ("cross_entropy", "kl_divergence", "distillation_loss", "linear_cross_entropy", "binary")
CALIBRATION = (
    "fit_temperature",
    "fit_vector_scaling",
    "evaluate",
    "compare",
    "calibration_error",
    "brier_score",
    "reliability_curve",
)
FAMILIES = (*ELEMENTWISE, *PER_CLASS, *PER_ROW, *LOSSES, "one_hot", "smooth_labels", *CALIBRATION)
JUNK = (np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, -0.0, 1e-310, 3.0)


@dataclasses.dataclass
class Call:
    """A function and its arguments: arrays by name, those that are given by position first."""

    function: Callable[..., Any]
    arrays: dict[str, Array]
    positional: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    unequal: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    """Axes along which an array is no distribution any more if its numbers are repeated."""
    outs: tuple[str, ...] = ()
    """The arrays whose shape and type `out` has; of a function that is no gradient "result"."""
    exact: bool = True
    """Whether results have the same bytes: matrix products are NumPy's, and depend on layouts."""

    def run(self, arrays: dict[str, Array], out: Any = None) -> Any:
        values = list(arrays.values())
        named = dict(list(arrays.items())[self.positional :])
        place = {} if out is None else {"out": out}
        return self.function(*values[: self.positional], **named, **self.options, **place)

    def __str__(self) -> str:
        arrays = {name: f"{a.dtype}{a.shape}" for name, a in self.arrays.items()}
        name = getattr(self.function, "__name__", repr(self.function))
        return f"{name} {arrays} {self.options}"


# ---------------------------------------------------------------- random calls


class Draw:
    """Random numbers and choices of one case."""

    def __init__(self, seed: int, case: int) -> None:
        self.rng = np.random.default_rng([seed, case])

    def one(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def numbers(self, shape: tuple[int, ...], dtype: Any = np.float64, size: float = 3.0) -> Array:
        x = (self.rng.normal(size=shape) * size).astype(np.float32)
        return np.asarray(x).astype(dtype)

    def shape(self) -> tuple[tuple[int, ...], int]:
        """A shape of up to four dimensions, and which of them is the classes'."""
        ndim = self.one(1, 2, 2, 2, 3, 3, 4)
        shape = [self.one(1, 2, 3, 5, 9) for _ in range(ndim)]
        axis = self.one(-1, -1, -1, int(self.rng.integers(ndim)))
        shape[axis] = self.one(1, 2, 3, 4, 7, 10, 16, 17, 33, 40, 65)
        if self.chance(0.03):
            shape = [1] * ndim
            shape[axis] = self.one(300, 1025, 5000)
        if self.chance(0.03):
            shape[int(self.rng.integers(ndim))] = self.one(0, 70)
        return tuple(shape), axis

    def dtype(self) -> Any:
        return TYPES[self.one(*TYPES)]

    def mask(self, shape: tuple[int, ...]) -> Array:
        """Of a shape that broadcasts to this one."""
        keep = self.rng.random(len(shape)) < 0.7
        part = tuple(n if k else 1 for n, k in zip(shape, keep, strict=True))
        part = part[int(self.rng.integers(len(part) + 1)) :] if self.chance(0.2) else part
        return self.rng.random(part) < 0.7


def without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n for k, n in enumerate(shape) if k != axis % len(shape))


def distributions(d: Draw, shape: tuple[int, ...], axis: int, dtype: Any) -> Array:
    p = np.exp(d.numbers(shape, size=1.5))
    return (p / p.sum(axis=axis, keepdims=True)).astype(dtype)


def call(d: Draw) -> Call:
    family = d.one(*FAMILIES)
    if family in ELEMENTWISE:
        return elementwise(d, family)
    if family in PER_CLASS + PER_ROW:
        return along_an_axis(d, family)
    if family == "binary":
        return binary(d)
    if family == "one_hot":
        shape = without(*d.shape())
        labels = d.rng.integers(0, 7, shape).astype(d.one(np.int64, np.uint8, np.int16))
        return Call(sigmax.one_hot, {"labels": labels, "classes": np.array(7)}, 2)
    if family == "smooth_labels":
        return smooth(d)
    if family in CALIBRATION:
        return calibration(d, family)
    return of_classes(d, family)


def elementwise(d: Draw, name: str) -> Call:
    shape, _ = d.shape()
    dtype, function = d.dtype(), getattr(sigmax, name)
    x = d.numbers(shape, dtype)
    if name == "logit":
        x = d.rng.random(shape).astype(dtype)
    if name == "log1mexp":
        x = -abs(x)
    if d.chance(0.5):
        c = {"x": x, "cotangent": d.numbers(shape, dtype)}
        return Call(vjp_of(function), c, 2)
    return Call(function, {"x": x}, 1, outs=("result",))


def vjp_of(function: Any) -> Callable[..., Any]:
    def vjp(x: Any, cotangent: Any, **options: Any) -> Any:
        return sigmax.vjp(function, x, cotangent, **options)

    vjp.__name__ = f"vjp of {function.__name__}"
    return vjp


def along_an_axis(d: Draw, name: str) -> Call:
    shape, axis = d.shape()
    dtype, function = d.dtype(), getattr(sigmax, name)
    options: dict[str, Any] = {"axis": axis}
    of_probabilities = name == "inverse_softmax" or (name == "entropy" and d.chance(0.4))
    x = d.numbers(shape, dtype)
    unequal = {}
    if of_probabilities:
        x, unequal["x"] = distributions(d, shape, axis, dtype), (axis,)
        if name == "entropy":
            options["from_logits"] = False
    if len(shape) > 1 and d.chance(0.2) and not of_probabilities:
        options["axis"] = axis = d.one(None, (0, 1), (1, -len(shape)))
    arrays = {"x": x}
    if not of_probabilities and d.chance(0.5):
        arrays["temperature"] = np.exp(d.numbers((), size=0.5))
        if type(axis) is int and d.chance(0.7):
            arrays["temperature"] = np.exp(d.numbers(without(shape, axis), size=0.5))
    if d.chance(0.4):
        arrays["where"] = d.mask(shape)
    if name == "logsumexp" and d.chance(0.5):
        arrays["weights"] = abs(d.numbers(shape, dtype))
        if d.chance(0.5):
            arrays["weights"] = arrays["weights"] * (d.rng.random(shape) < 0.7)
    if name in PER_ROW and d.chance(0.3):
        options["keepdims"] = True
    if d.chance(0.5):
        cotangent = d.numbers(
            np.shape(function(arrays["x"], **dict(list(arrays.items())[1:]), **options)), dtype
        )
        arrays = {"x": x, "cotangent": cotangent, **dict(list(arrays.items())[1:])}
        return Call(vjp_of(function), arrays, 2, options, unequal)
    return Call(function, arrays, 1, options, unequal, outs=("result",))


def gradient_of(d: Draw, name: str) -> tuple[Callable[..., Any], bool]:
    function = getattr(sigmax, name)
    gradient = d.chance(0.6)
    return (sigmax.value_and_grad(function) if gradient else function), gradient


def reductions(d: Draw, options: dict[str, Any]) -> None:
    options["reduction"] = d.one("none", "none", "sum", "mean", "mean")
    if d.chance(0.2):
        options["normalizer"] = 3.5


def per_row(d: Draw, rows: tuple[int, ...]) -> Array:
    """Weights of the rows, or of what broadcasts to them."""
    keep = d.rng.random(len(rows)) < 0.8
    shape = tuple(n if k else 1 for n, k in zip(rows, keep, strict=True))
    weight = abs(d.numbers(shape)) + 0.25
    return weight * (d.rng.random(shape) < 0.8) if d.chance(0.6) else weight


def binary(d: Draw) -> Call:
    shape, _ = d.shape()
    dtype = d.dtype()
    function, gradient = gradient_of(d, "binary_cross_entropy")
    options: dict[str, Any] = {"label_smoothing": d.one(0.0, 0.0, 0.125)}
    x = d.numbers(shape, dtype)
    if d.chance(0.3):
        options["from_logits"], x = False, d.rng.random(shape).astype(dtype)
    labels = (d.rng.random(shape) < 0.5).astype(d.one(dtype, np.int64, np.bool_))
    if d.chance(0.5):
        labels = d.rng.random(shape).astype(d.one(dtype, np.float32))
    arrays = {"logits": x, "labels": labels}
    if d.chance(0.4):
        arrays["sample_weight"] = per_row(d, shape)
    if d.chance(0.4):
        arrays["pos_weight"] = per_row(d, shape)
    if d.chance(0.4):
        arrays["where"] = d.mask(shape)
    reductions(d, options)
    return Call(function, arrays, 2, options, outs=("logits",) if gradient else ())


def smooth(d: Draw) -> Call:
    shape, axis = d.shape()
    arrays = {"labels": distributions(d, shape, axis, d.dtype()), "smoothing": np.array(0.125)}
    unequal = {"labels": (axis,), "prior": (0,)}
    if d.chance(0.5):
        arrays["prior"] = distributions(d, (shape[axis],), 0, np.float64)
    if d.chance(0.5):
        arrays["where"] = d.mask(shape)
    return Call(sigmax.smooth_labels, arrays, 2, {"axis": axis}, unequal)


def of_classes(d: Draw, name: str) -> Call:
    shape, axis = d.shape()
    rows, classes, dtype = without(shape, axis), shape[axis], d.dtype()
    function, gradient = gradient_of(d, name)
    options: dict[str, Any] = {"axis": axis}
    arrays = {"logits": d.numbers(shape, dtype, d.one(1.0, 3.0, 30.0))}
    unequal: dict[str, tuple[int, ...]] = {"smoothing_prior": (0,)}
    of_logits = name in ("distillation_loss", "linear_cross_entropy") or d.chance(0.7)
    if not of_logits:
        options["from_logits"] = False
        arrays["logits"], unequal["logits"] = distributions(d, shape, axis, dtype), (axis,)
    outs: tuple[str, ...] = ("logits",)
    positional, exact = 2, True
    if name == "linear_cross_entropy":
        del options["axis"], arrays["logits"]
        rows, axis, positional, exact = rows[:2], -1, 3, False
        shape = (*rows, classes)
        arrays = {
            "features": np.rint(d.numbers((*rows, 3))).astype(dtype),
            "weight": np.rint(d.numbers((classes, 3))).astype(dtype),
        }
        outs = ("features", "weight", "bias")
    if name == "distillation_loss":
        arrays["teacher"] = d.numbers(shape, dtype)
        options["alpha"] = d.one(0.5, 1.0)
        positional = 3 if options["alpha"] < 1 or d.chance(0.5) else 2
    if name == "kl_divergence":
        if d.chance(0.5):
            options["labels_from_logits"], arrays["labels"] = True, d.numbers(shape, dtype)
        else:
            arrays["labels"], unequal["labels"] = distributions(d, shape, axis, dtype), (axis,)
    elif positional == 3 or name == "cross_entropy":
        labels_of_classes(d, shape, axis, arrays, unequal, options)
        if of_logits and d.chance(0.3):
            options["z_loss"] = 0.25
        if d.chance(0.4):
            options["label_smoothing"] = 0.125
        if d.chance(0.3):
            arrays["class_weight"] = per_row(d, (classes,))
            arrays["class_weight"] = np.broadcast_to(arrays["class_weight"], (classes,)).copy()
        if d.chance(0.3):
            arrays["smoothing_prior"] = distributions(d, (classes,), 0, np.float64)
    if name == "linear_cross_entropy" and d.chance(0.5):
        arrays["bias"] = d.numbers((classes,), dtype)
    if of_logits and d.chance(0.4):
        arrays["temperature"] = np.exp(d.numbers(d.one((), rows), size=0.5))
    if d.chance(0.4):
        arrays["sample_weight"] = per_row(d, rows)
    if d.chance(0.4):
        arrays["where"] = d.mask(shape)
    reductions(d, options)
    return Call(function, arrays, positional, options, unequal, outs if gradient else (), exact)


def labels_of_classes(
    d: Draw,
    shape: tuple[int, ...],
    axis: int,
    arrays: dict[str, Array],
    unequal: dict[str, tuple[int, ...]],
    options: dict[str, Any],
) -> None:
    classes, rows = shape[axis], without(shape, axis)
    if d.chance(0.6):
        kind = d.one(np.int64, np.int64, np.int32, np.int8)
        labels = d.rng.integers(0, min(classes, 100) or 1, rows)
        if d.chance(0.4):
            options["ignore_index"] = -1
            labels = np.where(d.rng.random(rows) < 0.3, -1, labels)
        arrays["labels"] = np.asarray(labels).astype(kind)
        return
    dtype = arrays[next(iter(arrays))].dtype
    labels = distributions(d, shape, axis, d.one(dtype, dtype, np.float32))
    if d.chance(0.4) and classes:
        options["ignore_index"] = 0
        sure = np.zeros(classes, labels.dtype)
        sure[0] = 1
        ignored = np.expand_dims(d.rng.random(rows) < 0.3, axis)
        labels = np.where(ignored, np.moveaxis(sure.reshape(-1, *[1] * len(rows)), 0, axis), labels)
    arrays["labels"], unequal["labels"] = labels, (axis,)


def calibration(d: Draw, name: str) -> Call:
    shape, axis = (d.one(20, 40), d.one(2, 3, 5)), -1
    if d.chance(0.3):
        shape, axis = shape[::-1], 0
    if d.chance(0.3):
        shape = (2, *shape) if axis == -1 else (*shape, 2)
    rows = without(shape, axis)
    options: dict[str, Any] = {"axis": axis}
    unequal = {}
    x = d.numbers(shape, d.dtype(), 1.0)
    if d.chance(0.3):
        x, options["from_logits"] = distributions(d, shape, axis, d.dtype()), False
        unequal["logits"] = (axis,)
    arrays = {"logits": x, "labels": d.rng.integers(0, shape[axis], rows)}
    if d.chance(0.3):
        arrays["labels"] = distributions(d, shape, axis, np.float32)
        unequal["labels"] = (axis,)
    elif d.chance(0.4):
        options["ignore_index"] = -1
        arrays["labels"] = np.where(d.rng.random(rows) < 0.2, -1, arrays["labels"])
    if d.chance(0.4):
        arrays["sample_weight"] = per_row(d, rows)
    if d.chance(0.3):
        arrays["where"] = np.ones(shape, bool)
        arrays["where"][(slice(None),) * (axis % len(shape)) + (0,)] = False
        if arrays["labels"].ndim == len(rows):
            arrays["labels"] = np.where(arrays["labels"] == 0, 1, arrays["labels"])
    if name not in ("fit_temperature", "fit_vector_scaling") and d.chance(0.4):
        arrays["temperature"] = np.exp(d.numbers(rows, size=0.5))
    if name in ("evaluate", "compare"):
        options["resamples"] = 20
    if name == "compare":
        of_p = "from_logits" in options
        other = (
            distributions(d, shape, axis, d.dtype()) if of_p else d.numbers(shape, d.dtype(), 1.0)
        )
        arrays = {"base": arrays.pop("logits"), "other": other, **arrays}
        unequal |= dict.fromkeys(("base", "other"), unequal.pop("logits", ()))
        return Call(sigmax.compare, arrays, 3, options, unequal)
    return Call(getattr(sigmax, name), arrays, 2, options, unequal)


# ---------------------------------------------------------------- outcomes


def leaves(result: Any) -> Iterator[Any]:
    """The arrays, numbers and words of a result."""
    if isinstance(result, tuple | list):
        for part in result:
            yield from leaves(part)
    elif dataclasses.is_dataclass(result):
        yield from leaves(list(vars(result).values()))
    elif isinstance(result, dict):
        yield from leaves(list(result.items()))
    elif hasattr(result, "resamples"):
        yield from (float(result), *result.interval, result.resamples)
    else:
        yield result


def outcome(run: Callable[[], Any]) -> list[Any]:
    """What a call returns, or its error; nothing may warn or trap."""
    try:
        with np.errstate(all="raise"):
            return list(leaves(run()))
    except (ValueError, TypeError) as error:
        return [type(error), str(error)]


def same(a: Any, b: Any, exact: bool = True) -> bool:
    if not isinstance(a, np.ndarray | np.generic | float):
        return type(a) is type(b) and a == b
    a, b = native(np.asarray(a)), native(np.asarray(b))
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if exact:
        nan = np.isnan(a)
        return bool((nan == np.isnan(b)).all()) and a[~nan].tobytes() == b[~nan].tobytes()
    with np.errstate(all="ignore"):
        a, b = a.astype(np.float64), b.astype(np.float64)
        size = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        close = (np.abs(a - b) <= 0.02 * size) | (a == b) | (np.isnan(a) & np.isnan(b))
    return bool(close.all())


def native(a: Array) -> Array:
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def all_same(a: list[Any], b: list[Any], exact: bool = True) -> bool:
    return len(a) == len(b) and all(same(x, y, exact) for x, y in zip(a, b, strict=True))


def failed(result: list[Any]) -> bool:
    return bool(result) and isinstance(result[0], type)


# ---------------------------------------------------------------- layouts


def laid_out(d: Draw, a: Array, unequal: tuple[int, ...] = (), *, writable: bool = False) -> Array:
    """Numbers of an array, some of them repeated, in a random layout."""
    shape = a.shape
    for k in range(a.ndim):
        if d.chance(0.25) and not writable and not {k, k - a.ndim} & set(unequal):
            a = a.take([0], axis=k) if a.shape[k] else a  # all numbers along this axis are one
    if a.dtype.kind in "fiu" and d.chance(0.2):
        a = a.astype(a.dtype.newbyteorder("S"))
    order = [int(k) for k in d.rng.permutation(a.ndim)]
    apart = [d.one(1, 1, 1, 2, 3) for _ in order]
    padded = [n * step + d.one(0, 0, 1) for n, step in zip(a.shape, apart, strict=True)]
    memory = np.full(int(np.prod(padded)) * a.itemsize + 1, 0x7F, np.uint8)
    view = np.ndarray([padded[k] for k in order], a.dtype, memory, d.one(0, 0, 1))
    view = view.transpose([int(k) for k in np.argsort(order)])
    view = view[(..., *(slice(0, n * k, k) for n, k in zip(a.shape, apart, strict=True)))]
    view = view[(..., *(slice(None, None, d.one(1, 1, -1)) for _ in order))]
    view[...] = a
    if view.shape != shape:
        view = np.broadcast_to(view, shape)
    elif d.chance(0.15) and not writable:
        view.flags.writeable = False
    return view


def check_layouts(d: Draw) -> str | None:
    """Return what is wrong, if anything; None where the call is refused in any layout."""
    c = call(d)
    mine = {name: laid_out(d, a, c.unequal.get(name, ())) for name, a in c.arrays.items()}
    theirs = {name: native(np.array(a, order="C")) for name, a in mine.items()}
    before = {name: a.tobytes() for name, a in mine.items()}
    expected, found = outcome(lambda: c.run(theirs)), outcome(lambda: c.run(mine))
    if not all_same(found, expected, c.exact):
        return report(c, mine, expected, found)
    if any(a.tobytes() != before[name] for name, a in mine.items()):
        return report(c, mine, "no argument is written to", "")
    if failed(expected):
        return None
    return check_out(d, c, mine, expected) if c.outs else ""


def check_out(d: Draw, c: Call, mine: dict[str, Array], expected: list[Any]) -> str:
    """The same result goes to `out` in any layout, and nowhere else."""
    like = [expected[0]] if c.outs == ("result",) else [mine.get(name) for name in c.outs]
    if any(a is not None and a.dtype.kind not in "fV" for a in like) or np.ndim(like[0]) == 0:
        return ""
    empty = [a if a is None else np.full(a.shape, 7, native(a).dtype) for a in like]
    places = [a if a is None else laid_out(d, a, writable=True) for a in empty]
    first = next(iter(mine.values()))
    if len(places) == 1 and first.shape == places[0].shape and d.chance(0.4):
        usable = first.flags.writeable and native(first).dtype == native(places[0]).dtype
        places = [first] if usable and 0 not in first.strides else places
    memories = [memory_of(p) for p in places if p is not None]
    around = [(p, m, outside(p, m)) for p, m in zip(filter_out(places), memories, strict=True)]
    found = outcome(lambda: c.run(mine, tuple(places) if len(places) > 1 else places[0]))
    is_given = all(any(leaf is p for leaf in found) for p in filter_out(places))
    if not all_same(found, expected, c.exact) or not is_given:
        return report(c, mine, expected, found, places)
    if any(outside(p, m) != bytes_ for p, m, bytes_ in around):
        return report(c, mine, "nothing is written beside out", "", places)
    return ""


def filter_out(places: list[Any]) -> list[Array]:
    return [p for p in places if p is not None]


def memory_of(a: Array) -> Array:
    while a.base is not None and isinstance(a.base, np.ndarray):
        a = a.base
    return a


def outside(a: Array, memory: Array) -> bytes:
    """The bytes of the memory that are not the array's."""
    kept = a.copy()
    a[...] = 0
    result = memory.tobytes()
    a[...] = kept
    return result


def report(c: Call, arrays: dict[str, Array], expected: Any, found: Any, out: Any = ()) -> str:
    named = {**arrays, **{f"out {k}": a for k, a in enumerate(out) if a is not None}}
    layouts = {n: (a.dtype.str, a.strides, a.ctypes.data % 8) for n, a in named.items()}
    return f"{c}\n  layouts  {layouts}\n{difference(expected, found, c.exact)}"


def difference(expected: Any, found: Any, exact: bool = True) -> str:
    """The first results that differ."""
    for a, b in zip(expected, found, strict=False):
        if not same(b, a, exact):
            return f"  expected {a!r}\n  found    {b!r}"
    return f"  expected {expected}\n  found    {found}"


# ---------------------------------------------------------------- what does not count


def junk(d: Draw, a: Array, places: Array) -> Array:
    """The array with anything in these places."""
    a, places = a.copy(), np.broadcast_to(places, a.shape)
    values = np.array(JUNK)[d.rng.integers(0, len(JUNK), a.shape)]
    if a.dtype.kind in "biu":
        values = np.where(values > 0, 99, -5) if a.dtype.kind == "i" else values > 0
    with np.errstate(all="ignore"):
        a[places] = values.astype(a.dtype)[places]
    return a


def check_left_out(d: Draw) -> str | None:
    """Return what is wrong, if anything; None where all counts, or the call is refused."""
    for _ in range(10):
        c = call(d)
        spoiled = spoil(d, c)
        if any(a is not c.arrays[name] for name, a in spoiled.items()):
            break
    else:
        return None
    expected, found = outcome(lambda: c.run(c.arrays)), outcome(lambda: c.run(spoiled))
    if failed(expected) and not failed(found):
        return None
    if all_same(found, expected):
        return None if failed(expected) else ""
    return f"{c}\n  {spoiled}\n{difference(expected, found)}"


def spoil(d: Draw, c: Call) -> dict[str, Array]:
    """The arrays of a call with anything in rows and classes that do not count."""
    arrays = dict(c.arrays)

    def put(name: str, places: Array) -> None:
        if name in arrays and np.any(places):
            arrays[name] = junk(d, arrays[name], places)

    where = arrays.get("where", np.True_)
    if "x" in arrays:
        put("x", ~where)
        if "cotangent" in arrays and arrays["cotangent"].shape == arrays["x"].shape:
            put("cotangent", ~where)
        if "weights" in arrays:
            put("weights", np.broadcast_to(~where, arrays["x"].shape))
            put("x", c.arrays["weights"] == 0)
    elif c.function in (sigmax.smooth_labels, sigmax.one_hot):
        pass
    elif "axis" in c.options or "features" in arrays:
        spoil_rows(c, arrays, put)
    else:
        spoil_elements(c, arrays, put)
    return arrays


def spoil_elements(c: Call, arrays: dict[str, Array], put: Callable[[str, Array], None]) -> None:
    """Of a binary cross-entropy."""
    weight = c.arrays.get("sample_weight", np.float64(1))
    out = np.broadcast_to(~arrays.get("where", np.True_) | (weight == 0), arrays["logits"].shape)
    if arrays["labels"].dtype.kind == "f":
        put("labels", out)
    positive = c.arrays.get("pos_weight", np.float64(1)) == 0
    if not c.options["label_smoothing"]:
        out = out | (positive & (c.arrays["labels"] == 1))
    put("logits", out)


def spoil_rows(c: Call, arrays: dict[str, Array], put: Callable[[str, Array], None]) -> None:
    """Of a loss of classes, or of calibration."""
    axis, options = c.options.get("axis", -1), c.options
    first = arrays[next(iter(arrays))]
    shape = (*first.shape[:-1], len(arrays["weight"])) if "features" in arrays else first.shape
    rows, labels = without(shape, axis), arrays.get("labels")
    hard = labels is not None and labels.shape == rows
    ignored = np.zeros(rows, bool)
    if "ignore_index" in options:
        k = options["ignore_index"]
        ignored = labels == k if hard else np.take(labels, k, axis) == 1
    weight = np.broadcast_to(arrays.get("sample_weight", np.float64(1)), rows)
    weightless = (weight == 0) & ~ignored & (not options.get("z_loss"))
    out = ignored | weightless
    if labels is not None:
        put("labels", weightless if hard else np.expand_dims(weightless, axis))
        if not hard and ignored.any():
            other = np.arange(shape[axis]) != options["ignore_index"]
            other = other.reshape([-1 if k == axis % len(shape) else 1 for k in range(len(shape))])
            put("labels", np.expand_dims(ignored, axis) & other)
    smoothed = options.get("label_smoothing") or options.get("z_loss")
    takes_weight = "class_weight" in arrays and hard and not smoothed and shape[axis]
    if takes_weight and "teacher" not in arrays:
        out = out | (arrays["class_weight"][np.maximum(c.arrays["labels"], 0)] == 0)
    masked = np.broadcast_to(~arrays.get("where", np.True_), shape)
    if "features" in arrays:
        put("features", out[..., None])
        never = (masked | out[..., None]).all(axis=tuple(range(len(rows))))
        put("weight", never[:, None])
        put("bias", never)
        return
    for name in ("logits", "teacher"):
        put(name, masked | np.expand_dims(out, axis))
    if options.get("labels_from_logits"):
        put("labels", masked)


# ---------------------------------------------------------------- runs

CHECKS = {"layouts": check_layouts, "left-out": check_left_out}


def run(check: str, cases: int, seed: int, first: int = 0) -> int:
    """Run cases until one fails, and return how many of them compared results."""
    compared = 0
    for case in range(first, first + cases):
        wrong = CHECKS[check](Draw(seed, case))
        if wrong:
            raise AssertionError(f"{check}, seed {seed}, case {case}: {wrong}")
        compared += wrong is not None
    return compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    compared = run(options.check, options.cases, options.seed, options.first)
    print(f"{options.cases} cases, {compared} with results that were compared: all the same")


if __name__ == "__main__":
    main()
