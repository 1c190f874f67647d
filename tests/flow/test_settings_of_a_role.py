"""Settings that a role, a database or the environment has: two nights end as they do without any."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgpipe.api import search
from pgpipe.config import DatabaseSettings, Settings
from pgpipe.db import Database
from pgpipe.embed.queue import embeddings
from pgpipe.embed.reconcile import reconcile
from tests.conftest import Lake, Server, clone, make_cli
from tests.flow.support import load
from tests.sql.fake_model import Fake, make_worker

SETTINGS = {
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "escape_string_warning": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmloption": "document",
    "xmlbinary": "hex",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "session_replication_role": "replica",
    "row_security": "off",
    "gin_fuzzy_search_limit": "1",
    "check_function_bodies": "off",
    "client_min_messages": "error",
    "exit_on_error": "on",
}
KEPT = {  # what pgpipe leaves to the user, and does not depend on
    "search_path": "pg_catalog",
    "default_text_search_config": "german",
    "enable_seqscan": "off",
    "enable_indexscan": "off",
    "enable_hashjoin": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
    "work_mem": "64kB",
    "join_collapse_limit": "1",
    "default_statistics_target": "1",
    "synchronous_commit": "off",
    "statement_timeout": "1min",
    "idle_session_timeout": "1min",
    "lock_timeout": "1min",
}
PRODUCT = {
    "key": ["id"],
    "mode": "snapshot",
    "bad_values": {"strict": "reject"},
    "search": {"columns": {"text": "A"}},
}
DIGESTS = {
    "rows": "select md5(string_agg(t::text, '|' order by id)) from product t",
    "store": "select md5(string_agg(concat_ws(' ', id, chunk, content_hash, vector), '|' order by id))"
    " from product_embedding",
    "jobs": "select count(*)::text from pgpipe.job",
    "loads": "select string_agg(concat_ws(' ', mode, read, inserted, updated, deleted, rejected), '|' order by date)"
    " from pgpipe.load where error is null",
    "rejected": "select string_agg(concat_ws(' ', row_number, reason, row::text), '|' order by row_number)"
    " from pgpipe.rejected_row",
}


def product(number: int, word: str) -> dict:
    """A row with a value of each type that some setting writes in another way."""
    moment = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC) + timedelta(days=number)
    return {
        "id": number,
        "text": f"naïve 日本 'quoted' \\{word}\\ jacket \\' number {number}",
        "at": moment,
        "on": date(2024, 3, 4) + timedelta(days=number),
        "local": moment.replace(tzinfo=None),
        "lasted": timedelta(hours=number, seconds=1),
        "bytes": bytes([0, 92, 200, number]),
        "ratio": 0.1 * number,
        "price": Decimal(number) / 8,
        "words": ["NULL", None, word],
        "nested": {"at": moment, "share": 1 / 3, "bytes": b"\\x"},
        "strict": "bad\0" if number == 7 else "fine",
    }


@pytest.fixture
def two_nights(lake: Lake) -> Lake:
    """A snapshot, and the next one: rows changed, new and gone."""
    lake.put("2026-01-01", "product", pa.Table.from_pylist([product(n, "waterproof") for n in range(40)]))
    newer = [product(n, "waterproof" if n % 3 else "woollen") for n in range(4, 44)]
    lake.put("2026-01-02", "product", pa.Table.from_pylist(newer))
    return lake


Nights = Callable[[str], dict[str, object]]


@pytest.fixture
def nights(server18: Server, two_nights: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """Load, drain, load, change a row, drain, reconcile and search as the role of a url; what is there in the end."""

    def run(url: str) -> dict[str, object]:
        database = Database(DatabaseSettings(url=url))
        cli = make_cli(url, tmp_path, monkeypatch)
        (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": {"product": PRODUCT}}))
        dated = ("--date", "2026-01-01")
        load(cli, two_nights.url, *dated)
        with database.connect(autocommit=True) as conn:
            conn.execute("select pgpipe.enable_embedding('public.product', '{text}', 'fake', 3)")
        make_worker(database, Fake(), batch=16).drain()
        load(cli, two_nights.url, "--date", "2026-01-02")
        make_worker(database, Fake(), batch=16).drain()
        with database.connect(autocommit=True) as conn:
            found = [reconcile(conn, embedding) for embedding in embeddings(conn)]
            words = conn.execute(
                "select key::text, score from pgpipe.text_search('public.product', 'woollen naïve 日本', 50)"
            )
            near = conn.execute("select key::text, score from pgpipe.vector_search('public.product', '[1,0,0]', 50)")
            answers: dict[str, object] = {"words": words.fetchall(), "near": near.fetchall(), "reconciled": found}
        hits = search(
            "jacket", mode="text", filter={"at": {"gte": "2024-02-10"}}, settings=Settings(), database=database
        )
        answers["hits"] = [(hit.key, hit.row) for hit in hits]
        name = conninfo_to_dict(url).get("dbname") or os.environ["PGDATABASE"]
        with psycopg.connect(server18.at(str(name))) as plain:
            return answers | {what: plain.execute(query).fetchone() for what, query in DIGESTS.items()}

    return run


@contextmanager
def role(server: Server) -> Iterator[tuple[str, str]]:
    """A superuser of one's own and a migrated database; yields the url, and the role's name."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    server.execute(sql.SQL("create role {} superuser login").format(sql.Identifier(name)))
    for database in clone(server):
        yield make_conninfo(database.url, user=name), name
    server.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def set_for(server: Server, what: str, name: str, settings: dict[str, str]) -> None:
    """Set for a role or a database."""
    for setting, value in settings.items():
        parts = sql.SQL(what), sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
        server.execute(sql.SQL("alter {} {} set {} = {}").format(*parts))


@pytest.fixture
def ordinary(server18: Server, nights: Nights) -> dict[str, object]:
    """What the nights end with if nothing is set."""
    with role(server18) as (url, _):
        return nights(url)


def test_settings_of_the_role(server18: Server, nights: Nights, ordinary: dict[str, object]) -> None:
    """L2: whatever a role sets, tables, vectors and answers are the same, and texts are the texts of the files."""
    with role(server18) as (url, name):
        set_for(server18, "role", name, SETTINGS | KEPT)
        assert nights(url) == ordinary
        with psycopg.connect(url, client_encoding="UTF8") as conn:
            assert conn.execute("select text from public.product where id = 5").fetchone() == (
                product(5, "waterproof")["text"],
            )
