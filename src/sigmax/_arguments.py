"""The gate for arguments: each array and each option of every function is read, checked or refused here, and only here.

Arrays of other libraries (pandas, polars, xarray, tensors) are read by position, as `numpy.asarray` reads them. An
array that has functions of its own in place of NumPy's, as Dask's has, is left as it is where a function can do that.
"""

import functools
import math
import operator
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, TypeVar
from typing import cast as typed

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from . import _core

Axis = int | tuple[int, ...] | None
Reduction = Literal["none", "sum", "mean"]

MOST = 10**6  # bins or resamples
LARGEST = float(np.finfo(np.float64).max)
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 2.0**-1022, 2.0**1000
ONE = np.ones(1)  # a weight for all classes
NO_TEMPERATURE = object()  # of a function that has none

P = ParamSpec("P")
R = TypeVar("R")

_MASKABLE = ("x", "p", "logits", "base", "other", "student_logits")  # with where= beside
_FLOATS = {np.dtype(t) for t in (np.float16, np.float32, np.float64)}
_SMALL_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (1, 2, 4)}  # of ml_dtypes


class exact_arithmetic:  # noqa: N801 (used as np.errstate is)
    """NumPy's steps outside the core, done as in the core: whatever the caller has set, none warns, traps, flushes to
    zero or rounds another way.
    """

    __slots__ = ("control", "errors")

    def __init__(self) -> None:
        self.errors = np.errstate(all="ignore")

    def __enter__(self) -> None:
        self.errors.__enter__()
        self.control = _core.set_float_environment(_core.default_float_environment)

    def __exit__(self, *error: Any) -> None:
        _core.set_float_environment(self.control)
        self.errors.__exit__(*error)


def in_exact_arithmetic(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function as it runs in `exact_arithmetic`."""

    @functools.wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        with exact_arithmetic():
            return function(*arguments, **options)

    return run


# ---------------------------------------------------------------- arrays


def is_foreign(x: Any) -> bool:
    """Whether x brings functions of its own in place of NumPy's."""
    kind = type(x)
    if isinstance(x, np.ndarray):
        return kind.__array_ufunc__ is not np.ndarray.__array_ufunc__
    if hasattr(kind, "__array_function__"):
        return True
    return hasattr(kind, "__array_ufunc__") and not hasattr(kind, "__array__")


def is_dask(x: Any) -> bool:
    return hasattr(x, "to_delayed") and is_foreign(x)


def positions(x: Any, name: str) -> Any:
    """Return x as an array of NumPy's own class, read by position, in any type; a foreign one as it is."""
    if type(x) is np.ndarray:
        return x
    if isinstance(x, np.ma.MaskedArray) or _holds_masked(x):
        of_mask = f"{name}.data and where=~{name}.mask"
        advice = of_mask if name in _MASKABLE else f"{name}.filled(value)"
        raise TypeError(f"{name} is a masked array: pass {advice}")
    if is_foreign(x):
        return x
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    except (TypeError, RuntimeError) as error:
        advice = "pass it detached" if getattr(x, "requires_grad", False) else "convert it first"
        raise TypeError(
            f"{name} of type {type(x).__name__} cannot be read as a NumPy array: {advice} ({error})"
        ) from None


def _holds_masked(x: Any) -> bool:
    """Whether x is a list of masked arrays, of which NumPy would read what is masked."""
    if not (isinstance(x, list | tuple) and x and isinstance(x[0], np.ndarray)):
        return False
    return any(isinstance(row, np.ma.MaskedArray) for row in x)


@functools.cache
def _kind(dtype: Any) -> str:
    """Return "float" or "integer" for a type that functions take; "" for others."""
    if dtype.kind in "biu" or dtype.name in _SMALL_INTEGERS:
        return "integer"
    if dtype.kind == "f":
        return "float" if dtype.newbyteorder("=") in _FLOATS else ""
    return "float" if dtype.name == "bfloat16" else ""


def array(x: Any, name: str) -> Any:
    """Return x as an array of real numbers in its own type."""
    x = positions(x, name)
    require_type(x.dtype, name)
    return x


def require_type(dtype: Any, name: str) -> None:
    if dtype not in _FLOATS and not _kind(dtype):
        convertible = dtype.kind == "O" or dtype.name.startswith("float")
        advice = ": convert it to float32 first" if convertible else ""
        raise TypeError(f"{name} must be real numbers, got dtype {dtype}{advice}")


def native_array(x: Any, name: str) -> Any:
    """Return x as `array` does, copied where it has a type or an order of bytes that NumPy does not compute in."""
    x = array(x, name)
    if x.dtype.kind == "V" and _kind(x.dtype) == "integer":
        return x.astype(np.int64)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def real(x: Any, name: str = "x") -> Any:
    """Return x as an array of floating-point numbers in native order; bool and integers become float64."""
    if type(x) is np.ndarray and x.dtype in _FLOATS:
        return x
    x = native_array(x, name)
    return x.astype(np.float64) if _kind(x.dtype) == "integer" else x


def numpy_array(x: Any, name: str) -> Any:
    """Return x as `real` does, where a function needs NumPy's own arrays."""
    if is_foreign(x) and not isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be an array that NumPy can read, got {type(x).__module__}.{type(x).__name__}: "
            f"pass {name}.compute() or what else makes a NumPy array of it"
        )
    return real(x, name)


