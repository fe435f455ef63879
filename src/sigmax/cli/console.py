"""What the commands say: results on standard output, errors on standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from sigmax.files.errors import DataError
from sigmax.files.standard_input import spoken


class _Out:
    """A console of rich, which is imported when something is printed."""

    def print(self, *words: Any, **style: Any) -> None:
        from rich.console import Console

        Console(highlight=False, markup=False, soft_wrap=True).print(*words, **style)


out = _Out()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors about files into a message and exit code 1.

    All other exceptions are mistakes in this program, and keep their tracebacks.
    """
    try:
        yield
    except DataError as error:
        _end(str(error), error)
    except BrokenPipeError as error:  # who reads the output has enough of it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        raise typer.Exit(1) from error
    except OSError as error:
        what = (
            f"{error.filename}: {error.strerror}" if error.filename else str(error) or repr(error)
        )
        _end(what, error)
    except MemoryError as error:
        _end("the memory is not enough", error)
    except ModuleNotFoundError as error:
        if (error.name or "sigmax").startswith("sigmax"):
            raise
        _end(f"needs {error.name}: pip install 'sigmax[cli]'", error)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a function of the library refuses into an error about data: only around a call of such."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise DataError(str(error)) from error


def _end(message: str, error: BaseException) -> None:
    print(f"sigmax: {spoken(message)}", file=sys.stderr)
    raise typer.Exit(1) from error
