"""The lesson in Chromium: votes, guesses and figures by hand and by keyboard, both languages, phone, print, offline."""

import math
import re
import tomllib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lesson_pages import (
    CHAPTERS,
    needs_browser,
    open_all,
    run,
    serving,
    visit,
)
from playwright.sync_api import Error, expect

from sigmax.lesson import LANGUAGES, lesson
from sigmax.lesson.site import PLACES, texts

pytestmark = needs_browser

TO_SETTLE = tomllib.loads((Path(__file__).parent / "support/lesson_claims.toml").read_text("utf-8"))
every_chapter = pytest.mark.parametrize("name", CHAPTERS)
# A page takes a second of a processor: by default two chapters are worked through, and two places looked at.
slow = partial(pytest.param, marks=pytest.mark.slow)
chapter_by_chapter = pytest.mark.parametrize("name", [*CHAPTERS[:2], *map(slow, CHAPTERS[2:])])
place_by_place = pytest.mark.parametrize("place", [*PLACES[:2], *map(slow, PLACES[2:])])


def figures_of(page, described, name):
    return [
        (figure, page.locator(f'figure[id="{figure}"]')) for figure in described[name]["figures"]
    ]


# ---------------------------------------------------------------- what a chapter has


@every_chapter
def test_a_chapter_has_the_texts_it_needs(described, name):
    chapter = described[name]
    have = texts(name).keys() | texts("page").keys()
    need = {f"{name}.title", f"{name}.summary", "short.1", "short.2", "short.3"}
    for figure, parts in chapter["figures"].items():
        need |= {f"{figure}.{key}" for key in ("title", "alt", "caption")}
        need |= {f"{figure}.preset.{preset}" for preset in parts["presets"]}
    for prediction in chapter["predictions"]:
        need |= {f"{prediction}.question", f"{prediction}.reason"}
    for claim, parts in chapter["claims"].items():
        need |= {f"{claim}.claim", f"{claim}.why", *(f"{claim}.{word}" for word in parts["words"])}
    for exercise, parts in chapter["exercises"].items():
        need |= {f"{exercise}.{key}" for key in ("question", "solution", *parts.get("options", ()))}
    for derivation, steps in chapter.get("derivations", {}).items():
        need |= {f"{derivation}.title", *(f"{derivation}.{step}" for step in range(len(steps)))}
    assert need <= have
    assert len(chapter["exercises"]) == 2


@every_chapter
def test_a_chapter_settles_all_it_must(described, name):
    settled = {claim: parts["verdict"] for claim, parts in described[name]["claims"].items()}
    for claim, (verdict, _) in TO_SETTLE[name].items():
        assert settled.get(claim) == verdict, claim


@every_chapter
def test_presets_differ_from_the_start_and_claims_have_figures(described, name):
    for figure, parts in described[name]["figures"].items():
        start = {control: each["start"] for control, each in parts["controls"].items()}
        for preset, given in parts["presets"].items():
            assert given.keys() <= start.keys()
            assert start | given != start, (figure, preset)
    for claim, parts in described[name]["claims"].items():
        assert (
            parts.get("preset") is None
            or parts["preset"] in described[name]["figures"][parts["figure"]]["presets"]
        ), claim


def test_the_road_counts_the_claims(page, address, described):
    visit(page, address, "glossary")
    road = run(page, "road")
    assert road == [[name, len(described[name]["claims"])] for name in CHAPTERS]


# ---------------------------------------------------------------- figures