def blocks(x: Any, name: str) -> Any:
    """Return x as `array` does, for a function that reads it part by part: NumPy's, or Dask's."""
    x = array(x, name)
    if is_foreign(x) and not is_dask(x):
        numpy_array(x, name)
    if any(math.isnan(n) for n in x.shape):
        raise ValueError(f"{name} must have blocks of known size: call compute_chunk_sizes() first")
    return x.astype(np.int64) if x.dtype.name in _SMALL_INTEGERS else x


def block_numbers(values: Any, name: str, shape: tuple[int, ...]) -> Any:
    """Return one number for each row as `blocks` does, in the shape of the rows."""
    values = blocks(values, name)
    require_broadcast(values, name, shape)
    return np.broadcast_to(values, shape)


def group_names(groups: Any, shape: tuple[int, ...]) -> Any:
    """Return the name of a group, of any type, for each row."""
    groups = positions(groups, "groups")
    if groups.shape != shape:
        raise ValueError(f"groups must have the shape {shape}, got shape {tuple(groups.shape)}")
    return groups


def same_library(x: Any, first: Any) -> Any:
    """Return x as it can meet the first array of a call: that alone decides whether NumPy computes."""
    if x is None or type(x) is np.ndarray or type(x) is float:
        return x
    is_masked = isinstance(x, np.ma.MaskedArray)
    return np.asarray(x) if is_foreign(x) and not is_masked and not is_foreign(first) else x


def one_block(x: Any, name: str, axes: tuple[int, ...]) -> None:
    """Check that Dask holds the classes of a row together."""
    if type(x) is not np.ndarray and is_dask(x) and any(len(x.chunks[k]) > 1 for k in axes):
        raise TypeError(
            f"{name} must be in one block along the class axis: pass {name}.rechunk({{axis: -1}})"
        )


def in_blocks(operand: Any, x: Any, axis: int = -1) -> Any:
    """Return an operand of the shape of x, or of one number for each row, in the blocks of x where that is Dask's."""
    if type(x) is np.ndarray or not is_dask(x) or np.ndim(operand) == 0:
        return operand
    import dask.array as da

    k = axis % x.ndim
    of_rows = x.chunks[:k] + x.chunks[k + 1 :]
    for chunks in (x.chunks, of_rows):
        if np.shape(operand) == tuple(map(sum, chunks)):
            return da.asarray(operand).rechunk(chunks)
    return operand


def as_given(result: Any, x: Any) -> Any:
    """Return a result of the shape of x as the library of x would: in its class, with its labels."""
    if type(x) is np.ndarray or type(result) is not np.ndarray or result.shape != np.shape(x):
        return result
    if is_foreign(x) or isinstance(x, list | tuple | np.generic):
        return result
    if hasattr(x, "__array_wrap__"):
        return x.__array_wrap__(result)
    if hasattr(x, "iloc"):  # pandas
        labels = dict(zip(("index", "columns"), x.axes, strict=False))
        return type(x)(result, **labels, **({"name": x.name} if x.ndim == 1 else {}))
    return result


