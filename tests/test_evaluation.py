"""Evaluations against independent short implementations, by their invariances, and by simulation."""

import json
import math
import pickle

import numpy as np
import pytest
from plain import softmax

import sigmax
from sigmax import _tables

NAMES = ["accuracy", "nll", "brier", "ece", "adaptive_ece", "classwise_ece", "mce", "debiased_ece"]


def sampled(rng, rows, classes, temperature=1.0, spread=3.0):
    logits = rng.normal(size=(rows, classes)) * spread
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=-1)


# ---------------------------------------------------------------- definitions


def gap(confidence, correct, weight, rows):
    """Σ w·(confidence − correct) over some rows, as a mean and as a share of all weight."""
    w = weight[rows]
    difference = (w * (confidence[rows] - correct[rows])).sum()
    return abs(difference) / w.sum(), abs(difference) / weight.sum()


def width_bins(confidence, bins):
    for k in range(bins):
        rows = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if k == 0:
            rows |= confidence == 0
        if rows.any():
            yield rows


def mass_bins(confidence, bins):
    """The share of each row in each bin of equal numbers of rows: equal rows have the mean of what their ranks have."""
    ranks = np.argsort(np.argsort(confidence, kind="stable"))
    one_hot = np.zeros((len(confidence), bins))
    for k, rows in enumerate(np.array_split(np.arange(len(confidence)), bins)):
        one_hot[np.isin(ranks, rows), k] = 1
    for value in set(confidence):
        one_hot[confidence == value] = one_hot[confidence == value].mean(axis=0)
    return [share for share in one_hot.T if share.any()]


def debiased(confidence, correct, weight, bins):
    total = 0.0
    for share in mass_bins(confidence, bins):
        w = weight * share / (weight * share).sum()
        accuracy = (w * correct).sum()
        square = ((w * confidence).sum() - accuracy) ** 2
        variance = (w * (correct - accuracy) ** 2).sum()
        count = 1 / (w**2).sum()
        if count > 1 + 1e-9:
            square -= variance / (count - 1)
        total += square * (weight * share).sum() / weight.sum()
    return math.sqrt(max(total, 0.0))


