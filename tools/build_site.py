"""Build the site into docs/_build/html, with warnings as errors, and check it: python tools/build_site.py

Needs `pip install '.[docs]'` and no network. The static lesson is exported into it, the examples of the gallery and of
the API pages are run, and every link inside must find its page and its place.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from sigmax.lesson.site import export

DOCS = Path(__file__).resolve().parent.parent / "docs"
BUILD = DOCS / "_build"
HTML = BUILD / "html"
LINK = re.compile(r"""<(\w+)\b[^>]*?\s(href|src)=["']([^"']*)["']""")
PLACE = re.compile(r"""\s(?:id|name)=["']([^"']+)["']""")
LOADED = {"script", "img", "iframe", "source"}  # and <link>, but for what only names an address


def sphinx(builder: str, *options: str) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, "-d", str(BUILD / "doctrees")]
    command += ["-W", "--keep-going", "-j", "auto", *options]
    start = time.perf_counter()
    subprocess.run([*command, str(DOCS), str(BUILD / builder)], check=True)
    print(f"{builder}: {time.perf_counter() - start:.0f} s", flush=True)


def faults() -> Iterator[str]:
    """Links without a target, and what a page would load from elsewhere."""
    places: dict[Path, set[str]] = {}
    pages = sorted(page for page in HTML.rglob("*.html") if "_static" not in page.parts)
    for page in pages:
        places[page] = set(map(unescape, PLACE.findall(page.read_text(encoding="utf-8"))))
    for page in pages:
        for tag, _, target in LINK.findall(page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:|//", target):
                if tag in LOADED and not target.startswith("data:"):
                    yield f"{page.relative_to(HTML)} loads {target}"
                continue
            path, _, place = unescape(unquote(target)).partition("#")
            file = (page.parent / path.partition("?")[0]).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.exists():
                yield f"{page.relative_to(HTML)} links to {target}, which is not there"
            elif place and file in places and place not in places[file]:
                yield f"{page.relative_to(HTML)} links to {target}: no such place on the page"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-gallery", action="store_true", help="its examples are not run")
    quick = parser.parse_args().without_gallery
    shutil.rmtree(BUILD / "extra", ignore_errors=True)
    export(BUILD / "extra/lesson", "en", None)
    sphinx("html", *(["-D", "plot_gallery=0"] if quick else []))
    sphinx("doctest")
    found = sorted(set(faults()))
    print(*found, sep="\n")
    size = sum(path.stat().st_size for path in HTML.rglob("*") if path.is_file())
    print(f"{len(list(HTML.rglob('*.html')))} pages, {size / 1e6:.0f} MB")
    assert (HTML / "searchindex.js").exists()
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
