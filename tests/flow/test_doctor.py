"""Doctor: each check on a real cause of failure, and what it says to do."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgpipe.db import Database
from pgpipe.doctor import machine, server
from tests.conftest import Cli, Guarded, Lake, Server, make_cli
from tests.sql.support import make_docs

ROWS = [{"id": 1, "text": "some words"}]


def examine(cli: Cli, *options: str, code: int = 0, model: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The findings by check; the exit code must be this."""
    result = cli("doctor", "--json", *([] if model else ["--skip-model"]), *options)
    assert (result.code, result.err) == (code, ""), [
        f for f in json.loads(result.out) if f["state"] == "failure"
    ] or result
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(result.out):
        found.setdefault(finding["check"], []).append(finding)
    return found


def only(found: dict[str, list[dict[str, Any]]], check: str) -> tuple[str, str, str]:
    """The one finding of a check: its state, message and what to do."""
    (finding,) = found[check]
    return finding["state"], finding["message"], finding["todo"]


def test_all_is_well(cli: Cli, lake: Lake) -> None:
    """A line each, exit code 0; and a table of one finding a line for people."""
    lake.put("2026-01-01", "product", ROWS)
    lake.put("2026-01-02", "product", ROWS)

    found = examine(cli, "--source", lake.url)

    assert not [f for findings in found.values() for f in findings if f["state"] == "failure"]
    assert only(found, "latest date")[:2] == (
        "ok",
        f"2026-01-02: 1 files of product, {sum(f.stat().st_size for f in lake.path.glob('2026-01-02/*/*')):,} bytes",
    )
    for check in ("source", "reading", "database", "TLS", "database clock", "pgvector", "schema", "rights", "queue"):
        assert only(found, check)[0] == "ok", check
    assert only(found, "rights")[1].endswith(" may load, embed, search")
    lines = cli("doctor", "--skip-model", "--source", lake.url).out.splitlines()
    assert len(lines) == sum(map(len, found.values()))
    assert all(line.split()[0] in {"ok", "warning", "failure"} for line in lines)
    assert all(f["todo"] for findings in found.values() for f in findings if f["state"] == "warning")


def at(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **parts: Any) -> Cli:
    """The command line with another database."""
    return make_cli(make_conninfo(url, **parts), tmp_path, monkeypatch)


def test_a_database_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, and the disk is looked at all the same."""
    found = examine(at("host=127.0.0.1 port=1", tmp_path, monkeypatch), code=3)

    assert "does not answer" in only(found, "database")[1]
    assert "disk of models" in found


def test_schema_and_version(
    server18: Server, cli: Cli, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No schema, an older one, a newer one that this code no longer fits: each with what to do."""
    with database.connect(autocommit=True) as conn:
        for version, word in (("0, 0", "run `pgpipe migrate`"), ("9, 9", "upgrade this installation")):
            conn.execute(
                f"create or replace function pgpipe.schema_version(out version int, out oldest int) immutable"
                f" language sql as $$ select {version} $$".encode()
            )
            assert word in only(examine(cli, code=2), "schema")[1]
    server18.create("doctor_empty")
    empty = examine(at(server18.at("doctor_empty"), tmp_path, monkeypatch), code=2)
    assert "run `pgpipe migrate`" in only(empty, "schema")[1]
    assert only(empty, "pgvector")[::2] == ("warning", "as a superuser: create extension vector; then `pgpipe migrate`")


def test_an_old_pgvector(cli: Cli, database: Database) -> None:
    """What a version does wrong is named: filtered searches, and the three faults of HNSW indexes; and what to do."""
    with database.connect(autocommit=True) as conn:
        conn.execute("update pg_extension set extversion = '0.7.4' where extname = 'vector'")
    state, message, todo = only(examine(cli), "pgvector")

    assert (state, message.split(";")[0]) == ("warning", "0.7.4 may find too little in a filtered vector search")
    assert message.count(";") == 3
    assert "0.8.4" in todo
    assert "reindex index concurrently" in todo
    faults = {"0.8.1": "CVE-2026-3172", "0.8.2": "damage an HNSW index", "0.8.3": "fail to vacuum"}
    for version, fault in faults.items():
        found = server.judge_vector(version)
        assert fault in found.message
        assert found.message.count("; it ") == list(reversed(faults)).index(version)
    assert [server.judge_vector(version).state for version in ("0.8.4", "0.8.10", "0.10.0", "1.0")] == ["ok"] * 4


