"""The command `sigmax`: from files of logits and labels to a report, a calibration, and probabilities."""

import signal
import sys


def main() -> None:
    """Run the command line; without its libraries, say how to install them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run()
    except KeyboardInterrupt:
        sys.stderr.write("sigmax: interrupted, nothing was written\n")
        sys.exit(130)


def _run() -> None:
    try:
        from .commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sigmax"):
            raise
        sys.exit(f"sigmax: needs {error.name}: pip install 'sigmax[cli]'")
    app(prog_name="sigmax")
