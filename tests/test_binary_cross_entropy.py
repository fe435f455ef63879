"""Binary cross-entropy: definition, every option and pair of options, limits, types, layouts, errors."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import reference
from flint import ctx
from kernel_inputs import TYPES

import sigmax

BOTH_OF = sigmax.value_and_grad(sigmax.binary_cross_entropy)

INF, NAN = math.inf, math.nan
CONTRACT = {"float16": 0.51, "bfloat16": 0.51, "float32": 1.0, "float64": 2.0}
every_type = pytest.mark.parametrize("dtype", TYPES)
of_both = pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])


@pytest.fixture(autouse=True)
def _precision() -> None:
    ctx.prec = 200


def value_and_gradient(logits: Any, labels: Any, **options: Any) -> tuple[Any, Any]:
    """Both, where the value is that of the public function to the last bit."""
    value, gradient = BOTH_OF(logits, labels, **options)
    options.pop("out", None)
    alone = sigmax.binary_cross_entropy(logits, labels, **options)
    assert (alone.dtype, alone.tobytes()) == (value.dtype, value.tobytes())
    return value, gradient


def example(
    dtype: str, from_logits: bool = True, shape: tuple[int, ...] = (7, 5)
) -> tuple[Any, Any]:
    """Logits or probabilities, and labels of which a third are soft."""
    seeded = np.random.default_rng(0)
    x = seeded.normal(0, 4, shape) if from_logits else seeded.uniform(0, 1, shape)
    y = seeded.integers(0, 2, shape).astype(float)
    y[::3] = seeded.uniform(0, 1, y[::3].shape)
    return x.astype(TYPES[dtype]), y.astype(TYPES[dtype])


# ---------------------------------------------------------------- definition and options


def exact_elements(x: Any, y: Any, from_logits: bool, options: dict[str, Any]) -> Iterator[tuple]:
    """Of every element the loss, the gradient for a divisor of 1, and the sum of its two terms' sizes."""
    name = "binary_cross_entropy" if from_logits else "binary_cross_entropy_of_probabilities"
    loss, slope = getattr(reference, name), getattr(reference, f"{name}_vjp")
    s, w = options.get("sample_weight"), options.get("pos_weight")
    s, w = np.float64(1.0 if s is None else s), np.float64(1.0 if w is None else w)
    s = np.where(options.get("where", True), s, 0.0)
    e = options.get("label_smoothing", 0.0)
    columns = np.broadcast_arrays(x.astype(float), y.astype(float), s, w, e)
    for v, *others in zip(*(c.ravel().tolist() for c in columns), strict=True):
        gradient = reference.exact(slope, v, 1.0, *others)
        of_label_0 = reference.exact(slope, v, 1.0, others[0], others[1], 0.0, others[3])
        terms = abs(of_label_0) + abs(of_label_0 - gradient)
        yield reference.exact(loss, v, *others), gradient, terms


def exact_divisor(x: Any, options: dict[str, Any]) -> reference.arb:
    if options.get("reduction", "mean") != "mean":
        return reference.ONE
    if options.get("normalizer") is not None:
        return reference.arb(options["normalizer"])
    s = options.get("sample_weight")
    weight = np.broadcast_to(1.0 if s is None else s, x.shape)
    kept = weight[np.broadcast_to(options.get("where", True), x.shape)]
    return sum(map(reference.arb, kept.tolist()), reference.ZERO)


def check(dtype: str, from_logits: bool, options: dict[str, Any]) -> None:
    x, y = example(dtype, from_logits)
    losses, gradients, terms = zip(*exact_elements(x, y, from_logits, options), strict=True)
    divisor = exact_divisor(x, options)
    value, gradient = value_and_gradient(x, y, from_logits=from_logits, **options)
    assert value.dtype == gradient.dtype == x.dtype
    none = options.get("reduction") == "none"
    expected = list(losses) if none else [sum(losses, reference.ZERO) / divisor]
    assert value.shape == (x.shape if none else ())
    assert reference.ulp_error(value, expected, dtype).max() <= CONTRACT[dtype]
    assert gradient.shape == x.shape
    errors = reference.ulp_error(gradient, [g / divisor for g in gradients], dtype)
    unit = [
        reference.ulp_exponent(g / divisor, dtype) - reference.ulp_exponent(t / divisor, dtype)
        for g, t in zip(gradients, terms, strict=True)
    ]
    assert np.ldexp(errors, unit).max() <= CONTRACT[dtype]


