"""Inputs that failed once, by kind, with their right values; fuzz.py sweeps whole kinds."""

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import sigmax

INF, NAN = np.inf, np.nan
LN2, LN3 = np.log(2.0), np.log(3.0)
both_of = sigmax.value_and_grad
bits = sigmax.value_and_grad(sigmax.cross_entropy)


# ---------------------------------------------------------------- N1: strides of 0


def test_n1_a_mask_for_each_row_of_the_first_axis() -> None:
    where = np.array([[[1, 1, 0]], [[1, 1, 1]]], bool)
    labels = np.zeros((2, 2), int)
    losses = sigmax.cross_entropy(np.zeros((2, 2, 3)), labels, where=where, reduction="none")
    np.testing.assert_allclose(losses, [[LN2, LN2], [LN3, LN3]], rtol=1e-15)


def test_n1_logits_that_are_broadcast_along_an_inner_axis() -> None:
    rows = np.array([[[0.0, 1, 2]], [[9.0, 0, 0]]])
    x, labels = np.broadcast_to(rows, (2, 2, 3)), np.zeros((2, 2), int)
    expected = np.repeat([[2.40760596444438], [np.log1p(2 * np.exp(-9))]], 2, axis=1)
    value, gradient = bits(x, labels, reduction="none")
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    assert gradient.tobytes() == bits(x.copy(), labels, reduction="none")[1].tobytes()


@pytest.mark.parametrize("shape", [(4, 1, 8), (1, 20_000, 8), (4, 1, 1)])
def test_n1_large_arrays_are_not_left(shape: tuple[int, ...]) -> None:
    x = np.broadcast_to(np.zeros(shape, np.float32), (4, 20_000, 8))
    loss = sigmax.cross_entropy(x, np.zeros((4, 20_000), int), where=np.ones((4, 1, 8), bool))
    assert loss == np.float32(np.log(8))


# ---------------------------------------------------------------- N2: labels of masked classes


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
@pytest.mark.parametrize("weight", [[0.5, 2.0], [2.0, 0.0]])
def test_n2_a_label_of_a_masked_class_costs_infinity(smoothing: float, weight: Any) -> None:
    options = {"where": [True, True, False], "label_smoothing": smoothing, "reduction": "none"}
    p, labels = np.array([[0.5, 0.5, 0.0]] * 2), [0, 2]
    losses, gradient = bits(p, labels, from_logits=False, sample_weight=weight, **options)
    of_logits, _ = bits(np.log([[0.5, 0.5, 1.0]] * 2), labels, sample_weight=weight, **options)
    np.testing.assert_allclose(losses, of_logits, rtol=1e-15)
    assert losses[1] == (INF if weight[1] else 0)
    assert (gradient[:, 2] == 0).all()
    assert np.isfinite(gradient).all()


def test_n2_divergence_from_a_masked_class() -> None:
    p, q, where = [[0.5, 0.5, 0.0]], [[0, 0.5, 0.5]], [True, True, False]
    assert sigmax.kl_divergence(p, q, from_logits=False, where=where) == INF
    assert sigmax.kl_divergence([[0.0, 0.0, 9.0]], q, where=where) == INF
    zero = [0.0, 1.0, 1.0]
    assert sigmax.cross_entropy(
        p, q, from_logits=False, where=where, class_weight=[1.0, 1.0, 0.0]
    ) == pytest.approx(LN2)
    assert sigmax.cross_entropy(p, [0], from_logits=False, where=where, class_weight=zero) == 0


def test_n2_divergences_of_rounded_distributions_are_not_negative() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)
    assert sigmax.kl_divergence(x, sigmax.softmax(x), reduction="none").min() >= 0


# ---------------------------------------------------------------- N4: rows and classes that do not count


