"""The lesson in Chromium: every figure by hand and by keyboard, both languages, the address, light, dark, narrow."""

import json
import re
import shutil
import statistics
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Error, Locator, Page, sync_playwright

from sigmax.lesson import LANGUAGES, lesson
from sigmax.lesson.contents import HERE, all_chapters, all_functions, texts
from sigmax.lesson.model import Choice, Number, Numbers, Switch
from sigmax.lesson.server import _bound, application

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")

CHAPTERS = {chapter.name: chapter for chapter in all_chapters()}
FIGURES = [(chapter.name, figure) for chapter in all_chapters() for figure in chapter.figures]
PLACES = ["cover", "glossary", *CHAPTERS]
FRAMES = 33  # milliseconds: two frames

every_figure = pytest.mark.parametrize(("name", "figure"), FIGURES, ids=lambda part: part)
every_chapter = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture(scope="module")
def address():
    with _bound(0) as listener:
        server = uvicorn.Server(uvicorn.Config(application("zh-Hant"), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Root in a container cannot have Chromium's sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser, address):
    """Pages that fail the test on any message, error, or request to another host."""
    troubles: list[str] = []
    pages: list[Page] = []

    def make(base: str = address, **options) -> Page:
        page = browser.new_page(**({"viewport": {"width": 1100, "height": 900}} | options))
        pages.append(page)
        page.set_default_timeout(10_000)
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))

        def seen(request):
            if not request.url.startswith(base):
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


def visit(page: Page, address: str, place: str, **parameters: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    page.goto(f"{address}#{'' if place == 'cover' else place}{'?' + query if query else ''}")
    page.wait_for_selector(f'body[data-ready="{place}"]')


def settled(page: Page, figure: str) -> Locator:
    """The figure, once it has drawn the last change."""
    page.wait_for_selector(f'figure[id="{figure}"][aria-busy="false"]')
    return page.locator(f'figure[id="{figure}"]')


def read_outs(element: Locator) -> dict[str, float]:
    values = element.locator("[data-readout]")
    return {
        value.get_attribute("data-readout"): float(value.get_attribute("data-value"))
        for value in values.all()
    }


def read_state(element: Locator, controls: dict) -> dict:
    """The situation as the controls show it."""
    state: dict = {}
    for name, control in controls.items():
        inputs = element.locator(f'input[data-control="{name}"]')
        if isinstance(control, Number):
            state[name] = float(inputs.input_value())
        elif isinstance(control, Choice):
            state[name] = element.locator(f'input[data-control="{name}"]:checked').input_value()
        elif isinstance(control, Switch):
            state[name] = inputs.is_checked()
    return state


def shown_matches(element: Locator, result: dict) -> None:
    """Every read-out is the number of the library, and its text says the same."""
    for name, value in read_outs(element).items():
        np.testing.assert_array_equal(value, float(result[name]), name)
        text = element.locator(f'[data-readout="{name}"]').inner_text().replace("−", "-")
        np.testing.assert_allclose(float(text), value, rtol=6e-6, err_msg=name)


# ---------------------------------------------------------------- figures


@every_figure
def test_controls_move_the_figure(page, address, name, figure):
    visit(page, address, name)
    element = settled(page, figure)
    definition = CHAPTERS[name].figures[figure]
    shown_matches(element, definition({}))
    assert element.locator("[data-readout]").count() > 0
    for control_name, control in definition.controls.items():
        inputs = element.locator(f'input[data-control="{control_name}"]')
        if isinstance(control, Number):
            before = element.locator(".plots").inner_html()
            inputs.focus()
            direction = -1 if control.start >= control.high else 1
            page.keyboard.press("ArrowLeft" if direction < 0 else "ArrowRight")
            element = settled(page, figure)
            assert float(inputs.input_value()) == pytest.approx(
                control.start + direction * control.step
            )
            assert element.locator(".plots").inner_html() != before, control_name
            inputs.fill(str(control.high))
        elif isinstance(control, Choice):
            other = next(option for option in control.options if option != control.start)
            inputs.and_(element.locator(f'[value="{other}"]')).check(force=True)
        elif isinstance(control, Switch):
            inputs.click()
        element = settled(page, figure)
        if not any(isinstance(each, Numbers) for each in definition.controls.values()):
            shown_matches(element, definition(read_state(element, definition.controls)))


@every_figure
def test_presets_and_reset(page, address, name, figure):
    visit(page, address, name)
    definition = CHAPTERS[name].figures[figure]
    for preset, given in definition.presets.items():
        page.locator(f'figure[id="{figure}"] [data-preset="{preset}"]').click()
        element = settled(page, figure)
        shown_matches(element, definition(dict(given)))
        assert element.locator(f'[data-preset="{preset}"]').get_attribute("aria-pressed") == "true"
        assert (
            definition(dict(given))["python"].strip()
            == element.locator("pre").text_content().strip()
        )
    page.locator(f'figure[id="{figure}"] .reset').click()
    shown_matches(settled(page, figure), definition({}))


@every_figure
def test_markers_can_be_dragged_and_stepped(page, address, name, figure):
    visit(page, address, name)
    element = settled(page, figure)
    for i in range(element.locator(".marker, .sketch").count()):
        marker = element.locator(".marker, .sketch").nth(i)
        marker.scroll_into_view_if_needed()
        assert marker.get_attribute("aria-label")
        before = element.locator(".plots").inner_html()
        box = marker.locator(".knob").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 30, y - 30, steps=3)
        page.mouse.up()
        element = settled(page, figure)
        assert element.locator(".plots").inner_html() != before
        marker.focus()
        before = marker.get_attribute("aria-valuetext")
        for key in ("ArrowUp", "ArrowRight", "Shift+ArrowRight"):
            page.keyboard.press(key)
        element = settled(page, figure)
        assert marker.get_attribute("aria-valuetext") != before
        assert page.evaluate("document.activeElement.matches('.marker, .sketch')")
    definition = CHAPTERS[name].figures[figure]
    if not any(isinstance(control, Numbers) for control in definition.controls.values()):
        shown_matches(element, definition(read_state(element, definition.controls)))