def floating(dtype: Any) -> np.dtype[Any]:
    result: np.dtype[Any] = np.dtype(dtype)
    if _kind(result) != "float":
        raise TypeError(f"dtype must be float16, float32, float64 or bfloat16, got {result}")
    return result.newbyteorder("=")


def cast(x: Any, dtype: Any) -> Any:
    """Return x as `dtype`; what is too large becomes infinite."""
    return x if x.dtype == dtype else x.astype(dtype)


def common_type(a: Any, b: Any) -> Any:
    """Return NumPy's common type of two; float16 and bfloat16, which have none there, meet in float32."""
    if a == b:
        return a
    try:
        return np.promote_types(a, b)
    except TypeError:
        return np.dtype(np.float64 if np.float64 in (a, b) else np.float32)


def in_common_type(x: Any, other: Any, name: str) -> tuple[Any, Any]:
    """Return x and another operand in their common type. Integers and Python's numbers take the type of x."""
    values = array(other, name)
    takes_that_of_x = type(other) is float or _kind(values.dtype) == "integer"
    kind = x.dtype if takes_that_of_x else common_type(x.dtype, values.dtype)
    return cast(x, kind), cast(values, kind)


# ---------------------------------------------------------------- axes and shapes


def axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes as a tuple of non-negative ints; an int must be one of the array's."""
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    each = range(ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    for a in each:
        k = _as_index(a)
        if k is None:
            raise TypeError(f"axis must be an int, a tuple of ints or None, got {axis!r}")
        if not -ndim <= k < ndim:
            raise np.exceptions.AxisError(
                f"axis must be in [{-ndim}, {ndim}) for an array of {ndim} dimensions, got {shown(k)}"
            )
    return normalize_axis_tuple(each, ndim, "axis")


def class_axis(axis: Any, ndim: int, name: str = "logits") -> int:
    """Return the one class axis, counted from the front."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    if isinstance(axis, tuple | list) or axis is None:
        raise TypeError(f"axis must be an int, got {axis!r}")
    if ndim == 0:
        raise ValueError(f"{name} must have at least one dimension, the class axis")
    return axes(axis, ndim)[0]


def classes_last(x: Any, axis: int) -> Any:
    return x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1)


def row_sums(x: Any) -> Any:
    """Return the sums along the last axis: NumPy's, in one order of additions whatever the layout."""
    return (np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x).sum(axis=-1)


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )


def require_broadcast(x: Any, name: str, shape: tuple[int, ...]) -> None:
    if not broadcasts(x.shape, shape):
        raise ValueError(
            f"{name} must broadcast to the shape {tuple(shape)}, got shape {tuple(x.shape)}"
        )


def require_shape(x: Any, name: str, like: Any, of: str) -> None:
    if x.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape {tuple(like.shape)} of {of}, got shape {tuple(x.shape)}"
        )


def require(legal: Any, values: Any, name: str, what: str) -> None:
    """Raise an error about the first of the values that is not legal."""
    if not legal.all():
        index = tuple(int(i) for i in np.argwhere(np.asarray(~legal))[0])
        at = f" at index {index}" if index else ""
        raise ValueError(f"{name} must be {what}, got {values[index]}{at}")


# ---------------------------------------------------------------- options of one value


def shown(value: Any) -> str:
    """Return a value for a message; an integer of hundreds of digits by its size."""
    if isinstance(value, int) and abs(value) > 10**30:
        return f"{'-' if value < 0 else ''}10^{math.log10(abs(value)):.0f} or so"
    return repr(value)


