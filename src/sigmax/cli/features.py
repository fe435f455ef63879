"""The command `predict`: what a linear layer makes of a file of features."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import typer

from sigmax import LinearHead
from sigmax.files.blocks import row_blocks
from sigmax.files.errors import DataError
from sigmax.files.find import Where
from sigmax.files.inputs import class_names, read_features
from sigmax.files.outputs import KINDS, check_place, check_shape, write_rows
from sigmax.files.progress import tracked
from sigmax.files.standard_input import from_standard_input_of

from .console import out, plain_errors, refusals
from .work import reading_options

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
        (path,) = from_standard_input_of(given["features"])
        options = replace(reading_options(given), logits_key=given["features_key"])
        x, batch, said = read_features(path, options)
        count, size = layer.weight.shape
        if x.shape[1] != size:
            raise DataError(
                f"{path}: must have rows of {size} features, as {head} has, got {x.shape[1]}"
            )
        if top is not None and top > count:
            raise DataError(f"--top must be in [1, {count}], got {top}")
        names, _ = class_names(options, None, count, Where(head))
        width, columns = (count, list(names)) if top is None else _top_columns(top)
        shape = (*batch, width)
        check_shape(output, shape)
        for line in said:
            out.print(line, style="dim")
        dtype = (
            layer.softmax(np.zeros((1, size), x.dtype)).dtype
            if top is None
            else np.dtype(np.float64)
        )
        blocks = tracked(_blocks(layer, x, top), "Writing", len(x))
        write_rows(output, blocks, shape, dtype, columns)
        out.print(f"{output}: {len(x):,} rows of {width:,} numbers, {dtype}")


def _top_columns(top: int) -> tuple[int, list[str]]:
    columns = [f"{what}_{k}" for k in range(top) for what in ("class", "probability")]
    return 2 * top, columns


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
