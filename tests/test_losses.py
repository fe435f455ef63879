"""Losses: every pair of options against the definitions, what must not change, limits, bits, errors."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from accuracy_cases import as_float, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from kernel_inputs import TYPES
from layouts import WRITABLE, class_axis_first, read_only, same
from loss_cases import (
    BOTH,
    CLASSES,
    EPS,
    HARD,
    HOT,
    INF,
    NAN,
    SAMPLE_WEIGHT,
    P,
    X,
    arrange,
    assert_close,
    batch,
    changed,
    check,
    combinations,
    distributions,
    divisor,
    labels_of,
    make,
    options_of,
    with_gradient,
)

import sigmax

LN2 = math.log(2)

every_type = pytest.mark.parametrize("dtype", TYPES)


# ---------------------------------------------------------------- every pair of options

every_cross_entropy = pytest.mark.parametrize("o", combinations("cross_entropy"))
every_kl_divergence = pytest.mark.parametrize("o", combinations("kl_divergence"))


@every_cross_entropy
def test_cross_entropy(o: dict[str, Any]) -> None:
    of_probabilities = "" if o["from_logits"] else "_of_probabilities"
    check("cross_entropy", f"cross_entropy{of_probabilities}", o)


@every_kl_divergence
def test_kl_divergence(o: dict[str, Any]) -> None:
    of_probabilities = "" if o["from_logits"] else "_of_probabilities"
    check("kl_divergence", f"kl_divergence{of_probabilities}", o)


# ---------------------------------------------------------------- what must not change anything


def one_hot_rows(o: dict[str, Any]) -> bool:
    return o["labels"] in HARD and o["ignore_index"] != -100


@pytest.mark.parametrize("o", [c for c in combinations("cross_entropy") if one_hot_rows(*c.values)])
def test_class_indices_one_hot_and_distributions_agree(o: dict[str, Any]) -> None:
    rows = make(o)
    x, options = arrange(rows.x, o), options_of(rows, o)
    value, gradient = with_gradient("cross_entropy", x, labels_of(rows, o), **options)
    hot = np.arange(CLASSES) == rows.index[:, None]
    size = np.abs(as_float(gradient)).max()
    for kind in (bool, np.uint8, np.int64, x.dtype, float):
        labels = arrange(hot.astype(kind), o)
        other, other_gradient = with_gradient("cross_entropy", x, labels, **options)
        assert_close(other, value, 2)
        assert_close(other_gradient, gradient, 2, size)


@every_cross_entropy
def test_reductions_agree(o: dict[str, Any]) -> None:
    rows = make(o)
    x, options = arrange(rows.x, o), options_of(rows, o)
    of = partial(with_gradient, "cross_entropy", x, labels_of(rows, o))
    d = divisor("cross_entropy", rows, {**o, "reduction": "mean"})
    options.pop("normalizer", None)
    each, gradient = of(**options | {"reduction": "none"})
    together, same_gradient = of(**options | {"reduction": "sum"})
    assert same(gradient, same_gradient)
    mean, gradient_of_mean = of(**options | {"reduction": "mean"})
    with_normalizer = of(**options | {"reduction": "mean", "normalizer": d})
    assert same(mean, with_normalizer[0])
    assert same(gradient_of_mean, with_normalizer[1])
    wide = as_float(np.asarray(each))
    kind = TYPES[o["dtype"]]
    assert_close(together, kind(wide.sum()), 2, np.abs(wide).sum())
    assert_close(mean, kind(wide.sum() / d), 2, np.abs(wide).sum() / d)
    assert_close(gradient_of_mean, (as_float(gradient) / d).astype(kind), 2)


@pytest.mark.parametrize("classes", [3, 33, 1000])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_shared_offset(labels: str, classes: int) -> None:
    """Logits are multiples of 1/64: the sum is exact."""
    x = np.round(batch(6, classes) * 64) / 64
    q = np.arange(6) % classes if labels == "hard" else distributions(x)
    for function in ("cross_entropy", "kl_divergence")[: 1 + (labels == "soft")]:
        value, gradient = with_gradient(function, x, q, reduction="none")
        for offset in (1e8, -1e8, 3.0):
            shifted, same_gradient = with_gradient(function, x + offset, q, reduction="none")
            assert_close(shifted, value, 2)
            assert_close(same_gradient, gradient, 2, np.abs(gradient).max(axis=1, keepdims=True))


@pytest.mark.parametrize("classes", [5, 33, 100])
def test_where_is_the_call_on_what_is_left(classes: int) -> None:
    x = batch(6, classes)
    mask = generator("mask", classes).random(classes) < 0.6
    mask[:3] = True
    index, w = np.arange(6) % 3, generator("weights").uniform(0.5, 2, classes)
    q = np.where(mask, distributions(x), 0)
    q /= q.sum(axis=1, keepdims=True)
    options = {"label_smoothing": 0.1, "z_loss": 1e-3, "temperature": 2.0}
    for labels, left in ((index, index), (q, q[:, mask])):
        value, gradient = with_gradient(
            "cross_entropy", x, labels, where=mask, class_weight=w, **options
        )
        expected, part = with_gradient(
            "cross_entropy", x[:, mask], left, class_weight=w[mask], **options
        )
        assert_close(value, expected)
        assert_close(gradient[:, mask], part, 4, np.abs(part).max())
        assert (gradient[:, ~mask] == 0).all()
    for labels, left in ((q, q[:, mask]), (-x, -x[:, mask])):
        options = {"labels_from_logits": labels is not q}
        value, gradient = with_gradient("kl_divergence", x, labels, where=mask, **options)
        expected, part = with_gradient("kl_divergence", x[:, mask], left, **options)
        assert_close(value, expected)
        assert_close(gradient[:, mask], part, 4, np.abs(part).max())
        assert (gradient[:, ~mask] == 0).all()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("hidden", [NAN, INF, -INF, 1e300])
def test_where_hides_anything(hidden: float, from_logits: bool) -> None:
    mask = np.arange(6) % 3 != 1
    x = np.where(mask, batch(4, 6), -INF)
    x = x if from_logits else sigmax.softmax(x)
    options = {"where": mask, "from_logits": from_logits, "label_smoothing": 0.1}
    expected = with_gradient("cross_entropy", x, [0, 2, 3, 5], **options)
    x[:, ~mask] = hidden
    result = with_gradient("cross_entropy", x, [0, 2, 3, 5], **options)
    for found, wanted in zip(result, expected, strict=True):
        assert same(found, wanted)


@every_type
def test_order_of_rows(dtype: str) -> None:
    x = batch(50, 10, dtype=dtype)
    labels, s = np.arange(50) % 10, np.resize(SAMPLE_WEIGHT["positive"], 50)
    order = generator("order").permutation(50)
    options = {"reduction": "none", "label_smoothing": 0.1, "class_weight": np.arange(10) / 4}
    results = with_gradient("cross_entropy", x, labels, sample_weight=s, **options)
    permuted = with_gradient(
        "cross_entropy", x[order], labels[order], sample_weight=s[order], **options
    )
    for result, other in zip(results, permuted, strict=True):
        assert same(result[order], other)
    mean = sigmax.cross_entropy(x, labels, sample_weight=s)
    assert_close(sigmax.cross_entropy(x[order], labels[order], sample_weight=s[order]), mean, 1)


@pytest.mark.parametrize("labels", ["hard", "soft", "smooth"])
def test_rows_of_weight_0_count_for_nothing(labels: str) -> None:
    x = batch(6, 5)
    q = {"hard": np.arange(6) % 5, "soft": distributions(x), "smooth": np.arange(6) % 5}[labels]
    options = {"label_smoothing": 0.1} if labels == "smooth" else {}
    s = np.array([1.0, 0, 2, 0, 0, 0.5])
    value, gradient = with_gradient("cross_entropy", x, q, sample_weight=s, **options)
    left = s != 0
    expected, part = with_gradient(
        "cross_entropy", x[left], q[left], sample_weight=s[left], **options
    )
    assert_close(value, expected, 2)
    assert (gradient[~left] == 0).all()
    assert_close(gradient[left], part, 2)


def test_integer_sample_weights_repeat_rows() -> None:
    x, labels, counts = batch(6, 5), np.arange(6) % 5, np.array([1, 2, 0, 3, 1, 1])
    value, gradient = with_gradient("cross_entropy", x, labels, sample_weight=counts)
    repeated = sigmax.cross_entropy(np.repeat(x, counts, 0), np.repeat(labels, counts))
    assert_close(value, repeated)
    negative = with_gradient("cross_entropy", x, labels, sample_weight=-counts, reduction="sum")
    assert_close(
        negative[0], -sigmax.cross_entropy(x, labels, sample_weight=counts, reduction="sum")
    )
    assert_close(negative[1] / -counts.sum(), gradient)


@pytest.mark.parametrize("classes", [2, 10, 200])
def test_ignored_rows(classes: int) -> None:
    """Their logits, NaN and infinity included, count for nothing; no index of a narrow type wraps to one."""
    x = batch(8, classes)
    labels = (np.arange(8) * 156 % classes).astype(np.int64)
    ignored = np.arange(8) % 3 == 1
    labels[ignored] = -100
    options = {"label_smoothing": 0.1, "z_loss": 1e-3, "temperature": 2.0}
    expected, part = with_gradient("cross_entropy", x[~ignored], labels[~ignored], **options)
    for hidden in (0.0, NAN, INF, -INF):
        x[ignored] = hidden
        value, gradient = with_gradient("cross_entropy", x, labels, ignore_index=-100, **options)
        assert_close(value, expected, 2)
        assert_close(gradient[~ignored], part, 2)
        assert (gradient[ignored] == 0).all()
        each = sigmax.cross_entropy(x, labels, ignore_index=-100, reduction="none")
        assert (each[ignored] == 0).all()
    unsigned = labels[~ignored].astype(np.uint8)
    value = sigmax.cross_entropy(x[~ignored], unsigned, ignore_index=-100, **options)
    assert same(value, expected)


def test_ignored_class_of_distributions() -> None:
    """Only rows whose whole mass is on it."""
    x = batch(4, 3)
    q = np.array([[0, 1, 0], [0.5, 0.5, 0], [0, 0, 1], [0.25, 0, 0.75]])
    left = [1, 2, 3]
    value, gradient = with_gradient("cross_entropy", x, q, ignore_index=1)
    expected, part = with_gradient("cross_entropy", x[left], q[left])
    assert_close(value, expected, 2)
    assert (gradient[0] == 0).all()
    assert_close(gradient[left], part, 2)
    x[0] = NAN
    assert same(sigmax.cross_entropy(x, q, ignore_index=1), value)


@every_type
def test_nothing_left(dtype: str) -> None:
    kind = TYPES[dtype]
    cases = [
        (batch(3, 4, dtype=dtype), np.full(3, -1), {"ignore_index": -1}),
        (np.full((3, 4), NAN, kind), np.full(3, 2), {"ignore_index": 2}),
        (batch(3, 4, dtype=dtype), np.eye(4)[[2] * 3], {"ignore_index": 2}),
        (np.zeros((0, 4), kind), np.zeros(0, int), {}),
        (np.zeros((0, 4), kind), np.zeros((0, 4)), {}),
        (batch(3, 4, dtype=dtype), np.arange(3), {"sample_weight": np.zeros(3)}),
        (batch(3, 4, dtype=dtype), np.full(3, 1), {"class_weight": [1, 0, 1, 1]}),
        (np.full((3, 4), -INF, kind), np.arange(3), {"sample_weight": np.zeros(3), "z_loss": 0.1}),
    ]
    for x, labels, options in cases:
        value, gradient = with_gradient("cross_entropy", x, labels, **options)
        assert same(value, kind(0))
        assert same(gradient, np.zeros_like(x))


# ---------------------------------------------------------------- relations between the losses


@every_type
def test_divergence_is_cross_entropy_less_entropy(dtype: str) -> None:
    x = batch(6, 10, dtype=dtype)
    q = distributions(x)
    size = as_float(sigmax.cross_entropy(x, q, reduction="none"))
    divergence, gradient = with_gradient("kl_divergence", x, q, reduction="none")
    h = sigmax.entropy(q, from_logits=False)
    assert_close((size - as_float(h)).astype(x.dtype), divergence, 3, size)
    other = with_gradient("cross_entropy", x, q, reduction="none")[1]
    assert_close(gradient, other, 1, np.abs(as_float(other)).max(axis=1, keepdims=True))


@every_type
@pytest.mark.parametrize("classes", [1, 2, 33, 1000])
def test_divergence_from_itself_is_0(classes: int, dtype: str) -> None:
    x = batch(6, classes, dtype=dtype)
    for t in (1.0, 2.5):
        value, gradient = with_gradient(
            "kl_divergence", x, x, labels_from_logits=True, temperature=t, reduction="none"
        )
        assert (value == 0).all()
        assert (gradient == 0).all()


# ---------------------------------------------------------------- limits

# logits, distribution over the classes, options, loss, gradient
LIMITS: list[tuple[list[float], list[float], dict[str, Any], float, list[float]]] = [
    ([0, -INF], [1, 0], {}, 0, [0, 0]),
    ([0, -INF], [0, 1], {}, INF, [1, -1]),
    ([0, -INF], [0.5, 0.5], {}, INF, [0.5, -0.5]),
    ([0, 0], [1, 0], {}, LN2, [-0.5, 0.5]),
    ([0, 0, -INF], [0.5, 0.5, 0], {}, LN2, [0, 0, 0]),
    ([INF, 0], [1, 0], {}, 0, [0, 0]),
    ([INF, 0], [0, 1], {}, INF, [1, -1]),
    ([INF, INF, 3], [1, 0, 0], {}, LN2, [-0.5, 0.5, 0]),
    ([INF, INF, 3], [0.5, 0.5, 0], {}, LN2, [0, 0, 0]),
    ([-INF, -INF], [1, 0], {}, INF, [0, 0]),
    ([-INF, -INF], [1, 0], {"class_weight": [0, 1]}, 0, [0, 0]),
    ([-INF, -INF], [1, 0], {"sample_weight": 0}, 0, [0, 0]),
    ([0, -INF], [0, 1], {"class_weight": [1, 0]}, 0, [0, 0]),
    ([0, -INF], [0, 1], {"sample_weight": 0}, 0, [0, 0]),
    ([0, -INF], [0, 1], {"sample_weight": -1}, -INF, [-1, 1]),
    ([0, -INF], [0, 1], {"temperature": 2.0}, INF, [0.5, -0.5]),
    ([0, -INF], [1, 0], {"where": [True, False], "label_smoothing": 0.5}, 0, [0, 0]),
    ([0, 5], [0, 1], {"where": [True, False]}, INF, [1, 0]),
    ([0, NAN], [1, 0], {"where": [True, False]}, 0, [0, 0]),
    ([NAN, NAN], [1, 0], {"where": [False, False]}, INF, [0, 0]),
    ([NAN, 0], [0, 1], {}, NAN, [NAN, NAN]),
    ([NAN, INF], [0, 1], {}, NAN, [NAN, NAN]),
    ([NAN, -INF], [0.5, 0.5], {}, NAN, [NAN, NAN]),
    ([NAN, 0, 5], [1, 0, 0], {"where": [True, True, False]}, NAN, [NAN, NAN, 0]),
]
LENGTHS = (0, 32, 33, 1000, 5003)


def lengthened(values: Any, length: int, fill: Any) -> np.ndarray:
    """One row, longer by classes that do not count; other values as they are."""
    if np.ndim(values) == 0:
        return values
    return np.concatenate([values, np.full(max(0, length - len(values)), fill)])


@every_type
@pytest.mark.parametrize(("x", "q", "options", "loss", "gradient"), LIMITS)
def test_limits(x, q, options, loss, gradient, dtype: str) -> None:
    nan = np.isnan(loss)
    for length in LENGTHS:
        fill = {"class_weight": 1, "where": False}
        row = lengthened(np.array(x, TYPES[dtype]), length, TYPES[dtype](-INF))[None]
        kept = {k: lengthened(v, length, fill.get(k)) for k, v in options.items()}
        if "sample_weight" in kept:
            kept["sample_weight"] = np.array([kept["sample_weight"]], float)
        if nan and "where" not in kept:  # the gradients of the others are NaN but for the mask
            kept["where"] = lengthened([True] * len(x), length, False)
        labels = [lengthened(np.array(q, float), length, 0.0)[None]]
        if max(q) == 1:
            labels.append(np.array([np.argmax(q)]))
        for label in labels:
            value, found = with_gradient("cross_entropy", row, label, reduction="none", **kept)
            np.testing.assert_allclose(as_float(value), [loss], rtol=EPS[dtype])
            expected = lengthened(np.array(gradient, float), length, 0.0)[None]
            np.testing.assert_array_equal(as_float(found), expected)


@every_type
@pytest.mark.parametrize(
    ("p", "q", "loss", "gradient"),
    [
        ([1, 0], [1, 0], 0, [-1, 0]),
        ([1, 0], [0, 1], INF, [0, -INF]),
        ([0.5, 0.5], [0.5, 0.5], LN2, [-1, -1]),
        ([0.5, 0.5, 0], [1, 0, 0], LN2, [-2, 0, 0]),
    ],
)
def test_limits_of_probabilities(p, q, loss, gradient, dtype: str) -> None:
    p, q = np.array([p], TYPES[dtype]), np.array([q], TYPES[dtype])
    value, found = with_gradient("cross_entropy", p, q, from_logits=False)
    np.testing.assert_allclose(float(value), loss, rtol=EPS[dtype])
    np.testing.assert_array_equal(as_float(found)[0], gradient)


@every_type
@pytest.mark.parametrize(
    ("x", "labels", "from_logits", "loss", "gradient"),
    [
        ([0, -INF], [1, 0], False, 0, [0, 0]),
        ([0, -INF], [0.5, 0.5], False, INF, [0.5, -0.5]),
        ([0, 0], [1, 0], False, LN2, [-0.5, 0.5]),
        ([0, 0], [0.5, 0.5], False, 0, [0, 0]),
        ([-INF, -INF], [1, 0], False, INF, [0, 0]),
        ([INF, INF, 0], [0.5, 0.5, 0], False, 0, [0, 0, 0]),
        ([0, 0], [0, -INF], True, LN2, [-0.5, 0.5]),
        ([0, -INF], [0, -INF], True, 0, [0, 0]),
        ([0, -INF], [0, 0], True, INF, [0.5, -0.5]),
        ([-INF, -INF], [-INF, -INF], True, 0, [0, 0]),
        ([0, 0], [-INF, -INF], True, 0, [0, 0]),
        ([0, 0], [INF, 3], True, LN2, [-0.5, 0.5]),
        ([INF, INF], [3, 3], True, 0, [0, 0]),
        ([NAN, 0], [0.5, 0.5], False, NAN, [NAN, NAN]),
        ([0, 0], [NAN, 0], True, NAN, [NAN, NAN]),
    ],
)
def test_limits_of_divergences(x, labels, from_logits, loss, gradient, dtype: str) -> None:
    for length in LENGTHS if not np.isnan(loss) else (0,):
        row = lengthened(np.array(x, TYPES[dtype]), length, TYPES[dtype](-INF))[None]
        fill = TYPES[dtype](-INF if from_logits else 0)
        label = lengthened(np.array(labels, TYPES[dtype]), length, fill)[None]
        value, found = with_gradient("kl_divergence", row, label, labels_from_logits=from_logits)
        np.testing.assert_allclose(float(value), loss, rtol=EPS[dtype])
        expected = lengthened(np.array(gradient, float), length, 0.0)
        np.testing.assert_array_equal(as_float(found)[0], expected)


@pytest.mark.parametrize("classes", [2, 33, 1000])
def test_nan_only_in_its_row(classes: int) -> None:
    x, labels = batch(4, classes), np.arange(4) % classes
    expected = with_gradient("cross_entropy", x, labels, reduction="none")
    x[1, classes // 2] = NAN
    for result, wanted in zip(
        with_gradient("cross_entropy", x, labels, reduction="none"), expected, strict=True
    ):
        assert np.isnan(result[1]).all()
        assert same(np.delete(result, 1, 0), np.delete(wanted, 1, 0))
    assert np.isnan(sigmax.cross_entropy(x, labels))


# ---------------------------------------------------------------- range


@pytest.mark.parametrize("margin", [20.0, 50.0, 69.0, 87.0])
@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_confident_rows_keep_their_digits(classes: int, margin: float) -> None:
    """A loss of 1e-30 in float32, to the last place, and the target's gradient beside it."""
    x = np.full((1, classes), -INF, np.float32)
    x[0, [0, -1]] = margin, 0
    q = np.eye(classes, dtype=np.float32)[:1]
    others = math.exp(-margin)
    for labels in ([0], q):
        value, gradient = with_gradient("cross_entropy", x, labels)
        assert_close(value, np.float32(math.log1p(others)), 1)
        assert_close(
            gradient[0, [0, -1]], np.float32([-others, others]) / np.float32(1 + others), 1
        )
    divergence = sigmax.kl_divergence(x, q)
    assert_close(divergence, np.float32(math.log1p(others)), 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mean_of_many_half_precision_rows(dtype: str) -> None:
    """Neither the sum nor the number of rows is a float16."""
    x = batch(70_000, 3, dtype=dtype)
    labels = np.arange(len(x)) % 3
    expected = sigmax.cross_entropy(x.astype(np.float64), labels)
    value, gradient = with_gradient("cross_entropy", x, labels)
    assert_close(value, TYPES[dtype](expected), 0)
    assert_close(
        gradient[0], with_gradient("cross_entropy", x[:1], labels[:1], normalizer=70_000.0)[1][0], 0
    )
    together = sigmax.cross_entropy(x, labels, reduction="sum")
    with np.errstate(over="ignore"):
        assert_close(together, TYPES[dtype](expected * 70_000), 0)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_smoothing_over_many_classes(dtype: str) -> None:
    """ε/C is subnormal in float16."""
    x = batch(2, 50_257, dtype=dtype)
    labels = [7, 50_000]
    value, gradient = with_gradient(
        "cross_entropy", x, labels, label_smoothing=0.1, reduction="none"
    )
    wide = with_gradient(
        "cross_entropy", x.astype(np.float64), labels, label_smoothing=0.1, reduction="none"
    )
    log_p = sigmax.log_softmax(x.astype(np.float64))
    expected = -0.9 * log_p[[0, 1], labels] - 0.1 * log_p.mean(axis=1)
    np.testing.assert_allclose(wide[0], expected, rtol=1e-13)
    assert_close(value, expected.astype(x.dtype), 1)
    assert_close(gradient, wide[1].astype(x.dtype), 1)


def test_z_loss_is_the_square_of_logsumexp() -> None:
    x, labels = batch(6, 10), np.arange(6)
    plain = with_gradient("cross_entropy", x, labels, reduction="none", temperature=2.0)
    value, gradient = with_gradient(
        "cross_entropy", x, labels, reduction="none", temperature=2.0, z_loss=0.25
    )
    lse = sigmax.logsumexp(x, temperature=2.0)
    assert_close(value, plain[0] + 0.25 * lse**2)
    expected = plain[1] + sigmax.vjp(sigmax.logsumexp, x, 0.5 * lse, temperature=2.0)
    assert_close(gradient, expected, 4, np.abs(expected).max())


@every_type
def test_no_warnings(dtype: str) -> None:
    rows = [[INF, 0, INF], [-INF] * 3, [NAN, 0, 1], [5e4, -5e4, 0], [1e-7, 0, 1], [-90, 0, -80]]
    with np.errstate(all="ignore"):
        x = np.array(rows, TYPES[dtype])
    with np.errstate(all="raise"):
        for columns in (1, 20, 2000):
            wide = np.tile(x, columns)
            for labels in (np.arange(6) % 3, np.eye(wide.shape[1])[[0, 1, 2, 0, 1, 2]]):
                for options in (
                    {},
                    {"z_loss": 0.1},
                    {"label_smoothing": 0.1},
                    {"temperature": 0.01},
                ):
                    for reduction in ("none", "sum", "mean"):
                        with_gradient("cross_entropy", wide, labels, reduction=reduction, **options)
            with_gradient("kl_divergence", wide, wide[::-1], labels_from_logits=True)
        p = np.array([[1, 0], [0.5, 0.5]], TYPES[dtype])
        with_gradient("cross_entropy", p, [1, 0], from_logits=False)


# ---------------------------------------------------------------- types and other arrays


@pytest.mark.parametrize("kind", ["?", "b", "B", "h", "i", "I", "q", "Q"])
def test_integer_logits_become_float64(kind: str) -> None:
    x = np.array([[0, 1, 1], [1, 0, 0]], kind)
    wide = x.astype(np.float64)
    for result, expected in zip(
        with_gradient("cross_entropy", x, [1, 2]),
        with_gradient("cross_entropy", wide, [1, 2]),
        strict=True,
    ):
        assert same(result, expected)
    assert same(sigmax.kl_divergence(x, x, labels_from_logits=True), np.float64(0))


def test_lists_and_scalars() -> None:
    value, gradient = with_gradient("cross_entropy", [0.0, 0.0], 1)
    assert same(value, np.log(2.0))
    assert same(gradient, np.array([0.5, -0.5]))
    assert same(sigmax.cross_entropy([0.0, 0.0], [0.5, 0.5]), np.log(2.0))


def test_labels_of_another_type_keep_the_type_of_the_logits() -> None:
    x = batch(6, 5, dtype="float32")
    q = distributions(x)
    for labels in (q, q.astype(np.float64), q.tolist()):
        value, gradient = with_gradient("cross_entropy", x, labels)
        assert value.dtype == gradient.dtype == np.float32
        assert_close(value, sigmax.cross_entropy(x, q), 1)


def test_dask() -> None:
    da = pytest.importorskip("dask.array")
    x, labels = batch(8, 5), np.arange(8) % 5
    lazy, lazy_labels = da.from_array(x, chunks=(3, 5)), da.from_array(labels, chunks=3)
    for reduction in ("none", "mean"):
        result = np.asarray(sigmax.cross_entropy(lazy, lazy_labels, reduction=reduction))
        assert_close(result, sigmax.cross_entropy(x, labels, reduction=reduction), 1)


# ---------------------------------------------------------------- the same bits

BIT_CLASSES = (1, 2, 3, 10, 16, 33, 100, 1000, 5003)


def bit_cases(name: str, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Logits, labels and options, with 17 rows."""
    kind = name.split()[1]
    for classes in BIT_CLASSES:
        x = batch(17, classes, dtype=dtype, name=f"{name}{dtype}{classes}")
        x[1] *= TYPES[dtype](100)
        x[2, 0] += TYPES[dtype](20)
        x[3, -1] = INF
        x[4] = -INF
        x[5, ::2] = -INF
        x[6, -1] = NAN
        x[7] = TYPES[dtype](0.75)
        options: dict[str, Any] = {"reduction": "none"}
        if kind == "index":
            labels: np.ndarray = np.arange(17) % classes
        elif kind == "logits":
            labels, options["labels_from_logits"] = x[::-1].copy(), True
        else:
            labels = distributions(batch(17, classes, dtype=dtype))
        if kind == "options":
            options |= {
                "label_smoothing": 0.1,
                "class_weight": np.arange(classes) % 4 / 2 + 0.5,
                "z_loss": 1e-3,
            }
        yield x, labels, options


BITS = ["cross_entropy index", "cross_entropy distribution", "cross_entropy options"]
BITS += ["kl_divergence distribution", "kl_divergence logits"]
every_bit_case = pytest.mark.parametrize("name", BITS)


def expect(
    name: str, x: np.ndarray, labels: np.ndarray, options: dict[str, Any], expected: Any, what: Any
) -> None:
    for result, wanted in zip(
        with_gradient(name.split()[0], x, labels, **options), expected, strict=True
    ):
        assert same(result, wanted), what


@every_type
@every_bit_case
def test_a_row_alone(name: str, dtype: str) -> None:
    for x, labels, options in bit_cases(name, dtype):
        values, gradients = with_gradient(name.split()[0], x, labels, **options)
        for i in range(len(x)):
            alone = values[i], gradients[i]
            expect(name, x[i], labels[i], options, alone, f"row {i} of {x.shape[1]} classes")


@every_type
@every_bit_case
def test_batches_and_threads(name: str, dtype: str) -> None:
    for x, labels, options in bit_cases(name, dtype):
        expected = with_gradient(name.split()[0], x, labels, **options)
        order = generator(name).integers(0, len(x), max(len(x), 60_000 // x.shape[1]))
        for count in (1, 2, 3):
            sigmax.set_num_threads(count)
            wanted = [e[order] for e in expected]
            expect(name, x[order], labels[order], options, wanted, (x.shape[1], count))


@every_type
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions_and_threads(reduction: str, dtype: str) -> None:
    x, labels = batch(50_000, 7, dtype=dtype), np.arange(50_000) % 7
    results = []
    for count in (1, 2, 3):
        sigmax.set_num_threads(count)
        results.append(with_gradient("cross_entropy", x, labels, reduction=reduction))
    for value, gradient in results[1:]:
        assert same(value, results[0][0])
        assert same(gradient, results[0][1])
    first = class_axis_first(x).T.copy()
    assert same(sigmax.cross_entropy(first, labels, axis=0, reduction=reduction), results[0][0])


@every_type
@every_bit_case
def test_layouts(name: str, dtype: str) -> None:
    for x, labels, options in bit_cases(name, dtype):
        expected = with_gradient(name.split()[0], x, labels, **options)
        for layout in (*WRITABLE, read_only):
            what = f"{layout.__name__}, {x.shape}"
            expect(name, layout(x), layout(labels), options, expected, what)
            expect(name, layout(x), labels, options, expected, f"only x {what}")
            expect(name, x, layout(labels), options, expected, f"only labels {what}")


@every_type
@every_bit_case
def test_axis(name: str, dtype: str) -> None:
    for x, labels, options in bit_cases(name, dtype):
        value, gradient = with_gradient(name.split()[0], x, labels, **options)
        turned = labels.T if labels.ndim == 2 else labels
        expect(name, x.T, turned, {**options, "axis": 0}, (value, gradient.T), x.shape)
        folded = labels[:16].reshape(4, 4, *labels.shape[1:])
        folded = folded.swapaxes(1, 2) if folded.ndim == 3 else folded
        cube = x[:16].reshape(4, 4, -1).swapaxes(1, 2).copy()
        wanted = value[:16].reshape(4, 4), gradient[:16].reshape(4, 4, -1).swapaxes(1, 2)
        expect(name, cube, folded, {**options, "axis": 1}, wanted, cube.shape)


@every_type
@every_bit_case
def test_layouts_of_the_gradient(name: str, dtype: str) -> None:
    for x, labels, options in bit_cases(name, dtype):
        value, gradient = with_gradient(name.split()[0], x, labels, **options)
        for layout in WRITABLE:
            mine, out = layout(x), layout(np.full_like(x, 7))
            for target in (out, mine):  # another array, then in place
                again, found = with_gradient(name.split()[0], mine, labels, out=target, **options)
                assert found is target
                assert same(again, value), layout.__name__
                assert same(found, gradient), layout.__name__


# ---------------------------------------------------------------- errors

REFUSED: list[tuple[Any, Any, dict[str, Any], Any, str]] = [
    (X, [0, 1, 2, 12], {}, ValueError, r"^labels must be in \[0, 10\), got 12 at index \(3,\)$"),
    (X, [0, -1, 2, 3], {}, ValueError, r"^labels must be in \[0, 10\), got -1 at index \(1,\)$"),
    (X, np.array([-128, 1, 2, 3], np.int8), {}, ValueError, r"got -128 at index \(0,\)"),
    (
        X,
        np.array([0, 1, 2**64 - 1, 3], np.uint64),
        {},
        ValueError,
        r"got 18446744073709551615 at index \(2,\)",
    ),
    (X, [0, -100, 2, 3], {}, ValueError, r"labels must be in \[0, 10\), got -100 at index \(1,\)"),
    (X, [0, -100, -1, 3], {"ignore_index": -100}, ValueError, r"got -1 at index \(2,\)"),
    (
        X,
        np.array([0, 1, 156, 3], np.uint8),
        {"ignore_index": -100},
        ValueError,
        r"got 156 at index \(2,\)",
    ),
    (X.reshape(2, 2, 10), [[0, 1], [2, 10]], {}, ValueError, r"got 10 at index \(1, 1\)"),
    (X.T, [0, 1, 2, 10], {"axis": 0}, ValueError, r"got 10 at index \(3,\)"),
    (X[0], 10, {}, ValueError, r"labels must be in \[0, 10\), got 10"),
    (X, [0.0, 1.0, 2.0, 3.0], {}, BOTH, "labels must"),
    (X, [0, NAN, 2, 3], {}, BOTH, "labels must"),
    (X, ["0", "1", "2", "3"], {}, BOTH, "labels"),
    (X, None, {}, BOTH, "labels"),
    (X, changed(HOT, (2, 5), -0.25), {}, ValueError, r"labels .*\(2,"),
    (X, changed(HOT, (2, 5), NAN), {}, ValueError, r"labels .*\(2,"),
    (X, changed(HOT, (2, 5), INF), {}, ValueError, r"labels .*\(2,"),
    (X, changed(HOT, (2, 5), 0.5), {}, ValueError, r"labels .*1\.5.*\(2,\)|labels .*\(2,\).*1\.5"),
    (X, changed(HOT, (3, 4), 0), {}, ValueError, r"labels .*\(3,\)"),
    (X, changed(HOT, (2, 5), 1).astype(int), {}, ValueError, r"labels .*\(2,\)"),
    (X.T, changed(HOT, (2, 5), 0.5).T, {"axis": 0}, ValueError, r"labels .*\(2,\)"),
    (X, [0, 1, 2], {}, ValueError, "labels"),
    (X, [0], {}, ValueError, "labels"),
    (X, 0, {}, ValueError, "labels"),
    (X, [[0], [1], [2], [3]], {}, ValueError, "labels"),
    (X, [[0, 1, 2, 3]], {}, ValueError, "labels"),
    (X, HOT[:1], {}, ValueError, "labels"),
    (X, HOT[:, :9], {}, ValueError, "labels"),
    (X, HOT[None], {}, ValueError, "labels"),
    (X, np.ma.masked_array([0, 1, 2, 3]), {}, TypeError, "labels is a masked array"),
    (np.ma.masked_array(X), [0, 1, 2, 3], {}, TypeError, "masked array"),
    (X * 1j, [0, 1, 2, 3], {}, TypeError, "must be real"),
    (X, [0, 1, 2, 3], {"class_weight": np.ones(9)}, ValueError, "class_weight"),
    (X, [0, 1, 2, 3], {"class_weight": np.ones((4, 10))}, ValueError, "class_weight"),
    (
        X,
        [0, 1, 2, 3],
        {"class_weight": changed(np.ones(10), (7,), -1)},
        ValueError,
        r"class_weight .*-1.*\(7,\)",
    ),
    (
        X,
        [0, 1, 2, 3],
        {"class_weight": changed(np.ones(10), (7,), NAN)},
        ValueError,
        r"class_weight .*nan.*\(7,\)",
    ),
    (
        X,
        [0, 1, 2, 3],
        {"class_weight": changed(np.ones(10), (7,), INF)},
        ValueError,
        r"class_weight .*inf.*\(7,\)",
    ),
    (X, [0, 1, 2, 3], {"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
    (X, [0, 1, 2, 3], {"sample_weight": np.ones((4, 1))}, ValueError, "sample_weight"),
    (X, [0, 1, 2, 3], {"sample_weight": np.ones((1, 4))}, ValueError, "sample_weight"),
    (
        X,
        [0, 1, 2, 3],
        {"sample_weight": [1, 1, NAN, 1]},
        ValueError,
        r"sample_weight .*nan.*\(2,\)",
    ),
    (
        X,
        [0, 1, 2, 3],
        {"sample_weight": [1, 1, -INF, 1]},
        ValueError,
        r"sample_weight .*-inf.*\(2,\)",
    ),
    (X, [0, 1, 2, 3], {"sample_weight": [-1, -1, -1, -1]}, ValueError, "weight"),
    (X, [0, 1, 2, 3], {"sample_weight": [1, -1, 1, -1]}, ValueError, "weight"),
    (
        X,
        [0, 1, 2, 3],
        {"label_smoothing": -0.1},
        ValueError,
        r"label_smoothing must be in \[0, 1\], got -0\.1",
    ),
    (X, [0, 1, 2, 3], {"label_smoothing": 1.5}, ValueError, "label_smoothing"),
    (X, [0, 1, 2, 3], {"label_smoothing": NAN}, ValueError, "label_smoothing"),
    (
        X,
        [0, 1, 2, 3],
        {"label_smoothing": 0.1, "smoothing_prior": np.ones(9) / 9},
        ValueError,
        "smoothing_prior",
    ),
    (
        X,
        [0, 1, 2, 3],
        {"label_smoothing": 0.1, "smoothing_prior": changed(np.full(10, 0.1), (0,), -0.1)},
        ValueError,
        r"smoothing_prior .*\(0,\)",
    ),
    (
        X,
        [0, 1, 2, 3],
        {"label_smoothing": 0.1, "smoothing_prior": changed(np.full(10, 0.1), (0,), NAN)},
        ValueError,
        r"smoothing_prior .*\(0,\)",
    ),
    (X, HOT, {"ignore_index": 10}, ValueError, "ignore_index"),
    (X, HOT, {"ignore_index": -100}, ValueError, r"ignore_index .*\[0, 10\).*-100"),
    (X, [0, 1, 2, 3], {"ignore_index": 1.5}, TypeError, "ignore_index"),
    (X, [0, 1, 2, 3], {"where": np.ones(10)}, TypeError, "where must be boolean"),
    (X, [0, 1, 2, 3], {"where": np.ones(9, bool)}, ValueError, "where must"),
    (X, [0, 1, 2, 3], {"where": np.ones((2, 4, 10), bool)}, ValueError, "where must"),
    (X, [0, 1, 2, 3], {"z_loss": NAN}, ValueError, "z_loss"),
    (X, [0, 1, 2, 3], {"z_loss": INF}, ValueError, "z_loss"),
    (X, [0, 1, 2, 3], {"reduction": "average"}, ValueError, "reduction must be .*'average'"),
    (X, [0, 1, 2, 3], {"reduction": None}, BOTH, "reduction"),
    (X, [0, 1, 2, 3], {"normalizer": 0.0}, ValueError, "normalizer must be .*0"),
    (X, [0, 1, 2, 3], {"normalizer": -2.0}, ValueError, "normalizer must be .*-2"),
    (X, [0, 1, 2, 3], {"normalizer": NAN}, ValueError, "normalizer must be .*nan"),
    (X, [0, 1, 2, 3], {"temperature": 0.0}, ValueError, "temperature must"),
    (X, [0, 1, 2, 3], {"temperature": [1, 1, -1, 1]}, ValueError, r"temperature must .*-1.*\(2,\)"),
    (X, [0, 1, 2, 3], {"temperature": [1.0, 2.0]}, ValueError, "temperature"),
    (X, [0, 1, 2, 3], {"axis": 2}, np.exceptions.AxisError, "axis"),
    (X, [0, 1, 2, 3], {"axis": 1.0}, TypeError, "axis"),
    (X, [0, 1, 2, 3], {"color": 1}, TypeError, "color"),
    (
        P,
        [0, 1, 2, 3],
        {"from_logits": False, "temperature": 2.0},
        ValueError,
        "temperature needs from_logits=True",
    ),
    (
        P,
        [0, 1, 2, 3],
        {"from_logits": False, "z_loss": 0.1},
        ValueError,
        "z_loss needs from_logits=True",
    ),
    (
        changed(P, (1, 2), 1.5),
        [0, 1, 2, 3],
        {"from_logits": False},
        ValueError,
        r"got 1\.5.*\(1,",
    ),
    (
        changed(P, (1, 2), -0.5),
        [0, 1, 2, 3],
        {"from_logits": False},
        ValueError,
        r"got -0\.5.*\(1,",
    ),
    (
        changed(P, (1, 2), NAN),
        [0, 1, 2, 3],
        {"from_logits": False},
        ValueError,
        r"got nan.*\(1,",
    ),
    (
        changed(P, (1, 2), 0.5),
        [0, 1, 2, 3],
        {"from_logits": False},
        ValueError,
        r"1\.4.*\(1,\)|\(1,\).*1\.4",
    ),
]


@pytest.mark.parametrize(("x", "labels", "options", "error", "message"), REFUSED)
def test_refused(x: Any, labels: Any, options: dict[str, Any], error: Any, message: str) -> None:
    """By the loss and by its gradient, which leaves out= alone."""
    with pytest.raises(error, match=message):
        sigmax.cross_entropy(x, labels, **options)
    out = np.full(np.shape(x), 7.0)
    with pytest.raises(error, match=message):
        with_gradient("cross_entropy", x, labels, out=out, **options)
    assert (out == 7).all()


@every_type
def test_tolerance_of_sums(dtype: str) -> None:
    """Distributions and probabilities may miss 1 by the square root of the type's epsilon."""
    kind = TYPES[dtype]
    tolerance = math.sqrt(EPS[dtype])
    for off, accepted in ((0.5, True), (-0.5, True), (2, False), (-2, False)):
        q = np.array([[0.5, 0.5 + off * tolerance]], kind)
        for x, labels, options in (
            (batch(1, 2, dtype=dtype), q, {}),
            (q, [0], {"from_logits": False}),
        ):
            if accepted:
                sigmax.cross_entropy(x, labels, **options)
                continue
            with pytest.raises(ValueError, match=r"\(0,\)"):
                sigmax.cross_entropy(x, labels, **options)


@pytest.mark.parametrize(
    ("x", "labels", "options", "message"),
    [
        (X, [0, 1, 2, 3], {}, "labels"),
        (X, HOT[:1], {}, "labels"),
        (X, X[:1], {"labels_from_logits": True}, "labels"),
        (X, changed(HOT, (2, 5), 0.5), {}, r"labels .*\(2,\)"),
        (X, changed(HOT, (2, 5), -0.5), {}, r"labels .*\(2,"),
        (X, HOT, {"temperature": -1.0}, "temperature must"),
        (X, HOT, {"sample_weight": np.ones((4, 1))}, "sample_weight"),
        (X, HOT, {"sample_weight": -np.ones(4)}, "weight"),
        (X, HOT, {"reduction": "average"}, "reduction"),
        (X, HOT, {"normalizer": -1.0}, "normalizer"),
        (P, HOT, {"from_logits": False, "temperature": 2.0}, "temperature needs from_logits=True"),
        (changed(P, (1, 2), 1.5), HOT, {"from_logits": False}, r"\(1,"),
    ],
)
def test_refused_by_divergences(x: Any, labels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sigmax.kl_divergence(x, labels, **options)
    out = np.full(np.shape(x), 7.0)
    with pytest.raises(ValueError, match=message):
        with_gradient("kl_divergence", x, labels, out=out, **options)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.full((4, 9), 7.0), ValueError),
        (np.full((1, 4, 10), 7.0), ValueError),
        (np.full((4, 10), 7), BOTH),
        ([[7.0] * 10] * 4, TypeError),
        (read_only(np.full((4, 10), 7.0)), ValueError),
    ],
    ids=["classes", "dimensions", "type", "list", "read-only"],
)
def test_refused_out(out: Any, error: Any) -> None:
    with pytest.raises(error):
        with_gradient("cross_entropy", X, [0, 1, 2, 3], out=out)
    assert (np.asarray(out) == 7).all()


