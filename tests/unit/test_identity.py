"""Identities: which ETags are trusted, and what the ledger recognises."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from pgpipe.load.ledger import Entry, Ledger
from pgpipe.source import File
from pgpipe.source.identity import distrust, is_hash, let_settle
from pgpipe.source.layout import EntityFiles

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = date(2026, 11, 22)


def file(path: str = "2026-11-22/p/a", etag: str = "a" * 31 + "b", size: int = 10, *, strong: bool = True) -> File:
    """A file as it was listed."""
    return File(path, f"s3://b/{path}", etag, size, NOW, strong)


@pytest.mark.parametrize(
    ("etag", "trusted"),
    [
        ("9b2cf535f27731c974343645a3985328", True),
        ("9B2CF535F27731C974343645A3985328", True),
        ("9b2cf535f27731c974343645a3985328-17", True),
        ("", False),
        ('W/"9b2cf535f27731c974343645a3985328', False),
        ("d41d8cd98f00b204e9800998ecf8427e", False),
        ("0" * 32, False),
        ("CKih16GjycICEAE=", False),
    ],
)
def test_which_etags_are_hashes(etag: str, trusted: bool) -> None:
    """L4: of the bytes, or of the parts of an upload; the hash of nothing is one of an empty object only."""
    assert is_hash(etag, 10) is trusted
    assert is_hash("d41d8cd98f00b204e9800998ecf8427e", 0)


def test_an_etag_of_two_sizes_is_not_trusted() -> None:
    """L4: within a listing, or against the ledger; a copy of the same size is one."""
    one, copy, other = file(), file("2026-11-22/p/b"), file("2026-11-22/p/c", size=11)

    assert [f.strong for f in distrust([one, copy])] == [True, True]
    assert [f.strong for f in distrust([one, copy, other])] == [False, False, False]
    ledger = Ledger([Entry("s3://b/2026-11-21/p/a", one.etag, 11, DAY, NOW)])
    assert [f.strong for f in ledger.judged(EntityFiles("p", DAY, (one, copy))).files] == [False, False]


def test_what_the_ledger_holds() -> None:
    """L4: a strong ETag alone; a weak one with size and time; one trusted before, if the file has not changed since."""
    strong, weak = file(), file(etag="", strong=False)
    later = replace(weak, modified=NOW + timedelta(hours=1))

    def holds(listed: File, identity: str, begun: timedelta) -> bool:
        return Ledger([Entry(listed.uri, identity, listed.bytes, DAY, NOW + begun)]).holds(listed)

    assert holds(strong, strong.etag, timedelta(hours=-1))
    assert holds(strong, strong.versioned, timedelta(hours=-1))  # it was not trusted when it was loaded
    assert holds(weak, weak.identity, timedelta(hours=-1))
    assert not holds(later, weak.identity, timedelta(hours=2))
    assert holds(weak, "", timedelta(minutes=1))
    assert not holds(later, "", timedelta(minutes=1))
    assert not Ledger([Entry(strong.uri, strong.etag, 11, DAY, NOW)]).holds(strong)


def test_a_snapshot_is_recognised_by_strong_etags_in_the_same_folders() -> None:
    """L4, L6: never by size and time, and not in another hive folder, which says something else."""

    def same(held: str, listed: File) -> bool:
        ledger = Ledger([Entry(f"s3://b/{held}", listed.identity, listed.bytes, DAY, NOW)])
        return ledger.is_same_snapshot(EntityFiles("p", DAY, (listed,)))

    assert same("2026-11-21/p/x", file())
    assert not same("2026-11-21/p/x", file(strong=False))
    assert same("2026-11-21/p/r=eu/x", file("2026-11-22/p/r=eu/a"))
    assert not same("2026-11-21/p/r=us/x", file("2026-11-22/p/r=eu/a"))


@pytest.mark.parametrize(
    ("age", "micro", "strong", "waits"),
    [(1, 0, False, True), (-30, 0, False, True), (600, 0, False, False), (1, 5, False, False), (1, 0, True, False)],
)
def test_a_second_that_may_bring_another_version(
    monkeypatch: pytest.MonkeyPatch, age: int, micro: int, strong: bool, waits: bool
) -> None:
    """L4: is waited for, if whole seconds are all that tells versions apart; clocks may differ by a minute."""
    slept: list[float] = []
    monkeypatch.setattr("pgpipe.source.identity.time.sleep", slept.append)
    listed = replace(file(strong=strong), modified=NOW - timedelta(seconds=age, microseconds=micro))

    let_settle([listed], NOW)

    assert [pause > 1 for pause in slept] == [True] * waits
