"""The lesson without a script, its previews, docs/lesson.md: python tools/render_lesson.py; needs Chromium and Pillow.

Each page is opened once, and what it shows is kept as text, formulas and pictures: for readers without JavaScript,
search engines and previews. Run it after every change of a text, a figure or a claim; a test compares the texts.
"""

import io
import re
import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sigmax.lesson import LANGUAGES
from sigmax.lesson.server import Server
from sigmax.lesson.site import PAGES, PLACES, PREVIEW, STATIC, texts

ROOT = Path(__file__).parent.parent

# Keeps what can be read, as it stands: no control, no handle, nothing that only a script moves.
STILL = """() => {
  dispatchEvent(new Event('beforeprint'));
  const main = document.getElementById('main').cloneNode(true);
  const drop = `input, button:not(.term), output, .presets, .tools, .ballot, .copier, .judged, .row, .told, .unseen,
    .moving, .hold, .marker.guess, foreignObject, .choice, .slider, .sliders, .toggle, .problem, .picture,
    .judged-so-far, .marks, .check footer, .swatch`;
  const sizes = [...document.querySelectorAll('#main svg.plot')]
    .map(({ clientWidth, clientHeight }) => [Math.round(clientWidth), Math.round(clientHeight)]);
  main.querySelectorAll('svg.plot').forEach((plot, i) => {
    const [width, height] = sizes[i];
    plot.setAttribute('viewBox', `0 0 ${width} ${height}`);
    plot.setAttribute('role', 'img');
    plot.removeAttribute('height');
    const clip = plot.querySelector('clipPath');
    for (const each of plot.querySelectorAll('[clip-path]')) each.setAttribute('clip-path', `url(#clip-${i})`);
    if (clip) clip.id = `clip-${i}`;
    if (plot.closest('.prediction')) plot.remove();
  });
  for (const each of main.querySelectorAll(drop)) each.remove();
  const way = document.createElement('nav');
  way.append(...document.getElementById('foot').cloneNode(true).querySelectorAll('a'));
  if (way.children.length) main.append(way);
  for (const term of main.querySelectorAll('.term')) term.replaceWith(...term.childNodes);
  for (const each of main.querySelectorAll('.solution')) each.hidden = false;
  for (const each of main.querySelectorAll('.all-steps')) each.className = '';
  for (const each of main.querySelectorAll('.opened')) each.className = 'opened';
  for (const each of main.querySelectorAll('details')) each.open = false;
  for (const each of main.querySelectorAll('a')) each.setAttribute('href', each.href.split('/').at(-1));
  const spare = ['tabindex', 'style', 'data-value', 'data-readout', 'data-outcome', 'data-voted', 'data-verdict-of',
    'data-verdict', 'data-step', 'data-move', 'aria-valuenow', 'aria-valuemin', 'aria-valuemax', 'aria-valuetext'];
  for (const each of main.querySelectorAll('*')) {
    for (const name of spare) each.removeAttribute(name);
    if (each.getAttribute('role') === 'slider') each.removeAttribute('role');
    if (each.localName === 'g') each.removeAttribute('aria-label');
  }
  return main.innerHTML;
}"""

CLAIMS = """async (name) => {
  const base = document.querySelector('script[type=module]').src.replace('main.js', '');
  const { default: { claims } } = await import(`${base}chapters/${name}.js`);
  return Object.entries(claims).map(([key, { verdict, figure }]) => [key, verdict, figure]);
}"""


def compact(markup: str) -> str:
    """Round coordinates to half pixels, and drop what says nothing."""

    def rounded(match: re.Match[str]) -> str:
        return re.sub(
            r"-?\d+\.\d+", lambda number: f"{round(2 * float(number[0])) / 2:g}", match[0]
        )

    markup = re.sub(
        r' (?:d|x|y|cx|cy|r|x1|x2|y1|y2|width|height|transform)="[^"]*"', rounded, markup
    )
    return re.sub(r"<(g|defs|div|span|p)(?: class=\"[^\"]*\")?></\1>", "", markup)