@pytest.mark.parametrize("hidden", [NAN, INF, -INF])
def test_n4_linear_cross_entropy_leaves_rows_and_classes_out(hidden: float) -> None:
    gradient = both_of(sigmax.linear_cross_entropy)
    features, weight = np.array([[1.0, 2], [hidden, 0]]), np.eye(3, 2)
    _, (d_features, d_weight, _) = gradient(features, weight, [0, -1], ignore_index=-1)
    _, (of_first, expected, _) = gradient(features[:1], weight, [0])
    np.testing.assert_array_equal(d_features, [of_first[0], [0, 0]])
    np.testing.assert_allclose(d_weight, expected, rtol=1e-15)
    weight[2, 0] = hidden
    _, found = gradient(features[:1], weight, [0], where=[True, True, False])
    _, expected = gradient(features[:1], weight[:2], [0])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-15)
    np.testing.assert_allclose(found[1], [*expected[1], [0, 0]], rtol=1e-15)


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence", "distillation_loss"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_n4_rows_of_weight_0(name: str, from_logits: bool) -> None:
    x, q = np.array([[0.25, 0.75], [NAN, INF]]), np.array([[0.5, 0.5], [NAN, -1.0]])
    options: dict[str, Any] = {"sample_weight": [2.0, 0.0]}
    if name != "distillation_loss":
        options["from_logits"] = from_logits
    value, gradient = both_of(getattr(sigmax, name))(x, q, **options)
    options["sample_weight"] = 2.0
    expected, slope = both_of(getattr(sigmax, name))(x[:1], q[:1], **options)
    assert value == expected
    np.testing.assert_array_equal(gradient, [slope[0], [0, 0]])


def test_n4_labels_of_weight_0() -> None:
    x = np.array([[0.0, 1.0], [NAN, 0.0], [0.0, 0.0]])
    value, gradient = bits(x, [1, 0, 99], class_weight=[0.0, 1.0], sample_weight=[1, 1, 0])
    assert value == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-15)
    assert (gradient[1:] == 0).all()


def test_n4_elements_of_weight_0() -> None:
    x, y = np.array([1.0, NAN, INF]), np.array([1.0, NAN, 1.0])
    options = {"sample_weight": [1.0, 0.0, 1.0], "pos_weight": [1.0, 1.0, 0.0]}
    value, gradient = both_of(sigmax.binary_cross_entropy)(x, y, reduction="sum", **options)
    assert value == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-15)
    assert (gradient[1:] == 0).all()


# ---------------------------------------------------------------- N5: arrays of other kinds


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("logits", "logits.data and where=~logits.mask"),
        ("labels", r"labels.filled\(value\)"),
        ("sample_weight", r"sample_weight.filled\(value\)"),
    ],
)
def test_n5_masked_arrays_in_a_list_and_alone(name: str, advice: str) -> None:
    """NumPy reads what they mask; the mask of labels is no mask of classes, though its shape may fit."""
    given = {"logits": np.eye(2), "labels": np.eye(2), "sample_weight": np.ones(2)}
    hidden = np.ma.masked_array(given.pop(name), mask=True)
    alone = [hidden] if name == "sample_weight" else [hidden, list(hidden), (np.ones(2), hidden[1])]
    for values in alone:
        both = {**given, name: values}
        with pytest.raises(TypeError, match=f"{name} is a masked array: pass {advice}"):
            sigmax.cross_entropy(both.pop("logits"), both.pop("labels"), **both)


def test_n5_masked_indices() -> None:
    hidden = np.ma.masked_array([0, 1], mask=[False, True])
    for name, call in (
        ("labels", lambda: sigmax.linear_log_softmax(np.eye(2), np.eye(2), hidden)),
        ("indices", lambda: sigmax.SparseLabels(hidden, np.log([0.5, 0.5]))),
        ("draft_tokens", lambda: sigmax.speculative_accept(np.eye(2), np.eye(3, 2), hidden)),
    ):
        with pytest.raises(TypeError, match=f"{name} is a masked array"):
            call()


# ---------------------------------------------------------------- N6, N7, N8: out, types


@pytest.mark.parametrize("out", [np.empty((3, 1)), np.empty(1, np.float32), np.empty(1, int)])
def test_n6_out_of_another_shape_or_type(out: Any) -> None:
    with pytest.raises(ValueError, match="out must have the"):
        both_of(sigmax.binary_cross_entropy)(np.zeros(1), np.ones(1), out=out)


def test_n6_out_of_linear_softmax() -> None:
    """It took integers, and cut the probabilities off; it read what it had written over."""
    x, weight = np.random.default_rng(0).normal(size=(2, 3, 3))
    for out in (np.empty((3, 3), int), np.empty((3, 3), bool), np.empty((3, 3), "M8[s]")):
        with pytest.raises(TypeError, match="out must hold numbers of type float64"):
            sigmax.linear_softmax(x, weight, out=out)
    expected = sigmax.linear_softmax(x, weight)
    for operand in (x, weight):
        given = {"features": x.copy(), "weight": weight.copy()}
        name = "features" if operand is x else "weight"
        sigmax.linear_softmax(given["features"], given["weight"], out=given[name][::-1])
        np.testing.assert_array_equal(given[name][::-1], expected)


