"""A large target for the search bench: real sentences recombined, and clustered vectors; built once, then kept."""

import ast
import os
import re
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from pgpipe.db import Connection, Database
from pgpipe.db.embedded import leave_embedded, start_embedded
from pgpipe.schema import migrate
from pgpipe.searching.fill import build_indexes
from pgpipe.settings.model import DatabaseSettings
from pgpipe.target import Target

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
SETTINGS = {
    # A quarter of the memory, as PostgreSQL's documentation advises.
    "shared_buffers": f"{max(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 32, 1)}GB",
    "maintenance_work_mem": "3GB",
    "max_parallel_maintenance_workers": "1",
    "max_wal_size": "8GB",
    "fsync": "off",  # the bench reads; a build that is cut off starts anew
    "full_page_writes": "off",
    "autovacuum": "off",  # a vacuum in the middle of a measurement would be measured too
}
TABLE = """
    create table article (
        id bigint primary key, title text not null, body text not null,
        per_mille int not null, percent int not null, half boolean not null)
"""
CLUSTERS = 2000
SPREAD = 0.6  # of a vector around its cluster's centre: neighbours differ, and clusters overlap
BATCH = 10_000
STORED, ASKED = 17, 29  # seeds of the vectors in the store and of those that questions have


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The bench's own PostgreSQL 18, in `folder`; yields its url."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    url = start_embedded(folder / "data")
    with psycopg.connect(url, autocommit=True) as conn:
        for name, value in SETTINGS.items():
            conn.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), value))
    leave_embedded(folder / "data")  # memory for buffers is taken at the start
    url = start_embedded(folder / "data")
    try:
        yield url
    finally:
        leave_embedded(folder / "data")


def sentences(folder: Path) -> list[str]:
    """Sentences of the docstrings of Python's library and of the packages installed, each once; kept in a file."""
    kept = folder / "sentences.txt"
    if not kept.exists():
        found: dict[str, None] = {}
        for root in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}:
            for file in sorted(Path(root).rglob("*.py")):
                found.update(dict.fromkeys(_sentences(file)))
        order = np.random.default_rng(7).permutation(len(found))
        every = list(found)
        kept.write_text("\n".join(every[n] for n in order), encoding="utf-8")
    return kept.read_text(encoding="utf-8").split("\n")


def _sentences(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError):  # some files of the library test just that
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            for part in SENTENCE_END.split(text):
                line = " ".join(part.split())
                if (
                    30 <= len(line) <= 300
                    and line.isprintable()
                    and sum(c.isalpha() or c == " " for c in line) > 0.85 * len(line)
                ):
                    yield line


def rows(lines: list[str], count: int) -> Iterator[list[tuple[int, str, str, int, int, bool]]]:
    """Batches of rows of `article`. Some sentences come far more often than others."""
    rng = np.random.default_rng(11)
    weight = 1 / (np.arange(len(lines)) + 200.0) ** 0.7
    edges = np.cumsum(weight / weight.sum())
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        lengths = np.minimum(2 + rng.geometric(0.28, size), 25)
        picked = np.searchsorted(edges, rng.random(int(lengths.sum()))).clip(0, len(lines) - 1)
        ends = np.cumsum(lengths)
        per_mille, percent, half = rng.integers(0, 1000, size), rng.integers(0, 100, size), rng.random(size) < 0.5
        batch = []
        for n in range(size):
            title, *body = (lines[i] for i in picked[ends[n] - lengths[n] : ends[n]])
            words = " ".join(title.split()[:9])
            batch.append((start + n, words, " ".join(body), int(per_mille[n]), int(percent[n]), bool(half[n])))
        yield batch


