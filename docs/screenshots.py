"""Write docs/images: the page of `pgpipe serve` over functions of the demo's lake: `make screenshots`.

Beside the picture lies what it shows, as JSON. A test compares that with the page as it is today.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

from pgpipe.demo import lake

IMAGES = Path(__file__).parent / "images"
QUESTION = "/?q=how+do+I+compress+a+file&entity=function&k=3"
PART = "main > section:first-of-type"  # what is photographed: the question and its answers
WIDTH, HEIGHT = 1180, 700
WORDED = {"span", "button", "summary", "legend", "h2"}  # elements whose words are the page's, not the data's
VOID = {"input", "br", "img", "link", "meta"}
SCORE = re.compile(r'<p class="ranks">\s*([\d.]+)')
MODE = re.compile(r'<section class="mode" aria-labelledby="mode-(\w+)">(.*?)</section>', re.DOTALL)
MARGIN = 16
CONFIG = """\
[database]
embedded_dir = "{folder}/postgresql"

[entity.function]
key = ["name"]
mode = "snapshot"
search = {{ columns = {{ name = "A", summary = "A", doc = "B" }} }}
embed = {{ columns = ["name", "summary"] }}
"""


def main() -> None:
    """Load, serve, look, and make the pictures small."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-screenshots-") as name:
        folder = Path(name)
        lake.build(folder / "lake", limit=400)
        config = folder / "pgpipe.toml"
        config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
        pgpipe = [sys.executable, "-m", "pgpipe", "--config", str(config)]
        subprocess.run([*pgpipe, "migrate"], check=True, cwd=folder)
        source = ["--source", f"file://{folder}/lake", "--entity", "function"]
        subprocess.run([*pgpipe, "run", *source], check=True, cwd=folder)
        with subprocess.Popen([*pgpipe, "serve", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True) as page:
            address = re.match(r"\S+(?=/ )", page.stdout.readline() if page.stdout else "")
            try:
                look(address[0] if address else "")
            finally:
                page.terminate()


class Outline(HTMLParser):
    """The elements of the search section, with the page's words. Numbers become #; repeated lines are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, None] = {}
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element within the section."""
        named = dict(attributes)
        if not self._open and (tag, named.get("aria-label")) != ("section", "Search"):
            return
        name = ".".join([tag, *(named.get("class") or "").split()])
        self.lines[" ".join([*self._open, name])] = None
        if tag not in VOID:
            self._open.append(name)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if self._open and tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Note words that belong to the page."""
        words = re.sub(r"\d+", "#", " ".join(data.split()))
        if words and self._open and self._open[-1].split(".")[0] in WORDED:
            self.lines[f"{self._open[-1]}: {words}"] = None


def shown(html: str) -> dict[str, list[str] | dict[str, list[float]]]:
    """What a page of answers shows: its outline, and the scores of each mode."""
    outline = Outline()
    outline.feed(html)
    scores = {mode: [float(score) for score in SCORE.findall(body)] for mode, body in MODE.findall(html)}
    return {"outline": sorted(outline.lines), "scores": scores}


def look(address: str) -> None:
    """Photograph the page, at the pixels of a plain screen, and note what it shows."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        tab = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light").new_page()
        tab.goto(address + QUESTION)
        while tab.get_by_role("link", name="ask again").count():  # the model is being loaded
            tab.wait_for_timeout(500)
            tab.reload()
        tab.reload()  # its first answer is the slowest
        file = IMAGES / "search.png"
        box = tab.locator(PART).bounding_box()
        assert box
        tab.screenshot(path=file, full_page=True, clip={
            "x": 0, "width": WIDTH, "y": box["y"] - MARGIN, "height": box["height"] + 2 * MARGIN
        })  # fmt: skip
        Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)
        browser.close()
    content = shown(httpx.get(address + QUESTION, timeout=30).text)
    (IMAGES / "search.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
