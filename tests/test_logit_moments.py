"""Moments of logits (src/core/logit_moments.h) against ball arithmetic, at the limits, and beside each other.

The bits over batches, layouts, threads and levels are looked at with those of all kernels: kernel_inputs.py.
"""

from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from kernel_inputs import TYPES

from sigmax import _core

INF, NAN = np.inf, np.nan
UNIT = 2.0**-53
CLASSES = (1, 2, 3, 10, 31, 32, 33, 39, 40, 41, 63, 64, 65, 100, 1000)
BETAS = (0.0, 1e-300, 0.01, 0.3, 1.0, 1.7, 50.0, 1e9, 1e300)

every_type = pytest.mark.parametrize("dtype", TYPES)


def exact(z: np.ndarray, beta: float, reference: float) -> tuple[Any, Any, float, float]:
    """Mean and second moment of one row of finite logits, and the bounds of their errors."""
    ctx.prec = 2200
    logits, b, r = [arb(float(v)) for v in z], arb(beta), arb(reference)
    top = max(logits)
    y = [b * (v - top) for v in logits]
    weights = [v.exp() for v in y]
    total = sum(weights, arb(0))
    p = [w / total for w in weights]
    deviations = [v - r for v in logits]
    mean = sum((q * d for q, d in zip(p, deviations, strict=True)), arb(0))
    second = sum((q * d * d for q, d in zip(p, deviations, strict=True)), arb(0))
    energy = sum((q * abs(v) for q, v in zip(p, y, strict=True)), arb(0))
    # A class below e^-700 counts as 0, and its whole term is the error.
    n = len(z)
    additions = 24 + 2 * min(n, 64) + n / 16
    factors = [(additions + 3 * abs(v) + 3 * energy) * UNIT if v > -690 else arb(1) for v in y]
    terms = [q * f * abs(d) for q, f, d in zip(p, factors, deviations, strict=True)]
    squares = [q * f * d * d for q, f, d in zip(p, factors, deviations, strict=True)]
    return mean, second, float(sum(terms, arb(0))), float(sum(squares, arb(0)))


def assert_within_bounds(z: np.ndarray, beta: float, reference: float) -> None:
    found = _core.logit_moments(z, beta, reference)
    mean, second, mean_bound, second_bound = exact(z, beta, reference)
    what = f"{z.dtype} {len(z)} classes, b = {beta}, r = {reference}"
    assert abs(arb(float(found[0])) - mean) <= mean_bound + 5e-324, what
    assert abs(arb(float(found[1])) - second) <= second_bound + 5e-324, what


def rows(classes: int, dtype: str) -> np.ndarray:
    """Ordinary, confident, wide, tied, and with logits far from 0."""
    seeded = np.random.default_rng(classes)
    z = seeded.normal(0, 3, (6, classes))
    z[1, classes // 2] += 40
    z[2] *= 100
    z[3] = np.round(z[3])
    z[4] += 1000
    z[5] = -(10.0 ** seeded.uniform(-3, 3, classes))
    return z.astype(TYPES[dtype])


@every_type
@pytest.mark.parametrize(
    "classes", [*CLASSES[:-1], pytest.param(CLASSES[-1], marks=pytest.mark.slow)]
)
def test_error_bounds(classes: int, dtype: str) -> None:
    for i, z in enumerate(rows(classes, dtype)):
        for k, beta in enumerate(BETAS if classes <= 100 else BETAS[2:6]):
            if classes > 10 and (i + k) % 3:
                continue
            for reference in (float(z.max()), float(z[-1]), 0.0):
                assert_within_bounds(z, beta, reference)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("gap", [1.0, 30.0, 37.0, 100.0, 600.0, 690.0])
def test_confident_rows_keep_their_digits(gap: float, classes: int) -> None:
    """About the winner, the mean is the sum of the others' terms."""
    z = -np.random.default_rng(classes).uniform(gap, gap + 5, classes)
    z[3] = 0.0
    mean, second = _core.logit_moments(z, 1.0, 0.0)
    true_mean, true_second, *_ = exact(z, 1.0, 0.0)
    assert mean < 0 < second
    assert abs(arb(float(mean)) / true_mean - 1) <= (40 + 3 * gap) * UNIT
    assert abs(arb(float(second)) / true_second - 1) <= (40 + 3 * gap) * UNIT


@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 100])
def test_nothing_but_the_reference(classes: int) -> None:
    z = np.full(classes, -INF)
    z[classes // 2] = 1.7
    for beta in (0.0, 1.0, 1e-300, 1e300):
        assert _core.logit_moments(z, beta, 1.7) == (0.0, 0.0)
    assert _core.logit_moments(np.full(classes, 1.7), 0.3, 1.7) == (0.0, 0.0)


@every_type
@pytest.mark.parametrize("beta", [0.0, -0.0, 1e-300, 1e-10, 1.0, 1e10, 1e300])
@pytest.mark.parametrize("classes", [3, 10, 40, 100])
def test_impossible_classes_do_not_count(classes: int, beta: float, dtype: str) -> None:
    """As the row without them, up to the order of additions."""
    z = rows(classes, dtype)[0]
    possible = np.arange(classes) % 3 != 1
    masked = np.where(possible, z, z.dtype.type(-INF))
    found = _core.logit_moments(masked, beta, 0.25)
    expected = _core.logit_moments(z[possible].copy(), beta, 0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@every_type
@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 36, 64, 100, 1000])
def test_uniform_at_zero(classes: int, dtype: str) -> None:
    z = rows(classes, dtype)[0].astype(np.float64)
    found = _core.logit_moments(z.astype(TYPES[dtype]), 0.0, 0.5)
    np.testing.assert_allclose(found, [(z - 0.5).mean(), ((z - 0.5) ** 2).mean()], atol=1e-14)
    assert _core.logit_moments(z.astype(TYPES[dtype]), -0.0, 0.5) == found


