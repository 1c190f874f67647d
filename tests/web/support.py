"""Asking the page, and reading its columns."""

import re
from typing import Any

import httpx


def get(url: str, path: str = "/", **parameters: Any) -> httpx.Response:
    return httpx.get(url + path, params=parameters, timeout=30)


def columns(response: httpx.Response) -> dict[str, str]:
    """The three columns of answers, by mode."""
    found = re.findall(r'<section class="mode" aria-labelledby="mode-(\w+)">(.*?)</section>', response.text, re.DOTALL)
    return dict(found)