def _as_float(value: Any) -> float | None:
    """Return one real number as a float, infinite where it is too large for one; None for anything else."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Real):
        try:
            return float(value)
        except OverflowError:
            return -math.inf if shown(value).startswith("-") else math.inf
    if isinstance(value, str | bytes | list | tuple):
        return None
    number = positions(value, "an option") if hasattr(value, "__array__") else None
    if number is None or number.ndim != 0 or number.dtype.kind == "b" or not _kind(number.dtype):
        return None
    return float(number)


def number(value: Any, name: str, least: float, most: float, legal: str = "") -> float:
    """Return an option that is one real number in [least, most], which the message calls `legal`."""
    if type(value) is float and least <= value <= most:
        return value
    result = _as_float(value)
    if result is None:
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    if not least <= result <= most:
        end = f"{most:g}]" if most < LARGEST else "inf)"
        raise ValueError(f"{name} must be in {legal or f'[{least:g}, {end}'}, got {shown(value)}")
    return result


def word_or_number(value: Any, name: str, word: str, least: float, most: float) -> float | None:
    """As `number`; None for the word."""
    if not isinstance(value, str):
        return number(value, name, least, most)
    if value != word:
        raise ValueError(f"{name} must be a number or {word!r}, got {value!r}")
    return None


def integer(value: Any, name: str, least: int | None = None) -> int:
    given, value = value, _as_index(value)
    if value is None:
        raise TypeError(f"{name} must be an integer, got {given!r}")
    if least is not None and value < least:
        what = "not be negative" if least == 0 else f"be at least {least}"
        raise ValueError(f"{name} must {what}, got {shown(value)}")
    return int(value)


def _as_index(value: Any) -> int | None:
    """Return an integer; None for anything else, bool included."""
    if type(value) is int:
        return value
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        return None
    try:
        return int(operator.index(value))
    except TypeError:  # an array that is no scalar
        return None


def count(value: Any, name: str) -> int:
    """Return how many bins or resamples there are: no more than memory and time allow."""
    result = integer(value, name, 1)
    if result > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {shown(value)}")
    return result


def flag(value: Any, name: str) -> bool:
    if value is True or value is False:
        return bool(value)
    if isinstance(value, np.bool_) or (isinstance(value, Integral) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def choice(value: Any, name: str, legal: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in legal:
        *most, last = map(repr, legal)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, got {value!r}")
    return value


def reduction(value: Any, normalizer: Any) -> tuple[Reduction, float | None]:
    """Return the reduction and what takes the place of a mean's divisor, if anything does."""
    if normalizer is not None:
        normalizer = number(normalizer, "normalizer", math.ulp(0.0), LARGEST, "(0, inf)")
    if type(value) is str and value == "mean":
        return "mean", normalizer
    return typed(Reduction, choice(value, "reduction", ("none", "sum", "mean"))), normalizer


def smoothing(value: Any, name: str = "label_smoothing") -> float:
    return number(value, name, 0.0, 1.0)


def confidence(value: Any) -> float:
    return number(value, "confidence", 0.0, math.nextafter(1.0, 0.0), "[0, 1)")


# ---------------------------------------------------------------- temperatures, weights, masks


def temperatures(value: Any, shape: tuple[int, ...] | None = None) -> Any:
    """Return a temperature as a float, or an array of float64 which broadcasts to a shape where one is given."""
    if type(value) is float and SMALLEST_TEMPERATURE <= value <= LARGEST_TEMPERATURE:
        return value
    legal = "in [2^-1022, 2^1000]"
    if isinstance(value, Real) and not isinstance(value, bool):
        value = value if isinstance(value, int) and abs(value) > LARGEST else float(value)
        bounds = SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE, legal.removeprefix("in ")
        return number(value, "temperature", *bounds)
    t = positions(value, "temperature")
    if _kind(t.dtype) == "" or t.dtype.kind == "b":
        raise TypeError(f"temperature must be real numbers, got {value!r}")
    t = t.astype(np.float64)
    require((t >= SMALLEST_TEMPERATURE) & (t <= LARGEST_TEMPERATURE), t, "temperature", legal)
    if t.ndim == 0 and not is_foreign(t):
        return float(t)
    if shape is not None:
        require_broadcast(t, "temperature", shape)
    return t


def no_temperature(value: Any) -> None:
    """Check that nothing but the default is given, with probabilities."""
    if type(value) is float and value == 1.0:
        return
    if _as_float(value) != 1.0:
        raise ValueError(f"temperature needs from_logits=True, got temperature={value!r}")