@pytest.mark.parametrize("loss", [np.exp, "cross_entropy", None, len, sigmax.softmax])
def test_refused_losses(loss: Any) -> None:
    with pytest.raises(TypeError, match=r"loss must be one of .*cross_entropy.*, got"):
        sigmax.value_and_grad(loss)


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence"])
def test_signature(name: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        getattr(sigmax, name)(logits=X, labels=HOT)
    with pytest.raises(TypeError, match="argument"):
        getattr(sigmax, name)(X, HOT, -1, True)
    with pytest.raises(TypeError, match="out"):
        getattr(sigmax, name)(X, HOT, out=np.empty_like(X))


# ---------------------------------------------------------------- properties

properties = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@st.composite
def batches(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and as many for labels."""
    kind = draw(st.sampled_from([np.float32, np.float64]))
    bound = draw(st.sampled_from([1.0, 10.0, 100.0, 1e30]))
    shape = draw(npst.array_shapes(min_dims=2, max_dims=2, max_side=40))
    limit = float(kind(bound))
    rows = npst.arrays(
        kind, (2, *shape), elements=st.floats(-limit, limit, width=np.finfo(kind).bits)
    )
    x, y = draw(rows)
    return x, y


@properties
@given(batches())
def test_losses_are_not_negative(rows: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = rows
    index = y.argmax(axis=1)
    loss = sigmax.cross_entropy(x, index, reduction="none")
    assert (loss >= 0).all()
    assert (sigmax.cross_entropy(x, sigmax.softmax(y), reduction="none") >= 0).all()
    winners = loss[x.argmax(axis=1) == index]
    assert (winners <= math.log(x.shape[1]) * (1 + np.finfo(x.dtype).eps)).all()


@properties
@given(batches())
def test_divergences_are_not_negative(rows: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = rows
    options = {"labels_from_logits": True, "reduction": "none"}
    value = sigmax.kl_divergence(x, y, **options)
    size = np.abs(as_float(sigmax.cross_entropy(x, sigmax.softmax(y), reduction="none")))
    assert (as_float(value) >= -np.finfo(x.dtype).eps * size).all()
    assert (sigmax.kl_divergence(x, x, **options) == 0).all()


@properties
@given(batches())
def test_gradients_sum_to_0(rows: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = rows
    bound = 2 * np.finfo(x.dtype).eps
    index = y.argmax(axis=1)
    gradient = as_float(with_gradient("cross_entropy", x, index, normalizer=1.0)[1])
    assert (np.abs(gradient.sum(axis=1)) <= bound * np.abs(gradient).sum(axis=1)).all()
    target = np.arange(x.shape[1]) == index[:, None]
    assert (gradient[target] <= 0).all()
    assert (gradient[~target] >= 0).all()
    options = {"label_smoothing": 0.25, "normalizer": 1.0}
    gradient = as_float(with_gradient("cross_entropy", x, sigmax.softmax(y), **options)[1])
    assert (np.abs(gradient.sum(axis=1)) <= bound).all()


@properties
@given(batches(), st.floats(0, 1))
def test_losses_are_linear_in_the_labels(rows: tuple[np.ndarray, np.ndarray], share: float) -> None:
    x, y = (np.clip(a.astype(np.float64), -100, 100) for a in rows)
    q, r = sigmax.softmax(y), sigmax.softmax(-y)
    loss = partial(sigmax.cross_entropy, x, reduction="none")
    expected = share * loss(q) + (1 - share) * loss(r)
    np.testing.assert_allclose(loss(share * q + (1 - share) * r), expected, rtol=1e-12)
