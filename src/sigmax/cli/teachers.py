"""The command `soften`: a teacher's logits as a file of soft labels."""

from collections.abc import Iterator
from typing import Any

import typer

from sigmax.files.blocks import row_blocks
from sigmax.files.errors import DataError
from sigmax.files.inputs import read_logits
from sigmax.files.outputs import check_place, replacing
from sigmax.files.progress import tracked
from sigmax.files.standard_input import from_standard_input_of
from sigmax.soft_labels import SparseLabels, write_soft_labels

from .console import out, plain_errors, refusals
from .work import reading_options, say


def soften(context: typer.Context) -> None:
    given = context.params
    output, temperature, top_k = given["output"], given["temperature"], given["top_k"]
    with plain_errors():
        check_place(output, ".parquet", ".arrow", inputs=[given["logits"]])
        (logits,) = from_standard_input_of(given["logits"])
        inputs = read_logits(logits, reading_options(given))
        x = inputs.logits
        if len(x) == 0:
            raise DataError(f"{logits}: has no rows")
        if top_k is not None and top_k > x.shape[1]:
            raise DataError(f"--top-k must be in [1, {x.shape[1]}], got {top_k}")
        say(inputs)
        blocks = tracked(_blocks(x, top_k, temperature), "Softening", len(x))
        with replacing(output) as temporary, refusals():
            rows = write_soft_labels(temporary, blocks, x.shape[1])
        out.print(
            f"{output}: {rows:,} rows of {top_k or x.shape[1]:,} of {x.shape[1]:,} classes, T = {temperature:g}"
        )


def _blocks(x: Any, k: int | None, temperature: float) -> Iterator[SparseLabels]:
    for rows in row_blocks(x):
        yield SparseLabels.from_logits(x[rows], k, temperature=temperature)
