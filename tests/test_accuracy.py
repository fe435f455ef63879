"""The numerical contract, one row per function and type, against the definitions in reference.py."""

from collections.abc import Callable

import pytest
from accuracy_cases import (
    AXIS,
    BINARY_LOSSES,
    CLASSES,
    ELEMENTWISE,
    LOSS_CLASSES,
    LOSSES,
    MANY_CLASSES,
    TYPES,
    Error,
    axis_error,
    axis_vjp_error,
    binary_loss_error,
    binary_loss_gradient_error,
    elementwise_error,
    elementwise_vjp_error,
    loss_error,
    loss_gradient_error,
)

CORRECTLY_ROUNDED = 0.5
# type: (elementwise, everything else); the error must not exceed the first kind of bound and must be below the others
CONTRACT = {
    "float16": (CORRECTLY_ROUNDED, 0.51),
    "bfloat16": (CORRECTLY_ROUNDED, 0.51),
    "float32": (CORRECTLY_ROUNDED, 1.0),
    "float64": (1.0, 2.0),
}


def lengths(classes: tuple[int, ...]) -> pytest.MarkDecorator:
    """Balls take their time: the second border between vectors and the longest rows are slow tests."""
    slow = (63, 64, 65, 1000)
    values = [pytest.param(n, marks=pytest.mark.slow if n in slow else ()) for n in classes]
    return pytest.mark.parametrize("classes", values)


def within(error: float, bound: float) -> bool:
    return error <= bound if bound < 1 else error < bound


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str, dtype: str) -> None:
    error = elementwise_error(name, dtype)
    assert within(error.ulp, CONTRACT[dtype][0]), error


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_vjp(name: str, dtype: str) -> None:
    error = elementwise_vjp_error(name, dtype)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", BINARY_LOSSES)
@pytest.mark.parametrize("measure", [binary_loss_error, binary_loss_gradient_error])
def test_binary_loss(measure: Callable[[str, str], Error], name: str, dtype: str) -> None:
    error = measure(name, dtype)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.parametrize("dtype", TYPES)
@lengths(CLASSES)
@pytest.mark.parametrize("name", AXIS)
def test_axis(name: str, classes: int, dtype: str) -> None:
    error = axis_error(name, dtype, classes)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.parametrize("dtype", TYPES)
@lengths(CLASSES)
@pytest.mark.parametrize("name", AXIS)
def test_axis_vjp(name: str, classes: int, dtype: str) -> None:
    error = axis_vjp_error(name, dtype, classes)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.parametrize("dtype", TYPES)
@lengths(LOSS_CLASSES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str, classes: int, dtype: str) -> None:
    error = loss_error(name, dtype, classes)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.parametrize("dtype", TYPES)
@lengths(LOSS_CLASSES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_gradient(name: str, classes: int, dtype: str) -> None:
    error = loss_gradient_error(name, dtype, classes)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", MANY_CLASSES)
@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "entropy"])
def test_many_classes(name: str, classes: int, dtype: str) -> None:
    error = axis_error(name, dtype, classes, rows=1, kinds=("spread 1",), sample=2000)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_many_classes_vjp(name: str, dtype: str) -> None:
    error = axis_vjp_error(name, dtype, MANY_CLASSES[0], rows=1, kinds=("spread 1",), sample=2000)
    assert within(error.ulp, CONTRACT[dtype][1]), error


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("error_of", [loss_error, loss_gradient_error])
def test_many_classes_loss(error_of, dtype: str) -> None:
    kinds = ("spread 1", "confident winner")
    for name in ("cross_entropy(x, class indices)", "cross_entropy(x, distributions)"):
        error = error_of(name, dtype, MANY_CLASSES[0], rows=1, kinds=kinds)
        assert within(error.ulp, CONTRACT[dtype][1]), error
