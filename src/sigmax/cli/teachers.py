"""The command `soften`: a teacher's logits as a file of soft labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sigmax.soft_labels import SparseLabels, write_soft_labels

from . import options
from .console import DataError, out, plain_errors, tracked
from .files import open_file
from .outputs import check_place
from .rows import row_blocks
from .where import Options, find_logits


def soften(
    logits: options.Logits,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Soft labels: .parquet or .arrow.")
    ],
    temperature: Annotated[
        float,
        typer.Option(help="What the logits are divided by; the student's loss needs the same."),
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k", min=1, help="Classes a row; the others are one number. All unless given."
        ),
    ] = None,
    logits_key: options.LogitsKey = None,
) -> None:
    """Turn a teacher's logits into a file of soft labels for a student."""
    with plain_errors():
        check_place(output, ".parquet", ".arrow")
        where = find_logits(logits, Options(logits_key=logits_key), set())
        x = open_file(where.path, where.names).array
        if x.ndim < 2 or len(x) == 0:
            raise DataError(f"{where}: must have rows of classes, got shape {x.shape}")
        x = x.reshape(-1, x.shape[-1])
        if top_k is not None and top_k > x.shape[1]:
            raise DataError(f"--top-k must be in [1, {x.shape[1]}], got {top_k}")
        temporary = output.with_name(f".{output.stem}.part{output.suffix}")
        try:
            blocks = tracked(_blocks(x, top_k, temperature), "Softening", len(x))
            rows = write_soft_labels(temporary, blocks, x.shape[1])
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
        out.print(
            f"{output}: {rows:,} rows of {top_k or x.shape[1]:,} of {x.shape[1]:,} classes, T = {temperature:g}"
        )


def _blocks(x: Any, k: int | None, temperature: float) -> Iterator[SparseLabels]:
    for rows in row_blocks(x):
        yield SparseLabels.from_logits(x[rows], k, temperature=temperature)
