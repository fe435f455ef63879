"""The command `sigmax`: from files of logits and labels to a report, a calibration, and probabilities."""

import os
import signal
import sys
from typing import Any

_INTERRUPTED = "sigmax: interrupted, nothing was written\n"


def answer_interruptions() -> None:
    """End with a sentence when interrupted while the library is still being imported, before `main`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(*_: Any) -> None:
    sys.stderr.write(_INTERRUPTED)
    sys.stderr.flush()
    os._exit(130)


def main() -> None:
    """Run the command line; without its libraries, say how to install them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _run()
    except KeyboardInterrupt:
        _end()
    except SystemExit as error:
        if error.code == 130:  # which typer makes of an interruption
            sys.stderr.write(_INTERRUPTED)
        raise


def _run() -> None:
    try:
        from .commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sigmax"):
            raise
        sys.exit(f"sigmax: needs {error.name}: pip install 'sigmax[cli]'")
    app(prog_name="sigmax")
