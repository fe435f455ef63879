"""Every row of docs/reference/parity.md: the call of the other library and that of sigmax give what the page says."""

import doctest
import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sigmax

pytestmark = pytest.mark.conformance
PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "parity.md").read_text()
PACKAGES = {"PyTorch": "torch", "optax": "optax", "scikit-learn": "sklearn"}


def tables() -> Iterator[tuple[str, list[str]]]:
    """The title of the section and the cells of each row, code without its quotes."""
    title = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            title = line[3:]
        elif line.startswith("| ") and not re.match(r"\| (there|library) \|", line):
            yield title, [cell.strip().strip("`") for cell in line.strip("|").split("|")]


ROWS = [
    (title.rsplit(" ", 1)[0], *cells[:2])
    for title, cells in tables()
    if title != "Where they differ on purpose"
]
DIFFERENCES = [cells[:5] for title, cells in tables() if title == "Where they differ on purpose"]

# ---------------------------------------------------------------- Keras and TensorFlow, as documented


def log_softmax(x, axis=-1):
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def log_probabilities(y_pred, from_logits, axis=-1):
    if from_logits:
        return log_softmax(y_pred, axis)
    return np.log(np.clip(y_pred / y_pred.sum(axis, keepdims=True), 1e-7, 1 - 1e-7))


def categorical(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true = y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis]
    return -np.sum(y_true * log_probabilities(y_pred, from_logits, axis), axis)


def sparse(y_true, y_pred, from_logits=False, ignore_class=None):
    rows = -log_probabilities(y_pred, from_logits)[np.arange(len(y_true)), y_true]
    return rows, y_true != ignore_class


def binary(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true = y_true * (1 - label_smoothing) + label_smoothing / 2
    p = 1 / (1 + np.exp(-y_pred)) if from_logits else np.clip(y_pred, 1e-7, 1 - 1e-7)
    return -np.mean(y_true * np.log(p) + (1 - y_true) * np.log(1 - p), axis)


def divergence(y_true, y_pred):
    y_true, y_pred = np.clip(y_true, 1e-7, 1), np.clip(y_pred, 1e-7, 1)
    return np.sum(y_true * np.log(y_true / y_pred), -1)


def keras_loss(function: Callable) -> Callable:
    def make(reduction="sum_over_batch_size", **options):
        def loss(y_true, y_pred, sample_weight=1.0):
            y_pred = y_pred.astype(np.float32)  # Keras's default
            rows = function(y_true, y_pred, **options)
            rows, valid = rows if isinstance(rows, tuple) else (rows, np.ones_like(rows))
            weights = sample_weight * valid
            if reduction is None:
                return rows * weights
            divisors = {
                "sum": 1,
                "sum_over_batch_size": valid.sum(),
                "mean_with_sample_weight": weights.sum(),
            }
            return np.sum(rows * weights) / divisors[reduction]

        return loss

    return make


def softplus(x):
    return np.log1p(np.exp(-abs(x))) + np.maximum(x, 0)


KERAS = {
    "CategoricalCrossentropy": keras_loss(categorical),
    "SparseCategoricalCrossentropy": keras_loss(sparse),
    "BinaryCrossentropy": keras_loss(binary),
    "KLDivergence": keras_loss(divergence),
}
TENSORFLOW = SimpleNamespace(
    sigmoid_cross_entropy_with_logits=lambda labels, logits: (
        np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-abs(logits)))
    ),
    weighted_cross_entropy_with_logits=lambda labels, logits, pos_weight: (
        labels * softplus(-logits) * pos_weight + (1 - labels) * softplus(logits)
    ),
    softmax_cross_entropy_with_logits=lambda labels, logits, axis=-1: (
        -np.sum(labels * log_softmax(logits, axis), axis)
    ),
    sparse_softmax_cross_entropy_with_logits=lambda labels, logits: sparse(
        labels, logits, from_logits=True
    )[0],
    softmax=lambda logits: np.exp(log_softmax(logits)),
)
TF_KERAS = SimpleNamespace(
    initializers=SimpleNamespace(Constant=lambda value: value),
    layers=SimpleNamespace(
        Dense=lambda units, kernel_initializer, bias_initializer: (
            lambda inputs: (
                np.einsum("ni,ij->nj", inputs, kernel_initializer.reshape(-1, units))
                + bias_initializer
            )
        )
    ),
)

# ---------------------------------------------------------------- evaluation


def inputs() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(PAGE):
        exec(example.source, names)
    return names


INPUTS = inputs()


def installed(*packages: str) -> bool:
    return all(map(importlib.util.find_spec, packages))


def load(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def libraries(name: str) -> Iterator[dict[str, Any]]:
    """What the expressions of a library may name; twice where there is a formula and the library too."""
    if name in PACKAGES and not installed(PACKAGES[name]):
        pytest.skip(f"needs {PACKAGES[name]}: pip install '.[conformance]'")
    if name == "PyTorch":
        torch = load("torch")
        arrays = {k: torch.tensor(v) for k, v in INPUTS.items() if isinstance(v, np.ndarray)}
        names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "inf": np.inf}
        yield names | arrays
    elif name == "optax":
        jax = load("jax")
        with jax.enable_x64(True):
            yield INPUTS | {"optax": load("optax"), "jax": jax, "jnp": jax.numpy}
    elif name == "scikit-learn":
        yield INPUTS | {"log_loss": load("sklearn.metrics").log_loss}
    else:
        yield INPUTS | KERAS | {"tf": SimpleNamespace(nn=TENSORFLOW, keras=TF_KERAS)}
        if installed("keras", "tensorflow"):
            yield INPUTS | vars(load("keras").losses) | {"tf": load("tensorflow")}


def evaluate(expression: str, names: dict[str, Any]) -> np.ndarray:
    return np.asarray(eval(expression, dict(names)))


def ours(expression: str) -> np.ndarray:
    return evaluate(expression, vars(sigmax) | INPUTS)


def result(expression: str, names: dict[str, Any]) -> str:
    """A number as the page has it, or the name of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f"{evaluate(expression, names).item() + 0.0:.5g}"
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            return type(error).__name__


@pytest.mark.parametrize(("library", "there", "here"), ROWS)
def test_same(library, there, here):
    result = ours(here)
    for names in libraries(library):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs
            expected = evaluate(there, names)
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=2e-6)


@pytest.mark.parametrize(("library", "there", "gives", "here", "ours_gives"), DIFFERENCES)
def test_different(library, there, gives, here, ours_gives):
    for names in libraries(library):
        assert result(there, names) == gives
    assert result(here, vars(sigmax) | INPUTS) == ours_gives


def test_no_row_is_repeated():
    assert len(set(ROWS)) == len(ROWS) > 60