def test_a_server_without_pgvector(plain_cli: Cli) -> None:
    """A warning: everything but vectors works."""
    found = examine(plain_cli)

    assert only(found, "pgvector")[0] == "warning"
    assert "install postgresql-NN-pgvector" in only(found, "pgvector")[2]
    assert only(found, "schema")[0] == "ok"


def test_settings_that_matter(cli: Cli, database: Database) -> None:
    """Little memory, a queue without autovacuum, vectors that no index takes."""
    with database.connect(autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} set maintenance_work_mem = '1MB'").format(name))
        conn.execute("alter table pgpipe.job set (autovacuum_enabled = false)")
        make_docs(conn)
        conn.execute("select pgpipe.enable_embedding('doc', '{title}', 'wide', 5000)")
        conn.execute("select pgpipe.enable_filters('doc', '{size}')")
        conn.execute("select pgpipe_internal.suspend_filters(embedding_id, 'no such column') from pgpipe.embedding")
    found = examine(cli)

    state, message, todo = only(found, "maintenance_work_mem")
    assert (state, message.split(":")[0], todo.split(";")[0]) == (
        "warning",
        "1 MB",
        "alter system set maintenance_work_mem = '64MB'",
    )
    assert only(found, "max_wal_size")[0] == "warning"  # the server's default, 1 GB
    assert only(found, "queue")[::2] == ("warning", "alter system set autovacuum = on")
    assert only(found, "vector index")[1] == "doc has vectors of 5000 dimensions: every search reads them all"
    assert only(found, "filter table")[:2] == ("warning", "that of doc is out of service: no such column")


