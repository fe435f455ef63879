"""The pictures of the README, docs/_static/report.png and lesson.png: python tools/make_pictures.py; needs Chromium."""

import io
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from sigmax.lesson.server import Server

PLACE = Path(__file__).resolve().parent.parent / "docs/_static"
VIEW = {"viewport": {"width": 1080, "height": 640}, "device_scale_factor": 1.2}


def keep(shot: bytes, name: str) -> None:
    """As few colours as look like all of them: a third of the size."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.quantize(96, dither=Image.Dither.NONE).save(PLACE / name, optimize=True)


def report(browser: Browser) -> bytes:
    page = browser.new_page(**VIEW)
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.html"
        subprocess.run([sys.executable, "-m", "sigmax", "demo", "-o", str(demo)], check=True)
        page.goto(demo.as_uri())
        return page.screenshot()


def lesson(browser: Browser) -> bytes:
    page = browser.new_page(**VIEW)
    with Server("en", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"{server.address}en/index.html")
        page.wait_for_selector("body[data-ready=cover] .picture canvas")
        shot = page.screenshot()
        server.shutdown()
    return shot


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        keep(report(browser), "report.png")
        keep(lesson(browser), "lesson.png")
        browser.close()


if __name__ == "__main__":
    main()
