"""Functions along an axis: limits, types, and every option against the plain call that it stands for."""

import re
from functools import partial

import numpy as np
import pytest
from kernel_inputs import TYPES
from layouts import same

import sigmax

INF, NAN = np.inf, np.nan
LN2 = np.log(2)
PER_CLASS = {
    "softmax": sigmax.softmax,
    "log_softmax": sigmax.log_softmax,
    "inverse_softmax": sigmax.inverse_softmax,
}
PER_ROW = {
    "logsumexp": sigmax.logsumexp,
    "entropy": sigmax.entropy,
    "entropy_of_probabilities": partial(sigmax.entropy, from_logits=False),
}
FUNCTIONS = PER_CLASS | PER_ROW
OF_LOGITS = ["softmax", "log_softmax", "logsumexp", "entropy"]
MASKED = {  # a class that has no probability; a row of those
    "softmax": (0, 0),
    "log_softmax": (-INF, -INF),
    "inverse_softmax": (-INF, -INF),
    "logsumexp": (None, -INF),
    "entropy": (None, 0),
    "entropy_of_probabilities": (None, 0),
}
LENGTHS = (0, 32, 33, 100, 1000, 65_537, 70_001)
SHORT = (1, 2, 3, 7, 16, 31, 32, 33, 64, 100)

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_per_class = pytest.mark.parametrize("name", PER_CLASS)
every_per_row = pytest.mark.parametrize("name", PER_ROW)
every_type = pytest.mark.parametrize("dtype", TYPES)


def nothing(name: str) -> float:
    """The input that takes a class out of its row."""
    return -INF if name in OF_LOGITS else 0.0


def numbers(name: str, *shape: int, dtype: str = "float64"):
    x = np.random.default_rng(list(name.encode())).normal(0, 3, shape)
    if name not in OF_LOGITS:
        x = np.exp(x - x.max(initial=0)) / 2
    return x.astype(TYPES[dtype])


