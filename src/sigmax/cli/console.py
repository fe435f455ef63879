"""What the commands say: results on standard output, errors and progress on standard error."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

out = Console(highlight=False, markup=False, soft_wrap=True)


class DataError(Exception):
    """What is wrong with a file, in words: which file, which row, what is legal."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors about data into a message and exit code 1, and a termination into an interruption."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (DataError, OSError, ValueError, TypeError) as error:
        print(f"sigmax: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        print("sigmax: interrupted, nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal, nothing elsewhere; yields the function that advances it."""
    err = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.advance(task, amount)


def tracked(blocks: Iterable[Any], what: str, rows: int | None = None) -> Iterator[Any]:
    """Yield blocks of rows, with a bar."""
    with progress(what, rows) as advance:
        for block in blocks:
            yield block
            advance(len(block))
