"""Two models on the same rows: against independent definitions, in all layouts, and coverage by simulation."""

import json
import math
import pickle

import dask.array as da
import numpy as np
import pytest
import reference
from flint import arb, ctx
from reference import of_floats

import sigmax


def pair(rows=400, classes=5, noise=0.3, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, classes)) * 3).astype(dtype)
    y = (x + rng.normal(size=x.shape) * noise).astype(dtype)
    return x, y, (x + rng.gumbel(size=x.shape)).argmax(axis=1)


def log_softmax(x):
    x = x.astype(np.longdouble)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def divergences(x, y):
    p, q = log_softmax(x), log_softmax(y)
    return (np.exp(p) * (p - q)).sum(axis=-1).astype(float)


# ---------------------------------------------------------------- definitions


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_definitions(weighted, soft):
    x, y, labels = pair()
    rng = np.random.default_rng(1)
    weight = rng.random(len(x)) + 0.1 if weighted else None
    w = np.ones(len(x)) if weight is None else weight
    q = rng.dirichlet(np.ones(5) / 2, len(x)) if soft else np.eye(5)[labels]
    result = sigmax.compare(x, y, q if soft else labels, sample_weight=weight)
    forth, back = divergences(x, y), divergences(y, x)
    for found, values in ((result.kl, forth), (result.reverse_kl, back)):
        assert found.mean == pytest.approx(np.average(values, weights=w), rel=1e-12)
        assert found.largest == pytest.approx(values.max(), rel=1e-12)
        assert found.smallest == pytest.approx(values.min(), rel=1e-9)
        assert found.row == (values.argmax(),)
        for share, value in found.quantiles.items():
            expected = np.quantile(values, share, method="inverted_cdf")
            assert value == pytest.approx(expected, rel=1e-9)
    n, a, b = np.arange(len(x)), x.argmax(axis=1), y.argmax(axis=1)
    assert result.agreement == pytest.approx(np.average(a == b, weights=w), rel=1e-14)
    gain = q[n, b] - q[n, a]
    assert result.fixed == pytest.approx(np.average(np.maximum(gain, 0), weights=w), rel=1e-12)
    assert result.broken == pytest.approx(np.average(np.maximum(-gain, 0), weights=w), rel=1e-12)
    losses = [-(q * log_softmax(z)).sum(axis=1).astype(float) for z in (x, y)]
    means = [np.average(loss, weights=w) for loss in losses]
    assert result.perplexity["base"] == pytest.approx(math.exp(means[0]), rel=1e-12)
    assert result.perplexity["other"] == pytest.approx(math.exp(means[1]), rel=1e-12)
    assert result.perplexity["ratio"] == pytest.approx(math.exp(means[1] - means[0]), rel=1e-12)
    assert result.difference["nll"] == pytest.approx(means[1] - means[0], rel=1e-11)
    for name in ("accuracy", "brier", "ece", "classwise_ece"):
        expected = getattr(result.other, name) - getattr(result.base, name)
        assert result.difference[name] == pytest.approx(expected, abs=1e-15)
    assert result.difference["accuracy"] == pytest.approx(result.fixed - result.broken, abs=1e-14)


def test_flips_by_confidence():
    x, y, _ = pair(noise=1.0)
    table = sigmax.compare(x, y, bins=4).by_confidence
    confidence = np.exp(log_softmax(x)).max(axis=1)
    flips = x.argmax(axis=1) != y.argmax(axis=1)
    for k in range(4):
        rows = (confidence > k / 4) & (confidence <= (k + 1) / 4)
        assert (table["lower"][k], table["upper"][k]) == (k / 4, (k + 1) / 4)
        assert table["rows"][k] == rows.sum()
        assert table["flips"][k] == (flips & rows).sum()
        if rows.any():
            assert table["kl"][k] == pytest.approx(divergences(x, y)[rows].mean(), rel=1e-12)
        else:
            assert np.isnan(table["kl"][k])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [1e-4, 1e-5])
def test_close_models_keep_the_digits_of_their_divergence(noise, dtype):
    """KL of 1e-9 and less, of which float32 frameworks make numbers of both signs."""
    x, y, _ = pair(60, 50, noise, dtype)
    result = sigmax.compare(x, y)
    with ctx.workprec(200):
        exact = []
        for a, b in zip(x, y, strict=True):
            p, q = reference.log_softmax(of_floats(a)), reference.log_softmax(of_floats(b))
            exact.append(sum((u.exp() * (u - v) for u, v in zip(p, q, strict=True)), arb(0)))
        mean = float(sum(exact, arb(0)) / len(exact))
    assert mean < 2e-8
    assert result.kl.mean == pytest.approx(mean, rel=1e-6)
    assert result.kl.largest == pytest.approx(float(max(exact)), rel=1e-6)
    assert result.kl.smallest == pytest.approx(float(min(exact)), rel=1e-6)
    assert result.kl.smallest >= 0
    assert result.kl.quantiles[0.5] == pytest.approx(sorted(map(float, exact))[29], rel=1e-6)


