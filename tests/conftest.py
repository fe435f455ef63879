"""Fixtures of several files. Cases, definitions and fuzzers are modules of `support`, which pytest has on its path."""

import os

import numpy as np
import pytest
from flint import ctx

import sigmax

# Other processes have the other cores where tests run side by side: what may use more threads says so.
if "PYTEST_XDIST_WORKER" in os.environ:
    sigmax.set_num_threads(2)


@pytest.fixture(autouse=True)
def _settings():
    """The number of threads, the rounding and the precision of balls are for one test."""
    threads, rounding, precision = sigmax.get_num_threads(), sigmax.get_rounding(), ctx.prec
    yield
    sigmax.set_rounding(rounding)
    sigmax.set_num_threads(threads)
    ctx.prec = precision


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


# ---------------------------------------------------------------- commands and their files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory of its own to be in, and a terminal that wraps few lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without drawings, which take most of their time: for tests of what is read and said."""
    monkeypatch.setattr("sigmax.report.figures._svg", lambda *_: "<svg></svg>")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of Dask."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(processes=True, **options) as cluster:
        yield cluster


# ---------------------------------------------------------------- the lesson in a browser


@pytest.fixture(scope="module")
def address():
    """Of a server of the lesson."""
    from lesson_pages import serving

    from sigmax.lesson.server import Server

    with serving(Server("zh-Hant", 0)) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    from lesson_pages import BROWSER
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root in a container cannot have Chromium's sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def described(browser, address):
    """What the chapters' modules say of themselves."""
    from lesson_pages import CHAPTERS, run

    page = browser.new_page()
    page.goto(f"{address}en/glossary.html")
    found = run(page, "describe", list(CHAPTERS))
    page.close()
    return found


@pytest.fixture
def new_page(browser, address):
    """Pages that fail the test on any message, error, or request to another host."""
    troubles: list[str] = []
    pages = []

    def make(base=address, **options):
        page = browser.new_page(**({"viewport": {"width": 1100, "height": 900}} | options))
        pages.append(page)
        page.set_default_timeout(60_000)  # on a busy machine too
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))

        def seen(request):
            if not request.url.startswith((base, "data:")):
                troubles.append(f"foreign: {request.url}")

        page.on("request", seen)
        return page

    yield make
    for page in pages:
        page.close()
    assert troubles == []


@pytest.fixture
def page(new_page):
    return new_page()
