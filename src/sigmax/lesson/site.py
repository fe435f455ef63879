"""The lesson as files: what any static server hands out, and the same bundled into one page."""

import base64
import hashlib
import html
import json
import re
import shutil
import tomllib
from pathlib import Path
from string import Template
from typing import Any

from . import LANGUAGES

__all__ = ["PLACES", "STATIC", "export", "files", "single_file", "texts"]

STATIC = Path(__file__).parent / "static"
PAGES = Path(__file__).parent / "pages"

PREVIEW = (600, 315)  # pixels, the least that is shown large

PLACES = ("", *re.findall(r'name: "(\w+)"', (STATIC / "road.js").read_text()), "glossary")

POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'; "
    "object-src 'none'"
)
POLICY_OF_ONE = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:"
)

Texts = dict[str, dict[str, str]]


def texts(name: str) -> Texts:
    """Read a table of texts: dotted key → language → text."""
    found: Texts = {}

    def visit(table: dict[str, Any], key: str) -> None:
        here = {name: text.strip() for name, text in table.items() if isinstance(text, str)}
        if here:
            found[key] = here
        for name, inner in table.items():
            if not isinstance(inner, str):
                visit(inner, f"{key}.{name}" if key else name)

    visit(tomllib.loads((STATIC / "texts" / f"{name}.toml").read_text(encoding="utf-8")), "")
    return found


# ---------------------------------------------------------------- pages


def _plain(text: str) -> str:
    """A text without its markup, for titles and descriptions."""
    return html.escape(re.sub(r"\[(.+?)\]\(.+?\)|[$*`]", r"\1", text))