def test_equal_models():
    x, _, labels = pair(dtype=np.float32)
    result = sigmax.compare(x, x, labels)
    assert (result.kl.mean, result.kl.largest, result.agreement) == (0, 0, 1)
    assert result.kl.mean.interval == (0, 0)
    assert result.perplexity["ratio"] == 1
    assert result.perplexity["ratio"].interval == (1, 1)
    assert set(result.difference.values()) == {0}


# ---------------------------------------------------------------- forms of the input


def same(result, expected):
    assert json.dumps(result.to_dict()) == json.dumps(expected.to_dict())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    frames = pytest.importorskip(library)
    x, y, labels = pair(60, 4)
    of_frames = sigmax.compare(frames.DataFrame(x), frames.DataFrame(y), frames.Series(labels))
    same(of_frames, sigmax.compare(x, y, labels))


def test_probabilities_and_any_axis():
    x, y, labels = pair(60, 4)
    expected = sigmax.compare(x, y, labels)
    same(sigmax.compare(x.T, y.T, labels, axis=0), expected)
    same(sigmax.compare(x.tolist(), y.tolist(), labels.tolist()), expected)
    shaped = [z.reshape(6, 10, -1) for z in (x, y)]
    there = sigmax.compare(*shaped, labels.reshape(6, 10))
    assert there.kl.row == (expected.kl.row[0] // 10, expected.kl.row[0] % 10)
    assert there.kl.mean == expected.kl.mean
    p, q = sigmax.softmax(x), sigmax.softmax(y)
    of_p = sigmax.compare(p, q, labels, from_logits=False)
    assert of_p.kl.mean == pytest.approx(expected.kl.mean, rel=1e-9)
    assert of_p.perplexity["ratio"] == pytest.approx(expected.perplexity["ratio"], rel=1e-12)
    cooled = sigmax.compare(x, y, labels, temperature=2.0)
    same(cooled, sigmax.compare(x, y, labels, temperature=np.full(60, 2.0)))
    assert cooled.kl.mean == pytest.approx(divergences(x / 2, y / 2).mean(), rel=1e-12)


@pytest.mark.parametrize("which", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("grouped", [False, True])
def test_dask_gives_the_same(which, grouped):
    x, y, labels = pair(500, 4)
    groups = np.arange(500) // 7 if grouped else None
    expected = sigmax.compare(x, y, labels, groups=groups).to_dict()
    blocks = [
        da.from_array(z, chunks=(n, 4)) if lazy else z
        for z, n, lazy in zip((x, y), (130, 77), which, strict=True)
    ]
    found = sigmax.compare(*blocks, labels, groups=groups).to_dict()
    assert_alike(found, expected)


def assert_alike(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_alike(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    else:
        assert found == expected


def test_chunks_change_nothing(monkeypatch):
    x, y, labels = pair(500, 4)
    expected = sigmax.compare(x, y, labels).to_dict()
    monkeypatch.setattr(sigmax._rows, "_CHUNK", 40)
    assert_alike(sigmax.compare(x, y, labels).to_dict(), expected)


def test_what_does_not_count():
    x, y, labels = pair(100, 4)
    expected = sigmax.compare(x[10:], y[10:], labels[10:])
    marked = np.where(np.arange(100) < 10, -100, labels)
    broken = x.copy()
    broken[:10] = np.nan
    found = sigmax.compare(broken, y, marked, ignore_index=-100)
    assert found.kl.mean == expected.kl.mean
    assert found.kl.row == (expected.kl.row[0] + 10,)
    of_weight_0 = sigmax.compare(x, y, labels, sample_weight=1.0 * (np.arange(100) >= 10))
    assert of_weight_0.kl.mean == expected.kl.mean
    assert of_weight_0.rows == 90
    where = np.ones(4, bool)
    where[3] = False
    masked = sigmax.compare(x, y, where=where)
    assert masked.kl.mean == pytest.approx(divergences(x[:, :3], y[:, :3]).mean(), rel=1e-12)


def test_a_class_that_one_model_excludes():
    x, y = np.zeros((3, 2)), np.zeros((3, 2))
    y[1, 1] = -np.inf
    result = sigmax.compare(x, y)
    assert result.kl.mean == result.kl.largest == math.inf
    assert (result.kl.infinite, result.kl.row, result.kl.quantiles[0.5]) == (1, (1,), 0.0)
    assert result.reverse_kl.mean == pytest.approx(math.log(2) / 3)
    assert result.reverse_kl.infinite == 0
    labelled = sigmax.compare(x, y, [0, 1, 0])
    assert labelled.difference["nll"] == math.inf
    assert labelled.perplexity["other"] == math.inf


def test_one_row():
    result = sigmax.compare([1.0, 0.0], [0.0, 1.0], 0)
    assert (result.rows, result.kl.row, result.agreement, result.broken) == (1, (), 0.0, 1.0)
    assert all(map(math.isnan, result.kl.mean.interval))


def test_a_result_travels():
    result = sigmax.compare(*pair(50))
    same(pickle.loads(pickle.dumps(result)), result)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": np.zeros((2, 4))}, r"base and other must have one shape, got \(2, 3\) and \(2, 4\)"),
        ({"base": np.array([["a"]])}, r"base must be real numbers, got dtype <U1"),
        ({"other": np.array([[0, np.nan, 1], [0, 1, 2.0]])}, r"other must not be NaN, .* class 1 at index \(0,\)"),
        ({"base": np.array([[0, 1.0, 1], [-np.inf] * 3])}, r"base must leave each row .* at index \(1,\)"),
        ({"labels": [0, 3]}, r"labels must be in \[0, 3\), got 3 at index \(1,\)"),
        ({"ignore_index": -1}, r"ignore_index needs labels"),
        ({"quantiles": [1.5]}, r"quantiles must be numbers in \[0, 1\], got \[1.5\]"),
        ({"quantiles": 3}, r"quantiles must be numbers"),
        ({"from_logits": False}, r"base must be in \[0, 1\]"),
        ({"axis": 2}, r"axis"),
        ({"groups": [1]}, r"groups"),
        ({"bins": 0}, r"bins must be"),
        ({"sample_weight": [0.0, 0.0]}, r"base must have a row that counts"),
    ],
)  # fmt: skip
def test_errors(change, message):
    x = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    given = {"base": x, "other": x, "labels": None} | change
    arrays = [given.pop(name) for name in ("base", "other", "labels")]
    with pytest.raises((ValueError, TypeError), match=message):
        sigmax.compare(*arrays, **given)


# ---------------------------------------------------------------- intervals


def test_copies_in_one_group_say_nothing_new():
    """As tokens of one document that are all alike: intervals are those of one of each."""
    x, y, labels = pair(200)
    one = sigmax.compare(x, y, labels)
    copies = [np.repeat(z, 7, axis=0) for z in (x, y, labels)]
    many = sigmax.compare(*copies, groups=np.repeat(np.arange(200), 7))
    alone = sigmax.compare(*copies)
    for of in (
        lambda c: c.kl.mean, lambda c: c.reverse_kl.mean, lambda c: c.agreement, lambda c: c.broken,
        lambda c: c.perplexity["ratio"], lambda c: c.difference["accuracy"], lambda c: c.difference["nll"],
    ):  # fmt: skip
        assert of(many).interval == pytest.approx(of(one).interval, rel=1e-9, abs=1e-12)
        assert np.ptp(of(alone).interval) < 0.7 * np.ptp(of(one).interval)


@pytest.mark.slow
@pytest.mark.parametrize("documents", [None, 40])
def test_intervals_hold_the_truth(documents):
    """Of 95 %: of rows that are drawn, and of documents of which each has its own noise."""
    covered = {"kl": [], "agreement": [], "ratio": []}
    rng = np.random.default_rng(5)

    def sample(count, size):
        scale = np.repeat(np.exp(rng.normal(size=(count, 1)) * 0.3), size, axis=0)
        x = rng.normal(size=(count * size, 4)) * 2
        y = x + rng.normal(size=x.shape) * 0.5 * scale
        return x, y, (x + rng.gumbel(size=x.shape)).argmax(axis=1)

    count, size = (300, 1) if documents is None else (documents, 20)
    x, y, labels = sample(400_000 // size, size)
    whole = sigmax.compare(x, y, labels, resamples=1)
    truth = {"kl": whole.kl.mean, "agreement": whole.agreement, "ratio": whole.perplexity["ratio"]}
    for _ in range(400):
        x, y, labels = sample(count, size)
        groups = None if size == 1 else np.arange(len(x)) // size
        result = sigmax.compare(x, y, labels, groups=groups, resamples=400)
        found = {"kl": result.kl.mean, "agreement": result.agreement}
        found["ratio"] = result.perplexity["ratio"]
        for name, estimate in found.items():
            low, high = estimate.interval
            covered[name].append(low <= truth[name] <= high)
    for name, held in covered.items():
        assert 0.905 <= np.mean(held) <= 0.985, (name, np.mean(held))