@chapter_by_chapter
def test_figures_by_hand_and_by_keyboard(page, address, described, name):
    """Markers can be dragged and stepped, sliders and presets move the figure, reset brings it back."""
    visit(page, address, name)
    open_all(page)
    for figure, element in figures_of(page, described, name):
        stage = element.locator(".stage")
        begin = element.locator("pre").text_content(), element.locator(".readouts").inner_text()
        for marker in element.locator(".marker, .sketch").all():
            element.locator(".reset").click()
            marker.scroll_into_view_if_needed()
            before = stage.inner_html()
            box = marker.locator(".knob").bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            moved = False
            for way in (-25, 25):  # one that stands at its end goes the other way only
                page.mouse.move(x + way, y + way, steps=2)
                moved |= stage.inner_html() != before
            page.mouse.up()
            assert moved, figure
            marker.focus()
            said = set()
            for key in ("ArrowUp", "ArrowRight", "PageUp", "PageDown"):
                page.keyboard.press(key)
                said.add(marker.get_attribute("aria-valuetext"))
            assert len(said) > 1, figure
            page.keyboard.press("Home")
            assert marker.get_attribute("aria-label")
            assert page.evaluate("document.activeElement.matches('.marker, .sketch')")
        element.locator(".reset").click()
        shown = element.locator("pre").text_content(), element.locator(".readouts").inner_text()
        assert shown == begin, figure
        for preset in described[name]["figures"][figure]["presets"]:
            button = element.locator(f'[data-preset="{preset}"]')
            button.click()
            expect(button).to_have_attribute("aria-pressed", "true")


@chapter_by_chapter
def test_the_address_keeps_the_situation(new_page, address, described, name):
    first = new_page()
    visit(first, address, name)
    open_all(first)
    shown = {}
    for figure, element in figures_of(first, described, name):
        element.locator("[data-preset]").last.click()
        shown[figure] = element.locator("pre").text_content()
    first.wait_for_timeout(250)
    second = new_page()
    second.goto(first.url)
    second.wait_for_selector(f'body[data-ready="{name}"]')
    for figure, element in figures_of(second, described, name):
        assert element.locator("pre").text_content() == shown[figure]


def test_a_broken_address_starts_at_the_start(page, address):
    wrong = {"shifted.a": "x", "shifted.g": "none", "shifted.b": "1e9", "nothing": "1"}
    visit(page, address, "share", **wrong)
    assert "6.0" not in page.locator("#shifted pre").text_content()
    assert "np.float64(3), np.float64(6)" in page.locator("#shifted pre").text_content()
    visit(page, address, "playground", **{"plane.us": "1~2", "plane.labels": "0"})
    assert page.locator("#plane pre").text_content().count(",") > 100


def test_a_figure_plays_and_stops(page, address):
    visit(page, address, "softmax")
    element = page.locator("#three_steps")
    element.locator(".play").click()
    expect(element.locator('[data-control="stage"]')).to_have_value("3", timeout=20_000)
    element.locator(".play").click()
    element.locator(".play").click()
    held = element.locator('[data-control="stage"]').input_value()
    page.wait_for_timeout(100)
    assert element.locator('[data-control="stage"]').input_value() == held != "3"


