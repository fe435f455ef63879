"""The lesson put together: chapters and texts, found by their files."""

import functools
import importlib
import pkgutil
import tomllib
from pathlib import Path
from typing import Any

from . import LANGUAGES, chapters
from .model import VERDICTS, Chapter, Claim, Figure, Prediction

__all__ = ["HERE", "all_chapters", "all_functions", "describe", "texts"]

HERE = Path(__file__).parent

Texts = dict[str, dict[str, str]]


@functools.cache
def all_chapters() -> tuple[Chapter, ...]:
    """Return the chapters in order: every module in `chapters` has one, called `chapter`."""
    names = [module.name for module in pkgutil.iter_modules(chapters.__path__)]
    modules = [importlib.import_module(f"{chapters.__name__}.{name}") for name in names]
    return tuple(sorted((module.chapter for module in modules), key=lambda it: it.number))


@functools.cache
def all_functions() -> dict[str, Figure | Prediction | Claim]:
    """Return the allow-list: everything the page may call."""
    found: dict[str, Figure | Prediction | Claim] = {}
    for chapter in all_chapters():
        found |= chapter.functions()
    return found


def texts(path: Path) -> Texts:
    """Read a table of texts: dotted key → language → text."""
    found: Texts = {}

    def visit(table: dict[str, Any], key: str) -> None:
        here = {name: text.strip() for name, text in table.items() if isinstance(text, str)}
        if here:
            found[key] = here
        for name, inner in table.items():
            if not isinstance(inner, str):
                visit(inner, f"{key}.{name}" if key else name)

    visit(tomllib.loads(path.read_text(encoding="utf-8")), "")
    return found


def describe(lang: str) -> dict[str, Any]:
    """Return all that the page needs to know before it calls a function."""
    return {
        "lang": lang,
        "languages": LANGUAGES,
        "verdicts": VERDICTS,
        "texts": texts(HERE / "texts.toml"),
        "glossary": texts(HERE / "glossary.toml"),
        "chapters": [
            chapter.describe() | {"texts": texts(HERE / "chapters" / f"{chapter.name}.toml")}
            for chapter in all_chapters()
        ],
    }