@every_figure
def test_the_address_keeps_the_situation(new_page, address, name, figure):
    definition = CHAPTERS[name].figures[figure]
    first = new_page()
    visit(first, address, name, lang="en")
    preset, given = list(definition.presets.items())[-1]
    first.locator(f'figure[id="{figure}"] [data-preset="{preset}"]').click()
    settled(first, figure)
    first.wait_for_timeout(250)
    changed = {key for key, value in given.items() if value != definition.controls[key].start}
    assert all(f"{figure}.{key}=" in first.url for key in changed)
    second = new_page()
    second.goto(first.url)
    second.wait_for_selector(f'body[data-ready="{name}"]')
    shown_matches(settled(second, figure), definition(dict(given)))


def test_a_broken_address_starts_at_the_start(page, address):
    visit(
        page,
        address,
        "share",
        **{"shifted.a": "x", "shifted.g": "none", "shifted.b": "1e9", "nothing": "1", "lang": "fr"},
    )
    state = read_state(settled(page, "shifted"), CHAPTERS["share"].figures["shifted"].controls)
    assert state == {"g": "raw", "a": 3.0, "b": 6.0, "shift": 0.0}


def test_an_unknown_place_is_the_cover(page, address):
    page.goto(f"{address}#nowhere")
    page.wait_for_selector('body[data-place="cover"]')


# ---------------------------------------------------------------- chapters


@every_chapter
def test_predictions_tell_only_when_asked(page, address, name):
    visit(page, address, name)
    for prediction, definition in CHAPTERS[name].predictions.items():
        section = page.locator(f'section[id="{prediction}"]')
        assert section.locator("[data-readout]").count() == 0
        section.locator(".marker").focus()
        page.keyboard.press("ArrowLeft")
        section.locator(".reveal").click()
        told = section.locator("[data-readout=answer]")
        told.wait_for()
        assert float(told.get_attribute("data-value")) == definition({})["answer"]


@every_chapter
def test_claims_are_settled_on_the_page(page, address, name):
    visit(page, address, name, lang="en")
    table = texts(HERE / "chapters" / f"{name}.toml")
    for claim, definition in CHAPTERS[name].claims.items():
        card = page.locator(f'article[id="{claim}"]')
        card.scroll_into_view_if_needed()
        page.wait_for_selector(f'article[id="{claim}"][data-outcome="passed"]')
        assert card.locator(f'[data-verdict="{definition.verdict}"]').count() == 1
        lines = definition({})["lines"]
        shown = [float(line.get_attribute("data-value")) for line in card.locator(".line").all()]
        np.testing.assert_array_equal(shown, [line["value"] for line in lines])
        assert card.locator("blockquote").inner_text()
        assert table[f"{claim}.claim"]["en"]
    claim, definition = next(iter(CHAPTERS[name].claims.items()))
    page.locator(f'article[id="{claim}"] footer button').first.click()
    given = dict(CHAPTERS[name].figures[definition.figure].presets.get(definition.preset, {}))
    shown_matches(
        settled(page, definition.figure), CHAPTERS[name].figures[definition.figure](given)
    )


