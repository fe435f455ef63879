"""Vector-Jacobian products: against differences of the functions themselves, with every option."""

import numpy as np
import pytest
from kernel_inputs import TYPES
from layouts import same

import sigmax

INF, NAN = np.inf, np.nan
ELEMENTWISE = [sigmax.sigmoid, sigmax.log_sigmoid, sigmax.softplus, sigmax.logit, sigmax.log1mexp]
PER_CLASS = [sigmax.softmax, sigmax.log_softmax, sigmax.inverse_softmax]
PER_ROW = [sigmax.logsumexp, sigmax.entropy]
AXIS = PER_CLASS + PER_ROW
OF_LOGITS = [sigmax.softmax, sigmax.log_softmax, sigmax.logsumexp, sigmax.entropy]
OF_PROBABILITIES = [
    (sigmax.inverse_softmax, {}),
    (sigmax.entropy, {"from_logits": False}),
]
SHAPE = (3, 4, 5)
SEEDED = np.random.default_rng(5)
MASK = SEEDED.random(SHAPE) < 0.7
TEMPERATURES = SEEDED.uniform(0.5, 2, (3, 4))
WEIGHTS = SEEDED.uniform(0.5, 2, SHAPE) * (SEEDED.random(SHAPE) < 0.8)

every_elementwise = pytest.mark.parametrize("function", ELEMENTWISE, ids=lambda f: f.__name__)
every_axis = pytest.mark.parametrize("function", AXIS, ids=lambda f: f.__name__)
every_function = pytest.mark.parametrize("function", ELEMENTWISE + AXIS, ids=lambda f: f.__name__)
every_type = pytest.mark.parametrize("dtype", TYPES)


def numbers(function, shape=SHAPE, *, probabilities=False, dtype="float64"):
    """In the domain of the function, away from its ends."""
    x = np.random.default_rng(11).uniform(0.1, 0.9, shape)
    if function is sigmax.log1mexp:
        x = -5 * x
    elif not (probabilities or function in (sigmax.logit, sigmax.inverse_softmax)):
        x = 6 * x - 3
    return x.astype(TYPES[dtype])


def cotangent_for(function, x, **options):
    shape = np.shape(function(x, **options))
    return np.random.default_rng(12).normal(0, 1, shape).astype(x.dtype)


def check_against_differences(function, x, **options):
    """The directional derivative by a five-point difference; the error is of the fourth order."""
    c = cotangent_for(function, x, **options)
    gradient = sigmax.vjp(function, x, c, **options)
    assert gradient.shape == x.shape
    assert gradient.dtype == x.dtype
    step = 2.5e-4
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(0, 1, x.shape)

        def value(k, direction=direction):
            y = function(x + k * step * direction, **options)
            finite = np.isfinite(y)  # a class of probability 0 stays at -inf
            return np.sum((c * np.where(finite, y, 0))[finite])

        difference = (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * step)
        assert np.sum(gradient * direction) == pytest.approx(difference, rel=1e-7, abs=1e-8)


# ---------------------------------------------------------------- values


@every_elementwise
def test_elementwise_derivative(function):
    check_against_differences(function, numbers(function))


@every_axis
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axis": 0},
        {"axis": (0, 2)},
        {"axis": None},
        {"axis": ()},
        {"where": MASK},
        {"where": MASK[:, :1], "axis": 1},
        {"where": MASK, "axis": (1, 2)},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_axis_derivative(function, options):
    check_against_differences(function, numbers(function), **options)


@pytest.mark.parametrize("function", OF_LOGITS, ids=lambda f: f.__name__)
def test_derivative_with_temperature(function):
    x = numbers(function)
    for options in (
        {"temperature": 0.7},
        {"temperature": TEMPERATURES},
        {"temperature": TEMPERATURES[0]},
        {"temperature": TEMPERATURES.T[:, :, None].reshape(4, 3)[:, :1], "axis": 0},
        {"temperature": 2.0, "where": MASK, "axis": None},
    ):
        check_against_differences(function, x, **options)