def test_a_cell_is_chosen_by_a_click(page, address):
    visit(page, address, "frameworks")
    plot = page.locator("#switches svg.plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    assert page.locator('#switches [data-control="from_logits"]').is_checked()
    assert not page.locator('#switches [data-control="softmax"]').is_checked()


def test_reduced_motion_is_kept(new_page, address):
    page = new_page(reduced_motion="reduce")
    visit(page, address, "playground")
    page.locator("#plane .play").click()
    assert page.locator('#plane [data-control="steps"]').input_value() == "400"
    visit(page, address, "forms")
    page.locator("#divide .forward").click()
    assert page.evaluate("document.getAnimations().length") == 0


def test_terms_move_from_step_to_step(page, address):
    visit(page, address, "forms")
    derivation = page.locator("#divide")
    seen = set()
    for _ in range(5):
        seen.add(derivation.locator("math").first.text_content())
        derivation.locator(".forward").click()
        assert page.evaluate("document.getAnimations().length") > 2
    assert len(seen) == 5
    expect(derivation.locator(".forward")).to_be_disabled()
    assert derivation.locator("math").first.text_content() == "σ(x)=11+e−x"


# ---------------------------------------------------------------- points on a plane


def points(page):
    """The points as the address has them, once the hand rests."""
    page.wait_for_timeout(250)
    values = page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    return [float(part) for part in values.get("plane.us", "").split("~") if part]


def pixel(page, u, v):
    plot = page.locator("#plane svg.plot").first
    plot.scroll_into_view_if_needed()
    box = plot.locator("foreignObject").bounding_box()
    return box["x"] + box["width"] * (u + 3) / 6, box["y"] + box["height"] * (2 - v) / 4


def test_points_are_placed_moved_and_taken_away(page, address):
    visit(page, address, "playground")
    page.locator('#plane [data-preset="empty"]').click()
    page.locator('#plane input[name="brush"][value="3"]').check(force=True)
    page.mouse.move(*pixel(page, 2.0, 1.8))
    page.mouse.down()
    page.mouse.move(*pixel(page, 2.5, 1.5), steps=3)
    page.mouse.up()
    page.mouse.click(*pixel(page, -1.0, -1.0))
    assert points(page) == pytest.approx([2.5, -1.0], abs=0.03)
    page.locator('#plane input[name="brush"][value=""]').check(force=True)
    page.mouse.click(*pixel(page, 2.5, 1.5))
    assert points(page) == pytest.approx([-1.0], abs=0.03)
    page.locator("#plane .marker").first.focus()
    for key in ("ArrowRight", "2", "Delete", "1", "3"):
        page.keyboard.press(key)
    assert len(points(page)) == 3


def test_a_finger_scrolls_over_the_plane_and_taps_a_point(new_page, address):
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visit(page, address, "playground")
    page.locator('#plane [data-preset="empty"]').tap()
    place = pixel(page, 1.0, 0.5)
    client = page.context.new_cdp_session(page)

    def touch(kind, *where):
        client.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [dict(zip("xy", each, strict=True)) for each in where]},
        )

    before = page.evaluate("scrollY")
    touch("touchStart", place)
    for step in range(1, 9):
        touch("touchMove", (place[0], place[1] - 20 * step))
    touch("touchEnd")
    assert points(page) == []
    assert page.evaluate("scrollY") > before
    page.touchscreen.tap(*pixel(page, 1.0, 0.5))
    assert points(page) == pytest.approx([1.0], abs=0.05)


# ---------------------------------------------------------------- commit before the verdict


@chapter_by_chapter
def test_claims_are_judged_before_the_verdict(page, address, described, name):
    visit(page, address, name)
    open_all(page)
    right = {"T": "true", "T*": "if", "F": "false", "N": "if", "O": "false"}
    for i, (claim, parts) in enumerate(described[name]["claims"].items()):
        card = page.locator(f'article[id="{claim}"]')
        assert card.get_attribute("data-outcome") is None
        expect(card.locator(".why")).to_be_hidden()
        assert parts["verdict"] not in card.get_attribute("class")
        vote = (
            right[parts["verdict"]]
            if i % 2 == 0
            else {"true": "false"}.get(right[parts["verdict"]], "true")
        )
        card.locator(f'[data-vote="{vote}"]').click()
        expect(card).to_have_attribute("data-outcome", "passed")
        expect(card.locator(".why")).to_be_visible()
        expect(card).to_have_attribute("data-voted", "true" if i % 2 == 0 else "false")
        assert card.locator(f'[data-verdict="{parts["verdict"]}"]').is_visible()
        for line in card.locator(".line").all():
            words = line.inner_text().replace("\n", " ")
            value, relation, bound = re.search(r"= (\S+)(?: ([<>≤≥≠]) (\S+))? ✓$", words).groups()
            assert bound is None or value != bound or relation in "≤≥", words
    many = len(described[name]["claims"])
    assert page.locator(".score").inner_text() == f"{(many + 1) // 2} / {many}"
    page.reload()
    page.wait_for_selector(f'body[data-ready="{name}"]')
    assert page.locator('article[data-voted="true"]').count() == (many + 1) // 2
    page.locator("article .see").first.click()
    claim = next(iter(described[name]["claims"].values()))
    if claim.get("preset"):
        shown = page.locator(f'figure[id="{claim["figure"]}"] [data-preset="{claim["preset"]}"]')
        expect(shown).to_have_attribute("aria-pressed", "true")


