"""Arrays of other libraries as every argument of every function: read by position, or refused by name."""

import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sigmax
from sigmax._arguments import exact_arithmetic

X = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [2.0, 0.25, 0.0], [1.0, 1.5, 0.0]])
P = sigmax.softmax(X)
LABELS = np.array([1, 2, 0, 0])
ROWS = np.array([1.0, 2.0, 0.5, 1.0])
CLASSES = np.array([1.0, 2.0, 4.0])
WHERE = np.array([[True, True, True], [True, False, True], [True, True, True], [True, True, False]])
SHARES = (X > 0.6) * 1.0


def vjp_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, c, **options: sigmax.vjp(function, x, c, **options)


def both_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return sigmax.value_and_grad(function)


# Functions, with all array arguments by name; those that are given by position come first.
OF_ROWS = {"temperature": ROWS, "where": WHERE}
OF_LOSSES = OF_ROWS | {
    "class_weight": CLASSES,
    "sample_weight": ROWS,
    "smoothing_prior": CLASSES / 7,
}
OF_SAMPLES = {"logits": X, "labels": LABELS, "sample_weight": ROWS}
OF_QUESTIONS = {"logits": X, "labels": SHARES, "sample_weight": ROWS, "where": WHERE}
LINEAR = {"features": X, "weight": X[:3], "labels": LABELS, "bias": CLASSES} | OF_LOSSES
BINARY = {"logits": X, "labels": SHARES, "pos_weight": CLASSES}
BINARY |= {"sample_weight": ROWS[:, None] * [[1.0, 2.0, 3.0]], "where": WHERE}
DISTILLED = {"student_logits": X, "teacher_logits": X[::-1], "labels": LABELS} | OF_LOSSES
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, dict[str, Any], dict[str, Any]]] = {
    "sigmoid": (sigmax.sigmoid, 1, {"x": X}, {}),
    "softmax": (sigmax.softmax, 1, {"x": X} | OF_ROWS, {}),
    "softmax axis 0": (sigmax.softmax, 1, {"x": X}, {"axis": 0}),
    "log_softmax": (sigmax.log_softmax, 1, {"x": X} | OF_ROWS, {}),
    "logsumexp": (sigmax.logsumexp, 1, {"x": X, "weights": P} | OF_ROWS, {}),
    "inverse_softmax": (sigmax.inverse_softmax, 1, {"p": P, "where": WHERE}, {}),
    "entropy": (sigmax.entropy, 1, {"x": X} | OF_ROWS, {}),
    "entropy of p": (sigmax.entropy, 1, {"x": P, "where": WHERE}, {"from_logits": False}),
    "vjp softmax": (vjp_of(sigmax.softmax), 2, {"x": X, "cotangent": P} | OF_ROWS, {}),
    "vjp sigmoid": (vjp_of(sigmax.sigmoid), 2, {"x": X, "cotangent": P}, {}),
    "vjp logsumexp": (
        vjp_of(sigmax.logsumexp),
        2,
        {"x": X, "cotangent": ROWS, "weights": P} | OF_ROWS,
        {},
    ),
    "cross_entropy": (sigmax.cross_entropy, 2, {"logits": X, "labels": LABELS} | OF_LOSSES, {}),
    "soft cross_entropy": (both_of(sigmax.cross_entropy), 2, {"logits": X, "labels": P}, {}),
    "with gradient": (
        both_of(sigmax.cross_entropy),
        2,
        {"logits": X, "labels": LABELS} | OF_LOSSES,
        {"label_smoothing": 0.1},
    ),
    "kl_divergence": (
        sigmax.kl_divergence,
        2,
        {"logits": X, "labels": P, "sample_weight": ROWS, "temperature": ROWS},
        {},
    ),
    "distillation_loss": (both_of(sigmax.distillation_loss), 3, DISTILLED, {"alpha": 0.5}),
    "linear_cross_entropy": (both_of(sigmax.linear_cross_entropy), 3, LINEAR, {}),
    "binary_cross_entropy": (both_of(sigmax.binary_cross_entropy), 2, BINARY, {}),
    "binary of p": (
        sigmax.binary_cross_entropy,
        2,
        BINARY | {"logits": P},
        {"from_logits": False},
    ),
    "one_hot": (lambda labels: sigmax.one_hot(labels, 3), 1, {"labels": LABELS}, {}),
    "smooth_labels": (
        lambda labels, **options: sigmax.smooth_labels(labels, 0.1, **options),
        1,
        {"labels": P, "prior": CLASSES / 7, "where": WHERE},
        {},
    ),
    "fit_temperature": (sigmax.fit_temperature, 2, OF_SAMPLES, {}),
    "fit_vector_scaling": (sigmax.fit_vector_scaling, 2, OF_SAMPLES, {}),
    "evaluate": (
        sigmax.evaluate,
        2,
        OF_SAMPLES | {"temperature": ROWS, "where": WHERE, "groups": LABELS},
        {"resamples": 3},
    ),
    "compare": (
        sigmax.compare,
        3,
        {"base": X, "other": X[::-1]}
        | {"labels": LABELS, "sample_weight": ROWS, "temperature": ROWS, "groups": LABELS},
        {"resamples": 3},
    ),
    "brier_score": (sigmax.brier_score, 2, OF_SAMPLES | {"temperature": ROWS}, {}),
    "calibration_error": (sigmax.calibration_error, 2, OF_SAMPLES, {}),
    "reliability_curve": (sigmax.reliability_curve, 2, OF_SAMPLES, {}),
    "multilabel": (sigmax.evaluate, 2, OF_QUESTIONS, {"multilabel": True, "resamples": 3}),
    "fit_platt": (sigmax.fit_platt, 2, OF_QUESTIONS, {"multilabel": True}),
    "fit_isotonic": (sigmax.fit_isotonic, 2, OF_QUESTIONS, {"multilabel": True}),
    "evaluate_binary": (
        sigmax.evaluate_binary,
        2,
        OF_QUESTIONS,
        {"multilabel": True, "resamples": 3},
    ),
    "conformal_sets": (sigmax.conformal_sets, 2, {"logits": X, "labels": LABELS}, {}),
    "risk_coverage": (sigmax.risk_coverage, 2, OF_SAMPLES | {"groups": LABELS}, {}),
    "decompose": (sigmax.decompose, 2, OF_SAMPLES, {}),
    "corp_curve": (sigmax.corp_curve, 2, OF_SAMPLES, {"resamples": 3}),
    "decide": (sigmax.decide, 2, {"logits": X, "costs": X[:3]}, {}),
    "fit_prior_shift": (
        sigmax.fit_prior_shift,
        2,
        {"logits": X, "train_prior": CLASSES / 7, "sample_weight": ROWS},
        {},
    ),
}