def test_rights(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may what; a stranger may nothing; a loader who does not own a target."""
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.create_roles()")
        make_docs(conn)
        conn.execute("select pgpipe.keep_ledger('doc', 'doc')")
        conn.execute("create table shipped (id int primary key)")
    (tmp_path / "pgpipe.toml").write_text('[entity.shipped]\nkey = ["id"]\n')
    with database.connect(autocommit=True) as conn:
        conn.execute("drop role if exists doctor_stranger; create role doctor_stranger login")
    for role, may in (
        ("pgpipe_loader", "load, embed, search"),
        ("pgpipe_embedder", "embed, search"),
        ("pgpipe_reader", "search"),
    ):
        found = examine(at(database.url, tmp_path, monkeypatch, user=role))
        assert found["rights"][0]["message"] == f"{role} may {may}"
        if role == "pgpipe_loader":
            assert [f["todo"] for f in found["rights"][1:]] == [
                "alter table doc owner to pgpipe_loader",
                "as postgres: grant trigger on shipped to pgpipe_loader",
            ]
    stranger = examine(at(database.url, tmp_path, monkeypatch, user="doctor_stranger"), code=1)
    assert only(stranger, "rights") == (
        "failure",
        "doctor_stranger may neither load, embed nor search",
        "grant it one of the roles of `pgpipe roles`",
    )


@pytest.fixture
def tls(guarded: Guarded) -> Guarded:
    """The guarded server with a migrated database and two logins."""
    with psycopg.connect(guarded.superuser, autocommit=True) as conn:
        if not conn.execute("select from pg_roles where rolname = 'plain'").fetchone():
            conn.execute("create role plain login superuser")
            conn.execute("create role keyed login superuser password 'let me in'")
    return guarded


def test_tls(tls: Guarded, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not encrypted, not verified, verified; another authority and another name are refused; a load goes through."""
    lake.put("2026-01-01", "product", ROWS)
    keyed = {"user": "keyed", "password": "let me in", "dbname": "postgres"}
    checked = keyed | {"sslmode": "verify-full", "sslrootcert": str(tls.authority)}
    cli = at(tls.url, tmp_path, monkeypatch, **checked)
    assert cli("migrate").code == 0

    plain = examine(at(tls.url, tmp_path, monkeypatch, user="plain", dbname="postgres", sslmode="disable"))
    assert only(plain, "TLS") == (
        "warning",
        "the connection is not encrypted",
        "add sslmode=verify-full to database.url",
    )
    required = examine(at(tls.url, tmp_path, monkeypatch, **keyed, sslmode="require"))
    assert only(required, "TLS") == (
        "warning",
        "TLSv1.3, but sslmode=require does not check who answers",
        "use sslmode=verify-full",
    )
    for wrong in ({"sslrootcert": str(tls.other_authority)}, {"host": "127.0.0.1"}):
        refused = examine(at(tls.url, tmp_path, monkeypatch, **(checked | wrong)), code=3)
        assert only(refused, "database")[0] == "failure"

    cli = at(tls.url, tmp_path, monkeypatch, **checked)
    monkeypatch.setenv("PGPIPE_LOAD__JOBS", "64")
    found = examine(cli)
    assert only(found, "TLS") == ("ok", "TLSv1.3, the server's certificate was checked", "")
    assert only(found, "connections")[2] == "lower load.jobs, or raise max_connections"
    monkeypatch.setenv("PGPIPE_LOAD__JOBS", "2")
    assert cli("load", "--source", lake.url, "--key", "id").code == 0
    assert "product" in cli("status").out


def test_clocks() -> None:
    """Ahead and behind, within and beyond."""
    now = datetime.now(UTC)
    assert machine.compare_clocks("c", now, now + timedelta(seconds=4), 5).state == "ok"
    assert (
        machine.compare_clocks("c", now, now + timedelta(seconds=90), 5).message == "this machine is 90 s ahead of it"
    )
    assert machine.compare_clocks("c", now, now - timedelta(seconds=90), 5).message == "this machine is 90 s behind it"


def test_a_full_disk(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there yet is measured where it will be; the limit stands in for a disk that is full."""
    monkeypatch.setenv("PGPIPE_EMBEDDING__CACHE_DIR", str(tmp_path / "not" / "yet"))
    assert only(examine(cli), "disk of models")[0] == "ok"
    monkeypatch.setattr(machine, "FREE", 1 << 60)

    assert only(examine(cli), "disk of models")[::2] == ("warning", "make room, or name another folder")


def test_a_model_that_is_not_there(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with exit code 2."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("EMBEDDING_MODEL", str(tmp_path / "empty"))

    state, message, _ = only(examine(cli, code=2, model=True), "model")

    assert (state, "empty" in message) == ("failure", True)


@pytest.mark.model
def test_the_model(cli: Cli, database: Database) -> None:
    """Loaded, with its dimensions and device; an embedding of other dimensions is named."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn)
        conn.execute("select pgpipe.enable_embedding('doc', '{title}', 'sentence-transformers/all-MiniLM-L6-v2', 5)")

    loaded, declared = examine(cli, model=True)["model"]

    assert loaded["message"].startswith("sentence-transformers/all-MiniLM-L6-v2: 384 dimensions by torch on cpu, ")
    assert declared["message"] == "doc was declared with 5 dimensions, the model has 384"


def test_what_keeps_a_cluster_from_an_upgrade(cli: Cli, database: Database) -> None:
    """V1: columns that pg_upgrade refuses are named, whatever type hides theirs; so is a language that went."""
    with database.connect(autocommit=True) as conn:
        conn.execute("""
            create domain spoken as regconfig;
            create type pair as (a text, spoken spoken[]);
            create table doc (id int primary key, title text, "Lang" regconfig, pairs pair[], home regclass);
            create temp table mine (spoken regconfig);
            create text search configuration mine (copy = english);
            select pgpipe.enable_search('doc', '{title=>A}', 'mine', language_column => 'Lang');
        """)
        found = examine(cli)
        assert [(f["state"], f["message"].partition("the column ")[2]) for f in found["pg_upgrade"]] == [
            ("warning", '"Lang" of doc, which is of type regconfig'),
            ("warning", "pairs of doc, which is of type pair[]"),
        ]
        assert "language" not in found
        conn.execute("""
            select pgpipe.disable_search('doc');
            alter table doc alter column "Lang" type text;
            select pgpipe.enable_search('doc', '{title=>A}', 'mine', language_column => 'Lang');
            alter table doc drop column pairs;
            alter text search configuration mine rename to other;
        """)

    found = examine(cli, code=1)

    assert "pg_upgrade" not in found
    assert (
        only(found, "language")[1]
        == "doc is searched by the text search configuration public.mine, which does not exist"
    )
