"""The lesson's pages for the browser tests: where they are, and what is done on them."""

import contextlib
import re
import shutil
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page

from sigmax.lesson.site import PLACES

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="needs a browser: apt-get install chromium"
)
CHAPTERS = PLACES[1:-1]

SCRIPTS = (Path(__file__).parent / "lesson_scripts.js").read_text(encoding="utf-8")


def run(page: Page, name: str, argument=None):
    """Call a function of lesson_scripts.js on the page."""
    return page.evaluate(f"(argument) => {{ {SCRIPTS}\nreturn {name}(argument); }}", argument)


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visit(page: Page, address: str, place: str, lang: str = "en", **parameters) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    page.goto(f"{address}{lang}/{place or 'index'}.html{'#' + query if query else ''}")
    page.wait_for_selector(f'body[data-ready="{place or "cover"}"]')


def open_all(page: Page) -> None:
    """Open the side tracks. Their figures are drawn once they have a size: in a frame, or the next."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    frame = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
    page.evaluate(frame)


def numbers_in(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"-?(?:inf|nan|\d[\d.]*(?:e[+-]?\d+)?)", text)]