def ulps(a, b) -> float:
    """The largest distance of finite numbers of one type."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    finite = np.isfinite(a)
    assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
    distance = np.abs(a[finite] - b[finite]) / np.spacing(np.abs(b[finite]))
    return distance.max(initial=0.0)


# ---------------------------------------------------------------- limits


LIMITS = [
    ("softmax", [-INF, -INF], [0, 0]),
    ("softmax", [0, -INF], [1, 0]),
    ("softmax", [INF, 0], [1, 0]),
    ("softmax", [INF, 3, INF, -INF], [0.5, 0, 0.5, 0]),
    ("softmax", [2, 2], [0.5, 0.5]),
    ("softmax", [NAN, INF], [NAN, NAN]),
    ("softmax", [-INF, NAN], [NAN, NAN]),
    ("log_softmax", [-INF, -INF], [-INF, -INF]),
    ("log_softmax", [0, -INF], [0, -INF]),
    ("log_softmax", [INF, 3, INF, -INF], [-LN2, -INF, -LN2, -INF]),
    ("log_softmax", [INF, 0], [0, -INF]),
    ("log_softmax", [NAN, INF], [NAN, NAN]),
    ("log_softmax", [-INF, NAN], [NAN, NAN]),
    ("logsumexp", [-INF, -INF], -INF),
    ("logsumexp", [-INF, 3], 3),
    ("logsumexp", [0, 0], LN2),
    ("logsumexp", [INF, 0], INF),
    ("logsumexp", [INF, INF, -INF], INF),
    ("logsumexp", [INF, NAN], NAN),
    ("logsumexp", [-INF, NAN], NAN),
    ("entropy", [-INF, -INF], 0),
    ("entropy", [-INF, 3], 0),
    ("entropy", [5, 5], LN2),
    ("entropy", [INF, 0], 0),
    ("entropy", [INF, INF, 5], LN2),
    ("entropy", [INF, NAN], NAN),
    ("entropy", [-INF, NAN], NAN),
    ("entropy_of_probabilities", [0, 0], 0),
    ("entropy_of_probabilities", [1, 0], 0),
    ("entropy_of_probabilities", [0.5, 0.5, 0], LN2),
    ("entropy_of_probabilities", [1, NAN], NAN),
    ("entropy_of_probabilities", [1.5, 0], NAN),
    ("entropy_of_probabilities", [-0.5, 1], NAN),
    ("entropy_of_probabilities", [INF, 0], NAN),
    ("entropy_of_probabilities", [-INF, 0.5], NAN),
    ("inverse_softmax", [0, 0], [-INF, -INF]),
    ("inverse_softmax", [1, 0], [0, -INF]),
    ("inverse_softmax", [0.5, 0.125, 0], [LN2, -LN2, -INF]),
    ("inverse_softmax", [0.5, NAN], [NAN, NAN]),
    ("inverse_softmax", [1.5, 0.5], [NAN, NAN]),
    ("inverse_softmax", [-0.5, 0.5], [NAN, NAN]),
    ("inverse_softmax", [INF, 0], [NAN, NAN]),
    ("inverse_softmax", [-INF, 0.5], [NAN, NAN]),
]


@every_type
@pytest.mark.parametrize(("name", "row", "expected"), LIMITS)
def test_limits(name, row, expected, dtype):
    """In rows of every length: the classes that fill them up have no probability."""
    kind = TYPES[dtype]
    for length in LENGTHS:
        classes = max(length, len(row))
        places = np.random.default_rng(classes).choice(classes, len(row), replace=False)
        x = np.full(classes, nothing(name), kind)
        x[places] = row
        result = FUNCTIONS[name](x)
        wanted = np.asarray(expected, kind).astype(float)
        if name in PER_CLASS:
            others = np.delete(result.astype(float), places)
            np.testing.assert_array_equal(others, NAN if np.isnan(wanted[0]) else MASKED[name][0])
            result = result[places]
        np.testing.assert_allclose(result.astype(float), wanted, rtol=2e-16, atol=0)


@every_function
@pytest.mark.parametrize("classes", SHORT)
def test_nan_only_in_its_row(name, classes):
    x = numbers(name, 3 * classes, classes)
    expected = FUNCTIONS[name](x)
    for i in range(classes):
        x[3 * i + 1, i] = NAN
    result = FUNCTIONS[name](x)
    assert np.isnan(result[1::3]).all()
    assert same(result[::3], expected[::3])
    assert same(result[2::3], expected[2::3])


@every_function
@pytest.mark.parametrize("classes", [5003, 70_001])
@pytest.mark.parametrize("others", ["ordinary", "out", INF])
def test_nan_anywhere_in_a_long_row(name, classes, others):
    ends = (0, 1, 31, 32, 4999, 16_383, 16_384, 65_535, 65_536, 70_000, classes - 1)
    x = numbers(name, 2, classes)
    if others != "ordinary":
        x[:] = nothing(name) if others == "out" else others
    expected = FUNCTIONS[name](x)
    for place in [p for p in ends if p < classes]:
        y = x.copy()
        y[0, place] = NAN
        result = FUNCTIONS[name](y)
        assert np.isnan(result[0]).all()
        assert same(result[1:], expected[1:])


@every_function
def test_empty(name):
    function = FUNCTIONS[name]
    no_classes = function(np.zeros((3, 0)))
    if name in PER_CLASS:
        assert no_classes.shape == (3, 0)
        assert function(np.zeros((0, 3))).shape == (0, 3)
    else:
        np.testing.assert_array_equal(no_classes, np.full(3, MASKED[name][1]))
        assert function(np.zeros((0, 3))).shape == (0,)
        assert function(np.zeros((0, 3)), axis=None) == MASKED[name][1]
    assert function([]).dtype == np.float64


def test_one_class():
    x = np.array([[3.0], [-1e308]])
    np.testing.assert_array_equal(sigmax.softmax(x), np.ones((2, 1)))
    np.testing.assert_array_equal(sigmax.log_softmax(x), np.zeros((2, 1)))
    np.testing.assert_array_equal(sigmax.logsumexp(x), x[:, 0])
    np.testing.assert_array_equal(sigmax.entropy(x), np.zeros(2))


# ---------------------------------------------------------------- types


@every_type
@every_function
def test_type_is_kept(name, dtype):
    x = numbers(name, 4, 5, dtype=dtype)
    for axis in (-1, 0, (0, 1), None, ()):
        assert FUNCTIONS[name](x, axis).dtype == TYPES[dtype]


@pytest.mark.parametrize("kind", ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"])
@every_function
def test_integers_become_float64(name, kind):
    info = np.iinfo(kind) if kind != "?" and name in OF_LOGITS else None
    x = np.array([info.min, 0, 1, info.max] if info else [0, 1, 1, 0], kind)
    result = FUNCTIONS[name](x)
    assert result.dtype == np.float64
    assert same(np.asarray(result), np.asarray(FUNCTIONS[name](x.astype(np.float64))))


def test_int8_does_not_wrap():
    p = sigmax.softmax(np.array([-128, 127], np.int8))
    assert p[1] == 1
    assert 0 < p[0] < 1e-110


REFUSED = [1j, np.complex64(1), np.longdouble(1), "1", b"1", None]
REFUSED += [np.datetime64("2020-01-01"), np.timedelta64(1, "s")]


@pytest.mark.parametrize("x", REFUSED, ids=repr)
@every_function
def test_refused_types(name, x):
    for axis in (-1, 0, None):
        with pytest.raises(TypeError, match=r"must be real|not supported"):
            FUNCTIONS[name](np.array([x, x]), axis)


@every_function
def test_masked_arrays_are_refused(name):
    with pytest.raises(TypeError, match="masked array"):
        FUNCTIONS[name](np.ma.masked_array([0.5, 0.5], [True, False]))


@pytest.mark.parametrize("option", ["weights", "temperature", "where"])
def test_masked_options_are_refused(option):
    value = np.ma.masked_array([True, True], [True, False])
    if option != "where":
        value = value.astype(float)
    with pytest.raises(TypeError, match=f"{option} is a masked array"):
        sigmax.logsumexp([[0.5, 0.5], [0.5, 0.5]], **{option: value})


@every_per_class
def test_dtype_option(name):
    function = PER_CLASS[name]
    """The computation is in the wider of both types, the result is rounded to the one that is asked for."""
    x = numbers(name, 3, 5)
    narrow = x.astype(np.float32)
    integers = np.arange(6).reshape(2, 3) % 2
    for axis in (-1, 0, None):
        wide = function(narrow.astype(np.float64), axis)
        assert same(function(narrow, axis, dtype=np.float64), wide)
        for values in (x, integers):
            expected = function(values, axis).astype(np.float32)
            assert same(function(values, axis, dtype=np.float32), expected)
            out = np.empty(values.shape)
            assert function(values, axis, dtype=np.float32, out=out) is out
            assert same(out, expected.astype(float))
    for refused in (np.int64, np.complex128, np.bool_):
        with pytest.raises(TypeError):
            function(x, dtype=refused)


@every_function
def test_other_byte_order(name):
    x = numbers(name, 3, 5)
    swapped = x.astype(x.dtype.newbyteorder())
    for axis in (-1, 0, None):
        result, expected = FUNCTIONS[name](swapped, axis), FUNCTIONS[name](x, axis)
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == expected.dtype


# ---------------------------------------------------------------- axis, keepdims


@every_per_class
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_axis_per_class(name, axis):
    x = numbers(name, 2, 3, 4, 5)
    expected = PER_CLASS[name](np.ascontiguousarray(np.moveaxis(x, axis, -1)))
    assert same(PER_CLASS[name](x, axis), np.moveaxis(expected, -1, axis))
    assert same(PER_CLASS[name](x, np.int64(axis)), np.moveaxis(expected, -1, axis))


@every_per_row
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_axis_per_row(name, axis):
    x = numbers(name, 2, 3, 4, 5)
    expected = PER_ROW[name](np.ascontiguousarray(np.moveaxis(x, axis, -1)))
    assert same(PER_ROW[name](x, axis), expected)
    kept = PER_ROW[name](x, axis, keepdims=True)
    assert same(kept, np.expand_dims(expected, axis))


@every_function
@pytest.mark.parametrize("axis", [(1, 3), (0, 1), (-1, -2), (3, 0), (2,), (0, 1, 2, 3), None, ()])
def test_several_axes(name, axis):
    x = numbers(name, 2, 3, 4, 5)
    axes = tuple(range(4)) if axis is None else tuple(k % 4 for k in axis)
    batch = tuple(k for k in range(4) if k not in axes)
    moved = x.transpose(*batch, *axes)
    expected = FUNCTIONS[name](moved.reshape(*moved.shape[: len(batch)], -1))
    if name in PER_CLASS:
        back = np.argsort([*batch, *axes])
        assert same(PER_CLASS[name](x, axis), expected.reshape(moved.shape).transpose(back))
    else:
        assert same(np.asarray(PER_ROW[name](x, axis)), np.asarray(expected))
        kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
        assert same(PER_ROW[name](x, axis, keepdims=True), np.asarray(expected).reshape(kept))


@every_function
def test_zero_dimensions(name):
    number = numbers(name, 1)[0]
    for x in (number, np.array(number), float(number)):
        for axis in (None, ()):
            assert FUNCTIONS[name](x, axis) == FUNCTIONS[name]([x])
            assert FUNCTIONS[name](x, axis).shape == ()
        with pytest.raises(np.exceptions.AxisError):
            FUNCTIONS[name](x)


@every_function
@pytest.mark.parametrize(
    ("axis", "error"),
    [
        (2, np.exceptions.AxisError),
        (-3, np.exceptions.AxisError),
        ((0, 2), np.exceptions.AxisError),
        ((0, 0), ValueError),
        ((1, -1), ValueError),
        (1.0, TypeError),
        (-1.0, TypeError),
        ("a", TypeError),
        ((0, "a"), TypeError),
    ],
)
def test_refused_axis(name, axis, error):
    with pytest.raises(error, match="axis"):
        FUNCTIONS[name](numbers(name, 3, 4), axis)


@every_function
def test_signature(name):
    x = numbers(name, 3, 4)
    with pytest.raises(TypeError, match="argument"):
        FUNCTIONS[name](x=x)
    with pytest.raises(TypeError, match="positional"):
        FUNCTIONS[name](x, -1, None)
    with pytest.raises(TypeError, match="color"):
        FUNCTIONS[name](x, color=1)


# ---------------------------------------------------------------- layout, out


LAYOUTS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "transposed": lambda x: x.transpose(1, 2, 0),
    "strided": lambda x: x[:, ::2, ::-1],
    "read-only": lambda x: np.broadcast_to(x, x.shape),
}


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
@every_per_class
def test_result_has_the_layout_of_the_input(name, layout, axis):
    x = LAYOUTS[layout](numbers(name, 4, 6, 5))
    assert PER_CLASS[name](x, axis).strides == np.exp(x).strides


@every_function
@pytest.mark.parametrize("axis", [-1, 0, (0, 1), (2, 0), None, ()])
def test_out(name, axis):
    x = numbers(name, 3, 4, 5)
    function = partial(FUNCTIONS[name], axis=axis)
    expected = np.asarray(function(x))
    for order in "CF":
        out = np.full_like(expected, 7, order=order)
        assert function(x, out=out) is out
        assert same(out, expected)
    if name in PER_CLASS:
        assert function(x, out=x) is x
        assert same(x, expected)
    else:
        out = np.full_like(function(x, keepdims=True), 7)
        assert function(x, out=out, keepdims=True) is out
        assert same(out.reshape(expected.shape), expected)


@every_function
def test_out_of_a_narrower_type(name):
    x = numbers(name, 3, 4)
    out = np.zeros_like(FUNCTIONS[name](x), dtype=np.float32)
    FUNCTIONS[name](x, out=out)
    assert same(out, FUNCTIONS[name](x).astype(np.float32))


@every_function
@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
def test_refused_out(name, axis):
    x = numbers(name, 3, 4, 5)
    shape = np.shape(FUNCTIONS[name](x, axis))
    refused = [
        (np.full((*shape, 2), 7.0), ValueError),
        (np.full(tuple(n + 1 for n in shape), 7.0), ValueError),
        (np.full(shape, 7, int), TypeError),
        ([7.0], TypeError),
        ((np.full(shape, 7.0), np.full(shape, 7.0)), TypeError),
    ]
    for out, error in refused:
        with pytest.raises(error):
            FUNCTIONS[name](x, axis, out=out)
        assert all((np.asarray(part) == 7).all() for part in out)
    read_only = np.broadcast_to(7.0, shape)
    with pytest.raises(ValueError, match="read-only"):
        FUNCTIONS[name](x, axis, out=read_only)


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize(
    "options", [{"temperature": [1.0, -1.0, 1.0]}, {"where": [1, 0, 1, 1]}, {"axis": 5}], ids=str
)
def test_refused_arguments_leave_out_alone(name, options):
    x = numbers(name, 3, 4)
    out = np.full_like(FUNCTIONS[name](x), 7)
    with pytest.raises((TypeError, ValueError)):
        FUNCTIONS[name](x, out=out, **options)
    assert (out == 7).all()


# ---------------------------------------------------------------- where


@every_function
@pytest.mark.parametrize("classes", [3, 32, 33, 100])
def test_where_is_the_call_on_what_is_left(name, classes):
    x = numbers(name, 6, classes)
    mask = np.random.default_rng(classes).random(x.shape) < 0.6
    mask[0] = False
    result = FUNCTIONS[name](x, where=mask)
    for row, m, found in zip(x, mask, result, strict=True):
        left = FUNCTIONS[name](row[m])
        if name in PER_CLASS:
            np.testing.assert_array_equal(found[~m], MASKED[name][0])
            found = found[m]
        assert ulps(found, left) <= 2


@every_function
def test_where_hides_anything(name):
    x = numbers(name, 6, 5)
    mask = np.ones(5, bool)
    mask[[1, 3]] = False
    expected = FUNCTIONS[name](x, where=mask)
    for hidden in (NAN, INF, -INF, 1e300):
        x[:, ~mask] = hidden
        assert same(FUNCTIONS[name](x, where=mask), expected)
    assert (x[:, ~mask] == 1e300).all(), "x itself is left alone"


@every_function
def test_where_broadcasts(name):
    x = numbers(name, 3, 4, 5)
    for axis in (-1, 1, (0, 2), None):
        for shape in ((), (5,), (4, 1), (3, 1, 1), (3, 4, 5)):
            mask = np.random.default_rng(1).random(shape) < 0.5
            full = np.broadcast_to(mask, x.shape)
            result = FUNCTIONS[name](x, axis, where=mask)
            assert same(result, FUNCTIONS[name](x, axis, where=full))
            if name in PER_CLASS:
                np.testing.assert_array_equal(result[~full], MASKED[name][0])
    assert same(FUNCTIONS[name](x, where=True), FUNCTIONS[name](x))


@every_function
@pytest.mark.parametrize(
    ("where", "error"),
    [
        ([1, 0, 1, 1], TypeError),
        ([1.0] * 4, TypeError),
        ("True", TypeError),
        ([True] * 3, ValueError),
        (np.ones((2, 3, 4), bool), ValueError),
    ],
    ids=["int", "float", "str", "length", "dimensions"],
)
def test_refused_where(name, where, error):
    with pytest.raises(error, match="where must"):
        FUNCTIONS[name](numbers(name, 3, 4), where=where)


# ---------------------------------------------------------------- temperature


@every_type
@pytest.mark.parametrize("classes", [3, 33])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_temperature_per_row(name, classes, dtype):
    function = FUNCTIONS[name]
    x = numbers(name, 4, classes, dtype=dtype)
    t = np.array([0.5, 1.0, 3.0, 100.0])
    rows = np.stack([np.asarray(function(r, temperature=s)) for r, s in zip(x, t, strict=True)])
    assert same(function(x, temperature=t), rows)
    assert same(function(x, temperature=t.tolist()), rows)
    assert same(function(x.T, 0, temperature=t), rows.T)
    assert same(function(x, temperature=t.astype(np.float32)), rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [0.25, 2, np.float32(8)])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_temperature_scales_the_logits(name, temperature, dtype):
    x = numbers(name, 4, 33, dtype=dtype)
    scaled = (x / x.dtype.type(temperature)).astype(x.dtype)
    assert ulps(FUNCTIONS[name](x, temperature=temperature), FUNCTIONS[name](scaled)) <= 2


@pytest.mark.parametrize("name", OF_LOGITS)
def test_temperature_broadcasts(name):
    function = FUNCTIONS[name]
    x = numbers(name, 3, 4, 5)
    t = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    for shape in ((), (1,), (4,), (3, 1), (3, 4)):
        part = t[tuple(slice(n) for n in (1, 1)[: 2 - len(shape)])] if shape else t[0, 0]
        part = np.resize(part, shape)
        full = np.broadcast_to(part, (3, 4))
        assert same(function(x, temperature=part), function(x, temperature=full))
    assert same(function(x, 1, temperature=t[:, :1]), function(x, 1, temperature=t[:, [0] * 5]))
    assert same(function(x, None, temperature=2.0), function(x, (0, 1, 2), temperature=2))


@pytest.mark.parametrize("value", [0, -1, -0.0, NAN, INF, -INF, 5e-324, 1e308])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_refused_temperature(name, value):
    x = numbers(name, 3, 4)
    got = re.escape(f"got {float(value)}")
    with pytest.raises(ValueError, match=f"temperature must .* {got}$"):
        FUNCTIONS[name](x, temperature=value)
    with pytest.raises(ValueError, match=rf"temperature must .* {got} at index \(2,\)$"):
        FUNCTIONS[name](x, temperature=[1, 1, value])


@pytest.mark.parametrize("value", ["1", 1j, None, True, [1, 1j, 1], [[1], "a"]], ids=repr)
@pytest.mark.parametrize("name", OF_LOGITS)
def test_refused_type_of_temperature(name, value):
    value = np.array(value, object) if isinstance(value, list) else value
    with pytest.raises(TypeError, match="temperature must"):
        FUNCTIONS[name](numbers(name, 3, 4), temperature=value)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_refused_shape_of_temperature(name):
    with pytest.raises(ValueError, match="temperature"):
        FUNCTIONS[name](numbers(name, 3, 4), temperature=[1.0, 2.0])


def test_no_temperature_for_probabilities():
    with pytest.raises(ValueError, match="temperature needs from_logits"):
        sigmax.entropy([0.5, 0.5], from_logits=False, temperature=2.0)
    with pytest.raises(TypeError, match="temperature"):
        sigmax.inverse_softmax([0.5, 0.5], temperature=1.0)


# ---------------------------------------------------------------- weights


@every_type
@pytest.mark.parametrize("classes", [3, 33, 100, 70_001])
def test_integer_weights_repeat_classes(classes, dtype):
    x = numbers("logsumexp", classes, dtype=dtype)
    weights = np.random.default_rng(0).integers(0, 3, classes)
    weights[0] = 1
    expected = float(sigmax.logsumexp(np.repeat(x, weights).astype(np.float64)))
    result = sigmax.logsumexp(x, weights=weights)
    assert result.dtype == TYPES[dtype]
    limit = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-51}[dtype]
    assert float(result) == pytest.approx(expected, rel=limit)


@pytest.mark.parametrize("hidden", [NAN, INF, -INF, 1e300])
@pytest.mark.parametrize("classes", [3, 33, 70_001])
def test_weight_0_leaves_a_class_out(classes, hidden):
    x = numbers("logsumexp", classes)
    weights = np.random.default_rng(1).uniform(0.5, 2, classes)
    weights[1] = 0
    expected = sigmax.logsumexp(x, weights=weights)
    x[1] = hidden
    assert same(sigmax.logsumexp(x, weights=weights), expected)


@pytest.mark.parametrize(
    ("x", "weights", "expected"),
    [
        ([0, 0], [1, 3], np.log(4)),
        ([1, 1], [2, -1], 1),
        ([1, 1], [1, -2], NAN),
        ([1, 1], [1, -1], -INF),
        ([1, 5], [0, 0], -INF),
        ([-INF, 0], [5, 1], 0),
        ([-INF, -INF], [1, 1], -INF),
        ([INF, 0], [1, 1], INF),
        ([INF, 0], [1, -1], INF),
        ([INF, 0], [0, 1], 0),
        ([INF, 0], [-1, 1], NAN),
        ([NAN, 0], [1, 1], NAN),
        ([0, 0], [NAN, 1], NAN),
        ([0, 0], [INF, 1], NAN),  # weights are to be finite
    ],
)
def test_weights(x, weights, expected):
    for classes in (len(x), 40, 70_001):
        rest = classes - len(x)
        row, w = np.array(x + [-INF] * rest, float), np.array(weights + [0] * rest)
        np.testing.assert_allclose(sigmax.logsumexp(row, weights=w), expected, rtol=2e-16)


def test_weights_broadcast_and_keep_the_type():
    x = numbers("logsumexp", 3, 4, 5, dtype="float32")
    for shape in ((), (5,), (4, 1), (3, 1, 1), (3, 4, 5)):
        weights = np.random.default_rng(0).uniform(0.5, 2, shape).astype(np.float32)
        full = np.broadcast_to(weights, x.shape)
        for axis in (-1, 1, (0, 2), None):
            result = sigmax.logsumexp(x, axis, weights=weights)
            assert result.dtype == np.float32
            assert same(result, sigmax.logsumexp(x, axis, weights=full))
    assert sigmax.logsumexp(x, weights=2.0).dtype == np.float32


def test_weights_with_other_options():
    x = numbers("logsumexp", 4, 5)
    weights = np.random.default_rng(0).uniform(0.5, 2, 5)
    mask = np.arange(5) != 2
    masked = sigmax.logsumexp(x, weights=weights, where=mask, temperature=2.0)
    left = sigmax.logsumexp(x[:, mask] / 2, weights=weights[mask])
    assert ulps(masked, left) <= 2
    assert sigmax.logsumexp(x, weights=weights, keepdims=True).shape == (4, 1)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1j] * 4, TypeError),
        (["a"] * 4, TypeError),
        ([1, 2, 3], ValueError),
        (np.ones((2, 2, 4)), ValueError),
    ],
    ids=["complex", "str", "length", "rows"],
)
def test_refused_weights(weights, error):
    with pytest.raises(error, match="weights"):
        sigmax.logsumexp(numbers("logsumexp", 3, 4), weights=weights)


# ---------------------------------------------------------------- warnings, other arrays


SPECIAL_ROWS = [[INF, 0, INF], [-INF] * 3, [NAN, 0, 1], [1e300, -1e300, 0], [5e-324, 0, 1]]
SPECIAL_ROWS += [[-745, 0, -700], [2, -1, 0.5], [1, 0, 0], [0, 0, 0], [0.5, 0.25, 0.25]]


@every_type
@every_function
def test_no_warnings(name, dtype):
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL_ROWS, TYPES[dtype])
    with np.errstate(all="raise"):
        for columns in (1, 20, 22_000):
            for axis in (-1, 0, None):
                FUNCTIONS[name](np.tile(x, columns), axis)
        FUNCTIONS[name](x, where=[True, False, True])
        if name in OF_LOGITS:
            for t in (1e-300, 1e-3, 1e300):
                FUNCTIONS[name](x, temperature=t)
        if name == "logsumexp":
            for weights in ([1, 0, 2], [1, -2, 1], [INF, NAN, 0.5], [300, 1, 10**6]):
                sigmax.logsumexp(x, weights=weights)


@every_function
def test_dask_stays_lazy(name):
    da = pytest.importorskip("dask.array")
    x = numbers(name, 8, 6, 4)
    lazy = da.from_array(x, chunks=(3, 6, 4))
    mask = x > x.mean()
    for axis in (-1, 1, (1, 2)):
        for options in ({}, {"where": mask}):
            result = FUNCTIONS[name](lazy, axis, **options)
            assert isinstance(result, da.Array)
            assert same(result.compute(), FUNCTIONS[name](x, axis, **options))
    lazy_mask = FUNCTIONS[name](lazy, where=lazy > x.mean())
    assert same(lazy_mask.compute(), FUNCTIONS[name](x, where=mask))


@every_function
def test_array_ufunc_override(name):
    class Array:
        dtype, shape, ndim = np.dtype(float), (3, 4), 2

        def __array_ufunc__(self, ufunc, method, *_, **__):
            return ufunc.signature, method

    signature, method = FUNCTIONS[name](Array())
    assert signature.startswith("(n)")
    assert method == "__call__"