def definitions(p, labels, weight=None, bins=15):
    """Every number, from probabilities."""
    weight = np.ones(len(p)) if weight is None else weight
    q = labels if labels.ndim == 2 else np.eye(p.shape[-1])[labels]
    n = np.arange(len(p))
    confidence, correct = p.max(axis=-1), q[n, p.argmax(axis=-1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = np.where(q > 0, -q * np.log(p), 0.0).sum(axis=-1)
    width = [gap(confidence, correct, weight, rows) for rows in width_bins(confidence, bins)]
    everything = np.ones(len(p), bool)
    mass = [
        (
            0,
            gap(confidence, correct, weight * share, everything)[0]
            * (weight * share).sum()
            / weight.sum(),
        )
        for share in mass_bins(confidence, bins)
    ]
    classwise = [
        sum(gap(p[:, k], q[:, k], weight, rows)[1] for rows in width_bins(p[:, k], bins))
        for k in range(p.shape[-1])
    ]
    return {
        "accuracy": (weight * correct).sum() / weight.sum(),
        "nll": (weight * losses).sum() / weight.sum(),
        "brier": (weight * ((p - q) ** 2).sum(axis=-1)).sum() / weight.sum(),
        "ece": sum(share for _, share in width),
        "adaptive_ece": sum(share for _, share in mass),
        "classwise_ece": np.mean(classwise),
        "mce": max(mean for mean, _ in width),
        "debiased_ece": debiased(confidence, correct, weight, bins),
    }


def values(evaluation):
    return {name: float(getattr(evaluation, name)) for name in NAMES}


def assert_close(result, expected, **tolerances):
    assert result == pytest.approx(expected, **{"rel": 1e-11, "abs": 1e-13, **tolerances})


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 40])
@pytest.mark.parametrize(("rows", "classes"), [(1, 3), (10, 2), (500, 4), (2500, 30)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_definitions(rows, classes, bins, weighted, soft):
    rng = np.random.default_rng(rows)
    logits, labels = sampled(rng, rows, classes, 2.0)
    labels = rng.dirichlet(np.ones(classes) / 3, rows) if soft else labels
    weight = rng.exponential(size=rows) if weighted else None
    result = sigmax.evaluate(logits, labels, sample_weight=weight, bins=bins, resamples=2)
    assert_close(values(result), definitions(softmax(logits), labels, weight, bins))
    kinds = {"ece": "ece", "adaptive": "adaptive_ece", "classwise": "classwise_ece", "max": "mce"}
    for kind, name in {**kinds, "debiased": "debiased_ece"}.items():
        alone = sigmax.calibration_error(logits, labels, kind=kind, bins=bins, sample_weight=weight)
        assert alone == pytest.approx(float(getattr(result, name)), rel=1e-12, abs=1e-15)
    alone = sigmax.brier_score(logits, labels, sample_weight=weight)
    assert alone == pytest.approx(result.brier, rel=1e-12)


def test_probabilities_on_the_edges_of_bins():
    """A probability of k / bins is in the bin below; 0 in the first."""
    top = np.array([0.6, 0.8, 1.0, 0.6, 0.8, 0.7])
    p = np.stack([top, 1 - top, np.zeros(6)], axis=-1)
    labels = np.array([0, 1, 0, 2, 0, 1])
    for bins in (5, 10, 15):
        result = sigmax.evaluate(p, labels, from_logits=False, bins=bins, resamples=2)
        assert_close(values(result), definitions(p, labels, bins=bins))


def test_float32_probabilities_on_the_edges_of_bins():
    p = np.array([[1 / 15, 14 / 15], [2 / 15, 13 / 15], [0.2, 0.8], [0.4, 0.6]], np.float32)
    result = sigmax.evaluate(p, [0, 1, 1, 0], from_logits=False, resamples=2)
    assert_close(
        values(result), definitions(p.astype(np.float64), np.array([0, 1, 1, 0])), rel=1e-6
    )


def test_many_equal_confidences():
    """F5: equal rows share the bins of equal mass, whatever their order."""
    rng = np.random.default_rng(1)
    p = rng.integers(1, 4, (997, 3)).astype(float)
    p /= p.sum(axis=-1, keepdims=True)
    labels = rng.integers(0, 3, 997)
    order = rng.permutation(997)
    for bins in (2, 7, 15, 400):
        result = sigmax.evaluate(p, labels, from_logits=False, bins=bins, resamples=2)
        assert_close(values(result), definitions(p, labels, bins=bins))
        other = sigmax.evaluate(p[order], labels[order], from_logits=False, bins=bins, resamples=2)
        assert_close(values(other), values(result))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_f5_the_winner_is_that_of_the_logits(dtype):
    """Their probabilities are equal, as rounded."""
    rng = np.random.default_rng(20)
    logits = (rng.normal(size=(1000, 5)) * 1e-30).astype(dtype)
    labels = logits.argmax(axis=1)
    labels[:300] = (labels[:300] + 1) % 5
    assert sigmax.evaluate(logits, labels, resamples=2).accuracy == 0.7
    assert sigmax.evaluate(logits, labels, temperature=1e20, resamples=2).accuracy == 0.7


def test_of_equal_winners_the_first_wins():
    assert sigmax.evaluate(
        [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]], [0, 1, 1]
    ).accuracy == pytest.approx(2 / 3)


def test_temperature_and_mask():
    rng = np.random.default_rng(2)
    logits, labels = sampled(rng, 300, 5)
    mask = (rng.random((300, 5)) < 0.8) | (np.arange(5) == labels[:, None])
    temperature = rng.uniform(0.5, 3, 300)
    p = softmax(np.where(mask, logits, -np.inf) / temperature[:, None])
    result = sigmax.evaluate(logits, labels, where=mask, temperature=temperature)
    assert_close(values(result), definitions(p, labels))
    result = sigmax.evaluate(logits, labels, temperature=2.5)
    assert_close(values(result), definitions(softmax(logits / 2.5), labels))


def test_probabilities():
    logits, labels = sampled(np.random.default_rng(3), 300, 5)
    p = softmax(logits)
    result = sigmax.evaluate(p, labels, from_logits=False)
    assert_close(values(result), definitions(p, labels))
    result = sigmax.evaluate(p, labels, from_logits=False, temperature=2.5)
    assert_close(values(result), definitions(softmax(logits / 2.5), labels))


def test_float32():
    logits, labels = sampled(np.random.default_rng(4), 5000, 10)
    logits = logits.astype(np.float32)
    expected = definitions(softmax(logits.astype(np.float64)), labels)
    assert_close(values(sigmax.evaluate(logits, labels)), expected, rel=1e-6)


def test_a_label_of_probability_0_costs_infinity():
    p = np.array([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])
    result = sigmax.evaluate(p, [1, 0, 1], from_logits=False)
    assert result.nll == math.inf
    assert result.nll.interval[1] == math.inf
    assert np.isfinite(result.nll.resamples).any()
    assert np.isfinite(result.brier.resamples).all()
    difference = result.difference(result)
    assert difference["brier"] == 0
    assert math.isnan(difference["nll"])


def test_confident_rows_keep_the_digits_of_their_brier_score():
    assert sigmax.brier_score([[40.0, 0.0]], [0]) == pytest.approx(2 * math.exp(-80), rel=0.6)


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize("rows", [300, 20000])
def test_intervals_of_means_have_their_standard_error(rows):
    """20,000 rows are in 2,000 groups, which must not follow their order."""
    rng = np.random.default_rng(6)
    logits, labels = sampled(rng, rows, 4, 2.0)
    order = np.argsort(softmax(logits)[np.arange(rows), labels])  # from the hardest to the easiest
    logits, labels = logits[order], labels[order]
    weight = rng.exponential(size=rows)
    result = sigmax.evaluate(logits, labels, sample_weight=weight, resamples=4000)
    p = softmax(logits)
    n = np.arange(rows)
    columns = {
        "accuracy": p.argmax(axis=-1) == labels,
        "nll": -np.log(p[n, labels]),
        "brier": ((p - np.eye(4)[labels]) ** 2).sum(axis=-1),
    }
    for name, column in columns.items():
        mean = (weight * column).sum() / weight.sum()
        error = math.sqrt(((weight * (column - mean)) ** 2).sum()) / weight.sum()
        estimate = getattr(result, name)
        assert estimate.resamples.std() == pytest.approx(error, rel=0.08)
        low, high = (x - mean for x in estimate.interval)
        skewed = 1.0 if rows == 300 else 0.25  # losses are
        assert low == pytest.approx(-1.96 * error, abs=error / 2)
        assert high == pytest.approx(1.96 * error, abs=error * skewed)


def test_groups_are_drawn_whole():
    """Every row three times: with groups the intervals are those of the rows once."""
    rng = np.random.default_rng(7)
    logits, labels = sampled(rng, 400, 4, 2.0)
    once = sigmax.evaluate(logits, labels)
    names = np.array([f"patient {k}" for k in rng.permutation(400)])
    thrice = sigmax.evaluate(np.tile(logits, (3, 1)), np.tile(labels, 3), groups=np.tile(names, 3))
    without = sigmax.evaluate(np.tile(logits, (3, 1)), np.tile(labels, 3))
    for name in ("accuracy", "nll", "brier", "ece", "classwise_ece"):
        width, grouped, ungrouped = (
            getattr(e, name).resamples.std() for e in (once, thrice, without)
        )
        assert grouped == pytest.approx(width, rel=0.15)
        assert ungrouped < 0.75 * width
    assert (thrice.units, without.units) == (400, 1200)


def test_groups_of_any_size_in_a_chunk():
    rng = np.random.default_rng(18)
    logits, labels = sampled(rng, 3000, 4)
    expected = definitions(softmax(logits), labels)["classwise_ece"]
    for groups in (np.zeros(3000, int), np.arange(3000) // 50, np.arange(3000) // 1000):
        result = sigmax.evaluate(logits, labels, groups=groups).classwise_ece
        assert result == pytest.approx(expected, rel=1e-12)


def test_many_groups():
    rng = np.random.default_rng(8)
    logits, labels = sampled(rng, 6000, 3)
    groups = np.repeat(np.arange(3000), 2)
    result = sigmax.evaluate(logits, labels, groups=groups)
    assert result.units == 3000
    twice = sigmax.evaluate(
        np.repeat(logits[:3000], 2, axis=0), np.repeat(labels[:3000], 2), groups=groups
    )
    once = sigmax.evaluate(logits[:3000], labels[:3000])
    assert np.allclose(twice.nll.resamples, once.nll.resamples, rtol=1e-12)


@pytest.mark.slow
def test_interval_of_an_error_covers_what_samples_show():
    """200 samples, 90 %: the interval has the mean error of such samples."""
    rng = np.random.default_rng(9)
    samples = [sigmax.evaluate(*sampled(rng, 400, 4, 2.0), confidence=0.9) for _ in range(200)]
    for name in (
        "accuracy",
        "nll",
        "brier",
        "ece",
        "adaptive_ece",
        "classwise_ece",
        "debiased_ece",
    ):
        estimates = [getattr(e, name) for e in samples]
        mean = np.mean(estimates)
        inside = sum(e.interval[0] <= mean <= e.interval[1] for e in estimates)
        assert 160 <= inside <= 196, name


def test_null_error_is_that_of_a_calibrated_model():
    rng = np.random.default_rng(10)
    for rows, temperature in ((100, 1.0), (1000, 1.0), (1000, 0.2)):
        logits = rng.normal(size=(rows, 4)) * 3 / temperature
        errors = [
            sigmax.calibration_error(
                logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1)
            )
            for _ in range(400)
        ]
        null = sigmax.evaluate(logits, np.zeros(rows, int)).null_ece
        assert null == pytest.approx(np.mean(errors), rel=0.05)
        assert null.interval == pytest.approx(np.quantile(errors, [0.025, 0.975]), rel=0.2)


def test_null_error_with_weights():
    rng = np.random.default_rng(11)
    logits = rng.normal(size=(500, 4)) * 2
    weight = rng.exponential(size=500) ** 2
    errors = [
        sigmax.calibration_error(
            logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1), sample_weight=weight
        )
        for _ in range(400)
    ]
    null = sigmax.evaluate(logits, np.zeros(500, int), sample_weight=weight).null_ece
    assert null == pytest.approx(np.mean(errors), rel=0.1)