SEEDED = np.random.default_rng(1)
OPTIONS: dict[str, list[Any]] = {
    "from_logits": [True, False],
    "pos_weight": [None, 3.0, SEEDED.uniform(0, 4, 5), 0],
    "sample_weight": [None, SEEDED.uniform(0, 2, (7, 1)), SEEDED.normal(1, 1, (7, 5))],
    "label_smoothing": [0.0, 0.1, 1],
    "where": [None, SEEDED.random((7, 5)) < 0.7, np.arange(5) != 2],
    "reduction": ["mean", "sum", "none"],
    "normalizer": [None, 12.5],
}


def pairs() -> Iterator[dict[str, Any]]:
    """Every value of every option with every value of every other, the rest at their defaults."""
    for a, b in itertools.combinations(OPTIONS, 2):
        for values in itertools.product(OPTIONS[a], OPTIONS[b]):
            yield dict(zip((a, b), values, strict=True))


@every_type
def test_every_pair_of_options(dtype: str) -> None:
    for chosen in pairs():
        options = {k: v for k, v in chosen.items() if v is not None}
        check(dtype, options.pop("from_logits", True), options)


@of_both
def test_all_options_at_once(from_logits: bool) -> None:
    options = {name: values[-1] for name, values in OPTIONS.items()}
    for options["reduction"] in OPTIONS["reduction"]:
        options.pop("from_logits", None)
        check("float64", from_logits, options)


def test_one_number_alone() -> None:
    value, gradient = value_and_gradient(0.0, 1)
    assert (float(value), float(gradient)) == (math.log(2), -0.5)
    assert value.dtype == gradient.dtype == np.float64
    none = sigmax.binary_cross_entropy(0.0, True, reduction="none")
    assert none.shape == ()


# ---------------------------------------------------------------- limits


@every_type
def test_infinite_and_nan_logits(dtype: str) -> None:
    x = np.array([INF, INF, -INF, -INF, INF, NAN, NAN], TYPES[dtype])
    y = np.array([1, 0, 1, 0, 0.5, 1, 0], TYPES[dtype])
    value, gradient = value_and_gradient(x, y, reduction="none")
    assert np.array_equal(value.astype(float), [0, INF, INF, 0, INF, NAN, NAN], equal_nan=True)
    assert np.array_equal(gradient.astype(float), [0, 1, -1, 0, 0.5, NAN, NAN], equal_nan=True)


def test_what_weighs_nothing_costs_nothing() -> None:
    x, y = np.array([-INF, INF, -INF]), np.array([1.0, 0.0, 1.0])
    assert sigmax.binary_cross_entropy(x, y, sample_weight=0.0, reduction="sum") == 0
    value, gradient = value_and_gradient(x, y, pos_weight=0.0, reduction="none")
    assert value.tolist() == [0, INF, 0]
    assert gradient.tolist() == [0, 1, 0]
    value = sigmax.binary_cross_entropy(x, y, sample_weight=[1, -1, -2], reduction="none")
    assert value.tolist() == [INF, -INF, -INF]


@every_type
def test_probabilities_of_0_and_1(dtype: str) -> None:
    p = np.array([0, 0, 1, 1, 0, 1], TYPES[dtype])
    y = np.array([0, 1, 1, 0, 0.5, 0.5], TYPES[dtype])
    value, gradient = value_and_gradient(p, y, from_logits=False, reduction="none")
    assert value.tolist() == [0, INF, 0, INF, INF, INF]
    assert gradient.tolist() == [1, -INF, -1, INF, -INF, INF]


def test_an_infinite_element_makes_sum_and_mean_infinite() -> None:
    for reduction in ("sum", "mean"):
        assert sigmax.binary_cross_entropy([INF, 0.0], [0, 1], reduction=reduction) == INF
        both = sigmax.binary_cross_entropy(
            [INF, INF], [0, 0], sample_weight=[2, -1], reduction=reduction
        )
        assert math.isnan(both)


def test_confident_losses_keep_their_digits() -> None:
    value, gradient = value_and_gradient([40.0, -745.0], [1, 0], reduction="none")
    assert value.tolist() == [4.248354255291589e-18, 5e-324]
    assert gradient.tolist() == [-4.248354255291589e-18, 5e-324]


