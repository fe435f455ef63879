"""``python -m sigmax.lesson``: the lesson as a command."""

import typer

from . import lesson

if __name__ == "__main__":
    typer.run(lesson)
