"""Every kernel, as a ufunc, with seeded operands: what comparisons of bytes run over.

`python kernel_inputs.py` prints a digest of every result as JSON: test_isa.py compares those of
several instruction-set levels.
"""

import functools
import hashlib
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import sigmax  # noqa: F401 - registers bfloat16
from sigmax import _core

try:
    from ml_dtypes import bfloat16
except ImportError:  # pragma: no cover - bfloat16 is optional
    bfloat16 = None

Array = NDArray[np.generic]
TYPES = {"float16": np.float16} | ({"bfloat16": bfloat16} if bfloat16 else {})
TYPES |= {"float32": np.float32, "float64": np.float64}


SMOOTHING = 0.125


@functools.cache
def class_weights(classes: int) -> NDArray[np.float64]:
    return np.arange(3, classes + 3) % 9 / 4


@functools.cache
def prior(classes: int) -> NDArray[np.float64]:
    return np.arange(2, classes + 2) % 5 / classes


class Loss:
    """A kernel of a loss along an axis, as a function of what each of its rows has.

    All rows share the weights of the classes, smoothing and prior. There is neither smoothing nor a mask; or
    both, if `masked`: the total of the prior and the mask come last.
    """

    def __init__(self, ufunc: np.ufunc, masked: bool) -> None:
        self.ufunc, self.masked = ufunc, masked
        self.signature, self.types, self.nin = ufunc.signature, ufunc.types, ufunc.nin
        self.smoothing = SMOOTHING if masked and "cross_entropy" in ufunc.__name__ else 0.0

    def operands(self, *arrays: Array) -> tuple[object, ...]:
        n = arrays[0].shape[-1]
        others = arrays if self.masked else (*arrays, 1.0, np.ones(1, np.bool_))
        *numbers, weight, temperature, z_loss, scale, total, mask = others
        options = weight, temperature, class_weights(n), self.smoothing, prior(n), total, mask
        return *numbers, *options, z_loss, scale

    def __call__(self, *arrays: Array, out: object = None) -> Array:
        return self.ufunc(*self.operands(*arrays), out=out)


class Mass:
    """The kernel of the labels' mass: its rows share the weights of the classes."""

    signature = _core.mass.signature
    types = _core.mass.types

    def operands(self, q: Array) -> tuple[object, ...]:
        return q, class_weights(q.shape[-1])

    def __call__(self, q: Array, out: object = None) -> Array:
        return _core.mass(*self.operands(q), out=out)


class Moments:
    """The kernel of the logits' moments: a mean and a second moment for each row, side by side."""

    signature = _core.logit_moments.signature
    types = _core.logit_moments.types

    def __call__(self, x: Array, beta: Array, reference: Array, out: Array | None = None) -> Array:
        if out is None:
            out = np.empty((*x.shape[:-1], 2))
        _core.logit_moments(x, beta, reference, out=(out[..., 0], out[..., 1]))
        return out


class Gradient:
    """A kernel of a loss and its gradient, as a function that returns the gradient.

    Wherever it is called, the loss must have the bytes of the kernel of the loss alone.
    """

    def __init__(self, both: np.ufunc | Loss, loss: np.ufunc | Loss) -> None:
        self.both, self.loss = both, loss
        self.signature, self.types = both.signature, both.types

    def __call__(self, *arrays: Array, out: Array | None = None) -> Array:
        expected = self.loss(*arrays[: len(arrays) - self.both.nin + self.loss.nin])
        losses, gradient = self.both(*arrays, out=(None, out))
        assert losses.tobytes() == expected.tobytes()
        return gradient


def core_operands(name: str, arrays: list[Array]) -> tuple[object, ...]:
    """The operands of the core's own function, in its order."""
    kernel = KERNELS[name].both if isinstance(KERNELS[name], Gradient) else KERNELS[name]
    return kernel.operands(*arrays) if isinstance(kernel, Loss | Mass) else tuple(arrays)


# By their names in the core; what a loss needs beside its row is given it here.
KERNELS = {name: value for name, value in vars(_core).items() if isinstance(value, np.ufunc)}
LOSSES = [
    prefix + name
    for name in _core.rows_functions
    if KERNELS[name].nin > 5
    for prefix in ("", "masked_")
]
KERNELS |= {
    name: Loss(KERNELS[name.removeprefix("masked_")], name.startswith("masked_")) for name in LOSSES
}
KERNELS |= {
    name: Gradient(kernel, KERNELS[name.removesuffix("_gradient")])
    for name, kernel in KERNELS.items()
    if name.endswith("_gradient")
}
KERNELS |= {"mass": Mass(), "logit_moments": Moments()}
BINARY_LOSSES = [name for name in KERNELS if name.startswith("binary_")]
AXIS = [name for name, kernel in KERNELS.items() if kernel.signature is not None]
ELEMENTWISE = [name for name in KERNELS if name not in (*BINARY_LOSSES, *AXIS)]