def test_weights_far_from_1() -> None:
    value, gradient = value_and_gradient([-600.0], [0], sample_weight=1e200, reduction="none")
    exact = [reference.exact(reference.binary_cross_entropy, -600.0, 0.0, 1e200)]
    assert reference.ulp_error(value, exact, "float64").max() < 2
    assert reference.ulp_error(gradient, exact, "float64").max() < 2


# ---------------------------------------------------------------- masks, and nothing to average


@every_type
@of_both
def test_masked_elements_hold_anything(dtype: str, from_logits: bool) -> None:
    x, y = example(dtype, from_logits)
    where = np.random.default_rng(2).random(x.shape) < 0.6
    weight = np.random.default_rng(3).uniform(0, 1, x.shape)
    options = {"from_logits": from_logits, "where": where, "sample_weight": weight}
    expected = value_and_gradient(x, y, reduction="none", **options)
    mean = sigmax.binary_cross_entropy(x, y, **options)
    for rubbish in (NAN, INF, -INF, 1e4):
        for operand in (x, y, weight):
            operand[~where] = rubbish
        found = value_and_gradient(x, y, reduction="none", **options)
        assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]
        assert sigmax.binary_cross_entropy(x, y, **options) == mean
    assert (found[0][~where] == 0).all()
    assert (found[1][~where] == 0).all()


def test_mask_and_selection_agree() -> None:
    x, y = example("float64")
    where = np.random.default_rng(2).random(x.shape) < 0.6
    masked = sigmax.binary_cross_entropy(x, y, where=where, reduction="none")
    chosen = sigmax.binary_cross_entropy(x[where], y[where], reduction="none")
    assert np.array_equal(masked[where], chosen)
    mean = sigmax.binary_cross_entropy(x, y, where=where)
    assert math.isclose(mean, chosen.mean(), rel_tol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "options",
    [{"where": False}, {"sample_weight": 0.0}, {"where": [True, False], "sample_weight": [0, 2]}],
)
def test_nothing_left(options: dict[str, Any], reduction: Any) -> None:
    value, gradient = value_and_gradient([1.0, -INF], [0, 1], reduction=reduction, **options)
    assert value == 0
    assert gradient.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    for reduction in ("mean", "sum"):
        value, gradient = value_and_gradient(np.ones(shape), np.ones(shape), reduction=reduction)
        assert value == 0
        assert gradient.shape == shape
    assert (
        sigmax.binary_cross_entropy(np.ones(shape), np.ones(shape), reduction="none").shape == shape
    )


# ---------------------------------------------------------------- types


@every_type
def test_labels_of_every_type(dtype: str) -> None:
    x = example(dtype)[0]
    y = np.random.default_rng(0).integers(0, 2, x.shape)
    expected = sigmax.binary_cross_entropy(x, y.astype(x.dtype), reduction="none")
    for kind in (bool, np.int8, np.uint8, np.uint16, np.int64, *TYPES.values(), ">i4", ">f8"):
        result = sigmax.binary_cross_entropy(x, y.astype(kind), reduction="none")
        assert result.dtype == x.dtype
        assert np.array_equal(result, expected)


def test_integer_logits_become_float64() -> None:
    for kind in (bool, np.int8, np.uint64):
        value, gradient = value_and_gradient(np.array([1, 0, 1], kind), [1, 1, 0])
        expected = sigmax.binary_cross_entropy([1.0, 0.0, 1.0], [1, 1, 0])
        assert value == expected
        assert value.dtype == gradient.dtype == np.float64


def test_mean_of_many_float16() -> None:
    """Their sum, 2e6, is beyond float16, and so is the number of elements."""
    x = np.random.default_rng(0).normal(0, 40, 70_000).astype(np.float16)
    y = (np.arange(70_000) % 2).astype(np.float16)
    value, gradient = value_and_gradient(x, y)
    wide = x.astype(float)
    losses = np.logaddexp(0, np.where(y == 1, -wide, wide))
    assert value == np.float16(math.fsum(losses) / 70_000)
    expected = (1 / (1 + np.exp(-wide)) - y) / 70_000
    assert np.abs(gradient - expected).max() <= 2.0**-25
    assert sigmax.binary_cross_entropy(x, y, reduction="sum") == INF


