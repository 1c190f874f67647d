"""Write docs/images/*.png: the page of `pgpipe serve` over the demo's lake, both dates loaded: `make screenshots`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from pgpipe.demo import lake

IMAGES = Path(__file__).parent / "images"
QUESTION = "/?q=how+do+I+compress+a+file&entity=function&k=3"
SHOTS = (  # name, path, part of the page, width, height, colours
    ("search", QUESTION, "main > section:first-of-type", 1180, 700, "light"),
    ("entities", "/", "#entities", 1180, 800, "dark"),
)
MARGIN = 16
CONFIG = """\
[database]
embedded_dir = "{folder}/postgresql"
"""
ENTITY = """\
[entity.{name}]
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
        entities = "".join(ENTITY.format(name=entity) for entity in lake.ENTITIES)
        config.write_text(CONFIG.format(folder=folder) + entities, encoding="utf-8")
        pgpipe = [sys.executable, "-m", "pgpipe", "--config", str(config)]
        subprocess.run([*pgpipe, "migrate"], check=True, cwd=folder)
        for date in (lake.OLDER, lake.NEWER):
            source = ["--source", f"file://{folder}/lake", "--date", str(date)]
            subprocess.run([*pgpipe, "run", *source], check=True, cwd=folder)
        with subprocess.Popen([*pgpipe, "serve", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True) as page:
            address = re.match(r"\S+(?=/ )", page.stdout.readline() if page.stdout else "")
            try:
                look(address[0] if address else "")
            finally:
                page.terminate()


def look(address: str) -> None:
    """Photograph the page, at the pixels of a plain screen."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        for name, path, part, width, height, colours in SHOTS:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
            tab = context.new_page()
            tab.goto(address + path)
            while tab.get_by_role("link", name="ask again").count():  # the model is being loaded
                tab.wait_for_timeout(500)
                tab.reload()
            file = IMAGES / f"{name}.png"
            box = tab.locator(part).bounding_box()
            assert box
            tab.screenshot(path=file, full_page=True, clip={
                "x": 0, "width": width, "y": box["y"] - MARGIN, "height": box["height"] + 2 * MARGIN
            })  # fmt: skip
            Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
