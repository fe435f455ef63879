"""The command `predict`: what a linear layer makes of a file of features."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import typer

from sigmax import LinearHead
from sigmax.files.blocks import row_blocks
from sigmax.files.errors import DataError
from sigmax.files.find import Options, find_logits
from sigmax.files.opening import open_file
from sigmax.files.outputs import KINDS, check_place, check_shape, write_rows
from sigmax.files.progress import tracked

from .console import out, plain_errors, refusals

_BLOCK = 2**24  # numbers of features and probabilities at a time


def predict(context: typer.Context) -> None:
    given = context.params
    head, output, top = given["head"], given["output"], given["top"]
    how = {name: given[name] for name in ("weight", "bias", "temperature")}
    with plain_errors():
        check_place(output, *KINDS, inputs=[given["features"], head])
        with refusals():
            layer = LinearHead.load(head, **how)
            layer.softmax(np.zeros(layer.weight.shape[1]))
        where = find_logits(given["features"], Options(logits_key=given["features_key"]), set())
        x = open_file(where.path, where.names).array
        count, size = layer.weight.shape
        if x.ndim < 2 or x.shape[-1] != size:
            raise DataError(
                f"{where}: must have rows of {size} features, as {head} has, got shape {x.shape}"
            )
        x = x.reshape(-1, size)
        if top is not None and top > count:
            raise DataError(f"--top must be in [1, {count}], got {top}")
        names = _names(given["classes"], count)
        shape, columns = ((len(x), count), names) if top is None else _top_shape(len(x), top)
        check_shape(output, shape)
        dtype = (
            layer.softmax(np.zeros((1, size), x.dtype)).dtype
            if top is None
            else np.dtype(np.float64)
        )
        blocks = tracked(_blocks(layer, x, top), "Writing", len(x))
        write_rows(output, blocks, shape, dtype, columns)
        out.print(f"{output}: {len(x):,} rows of {shape[1]:,} numbers, {dtype}")


def _names(classes: str | None, count: int) -> list[str]:
    names = [str(k) for k in range(count)] if classes is None else classes.split(",")
    if len(names) != count:
        raise DataError(f"--classes: has {len(names)} names, the layer has {count} classes")
    return names


def _top_shape(rows: int, top: int) -> tuple[tuple[int, int], list[str]]:
    columns = [f"{what}_{k}" for k in range(top) for what in ("class", "probability")]
    return (rows, 2 * top), columns


def _blocks(layer: LinearHead, x: Any, top: int | None) -> Iterator[Any]:
    """Yield the probabilities of blocks of rows, or pairs of index and probability."""
    wide = max(x.shape[1], len(layer.weight))
    for rows in row_blocks(x, max(1, _BLOCK * x.shape[1] // wide)):
        if top is None:
            yield layer.softmax(x[rows])
            continue
        best = layer.top_k(x[rows], top)
        pairs = [best.indices.astype(np.float64), np.exp(best.log_probabilities.astype(np.float64))]
        yield np.stack(pairs, axis=-1).reshape(len(best.indices), -1)
