"""The static copy: the page, and what its functions return at the start, at each preset, and for each check."""

import shutil
from pathlib import Path
from typing import Any

from . import wire
from .contents import HERE, all_functions, describe
from .model import Figure

__all__ = ["write"]

_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self'; base-uri 'none'; "
    "form-action 'none'; object-src 'none'\">"
)


def _precomputed() -> dict[str, dict[str, Any]]:
    """Function → situation → result."""
    found = {}
    for name, function in all_functions().items():
        found[name] = {"start": function({})}
        if isinstance(function, Figure):
            found[name] |= {preset: function(given) for preset, given in function.presets.items()}
    return found


def write(directory: Path, lang: str) -> None:
    """Write the static copy; any web server can hand it out, such as ``python -m http.server``."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"export must be a new or empty directory, got {directory}")
    shutil.copytree(HERE / "static", directory, dirs_exist_ok=True)
    page = directory / "index.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<title>", f"{_POLICY}\n    <title>"), encoding="utf-8")
    described = describe(lang) | {"live": False, "precomputed": _precomputed()}
    (directory / "lesson.json").write_bytes(wire.dumps(described))
    print(f"wrote {directory}: serve it with python -m http.server --directory {directory}")