def test_the_cover_maps_the_road_and_names_what_was_believed(page, address, described):
    visit(page, address, "share")
    page.locator('#widens [data-vote="true"]').click()
    page.locator('#differences_into_ratios [data-vote="true"]').click()
    visit(page, address, "")
    assert page.locator(".marks .good").count() == 1
    assert page.locator(".marks .bad").count() == 1
    assert page.locator(".marks i").count() == sum(
        len(each["claims"]) for each in described.values()
    )
    believed = page.locator(".believed li")
    expect(believed).to_have_count(1)
    assert "exp widens differences" in believed.inner_text()
    believed.locator("a").click()
    page.wait_for_selector('body[data-ready="share"]')
    assert page.locator("#widens").is_visible()
    visit(page, address, "")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(".judged-so-far button").click()
    expect(page.locator(".marks .good")).to_have_count(0)


@chapter_by_chapter
def test_a_guess_comes_before_the_answer_and_is_kept(page, address, described, name):
    visit(page, address, name)
    open_all(page)
    for prediction in described[name]["predictions"]:
        section = page.locator(f'section[id="{prediction}"]')
        expect(section.locator(".reveal")).to_be_disabled()
        section.locator(".marker").focus()
        page.keyboard.press("PageUp")
        guess = section.locator("output.guess").text_content()
        section.locator(".reveal").click()
        answer = float(section.locator("[data-readout=answer]").get_attribute("data-value"))
        low, high = (described[name]["predictions"][prediction][key] for key in ("low", "high"))
        assert low < answer <= high
        assert section.locator(".told").inner_text()
    page.reload()
    page.wait_for_selector(f'body[data-ready="{name}"]')
    open_all(page)
    page.wait_for_timeout(100)
    for prediction in described[name]["predictions"]:
        section = page.locator(f'section[id="{prediction}"]')
        assert section.locator("[data-readout=answer]").count() == 1
    if described[name]["predictions"]:
        assert section.locator("output.guess").text_content() == guess


ANSWERS = {
    "three_to_one": "3/4", "symmetric": "0,3", "odds_of_four": "80 %", "nine_in_ten": "2.197", "both_classes": "1/4",
    "start_bias": "−2.197", "equal_scores": "0.25", "square_root": "3", "equal_code": "2", "true_class": "-0.2",
    "ten_classes": "2.303",
}  # fmt: skip


@chapter_by_chapter
def test_exercises_know_right_from_wrong(page, address, described, name):
    visit(page, address, name)
    for exercise, parts in described[name]["exercises"].items():
        section = page.locator(f'section[id="{exercise}"]')
        expect(section.locator(".solution")).to_be_hidden()
        if "options" in parts:
            wrong = next(option for option in parts["options"] if option != parts["answer"])
            section.locator(f'[data-option="{wrong}"]').click()
            expect(section).to_have_attribute("data-right", "false")
            section.locator(f'[data-option="{parts["answer"]}"]').click()
        else:
            for answer, right in (("", "false"), ("17", "false"), (ANSWERS[exercise], "true")):
                section.locator("input").fill(answer)
                page.keyboard.press("Enter")
                expect(section).to_have_attribute("data-right", right)
        expect(section).to_have_attribute("data-right", "true")
        expect(section.locator(".solution")).to_be_visible()


# ---------------------------------------------------------------- language, looks, access


@place_by_place
def test_the_language_switches_in_place(page, address, place):
    visit(page, address, place, "zh-Hant")
    open_all(page)
    page.evaluate("window.stayed = true")
    chinese = page.locator("main").inner_text()
    page.locator('[data-lang="en"]').click()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert f"/en/{place or 'index'}.html" in page.url
    english = page.locator("main").inner_text()
    if place != "glossary":
        assert not re.search(r"[\u4e00-\u9fff]", english)
    assert not re.search("…(?! ?$)|undefined|NaN|\\[object", english.replace("if …", ""))
    page.locator('[data-lang="zh-Hant"]').click()
    assert page.locator("main").inner_text() == chinese
    assert page.evaluate("window.stayed") is True