def test_dask() -> None:
    array = pytest.importorskip("dask.array")
    x, y = example("float32", shape=(40, 30))
    chunked = [array.from_array(a, chunks=16) for a in (x, y)]
    for options in ({}, {"where": x > -3}, {"reduction": "none"}, {"sample_weight": abs(x)}):
        result = sigmax.binary_cross_entropy(*chunked, **options)
        assert isinstance(result, array.Array)
        expected = sigmax.binary_cross_entropy(x, y, **options)
        np.testing.assert_allclose(result.compute(), expected, rtol=1e-6)


# ---------------------------------------------------------------- layouts, threads, in place


LAYOUTS: list[Callable[[Any], Any]] = [
    lambda a: a.copy(order="F"),
    lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    lambda a: a[::-1].copy()[::-1],
    lambda a: a.T.copy().T,
]


@every_type
@of_both
def test_same_bits_for_layouts_and_threads(dtype: str, from_logits: bool) -> None:
    x, y = example(dtype, from_logits, (300, 200))
    weight = np.random.default_rng(3).uniform(0, 1, x.shape)
    for reduction in ("mean", "sum", "none"):
        options = {"from_logits": from_logits, "reduction": reduction}
        for extra in ({}, {"pos_weight": np.linspace(0, 2, 200), "sample_weight": weight}):
            expected = [a.tobytes() for a in value_and_gradient(x, y, **options, **extra)]
            for layout in LAYOUTS:
                found = value_and_gradient(layout(x), layout(y), **options, **extra)
                assert [a.tobytes() for a in found] == expected
            for count in (1, 2, 3):
                sigmax.set_num_threads(count)
                found = value_and_gradient(x, y, **options, **extra)
                assert [a.tobytes() for a in found] == expected


@every_type
def test_options_that_say_the_same(dtype: str) -> None:
    """An option that is given as an array, or is its own default, does not change a bit."""
    x, y = example(dtype, shape=(60, 50))
    for same in (
        ({}, {"pos_weight": 1, "sample_weight": np.ones(50), "where": True}),
        ({"pos_weight": 2.0}, {"pos_weight": np.full(x.shape, 2.0)}),
        ({"sample_weight": 0.3}, {"sample_weight": np.full((60, 1), 0.3)}),
    ):
        for reduction in ("mean", "sum", "none"):
            a, b = (value_and_gradient(x, y, reduction=reduction, **options) for options in same)
            assert [v.tobytes() for v in a] == [v.tobytes() for v in b]


@every_type
@of_both
@pytest.mark.parametrize("shape", [(7, 5), (300, 200)])
def test_gradient_in_place(dtype: str, from_logits: bool, shape: tuple[int, ...]) -> None:
    x, y = example(dtype, from_logits, shape)
    for options in (
        {},
        {"where": y != 0},
        {"reduction": "none", "pos_weight": np.arange(shape[1])},
    ):
        options = {"from_logits": from_logits, **options}
        value, expected = value_and_gradient(x, y, **options)
        for layout in (np.copy, *LAYOUTS):
            mine = layout(x)
            found, gradient = BOTH_OF(mine, y, out=mine, **options)
            assert gradient is mine
            assert found.tobytes() == value.tobytes()
            assert mine.tobytes() == expected.tobytes()


def test_read_only_operands_are_left_alone() -> None:
    x, y = example("float32")
    before = x.tobytes(), y.tobytes()
    x.setflags(write=False)
    y.setflags(write=False)
    value_and_gradient(x, y, label_smoothing=0.1, where=y != 1)
    assert (x.tobytes(), y.tobytes()) == before


# ---------------------------------------------------------------- errors


