"""The picture in README shows the page as it is: the same parts, the same words, scores of the same scale."""

import json
import runpy
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
SHOWN = runpy.run_path(str(ROOT / "docs/screenshots.py"))["shown"]
PICTURED = json.loads((ROOT / "docs/images/search.json").read_text(encoding="utf-8"))
HINT = "the page has changed: run `make screenshots`"


def test_the_picture_shows_the_page(page: str) -> None:
    """Elements, labels and ranks of an answered question are those that were photographed."""
    now = SHOWN(httpx.get(f"{page}/?q=waterproof+jacket&entity=doc&k=3", timeout=30).text)

    assert now["outline"] == PICTURED["outline"], HINT
    assert now["scores"].keys() == PICTURED["scores"].keys()


def test_the_picture_shows_scores_of_the_default_fusion(page: str) -> None:
    """Reciprocal ranks stay below 0.04. The default adds scaled scores, so the best hit has far more."""
    now = SHOWN(httpx.get(f"{page}/?q=waterproof+jacket&entity=doc&k=3", timeout=30).text)

    for scores in (now["scores"]["hybrid"], PICTURED["scores"]["hybrid"]):
        assert scores[0] > 0.1
        assert scores == sorted(scores, reverse=True)
