"""Doctor: what changed behind the back of pgpipe, and what a role, a database or a server sets."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import sql

from pgpipe.db import Database
from pgpipe.doctor import tables
from pgpipe.metrics import DatabaseMetrics
from tests.conftest import Cli, Server
from tests.flow.support import fails
from tests.flow.test_doctor import at, examine, only
from tests.sql.support import embedded_docs
from tests.sql.test_search_online import fill_all


def test_a_role_with_timeouts(cli: Cli, database: Database) -> None:
    """What a role or database sets is named with what becomes of it; a database that is read-only by default is not."""
    assert not {"statement_timeout", "idle_session_timeout", "read-only"} & set(examine(cli))
    with database.connect(autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        for setting in (
            "statement_timeout = '5s'",
            "idle_session_timeout = '1min'",
            "default_transaction_read_only = on",
        ):
            conn.execute(sql.SQL("alter database {} set ").format(name) + sql.SQL(setting))

    found = examine(cli)

    who = "postgres: "
    assert only(found, "statement_timeout")[:2] == (
        "ok",
        f"5000ms for {who}loads and embedders set it to 0, questions keep it",
    )
    assert only(found, "idle_session_timeout")[1] == f"60000ms for {who}pgpipe sets it to 0"
    assert only(found, "default_transaction_read_only")[1] == f"on for {who}pgpipe sets it to off"
    assert "read-only" not in found


def test_a_database_that_knows_english_letters_only(
    server18: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V22: in a database of lc_ctype C münchen does not find MÜNCHEN: said, with what to do, and that helps."""
    for name, locale in (("doctor_c", "C"), ("doctor_utf8", "C.UTF-8")):
        server18.execute(
            sql.SQL("create database {} template template0 encoding 'UTF8' locale {}").format(
                sql.Identifier(name), locale
            )
        )
    found = examine(at(server18.at("doctor_c"), tmp_path, monkeypatch), code=2)  # not migrated
    state, message, todo = only(found, "letters")
    assert (state, "lc_ctype is C," in message, "locale 'C.UTF-8'" in todo) == ("warning", True, True)
    assert "letters" not in examine(at(server18.at("doctor_utf8"), tmp_path, monkeypatch), code=2)


def test_searches_and_embeddings_behind_their_backs(cli: Cli, database: Database) -> None:
    """V25: a column renamed, a key or a trigger lost, vectors without a row: each is named, in status too."""
    with database.connect(autocommit=True) as conn:
        conn.execute("""
            create table named (id int primary key, title text, lang text);
            select pgpipe.enable_search('named', '{title=>A}', language_column => 'lang');
            create table kept (id int primary key, title text);
            select pgpipe.enable_search('kept', '{title=>A}', online => true);
            create table keyless (id int primary key, title text);
            select pgpipe.enable_search('keyless', '{title=>A}');
            create table late (id int primary key, title text);
            select pgpipe.enable_search('late', '{title=>A}', online => true);
            create function louder() returns trigger language plpgsql as
            $$begin new.title := upper(new.title); return new; end$$;
            create trigger "a first" before insert on late for each row execute function louder();
        """)
        fill_all(conn)
        embedded_docs(conn, 10)
        assert not {"search", "search index", "orphans", "coverage"} & set(examine(cli))

        conn.execute("""
            drop index kept_search_idx;
            alter table named rename lang to spoken;
            alter table kept disable trigger user;
            alter table keyless drop constraint keyless_pkey;
            create trigger "~ last" before insert on late for each row execute function louder();
            alter table doc disable trigger user;
            delete from doc where id > 6;
            alter table doc enable trigger user;
            delete from doc where id = 1;
        """)
    found = examine(cli)

    assert [f["message"].partition(" has ")[0] for f in found["search"]] == ["kept", "keyless", "late", "named"]
    lost, keyless, late, renamed = found["search"]
    assert "trigger" in lost["message"]
    assert "no primary key" in keyless["message"]
    assert late["message"].startswith('late has a trigger "~ last", which runs after the one that keeps its search')
    assert late["todo"] == 'alter trigger "~ last" on public.late rename to "a_~ last", then update its rows'
    assert renamed["message"] == "named has no language column lang any more"
    assert renamed["todo"] == "name the present one, select pgpipe.alter_search('public.named', …)"
    assert only(found, "search index")[1:] == (
        "kept lacks an index of search: its searches take longer",
        "run `pgpipe fill-search --entity kept`, which stops no writer",
    )
    assert only(found, "orphans")[1:] == (
        "doc: of 10 vectors 4 belong to no row, and no job will delete them",
        "run `pgpipe reconcile`",
    )
    status = json.loads(cli("status", "--json").out)["searches"]
    assert [row["entity"] for row in status] == ["kept", "keyless", "late", "named"]
    assert "named has no language column lang any more: name the present one" in cli("status").out
    assert cli("reconcile").code == 0
    assert cli("fill-search", "--entity", "kept").code == 0
    assert not {"orphans", "search index"} & set(examine(cli))


def test_entities_behind_their_rhythm(cli: Cli, database: Database, tmp_path: Path) -> None:
    """The last date, and how late the next is, by the median gap between dates or by `every`; else nothing."""
    with database.connect(autocommit=True) as conn:
        conn.execute("""
            insert into pgpipe.load (entity, date, mode, started_at, finished_at)
            select entity, day, 'upsert', moment, moment
              from (values ('daily', 1, 5), ('weekly', 7, 5), ('fresh', 1, 1), ('slow', 1, 5)) e (name, gap, days)
             cross join lateral (select name as entity) n
             cross join generate_series(0, 3) back
             cross join lateral (select current_date - days - gap * back as day,
                                        now() - make_interval(days => days + gap * back) as moment) d;
            insert into pgpipe.load (entity, date, mode, started_at, finished_at)
            values ('young', current_date - 90, 'upsert', now() - interval '90 days', now() - interval '90 days');
        """)
    (tmp_path / "pgpipe.toml").write_text('[entity.slow]\nevery = "7d"\n[entity.young]\nevery = "12h"\n')

    found = examine(cli)["rhythm"]

    assert [f["message"].partition(":")[0] for f in found] == ["daily", "young"]
    last = (datetime.now(UTC) - timedelta(days=5)).date()
    assert found[0]["message"].startswith(f"daily: the last date is {last}, and the next is ")
    assert found[0]["message"].endswith(" late")
    assert 'dates come every 24 hours, else write every = "7d" under [entity.daily]' in found[0]["todo"]
    assert "the next is 90 days late" in found[1]["message"]
    (tmp_path / "pgpipe.toml").write_text('[entity.slow]\nevery = "weekly"\n')
    fails(cli("doctor", "--skip-model"), 2, "entity.slow.every")
    shown = {
        sample.labels["entity"]: sample.value
        for family in DatabaseMetrics(database).collect()
        for sample in family.samples
        if sample.name == "pgpipe_load_rhythm_seconds"
    }
    assert shown == {"daily": 86400, "weekly": 7 * 86400, "fresh": 86400, "slow": 86400}
    day, hour = timedelta(days=1), timedelta(hours=1)
    assert [tables.behind(age, day) for age in (36 * hour, 37 * hour)] == [None, 13 * hour]
    assert tables.behind(900 * day, None) is None