@pytest.mark.parametrize("lang", LANGUAGES)
@place_by_place
def test_it_fits_every_screen(new_page, address, place, lang):
    page = new_page(viewport={"width": 390, "height": 844})
    visit(page, address, place, lang)
    open_all(page)
    page.evaluate("for (const each of document.querySelectorAll('[data-vote=if]')) each.click()")
    for width in (390, 320, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(60)
        wide, room = run(page, "widths")
        assert wide <= room, width
        assert width == 320 or run(page, "overlaps") == [], width


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing(new_page, address, place, lang):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # The styles that axe puts in for a moment are not those of the page.
    page = new_page(color_scheme="dark", bypass_csp=True)
    visit(page, address, place, lang)
    open_all(page)
    page.evaluate("for (const each of document.querySelectorAll('[data-vote=if]')) each.click()")
    for theme in ("dark", "light"):
        if theme == "light":
            page.locator(".theme").click()
        found = axe.run(page, options={"preload": False}).response["violations"]
        said = [(each["id"], [node["html"][:160] for node in each["nodes"][:3]]) for each in found]
        assert said == [], theme


def test_the_theme_is_kept(new_page, address):
    page = new_page(color_scheme="dark")
    visit(page, address, "share")
    page.locator(".theme").click()
    page.reload()
    page.wait_for_selector("body[data-ready=share]")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


@chapter_by_chapter
def test_keyboard_alone_is_enough(page, address, name):
    visit(page, address, name)
    open_all(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    wanted = "main :is(button, input, summary, .marker, .sketch, a, pre):not(:disabled)"
    count = run(page, "visible", wanted)
    reached = set()
    for step in range(2 * count):
        page.keyboard.press("Tab")
        where = run(page, "focused", wanted)
        if where < 0 and step > 2:
            break
        reached.add(where)
    radios = run(page, "visible", "main input[type=radio]:not(:checked)")  # reached by arrow keys
    assert len(reached - {-1}) >= count - radios
    assert run(page, "idsTwice") == []


def test_the_figure_stays_in_sight_on_a_phone(new_page, address):
    page = new_page(viewport={"width": 390, "height": 844})
    visit(page, address, "temperature")
    plot, preset, slider = (
        page.locator(f"#heat {where}").first
        for where in ("svg.plot", "[data-preset]", '[data-control="x.3"]')
    )
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert 0 < preset.bounding_box()["y"] - (box["y"] + box["height"]) < 200
    slider.scroll_into_view_if_needed()
    assert 0 <= plot.bounding_box()["y"] < slider.bounding_box()["y"] < 844


def test_print_shows_verdicts_and_evidence(page, address):
    visit(page, address, "share")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".why").first.is_visible()
    assert page.locator('article[data-outcome="passed"]').count() == page.locator("article").count()
    assert not page.locator(".ballot").first.is_visible()


def test_glossary_terms_open(page, address):
    visit(page, address, "share")
    page.locator(".term").first.click()
    box = page.locator("#explanation")
    assert box.is_visible()
    page.keyboard.press("Escape")
    assert not box.is_visible()


# ---------------------------------------------------------------- shared, embedded, copied


def test_links_lead_back_to_what_they_name(new_page, address):
    page = new_page()
    visit(page, address, "sigmoid")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator('#ends [data-preset="half"]').evaluate("(button) => button.click()")
    page.locator("#closed_range .copy").evaluate("(button) => button.click()")
    link = page.evaluate("window.copied")
    page.locator("#ends [data-copy=copy_python]").evaluate("(button) => button.click()")
    assert "np.float16(8.5)" in page.evaluate("window.copied")
    other = new_page()
    other.goto(link)
    other.wait_for_selector('body[data-ready="sigmoid"]')
    expect(other.locator("#closed_range")).to_be_in_viewport()
    assert "np.float16(8.5)" in other.locator("#ends pre").text_content()


def test_a_figure_can_stand_on_another_page(new_page, address):
    page = new_page()
    visit(page, address, "share")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator('#shifted [data-preset="still"]').click()
    page.wait_for_timeout(200)
    page.locator("#shifted [data-copy=copy_embedding]").click()
    source = re.search('src="([^"]+)"', page.evaluate("window.copied"))[1]
    page.goto(source)
    page.wait_for_selector('body[data-ready="share"]')
    assert page.locator("main > *").count() == 1
    assert "sigmax.softmax" in page.locator("#shifted pre").text_content()
    assert not page.locator("#bar").is_visible()


@pytest.fixture
def copy(tmp_path):
    """The exported lesson in a subfolder of a plain static server."""
    lesson(lang="en", export=tmp_path / "site" / "courses" / "copy")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "site"))


