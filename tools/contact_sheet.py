"""Pictures of every page of the lesson to look at: python tools/contact_sheet.py DIR; needs Chromium and Pillow.

Writes DIR/<place>-<width>.png: both languages and both themes of a page side by side, everything opened and judged.
"""

import io
import shutil
import sys
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sigmax.lesson import LANGUAGES
from sigmax.lesson.server import Server
from sigmax.lesson.site import PLACES

TALLEST = 8_000  # pixels of a page that are taken at a time: Chromium cuts off what is much taller


def whole(page: Page, width: int) -> Image.Image:
    """The page from top to bottom."""
    height = page.evaluate("document.body.scrollHeight")
    picture = Image.new("RGB", (width, height))
    for top in range(0, height, TALLEST):
        clip = {"x": 0, "y": top, "width": width, "height": min(TALLEST, height - top)}
        shot = page.screenshot(full_page=True, clip=clip)
        picture.paste(Image.open(io.BytesIO(shot)), (0, top))
    return picture


def main(directory: Path, places: list[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with Server("en", 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for place in places:
            for width in (390, 1280):
                shots = []
                for lang in LANGUAGES:
                    for scheme in ("light", "dark"):
                        page = browser.new_page(
                            viewport={"width": width, "height": 900}, color_scheme=scheme
                        )
                        page.goto(f"{server.address}{lang}/{place or 'index'}.html")
                        page.wait_for_selector("body[data-ready]:not([data-ready=''])")
                        page.evaluate(
                            "for (const each of document.querySelectorAll('.machine')) each.open = true;"
                            "for (const each of document.querySelectorAll('.plots')) each.style.position = 'static';"
                            "for (const each of document.querySelectorAll('[data-vote=\"if\"]')) each.click();"
                        )
                        page.wait_for_timeout(300)
                        shots.append(whole(page, width))
                        page.close()
                sheet = Image.new("RGB", (width * len(shots), max(shot.height for shot in shots)))
                for i, shot in enumerate(shots):
                    sheet.paste(shot, (i * width, 0))
                sheet.save(directory / f"{place or 'index'}-{width}.png")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(PLACES))
