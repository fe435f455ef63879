"""What every loss has in common: the compensated sum, the divisor of the mean, the type of the result."""

import math

import numpy as np
import pytest
from kernel_inputs import TYPES

import sigmax
from sigmax import _core
from sigmax._arguments import reduction as check_reduction
from sigmax._reduction import divisor, reduced

# Part vectors, part blocks of lanes, chunks of 16,384.
COUNTS = (0, 1, 2, 7, 31, 32, 33, 64, 100, 1000, 16_384, 16_385, 100_003)


# ---------------------------------------------------------------- total


@pytest.mark.parametrize("count", COUNTS)
def test_total_is_correctly_rounded(count: int) -> None:
    seeded = np.random.default_rng(count)
    for x in (
        seeded.exponential(size=count),
        seeded.normal(size=count) * 10.0 ** seeded.uniform(-12, 12, count),
        np.full(count, 0.1),
        np.full(count, 5e-324),
    ):
        assert _core.total(x) == math.fsum(x)


def test_total_of_numbers_that_cancel() -> None:
    seeded = np.random.default_rng(0)
    x = seeded.normal(size=50_000) * 1e16
    x = np.concatenate([x, -x, [1.0]])[seeded.permutation(100_001)]
    assert _core.total(x) == 1.0


def test_total_of_infinities_and_nan() -> None:
    for count in (1, 5, 100, 40_000):
        for index in (0, count // 2, count - 1):
            x = np.ones(count)
            for value in (np.inf, -np.inf, np.nan):
                x[index] = value
                assert np.array_equal(_core.total(x), value, equal_nan=True)
            if count > 1:
                x[index], x[index - 1] = np.inf, -np.inf
                assert math.isnan(_core.total(x))


def test_total_is_the_same_for_every_layout_and_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(size=(300, 400)) * 1e3
    expected = _core.total(x)
    for count in (1, 2, 3):
        sigmax.set_num_threads(count)
        for same in (x, x.copy(order="F"), x[::-1].copy()[::-1], x.ravel(), x.astype(">f8")):
            assert _core.total(same) == expected


def test_total_refuses_what_is_not_real() -> None:
    with pytest.raises(TypeError):
        _core.total(np.ones(3, complex))


# ---------------------------------------------------------------- divisor


def test_divisor() -> None:
    assert divisor(None, 7, "mean", None) == 7
    assert divisor(np.array([1.0, 0.5]), 2, "mean", None) == 1.5
    assert divisor(np.array([1.0, -0.25]), 2, "mean", None) == 0.75
    assert divisor(np.array([-1.0]), 1, "mean", 3) == 3
    assert divisor(np.array([-1.0]), 1, "sum", 3) == 1
    assert divisor(None, 7, "none", None) == 1


def test_nothing_left_to_average() -> None:
    assert divisor(None, 0, "mean", None) == np.inf
    assert divisor(np.zeros(3), 3, "mean", None) == np.inf


@pytest.mark.parametrize(
    ("weights", "got"), [([1.0, -1.0], "0.0"), ([-2.0], "-2.0"), ([-1e308, -1e308], "-inf")]
)
def test_no_positive_divisor(weights: list[float], got: str) -> None:
    with pytest.raises(ValueError, match=rf"sample_weight .*positive sum.*got {got}: pass"):
        divisor(np.array(weights), len(weights), "mean", None)


@pytest.mark.parametrize(
    "reduction", ["average", None, b"mean", ["mean"], np.array(["mean", "sum"])]
)
def test_unknown_reduction(reduction: object) -> None:
    with pytest.raises(ValueError, match="reduction must be 'none', 'sum' or 'mean', got"):
        check_reduction(reduction, None)


@pytest.mark.parametrize("normalizer", [0, -1.5, np.inf, np.nan])
def test_normalizer_out_of_range(normalizer: float) -> None:
    with pytest.raises(ValueError, match=rf"normalizer must be in \(0, inf\), got {normalizer}"):
        check_reduction("mean", normalizer)


@pytest.mark.parametrize("normalizer", ["2", True, [2.0], 1j])
def test_normalizer_of_another_type(normalizer: object) -> None:
    with pytest.raises(TypeError, match="normalizer must be a real number, got"):
        check_reduction("mean", normalizer)


# ---------------------------------------------------------------- result


@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_types(dtype: type) -> None:
    losses = np.array([[1.0, 2.5], [0.25, 4.0]])
    for reduction, expected in (("none", losses), ("sum", 7.75), ("mean", 1.9375)):
        result = reduced(losses, reduction, 4.0 if reduction == "mean" else 1.0, np.dtype(dtype))
        assert result.dtype == dtype
        assert np.array_equal(result, np.asarray(expected, dtype))


def test_a_loss_beyond_the_type_is_infinite() -> None:
    assert reduced(np.array([1e6]), "sum", 1.0, np.dtype(np.float16)) == np.inf


def test_dask() -> None:
    array = pytest.importorskip("dask.array")
    losses = array.from_array(np.arange(10.0), chunks=4)
    result = reduced(
        losses, "mean", divisor(array.ones(10, chunks=4), 10, "mean", None), np.float32
    )
    assert isinstance(result, array.Array)
    assert result.dtype == np.float32
    assert result.compute() == 4.5