def finite_weights(
    weights: Any, name: str, shape: tuple[int, ...], *, negative: bool = False
) -> Any:
    """Return weights that broadcast to a shape, as float64."""
    w = cast(real(weights, name), np.float64)
    require_broadcast(w, name, shape)
    legal = np.isfinite(w) if negative else (w >= 0) & (w < np.inf)
    require(legal, w, name, "finite" if negative else "finite and not negative")
    return w


def class_weights(weights: Any, name: str, classes: int) -> Any:
    """Return one weight for each class, as float64."""
    w = cast(numpy_array(weights, name), np.float64)
    if w.shape != (classes,):
        raise ValueError(f"{name} must have the shape ({classes},), got {tuple(w.shape)}")
    require((w >= 0) & (w <= LARGEST), w, name, "finite and not negative")
    return np.ascontiguousarray(w)


def prior(values: Any, name: str, classes: int) -> Any:
    """Return a distribution over the classes, as exact as its type, as float64."""
    values = numpy_array(values, name)
    return distributions(class_weights(values, name, classes), name, None, values.dtype)[0]


def mask(where: Any, shape: tuple[int, ...]) -> Any:
    """Return a mask in the given shape: False takes a number out."""
    where = positions(where, "where")
    if where.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {where.dtype}")
    require_broadcast(where, "where", shape)
    return where if where.shape == shape else np.broadcast_to(where, shape)


def masked(x: Any, where: Any, value: float) -> Any:
    """Return x with `value` where the mask is False."""
    return x if where is None else np.where(mask(where, x.shape), x, x.dtype.type(value))


# ---------------------------------------------------------------- labels


def labels(values: Any, name: str = "labels") -> Any:
    """Return labels as an array of their own type; an empty list is one of class indices."""
    if type(values) is np.ndarray and values.dtype.kind in "iu" and values.dtype.isnative:
        return values
    result = native_array(values, name)
    if not hasattr(values, "dtype") and result.size == 0:
        return result.astype(np.int64)
    return result


def numpy_labels(values: Any) -> Any:
    """Return labels, where a function needs NumPy's own arrays."""
    return labels(values) if not is_foreign(values) else numpy_array(values, "labels")


def are_class_indices(labels: Any, x: Any, axis: int) -> bool:
    """Whether labels are class indices, by their shape, or else distributions; other shapes are refused."""
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    if labels.shape == batch:
        require_integers(labels)
        return True
    if labels.shape == x.shape:
        return False
    raise ValueError(
        f"labels must have the shape {tuple(batch)} of class indices or {tuple(x.shape)} of distributions, "
        f"got shape {tuple(labels.shape)}"
    )


def require_integers(labels: Any) -> None:
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, as class indices of the shape {tuple(labels.shape)}, "
            f"got dtype {labels.dtype}"
        )


def class_indices(labels: Any, classes: int, kept: Any = None) -> Any:
    """Return class indices as int64, checked; -1 where `kept` says that a row is left out."""
    if kept is None:
        indices = _core.class_indices(labels, classes)
        if indices is not None:
            return indices
    legal = (labels >= 0) & (labels < classes)
    require(legal if kept is None else legal | ~kept, labels, "labels", f"in [0, {classes})")
    indices = labels.astype(np.int64, copy=False)
    return indices if kept is None else np.where(kept, indices, np.int64(-1))


def ignored_class(value: Any, classes: int, hard: bool) -> int:
    """Return `ignore_index`: any integer of class indices, a class of distributions."""
    k = integer(value, "ignore_index")
    if not hard and not 0 <= k < classes:
        raise ValueError(
            f"ignore_index must be a class in [0, {classes}) where labels are distributions, got {shown(value)}"
        )
    return k


@functools.cache
def tolerance(dtype: Any) -> float:
    """Return by how much the numbers of a distribution of this type may miss 1: the square root of its epsilon."""
    if _kind(dtype) == "integer":
        return 2.0**-26
    return float((2.0**-7 if dtype.name == "bfloat16" else np.finfo(dtype).eps) ** 0.5)