class Readable:
    """Something that NumPy can read, and nothing else."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.values, dtype)


def pandas_like(a: Any) -> Any:
    pd = pytest.importorskip("pandas")
    index = np.arange(len(a))[::-1]  # of no importance: rows go by position
    return pd.Series(a, index=index) if a.ndim == 1 else pd.DataFrame(a, index=index)


def polars_like(a: Any) -> Any:
    pl = pytest.importorskip("polars")
    return pl.Series(a) if a.ndim == 1 else pl.DataFrame(a)


def xarray_like(a: Any) -> Any:
    xr = pytest.importorskip("xarray")
    return xr.DataArray(a, dims=("row", "class")[: a.ndim])


def tensor(a: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(np.array(a))


def dask_like(a: Any) -> Any:
    return pytest.importorskip("dask.array").from_array(a, chunks=(2, *a.shape[1:]))


def small_type(a: Any) -> Any:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    return a.astype(ml_dtypes.int4 if a.dtype.kind == "i" else ml_dtypes.bfloat16)


READ: dict[str, Callable[[Any], Any]] = {
    "list": lambda a: a.tolist(),
    "readable": Readable,
    "memmap": lambda a: a.view(np.memmap),
    "pandas": pandas_like,
    "polars": polars_like,
    "xarray": xarray_like,
    "tensor": tensor,
}
ARGUMENTS = [(name, argument) for name, row in FUNCTIONS.items() for argument in row[2]]
every_argument = pytest.mark.parametrize(("name", "argument"), ARGUMENTS)


def call(name: str, argument: str | None = None, change: Any = None) -> Any:
    function, positional, arrays, options = FUNCTIONS[name]
    arrays = dict(arrays)
    if argument is not None:
        arrays[argument] = change(arrays[argument])
    values = list(arrays.values())[:positional]
    return function(*values, **dict(list(arrays.items())[positional:]), **options)


def numbers(result: Any) -> list[Any]:
    if isinstance(result, tuple):
        return [number for part in result for number in numbers(part)]
    if hasattr(result, "__dataclass_fields__"):
        return [n for field in result.__dataclass_fields__ for n in numbers(getattr(result, field))]
    return [] if isinstance(result, str | dict | None) else [np.asarray(result)]


def assert_same(found: Any, expected: Any, rtol: float = 0.0) -> None:
    found, expected = numbers(found), numbers(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if rtol:
            np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=rtol, atol=rtol)
        else:
            np.testing.assert_array_equal(a, b, strict=True)


@every_argument
@pytest.mark.parametrize("kind", READ)
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # PyTorch's
def test_read_by_position(name: str, argument: str, kind: str) -> None:
    assert_same(call(name, argument, READ[kind]), call(name))


@every_argument
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices(name: str, argument: str) -> None:
    """A matrix is read as an array of two dimensions."""
    if FUNCTIONS[name][2][argument].ndim == 2:
        assert_same(call(name, argument, np.matrix), call(name))
        return
    try:
        expected = call(name, argument, lambda a: a[None])
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            call(name, argument, np.matrix)
    else:
        assert_same(call(name, argument, np.matrix), expected)


@every_argument
def test_masked_arrays_are_refused(name: str, argument: str) -> None:
    if name == "sigmoid":
        pytest.skip("a ufunc, which NumPy's masked arrays know")
    with pytest.raises(TypeError, match=f"{argument} is a masked array: "):
        call(name, argument, np.ma.masked_array)


@every_argument
def test_small_types(name: str, argument: str) -> None:
    """bfloat16 is read as it is; so are integers of four bits."""
    if FUNCTIONS[name][2][argument].dtype == bool:
        pytest.skip("bool is no small type")
    assert_same(call(name, argument, small_type), call(name), rtol=0.03)


@every_argument
def test_complex_and_text_are_refused(name: str, argument: str) -> None:
    if name == "sigmoid" or argument == "groups":
        pytest.skip("takes any type, or is NumPy's")
    for change in (lambda a: a + 0j, lambda a: a.astype(str), lambda a: np.array(a, object)):
        with pytest.raises(TypeError, match=f"{argument} must be"):
            call(name, argument, change)


@every_argument
def test_tensors_with_a_gradient_are_refused(name: str, argument: str) -> None:
    class Tracked:
        requires_grad = True

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    error = RuntimeError if name == "sigmoid" else TypeError
    with pytest.raises(error, match="requires grad") as raised:
        call(name, argument, lambda _: Tracked())
    assert name == "sigmoid" or str(raised.value).startswith(f"{argument} of type Tracked cannot")


@every_argument
def test_dask_is_read_or_refused(name: str, argument: str) -> None:
    """Rows in blocks of two: the same numbers, or an error that names the argument."""
    dask_like(X)
    try:
        found = call(name, argument, dask_like)
    except TypeError as error:
        refused = rf"{argument} must be (an array that NumPy can read|in one block)"
        assert re.match(refused + r".*: pass .*(compute|rechunk)\(", str(error))  # noqa: PT017
    else:
        assert_same(found, call(name), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_the_first_argument_comes_back_in_its_class() -> None:
    pd, xr = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    frame = pd.DataFrame(X, index=list("dcba"), columns=["u", "v", "w"])
    for function in (sigmax.softmax, sigmax.log_softmax):
        result = function(frame)
        pd.testing.assert_frame_equal(result, pd.DataFrame(function(X), frame.index, frame.columns))
    series = pd.Series(ROWS, index=list("dcba"), name="s")
    pd.testing.assert_series_equal(
        sigmax.vjp(sigmax.softmax, series, ROWS),
        pd.Series(sigmax.vjp(sigmax.softmax, ROWS, ROWS), series.index, name="s"),
    )
    _, gradient = both_of(sigmax.cross_entropy)(frame, LABELS)
    assert list(gradient.columns) == ["u", "v", "w"]
    named = xr.DataArray(X, dims=("row", "class"), coords={"class": ["u", "v", "w"]})
    assert sigmax.softmax(named, temperature=2).coords["class"].values.tolist() == ["u", "v", "w"]
    assert isinstance(sigmax.softmax(np.matrix(X)), np.matrix)
    assert type(sigmax.logsumexp(np.matrix(X), axis=None)) is np.float64
    out = np.empty_like(X)
    assert sigmax.softmax(frame, out=out) is out


def test_exact_arithmetic_leaves_the_environment_as_it_was() -> None:
    with np.errstate(over="raise", invalid="warn"):
        before = np.geterr()
        with exact_arithmetic():
            assert np.float64(1e308) * 10 == np.inf
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.float64(1e308) * 10


def test_every_check_is_in_one_module() -> None:
    """Other modules read no array and raise no error about one by themselves, but for what is theirs alone."""
    for module in ("normalization", "_axis", "labels", "losses", "_loss", "binary_cross_entropy"):
        source = importlib.import_module(f"sigmax.{module}").__loader__.get_source(
            f"sigmax.{module}"
        )
        assert source.count("np.asarray(") <= (module == "labels")
        assert "raise TypeError" not in source
