"""Conformal sets: the definition row by row, coverage over many draws, blocks, options."""

import numpy as np
import pytest

import sigmax


def rows(rng, count, classes=6):
    z = rng.normal(size=(count, classes)) * 2
    return z, (0.7 * z + rng.gumbel(size=z.shape)).argmax(axis=1)


def score(p, k, method, penalty=0.0, free=0):
    """Not random: from the definition, by sorting one row."""
    if method == "lac":
        return 1 - p[k]
    order = sorted(range(len(p)), key=lambda j: (-p[j], j))
    rank = order.index(k)
    total = sum(p[j] for j in order[: rank + 1])
    return total + (penalty * max(0, rank + 1 - free) if method == "raps" else 0.0)


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
@pytest.mark.parametrize("per_class", [False, True])
def test_sets_by_the_definition(method, per_class):
    rng = np.random.default_rng(0)
    options = {"penalty": 0.05, "free": 2}
    z, y = rows(rng, 300)
    sets = sigmax.conformal_sets(
        z,
        y,
        method=method,
        coverage=0.85,
        randomized=False,
        per_class=per_class,
        temperature=1.4,
        **options,
    )
    p = sigmax.softmax(z, temperature=1.4)
    scores = np.array([score(p[n], y[n], method, 0.05, 2) for n in range(300)])

    def threshold(own):
        return np.sort(own)[int(np.ceil((len(own) + 1) * 0.85)) - 1]

    expected = [threshold(scores[y == k]) for k in range(6)] if per_class else threshold(scores)
    np.testing.assert_allclose(sets.threshold, expected, rtol=1e-12)
    new, _ = rows(rng, 50)
    p = sigmax.softmax(new, temperature=1.4)
    limits = np.broadcast_to(expected, 6)
    by_hand = [[score(q, k, method, 0.05, 2) <= limits[k] + 1e-12 for k in range(6)] for q in p]
    np.testing.assert_array_equal(sets.apply(new), by_hand)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "aps"},
        {"method": "raps", "penalty": 0.1, "free": 1},
        {"method": "aps", "randomized": False},
    ],
)
def test_coverage_is_what_was_promised(options):
    """Of 40 draws of 200 rows: between 0.9 and 0.9 + 1/201, give or take what 40 draws leave open."""
    rng = np.random.default_rng(1)
    covered = []
    for seed in range(40):
        sets = sigmax.conformal_sets(*rows(rng, 200), seed=seed, **options)
        covered.append(sets.measure(*rows(rng, 1000)).coverage)
    assert np.mean(covered) == pytest.approx(0.9025, abs=3 * np.std(covered) / np.sqrt(40))


def test_never_empty_and_random_numbers_by_row():
    rng = np.random.default_rng(2)
    z, y = rows(rng, 400)
    sets = sigmax.conformal_sets(z, y, coverage=0.3, method="aps")
    filled = sigmax.conformal_sets(z, y, coverage=0.3, method="aps", never_empty=True)
    new, labels = rows(rng, 500)
    assert (sets.apply(new).sum(axis=1) == 0).any()
    both = sets.apply(new) | (np.arange(6) == new.argmax(axis=1)[:, None])
    np.testing.assert_array_equal(filled.apply(new), both)
    parts = [sets.apply(new[:123]), sets.apply(new[123:], first=123)]
    np.testing.assert_array_equal(np.concatenate(parts), sets.apply(new))
    np.testing.assert_array_equal(sets.apply(new.T, 0).T, sets.apply(new))
    other = sigmax.conformal_sets(z, y, coverage=0.3, method="aps", seed=1)
    assert (other.apply(new) != sets.apply(new)).any()
    found = sets.measure(new, labels)
    chosen = sets.apply(new)
    assert found.coverage == chosen[np.arange(500), labels].mean()
    assert found.size == pytest.approx(chosen.sum(axis=1).mean())
    assert found.empty == (chosen.sum(axis=1) == 0).mean()
    np.testing.assert_array_equal(found.sizes, np.bincount(chosen.sum(axis=1), minlength=7))
    for k in range(6):
        assert found.coverage_of_class[k] == pytest.approx(chosen[labels == k, k].mean())


def test_too_few_rows_masked_classes_and_questions():
    z = np.array([[0.0, 1.0, -np.inf], [2.0, 0.0, -np.inf]])
    sets = sigmax.conformal_sets(z, [0, 1])
    assert sets.threshold == np.inf
    np.testing.assert_array_equal(sets.apply(z), [[True, True, False]] * 2)
    sets = sigmax.conformal_sets([1.0, 2.0, -1.0, -3.0, 0.5], [1, 1, 0, 0, 1], coverage=0.5)
    np.testing.assert_array_equal(sets.apply([0.1, 3.0]), [[False, False], [False, True]])


def test_errors():
    with pytest.raises(ValueError, match=r"coverage must be in \(0, 1\), got 1.0"):
        sigmax.conformal_sets([[0.0, 1.0]], [0], coverage=1.0)
    with pytest.raises(ValueError, match="labels must be class indices"):
        sigmax.conformal_sets([[0.0, 1.0]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="method must be"):
        sigmax.conformal_sets([[0.0, 1.0]], [0], method="all")
    with pytest.raises(ValueError, match="logits must have 2 classes along the axis, got 3"):
        sigmax.conformal_sets([[0.0, 1.0]], [0]).apply([[0.0, 1.0, 2.0]])
