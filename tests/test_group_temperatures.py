"""A temperature for each group: alone, common, and between them by the definition."""

import math

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3000, 4)) * 3
GROUPS = RNG.integers(0, 5, 3000)
T = np.exp(RNG.normal(size=5) * 0.3)
LABELS = (LOGITS / T[GROUPS][:, None] + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)


def test_without_shrinkage_each_group_alone():
    fit = sigmax.fit_group_temperatures(LOGITS, LABELS, GROUPS, shrinkage=1e6)
    for k in range(5):
        alone = sigmax.fit_temperature(LOGITS[k == GROUPS], LABELS[k == GROUPS])
        assert fit.temperatures[k] == pytest.approx(alone.temperature, rel=1e-9)
        assert fit.rows[k] == (k == GROUPS).sum()


def test_with_all_shrinkage_the_common_one():
    fit = sigmax.fit_group_temperatures(LOGITS, LABELS, GROUPS, shrinkage=0.0)
    assert set(fit.temperatures.values()) == {sigmax.fit_temperature(LOGITS, LABELS).temperature}


@pytest.mark.parametrize("tau", [0.02, 0.2, 2.0])
def test_the_penalised_minimum_by_a_grid(tau):
    names = np.array(["a", "b", "c", "d", "e"])[GROUPS]
    fit = sigmax.fit_group_temperatures(LOGITS, LABELS, names, shrinkage=tau)
    pooled = fit.pooled.temperature
    own = names == "b"

    def loss(theta):
        nll = sigmax.cross_entropy(
            LOGITS[own], LABELS[own], temperature=pooled * math.exp(theta), reduction="sum"
        )
        return nll + theta**2 / (2 * tau**2)

    best = math.log(fit.temperatures["b"] / pooled)
    assert loss(best) <= min(loss(best + step) for step in (-1e-4, 1e-4))


def test_spread_is_that_between_groups():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 200)
    z = rng.normal(size=(12000, 3)) * 3
    own = np.exp(rng.normal(size=60) * 0.4)[groups]
    y = (z / own[:, None] + rng.gumbel(size=z.shape)).argmax(axis=1)
    assert sigmax.fit_group_temperatures(z, y, groups).spread == pytest.approx(0.4, rel=0.3)
    same = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    assert sigmax.fit_group_temperatures(z, same, groups).spread < 0.1


def test_small_and_separable_groups_stay_near_the_others():
    z = np.vstack([LOGITS[GROUPS < 2], [[9.0, 0.0, 0.0, 0.0]]])
    y = np.append(LABELS[GROUPS < 2], 0)
    fit = sigmax.fit_group_temperatures(z, y, np.append(GROUPS[GROUPS < 2], 9), shrinkage=0.3)
    assert fit.temperatures[9] == pytest.approx(fit.pooled.temperature, rel=0.05)


def test_apply_knows_groups_and_not_others():
    fit = sigmax.fit_group_temperatures(LOGITS, LABELS, GROUPS)
    expected = sigmax.softmax(LOGITS[:2], temperature=[fit.temperatures[3], fit.pooled.temperature])
    np.testing.assert_array_equal(fit.apply(LOGITS[:2], [3, 77]), expected)
    binary = sigmax.fit_group_temperatures(LOGITS[:, 0], LABELS == 0, GROUPS)
    p = sigmax.sigmoid(LOGITS[:1, 0] / binary.temperatures[2])
    np.testing.assert_allclose(binary.apply(LOGITS[:1, 0], [2]), p, rtol=1e-14)


def test_no_best_temperature():
    fit = sigmax.fit_group_temperatures([[2.0, 0.0], [0.0, 1.0]], [0, 1], [0, 1])
    assert fit.status == "separable"
    with pytest.raises(ValueError, match="the best temperature is 0"):
        fit.apply([[2.0, 0.0]], [0])


def test_names_as_a_column_of_pandas_has_them():
    """Such a column is an array of objects, whose names are Python's."""
    names = np.array(["a", "b", "c", "d", "e"])[GROUPS]
    fit = sigmax.fit_group_temperatures(LOGITS, LABELS, names)
    of_objects = sigmax.fit_group_temperatures(LOGITS, LABELS, names.astype(object))
    assert fit.temperatures == of_objects.temperatures
    p = of_objects.apply(LOGITS[:3], np.array(["a", "b", "new"], object))
    np.testing.assert_array_equal(p, fit.apply(LOGITS[:3], np.array(["a", "b", "new"])))
