"""Times of the lesson's pages: python benchmarks/lesson.py [CHAPTER ...]; needs Chromium and Playwright.

Prints, per chapter, when its first figure stands on a cold load; per figure, how long a change takes from the event to
the laid-out page (the median over its sliders, and the fastest); and the frames per second of what plays. The aims are
1 s, 8 ms and 60. A busy machine slows all of them: the fastest of each says what the page itself needs.
"""

import shutil
import statistics
import sys
import threading

from playwright.sync_api import Browser, Page, sync_playwright

from sigmax.lesson.server import Server
from sigmax.lesson.site import PLACES

LOADS = 5
CHANGES = 15  # of each slider

# The time of each change: the event, everything that it computes and draws, style and layout. Painting comes after.
CHANGE = """([figure, changes]) => {
  const element = document.getElementById(figure);
  const times = [];
  for (const input of element.querySelectorAll('input[type=range]')) {
    const [low, high] = [Number(input.min), Number(input.max)];
    for (let i = 0; i < changes; i++) {
      const begin = performance.now();
      input.value = low + (high - low) * (0.05 + 0.9 * ((i * 7) % changes) / changes);
      input.dispatchEvent(new InputEvent('input', { bubbles: true }));
      element.getBoundingClientRect();
      times.push(performance.now() - begin);
    }
  }
  return times;
}"""

# The times between frames while a figure plays.
PLAY = """(figure) => new Promise((resolve) => {
  const [button, frames] = [document.querySelector(`#${figure} .play`), []];
  button.scrollIntoView();
  button.click();
  const next = (now) => {
    frames.push(now);
    if (button.textContent.startsWith('❚❚') && frames.length < 300) requestAnimationFrame(next);
    else resolve(frames.slice(1).map((each, i) => each - frames[i]));
  };
  requestAnimationFrame(next);
})"""

OPEN = "for (const each of document.querySelectorAll('.machine')) each.open = true"
FIGURES = "[...document.querySelectorAll('.figure:has(.side)')].map(({ id }) => id)"
PLAYS = "[...document.querySelectorAll('.figure:has(.play)')].map(({ id }) => id)"


def visit(browser: Browser, address: str, chapter: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}en/{chapter}.html")
    page.wait_for_selector(f'body[data-ready="{chapter}"]')
    return page


def first_figure(browser: Browser, address: str, chapter: str) -> list[float]:
    """Return, of loads with an empty cache, the milliseconds from the address to the first figure."""
    times = []
    for _ in range(LOADS):
        page = visit(browser, address, chapter)
        mark = "performance.getEntriesByName('figure')[0].startTime"
        times.append(page.evaluate(mark))
        page.close()
    return times


def line(name: str, times: list[float], aim: str) -> None:
    print(f"{name:28} {statistics.median(times):8.1f} {min(times):8.1f}   {aim}", flush=True)


def main(chapters: list[str]) -> None:
    with Server("en", 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        visit(browser, server.address, chapters[0]).close()  # the browser itself is warm
        print(f"{'':28} {'median':>8} {'fastest':>8}   aim")
        for chapter in chapters:
            line(f"{chapter}: load", first_figure(browser, server.address, chapter), "1000 ms")
            page = visit(browser, server.address, chapter)
            page.evaluate(OPEN)
            page.wait_for_timeout(500)
            for figure in page.evaluate(FIGURES):
                if times := page.evaluate(CHANGE, [figure, CHANGES]):
                    line(f"  {figure}", times, "8 ms")
            for figure in page.evaluate(PLAYS):
                page.locator(f"#{figure} .reset").click()
                line(f"  {figure}: frame", page.evaluate(PLAY, figure), "16.7 ms")
            page.close()
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:] or list(PLACES[1:-1]))