def _page(place: str, lang: str, root: str, address: str | None, offline: bool) -> str:
    """The page of a place: what search engines, previews and readers without JavaScript get, and the script."""
    table = texts("page")

    def words(key: str) -> str:
        return _plain(table[key][lang])

    title = words("lesson" if place == "" else place if place == "glossary" else f"{place}.title")
    rendered = PAGES / lang / f"{place or 'index'}.html"
    here = f"{place or 'index'}.html"
    base = f"{address.rstrip('/')}/" if address else root
    content = rendered.read_text(encoding="utf-8") if rendered.exists() else ""
    if not root:  # the first page stands above those of its language
        content = re.sub(r'href="(?=\w+\.html)', f'href="{lang}/', content)
    return Template((STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        lang=lang,
        place=place,
        root=root,
        policy=POLICY,
        offline=" data-offline" if offline else "",
        title=f"{title} · sigmax",
        description=words(f"{place}.summary" if f"{place}.summary" in table else "lead"),
        preview=f"{base}previews/{lang}/{place or 'index'}.png",
        preview_width=str(PREVIEW[0]),
        preview_height=str(PREVIEW[1]),
        home=f"{root}{lang}/index.html",
        lesson=words("lesson"),
        others=" ".join(
            f'<a lang="{other}" href="{root}{other}/{here}">{other}</a>'
            for other in LANGUAGES
            if other != lang
        ),
        alternates="\n    ".join(
            f'<link rel="alternate" hreflang="{other}" href="{base}{other}/{here}">'
            for other in LANGUAGES
        ),
        content=content,
    )


def files(lang: str, *, address: str | None = None, offline: bool = False) -> dict[str, bytes]:
    """Return every file of the lesson by its path.

    ``lang`` is the language of the first page, ``address`` where the copy will stand (previews need it), and with
    ``offline`` the pages keep themselves for later.
    """
    found = {
        path.relative_to(STATIC).as_posix(): path.read_bytes()
        for path in sorted(STATIC.rglob("*"))
        if path.is_file() and path.name != "page.html"
    }
    found["index.html"] = _page("", lang, "", address, offline).encode()
    for language in LANGUAGES:
        for place in PLACES:
            page = _page(place, language, "../", address, offline)
            found[f"{language}/{place or 'index'}.html"] = page.encode()
    if offline:
        # Previews are for those who have not come yet.
        kept = sorted(
            name for name in found if name != "offline.js" and not name.startswith("previews/")
        )
        digest = hashlib.sha256(b"".join(found[name] for name in kept)).hexdigest()[:16]
        script = found["offline.js"].decode()
        script = script.replace("FILES = []", f"FILES = {json.dumps(['./', *kept])}")
        found["offline.js"] = script.replace('VERSION = ""', f'VERSION = "{digest}"').encode()
    else:
        del found["offline.js"]
    return found


def export(directory: Path, lang: str, address: str | None) -> None:
    """Write the files into a new or empty directory: a copy that is complete, or none."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"export must be a new or empty directory, got {directory}")
    created = not directory.exists()
    try:
        for name, content in files(lang, address=address, offline=True).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        if not created:
            directory.mkdir(exist_ok=True)
        raise
    print(f"wrote {directory}: any web server can hand it out")


# ---------------------------------------------------------------- one page

_IMPORT = re.compile(r'^import (?:(\* as \w+)|\{([^}]*)\}|(\w+)) from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)
_LAZY = re.compile(r'import\("([^"]+)"\)')


def _resolved(name: str, relative: str) -> str:
    parts = [*name.split("/")[:-1], *relative.split("/")]
    while ".." in parts:
        at = parts.index("..")
        del parts[at - 1 : at + 1]
    return "/".join(part for part in parts if part != ".")


def _bundled(name: str, done: list[str]) -> list[str]:
    """The module and those it imports, each after what it needs, as entries of one table."""
    if name in done:
        return []
    done.append(name)
    source = (STATIC / name).read_text(encoding="utf-8")
    needed = [match[3] for match in _IMPORT.findall(source)] + _LAZY.findall(source)
    before = [part for each in needed for part in _bundled(_resolved(name, each), done)]

    def imported(match: re.Match[str]) -> str:
        module = f"modules[{json.dumps(_resolved(name, match[4]))}]"
        if match[1]:
            return f"const {match[1].removeprefix('* as ')} = {module};"
        if match[3]:
            return f"const {{ default: {match[3]} }} = {module};"
        return f"const {{{match[2].replace(' as ', ': ')}}} = {module};"

    exported = _EXPORT.findall(source)
    body = _IMPORT.sub(imported, source)
    body = _LAZY.sub(
        lambda match: f"Promise.resolve(modules[{json.dumps(_resolved(name, match[1]))}])", body
    )
    body = re.sub(r"^export default ", "const chapterOfThisModule = ", body, flags=re.MULTILINE)
    body = re.sub(r"^export ", "", body, flags=re.MULTILINE)
    returned = [
        *exported,
        *(["default: chapterOfThisModule"] if "chapterOfThisModule" in body else []),
    ]
    made = f"await (async () => {{\n{body}\nreturn {{ {', '.join(returned)} }};\n}})();\n"
    return [*before, f"modules[{json.dumps(name)}] = {made}"]


def _style() -> str:
    """The style sheets as one, those they import in their places."""
    text = (STATIC / "lesson.css").read_text(encoding="utf-8")
    return re.sub(
        r'@import url\("([^"]+)"\);',
        lambda match: (STATIC / match[1]).read_text(encoding="utf-8"),
        text,
    )


def single_file(path: Path, lang: str) -> None:
    """Write the whole lesson as one page that needs no server."""
    if path.exists():
        raise FileExistsError(f"single_file must not be there yet, got {path}")
    held = {
        f"texts/{file.name}": file.read_text(encoding="utf-8")
        for file in sorted((STATIC / "texts").iterdir())
    }
    held["sigmax.wasm"] = base64.b64encode((STATIC / "sigmax.wasm").read_bytes()).decode()
    icon = base64.b64encode((STATIC / "icon.svg").read_bytes()).decode()
    # "</" would end the script.
    script = "\n".join(
        [
            f"globalThis.LESSON_FILES = {json.dumps(held, ensure_ascii=False)};",
            f"globalThis.LESSON_LANGUAGE = {json.dumps(lang)};",
            "const modules = {};",
            *_bundled("main.js", []),
        ]
    ).replace("</", r"<\/")
    page = f"""<!doctype html>
<html lang="{lang}">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta http-equiv="Content-Security-Policy" content="{POLICY_OF_ONE}">
    <title>sigmax</title>
    <link rel="icon" href="data:image/svg+xml;base64,{icon}">
    <style>{_style()}</style>
  </head>
  <body>
    <a class="skip" id="skip" href="#main"></a>
    <header id="bar"></header>
    <main id="main" tabindex="-1"></main>
    <footer id="foot"></footer>
    <script type="module">
{script}
    </script>
  </body>
</html>
"""
    path.write_text(page, encoding="utf-8")
    print(f"wrote {path}: open it in a browser")