def test_n6_out_in_another_order_of_bytes() -> None:
    x = np.zeros((1, 2), ">f8")
    value, gradient = bits(x, [0], out=x)
    assert gradient is x
    assert value == LN2
    assert x.tolist() == [[-0.5, 0.5]]


def test_n6_outs_that_overlap() -> None:
    out = np.empty((2, 2))
    for places in ((out, out, None), (out, out.T, None), (None, None, out[0])):
        with pytest.raises(ValueError, match="out for"):
            both_of(sigmax.linear_cross_entropy)(np.ones((2, 2)), np.eye(2), [0, 1], out=places)
    for strides in ((0, 8), (8, 0), (4, 16), (12, 8)):
        overlapping = np.lib.stride_tricks.as_strided(np.empty(9), (2, 2), strides)
        with pytest.raises(ValueError, match="must not be broadcast or overlap itself"):
            bits(np.zeros((2, 2)), [0, 1], out=overlapping)
        with pytest.raises(ValueError, match="must not be broadcast or overlap itself"):
            sigmax.softmax(np.zeros((2, 2)), out=overlapping)
    big = np.empty((5, 3, 4))
    for view in (big[::2, 0, ::3], big[::-2, ::2, 1][:2].T, big[3:, 1, 2:0:-1]):
        x = np.zeros(view.shape)
        assert bits(x, [0] * len(view), out=view)[1] is view


def test_n7_small_types() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([0, 1, 1], ml_dtypes.int4)
    assert sigmax.cross_entropy(x, 1) == pytest.approx(0.8619948040582511, rel=1e-15)
    assert sigmax.softmax(x).dtype == sigmax.sigmoid(x).dtype == np.float64
    assert sigmax.cross_entropy(np.zeros((3, 3)), x) == pytest.approx(LN3)
    for name in ("float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float4_e2m1fn"):
        narrow = np.array([0, 1, 0], getattr(ml_dtypes, name))
        with pytest.raises(TypeError, match=f"labels must be real numbers, got dtype {name}: conv"):
            sigmax.cross_entropy(np.zeros(3), narrow)
        with pytest.raises(TypeError, match=f"x must be real numbers, got dtype {name}"):
            sigmax.softmax(narrow)
    half = np.array([[0.5, 0.5]], ml_dtypes.bfloat16)
    assert sigmax.cross_entropy(np.zeros((1, 2), np.float16), half) == np.float16(LN2)


def test_n8_dtype_does_not_narrow_x() -> None:
    assert sigmax.softmax([1e39, 2e39], dtype=np.float32).tolist() == [0, 1]
    assert sigmax.softmax([2**24, 2**24 + 1], dtype=np.float32)[1] == np.float32(0.7310585786300049)


# ---------------------------------------------------------------- N9: each function decided for itself


def test_n9_options_of_one_number() -> None:
    for one in (0.1, np.float32(0.1), np.array(0.1)):
        assert sigmax.binary_cross_entropy([0.0], [0], label_smoothing=one) == pytest.approx(LN2)
        assert sigmax.cross_entropy([0.0, 0.0], 0, label_smoothing=one) == pytest.approx(LN2)
        assert sigmax.cross_entropy([0.0, 0.0], 0, normalizer=np.array(2)) == LN2 / 2
    for option in ("label_smoothing", "normalizer"):
        for wrong in (True, "0.1", [0.1], 1j, None, np.ma.masked_array(0.1)):
            if (option, wrong) == ("normalizer", None):
                continue
            for function in (sigmax.binary_cross_entropy, sigmax.cross_entropy):
                with pytest.raises(TypeError, match=rf"{option} must be a real number|masked"):
                    function([0.0, 0.0], [0, 1], **{option: wrong})


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), np.array(1.0)])
def test_n9_temperature_1_is_the_default(one: Any) -> None:
    assert sigmax.cross_entropy([0.5, 0.5], 0, from_logits=False, temperature=one) == LN2
    assert sigmax.entropy([0.5, 0.5], from_logits=False, temperature=one) == LN2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_n9_one_rounding_above_1(dtype: Any) -> None:
    p = np.array([np.nextafter(dtype(1), dtype(2)), 0], dtype)
    assert sigmax.cross_entropy(p, 0, from_logits=False) == 0
    assert sigmax.cross_entropy(p[::-1], p[::-1], from_logits=False) == 0
    assert sigmax.entropy(p, from_logits=False) == 0
    assert (sigmax.inverse_softmax(p) == [0, -INF]).all()
    assert sigmax.binary_cross_entropy(p, [1, 0], from_logits=False) == 0
    assert sigmax.binary_cross_entropy([9.0, -9.0], p) == pytest.approx(1.2340218972333965e-4)
    assert sigmax.brier_score([p], [0], from_logits=False) == 0
    assert sigmax.smooth_labels(p, 0.0).tolist() == [1, 0]
    for wrong in (dtype(1.01), dtype(-1e-9)):
        with pytest.raises(ValueError, match=r"logits must be in \[0, 1\]"):
            sigmax.cross_entropy(np.array([wrong, 1 - wrong]), 0, from_logits=False)


