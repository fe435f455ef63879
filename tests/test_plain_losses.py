"""A loss in one call of the core is the same, in bits and in errors, as by the general way."""

import math
from typing import Any

import numpy as np
import pytest

import sigmax
from sigmax import _core
from sigmax._arguments import tolerance
from sigmax._loss import definitions, general_value, general_value_and_gradient

LOSSES = [loss for loss in definitions if loss.__name__ != "linear_cross_entropy"]
Array = np.ndarray[Any, Any]
CASES = 800


def layout(rng: np.random.Generator, a: Array) -> Array:
    """The same numbers, in one of many places."""
    kind = rng.integers(12)
    if kind == 0 and a.ndim:
        return np.asfortranarray(a)
    if kind == 1 and a.ndim:
        flip = (slice(None, None, -1),) * a.ndim
        return a[flip].copy()[flip]
    if kind == 2 and a.ndim:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    if kind == 3:
        return a.astype(a.dtype.newbyteorder())
    return a


def logits(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    x = rng.normal(0, 10.0 ** rng.uniform(-2, 3), shape)
    if rng.random() < 0.3:
        x[rng.random(shape) < 0.3] = rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e308])
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def distributions(rng: np.random.Generator, x: Array, axis: int) -> Array:
    q = sigmax.softmax(np.nan_to_num(rng.normal(0, 2, x.shape)), axis).astype(x.dtype)
    kind = rng.integers(8)
    if kind == 0:
        return np.round(q).astype(rng.choice(["bool", "int8", "int64"]))
    if kind == 1:
        q.flat[rng.integers(q.size)] = rng.choice([np.nan, np.inf, -0.1, -0.0, 1.0, 2.0])
    if kind == 2:  # about as far from 1 as is legal
        q *= 1 + rng.choice([-1, 1]) * tolerance(x.dtype) * rng.uniform(0.999, 1.001)
    return q.astype(rng.choice(["float32", "float64"])) if kind == 3 else q


