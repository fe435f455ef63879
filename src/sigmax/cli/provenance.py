"""Where a result comes from: the version, the command, the files."""

import hashlib
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from sigmax import __version__
from sigmax.files.progress import progress
from sigmax.files.standard_input import spoken


def provenance(context: typer.Context, paths: tuple[Path, ...]) -> dict[str, Any]:
    described = []
    for path in paths:
        with progress(f"Hashing {path.name}"), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described.append(
            {
                "name": spoken(str(path)) if spoken(str(path)) != str(path) else path.name,
                "bytes": path.stat().st_size,
                "sha256": digest,
            }
        )
    return {
        "sigmax": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(context, str(context.info_name)),
        "files": described,
    }


def command_line(context: typer.Context, name: str, chosen: tuple[str, ...] | None = None) -> str:
    """Return the command line with what was given, or only the chosen parameters of it."""
    words = ["sigmax", name]
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        given = source is not None and source.name == "COMMANDLINE"
        if not given or (chosen is not None and parameter.name not in chosen):
            continue
        value = context.params[parameter.name]
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0], str(each)]
    return shlex.join(words)
