"""Yes-or-no questions: the two-column form bit for bit, ranking against all pairs and scikit-learn, answers."""

import math

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
Z = np.round(RNG.normal(size=1500) * 2 - 1, 1)
Y = (RNG.random(1500) < 1 / (1 + np.exp(-0.6 * Z))).astype(int)
WEIGHT = RNG.random(1500)
SOFT = np.where(RNG.random(1500) < 0.5, Y, 0.8 * Y + 0.1)


def columns(x, from_logits=True):
    return np.stack([np.zeros_like(x) if from_logits else 1 - x, x], axis=-1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["index", "bool", "soft"])
def test_all_numbers_are_those_of_two_columns(dtype, kind):
    z = Z.astype(dtype)
    y, of_two = {"index": (Y, Y), "bool": (Y == 1, Y), "soft": (SOFT, columns(SOFT, False))}[kind]
    options = {"sample_weight": WEIGHT}
    one, two = (sigmax.fit_temperature(x, q, **options) for x, q in ((z, y), (columns(z), of_two)))
    assert (one.temperature, one.interval, one.nll_after) == (
        two.temperature,
        two.interval,
        two.nll_after,
    )
    np.testing.assert_array_equal(one.apply(z), two.apply(columns(z))[:, 1])
    one, two = (
        sigmax.fit_vector_scaling(x, q, **options) for x, q in ((z, y), (columns(z), of_two))
    )
    np.testing.assert_array_equal(one.apply(z), two.apply(columns(z))[:, 1])
    one, two = (
        sigmax.evaluate(x, q, temperature=1.3, **options) for x, q in ((z, y), (columns(z), of_two))
    )
    assert one.to_dict() == two.to_dict()
    p = sigmax.sigmoid(z)
    for kind_of in ("ece", "adaptive", "classwise", "max", "debiased", "smooth"):
        one = sigmax.calibration_error(p, y, kind=kind_of, from_logits=False)
        assert one == sigmax.calibration_error(
            columns(p, False), of_two, kind=kind_of, from_logits=False
        )
    one, two = (sigmax.reliability_curve(x, q) for x, q in ((z, y), (columns(z), of_two)))
    np.testing.assert_array_equal(one.accuracy, two.accuracy)
    assert sigmax.brier_score(z, y) == sigmax.brier_score(columns(z), of_two)


@pytest.mark.parametrize("axis", [0, 1])
def test_multilabel_is_all_questions_drawn_by_sample(axis):
    x, y = (a.reshape(-1, 3).T if axis == 0 else a.reshape(-1, 3) for a in (Z, Y))
    one = sigmax.evaluate(x, y, axis, multilabel=True, sample_weight=WEIGHT[:500])
    samples = np.arange(500)
    each = np.tile(samples, 3) if axis == 0 else np.repeat(samples, 3)
    two = sigmax.evaluate(x.ravel(), y.ravel(), groups=each, sample_weight=WEIGHT[each])
    assert one.to_dict() == two.to_dict()
    where = RNG.random(x.shape) < 0.8
    masked = sigmax.fit_temperature(x, np.where(where, y, 7), axis, multilabel=True, where=where)
    assert masked.temperature == sigmax.fit_temperature(x[where], y[where]).temperature


