"""Settings that a role, a database or the environment has: two nights end as they do without any."""

import json
import os
import time
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
from pgpipe.db import Database, pins
from pgpipe.db.connect import DEFAULTS
from pgpipe.embed.queue import embeddings
from pgpipe.embed.reconcile import reconcile
from pgpipe.errors import UsageError
from pgpipe.schema import ROOT
from pgpipe.settings.model import DatabaseSettings, Settings
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
PLAIN = """
    set search_path = public; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres';
    set bytea_output = 'hex'; set extra_float_digits = 1; set client_encoding = 'UTF8'
"""
ORDINARY: dict[str, object] = {}  # made once
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
            "jacket",
            mode="text",
            filter={"at": {"gte": "2024-02-10"}},
            settings=Settings(),
            database=database,
            row=True,
        )
        answers["hits"] = [(hit.key, hit.row) for hit in hits]
        name = conninfo_to_dict(url).get("dbname") or os.environ["PGDATABASE"]
        with psycopg.connect(server18.at(str(name))) as plain:
            plain.execute(PLAIN)
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
    if not ORDINARY:
        with role(server18) as (url, _):
            ORDINARY.update(nights(url))
    return ORDINARY


def test_settings_of_the_role(server18: Server, nights: Nights, ordinary: dict[str, object]) -> None:
    """L2: whatever a role sets, tables, vectors and answers are the same, and texts are the texts of the files."""
    with role(server18) as (url, name):
        set_for(server18, "role", name, SETTINGS | KEPT)
        assert nights(url) == ordinary
        with psycopg.connect(url, client_encoding="UTF8") as conn:
            found = conn.execute("select text from public.product where id = 5").fetchone()
    assert found == (product(5, "waterproof")["text"],)


def test_settings_of_the_environment(
    server18: Server, nights: Nights, ordinary: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L2: the same of a database, PG* variables and a service file, whose names are the url."""
    with role(server18) as (url, name):
        known = conninfo_to_dict(url)
        set_for(server18, "database", str(known["dbname"]), SETTINGS)
        service = tmp_path / "services"
        service.write_text(f"[nights]\nclient_encoding=LATIN1\nhost={known['host']}\nuser={name}\n", encoding="utf-8")
        environment = {
            "PGSERVICEFILE": str(service),
            "PGSERVICE": "nights",
            "PGDATABASE": str(known["dbname"]),
            "PGOPTIONS": "-c datestyle=SQL,DMY -c standard_conforming_strings=off -c enable_seqscan=off",
            "PGCLIENTENCODING": "WIN1252",
            "PGTZ": "Australia/Eucla",
            "PGDATESTYLE": "German, DMY",
            "PGAPPNAME": "nightly",
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        assert nights("postgresql://") == ordinary
        with Database(DatabaseSettings(url="postgresql://")).connect() as conn:
            assert conn.execute("show application_name").fetchone() == ("nightly",)


@pytest.mark.long
@pytest.mark.parametrize("setting", sorted(SETTINGS | KEPT))
def test_one_setting(server18: Server, nights: Nights, ordinary: dict[str, object], setting: str) -> None:
    """L2: no setting hides behind another."""
    with role(server18) as (url, name):
        set_for(server18, "role", name, {setting: (SETTINGS | KEPT)[setting]})
        assert nights(url) == ordinary


def test_what_is_pinned_is_written_down() -> None:
    """L2: docs/operating.md names every setting that is pinned, and libpq's."""
    written = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for name in [*pins.MEANING, *pins.COST, *pins.WAITS, *pins.WORK, *DEFAULTS, "client_encoding"]:
        assert f"`{name}`" in written, name


TIMEOUTS = (
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
)
SLOW = """
    create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1.1); return null; end $$;
    create trigger slow after update on public.product execute function slow();
"""


def test_timeouts_of_the_role(
    server18: Server, two_nights: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L16, L26, V15, K17: a load and a batch outlast the timeouts of their role; who asks is held to them."""
    with role(server18) as (url, name):
        database = Database(DatabaseSettings(url=url))
        cli = make_cli(url, tmp_path, monkeypatch)
        (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": {"product": PRODUCT}}))
        load(cli, two_nights.url, "--date", "2026-01-01")
        with database.connect(autocommit=True) as conn:
            conn.execute("select pgpipe.enable_embedding('public.product', '{text}', 'fake', 3)")
            conn.execute(SLOW)
        set_for(server18, "role", name, dict.fromkeys(TIMEOUTS, "1s"))

        load(cli, two_nights.url, "--date", "2026-01-02")
        make_worker(database, Fake(lambda _texts: time.sleep(1.1)), batch=100).drain()

        with database.connect(keep_timeouts=True) as conn:
            assert conn.execute("show statement_timeout").fetchone() == ("1s",)
            assert conn.execute("show idle_session_timeout").fetchone() == ("0",)
            assert conn.execute("select count(*) from pgpipe.job").fetchone() == (0,)


def test_triggers_that_are_switched_off(server18: Server) -> None:
    """L2: a role without triggers, which it may not switch on, is refused: pgpipe would miss every change."""
    with role(server18) as (url, name):
        set_for(server18, "role", name, {"session_replication_role": "replica"})
        server18.execute(sql.SQL("alter role {} nosuperuser").format(sql.Identifier(name)))
        with pytest.raises(UsageError, match="alter role … reset session_replication_role"):
            Database(DatabaseSettings(url=url)).connect()
