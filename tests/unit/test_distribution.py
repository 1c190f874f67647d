"""The distribution's name: free on the index, the same in metadata, messages and docs; another `pgpipe` is noticed."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from pgpipe import distribution
from pgpipe.doctor import machine
from pgpipe.errors import PgpipeError

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "pgpipe").rglob("*.py"))]


def test_the_name_is_that_of_the_metadata() -> None:
    """One name; what pgpipe is imported and called as stays pgpipe."""
    assert PROJECT["name"] == distribution.NAME != distribution.OTHER
    assert list(PROJECT["scripts"]) == ["pgpipe"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_says_to_install_the_other_package(page: Path) -> None:
    """No page and no message names `pgpipe` to pip for an installation: that is somebody else's package."""
    said = page.read_text(encoding="utf-8")

    assert re.findall(r"pip install[^`\n]*\bpgpipe(?!-search)(?=[\[`'\s]|$)", said) == []
    assert re.findall(r"(?<![\w.])pgpipe\[\w", said) == []


def test_every_extra_that_a_message_names_exists() -> None:
    """`install("embedded")`, `needed("serve", …)` and the like."""
    named = {
        extra
        for file in (ROOT / "pgpipe").rglob("*.py")
        for extra in re.findall(r"\b(?:install|needed)\([\"'](\w+)[\"']", file.read_text(encoding="utf-8"))
    }

    assert named >= {"embedded", "serve", "demo", "http", "fsspec"}
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize(("package", "extra"), [("uvicorn", "serve"), ("moto.server", "demo"), ("httpx", "http")])
def test_a_package_that_is_missing_is_named(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it, in one line, by whatever needs it."""
    from click.testing import CliRunner

    from pgpipe.cli.app import cli
    from pgpipe.embed.model.base import load_model
    from pgpipe.settings.model import EmbeddingSettings

    def use() -> None:
        if extra == "http":
            load_model(EmbeddingSettings(backend="http", url="http://127.0.0.1:1"))
        CliRunner().invoke(cli, [extra], catch_exceptions=False)

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        PgpipeError, match=rf"needs {package.partition('.')[0]}, which is not installed: .*'pgpipe-search\[{extra}\]'"
    ):
        use()


def test_another_distribution_of_our_import_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor says which distribution this is, and warns if the other one lies in the same environment."""
    monkeypatch.setattr(distribution, "OTHER", "pgpipe-not-there")
    (alone,) = machine.examine_installation()
    assert (alone.state, distribution.NAME in alone.message) == ("ok", True)

    info = tmp_path / "pgpipe_not_there-1.0.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pgpipe-not-there\nVersion: 1.0.5\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (both,) = machine.examine_installation()

    assert (both.state, both.todo.split(",")[0]) == ("warning", "pip uninstall pgpipe-not-there")
    assert "pgpipe-not-there 1.0.5" in both.message