# Both sides of every border: rows in lanes, whole rows, rows in chunks; part vectors and part blocks.
CLASSES = (1, 2, 3, 7, 10, 16, 31, 32, 33, 64, 100, 1000, 5003, 70_001)
ROWS = 17


def logits(seeded: np.random.Generator, classes: int) -> NDArray[np.float64]:
    """Rows of every kind, specials included."""
    x = seeded.normal(0, 5, (ROWS, classes))
    some = seeded.random(classes) < 0.4
    first, last = 0, classes - 1
    x[1] *= 1e4
    x[2] = np.round(x[2])
    x[3] *= 1e-308
    x[4] = 1e38 * x[4]
    x[5] = 0.7
    x[6] += 1000
    x[7, first] += 60
    x[8, last] = np.inf
    x[9, some] = np.inf
    x[10] = -np.inf
    x[11, last] = np.nan
    x[12, some] = -np.inf
    x[13] = -700 * seeded.random(classes)
    x[14] = -np.inf
    x[14, first] = np.nan
    x[15, some] = -np.inf
    x[15, last] = np.nan
    return x


def probabilities(seeded: np.random.Generator, classes: int) -> NDArray[np.float64]:
    p = seeded.dirichlet(np.ones(classes), ROWS) if classes > 1 else seeded.random((ROWS, 1))
    some = seeded.random(classes) < 0.4
    first, last = 0, classes - 1
    p[1, some] = 0
    p[2] *= 1e-308
    p[3] = 1 / classes
    p[4, last] = 1
    p[5] = 0
    p[6, first] = 1.5
    p[7, last] = -0.25
    p[8, last] = np.nan
    p[9, first] = np.inf
    p[10, last] = -np.inf
    p[11] = 0.5 + 1e-3 * seeded.normal(0, 1, classes)
    p[12] = seeded.random(classes) ** 40
    p[13] = -p[13]
    return p