def render(page: Page, address: str, place: str, lang: str) -> str:
    page.goto(f"{address}{lang}/{place or 'index'}.html")
    page.wait_for_selector(f'body[data-ready="{place or "cover"}"]')
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.wait_for_timeout(200)
    return compact(page.evaluate(STILL))


# The figure that stands for each chapter, in a situation; the cover for the rest.
SHOWN = {
    "share": "shifted",
    "forms": "dividing",
    "sigmoid": "staircase",
    "logit": "mirror",
    "pair": "fed",
    "softmax": "pairs",
    "temperature": "heat",
    "cross_entropy": "arrows",
    "frameworks": "switches",
    "playground": "plane#plane.steps=400",
}
WIDTH = 1200  # of the page that a preview shows smaller


def previews(browser: Browser, address: str) -> None:
    """Write static/previews: what shared links show, a picture for each page."""
    width, height = PREVIEW
    page = browser.new_page(
        viewport={"width": WIDTH, "height": WIDTH * height // width},
        device_scale_factor=width / WIDTH,
        reduced_motion="reduce",
    )
    shutil.rmtree(STATIC / "previews", ignore_errors=True)
    for lang in LANGUAGES:
        (STATIC / "previews" / lang).mkdir(parents=True)
        for place in PLACES:
            figure, _, situation = SHOWN.get(place, "").partition("#")
            shown = (
                f"{place}.html?embed={figure}#{situation}" if figure else f"{place or 'index'}.html"
            )
            page.goto("about:blank")
            page.goto(f"{address}{lang}/{shown}")
            page.wait_for_selector(f'body[data-ready="{place or "cover"}"]')
            page.wait_for_timeout(300)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            shot.quantize(24, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                STATIC / "previews" / lang / f"{place or 'index'}.png", optimize=True
            )
    page.close()


HEAD = """\
# The lesson

`sigmax lesson`, or `sigmax lesson --export DIR` for any static web server: from the share a/(a+b) to the loss, in
Traditional Chinese and English. How it is built, and how to add a chapter: `src/sigmax/lesson/README.md`.

Every claim of the usual story, where it stands, the figure that shows it, the check that settles it, and the verdict:
T true, T* true with a condition, F false, N wrong notation, O outdated. The check runs on the page, and in
`tests/test_lesson_numbers.py`. This page is written by `python tools/render_lesson.py`.
"""


def plain(text: str) -> str:
    """Without formulas, and without links to the glossary."""
    text = re.sub(r"\[([^\]]+)\]\(\w+\)", r"\1", text)
    return text.replace("$", "").replace("|", r"\|").replace("*", r"\*")


def check_list(page: Page) -> str:
    """Return docs/lesson.md."""
    parts, counts = [HEAD], dict.fromkeys(["T", "T*", "F", "N", "O"], 0)
    titles = texts("page")
    for number, name in enumerate(PLACES[1:-1], 1):
        table = texts(name)
        parts.append(f"## {number}. {plain(titles[f'{name}.title']['en'])}\n")
        parts.append("| claim | figure | check | verdict |\n|---|---|---|---|")
        for key, verdict, figure in page.evaluate(CLAIMS, name):
            counts[verdict] += 1
            check = f"[`{name}.{key}`](../src/sigmax/lesson/static/chapters/{name}.js)"
            says, shown = table[f"{key}.claim"]["en"], table[f"{figure}.title"]["en"]
            parts.append(f"| {plain(says)} | {plain(shown)} | {check} | {plain(verdict)} |")
        parts.append("")
    total = ", ".join(f"{count} {plain(verdict)}" for verdict, count in counts.items())
    parts.append(f"{sum(counts.values())} claims: {total}.")
    return "\n".join(parts) + "\n"


def main() -> None:
    with Server("en", 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 520, "height": 900}, reduced_motion="reduce")
        for lang in LANGUAGES:
            (PAGES / lang).mkdir(parents=True, exist_ok=True)
            for place in PLACES:
                markup = render(page, server.address, place, lang)
                (PAGES / lang / f"{place or 'index'}.html").write_text(markup + "\n", "utf-8")
        (ROOT / "docs" / "lesson.md").write_text(check_list(page), "utf-8")
        previews(browser, server.address)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