def vectors(count: int, dims: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of unit vectors around common centres: shape (batch, dims). Another seed gives others of their kind."""
    centres = np.random.default_rng(13).standard_normal((CLUSTERS, dims), dtype=np.float32)
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        batch = centres[rng.integers(0, CLUSTERS, size)] + SPREAD * rng.standard_normal((size, dims), dtype=np.float32)
        yield batch / np.linalg.norm(batch, axis=1, keepdims=True)


def ensure(url: str, folder: Path, count: int, dims: int) -> Database:
    """The database with `count` articles; built where it is not there yet, which takes minutes for a million.

    Of no dimensions it has no vectors.
    """
    name = f"articles_{count}_{dims}"
    done = folder / f"{name}.built"
    database = Database(DatabaseSettings(url=_at(url, name)))
    if done.exists():
        migrate(database)
        with database.connect(autocommit=True) as conn:
            if dims:
                _keep_filters(conn, folder, count, dims)  # a database of an earlier version has none
            _index_impacts(conn)
        return database
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    migrate(database)
    with database.connect(autocommit=True) as conn:
        with_vectors = (_fill_vectors, _index_vectors, _keep_filters) if dims else ()
        for step in (_fill_rows, _index_words, *with_vectors):
            started = time.perf_counter()
            step(conn, folder, count, dims)
            sys.stderr.write(f"{name}: {step.__name__[1:]} {time.perf_counter() - started:.0f} s\n")
    done.touch()
    return database


def _at(url: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(**(psycopg.conninfo.conninfo_to_dict(url) | {"dbname": name}))


def _fill_rows(conn: Connection, folder: Path, count: int, dims: int) -> None:
    conn.execute(TABLE)
    conn.execute("select pgpipe.enable_search('article', '{title=>A, body=>B}', with_index => false)")
    if dims:
        declare = "select pgpipe.enable_embedding('article', '{title,body}', model => 'synthetic', dims => %s)"
        conn.execute(declare, (dims,))
        conn.execute("alter table article disable trigger user")  # the vectors are made here: nothing is to be queued
    with conn.cursor().copy("copy article (id, title, body, per_mille, percent, half) from stdin") as copy:
        for batch in rows(sentences(folder), count):
            for row in batch:
                copy.write_row(row)


def _index_words(conn: Connection, _folder: Path, _count: int, _dims: int) -> None:
    conn.execute("select pgpipe.enable_search('article', '{title=>A, body=>B}')")
    for name in ("per_mille", "percent"):  # with the key, as docs/search.md advises
        conn.execute(sql.SQL("create index on article ({}) include (id)").format(sql.Identifier(name)))
    conn.execute("vacuum (analyze) article")
    _index_impacts(conn)


def _index_impacts(conn: Connection) -> None:
    conn.execute("select pgpipe.refresh_search('article')")
    row = conn.execute("select 'article'::regclass::oid::bigint").fetchone()
    build_indexes(conn, Target(row[0], "public", "article"))
    conn.execute("analyze article")


def _fill_vectors(conn: Connection, _folder: Path, count: int, dims: int) -> None:
    register_vector(conn)
    columns = "id, chunk, char_start, char_end, content_hash, model, vector"
    with conn.cursor().copy(f"copy article_embedding ({columns}) from stdin (format binary)") as copy:
        copy.set_types(["int8", "int4", "int4", "int4", "bytea", "text", "vector"])
        for number, batch in enumerate(vectors(count, dims, STORED)):
            for n, vector in enumerate(batch):
                copy.write_row((number * BATCH + n, 0, 0, 1, b"", "synthetic", vector))


def _index_vectors(conn: Connection, _folder: Path, _count: int, _dims: int) -> None:
    embedding = "select embedding_id from pgpipe.embedding where target = 'article'::regclass"
    row = conn.execute(f"select (pgpipe_internal.vector_index(({embedding}))).statement").fetchone()
    if row and row[0]:
        conn.execute(row[0])
    conn.execute("vacuum (analyze) article_embedding")


def _keep_filters(conn: Connection, _folder: Path, _count: int, _dims: int) -> None:
    conn.execute("select pgpipe.enable_filters('article', '{per_mille,percent,half}')")
    conn.execute("vacuum (analyze) article_embedding_filter")


def main() -> None:
    """Build the database that BENCH_DIR, ROWS and DIMS name."""
    folder = Path(os.environ["BENCH_DIR"])
    with server(folder) as url:
        ensure(url, folder, int(os.environ["ROWS"]), int(os.environ.get("DIMS", "384")))


if __name__ == "__main__":
    main()
