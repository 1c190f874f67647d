"""What must hold: of each embedding, of each status, of each answer. Vectors are computed again from the texts."""

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from pgpipe.db import Connection
from tests.chaos.embedders import faults, vector
from tests.chaos.soak.world import LOST, World
from tests.chaos.soak.writers import Writer
from tests.sql.alterations import ROWS, content


def _joined(*parts: str | None) -> str | None:
    return "\n".join(part for part in parts if part).strip(" \t\n\r") or None


# (table, embedding): its store, its key, a query of key and parts of the text, and how these make the text.
EMBEDDINGS: dict[tuple[str, str], tuple[str, int, str, Callable[..., str | None]]] = {
    ("note", "default"): ("note_embedding", 2, "select writer, number, body from note", _joined),
    ("note", "green"): ("note_embedding_green", 2, "select writer, number, mark, body from note", _joined),
    ("doc", "default"): ("doc_embedding", 1, ROWS, content),
    ("item", "default"): ("item_embedding", 1, "select id, text from item", _joined),
}
STORED = """
    select {}, chunk, model, encode(content_hash, 'hex'), char_start, char_end, vector::real[]
      from {} order by {}, chunk
"""
STATUS = "select entity, name, coverage, reason from pgpipe.embedding_status where schema = 'public'"
ASK = "select key from pgpipe.vector_search(%s::regclass, %s::real[]::vector, 10)"
WORD = "select key ->> 'id' from pgpipe.text_search('item', %s)"
KEYS = {"note": ("writer", "number"), "doc": ("id",), "item": ("id",)}
Texts = dict[tuple[Any, ...], str | None]


def texts_of(conn: Connection, table: str, name: str) -> Texts:
    """The texts of an embedding by key, read from the rows."""
    _, width, query, join = EMBEDDINGS[table, name]
    return {row[:width]: join(*row[width:]) for row in conn.execute(query.encode()).fetchall()}


def wrong(conn: Connection, table: str, name: str) -> list[str]:
    """What is wrong with the vectors of an embedding."""
    store, width, *_ = EMBEDDINGS[table, name]
    keys = sql.SQL(", ").join(map(sql.Identifier, KEYS[table]))
    stored = conn.execute(sql.SQL(STORED).format(keys, sql.Identifier(store), keys)).fetchall()
    return faults(texts_of(conn, table, name), [(row[:width], *row[width:]) for row in stored])


def look(world: World, conn: Connection) -> None:
    """One moment: a status of 1 is true, and no search answers with a row that is gone."""
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        conn.execute("lock table note, doc, item in access share mode")  # before the snapshot: a rewrite is not MVCC
        world.count("looks")
        for table, name, coverage, reason in conn.execute(STATUS).fetchall():
            if coverage == 1:
                world.count(f"coverage of {table} {name} was 1")
                if found := wrong(conn, table, name):
                    world.violated(f"coverage of {table} {name} is 1, but {found[:3]}")
            elif coverage is not None and not 0 <= coverage < 1:
                world.violated(f"coverage of {table} {name} is {coverage}, {reason}")
        for table, columns in KEYS.items():
            rows = texts_of(conn, table, "default")
            question = vector(str(world.counts["looks"])).tolist()
            for (key,) in conn.execute(ASK, (table, question)).fetchall():
                world.count("answers")
                if tuple(key[column] for column in columns) not in rows:
                    world.violated(f"a search of {table} answers with {key}, which is gone")


def watch(world: World) -> None:
    """Look again and again."""
    conn = world.connect()
    while not world.over.wait(0.2):
        try:
            look(world, conn)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            world.count("looks that DDL was in the way of")
        except LOST:
            conn.close()
            conn = world.connect()
    conn.close()


def check(world: World, conn: Connection, writers: list[Writer]) -> None:
    """The end: nothing is open, every row is what it must be and has its vectors, and is found."""
    for query, what in (
        ("select count(*) from pgpipe.job", "jobs are left"),
        ("select count(*) from pgpipe.load where finished_at is null", "loads are said to run"),
        (
            "select count(*) from pgpipe.embedding_status where coverage is distinct from 1 and rows > 0",
            "are not whole",
        ),
    ):
        (found,) = conn.execute(query.encode()).fetchone() or (0,)
        if found:
            world.violated(f"{found} {what}")
    for writer in writers:
        query = "select number, body, mark from note where writer = %s"
        rows = {n: (body, mark) for n, body, mark in conn.execute(query, (writer.number,)).fetchall()}
        if rows != writer.rows:
            different = {n for n in rows.keys() | writer.rows.keys() if rows.get(n) != writer.rows.get(n)}
            some = [f"{n} must be {writer.rows.get(n)!r:.80} and is {rows.get(n)!r:.80}" for n in sorted(different)[:3]]
            world.violated(f"note of writer {writer.number} has {len(rows)} rows, must have {len(writer.rows)}: {some}")
    for table, name in EMBEDDINGS:
        if found := wrong(conn, table, name):
            world.violated(f"{table} {name}: {found[:5]}")
        world.count("vectors checked", len(texts_of(conn, table, name)))
    _ask(world, conn)


def _ask(world: World, conn: Connection) -> None:
    """Each of some rows is found by its own text, and nothing else before it."""
    for table, columns in KEYS.items():
        texts = texts_of(conn, table, _active(conn, table))
        with_text = [key for key, text in texts.items() if text and len(text) < 400]  # of one piece
        for key in world.random("asking").sample(with_text, min(20, len(with_text))):
            question = vector(texts[key] or "").tolist()
            hits = [tuple(hit[column] for column in columns) for (hit,) in conn.execute(ASK, (table, question))]
            if not hits or _hash(texts.get(hits[0])) != _hash(texts[key]):
                world.violated(f"the text of {key} of {table} finds {hits[:3]}")
    for number in world.random("words").sample(range(400), 20):
        found = [int(row[0]) for row in conn.execute(WORD, (f"item{number}",)).fetchall()]
        there = conn.execute("select id from item where id = %s", (number,)).fetchall()
        if found != [row[0] for row in there]:
            world.violated(f"item{number} is found in {found}, and is in {there}")


def _active(conn: Connection, table: str) -> str:
    query = "select name from pgpipe.embedding where target = %s::regclass and active"
    return (conn.execute(query, (table,)).fetchone() or ("",))[0]


def _hash(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()
