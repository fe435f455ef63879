"""Commands in this process."""

import re

from typer.testing import CliRunner

from sigmax.cli.commands import app

BAD_DATA, USAGE, FAILED = 1, 2, 3


def run(*words, code=0, stdin=None) -> str:
    """What a command prints, errors included."""
    result = CliRunner().invoke(app, list(map(str, words)), input=stdin, prog_name="sigmax")
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return re.sub(r"\x1b\[[\d;]*m", "", result.output)