def test_n9_no_labels() -> None:
    assert sigmax.cross_entropy(np.zeros((0, 3)), []) == 0
    assert sigmax.one_hot([], 3).shape == (0, 3)
    assert sigmax.binary_cross_entropy([], []) == 0


@pytest.mark.parametrize("axis", [None, (0, 1), (0,), 1.0])
def test_n9_one_class_axis(axis: Any) -> None:
    with pytest.raises(TypeError, match="axis must be an int"):
        sigmax.one_hot([1, 0], 3, axis=axis)
    with pytest.raises(TypeError, match="axis must be an int"):
        sigmax.cross_entropy(np.zeros((2, 3)), [0, 1], axis=axis)
    with pytest.raises(TypeError, match="axis must be an int"):
        sigmax.evaluate(np.zeros((2, 3)), [0, 1], axis=axis)


@pytest.mark.parametrize("axis", [np.array([0]), np.array(0.0), 10**400, -3, (0, 10**400)])
@pytest.mark.parametrize("function", [sigmax.softmax, sigmax.logsumexp, sigmax.entropy])
def test_n9_axes(function: Any, axis: Any) -> None:
    with pytest.raises((TypeError, np.exceptions.AxisError), match=r"axis must be (an int|in)"):
        function(np.zeros((2, 3)), axis=axis)
    with pytest.raises((TypeError, np.exceptions.AxisError), match=r"axis must be (an int|in)"):
        sigmax.evaluate(np.zeros((2, 3)), [0, 1], axis=axis)


@pytest.mark.parametrize("option", ["bins", "resamples"])
def test_n9_numbers_of_bins_and_resamples(option: str) -> None:
    x, y = np.zeros((3, 2)), [0, 1, 1]
    for call in (
        lambda **k: sigmax.evaluate(x, y, **k),
        lambda **k: sigmax.compare(x, x, y, **k),
        lambda **k: sigmax.evaluate_binary(x[:, 0], y, **k),
        lambda **k: sigmax.evaluate_by(x, y, [0, 0, 1], **k),
    ):
        with pytest.raises(
            ValueError, match=rf"{option} must be at most 1000000, got 10\^400 or so"
        ):
            call(**{option: 10**400})


@pytest.mark.parametrize("flag", ["False", None, 2, [True]])
def test_n9_flags(flag: Any) -> None:
    for function in (sigmax.cross_entropy, sigmax.binary_cross_entropy, sigmax.evaluate):
        with pytest.raises(TypeError, match="from_logits must be True or False"):
            function(np.full((2, 2), 0.5), np.full((2, 2), 0.5), from_logits=flag)
    with pytest.raises(TypeError, match="keepdims must be True or False"):
        sigmax.logsumexp(np.zeros((2, 2)), keepdims=flag)


def test_n9_numbers_too_large_for_a_float() -> None:
    with pytest.raises(ValueError, match=r"temperature must be in .*, got 10\^400 or so"):
        sigmax.softmax([0.0, 1.0], temperature=10**400)
    with pytest.raises(ValueError, match=r"z_loss must be in .*, got 10\^5000 or so"):
        sigmax.cross_entropy([0.0, 1.0], 0, z_loss=10**5000)


# ---------------------------------------------------------------- N10: warnings, traps, modes


def test_n10_nothing_warns_or_traps() -> None:
    with np.errstate(all="raise"):
        assert sigmax.smooth_labels([1.0, 0.0], 1e-310).tolist() == [1.0, 5e-311]
        assert sigmax.cross_entropy([[0.0, 1000.0]], [0], normalizer=1e-306) == INF
        assert bits([[0.0, 1000.0]], [0], sample_weight=1e-300)[0] == 1000
        big = np.full((3, 4), 1e20, np.float32)
        assert sigmax.linear_cross_entropy(big[:1], big, [0]) == np.float32(LN3)
        for function in (sigmax.fit_temperature, sigmax.fit_vector_scaling, sigmax.evaluate):
            function([[1e-300, 0.0], [0.0, 1.0], [3.0, 0.0]] * 3, [0, 1, 1] * 3)


