"""What a newcomer types first."""

from pathlib import Path

import pytest

from pgpipe.cli.demo import QUESTIONS
from tests.conftest import make_cli


@pytest.mark.model
def test_demo_from_nothing_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It needs neither database nor S3, loads the newer date and answers; a second time there is nothing to do."""
    cli = make_cli("", tmp_path, monkeypatch)
    monkeypatch.delenv("DATABASE_URL")

    monkeypatch.setattr("pgpipe.cli.demo.QUESTIONS", QUESTIONS[::2])  # by words, and in both ways
    first = cli("demo", "--folder", str(tmp_path / "demo"), "--rows", "20")
    shown = capfd.readouterr().out
    monkeypatch.setattr("pgpipe.cli.demo.QUESTIONS", ())  # the second time nothing is new to ask
    again = cli("demo", "--folder", str(tmp_path / "demo"), "--rows", "20")
    shown_again = capfd.readouterr().out

    assert (first.code, again.code) == (0, 0), (first, again)
    assert "Nothing to do" not in shown
    assert " 1. " in shown
    assert "Nothing to do: everything of 2026-01-02 is in place." in shown_again
    assert "The schema is up to date." in shown_again