def test_derivative_of_entropy_of_probabilities():
    p = numbers(sigmax.entropy, probabilities=True)
    for axis in (-1, 0, (0, 2), None):
        for where in (None, MASK):
            options = {"from_logits": False, "axis": axis, "where": where}
            check_against_differences(sigmax.entropy, p, **options)


def test_derivative_with_weights():
    x = numbers(sigmax.logsumexp)
    for options in ({}, {"axis": 1}, {"axis": None}, {"temperature": 0.5}, {"where": MASK}):
        check_against_differences(sigmax.logsumexp, x, weights=WEIGHTS, **options)
    check_against_differences(sigmax.logsumexp, x, weights=[1.0, 0.0, 2.0, -0.01, 1.0])


@pytest.mark.parametrize("function", PER_ROW, ids=lambda f: f.__name__)
def test_keepdims(function):
    x = numbers(function)
    for axis in (-1, 0, (0, 2), None):
        c = cotangent_for(function, x, axis=axis, keepdims=True)
        kept = sigmax.vjp(function, x, c, axis=axis, keepdims=True)
        assert same(kept, sigmax.vjp(function, x, c.reshape(function(x, axis).shape), axis=axis))


@every_axis
@pytest.mark.parametrize("axis", [0, 1, -2, (1, 2), (2, 0), None])
def test_axis(function, axis):
    x = numbers(function)
    c = cotangent_for(function, x, axis=axis)
    axes = tuple(range(3)) if axis is None else tuple(k % 3 for k in np.atleast_1d(axis))
    batch = [k for k in range(3) if k not in axes]
    moved = x.transpose(*batch, *axes)
    rows = moved.reshape(*moved.shape[: len(batch)], -1)
    c_rows = c.transpose(*batch, *axes).reshape(rows.shape) if function in PER_CLASS else c
    back = np.argsort([*batch, *axes])
    expected = sigmax.vjp(function, rows, c_rows).reshape(moved.shape).transpose(back)
    assert same(sigmax.vjp(function, x, c, axis=axis), expected)


# ---------------------------------------------------------------- linear in the cotangent


@every_type
@every_function
def test_powers_of_two_and_signs_pass_through(function, dtype):
    x = numbers(function, (5, 7), dtype=dtype)
    c = cotangent_for(function, x)
    gradient = sigmax.vjp(function, x, c)
    four = TYPES[dtype](4)
    assert same(sigmax.vjp(function, x, four * c), four * gradient)
    np.testing.assert_array_equal(sigmax.vjp(function, x, -c), -gradient)


@every_function
def test_additive(function):
    x = numbers(function)
    c = cotangent_for(function, x)
    d = c[::-1].copy()
    together = sigmax.vjp(function, x, c + 3 * d)
    apart = sigmax.vjp(function, x, c) + 3 * sigmax.vjp(function, x, d)
    np.testing.assert_allclose(together, apart, rtol=1e-13, atol=1e-13)


@every_type
@every_function
def test_cotangent_of_0(function, dtype):
    x = numbers(function, (5, 7), dtype=dtype)
    gradient = sigmax.vjp(function, x, np.zeros_like(cotangent_for(function, x)))
    assert gradient.shape == x.shape
    assert (gradient == 0).all()