def at_most_1(p: Any) -> Any:
    """Return probabilities, those that rounding has put above 1 as 1."""
    if is_foreign(p) and not is_dask(p):
        return p
    above = (p > 1) & (p <= 1 + tolerance(p.dtype))
    return np.where(above, p.dtype.type(1), p) if is_dask(p) or above.any() else p


def probabilities(p: Any, name: str, what: str = "in [0, 1]") -> Any:
    """Return numbers that must be in [0, 1], each for itself; rounding may have put them above."""
    if _core.in_unit_interval(p):  # False too for what is not a plain array
        return p
    p = at_most_1(p)
    require((p >= 0) & (p <= 1), p, name, what)
    return p


def distributions(rows: Any, name: str, kept: Any = None, *dtypes: Any) -> tuple[Any, Any]:
    """Return rows, classes last, that must be distributions, as exact as `dtypes` are; and their sums as float64.

    Rows that are not `kept` hold anything.
    """
    allowed = max(tolerance(dtype) for dtype in dtypes or (rows.dtype,))
    sums = _core.mass(rows, ONE)
    if _close_to_1(sums, kept, allowed):  # NaN is not
        return rows, sums
    above = (rows > 1) & (rows <= 1 + allowed)
    rows = np.where(above, rows.dtype.type(1), rows)
    sums = _core.mass(rows, ONE)
    if not _close_to_1(sums, kept, allowed):
        _refuse_distribution(rows, sums, name, kept, allowed)
    return rows, sums


def _close_to_1(sums: Any, kept: Any, allowed: float) -> bool:
    deviation = abs(sums - 1.0)
    if kept is not None:
        deviation = np.where(kept, deviation, 0.0)
    return bool(sums.size == 0 or deviation.max() <= allowed)


def _refuse_distribution(rows: Any, sums: Any, name: str, kept: Any, allowed: float) -> None:
    bad = ~(abs(sums - 1.0) <= allowed)
    bad = bad if kept is None else bad & kept
    row = tuple(int(i) for i in np.argwhere(np.asarray(bad))[0])
    values = np.asarray(rows[row]).astype(np.float64)
    wrong = ~((values >= 0) & (values <= 1))
    at = f" in the row at index {row}" if row else ""
    if wrong.any():
        k = int(wrong.argmax())
        raise ValueError(f"{name} must be in [0, 1], got {values[k]} for class {k}{at}")
    raise ValueError(
        f"{name} must sum to 1 within {allowed:.2g} along the class axis, got {sums[row]}{at}"
    )


# ---------------------------------------------------------------- out


def writable(out: Any, shape: tuple[int, ...], name: str = "out") -> None:
    """Check an array for a result: that it is one, its shape, and that each number has a place of its own."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be an ndarray, got {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data")
    if out.shape != shape:
        raise ValueError(f"{name} must have the shape {tuple(shape)}, got shape {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only: pass an array that may be written to")
    if not out.flags.forc and out.size and _overlaps_itself(out):
        raise ValueError(
            f"{name} must not be broadcast or overlap itself: several of its numbers are one in memory"
        )


def _overlaps_itself(out: Any) -> bool:
    """Whether numbers share bytes: in views of arrays each stride steps over all that smaller ones reach."""
    reach = out.itemsize
    for stride, n in sorted(zip(map(abs, out.strides), out.shape, strict=True)):
        if n > 1:
            if stride < reach:
                return True
            reach += stride * (n - 1)
    return False


def result_place(out: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Check `out` of a function: numbers of the result's type must go into it, rounded at most."""
    writable(out, shape)
    if out.dtype != dtype and not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"out must hold numbers of type {dtype}, got type {out.dtype}")


def gradient_place(out: Any, x: Any, name: str = "out") -> None:
    """Check the place of a gradient: an array of the shape and type of x, in any order of bytes."""
    writable(out, x.shape, name)
    if out.dtype.newbyteorder("=") != x.dtype:
        raise ValueError(f"{name} must have the type {x.dtype}, got {out.dtype}")
