"""Functions of one number: their limits, and that they are ufuncs in every respect."""

import ctypes
import pickle
import platform
import subprocess
import sys

import numpy as np
import pytest
from kernel_inputs import TYPES, cotangents

import sigmax

INF, NAN = np.inf, np.nan
LN2 = np.log(2)
FUNCTIONS = [sigmax.sigmoid, sigmax.log_sigmoid, sigmax.softplus, sigmax.logit, sigmax.log1mexp]
INTEGERS = ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]
REFUSED = [1j, np.complex64(1), np.longdouble(1), "1", b"1", None, [1, None], [[1], "a"], 10**30]
REFUSED += [np.datetime64("2020-01-01"), np.timedelta64(1, "s"), np.zeros(2, "V8")]
SPECIAL = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 0.5, 5e-324, -5e-324, 1.7e308, -1.7e308]

every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
every_type = pytest.mark.parametrize("dtype", TYPES.values(), ids=list(TYPES))


def numbers(function: np.ufunc, shape: tuple[int, ...] = (50,), dtype: type = np.float64):
    """In the domain of the function."""
    x = np.random.default_rng(7).uniform(0, 1, shape)
    inside = {"logit": x, "log1mexp": -10 * x}
    return inside.get(function.__name__, 20 * x - 10).astype(dtype)


# ---------------------------------------------------------------- tables of 16-bit numbers

TABLES = """
import sys
import numpy as np
import sigmax

function, dtype = getattr(sigmax, sys.argv[1]), sys.argv[2]
if dtype == "bfloat16":
    from ml_dtypes import bfloat16 as dtype
x = np.arange(65536, dtype=np.uint16).view(dtype)
bits = lambda result: result.view(np.uint16)
computed = np.concatenate([bits(function(part)) for part in np.split(x, 16)[:-1]])
looked_up, strided = bits(function(x)), bits(function(np.repeat(x, 3)[::3]))
out = np.zeros((65536, 2), dtype)
function(x, out=out[:, 1])
in_place = x.copy()
function(in_place, out=in_place)
for result in (looked_up, strided, bits(out[:, 1].copy()), bits(in_place), bits(function(np.tile(x, 3)))[-65536:]):
    assert np.array_equal(result, looked_up)
    assert np.array_equal(result[: len(computed)], computed)
assert np.array_equal(bits(function(x[-4096:])), looked_up[-4096:])
"""


@pytest.mark.parametrize("dtype", [name for name in TYPES if name in ("float16", "bfloat16")])
@every_function
def test_tables_have_the_bits_of_the_kernels(function, dtype):
    """In a process of its own: what 16-bit numbers come to is computed until there have been enough of them."""
    subprocess.run([sys.executable, "-c", TABLES, function.__name__, dtype], check=True)


# ---------------------------------------------------------------- values


@every_type
@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (sigmax.sigmoid, [-INF, 0, -0.0, INF, NAN], [0, 0.5, 0.5, 1, NAN]),
        (sigmax.log_sigmoid, [-INF, 0, INF, NAN], [-INF, -LN2, 0, NAN]),
        (sigmax.softplus, [-INF, 0, INF, NAN], [0, LN2, INF, NAN]),
        (sigmax.logit, [0, -0.0, 0.5, 1, NAN], [-INF, -INF, 0, INF, NAN]),
        (sigmax.logit, [-1e-5, 1.5, -INF, INF], [NAN, NAN, NAN, NAN]),
        (sigmax.log1mexp, [0, -0.0, -INF, NAN], [-INF, -INF, 0, NAN]),
        (sigmax.log1mexp, [1e-5, 3, INF], [NAN, NAN, NAN]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_limits(function, x, expected, dtype):
    for repeats in (1, 100):  # alone, and in whole vectors
        result = function(np.tile(np.array(x, dtype), repeats))
        wanted = np.tile(np.array(expected, dtype), repeats)
        np.testing.assert_array_equal(result.astype(float), wanted.astype(float))


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (sigmax.sigmoid, -745.0, 5e-324),
        (sigmax.sigmoid, 36.0, 1 - 2**-52),
        (sigmax.log_sigmoid, 745.0, -5e-324),
        (sigmax.log_sigmoid, -1e308, -1e308),
        (sigmax.softplus, -745.0, 5e-324),
        (sigmax.softplus, 1e308, 1e308),
        (sigmax.logit, 5e-324, -744.4400719213812),
        (sigmax.logit, 1 - 2**-53, 36.7368005696771),
        (sigmax.log1mexp, -5e-324, -744.4400719213812),
        (sigmax.log1mexp, -745.0, -5e-324),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_where_others_underflow_or_saturate(function, x, expected):
    assert abs(function(x) - expected) <= np.spacing(abs(expected))


@every_function
def test_nan_stays_where_it_is(function):
    x = numbers(function, (40,))
    expected = function(x)
    for i in range(len(x)):
        y = x.copy()
        y[i] = NAN
        result = function(y)
        assert np.isnan(result[i])
        assert np.delete(result, i).tobytes() == np.delete(expected, i).tobytes()


@pytest.mark.parametrize(
    "dtype", [TYPES["float16"], TYPES["bfloat16"]], ids=["float16", "bfloat16"]
)
@every_function
def test_no_half_depends_on_its_neighbours(function, dtype):
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype)  # every NaN among them
    expected = function(x).view(np.uint16)
    for order in (np.random.default_rng(1).permutation(len(x)), np.arange(1, len(x))):
        np.testing.assert_array_equal(function(x[order]).view(np.uint16), expected[order])