def indices(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> Array:
    labels = rng.integers(0, classes, shape)
    if labels.size and rng.random() < 0.1:
        labels.flat[rng.integers(labels.size)] = rng.choice([-100, -1, classes, 255])
    kinds = ["int64"] * 4 + ["int32", "uint8", "uint64", "int16", "float64", "bool"]
    return np.asarray(labels).astype(rng.choice(kinds))


def weights(rng: np.random.Generator, shape: tuple[int, ...], least: float = -1.0) -> Array:
    w = np.maximum(rng.normal(1, 0.7, shape), least / 4)
    w = w.astype(rng.choice(["float64", "float64", "float32", "float16", "int64", "bool"]))
    if w.size and rng.random() < 0.2:
        kinds = [0.0, math.nan, math.inf, -1.0, 1e-300, 1e300, 5e-324]
        w = w.astype(float)
        w.flat[rng.integers(w.size)] = rng.choice(kinds)
    return layout(rng, w if rng.random() < 0.95 else w[..., None])


OPTIONS: dict[str, list[Any]] = {
    "temperature": [2.0, 3, 0.5, 3.7, 2.0**31, 1e-300, 2.0**-260, 0.0, -1.0, math.nan, 10**400, True, "1"],
    "label_smoothing": [0.0, 0.1, 1.0, 1, 0, 1.5, -0.1, None, np.float64(0.1)],
    "z_loss": [0.0, 1e-4, 1, 1e-300, 1e300, -1.0, math.inf],
    "alpha": [1.0, 0.3, 0.0, 0.5, 1e-200, 2.0, 1],
    "ignore_index": [None, -100, 0, 1, 2**70, True, 1.0],
    "reduction": ["mean", "sum", "none", "none", "batchmean", None],
    "from_logits": [True, True, False, 1, "yes"],
    "labels_from_logits": [False, True, True, 0],
    "class_weight": [None, [1.0, 2.0, 3.0]],
    "sample_weight": [None, 2.0, 0.0],  # arrays come in `call`
    "pos_weight": [None, 2.0, 3, 0.0, 1e300, [1.0, 2.0]],
    "smoothing_prior": [None],
    "normalizer": [None, 7.0, 0.0],
    "where": [None, True],
    "unknown": [1],
}  # fmt: skip


def options(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """Mostly those a loss has, mostly legal ones."""
    of_loss = {
        "cross_entropy": ("temperature", "label_smoothing", "z_loss", "ignore_index"),
        "kl_divergence": ("temperature", "labels_from_logits"),
        "distillation_loss": ("temperature", "alpha", "ignore_index"),
        "binary_cross_entropy": ("label_smoothing", "pos_weight"),
    }[name]
    names = [n for n in (*of_loss, "reduction") if rng.random() < 0.4]
    if rng.random() < 0.05:
        names.append(str(rng.choice(list(OPTIONS))))
    legal = 2 if rng.random() < 0.8 else 99
    return {n: OPTIONS[n][rng.integers(min(legal, len(OPTIONS[n])))] for n in names}


def call(rng: np.random.Generator, name: str) -> tuple[list[Any], dict[str, Any]]:
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 4)))
    if rng.random() < 0.05:
        shape = (*shape, 0)
    if rng.random() < 0.01:
        shape = (*shape, 70_000)
    dtype = str(rng.choice(["float32", "float64", "float16"], p=[0.45, 0.45, 0.1]))
    axis = int(rng.integers(-len(shape), len(shape)))
    x = logits(rng, shape, dtype)
    batch = tuple(np.delete(shape, axis))
    named = options(rng, name)
    if name == "binary_cross_entropy":
        y = rng.random(shape) if rng.random() < 0.4 else rng.integers(0, 2, shape)
        if y.size and rng.random() < 0.1:
            y.flat[0] = rng.choice([2, -1])
        second = [y.astype(rng.choice([dtype, dtype, "int64", "bool"]))]
    else:
        if rng.random() < 0.5 or axis not in (-1, len(shape) - 1):
            named["axis"] = axis
        else:
            axis = -1
        classes = shape[axis]
        hard = indices(rng, batch, max(1, classes))
        soft = distributions(rng, x, axis) if x.size else x
        if name == "cross_entropy":
            second = [hard if rng.random() < 0.6 else soft]
        elif name == "kl_divergence":
            second = [logits(rng, shape, dtype) if named.get("labels_from_logits") else soft]
        else:
            second = [logits(rng, shape, dtype)]
            second += [hard] if rng.random() < 0.7 else []
        if rng.random() < 0.4:
            named["sample_weight"] = weights(rng, batch)
        if name != "kl_divergence" and rng.random() < 0.3:
            named["class_weight"] = weights(rng, (classes,), least=0.0)
    if rng.random() < 0.02:
        second[0] = second[0][..., :-1] if second[0].ndim else [1, 2]
    arguments = [layout(rng, a) if isinstance(a, np.ndarray) else a for a in (x, *second)]
    if rng.random() < 0.05 and "axis" in named:
        arguments.append(named.pop("axis"))
    return arguments, named


def outcome(function: Any, *arguments: Any, **named: Any) -> Any:
    """What a call returns or raises, down to bits and types."""
    try:
        result = function(*arguments, **named)
    except Exception as error:
        return type(error), str(error)
    both = result if isinstance(result, tuple) else (result,)
    return [(type(r), r.dtype, r.shape, r.strides, np.asarray(r).tobytes()) for r in both]