def test_n10_modes_of_the_caller_change_nothing() -> None:
    """Neither flush-to-zero nor the direction of rounding reaches the steps of NumPy outside the core."""
    core = sigmax._core
    x, weight = np.array([[0.0, 1e-310], [1.0, 0.0], [0.5, 0.1]]), [1e-310, 3e-310, 1e-300]

    def results() -> list[bytes]:
        value, gradient = bits(x, [0, 1, 0], sample_weight=weight, label_smoothing=0.1)
        smooth = sigmax.smooth_labels([[1.0, 0.0]], 1e-310)
        fit = sigmax.fit_temperature(x, [0, 1, 1])
        return [value.tobytes(), gradient.tobytes(), smooth.tobytes(), repr(fit).encode()]

    expected = results()
    before = core.set_float_environment(core.default_float_environment)
    try:
        for mode in (0x8040, 0x2000, 0x4000, 0x6000):  # flush to zero; down, up, towards 0
            core.set_float_environment(core.default_float_environment | mode)
            found = results()
            core.set_float_environment(core.default_float_environment)
            assert found == expected
    finally:
        core.set_float_environment(before)


# ---------------------------------------------------------------- N11: errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: bits(np.zeros((1, 2)), [0], weight=[1, 2]),
            TypeError,
            r"^cross_entropy\(\) got an unexpected keyword argument 'weight'",
        ),
        (
            lambda: both_of(sigmax.linear_cross_entropy)([[0.0]], [[1.0]], [0], axis=0),
            TypeError,
            r"^linear_cross_entropy\(\) got an unexpected keyword argument 'axis'",
        ),
        (
            lambda: sigmax.vjp(sigmax.softmax, np.zeros(2), np.zeros(2), dim=0),
            TypeError,
            "softmax has no option 'dim'",
        ),
        (
            lambda: bits(np.zeros((1, 2)), [0], out=np.broadcast_to(np.zeros(2), (1, 2))),
            ValueError,
            "out is read-only",
        ),
        (
            lambda: sigmax.logsumexp(np.zeros((2, 3)), keepdims=True, out=np.empty(2)),
            ValueError,
            r"out must have the shape \(2, 1\), got shape \(2,\)",
        ),
        (
            lambda: sigmax.softmax(np.zeros((2, 3)), out=np.empty(2)),
            ValueError,
            r"out must have the shape \(2, 3\), got shape \(2,\)",
        ),
        (
            lambda: sigmax.softmax(np.zeros(3), out=np.zeros(3, int)),
            TypeError,
            "out must hold numbers of type float64, got type int",
        ),
        (
            lambda: sigmax.softmax([[1.0, 2.0], [3.0]]),
            ValueError,
            "x must be an array",
        ),
    ],
)
def test_n11_errors_name_what_is_public(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        call()
    assert " _" not in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["1", "2"], np.dtypes.StringDType()),
        np.array([1, 2], object),
        np.array([1, 2], np.longdouble),
    ],
)
def test_n11_types_are_named(values: Any) -> None:
    with pytest.raises(
        TypeError, match=r"logits must be real numbers, got dtype (String|object: |f)"
    ):
        sigmax.cross_entropy(values, 0)


# ---------------------------------------------------------------- N12: weights far from 1


MEASURES = {
    "evaluate": lambda x, y, w: sigmax.evaluate(x, y, sample_weight=w, resamples=20).ece,
    "evaluate_binary": lambda x, y, w: (
        sigmax.evaluate_binary(x[:, 0], y, sample_weight=w, resamples=20).ece
    ),
    "corp_curve": lambda x, y, w: sigmax.corp_curve(x, y, sample_weight=w, resamples=20),
    "decompose": lambda x, y, w: sigmax.decompose(x, y, sample_weight=w, resamples=20).loss,
    "compare": lambda x, y, w: sigmax.compare(x, 2 * x, y, sample_weight=w, resamples=20).base.ece,
}