def cotangents(seeded: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    g = seeded.normal(0, 1, shape)
    g[seeded.random(shape) < 0.2] = 0
    return g


def binary_loss_operands(
    seeded: np.random.Generator, name: str, dtype: str, classes: int
) -> list[Array]:
    """x and labels, then weights, pos_weight, smoothing and divisor, of which half of the rows have the default."""
    if "of_probabilities" in name:
        x = np.clip(np.nan_to_num(probabilities(seeded, classes)), 0, 1)
    else:
        x = logits(seeded, classes)
    labels = seeded.integers(0, 2, x.shape).astype(float)
    labels[::4] = seeded.random(labels[::4].shape)
    weight = np.ones(x.shape)
    weight[1::4] = cotangents(seeded, weight[1::4].shape)
    pos_weight, divisor = np.ones((2, ROWS, 1))
    pos_weight[::2] = 10.0 ** seeded.uniform(-2, 2, pos_weight[::2].shape)
    divisor[1:] = 10.0 ** seeded.uniform(0, 15, divisor[1:].shape)
    smoothing = np.where(np.arange(ROWS)[:, None] % 3 == 2, seeded.random((ROWS, 1)), 0.0)
    with np.errstate(all="ignore"):
        numbers = [operand.astype(TYPES[dtype]) for operand in (x, labels)]
    options = [weight, pos_weight, smoothing, divisor]
    return numbers + (options if name.endswith("_gradient") else options[:-1])


def distributions(seeded: np.random.Generator, classes: int) -> NDArray[np.float64]:
    """Rows of soft labels: with classes that have no share, sure ones, and tiny shares."""
    q = seeded.dirichlet(np.ones(classes), ROWS)
    q[1::4, seeded.random(classes) < 0.4] = 0
    q[2::4] = np.arange(classes) == seeded.integers(0, classes, (len(q[2::4]), 1))
    q[3, : classes // 2] *= 1e-300
    q[5] *= 1e-4
    return q


def loss_operands(seeded: np.random.Generator, name: str, dtype: str, classes: int) -> list[Array]:
    """x, labels, then the options, of which half of the rows have the default."""
    of_probabilities = "of_probabilities" in name
    x = (probabilities if of_probabilities else logits)(seeded, classes)
    if of_probabilities:
        x = np.clip(np.nan_to_num(x), 0, 1)
    found: list[Array] = [x]
    if "divergence" in name or "distillation" in name:
        found.append(np.roll(logits(seeded, classes), 5, axis=0))
    elif name.removeprefix("masked_").startswith(("soft_", "relative_")):
        found.append(distributions(seeded, classes))
    with np.errstate(all="ignore"):
        x, *soft = (operand.astype(TYPES[dtype]) for operand in found)
    label = seeded.integers(0, classes, ROWS)
    label[::3] = np.nan_to_num(found[0][::3]).argmax(axis=1)
    label[[3, 14]] = -1
    odd = np.arange(ROWS) % 2 == 1
    weight, temperature, scale = np.ones((3, ROWS))
    weight[odd] = cotangents(seeded, (ROWS // 2,))
    temperature[1::3] = 10.0 ** seeded.uniform(-2, 2, len(temperature[1::3]))
    scale[2::4] = 10.0 ** seeded.uniform(-6, 0, len(scale[2::4]))
    scale[[1, 5, 9, 13]] = -3.0, 1e-300, 1e300, 1e-30
    z_loss = np.where(np.arange(ROWS) % 4 < 2, 0.0, 10.0 ** seeded.uniform(-4, 0, ROWS))
    options = [weight, temperature, z_loss, scale]
    if name.startswith("masked_"):
        mask = seeded.random(x.shape) < 0.8
        mask[2], mask[16] = False, True
        options += [np.where(mask, prior(classes), 0).sum(axis=1), mask]
    return [x, label, *soft, *options]


def moments_operands(seeded: np.random.Generator, dtype: str, classes: int) -> list[Array]:
    """Logits, inverse temperatures and references: mostly a logit of the row, finite or not."""
    with np.errstate(all="ignore"):
        x = logits(seeded, classes).astype(TYPES[dtype])
    beta = np.where(np.arange(ROWS) % 3 == 1, 10.0 ** seeded.uniform(-2, 2, ROWS), 1.0)
    beta[[2, 16]] = 0.0, 1e-300
    reference = x[np.arange(ROWS), seeded.integers(0, classes, ROWS)].astype(np.float64)
    reference[::4] = np.nan_to_num(x[::4].astype(np.float64)).max(axis=1)
    return [x, beta, reference]


def operands(name: str, dtype: str, classes: int) -> list[Array]:
    """x, then what the signature asks for, each with ROWS rows."""
    seeded = np.random.default_rng(list(f"{name}/{dtype}/{classes}".encode()))
    if name in BINARY_LOSSES:
        return binary_loss_operands(seeded, name, dtype, classes)
    if name in LOSSES:
        return loss_operands(seeded, name, dtype, classes)
    if name == "logit_moments":
        return moments_operands(seeded, dtype, classes)
    if name == "mass":
        with np.errstate(all="ignore"):
            return [probabilities(seeded, classes).astype(TYPES[dtype])]
    of_probabilities = name.startswith(("logit", "inverse_softmax", "entropy_of_probabilities"))
    x = (probabilities if of_probabilities else logits)(seeded, classes)
    if name.startswith("log1mexp"):
        x = -np.abs(x)
    found: list[Array] = [x]
    inputs = (KERNELS[name].signature or KERNELS[name].types[-1]).split("->")[0]
    if KERNELS[name].signature is None:
        found += [cotangents(seeded, x.shape)] * (len(inputs) - 1)
    elif "(n),(n)" in inputs:
        c = cotangents(seeded, x.shape)
        if "weighted" in name:
            c[:-2] = abs(c[:-2])
        found.append(c)
    half = np.errstate(over="ignore", under="ignore", invalid="ignore")
    with half:
        found = [operand.astype(TYPES[dtype]) for operand in found]
    scalars = inputs.count("()")
    takes_temperature = KERNELS[name].types[0].split("->")[0].endswith("d")
    if scalars > takes_temperature:
        found.append(cotangents(seeded, (ROWS,)).astype(TYPES[dtype]))
    if takes_temperature:
        found.append(np.where(np.arange(ROWS) % 3 == 1, 10.0 ** seeded.uniform(-2, 2, ROWS), 1.0))
    return found


def digests() -> Iterator[tuple[str, str]]:
    for name, ufunc in KERNELS.items():
        for dtype in TYPES:
            for classes in CLASSES:
                result = ufunc(*operands(name, dtype, classes))
                yield f"{name} {dtype} {classes}", hashlib.sha256(result.tobytes()).hexdigest()
    for count in CLASSES:
        losses = np.random.default_rng(count).exponential(size=count)
        yield f"total {count}", _core.total(losses).hex()


if __name__ == "__main__":
    print(json.dumps(dict(digests())))