def test_a_copy_works_from_a_subfolder_and_then_without_a_network(copy, new_page):
    with serving(copy) as host:
        base = f"{host}courses/copy/"
        page = new_page(base)
        page.goto(base)
        page.wait_for_selector('body[data-ready="cover"]')
        page.evaluate("navigator.serviceWorker.ready")
        while run(page, "kept") < 50:
            page.wait_for_timeout(50)
        page.locator(".contents a").first.click()
        page.wait_for_selector('body[data-ready="share"]')
        for chapter in CHAPTERS[1:]:
            page.locator("#foot .next").click()
            page.wait_for_selector(f'body[data-ready="{chapter}"]')
    page.goto(f"{base}zh-Hant/pair.html#at=training&training.factor=2")
    page.wait_for_selector('body[data-ready="pair"]')
    assert float(page.locator('#training [data-readout="gap"]').get_attribute("data-value")) < 1e-13


def test_one_file_needs_no_server(new_page, tmp_path):
    lesson(lang="en", single_file=tmp_path / "lesson.html")
    base = (tmp_path / "lesson.html").as_uri()
    page = new_page(base)
    page.goto(base)
    page.wait_for_selector('body[data-ready="cover"]')
    page.locator(".contents a").first.click()
    for chapter in CHAPTERS[1:]:
        page.locator("#foot .next").click()
        page.wait_for_selector(f'body[data-ready="{chapter}"]')
    page.locator('#plane [data-preset="blobs"]').click()
    assert float(page.locator('#plane [data-readout="right"]').get_attribute("data-value")) == 1
    page.locator('[data-lang="zh-Hant"]').click()
    page.wait_for_timeout(200)
    page.reload()
    page.wait_for_selector('body[data-ready="playground"]')
    assert page.evaluate("document.documentElement.lang") == "zh-Hant"
    assert float(page.locator('#plane [data-readout="right"]').get_attribute("data-value")) == 1


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pages_without_javascript_have_pictures(browser, address, lang):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{lang}/sigmoid.html")
    assert page.locator("article").count() == 12
    assert page.locator("svg.plot").count() >= 7
    box = page.locator("svg.plot").first.bounding_box()
    assert box["width"] > 300
    assert box["height"] > 200
    context.close()


# ---------------------------------------------------------------- formulas


def test_formulas_have_the_right_signs_and_brackets(page, address):
    visit(page, address, "glossary")
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
        ("{a}", {"a": math.inf}, "inf"),
    ]:
        assert run(page, "formula", [formula, values, False]) == expected
    # A relation at the start is no part of the fraction behind it.
    made = run(page, "formula", ["a = b ; = c/d = e", {}, True])
    assert re.search(r"<mo[^>]*>=</mo>.*<mfrac>.*c.*d.*</mfrac>.*=.*e", made)
    assert "=" not in re.sub("<[^>]+>", "", re.search("<mfrac>.*</mfrac>", made)[0])
    # What is multiplied by a fraction is no part of its denominator.
    made = run(page, "formula", ["L = 1/N·Σ_(n=1)^N √x_n", {}, True])
    assert "∑" not in re.search("<mfrac>.*?</mfrac>", made)[0]
    assert "<msqrt>" in made


@pytest.mark.parametrize("source", ["", "(a", "a)", "a+", "|a"])
def test_formulas_that_cannot_be_read_are_errors(page, address, source):
    visit(page, address, "glossary")
    with pytest.raises(Error, match="formula"):
        run(page, "formula", [source, {}, False])