# ---------------------------------------------------------------- types


@every_type
@every_function
def test_type_is_kept(function, dtype):
    x = numbers(function, dtype=dtype)
    assert function(x).dtype == dtype
    assert type(function(x[0])) is type(x[0])
    assert function(x[:0]).shape == (0,)


@pytest.mark.parametrize("kind", INTEGERS)
@every_function
def test_integers_become_float64(function, kind):
    info = np.iinfo(kind) if kind != "?" else None
    x = np.array([info.min, 0, 1, info.max] if info else [False, True], kind)
    result = function(np.tile(x, 300))
    assert result.dtype == np.float64
    assert result.tobytes() == function(np.tile(x.astype(np.float64), 300)).tobytes()


def test_int8_does_not_wrap():
    x = np.array([-128, 127], np.int8)
    np.testing.assert_array_equal(sigmax.sigmoid(x), sigmax.sigmoid([-128.0, 127.0]))
    assert sigmax.sigmoid(x)[0] < 1e-50


@pytest.mark.parametrize("x", REFUSED, ids=repr)
@every_function
def test_refused_types(function, x):
    with pytest.raises(TypeError, match=function.__name__):
        function(np.array(x, object) if isinstance(x, list) else x)


@every_function
def test_dtype_option(function):
    x = numbers(function)
    assert function(x, dtype=np.float32).tobytes() == function(x.astype(np.float32)).tobytes()
    narrow = x.astype(np.float32)
    wide = function(narrow.astype(np.float64))
    assert function(narrow, dtype=np.float64).tobytes() == wide.tobytes()
    with pytest.raises(TypeError):
        function(x, dtype=np.int64)


# ---------------------------------------------------------------- out, where, layout


@every_function
def test_out(function):
    x = numbers(function, (3, 5))
    expected = function(x)
    out = np.full((3, 5), 7.0)
    assert function(x, out=out) is out
    assert out.tobytes() == expected.tobytes()
    assert function(x, out) is out
    assert function(x, out=(out,)) is out
    wider = np.full((2, 3, 5), 7.0)
    assert (function(x, out=wider) == expected).all()
    assert function(x, out=x) is x
    assert x.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("out", "error"),
    [(np.full((5, 3), 7.0), ValueError), (np.full((3, 5), 7), TypeError), ([7.0], TypeError)],
    ids=["shape", "type", "list"],
)
@every_function
def test_refused_out(function, out, error):
    with pytest.raises(error):
        function(numbers(function, (3, 5)), out=out)
    assert np.all(np.array(out) == 7)


@every_function
def test_where(function):
    x = numbers(function, (6, 7))
    mask = np.random.default_rng(3).random((6, 7)) < 0.5
    out = np.full((6, 7), 7.0)
    function(x, out=out, where=mask)
    assert out[mask].tobytes() == function(x[mask]).tobytes()
    assert (out[~mask] == 7).all()


@every_function
def test_result_has_the_layout_of_the_input(function):
    x = numbers(function, (3, 4, 5))
    for view in (x, x.T, x.transpose(1, 0, 2), x[::2, ::-1, 1:], np.broadcast_to(x[0], x.shape)):
        result = function(view)
        assert result.strides == np.exp(view).strides
        assert result.flags.owndata
        assert result.flags.writeable


@every_function
def test_other_byte_order(function):
    x = numbers(function)
    result = function(x.astype(x.dtype.newbyteorder()))
    assert result.tobytes() == function(x).tobytes()


# ---------------------------------------------------------------- the ufunc protocol


@every_function
def test_is_a_ufunc(function):
    assert isinstance(function, np.ufunc)
    assert (function.nin, function.nout, function.signature) == (1, 1, None)
    assert getattr(sigmax, function.__name__) is function
    assert pickle.loads(pickle.dumps(function)) is function


@every_function
def test_array_ufunc_override(function):
    class Recorder:
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            return ufunc, method, inputs, options

    recorder = Recorder()
    expected = (function, "__call__", (recorder,), {"where": True})
    assert function(recorder, where=True) == expected


@every_function
def test_subclasses_are_kept(function):
    class Labelled(np.ndarray):
        pass

    x = numbers(function)
    assert type(function(x.view(Labelled))) is Labelled
    masked = function(np.ma.masked_array(x, x > x.mean()))
    assert (masked.mask == (x > x.mean())).all()


@every_function
def test_dask_stays_lazy(function):
    da = pytest.importorskip("dask.array")
    x = numbers(function, (8, 6))
    lazy = function(da.from_array(x, chunks=(3, 4)))
    assert isinstance(lazy, da.Array)
    assert lazy.compute().tobytes() == function(x).tobytes()


# ---------------------------------------------------------------- floating-point flags


@every_type
@every_function
def test_no_warnings(function, dtype):
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL + list(cotangents(np.random.default_rng(0), (100,)) * 1e3), dtype)
    with np.errstate(all="raise"):
        function(x)
        for number in x:
            function(number)


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="asks x86's C library"
)
@every_function
def test_flags_neither_leak_out_nor_in(function):
    everything = 0x3D
    libm = ctypes.CDLL("libm.so.6")
    x = np.array(SPECIAL * 20)
    libm.feclearexcept(everything)
    function(x)
    assert libm.fetestexcept(everything) == 0
    libm.feraiseexcept(everything)
    with np.errstate(all="raise"):
        function(x)
    libm.feclearexcept(everything)