def test_differences_are_paired():
    """Two evaluations whose losses differ by a constant: the difference is sure, each number is not."""
    logits, labels = sampled(np.random.default_rng(12), 500, 2, 2.0)
    one, other = (sigmax.evaluate(logits, labels, temperature=t) for t in (1.0, 1.001))
    difference = one.difference(other)
    assert list(difference) == [
        *NAMES[:3],
        "ece",
        "adaptive_ece",
        "classwise_ece",
        "mce",
        "debiased_ece",
        "null_ece",
    ]
    assert difference["nll"] == float(one.nll) - float(other.nll)
    assert difference["nll"].resamples.std() < 0.01 * one.nll.resamples.std()
    assert difference["accuracy"].interval == (0.0, 0.0)
    for options in ({"seed": 1}, {"resamples": 10}, {"confidence": 0.5}, {"groups": labels}):
        with pytest.raises(ValueError, match="other must be an evaluation of the same rows"):
            one.difference(sigmax.evaluate(logits, labels, **options))
    with pytest.raises(ValueError, match="other must be"):
        one.difference(sigmax.evaluate(logits[1:], labels[1:]))


def test_seeds():
    logits, labels = sampled(np.random.default_rng(13), 100, 3)
    one, same, other = (sigmax.evaluate(logits, labels, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one.ece.resamples, same.ece.resamples)
    assert not np.array_equal(one.ece.resamples, other.ece.resamples)


def test_table_of_very_many_classes(monkeypatch):
    logits, labels = sampled(np.random.default_rng(14), 300, 50)
    expected = sigmax.evaluate(logits, labels).classwise_ece
    monkeypatch.setattr(_tables, "_TABLE", 20000)  # room for 26 groups
    few = sigmax.evaluate(logits, labels).classwise_ece
    assert few == pytest.approx(expected, rel=1e-12)
    assert (
        0.9 < few.resamples.std() / expected.resamples.std() < 2
    )  # classes vary together: too wide, if anything


# ---------------------------------------------------------------- results


def test_to_dict_is_json():
    logits, labels = sampled(np.random.default_rng(15), 100, 3)
    result = sigmax.evaluate(logits, labels)
    found = json.loads(json.dumps(result.to_dict()))
    assert found["ece"] == {"value": result.ece, "interval": list(result.ece.interval)}
    assert found["rows"] == 100
    assert found["rules"].keys() == {*NAMES, "null_ece"}
    assert "15 bins of equal width" in found["rules"]["ece"]


def test_an_estimate_is_a_number():
    estimate = sigmax.evaluate(*sampled(np.random.default_rng(16), 100, 3)).ece
    assert isinstance(estimate, float)
    assert f"{estimate:.3f}" == f"{float(estimate):.3f}"
    copy = pickle.loads(pickle.dumps(estimate))
    assert (copy, copy.interval) == (estimate, estimate.interval)
    assert np.array_equal(copy.resamples, estimate.resamples)


# ---------------------------------------------------------------- errors


def test_what_cannot_be_evaluated():
    logits, labels = sampled(np.random.default_rng(17), 50, 3)
    for function in (
        sigmax.evaluate,
        sigmax.reliability_curve,
        sigmax.calibration_error,
        sigmax.brier_score,
    ):
        with pytest.raises(ValueError, match="a row that counts"):
            function(logits, labels, sample_weight=0.0)
        bad = logits.copy()
        bad[7, 1] = np.nan
        with pytest.raises(
            ValueError, match=r"logits must not be NaN, got nan for class 1 at index \(7,\)"
        ):
            function(bad, labels)
        bad[7] = -np.inf
        with pytest.raises(
            ValueError, match=r"a class of positive probability, got none at index \(7,\)"
        ):
            function(bad, labels)
    with pytest.raises(ValueError, match=r"kind must be 'ece', .*got 'top'"):
        sigmax.calibration_error(logits, labels, kind="top")
    for name in ("bins", "resamples"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            sigmax.evaluate(logits, labels, **{name: 0})
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            sigmax.evaluate(logits, labels, **{name: 1.5})
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        sigmax.evaluate(logits, labels, seed=-1)
    with pytest.raises(ValueError, match="temperature must be"):
        sigmax.evaluate(logits, labels, temperature=0.0)
