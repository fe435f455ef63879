"""The last chapter by hand: points are placed, moved and taken away; training runs; the shades follow the theme."""

import numpy as np
import pytest
from playwright.sync_api import expect
from sigmax.lesson.chapters.playground import BLOBS, MOST, STEPS, _best_temperature, chapter

# The fixtures of the browser tests.
from test_lesson_browser import address, browser, new_page, page, pytestmark, settled, visit

__all__ = ["address", "browser", "new_page", "page", "pytestmark"]

PLANE = chapter.figures["plane"]


@pytest.fixture
def figure(page, address):
    visit(page, address, "playground", lang="en")
    return settled(page, "plane")


def points(page):
    """The points as the address has them, once the hand rests."""
    page.wait_for_timeout(300)
    values = page.evaluate(
        "Object.fromEntries(new URLSearchParams(location.hash.split('?')[1]).entries())"
    )
    given = {
        name: [float(part) for part in values[f"plane.{name}"].split("~") if part]
        for name in ("us", "vs", "labels")
        if f"plane.{name}" in values
    }
    return {"us": [*BLOBS[0]], "vs": [*BLOBS[1]], "labels": [float(k) for k in BLOBS[2]]} | given


def pixel(figure, u, v):
    """Where a place of the plane is on the screen."""
    plot = figure.locator("svg.plot").first
    plot.scroll_into_view_if_needed()
    box = plot.locator("foreignObject").bounding_box()
    return (
        box["x"] + box["width"] * (u + 3) / 6,
        box["y"] + box["height"] * (2 - v) / 4,
    )


def test_a_click_places_a_point_and_a_drag_moves_it(page, figure):
    figure.locator('input[name="brush"][value="3"]').check(force=True)
    page.mouse.move(*pixel(figure, 2.0, 1.8))
    page.mouse.down()
    page.mouse.move(*pixel(figure, 2.5, 1.5), steps=4)
    page.mouse.up()
    found = points(page)
    assert len(found["us"]) == len(BLOBS[0]) + 1
    assert found["labels"][-1] == 2
    assert (found["us"][-1], found["vs"][-1]) == pytest.approx((2.5, 1.5), abs=0.02)
    page.mouse.move(*pixel(figure, 2.5, 1.5))
    page.mouse.down()
    page.mouse.move(*pixel(figure, -2.5, 1.2), steps=4)
    page.mouse.up()
    moved = points(page)
    assert len(moved["us"]) == len(found["us"])
    assert (moved["us"][-1], moved["vs"][-1]) == pytest.approx((-2.5, 1.2), abs=0.02)


def test_the_eraser_takes_points_away(page, figure):
    figure.locator('input[name="brush"][value=""]').check(force=True)
    page.mouse.click(*pixel(figure, BLOBS[0][0], BLOBS[1][0]))
    found = points(page)
    assert len(found["us"]) == len(BLOBS[0]) - 1
    page.mouse.click(*pixel(figure, 2.9, 1.9))  # nothing is there
    assert points(page) == found


def test_the_keyboard_places_and_takes_away(page, figure):
    figure.locator('[data-preset="empty"]').click()
    settled(page, "plane")
    figure.locator(".marker").focus()
    page.keyboard.press("ArrowRight")
    for key in "132":
        page.keyboard.press(key)
    found = points(page)
    assert found == {"us": [0.01] * 3, "vs": [0.0] * 3, "labels": [0.0, 2.0, 1.0]}
    page.keyboard.press("Delete")
    assert len(points(page)["us"]) == 2
    assert page.evaluate("document.activeElement.matches('.marker')")


def test_the_plane_can_be_full(page, figure):
    figure.locator('[data-preset="empty"]').click()
    settled(page, "plane")
    figure.locator(".marker").focus()
    for _ in range(MOST + 1):
        page.keyboard.press("1")
    assert "Erase some first" in figure.locator(".problem").last.inner_text()
    assert len(points(page)["us"]) == MOST


def test_training_runs_to_the_end(page, figure):
    train = figure.locator("button", has_text="Train")
    train.click()
    expect(figure.locator('input[data-control="steps"]')).to_have_value(str(STEPS), timeout=10_000)
    settled(page, "plane")
    assert float(
        figure.locator('[data-readout="loss"]').get_attribute("data-value")
    ) == pytest.approx(PLANE({"steps": STEPS})["loss"], rel=1e-12)
    train = figure.locator("button", has_text="Train")
    train.click()  # once more, from the start
    page.wait_for_timeout(200)
    figure.locator("button", has_text="Pause").click()
    settled(page, "plane")
    assert 0 < float(figure.locator('input[data-control="steps"]').input_value()) < STEPS


def test_the_best_temperature_is_taken(page, figure):
    figure.locator('[data-preset="few"]').click()
    settled(page, "plane")
    figure.locator("button", has_text="Use the best").click()
    settled(page, "plane")
    given = PLANE.presets["few"] | {"τ": 3.6}
    assert float(figure.locator('input[data-control="τ"]').input_value()) == 3.6
    assert PLANE(given)["best"] == pytest.approx(3.6, abs=0.05)
    shown = float(figure.locator('[data-readout="gap"]').get_attribute("data-value"))
    assert shown == PLANE(given)["gap"]


def test_the_shades_follow_the_theme(page, figure):
    figure.locator('[data-preset="blobs"]').click()
    settled(page, "plane")
    corner = """() => {
      const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      copy.drawImage(document.querySelector("#plane canvas"), 0, 0);
      return [...copy.getImageData(0, 19, 1, 1).data];
    }"""
    light = page.evaluate(corner)
    page.locator(".theme").click()
    page.wait_for_timeout(100)
    dark = page.evaluate(corner)
    assert light[2] > light[0]  # blue at the lower left
    assert sum(dark[:3]) > sum(light[:3])


def test_the_best_temperature_is_the_least_loss():
    """Against a scan of losses written without the gradient."""
    random = np.random.default_rng(1)
    scores, labels = random.normal(0, 3, (500, 3)), random.integers(0, 3, 500)
    scores[np.arange(500), labels] += 2

    def loss(t):
        x = scores / t
        return np.mean(
            np.log(np.exp(x - x.max(1, keepdims=True)).sum(1))
            + x.max(1)
            - x[np.arange(500), labels]
        )

    grid = np.geomspace(0.5, 10, 20_001)
    assert _best_temperature(scores, labels) == pytest.approx(
        grid[np.argmin([loss(t) for t in grid])], rel=1e-3
    )


def test_unequal_lists_are_refused():
    with pytest.raises(ValueError, match="equally long, got 2, 1 and 1"):
        PLANE({"us": [0, 1], "vs": [0], "labels": [0]})
