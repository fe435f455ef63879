"""Every kernel, as a ufunc, with seeded operands: what comparisons of bytes run over.

`python kernel_inputs.py` prints a digest of every result as JSON: test_isa.py compares those of
several instruction-set levels.
"""

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

# In the order of ElementwiseFunction and AxisFunction in src/core/kernels.h.
KERNELS = {name: value for name, value in vars(_core).items() if isinstance(value, np.ufunc)}
ELEMENTWISE = [name for name, ufunc in KERNELS.items() if ufunc.signature is None]
AXIS = [name for name, ufunc in KERNELS.items() if ufunc.signature is not None]

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


def operands(name: str, dtype: str, classes: int) -> list[Array]:
    """x, then what the signature asks for, each with ROWS rows."""
    seeded = np.random.default_rng(list(f"{name}/{dtype}/{classes}".encode()))
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


if __name__ == "__main__":
    print(json.dumps(dict(digests())))
