"""Cross-entropy of a linear layer: every pair of options against explicit logits, the definition, memory, errors."""

import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import reference
from accuracy_cases import as_float, generator
from kernel_inputs import TYPES
from layouts import read_only, same, strided
from loss_cases import (
    CONTRACT,
    EPS,
    NAN,
    SAMPLE_WEIGHT,
    changed,
    every_pair,
    every_type,
    with_gradient,
)

import sigmax

MODULE = sys.modules["sigmax.linear_cross_entropy"]
ROWS, CLASSES, SIZE = 6, 7, 3
IGNORED = 2


@pytest.fixture(params=["one chunk", "chunks and blocks"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or four rows at a time, and one to three classes."""
    if request.param == "chunks and blocks":
        monkeypatch.setattr(MODULE, "_FEWEST_ROWS", 2)
        monkeypatch.setattr(MODULE, "_SCRATCH", 4 * CLASSES * 4)
        monkeypatch.setattr(MODULE, "_BLOCK", 3 * SIZE * 4)


# ---------------------------------------------------------------- every pair of options

PRIOR = np.array([2, 1, 0, 3, 1, 0, 1]) / 8
OPTIONS: dict[str, list[Any]] = {
    "dtype": list(TYPES),
    "weights": ["same", "float32", "float64"],
    "labels": ["int64", "uint8", "one-hot bool", "soft"],
    "batch": [(6,), (2, 3), (3, 1, 2)],
    "bias": [True, False],
    "temperature": [1.0, 0.7, np.array([0.5, 1, 2.5, 0.75, 1, 2])],
    "class_weight": [None, np.array([1, 0.5, 2, 0, 1.5, 1, 1])],
    "sample_weight": [None, *SAMPLE_WEIGHT.values()],
    "smoothing": [None, "uniform", "prior"],
    "ignore_index": [None, IGNORED],
    "where": [None, "classes", "elements"],
    "z_loss": [0.0, 1e-2],
    "reduction": ["mean", "sum", "none"],
    "out": [None, "new", "only of the weights"],
    "layout": ["C", "strided", "read-only"],
}


def show(value: Any) -> str:
    return "given" if isinstance(value, np.ndarray) else str(value).replace(" ", "")


every_combination = pytest.mark.parametrize(
    "o", [pytest.param(o, id="-".join(map(show, o.values()))) for o in every_pair(OPTIONS)]
)


def layer(o: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    seeded = generator(o)
    dtype = TYPES[o["dtype"]]
    weights = dtype if o["weights"] == "same" else TYPES[o["weights"]]
    features = seeded.normal(0, 1, (*o["batch"], SIZE)).astype(dtype)
    weight = seeded.normal(0, 1, (CLASSES, SIZE)).astype(weights)
    bias = seeded.normal(0, 1, CLASSES).astype(weights) if o["bias"] else None
    layout = {"C": np.array, "strided": strided, "read-only": read_only}[o["layout"]]
    return layout(features), layout(weight), None if bias is None else layout(bias)


def labels_and_options(o: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    seeded, batch = generator("options", o), o["batch"]
    index = np.array([0, 1, IGNORED, 0, 3, 6])
    q = (np.arange(CLASSES) == index[:, None]).astype(float)
    if o["labels"] == "soft":
        q[index != IGNORED] = q[index != IGNORED] / 2 + PRIOR / 2
    per_row = {"temperature": o["temperature"], "sample_weight": o["sample_weight"]}
    options = {k: v.reshape(batch) if np.ndim(v) else v for k, v in per_row.items()}
    options |= {k: o[k] for k in ("class_weight", "ignore_index", "z_loss", "reduction")}
    if o["smoothing"]:
        options["label_smoothing"] = 0.1
        options["smoothing_prior"] = PRIOR if o["smoothing"] == "prior" else None
    if o["where"] == "classes":
        options["where"] = np.arange(CLASSES) != 5
    elif o["where"]:
        options["where"] = ((seeded.random(q.shape) < 0.6) | (q > 0)).reshape(*batch, CLASSES)
    labels = index if o["labels"] in ("int64", "uint8") else q.reshape(*batch, CLASSES)
    if o["labels"] in ("int64", "uint8"):
        return index.reshape(batch).astype(o["labels"]), options
    return labels.astype(bool) if o["labels"] == "one-hot bool" else labels, options


def explicit(
    features: np.ndarray, weight: np.ndarray, labels: Any, bias: Any, **options: Any
) -> list[np.ndarray]:
    """The value and the gradients of the layer, in float64 from logits that are held."""
    f, w = as_float(features), as_float(weight)
    x = f @ w.T + (0 if bias is None else as_float(bias))
    value, slopes = with_gradient("cross_entropy", x, labels, **options)
    rows = slopes.reshape(-1, len(w))
    return [value, slopes @ w, rows.T @ f.reshape(-1, f.shape[-1]), rows.sum(axis=0)]


def assert_near(found: Any, expected: np.ndarray, kind: str) -> None:
    """The rounding to the type of the result, and what the products in `kind` lose."""
    found = np.asarray(found)
    assert found.shape == np.shape(expected)
    bound = EPS[found.dtype.name] * np.abs(expected) + 32 * EPS[kind] * np.abs(expected).max()
    assert (np.abs(as_float(found) - expected) <= bound + 2.0**-25).all()


@every_combination
@pytest.mark.usefixtures("chunks")
def test_explicit_logits(o: dict[str, Any]) -> None:
    features, weight, bias = layer(o)
    labels, options = labels_and_options(o)
    value, *gradients = explicit(features, weight, labels, bias, **options)
    given = (features, weight, bias)
    out: Any = None
    if o["out"]:
        out = tuple(None if a is None else np.full(a.shape, 7, a.dtype) for a in given)
    if o["out"] == "only of the weights":
        out = (None, out[1], None)
    found, slopes = with_gradient(
        "linear_cross_entropy", features, weight, labels, bias=bias, out=out, **options
    )
    plain = sigmax.linear_cross_entropy(features, weight, labels, bias=bias, **options)
    assert same(found, plain)
    assert found.dtype == features.dtype
    kind = "float64" if np.float64 in (features.dtype, weight.dtype) else "float32"
    assert_near(found, value, kind)
    for given_array, slope, expected in zip(given, slopes, gradients, strict=True):
        if given_array is None:
            assert slope is None
            continue
        assert slope.dtype == given_array.dtype
        assert_near(slope, expected, kind)
    for place, slope in zip(out or (), slopes, strict=False):
        assert place is None or place is slope


# ---------------------------------------------------------------- the definition


def exact_layer(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small multiples of 1/4, whose products no type rounds."""
    seeded = generator("exact")
    arrays = (seeded.integers(-6, 7, shape) / 4 for shape in ((ROWS, SIZE), (CLASSES, SIZE), 7))
    features, weight, bias = (a.astype(TYPES[dtype]) for a in arrays)
    features[0] *= 4
    return features, weight, bias


@every_type
@pytest.mark.parametrize("options", [{}, {"temperature": 2.0, "z_loss": 0.25}])
@pytest.mark.usefixtures("chunks")
def test_definition(options: dict[str, float], dtype: str) -> None:
    """The loss within the contract of logits; gradients but for the rounding of their products."""
    features, weight, bias = exact_layer(dtype)
    q = np.array([PRIOR] * ROWS)
    for i in range(ROWS):
        arguments = (features[i], weight, q[i], bias)
        value, slopes = with_gradient(
            "linear_cross_entropy", features[i : i + 1], weight, q[i : i + 1], bias=bias, **options
        )
        exact = reference.exact(reference.linear_cross_entropy, *arguments, **options)
        assert reference.ulp_error(value, [exact], dtype).max() <= CONTRACT[dtype]
        exact = reference.exact(reference.linear_cross_entropy_grad, *arguments, **options)
        found = np.concatenate([as_float(s).ravel() for s in slopes])
        expected = np.array([float(v) for v in exact])
        kind = "float64" if dtype == "float64" else "float32"
        bound = EPS[dtype] * np.abs(expected) + 16 * EPS[kind] * np.abs(expected).max()
        assert (np.abs(found - expected) <= bound).all()


@every_type
@pytest.mark.usefixtures("chunks")
def test_confident_rows_keep_their_digits(dtype: str) -> None:
    kind, margin = TYPES[dtype], 8.0 if dtype == "float16" else 20.0
    features, weight = np.ones((5, 1), kind), np.array([[margin], [0]], kind)
    losses = sigmax.linear_cross_entropy(features, weight, [0] * 5, reduction="none")
    expected = np.log1p(np.exp(-margin))
    np.testing.assert_allclose(as_float(losses), expected, rtol=2 * EPS[dtype])


@pytest.mark.usefixtures("chunks")
def test_a_loss_does_not_depend_on_the_chunk() -> None:
    features, weight, bias = exact_layer("float32")
    losses = sigmax.linear_cross_entropy(
        features, weight, np.arange(ROWS), bias=bias, reduction="none"
    )
    logits = features @ weight.T + bias
    assert same(losses, sigmax.cross_entropy(logits, np.arange(ROWS), reduction="none"))


def test_one_row_and_none() -> None:
    weight = np.eye(3)
    value, slopes = with_gradient("linear_cross_entropy", np.zeros(3), weight, 1)
    assert same(value, sigmax.cross_entropy(np.zeros(3), 1))
    assert [np.shape(s) for s in slopes[:2]] == [(3,), (3, 3)]
    value, slopes = with_gradient(
        "linear_cross_entropy", np.zeros((0, 3)), weight, np.zeros(0, int)
    )
    assert same(value, np.float64(0))
    assert slopes[0].shape == (0, 3)
    assert (slopes[1] == 0).all()


def test_no_feature_and_no_class() -> None:
    bias = np.array([0.0, 1.0])
    value, slopes = with_gradient(
        "linear_cross_entropy", np.zeros((3, 0)), np.zeros((2, 0)), [0, 1, 1], bias=bias
    )
    expected, logits = with_gradient("cross_entropy", np.tile(bias, (3, 1)), [0, 1, 1])
    assert same(value, expected)
    assert [s.shape for s in slopes] == [(3, 0), (2, 0), (2,)]
    np.testing.assert_allclose(slopes[2], logits.sum(axis=0), atol=1e-16)
    for kind in (np.float16, np.float64):
        value, slopes = with_gradient(
            "linear_cross_entropy",
            np.ones((3, 2), kind),
            np.zeros((0, 2), kind),
            [-1, -1, -1],
            ignore_index=-1,
        )
        assert same(value, kind(0))
        assert same(slopes[0], np.zeros((3, 2), kind))


def test_ignored_rows_may_hold_anything() -> None:
    features, weight, bias = exact_layer("float64")
    labels = np.array([0, -100, 2, 3, -100, 5])
    kept = labels >= 0
    features[~kept] = 0
    expected = with_gradient(
        "linear_cross_entropy", features[kept], weight, labels[kept], bias=bias
    )
    value, slopes = with_gradient(
        "linear_cross_entropy", features, weight, labels, bias=bias, ignore_index=-100
    )
    assert same(value, expected[0])
    assert (slopes[0][~kept] == 0).all()
    for a, b in zip(slopes[1:], expected[1][1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-16)


# ---------------------------------------------------------------- memory


def peak(function: Any) -> int:
    """Bytes that were held at most while the function ran, its result included."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("gradient", [False, True])
def test_memory(gradient: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than a twentieth of the logits, whatever the number of rows."""
    classes, size, scratch = 2000, 4, 1 << 20
    monkeypatch.setattr(MODULE, "_SCRATCH", scratch)
    monkeypatch.setattr(MODULE, "_BLOCK", 1 << 13)
    weight = np.zeros((classes, size), dtype)
    function = sigmax.linear_cross_entropy
    function = sigmax.value_and_grad(function) if gradient else function
    peaks = {}
    for rows in (6000, 12_000):
        features, labels = np.zeros((rows, size), dtype), np.zeros(rows, np.int64)
        function(features[:1], weight, labels[:1])
        peaks[rows] = peak(lambda f=features, y=labels: function(f, weight, y))
        assert peaks[rows] < 0.05 * rows * classes * 4
    per_row = 2 * size * 4 + 8  # of the gradient, and the loss
    assert peaks[12_000] - peaks[6000] <= 6000 * per_row + 100_000
    assert scratch == MODULE._SCRATCH


# ---------------------------------------------------------------- errors

F, W, B = np.zeros((4, 3)), np.zeros((10, 3)), np.zeros(10)
Y = [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            (F, W, [0, 1, 2, 12]),
            {},
            ValueError,
            r"labels must be in \[0, 10\), got 12 at index \(3,\)",
        ),
        ((F, W, [0, 1]), {}, ValueError, "labels must have the shape"),
        ((F, W, np.eye(4)[:, :3]), {}, ValueError, "labels must have the shape"),
        ((F, W.T, Y), {}, ValueError, r"weight must have the shape \(C, 3\), got shape \(3, 10\)"),
        ((F, W[0], Y), {}, ValueError, r"weight must have the shape \(C, 3\)"),
        ((F, W[None], Y), {}, ValueError, r"weight must have the shape \(C, 3\)"),
        ((F, W, Y), {"bias": B[:9]}, ValueError, r"bias must have the shape \(10,\), got \(9,\)"),
        ((F[0, 0], W, 0), {}, ValueError, "features must have at least one dimension"),
        ((F * 1j, W, Y), {}, TypeError, "must be real"),
        ((F, W * 1j, Y), {}, TypeError, "must be real"),
        ((F, W, Y), {"bias": B * 1j}, TypeError, "must be real"),
        ((F, W, [0.0] * 4), {}, TypeError, "labels must be integers"),
        ((F, W, Y), {"z_loss": -1.0}, ValueError, "z_loss must"),
        ((F, W, Y), {"temperature": 0.0}, ValueError, "temperature must"),
        ((F, W, Y), {"label_smoothing": NAN}, ValueError, "label_smoothing must"),
        ((F, W, Y), {"class_weight": np.ones(9)}, ValueError, "class_weight must"),
        ((F, W, Y), {"class_weight": changed(np.ones(10), (7,), -1)}, ValueError, "class_weight"),
        ((F, W, Y), {"sample_weight": np.ones(3)}, ValueError, "sample_weight must"),
        ((F, W, Y), {"where": np.ones(9, bool)}, ValueError, "where must"),
        ((F, W, Y), {"reduction": "average"}, ValueError, "reduction must"),
        ((F, W, Y), {"normalizer": 0.0}, ValueError, "normalizer must"),
    ],
)
def test_refused(arguments: Any, options: dict[str, Any], error: Any, message: str) -> None:
    """By the loss and by its gradient, which leaves out= alone."""
    with pytest.raises(error, match=message):
        sigmax.linear_cross_entropy(*arguments, **options)
    out = tuple(np.full_like(a, 7, dtype=float) for a in (F, W, B))
    with pytest.raises((TypeError, ValueError)):
        with_gradient("linear_cross_entropy", *arguments, out=out, **options)
    assert all((place == 7).all() for place in out)


def refused_places() -> Iterator[tuple[Any, Any, str]]:
    places = [np.zeros_like(a) for a in (F, W, B)]
    for k, name in enumerate(("features", "weight", "bias")):
        for wrong in (
            np.zeros((2, 2)),
            places[k].astype(np.float32),
            read_only(places[k]),
        ):
            yield (*places[:k], wrong, *places[k + 1 :]), ValueError, f"out for {name} (must|is)"
    yield (F, None, None), ValueError, "out for features must not share memory"
    yield (None, W[:], None), ValueError, "out for weight must not share memory"
    yield places[0], TypeError, "out must be a tuple"
    yield (places[0],), TypeError, "out must be a tuple"
    yield list(places), TypeError, "out must be a tuple"
    yield ([[0.0]], None, None), TypeError, "out"


@pytest.mark.parametrize(("out", "error", "message"), list(refused_places()))
def test_refused_out(out: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        with_gradient("linear_cross_entropy", F, W, Y, bias=B, out=out)
