"""Intervals of few units: Student's t, and quantiles of resamples that go further out."""

import numpy as np
import pytest

from sigmax import _intervals


@pytest.mark.parametrize(
    ("units", "table"),  # the 97.5 % points of Student's t, as printed in tables
    [(2, 12.706), (3, 4.303), (6, 2.571), (11, 2.228), (31, 2.042), (121, 1.980), (1001, 1.962)],
)
def test_few_units_have_students_t(units, table):
    assert _intervals.quantile(0.95, units) == pytest.approx(table, abs=6e-4)


def test_many_units_are_normal():
    assert _intervals.quantile(0.95, 10**6) == pytest.approx(1.959964, abs=1e-6)
    assert _intervals.quantile(0.0, 5) == 0


def test_the_mean_of_ten_normal_numbers_is_held():
    """Plain quantiles of resamples of ten numbers hold their mean in 90 % of the samples."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(1000):
        x = rng.normal(size=10)
        means = rng.choice(x, (1000, 10)).mean(axis=1)
        low, high = _intervals.percentiles(means, 0.95, 10)
        held += low <= 0 <= high
    assert 0.93 < held / 1000 < 0.97


def test_both_ends_of_a_quantile_have_as_many_resamples_beyond():
    assert _intervals.percentiles(np.arange(200.0), 0.95) == (4.0, 195.0)
