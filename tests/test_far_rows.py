"""Rows far from 0, of huge spread or temperature, beside ordinary ones: at the borders, mixed, in every layout."""

import numpy as np
import pytest

import sigmax

FUNCTIONS = {
    "softmax": sigmax.softmax,
    "log_softmax": sigmax.log_softmax,
    "logsumexp": sigmax.logsumexp,
}
LARGEST_ERROR = {"float32": 1.0, "float64": 2.0}  # the contract
SPREAD = {
    "float32": 55.45,
    "float64": 554.5,
}  # kTop * ln 2: below the largest logit by more, and a row is not moderate
REACH = {"float32": 2.0**10, "float64": 2.0**20}
CLASSES = (2, 10, 32, 33, 40, 100, 513, 1000)

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_type = pytest.mark.parametrize("dtype", LARGEST_ERROR)
every_count = pytest.mark.parametrize("classes", CLASSES)


def exact(name: str, x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The textbook formulas in long double, the ties apart."""
    y = x.astype(np.longdouble) / np.longdouble(temperature)
    top = y.max(-1, keepdims=True)
    e = np.exp(y - top)
    others = np.where(y < top, e, 0).sum(-1, keepdims=True)
    log_total = np.log1p(others + ((y == top).sum(-1, keepdims=True) - 1))
    if name == "softmax":
        return e / e.sum(-1, keepdims=True)
    return y - top - log_total if name == "log_softmax" else (top + log_total)[..., 0]


def largest_error(result: np.ndarray, expected: np.ndarray) -> float:
    """In ULP; float64's subnormal results are not looked at, which long double formulas round twice."""
    spacing = np.spacing(np.abs(expected).astype(result.dtype)).astype(np.longdouble)
    normal = np.abs(expected) >= np.finfo(result.dtype).tiny
    return float(np.max(np.abs(result - expected) / spacing, where=normal, initial=0))


def rows(classes: int, dtype: str, count: int = 37) -> np.ndarray:
    """Moderate rows."""
    return (4 * np.random.default_rng(classes).standard_normal((count, classes))).astype(dtype)


def mixed_rows(classes: int, dtype: str) -> np.ndarray:
    """Every third row is not moderate, for one reason or another."""
    x = rows(classes, dtype, count=150)
    far = SPREAD[dtype] * 1.5
    for i, (place, value) in enumerate(
        [(0, -np.inf), (-1, -far), (0, np.nan), (1, 1e30), (-1, np.inf), (0, far)] * 8
    ):
        x[3 * i, place] = value
    return x


@every_function
@every_type
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("distance", [0.5, 0.98, 1.0, 1.02, 1.4])
def test_spread(name: str, dtype: str, classes: int, distance: float) -> None:
    x = rows(classes, dtype)
    x[:, 0] = (
        x.max(-1)
        - np.array(distance * SPREAD[dtype], dtype)
        + np.linspace(-0.2, 0.2, len(x)).astype(dtype)
    )
    assert largest_error(FUNCTIONS[name](x), exact(name, x)) < LARGEST_ERROR[dtype]


@every_function
@every_type
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("distance", [-1.01, -0.99, -0.5, 0.5, 0.99, 1.01])
def test_reach(name: str, dtype: str, classes: int, distance: float) -> None:
    x = rows(classes, dtype) + np.array(distance * REACH[dtype], dtype)
    assert largest_error(FUNCTIONS[name](x), exact(name, x)) < LARGEST_ERROR[dtype]


@every_function
@every_type
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("temperature", [2.0**-21, 2.0**-20, 1e-3, 0.7, 3.0, 1e3, 2.0**20, 2.0**21])
def test_temperature(name: str, dtype: str, classes: int, temperature: float) -> None:
    x = (rows(classes, dtype) * np.array(temperature, dtype)).astype(dtype)
    result = FUNCTIONS[name](x, temperature=temperature)
    assert largest_error(result, exact(name, x, temperature)) < LARGEST_ERROR[dtype]


@every_type
@pytest.mark.parametrize(("classes", "count"), [(5000, 300), (70_001, 20)])
def test_sums_of_many_classes(dtype: str, classes: int, count: int) -> None:
    """Confident rows among them: what the low part of a sum loses shows in all probabilities of the row."""
    x = rows(classes, dtype, count)
    assert largest_error(sigmax.softmax(x), exact("softmax", x)) < 0.8
    assert largest_error(sigmax.log_softmax(x), exact("log_softmax", x)) < 0.8


@every_type
@every_count
def test_logsumexp_of_log_probabilities(dtype: str, classes: int) -> None:
    """The largest logit cancels nearly all of the logarithm."""
    x = sigmax.log_softmax(rows(classes, dtype)) + np.array(2.0**-6, dtype)
    for layout in (x, np.asfortranarray(x)):
        error = np.abs(sigmax.logsumexp(layout) - exact("logsumexp", x))
        eps = np.finfo(dtype).eps
        bound = (
            eps * 2.0**-6 if dtype == "float32" else eps / 16
        )  # an ULP of the result; of the terms, over 16
        assert (error <= bound).all()


@every_function
@every_type
@every_count
def test_neighbours_do_not_matter(name: str, dtype: str, classes: int) -> None:
    x = mixed_rows(classes, dtype)
    alone = np.stack([np.asarray(FUNCTIONS[name](row)) for row in x])
    for layout in (x, np.asfortranarray(x)):
        assert FUNCTIONS[name](layout).tobytes() == alone.tobytes()


@every_type
@every_count
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_in_place(name: str, dtype: str, classes: int) -> None:
    x = mixed_rows(classes, dtype)
    expected = FUNCTIONS[name](x)
    for layout in (x.copy(), np.asfortranarray(x)):
        FUNCTIONS[name](layout, out=layout)
        assert np.ascontiguousarray(layout).tobytes() == expected.tobytes()


@every_function
@every_type
@every_count
def test_a_temperature_per_row_is_that_temperature(name: str, dtype: str, classes: int) -> None:
    x = mixed_rows(classes, dtype)
    temperatures = np.geomspace(0.1, 10, len(x))
    each = np.stack(
        [
            np.asarray(FUNCTIONS[name](row, temperature=float(t)))
            for row, t in zip(x, temperatures, strict=True)
        ]
    )
    for layout in (x, np.asfortranarray(x)):
        assert FUNCTIONS[name](layout, temperature=temperatures).tobytes() == each.tobytes()
