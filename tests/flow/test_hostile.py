"""No SQL from data: hostile names of entities, columns, keys and files, texts, questions and filters."""

import shutil
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg import sql

import pgpipe
from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.searching.ask import Question, Searchable, SearchMode, answer, find_searchable
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import load_settings
from pgpipe.target import label
from tests.fixtures.examples import examples
from tests.flow.support import rows
from tests.sql.fake_model import Fake, make_worker

PARTS = [
    "'; drop table victim; --",
    '"; drop table victim; --',
    "$$; drop table victim; $$",
    "\\'; drop table victim; --",
    "');drop table victim;--",
    '")); drop table victim; --',
    "*; delete from victim; ",
    "%s",
    "%(x)s",
    "%%",
    "{",
    "}",
    "{victim}",
    "$1",
    ":x",
    "E'\\\\'",
    '"."',
    "::regclass",
    "=>A, ",
    "--",
    "*",
    "\n",
    "\t",
    " ",
    "\x01",
    "é",
    "❤",
    "Ω",
    "a",
    "select",
    "1",
    "NEW",
    "t",
]
text = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
name = text.filter(lambda n: len(n.encode()) <= 50 and n.strip(" ._") == n and "/" not in n)
column = name.filter(
    lambda n: n not in {"search", "chunk", "model", "vector", "char_start", "char_end", "content_hash"}
)
scalar = text | st.integers(-9, 9) | st.none() | st.booleans()
where = st.dictionaries(
    text, scalar | st.lists(scalar, max_size=2) | st.dictionaries(st.sampled_from(["lt", "ne", "x'"]), scalar)
)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where lakes lie."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture
def victim(database: Database) -> Iterator[Database]:
    """A database with a table that nothing here may touch."""
    with database.connect() as conn:
        conn.execute("create table victim (id int); insert into victim values (1)")
    yield database
    assert rows(database, "select id from victim") == [(1,)]


def configured(url: str, entity: str, key: str, words: str) -> Settings:
    """Everything declared by hostile names."""
    declared = {
        "key": [key],
        "mode": "snapshot",
        "search": {"columns": {words: "A"}},
        "embed": {"columns": [words], "template": "{" + words + "}"},
    }
    return load_settings(options={"source": {"url": url}, "entity": {entity: declared}})


def write(lake: Path, day: int, entity: str, file: str, table: pa.Table) -> None:
    """One file of one date."""
    folder = lake / date(2026, 1, day).isoformat() / entity
    folder.mkdir(parents=True)
    pq.write_table(table, folder / f"{file}.parquet")


def refusal(conn: Connection, target: Searchable, mode: SearchMode, question: Question) -> str:
    """How a question is refused: PP, a column or comparison there is not; 22, a value that is none of its column."""
    try:
        with conn.transaction():
            answer(conn, target, mode, question, [1.0, 0.0, 0.0])
    except errors.PgpipeError as exc:
        return str(getattr(exc.__cause__, "sqlstate", "PP"))
    return ""


@settings(
    max_examples=examples(8, 15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(
    entity=name,
    columns=st.lists(column, min_size=3, max_size=3, unique_by=str.casefold),
    file=name,
    texts=st.lists(text, min_size=2, max_size=4, unique=True),
    question=text,
    condition=where,
)
def test_nothing_hostile_is_run(
    victim: Database,
    lakes: Path,
    entity: str,
    columns: list[str],
    file: str,
    texts: list[str],
    question: str,
    condition: dict,
) -> None:
    """Load, declare, embed, load again, search in every mode: rows come out as they went in, nothing else happens."""
    key, words, other = columns
    assume(not {"{", "}", "\n"} & set(words))  # of templates, which are lines with {column}; refused in its name
    lake = lakes / uuid.uuid4().hex
    write(lake, 1, entity, file, pa.table({key: texts, words: texts, other: texts}))
    chosen = configured(f"file://{lake}", entity, key, words)
    parts: list[pgpipe.Component] = [pgpipe.ParquetImporter(), pgpipe.SearchIndexer()]
    try:
        report = pgpipe.Pipeline(chosen, parts, victim).run()
        assert report.exit_code == 0, report.failures
        with victim.connect(autocommit=True) as conn:
            conn.execute(
                "select pgpipe.enable_embedding(format('public.%%I', %s::text)::regclass, %s::name[], %s, 3,"
                " template => %s)",
                (entity, [words], "fake" + question, chosen.entity[entity].embed.template),  # type: ignore[union-attr]
            )
        write(lake, 2, entity, file, pa.table({key: texts[1:], words: texts[:-1], other: texts[1:]}))
        report = pgpipe.Pipeline(chosen, parts, victim).run()
        assert report.exit_code == 0, report.failures
        worker = make_worker(victim, Fake(), name="fake" + question)
        worker.drain()
        assert worker.totals.failed == 0

        with victim.connect() as conn:
            select = sql.SQL("select {} from {}").format(sql.Identifier(key), sql.Identifier("public", entity))
            stored = conn.execute(select).fetchall()
            assert sorted(value for (value,) in stored) == sorted(texts[1:])
            target = find_searchable(conn, label("public", entity, "public"), "public")
            for mode in get_args(SearchMode):
                answer(conn, target, mode, Question(question), [1.0, 0.0, 0.0])
                filtered = Question(question, filter={other: texts[1]}, row=True)
                same = answer(conn, target, mode, filtered, [1.0, 0.0, 0.0])
                assert all(hit.row[other] == texts[1] for hit in same)
                assert refusal(conn, target, mode, Question(question, filter=condition))[:2] in {"", "PP", "22"}
    finally:
        shutil.rmtree(lake)
        with victim.connect() as conn:  # the next example begins with nothing
            conn.execute("set lock_timeout = '20s'")  # a lock that was left behind is a failure, not a wait
            conn.execute(sql.SQL("drop table if exists {} cascade").format(sql.Identifier("public", entity)))
            conn.execute("delete from pgpipe.embedding; delete from pgpipe.search; delete from pgpipe.load_file")
            store = conn.execute("select pgpipe_internal.derived_name(%s, '_embedding')", (entity,)).fetchone()
            assert store is not None
            conn.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("public", store[0])))
    assert rows(victim, "select id from victim") == [(1,)]
