"""What llama.cpp, Transformers and vLLM keep, step by step as they document and write it, over rows of NumPy arrays.

`dtype` is the arithmetic: theirs is float32. They cut among equal logits by the order of their sort; with `together`
equal logits stay together at each step, and nothing else is changed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from plain import softmax

Array = Any
MINUS_INFINITY = -np.inf


def join(x: Array, kept: Array, together: bool) -> Array:
    """The kept logits, with all that equal one of them if they stay together."""
    if together:
        reach = np.where(kept, x, np.inf)[:, None, :]
        kept = kept | (x[:, :, None] == reach).any(axis=2)
    return np.where(kept, x, MINUS_INFINITY)


def scatter(order: Array, kept: Array) -> Array:
    """Decisions about sorted columns, at the places the columns had."""
    result = np.empty_like(kept)
    np.put_along_axis(result, order, kept, axis=1)
    return result


def accumulate(p: Array) -> Array:
    return np.cumsum(p, axis=1, dtype=p.dtype)


# ---------------------------------------------------------------- llama.cpp, src/llama-sampling.cpp


def llama_top_n_sigma(x: Array, n: float, together: bool) -> Array:
    valid = x > MINUS_INFINITY
    count = valid.sum(axis=1, keepdims=True)
    mean = np.where(valid, x, 0).sum(axis=1, keepdims=True) / count
    variance = (
        np.where(valid, (np.where(valid, x, 0) - mean) ** 2, 0).sum(axis=1, keepdims=True) / count
    )
    least = x.max(axis=1, keepdims=True) - x.dtype.type(n) * np.sqrt(variance).astype(x.dtype)
    return join(x, x >= least, together)


def llama_top_k(x: Array, k: float, together: bool) -> Array:
    order = np.argsort(-x, axis=1, kind="stable")
    kept = np.broadcast_to(np.arange(x.shape[1]) < k, x.shape)
    return join(x, scatter(order, kept), together)


def llama_typical_p(x: Array, p: float, together: bool) -> Array:
    order = np.argsort(-x, axis=1, kind="stable")
    q = softmax(np.take_along_axis(x, order, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        log_q = np.log(q)
        entropy = -np.where(q > 0, q * log_q, 0).sum(axis=1, keepdims=True)
        shifted = np.abs(-log_q - entropy)
    inner = np.argsort(shifted, axis=1, kind="stable")
    total = accumulate(np.take_along_axis(q, inner, 1))
    kept = np.concatenate([np.ones((len(x), 1), bool), ~(total > x.dtype.type(p))[:, :-1]], 1)
    kept = np.logical_and.accumulate(kept, axis=1)
    return join(x, scatter(order, scatter(inner, kept)) & (x > MINUS_INFINITY), together)


def llama_top_p(x: Array, p: float, together: bool) -> Array:
    order = np.argsort(-x, axis=1, kind="stable")
    total = accumulate(softmax(np.take_along_axis(x, order, 1)))
    kept = np.concatenate([np.ones((len(x), 1), bool), ~(total >= x.dtype.type(p))[:, :-1]], 1)
    kept = np.logical_and.accumulate(kept, axis=1)
    return join(x, scatter(order, kept) & (x > MINUS_INFINITY), together)


def llama_min_p(x: Array, p: float, together: bool) -> Array:
    least = x.max(axis=1, keepdims=True) + np.log(x.dtype.type(p))
    return join(x, x >= least, together)


def divide(x: Array, temperature: float, _: bool) -> Array:
    return x / x.dtype.type(temperature)


# ---------------------------------------------------------------- Transformers, generation/logits_process.py


def transformers_top_k(x: Array, k: float, _: bool) -> Array:
    last = -np.sort(-x, axis=1)[:, min(int(k), x.shape[1]) - 1, None]
    return np.where(x < last, MINUS_INFINITY, x)


def transformers_top_p(x: Array, p: float, together: bool) -> Array:
    order = np.argsort(x, axis=1, kind="stable")
    total = accumulate(softmax(np.take_along_axis(x, order, 1)))
    kept = total > x.dtype.type(1 - p)
    kept[:, -1] = True
    return join(x, scatter(order, kept) & (x > MINUS_INFINITY), together)


def transformers_min_p(x: Array, p: float, together: bool) -> Array:
    q = softmax(x)
    kept = q >= x.dtype.type(p) * q.max(axis=1, keepdims=True)
    return join(x, kept & (x > MINUS_INFINITY), together)


def transformers_typical_p(x: Array, p: float, together: bool) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        log_q = np.log(softmax(x))
        entropy = -np.where(log_q > MINUS_INFINITY, np.exp(log_q) * log_q, 0).sum(
            axis=1, keepdims=True
        )
        shifted = np.abs(-log_q - entropy)
    order = np.argsort(shifted, axis=1, kind="stable")
    total = accumulate(softmax(np.take_along_axis(x, order, 1)))
    last = np.minimum((total < x.dtype.type(p)).sum(axis=1), x.shape[1] - 1)
    most = np.take_along_axis(np.take_along_axis(shifted, order, 1), last[:, None], 1)
    return join(x, ~(shifted > most) & (x > MINUS_INFINITY), together)


def transformers_epsilon(x: Array, p: float, together: bool) -> Array:
    removed = (softmax(x) < x.dtype.type(p)) & (x < x.max(axis=1, keepdims=True))
    return join(x, ~removed & (x > MINUS_INFINITY), together)


# vLLM, v1/sample: min_p as in Transformers, top_k too; top_p with the last one always kept, as there.
Step = Callable[[Array, float, bool], Array]
DECODERS: dict[str, dict[str, Step]] = {
    "llama.cpp": {
        "top_n_sigma": llama_top_n_sigma,
        "top_k": llama_top_k,
        "typical_p": llama_typical_p,
        "top_p": llama_top_p,
        "min_p": llama_min_p,
        "temperature": divide,
    },
    "transformers": {
        "temperature": divide,
        "top_k": transformers_top_k,
        "top_p": transformers_top_p,
        "min_p": transformers_min_p,
        "typical_p": transformers_typical_p,
        "epsilon": transformers_epsilon,
    },
    "vllm": {
        "temperature": divide,
        "min_p": transformers_min_p,
        "top_k": transformers_top_k,
        "top_p": transformers_top_p,
    },
}


def kept(decoder: str, x: Array, options: dict[str, float], dtype: Any, together: bool) -> Array:
    x = x.astype(dtype)
    for name, step in DECODERS[decoder].items():
        if name in options:
            x = step(x, options[name], together)
    return x > MINUS_INFINITY


CLASSES, ROWS_AT_ONCE = 40, 1000


def batches(decoder: str, rows: int) -> Any:
    """Rows of float32 logits, every other batch rounded so that many are equal, and options."""
    rng = np.random.default_rng(sum(map(ord, decoder)))
    for batch in range(rows // ROWS_AT_ONCE):
        x = rng.normal(0, rng.choice([1.0, 3.0]), (ROWS_AT_ONCE, CLASSES)).astype(np.float32)
        if batch % 2:
            x = np.round(x, 1)
        ranges = {
            "temperature": rng.choice([0.5, 0.7, 1.3, 2.0]),
            "top_k": int(rng.integers(1, CLASSES)),
            "top_p": rng.uniform(0.3, 0.99),
            "typical_p": rng.uniform(0.3, 0.99),
            "min_p": rng.uniform(0.001, 0.3),
            "epsilon": rng.uniform(0.0003, 0.1),
            "top_n_sigma": rng.uniform(0.5, 2.5),
        }
        chosen = {k: v for k, v in ranges.items() if k in DECODERS[decoder] and rng.random() < 0.5}
        yield x, chosen