@pytest.mark.parametrize("place", PLACES)
def test_the_language_switches_in_place(page, address, place):
    visit(page, address, place)
    assert page.evaluate("document.documentElement.lang") == "zh-Hant"
    page.evaluate("window.stayed = true")
    page.wait_for_timeout(450)  # until the figures have been spoken
    chinese = page.locator("main").inner_text()
    page.locator('[data-lang="en"]').click()
    assert page.evaluate("document.documentElement.lang") == "en"
    english = page.locator("main").inner_text()
    if place != "glossary":
        assert not re.search(r"[\u4e00-\u9fff]", english)
    assert not re.search("…|undefined|NaN|\\[object", page.locator("main").inner_text())
    page.locator('[data-lang="zh-Hant"]').click()
    assert page.locator("main").inner_text() == chinese
    assert page.evaluate("window.stayed") is True


@every_chapter
def test_keyboard_alone_is_enough(page, address, name):
    visit(page, address, name)
    for figure in CHAPTERS[name].figures:
        settled(page, figure)
    wanted = page.locator("main :is(button, input, summary, .marker, .sketch)").count()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = set()
    for step in range(3 * wanted):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "() => { const all = [...document.querySelectorAll('main :is(button, input, summary, .marker, .sketch)')];"
            " return all.indexOf(document.activeElement); }"
        )
        if where < 0 and step > 2:
            break
        reached.add(where)
    radios = page.locator("main input[type=radio]:not(:checked)").count()  # reached by arrow keys
    disabled = page.locator("main :is(button, input):disabled").count()
    assert len(reached - {-1}) >= wanted - radios - disabled


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("place", PLACES)
def test_it_fits_a_phone_in_light_and_dark(new_page, address, place, lang, scheme):
    page = new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    visit(page, address, place, lang=lang)
    if place in CHAPTERS:
        for figure in CHAPTERS[place].figures:
            settled(page, figure)
    wide = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide[0] <= wide[1]
    assert page.evaluate(CONTRAST) == []
    page.locator(".theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme
    assert page.evaluate(CONTRAST) == []


# Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG AA).
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  const written = "body :is(p, h1, h2, h3, button, span, mi, mn, dt, dd, a, b, code)";
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  for (const element of document.querySelectorAll(written)) {
    if (!element.checkVisibility() || !hasText(element)) continue;
    const [a, b] = [luminance(rgb(getComputedStyle(element).color)), luminance(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${element.tagName} ${element.className} ${element.textContent}`);
  }
  return poor;
}"""


@every_chapter
def test_it_is_accessible_to_screen_readers(page, address, name):
    visit(page, address, name)
    for figure in CHAPTERS[name].figures:
        element = settled(page, figure)
        for plot in element.locator("svg.plot").all():
            assert len(plot.locator("title").text_content()) > 5
        page.wait_for_timeout(450)
        assert element.locator("[aria-live=polite]").text_content()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, [role=slider]')].filter((e) => "
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0
    twice = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, i) => ids.indexOf(id) !== i); }"
    )
    assert twice == []


@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("lang", LANGUAGES)
@every_chapter
def test_nothing_overlaps_or_is_clipped(new_page, address, name, lang, width):
    """Labels of a plot do not lie on each other, and stay inside."""
    page = new_page(viewport={"width": width, "height": 900})
    visit(page, address, name, lang=lang)
    for figure in CHAPTERS[name].figures:
        assert settled(page, figure).evaluate(OVERLAPS) == [], figure


OVERLAPS = """(figure) => {
  const found = [];
  for (const plot of figure.querySelectorAll("svg.plot")) {
    const outer = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([words, box], i) => {
      const beside = box.left < outer.left - 2 || box.right > outer.right + 14;
      if (beside || box.top < outer.top - 2 || box.bottom > outer.bottom + 2) found.push(`outside: ${words}`);
      for (const [other, second] of texts.slice(i + 1)) {
        const across = Math.min(box.right, second.right) - Math.max(box.left, second.left);
        const down = Math.min(box.bottom, second.bottom) - Math.max(box.top, second.top);
        if (across > 1 && down > 3) found.push(`${words} on ${other}`);
      }
    });
  }
  return found;
}"""


def test_glossary_terms_open(page, address):
    visit(page, address, "share", lang="en")
    term = page.locator(".term").first
    term.click()
    box = page.locator("#explanation")
    assert box.is_visible()
    page.keyboard.press("Escape")
    assert not box.is_visible()


def test_the_way_through_the_chapters(page, address):
    visit(page, address, "cover", lang="en")
    page.locator(".contents a").first.click()
    for chapter in list(CHAPTERS)[1:]:
        page.wait_for_selector("body[data-place=chapter] .next")
        page.locator("#foot .next").click()
        page.wait_for_selector(f'body[data-ready="{chapter}"]')
        assert "lang=en" in page.url
        assert page.evaluate("scrollY") == 0
    assert page.title().endswith("· sigmax")


def test_an_error_of_the_library_is_shown(browser, address):
    page = browser.new_page()
    refusal = '{"error": "x must be legal, got <b>1</b>"}'
    page.route("**/api", lambda route: route.fulfill(status=400, body=refusal))
    page.goto(f"{address}#share")
    page.wait_for_selector(".problem:not(:empty)")
    assert page.locator(".problem").first.inner_text() == "x must be legal, got <b>1</b>"
    page.close()


def test_the_reader_is_told_when_the_server_is_gone(browser, address):
    page = browser.new_page()
    visit(page, address, "share", lang="en")
    settled(page, "shifted")
    page.route("**/api", lambda route: route.abort())
    page.locator('figure[id="shifted"] [data-preset="still"]').click()
    page.wait_for_selector(".problem:not(:empty)")
    assert "does not answer" in page.locator(".problem").first.inner_text()
    page.close()


# ---------------------------------------------------------------- formulas


def test_formulas_have_the_right_signs_and_brackets(page, address):
    visit(page, address, "cover")
    source = """async ([source, values]) => {
      const { formula } = await import("./formula.js");
      const made = formula(source, { block: false });
      made.update(values);
      return made.element.textContent;
    }"""
    minus = {"a": -3.0, "b": -1.0}
    for formula, values, expected in [
        ("{a}+{b}", {"a": 2, "b": 1}, "2+1"),
        ("{a}+{b}", minus, "−3+(−1)"),
        ("{a}-{b}", minus, "−3−(−1)"),
        ("-{a}", minus, "−(−3)"),
        ("{a}·{b}", minus, "−3·(−1)"),
        ("1+{a}·{b}", minus, "1+(−3)·(−1)"),
        ("{a}^2", minus, "(−3)2"),
        ("e^{a}", minus, "e−3"),
        ("e^(-{a})", minus, "e−(−3)"),
        ("σ({a})", minus, "σ(−3)"),
        ("{a} = {b}", minus, "−3=−1"),
        ("1 + {a} = {b}", minus, "1+(−3)=−1"),
        ("a/(a+b)", {}, "a/(a+b)"),
        ("{a}", {"a": "inf"}, "inf"),
    ]:
        assert page.evaluate(source, [formula, values]) == expected


@pytest.mark.parametrize("source", ["", "(a", "a)", "a+", "|a"])
def test_formulas_that_cannot_be_read_are_errors(page, address, source):
    visit(page, address, "cover")
    with pytest.raises(Error, match="formula"):
        page.evaluate(
            "async (source) => { (await import('./formula.js')).formula(source); }", source
        )


# ---------------------------------------------------------------- speed


@every_chapter
def test_a_drag_redraws_within_two_frames(page, address, name, capsys):
    """Median over all sliders of the chapter, from the input event to the frame with the redraw."""
    visit(page, address, name)
    for figure, definition in CHAPTERS[name].figures.items():
        element = settled(page, figure)
        for control_name, control in definition.controls.items():
            if not isinstance(control, Number):
                continue
            slider = element.locator(f'input[data-control="{control_name}"]')
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
            page.mouse.down()
            for i in range(12):
                page.mouse.move(
                    box["x"] + box["width"] * (0.3 + 0.03 * i), box["y"] + box["height"] / 2
                )
                time.sleep(0.02)
            page.mouse.up()
            settled(page, figure)
    times = page.evaluate(
        "performance.getEntriesByName('interaction').map((entry) => entry.duration)"
    )
    median = statistics.median(times)
    with capsys.disabled():
        print(f"\n{name}: {len(times)} interactions, median {median:.1f} ms from input to redraw")
    assert len(times) > 10
    assert median <= FRAMES


# ---------------------------------------------------------------- the static copy


def test_the_static_copy_works(new_page, tmp_path):
    lesson(lang="en", export=tmp_path / "copy")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=tmp_path / "copy")
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}/"
            page = new_page(base)
            for name, chapter in CHAPTERS.items():
                visit(page, base, name)
                assert page.locator(".static-note").count() == len(chapter.figures)
                for figure, definition in chapter.figures.items():
                    element = settled(page, figure)
                    shown_matches(element, definition({}))
                    for preset, given in definition.presets.items():
                        element.locator(f'[data-preset="{preset}"]').click()
                        shown_matches(settled(page, figure), definition(dict(given)))
                    assert element.locator("input:not(:disabled)").count() == 0
                claim = page.locator(".claim").last
                claim.scroll_into_view_if_needed()
                claim.locator(".state.passed").wait_for()
        finally:
            server.shutdown()
            thread.join()
    described = json.loads((tmp_path / "copy" / "lesson.json").read_text())
    assert described["precomputed"].keys() == all_functions().keys()