@every_type
@pytest.mark.parametrize("classes", [0, 1, 10, 33, 100])
def test_rows_of_nothing(classes: int, dtype: str) -> None:
    z = np.full((5, classes), -INF, TYPES[dtype])
    for reference in (0.0, -INF, INF, NAN):
        for moment in _core.logit_moments(z, 1.0, reference):
            assert moment.dtype == np.float64
            assert moment.tobytes() == np.zeros(5).tobytes()


@every_type
@pytest.mark.parametrize("value", [INF, NAN, -NAN])
@pytest.mark.parametrize("classes", [1, 10, 33, 36, 100])
def test_nan_and_infinity(classes: int, value: float, dtype: str) -> None:
    """In its own row only, wherever it is, also beside -inf alone."""
    clean = rows(classes, dtype)
    for place in {0, classes // 2, classes - 1}:
        for background in (clean, np.full_like(clean, -INF)):
            z = background.copy()
            z[2, place] = value
            moments = np.array(_core.logit_moments(z, 1.0, 0.0))
            assert np.isnan(moments[:, 2]).all()
            others = np.arange(len(z)) != 2
            expected = np.array(_core.logit_moments(background, 1.0, 0.0))
            assert moments[:, others].tobytes() == expected[:, others].tobytes()


def test_nan_with_other_bits() -> None:
    """A payload in the low bits, which the exponential shifts."""
    payloads = np.array([0x7FF8000000000FFF, 0xFFF0000000000001, 0x7FF8000000000400], np.uint64)
    for value in payloads.view(np.float64):
        for z in ([value, 0.0], [value, -INF], [1.0] * 40 + [value], [-INF] * 40 + [value]):
            moments = np.array(_core.logit_moments(np.array(z), 1.0, 0.0))
            assert moments.tobytes() == np.full(2, NAN).tobytes()


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_reference_that_is_infinite(classes: int) -> None:
    """The label is impossible: the loss falls without end."""
    z = np.random.default_rng(0).normal(size=classes)
    z[0] = -INF
    assert _core.logit_moments(z, 1.0, -INF) == (INF, INF)
    assert _core.logit_moments(z, 1.0, INF) == (-INF, INF)
    assert np.isnan(_core.logit_moments(z, 1.0, NAN)).all()


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("beta", [-1.0, -1e-300, INF, 1.7e308, NAN])
def test_inverse_temperature_out_of_range(classes: int, beta: float) -> None:
    z = np.random.default_rng(0).normal(size=classes)
    assert np.isnan(_core.logit_moments(z, beta, 0.0)).all()


def test_range_that_overflows() -> None:
    z = np.array([1.5e308, -1.5e308])
    assert _core.logit_moments(z, 1.0, 1.5e308) == (0.0, 0.0)
    assert np.isnan(_core.logit_moments(z, 0.0, 1.5e308)).all()
    assert np.isnan(_core.logit_moments(z, 1e-308, 1.5e308)).all()
    largest = np.finfo(np.float32).max
    found = _core.logit_moments(np.array([largest, -largest]), 0.0, 0.0)
    assert found == (0.0, float(largest) ** 2)


@every_type
@pytest.mark.parametrize("classes", [10, 100])
def test_neighbours_do_not_matter(classes: int, dtype: str) -> None:
    """A row is computed with those around it; one that counts classes as 0 changes nothing in another."""
    z = rows(classes, dtype).repeat(20, axis=0)
    expected = np.array(_core.logit_moments(z, 1.0, 0.0))
    z[7::10, 0] = -INF
    z[3::10] *= z.dtype.type(50)
    found = np.array(_core.logit_moments(z, 1.0, 0.0))
    same = np.arange(len(z)) % 10
    same = (same != 7) & (same != 3)
    assert found[:, same].tobytes() == expected[:, same].tobytes()


def test_operands_per_row() -> None:
    z = np.random.default_rng(1).normal(size=(3, 50, 12)).astype(np.float32)
    beta = np.geomspace(0.1, 10, 50)
    reference = z[..., 4].astype(np.float64)
    mean, second = _core.logit_moments(z, beta, reference)
    assert mean.shape == second.shape == (3, 50)
    for i in np.ndindex(3, 50):
        found = _core.logit_moments(z[i], beta[i[1]], reference[i])
        assert found == (mean[i], second[i])


def test_a_newton_step_is_the_derivative() -> None:
    """Of the loss log Σ e^(b·z) - b·z_label: by finite differences in ball arithmetic."""
    z, label = np.random.default_rng(2).normal(0, 2, 20), 3
    mean, second = _core.logit_moments(z, 0.8, z[label])
    ctx.prec = 400
    logits = [arb(v) for v in z]

    def loss(b: arb) -> arb:
        return sum(((b * v).exp() for v in logits), arb(0)).log() - b * logits[label]

    b, h = arb(0.8), arb(2) ** -100
    slope = (loss(b + h) - loss(b - h)) / (2 * h)
    curvature = (loss(b + h) - 2 * loss(b) + loss(b - h)) / (h * h)
    np.testing.assert_allclose(mean, float(slope), rtol=1e-13)
    np.testing.assert_allclose(second - mean**2, float(curvature), rtol=1e-13)