def gradients(way: Any, rng: np.random.Generator, arguments: list[Any], named: Any) -> Any:
    """What value and gradient come to, with one of several places for the gradient, and what is then in the place."""
    x, *others = (a.copy(order="K") if isinstance(a, np.ndarray) else a for a in arguments)
    new = np.full_like(x, 7)
    places = [None, new, layout(rng, new), x, new[..., :-1], new.astype(np.float64), x[::-1]]
    out = places[rng.integers(len(places))]
    return outcome(way, out, x, *others, **named), None if out is None else out.tobytes()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_same_as_the_general_way(loss: Any) -> None:
    rng = np.random.default_rng(12)
    definition, both = definitions[loss], sigmax.value_and_grad(loss)
    plain = 0
    for case in range(CASES):
        arguments, named = call(rng, loss.__name__)
        what = f"case {case}: {[a.shape for a in arguments if hasattr(a, 'shape')]}, {named}"
        plain += _core.loss(loss.__name__, tuple(arguments), named) is not None
        assert outcome(loss, *arguments, **named) == outcome(
            lambda *a, **n: general_value(definition, *a, **n), *arguments, **named
        ), what
        found, expected = (
            gradients(way, np.random.default_rng(case), arguments, named)
            for way in (
                lambda out, *a, **n: both(*a, out=out, **n),
                lambda out, *a, **n: general_value_and_gradient(definition, out, *a, **n),
            )
        )
        assert found == expected, what
    assert plain > CASES / 10, "few cases went the short way"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_calls_are_short(dtype: str) -> None:
    x, y = np.zeros((4, 3), dtype), np.array([0, 1, 2, 0])
    q = np.full((4, 3), 1 / 3, dtype)
    for name, arguments, named in [
        ("cross_entropy", (x, y), {}),
        ("cross_entropy", (x, y), {"label_smoothing": 0.1, "temperature": 2, "reduction": "none"}),
        ("cross_entropy", (x, y.astype("int32"), 1), {"ignore_index": -100, "z_loss": 1e-4}),
        ("cross_entropy", (x.T, y, 0), {"where": None}),
        ("cross_entropy", (x, y), {"class_weight": np.arange(1, 4, dtype="f4")}),
        ("cross_entropy", (x, q), {"class_weight": np.ones(3), "sample_weight": np.ones(4)}),
        ("cross_entropy", (x, q), {"from_logits": True}),
        ("cross_entropy", (x, np.eye(3, dtype=bool)[y]), {}),
        ("kl_divergence", (x, q), {}),
        ("kl_divergence", (x, q), {"labels_from_logits": True}),
        ("distillation_loss", (x, q), {"temperature": 2.0}),
        ("distillation_loss", (x, q, y), {"temperature": 2.0, "alpha": 0.5}),
        ("binary_cross_entropy", (x, q), {}),
        ("binary_cross_entropy", (x, q > 1), {"pos_weight": 2, "reduction": "none"}),
    ]:
        assert _core.loss(name, arguments, named) is not None, (name, named)
        assert _core.loss_and_gradient(name, arguments, named, None) is not None, (name, named)
        out = np.empty_like(arguments[0])
        assert _core.loss_and_gradient(name, arguments, named, out)[1] is out


def test_what_is_not_plain_is_left_alone() -> None:
    x, y = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 0])
    for arguments, named in [
        ((x.tolist(), y), {}),
        ((x, y.tolist()), {}),
        ((np.ma.masked_array(x), y), {}),
        ((x.astype(np.float16), y), {}),
        ((x, y + 1), {}),
        ((x, y), {"sample_weight": np.array([1.0, 0.0, 1.0, 1.0])}),
        ((x, y), {"class_weight": np.ones(2)}),
        ((x.T, y, 0), {"class_weight": np.ones((3, 1))}),
        ((x, y), {"sample_weight": np.ones((1, 4))}),
        ((x, y), {"reduction": "batchmean"}),
        ((x, y, 0), {}),
        ((x, y, -1, -1), {}),
        ((x,), {"labels": y}),
    ]:
        assert _core.loss("cross_entropy", arguments, named) is None, (arguments, named)
    with pytest.raises(TypeError, match="a name, a tuple and a dict"):
        _core.loss("cross_entropy", [x, y], {})
    with pytest.raises(TypeError, match="an array"):
        _core.loss_and_gradient("cross_entropy", (x, y), {})


def test_sums_beyond_float64() -> None:
    """The mean of losses whose sum overflows is finite by both ways."""
    x = np.array([[1.5e308, 0.0]] * 4)
    assert sigmax.cross_entropy(x, np.ones(4, int)) == 1.5e308
    value, gradient = sigmax.value_and_grad(sigmax.binary_cross_entropy)(x[:, 0], np.zeros(4))
    assert value == 1.5e308
    assert np.isfinite(gradient).all()