@pytest.mark.parametrize(
    ("function", "options", "row"),
    [
        (sigmax.logit, {}, [0, 1, 0.5]),
        (sigmax.log1mexp, {}, [0, -0.0, -INF]),
        (sigmax.sigmoid, {}, [INF, -INF, 0]),
        (sigmax.inverse_softmax, {}, [0, 1, 0.5]),
        (sigmax.entropy, {"from_logits": False}, [0, 1, 0.5]),
        (sigmax.entropy, {}, [-INF, 0, 1]),
        (sigmax.entropy, {}, [INF, 0, INF]),
        (sigmax.softmax, {}, [-INF, INF, INF]),
        (sigmax.log_softmax, {}, [-INF, INF, INF]),
        (sigmax.logsumexp, {}, [-INF, INF, INF]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_cotangent_of_0_at_the_ends(function, options, row):
    c = np.zeros(np.shape(function(row, **options)))
    np.testing.assert_array_equal(sigmax.vjp(function, row, c, **options), np.zeros(3))


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("classes", [3, 32, 33, 1000, 70_001])
@every_axis
def test_masked_classes_and_rows_have_no_gradient(function, classes):
    x = numbers(function, (3, classes))
    mask = np.random.default_rng(classes).random(x.shape) < 0.6
    mask[1] = False
    mask[2] = True
    c = cotangent_for(function, x)
    gradient = sigmax.vjp(function, x, c, where=mask)
    assert (gradient[~mask] == 0).all()
    assert same(gradient[2], sigmax.vjp(function, x[2], c[2]))
    x[~mask] = NAN
    assert same(sigmax.vjp(function, x, c, where=mask), gradient)
    if function in PER_CLASS:
        c[~mask] = NAN
        assert same(sigmax.vjp(function, x, c, where=mask), gradient)


@pytest.mark.parametrize(
    ("function", "x", "c", "expected"),
    [
        (sigmax.softmax, [-INF, -INF], [1, 2], [0, 0]),
        (sigmax.softmax, [INF, 1, INF], [1, 2, 3], [-0.5, 0, 0.5]),
        (sigmax.softmax, [-INF, 0, 0], [9, 1, 3], [0, -0.5, 0.5]),
        (sigmax.softmax, [0, NAN], [1, 2], [NAN, NAN]),
        (sigmax.softmax, [0, 1], [NAN, 2], [NAN, NAN]),
        (sigmax.log_softmax, [-INF, -INF], [1, 2], [0, 0]),
        (sigmax.log_softmax, [INF, 1, INF], [1, 2, 3], [-2, 2, 0]),
        (sigmax.log_softmax, [-INF, 0, 0], [0, 1, 3], [0, -1, 1]),
        (sigmax.log_softmax, [NAN, 0], [1, 2], [NAN, NAN]),
        (sigmax.logsumexp, [-INF, -INF], 1, [0, 0]),
        (sigmax.logsumexp, [INF, 1, INF], 2, [1, 0, 1]),
        (sigmax.logsumexp, [NAN, 0], 1, [NAN, NAN]),
        (sigmax.logsumexp, [0, 0], NAN, [NAN, NAN]),
        (sigmax.entropy, [-INF, -INF], 1, [0, 0]),
        (sigmax.entropy, [INF, 1, INF], 1, [0, 0, 0]),
        (sigmax.entropy, [NAN, 0], 1, [NAN, NAN]),
        (sigmax.inverse_softmax, [0, 0], [1, 2], [0, 0]),
        (sigmax.inverse_softmax, [0, 0.5, 0.25], [9, 1, 3], [0, -2, 4]),
        (sigmax.inverse_softmax, [0.5, 1.5], [1, 2], [NAN, NAN]),
        (sigmax.sigmoid, [-INF, 0, INF, NAN], [1, 1, 1, 1], [0, 0.25, 0, NAN]),
        (sigmax.log_sigmoid, [-INF, 0, INF, NAN], [1, 1, 1, 1], [1, 0.5, 0, NAN]),
        (sigmax.softplus, [-INF, 0, INF, NAN], [1, 1, 1, 1], [0, 0.5, 1, NAN]),
        (sigmax.logit, [0, 0.5, 1, NAN, 2], [1, 1, -1, 1, 1], [INF, 4, -INF, NAN, NAN]),
        (sigmax.log1mexp, [-INF, 0, NAN, 1], [1, 1, 1, 1], [0, -INF, NAN, NAN]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_limits(function, x, c, expected):
    np.testing.assert_array_equal(sigmax.vjp(function, x, c), expected)


@pytest.mark.parametrize("x", [40.0, 300.0, 700.0])
def test_confident_winner_keeps_its_digits(x):
    others = np.exp(-x)
    gradient = sigmax.vjp(sigmax.log_softmax, [x, 0.0, -INF], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(gradient, [others, -others, 0], rtol=1e-14)
    gradient = sigmax.vjp(sigmax.softmax, [x, 0.0, -INF], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(gradient, [others, -others, 0], rtol=1e-14)


def test_overflow_is_infinite():
    """The exact gradient is beyond the largest number; NaN would be no answer."""
    inverse = sigmax.vjp(sigmax.inverse_softmax, [1e-310, 1.0], [1.0, 0.0])
    np.testing.assert_array_equal(inverse, [INF, -0.5])
    hot = sigmax.vjp(sigmax.logsumexp, [0.0, 1.0], 1e308, temperature=1e-3)
    assert hot[1] == INF


@pytest.mark.parametrize("classes", [1, 2, 31, 32, 33, 100, 5003, 70_001])
@every_axis
def test_nan_only_in_its_row(function, classes):
    x = numbers(function, (4, classes))
    c = cotangent_for(function, x)
    expected = sigmax.vjp(function, x, c)
    x[1, classes // 2] = NAN
    if function in PER_CLASS:
        c[3, -1] = NAN
    else:
        c[3] = NAN
    gradient = sigmax.vjp(function, x, c)
    assert np.isnan(gradient[1::2]).all()
    assert same(gradient[::2], expected[::2])


@every_function
def test_empty(function):
    for shape in ((3, 0), (0, 3)):
        x = np.zeros(shape)
        assert sigmax.vjp(function, x, function(x)).shape == shape


# ---------------------------------------------------------------- types and shapes


@every_type
@every_function
def test_type_is_kept(function, dtype):
    x = numbers(function, dtype=dtype)
    for axis in [None] if function in ELEMENTWISE else (-1, 0, (0, 1), None):
        options = {} if function in ELEMENTWISE else {"axis": axis}
        c = cotangent_for(function, x, **options)
        assert sigmax.vjp(function, x, c, **options).dtype == TYPES[dtype]


@every_function
def test_type_is_the_common_one_of_x_and_the_cotangent(function):
    x = numbers(function, dtype="float32")
    c = cotangent_for(function, x)
    expected = sigmax.vjp(function, x.astype(np.float64), c.astype(np.float64))
    for other in (c.astype(np.float64), c.tolist()):
        assert same(sigmax.vjp(function, x, other), expected)
    assert sigmax.vjp(function, x, c.astype(int)).dtype == np.float32


@every_function
def test_integers_become_float64(function):
    x = {sigmax.logit: [[1, 0]], sigmax.log1mexp: [[-1, -2]]}.get(function, [[1, 0], [0, 0]])
    c = np.ones(np.shape(function(x)), int)
    gradient = sigmax.vjp(function, x, c)
    assert same(gradient, sigmax.vjp(function, np.array(x, float), c.astype(float)))


@every_function
def test_refused_shape_of_the_cotangent(function):
    x = numbers(function)
    c = cotangent_for(function, x)
    for refused in (c[0], c[:1], c[..., None], c[:, :-1], 1.0):
        with pytest.raises(ValueError, match="cotangent must have the shape of the output"):
            sigmax.vjp(function, x, refused)


@pytest.mark.parametrize("function", OF_LOGITS, ids=lambda f: f.__name__)
def test_temperatures_that_add_batch_dimensions(function):
    """The gradient has the shape of x: it is the sum over what x was broadcast to."""
    x = numbers(function, (4, 5))
    t = TEMPERATURES[:2, None, 0]
    c = cotangent_for(function, x, temperature=t)
    apart = [sigmax.vjp(function, x, c[k], temperature=float(t[k, 0])) for k in range(2)]
    gradient = sigmax.vjp(function, x, c, temperature=t)
    np.testing.assert_allclose(gradient, sum(apart), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("bad", [1j, "1", np.longdouble(1), None], ids=repr)
@every_function
def test_refused_types(function, bad):
    x = numbers(function, (2, 2))
    c = cotangent_for(function, x)
    with pytest.raises(TypeError):
        sigmax.vjp(function, np.full(x.shape, bad), c)
    with pytest.raises(TypeError):
        sigmax.vjp(function, x, np.full(c.shape, bad))


@every_function
def test_masked_arrays_are_refused(function):
    x = numbers(function, (2, 2))
    c = cotangent_for(function, x)
    with pytest.raises(TypeError, match="x is a masked array"):
        sigmax.vjp(function, np.ma.masked_array(x), c)
    with pytest.raises(TypeError, match="cotangent is a masked array"):
        sigmax.vjp(function, x, np.ma.masked_array(c))


@pytest.mark.parametrize(
    "fn",
    [np.exp, "softmax", None, [], sigmax.vjp, len],
    ids=lambda f: getattr(f, "__name__", str(f)),
)
def test_refused_functions(fn):
    with pytest.raises(TypeError, match=r"fn must be one of sigmoid, .*entropy, got"):
        sigmax.vjp(fn, [0.5], [1.0])


@pytest.mark.parametrize("option", ["out", "dtype", "color"])
@every_function
def test_refused_options(function, option):
    x = numbers(function, (2, 2))
    with pytest.raises(TypeError, match=f"({function.__name__}|no option).*'{option}'"):
        sigmax.vjp(function, x, cotangent_for(function, x), **{option: None})


@pytest.mark.parametrize("function", OF_LOGITS, ids=lambda f: f.__name__)
def test_refused_values_of_options(function):
    x = numbers(function)
    c = cotangent_for(function, x)
    with pytest.raises(ValueError, match="temperature"):
        sigmax.vjp(function, x, c, temperature=-1.0)
    with pytest.raises(TypeError, match="where must be boolean"):
        sigmax.vjp(function, x, c, where=np.ones(5))
    with pytest.raises(np.exceptions.AxisError):
        sigmax.vjp(function, x, c, axis=3)


# ---------------------------------------------------------------- layouts, warnings, other arrays


@every_function
def test_arguments_are_left_alone(function):
    x = numbers(function)
    c = cotangent_for(function, x)
    options = {} if function in ELEMENTWISE else {"where": MASK}
    before = x.copy(), c.copy()
    x.setflags(write=False)
    c.setflags(write=False)
    gradient = sigmax.vjp(function, x, c, **options)
    assert gradient.flags.writeable
    assert same(x, before[0])
    assert same(c, before[1])


@every_function
def test_result_has_the_layout_of_x(function):
    x = numbers(function)
    for view in (x, x.T, x.transpose(1, 0, 2), x[:, ::2, ::-1]):
        gradient = sigmax.vjp(function, view, np.ones_like(function(view)))
        assert gradient.strides == np.exp(view).strides


@every_type
@every_function
def test_no_warnings(function, dtype):
    rows = [[INF, 0, INF], [-INF] * 3, [NAN, 0, 1], [1, 0, 0], [0, -1, -50], [0.5, 0.25, 0.25]]
    x = np.array(rows, TYPES[dtype])
    with np.errstate(all="raise"):
        for columns in (1, 20, 22_000):
            wide = np.tile(x, columns)
            for value in (0.0, 1.0, 1e4, INF, NAN):
                c = np.full(np.shape(function(wide)), value, x.dtype)
                sigmax.vjp(function, wide, c)


@every_function
def test_dask_stays_lazy(function):
    da = pytest.importorskip("dask.array")
    x = numbers(function)
    c = cotangent_for(function, x)
    lazy_x = da.from_array(x, chunks=(2, 4, 5))
    lazy_c = da.from_array(c, chunks=(2, 4, 5)[: c.ndim])
    gradient = sigmax.vjp(function, lazy_x, lazy_c)
    assert isinstance(gradient, da.Array)
    assert same(gradient.compute(), sigmax.vjp(function, x, c))