@pytest.mark.parametrize("name", MEASURES)
def test_n12_weights_whose_squares_are_0_or_infinite(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y, few = rng.integers(0, 2, 80), np.arange(80) % 4 == 0
    x[few] *= 20  # in cells of their own
    measure = MEASURES[name]
    ones = np.ones(80)
    expected = getattr(measure(x, y, ones), "miscalibration", measure(x, y, ones))
    for scale in (2.0**-560, 2.0**530, 2.0**1023):
        found = measure(x, y, ones * scale)
        assert getattr(found, "miscalibration", found) == expected
    without = measure(x[~few], y[~few], ones[~few])
    for tiny in (1e-200, 1e-320):
        found = measure(x, y, np.where(few, tiny, 2.0**900 if tiny < 1e-300 else 1.0))
        assert getattr(found, "miscalibration", found) == pytest.approx(
            getattr(without, "miscalibration", without), rel=1e-9
        )


def test_n12_counts_are_in_the_weights_as_given() -> None:
    found = sigmax.evaluate_binary([1.0, -1.0], [1, 0], sample_weight=[2e200, 1e200], resamples=2)
    assert found.confusion == {"tp": 2e200, "fp": 0.0, "fn": 0.0, "tn": 1e200}
    assert found.positives == 2e200
    assert found.base_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
@pytest.mark.parametrize("fit", [sigmax.fit_platt, sigmax.fit_beta])
def test_n12_logits_whose_squares_are_0_or_infinite(fit: Any, scale: float) -> None:
    """NumPy's least squares did not converge."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    if fit is sigmax.fit_beta and scale < 1:
        assert fit(x * scale, x + rng.normal(size=60) > 0).status == "ok"
        return
    with pytest.raises(ValueError, match="logits must have squares that float64 holds"):
        fit(x * scale, x + rng.normal(size=60) > 0)


@pytest.mark.parametrize("k", [0, -1, 99, 10**400])
def test_n11_numbers_of_classes(k: int) -> None:
    with pytest.raises(ValueError, match=r"k must be in \[1, 3\]"):
        sigmax.SparseLabels.from_logits(np.zeros((2, 3)), k)
    if k > 3:
        with pytest.raises(ValueError, match="num_classes must be less than 2"):
            sigmax.one_hot([0], max(k, 2**31))


# ---------------------------------------------------------------- N13, N14


def test_n13_weights_of_logsumexp() -> None:
    x, w = np.zeros(3, np.float32), np.array([1.0, 2, 1])
    assert sigmax.logsumexp(x, weights=w).dtype == np.float64
    assert sigmax.logsumexp(x, weights=w.astype(np.float16)).dtype == np.float32
    assert sigmax.logsumexp(x, weights=[1, 2, 1]).dtype == np.float32
    assert sigmax.logsumexp(x, weights=2.0) == np.float32(np.log(6))
    rows = sigmax.logsumexp(x, weights=[[1.0, 2, 1], [0, 0, 1]])
    np.testing.assert_allclose(rows, [np.log(4), 0], rtol=1e-15)
    slope = sigmax.vjp(sigmax.logsumexp, x, [1.0, 1.0], weights=[[1.0, 2, 1], [0, 0, 1]])
    np.testing.assert_allclose(slope, [0.25, 0.5, 1.25], rtol=1e-15)
    with pytest.raises(ValueError, match="weights of the shape"):
        sigmax.logsumexp(x, weights=[1.0, 2.0])


def test_n13_the_gradient_has_the_common_type() -> None:
    slope = sigmax.vjp(sigmax.sigmoid, np.zeros(1, np.float32), np.array([1e300]))
    assert slope.dtype == np.float64
    assert slope == 2.5e299


@pytest.mark.parametrize("function", [sigmax.softmax, sigmax.logsumexp, sigmax.entropy])
def test_n13_scalars(function: Any) -> None:
    for x in (5.0, np.float32(5), np.array(5.0)):
        assert isinstance(function(x, axis=None), np.floating)


LOSSES = [
    sigmax.binary_cross_entropy,
    sigmax.cross_entropy,
    sigmax.kl_divergence,
    sigmax.distillation_loss,
    sigmax.linear_cross_entropy,
]


@pytest.mark.parametrize("loss", LOSSES)
def test_n14_value_and_grad_is_like_the_loss(loss: Any) -> None:
    both = sigmax.value_and_grad(loss)
    assert pickle.loads(pickle.dumps(both)) is both
    assert pickle.loads(pickle.dumps(loss)) is loss
    assert both.__name__ == loss.__name__
    *own, out = inspect.signature(both).parameters.values()
    assert own == list(inspect.signature(loss).parameters.values())
    assert (out.name, out.kind, out.default) == ("out", out.KEYWORD_ONLY, None)
