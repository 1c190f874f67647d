"""The lint of the SQL: it finds what it is for, and nothing in this tree."""

import pytest

lint = pytest.importorskip("tests.schema.lint", reason="pgspot is not installed")

OPEN_PATH = """
    create or replace function pgpipe.twice(n int) returns int language sql as $$ select n + n $$;
"""
DEFINER = """
    create or replace function pgpipe.twice(n int) returns int
        security definer  set search_path = pgpipe, public  language plpgsql
    as $$
    declare
        e pgpipe.embedding;
    begin
        select * into e from pgpipe.embedding known where known.embedding_id = n;
        return n + e.embedding_id;
    end
    $$;
"""


def test_an_open_search_path_is_found() -> None:
    """A function without a pinned search_path, an operator that it looks up by it, and a definer's unsafe path."""
    assert [line.split(":")[0] for line in lint.findings(OPEN_PATH)] == ["PS005", "PS001"]
    assert [line.split(":")[0] for line in lint.findings(DEFINER)] == ["PS004", "PS001", "PS001"]


def test_this_tree_has_none() -> None:
    """Issue 11: pgspot reads all of sql/, the migrations and what templates become, and finds nothing."""
    assert {file.name: lint.findings(file.read_text(encoding="utf-8")) for file in lint.files()} == {
        file.name: [] for file in lint.files()
    }