X, Y = np.zeros((2, 3)), np.ones((2, 3))
ERRORS: list[tuple[Any, Any, dict[str, Any], str]] = [
    (X, Y[:, :1], {}, r"labels must have the shape \(2, 3\) of logits, got shape \(2, 1\)"),
    (
        np.zeros((4, 1)),
        np.zeros(4),
        {},
        r"labels must have the shape \(4, 1\) of logits, got shape \(4,\)",
    ),
    ([0.0, 0.0], [0.0, 1.5], {}, r"labels must be in \[0, 1\], got 1.5 at index \(1,\)"),
    ([0.0], [NAN], {}, r"labels must be in \[0, 1\], got nan at index \(0,\)"),
    (X, np.full((2, 3), -1), {}, r"labels must be in \[0, 1\], got -1.0 at index \(0, 0\)"),
    (np.float32([0]), [1 + 1e-6], {}, r"labels must be in \[0, 1\], got 1.000001"),
    (0.0, 2, {}, r"labels must be in \[0, 1\], got 2.0$"),
    (
        [0.5, 1.25],
        [0, 1],
        {"from_logits": False},
        r"logits must be in \[0, 1\] .*got 1.25 at index \(1,\)",
    ),
    (
        [NAN],
        [0],
        {"from_logits": False},
        r"logits must be in \[0, 1\] for from_logits=False, got nan",
    ),
    (X, Y, {"pos_weight": -2}, "pos_weight must be finite and not negative, got -2.0"),
    (
        X,
        Y,
        {"pos_weight": [1, INF, 1]},
        r"pos_weight must be finite and not negative, got inf at index \(1,\)",
    ),
    (
        X,
        Y,
        {"pos_weight": np.ones(2)},
        r"pos_weight must broadcast to the shape \(2, 3\), got shape \(2,\)",
    ),
    (X, Y, {"sample_weight": np.ones((1, 2, 3))}, r"sample_weight must broadcast to .*\(1, 2, 3\)"),
    (
        X,
        Y,
        {"sample_weight": [1, NAN, 1]},
        r"sample_weight must be finite, got nan at index \(1,\)",
    ),
    (X, Y, {"sample_weight": -1}, "sample_weight must have a positive sum .*got -6.0"),
    (X, Y, {"label_smoothing": 1.5}, r"label_smoothing must be in \[0, 1\], got 1.5"),
    (X, Y, {"label_smoothing": NAN}, r"label_smoothing must be in \[0, 1\], got nan"),
    (X, Y, {"where": np.ones(2, bool)}, r"where must broadcast to the shape \(2, 3\)"),
    (X, Y, {"reduction": "average"}, "reduction must be 'none', 'sum' or 'mean', got 'average'"),
    (X, Y, {"normalizer": 0.0}, r"normalizer must be in \(0, inf\), got 0.0"),
]


@pytest.mark.parametrize(("logits", "labels", "options", "message"), ERRORS)
def test_value_errors(logits: Any, labels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sigmax.binary_cross_entropy(logits, labels, **options)


MASKED = np.ma.masked_array([0.0, 1.0], [True, False])
TYPE_ERRORS: list[tuple[Any, Any, dict[str, Any], str]] = [
    ([1j], [0], {}, "logits must be real numbers, got dtype complex128"),
    ([0.0], ["1"], {}, "labels must be real numbers, got dtype <U1"),
    (np.zeros(1, np.longdouble), [0], {}, "logits must be real numbers"),
    (MASKED, [0, 1], {}, r"logits is a masked array: pass logits\.data"),
    ([0.0, 1.0], MASKED, {}, "labels is a masked array"),
    ([0.0, 1.0], [0, 1], {"sample_weight": MASKED}, "sample_weight is a masked array"),
    ([0.0, 1.0], [0, 1], {"pos_weight": 1j}, "pos_weight must be real numbers"),
    ([0.0, 1.0], [0, 1], {"where": [1, 0]}, "where must be boolean"),
    ([0.0, 1.0], [0, 1], {"label_smoothing": "0.1"}, "label_smoothing must be a real number"),
    ([0.0, 1.0], [0, 1], {"normalizer": "2"}, "normalizer must be a real number"),
]


@pytest.mark.parametrize(("logits", "labels", "options", "message"), TYPE_ERRORS)
def test_type_errors(logits: Any, labels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        sigmax.binary_cross_entropy(logits, labels, **options)


@every_type
def test_a_refused_call_writes_nothing(dtype: str) -> None:
    x, y = example(dtype, shape=(300, 200))
    y[-1, -1] = 1.5
    before = x.tobytes()
    with pytest.raises(
        ValueError, match=r"labels must be in \[0, 1\], got 1.5 at index \(299, 199\)"
    ):
        BOTH_OF(x, y, out=x)
    assert x.tobytes() == before