def test_errors_say_where():
    for labels, message in (
        ([0, 2], r"labels must be in \[0, 2\), got 2 at index \(1,\)"),
        ([0.0, -0.5], r"labels must be in \[0, 1\], got -0.5 at index \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            sigmax.evaluate([1.0, 2.0], labels)
    with pytest.raises(ValueError, match=r"logits must be in \[0, 1\], got 1.2 at index \(1,\)"):
        sigmax.fit_temperature([0.1, 1.2], [0, 1], from_logits=False)
    with pytest.raises(ValueError, match=r"labels must have the shape \(1, 2\) of the logits"):
        sigmax.evaluate([[1.0, 2.0]], [0, 1], multilabel=True)
    assert sigmax.evaluate([1.0, 2.0], [0, -100], ignore_index=-100).rows == 1


# ---------------------------------------------------------------- ranking


def area_of_pairs(score, y, weight):
    of_1, of_0 = weight * y, weight * (1 - y)
    higher = (score[:, None] > score) + 0.5 * (score[:, None] == score)
    return of_1 @ higher @ of_0 / (of_1.sum() * of_0.sum())


@pytest.mark.parametrize("y", [Y, SOFT], ids=["hard", "soft"])
def test_area_is_the_share_of_pairs(y):
    e = sigmax.evaluate_binary(Z, y, sample_weight=WEIGHT)
    assert e.roc_auc == pytest.approx(area_of_pairs(Z, y, WEIGHT), rel=1e-13)


def test_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    e = sigmax.evaluate_binary(Z, Y, sample_weight=WEIGHT, threshold=0.3)
    yes = sigmax.sigmoid(Z) >= 0.3
    options = {"sample_weight": WEIGHT}
    assert e.roc_auc == pytest.approx(metrics.roc_auc_score(Y, Z, **options), rel=1e-13)
    assert e.average_precision == pytest.approx(
        metrics.average_precision_score(Y, Z, **options), rel=1e-13
    )
    assert e.f1 == pytest.approx(metrics.f1_score(Y, yes, **options), rel=1e-13)
    confusion = metrics.confusion_matrix(Y, yes, **options).ravel()
    np.testing.assert_allclose([e.confusion[k] for k in ("tn", "fp", "fn", "tp")], confusion)


def test_errors_of_area_and_precision_are_those_of_leaving_rows_out():
    z, y = np.round(Z[:120] / 2), Y[:120]  # with many ties
    e = sigmax.evaluate_binary(z, y)
    for name in ("roc_auc", "average_precision"):
        value, (low, high) = getattr(e, name), getattr(e, name).interval
        without = [
            getattr(sigmax.evaluate_binary(*(np.delete(a, k) for a in (z, y)), resamples=1), name)
            for k in range(120)
        ]
        jackknife = np.sqrt(119 / 120 * ((np.array(without) - np.mean(without)) ** 2).sum())
        width = math.log(high / (1 - high)) - math.log(low / (1 - low))
        assert width == pytest.approx(2 * 1.96 * jackknife / (value * (1 - value)), rel=0.03)


def test_groups_are_drawn_together():
    once = sigmax.evaluate_binary(Z[:300], Y[:300])
    twice = sigmax.evaluate_binary(
        np.tile(Z[:300], 2), np.tile(Y[:300], 2), groups=np.tile(np.arange(300), 2)
    )
    for name in ("roc_auc", "average_precision", "accuracy", "f1", "base_rate"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name), rel=1e-13)
        assert getattr(twice, name).interval == pytest.approx(
            getattr(once, name).interval, rel=1e-9
        )


# ---------------------------------------------------------------- probabilities and answers


def test_curve_error_and_baseline():
    e = sigmax.evaluate_binary(Z, Y, bins=10)
    p = sigmax.sigmoid(Z)
    bins = np.clip(np.ceil(p * 10).astype(int) - 1, 0, 9)
    gaps = [(bins == k).mean() * abs(p[bins == k].mean() - Y[bins == k].mean()) for k in set(bins)]
    assert e.ece == pytest.approx(sum(gaps), rel=1e-12)
    assert e.curve.count.sum() == 1500
    rate = Y.mean()
    assert e.base_nll == pytest.approx(-rate * math.log(rate) - (1 - rate) * math.log(1 - rate))
    assert e.base_brier == pytest.approx(
        sigmax.brier_score(np.full(1500, rate), Y, from_logits=False)
    )
    assert e.ece.interval[0] <= e.ece <= e.ece.interval[1]


def test_a_class_that_is_never_said():
    assert sigmax.evaluate_binary([-1.0, -2.0], [1, 0]).never == 1
    assert sigmax.evaluate_binary([1.0, 2.0], [1, 0]).never == 0
    e = sigmax.evaluate_binary([-1.0, 2.0], [0, 0])
    assert e.never is None
    assert math.isnan(e.roc_auc)
    assert math.isnan(e.recall)


def smooth_by_sums(p, y):
    """The definition on a fine grid: all mirror images of each row, the width by bisection."""
    t = (np.arange(1000) + 0.5) / 1000

    def at(width):
        places = [2 * k + sign * p for k in range(-2, 3) for sign in (1, -1)]
        kernel = sum(np.exp(-0.5 * ((t[:, None] - place) / width) ** 2) for place in places)
        return np.abs(kernel @ (p - y)).mean() / len(p) / width / math.sqrt(2 * math.pi)

    low, high = 1e-3, 1.0
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(middle) > middle else (low, middle)
    return high


def test_smooth_error():
    z, y = Z[:400], Y[:400]
    e = sigmax.evaluate_binary(z, y)
    assert e.smooth_ece == pytest.approx(smooth_by_sums(sigmax.sigmoid(z), y), rel=1e-5)
    x = RNG.normal(size=(300, 4)) * 40  # most are surely of one class: the end of the grid counts
    labels = RNG.integers(0, 4, 300)
    p = sigmax.softmax(x)
    expected = smooth_by_sums(p.max(axis=1), p.argmax(axis=1) == labels)
    assert sigmax.calibration_error(x, labels, kind="smooth") == pytest.approx(expected, rel=1e-5)


def test_the_interval_of_the_error_of_few_rows_holds_the_truth():
    """Bins of a few rows that are far off by chance vary as others do: else 1 of 10 intervals is above the truth."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 100)) * 2 - 0.5
    truth = 0.0983  # of 200,000 rows
    y = rng.random(x.shape) < sigmax.sigmoid(0.6 * x - 0.5)
    ends = np.array(
        [sigmax.evaluate_binary(*of, resamples=200).ece.interval for of in zip(x, y, strict=True)]
    )
    missed = (ends[:, 0] > truth) | (ends[:, 1] < truth)
    assert missed.mean() <= 0.06
