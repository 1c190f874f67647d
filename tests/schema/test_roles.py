"""The roles: made by somebody who is no superuser; each does its part with its own rights, and no more."""

from pathlib import Path

import pytest

import pgpipe
from pgpipe import errors
from pgpipe.schema import migrate
from pgpipe.searching.ask import Question, answer, find_searchable
from tests.conftest import Lake, also_on_16, make_cli
from tests.schema.houses import EMBED, ROLES, House, house, load, roles, text
from tests.schema.test_catalogue import DECLARED, DEFINERS, OPEN, READ
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, sqlstate, value

__all__ = ["house", "roles"]  # fixtures


DENIED = "42501"


@also_on_16
def test_twice_is_a_no_op_and_nobody_is_a_superuser(house: House) -> None:
    """The four are created once; none has more than LOGIN, the owner not even that."""
    with house.connect(house.dba) as conn:
        first = column(conn, "select pgpipe.create_roles()")
        assert [line for line in first if line.startswith("created")] == [f"created {role}" for role in ROLES]
        assert column(conn, "select pgpipe.create_roles()") == []
        found = conn.execute(
            "select rolname::text, rolcanlogin, rolsuper or rolcreaterole or rolcreatedb or rolreplication or"
            " rolbypassrls from pg_roles where rolname = any (%s) order by 1",
            (list(ROLES),),
        ).fetchall()
    assert found == [(role, role != "pgpipe_owner", False) for role in sorted(ROLES)]


@also_on_16
def test_each_part_runs_with_its_own_role(roles: House, lake: Lake) -> None:
    """Create, merge, evolve and delete as the loader, embed as the embedder, search in all modes as the reader."""
    lake.put("2026-01-01", "product", [text(n) for n in range(1, 8)])
    load(roles, lake, mode="snapshot")
    with roles.connect("pgpipe_loader") as conn:
        conn.execute(EMBED)
    model = Fake()
    assert make_worker(roles.as_role("pgpipe_embedder"), model).drain().embedded == {("public", "product"): 7}

    lake.put("2026-01-02", "product", [text(n, "coat") | {"price": n} for n in range(3, 10)])
    load(roles, lake, mode="snapshot")
    assert make_worker(roles.as_role("pgpipe_embedder"), model).drain().embedded == {("public", "product"): 7}

    with roles.connect("pgpipe_reader") as conn:
        assert value(conn, "select count(*) from product_embedding") == 7
        query = model.encode(["coat"])[0].tolist()
        target = find_searchable(conn, "product", "public")
        asked = Question("waterproof coats", 10, {"price": {"gte": 5}})
        assert len(answer(conn, target, "hybrid", asked, query)) == 5
        assert len(column(conn, "select key from pgpipe.text_search('product', 'coats')")) == 7
        assert len(column(conn, "select key from pgpipe.vector_search('product', %s::vector)", str(query))) == 7
        assert column(conn, "select entity from pgpipe.load_status") == ["product"]
        assert column(conn, "select entity from pgpipe.embedding_status") == ["product"]


def test_the_embedder_sweeps_with_its_own_rights(roles: House, lake: Lake) -> None:
    """V24: a role that may not write the target sweeps it; hidden rows (V4) are named with a role."""
    lake.put("2026-01-01", "product", [text(n) for n in range(1, 8)])
    load(roles, lake, mode="snapshot", search=False)
    status = "select coverage::float8, reason from pgpipe.embedding_status"
    with roles.connect("pgpipe_loader") as conn:
        conn.execute(EMBED)
        make_worker(roles.as_role("pgpipe_embedder"), Fake()).drain()
        conn.execute("alter table product alter column text type text using upper(text)")
        assert make_worker(roles.as_role("pgpipe_embedder"), Fake()).drain().embedded == {("public", "product"): 7}
        assert conn.execute(status).fetchone() == (1, None)

        conn.execute("create policy few on product using (id > 3)")
        conn.execute("alter table product enable row level security")
        assert "from pgpipe_embedder: alter role" in value(conn, "select reason from pgpipe.embedding_status")
        with pytest.raises(errors.RowsHidden):
            make_worker(roles.as_role("pgpipe_embedder"), Fake()).drain()
        assert value(conn, "select count(*) from product_embedding") == 7
        conn.execute("create policy worker on product to pgpipe_embedder using (true)")
        make_worker(roles.as_role("pgpipe_embedder"), Fake()).drain()


MUST_NOT = {
    "pgpipe_reader": [
        "insert into product (id, text) values (99, 'x')",
        "update product set text = 'x'",
        "delete from product",
        "truncate product",
        "drop table product",
        "update product_embedding set model = 'x'",
        "select * from pgpipe.job",
        "delete from pgpipe.load_file",
        "update pgpipe.search set documents = 0",
        "insert into pgpipe.lexeme values (1, 'x', 1)",
        "create table mine (id int)",
        "create table pgpipe.mine (id int)",
        "create table pgpipe_staging.mine (id int)",
        "select pgpipe.enable_search('product', '{text=>B}', column_name => 'other')",
        EMBED.replace("3)", "3, name => 'other')"),
        "create or replace function pgpipe_internal.vector_schema() returns name language sql as $$ select null $$",
        "set role pgpipe_loader",
        "set role pgpipe_owner",
    ],
    "pgpipe_embedder": [
        "insert into product (id, text) values (99, 'x')",
        "update product set text = 'x'",
        "update product set id = 100 where id = 1",
        "select * from product for update",
        "delete from product",
        "truncate product",
        "alter table product add column mine int",
        "truncate product_embedding",
        "drop table product_embedding",
        "update pgpipe.embedding set template = 'x'",
        "update pgpipe.embedding set target = 'pg_authid'::regclass",
        "delete from pgpipe.load_file",
        "select * from pgpipe.load",
        "create table mine (id int)",
        "create table pgpipe.mine (id int)",
        "create or replace function pgpipe_internal.vector_schema() returns name language sql as $$ select null $$",
        "create trigger mine after insert on product execute function pgpipe_internal.enqueue_changes()",
        "set role pgpipe_loader",
        "set role pgpipe_owner",
    ],
    "pgpipe_loader": [
        "create table pgpipe.mine (id int)",
        "drop table pgpipe.load",
        "alter table pgpipe.job add column mine int",
        "truncate pgpipe.load_file",
        "update pgpipe.sql_file set checksum = ''",
        "create or replace function pgpipe_internal.vector_schema() returns name language sql as $$ select null $$",
        "alter schema pgpipe rename to mine",
        "create role mine",
        "drop extension vector",
        "copy product to '/tmp/mine'",
        "copy product from program 'true'",
        "select * from pg_authid",
        "set role pgpipe_owner",
        "set role pgpipe_embedder",
    ],
}


@pytest.mark.parametrize("role", MUST_NOT)
def test_no_role_does_more_than_its_part(roles: House, lake: Lake, role: str) -> None:
    """Each statement is refused for want of the right, not for another reason."""
    lake.put("2026-01-01", "product", [text(1)])
    load(roles, lake)
    with roles.connect("pgpipe_loader") as conn:
        conn.execute(EMBED)

    with roles.connect(role) as conn:
        refused = {statement: sqlstate(conn, statement) for statement in MUST_NOT[role]}

    assert {s: state for s, state in refused.items() if state != DENIED} == {}


COMMANDS = {
    "pgpipe_loader": [
        "status",
        "plan",
        "reconcile",
        "jobs list",
        "embedding list",
        "doctor --skip-model",
        "search rain --mode text",
    ],
    "pgpipe_embedder": ["status", "jobs list", "jobs retry"],
    "pgpipe_reader": ["status", "search rain --mode text"],
}


@pytest.mark.parametrize("role", COMMANDS)
def test_commands_of_each_role(
    roles: House, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """What an operator types with the login of that part."""
    lake.put("2026-01-01", "product", [text(1)])
    load(roles, lake)
    with roles.connect("pgpipe_loader") as conn:
        conn.execute(EMBED)
    cli = make_cli(roles.as_role(role).url, tmp_path, monkeypatch)
    monkeypatch.setenv("PGPIPE_SOURCE__URL", lake.url)
    for command in COMMANDS[role]:
        result = cli(*command.split())
        assert result.code == 0, (command, result)


def test_the_owner_cannot_log_in(roles: House) -> None:
    """Nor does anybody who connects become it."""
    with pytest.raises(errors.Unreachable, match=r"refused the login|not permitted to log in"):
        roles.connect("pgpipe_owner")


@also_on_16
def test_who_owns_what(roles: House, lake: Lake) -> None:
    """The schema is the owner's; targets are the loader's; functions with their owner's rights are pgpipe_queue's."""
    lake.put("2026-01-01", "product", [text(1)])
    load(roles, lake)
    with roles.connect(roles.dba) as conn:
        owners = """
            select distinct proowner::regrole::text, prosecdef from pg_proc
             where pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'
        """
        assert set(conn.execute(owners)) == {("pgpipe_owner", False), ("pgpipe_queue", True)}
        tables = "select distinct relowner::regrole::text from pg_class where relnamespace = 'pgpipe'::regnamespace"
        assert column(conn, tables + " and relkind <> 'c'") == ["pgpipe_owner"]
        assert value(conn, "select relowner::regrole::text from pg_class where relname = 'product'") == "pgpipe_loader"
        open_ = """
            select proname::text from pg_proc
             where pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$' and prosecdef
               and has_function_privilege('public', oid, 'execute')
        """
        assert set(column(conn, open_)) == {name for name, why in DEFINERS.items() if why in {OPEN, READ, DECLARED}}
        may = """
            select r from unnest('{pgpipe_loader,pgpipe_embedder,pgpipe_reader}'::name[]) r, pg_proc
             where proname = 'note_fingerprint' and has_function_privilege(r, pg_proc.oid, 'execute')
        """
        assert column(conn, may) == ["pgpipe_loader", "pgpipe_embedder"]


def test_the_vector_index_is_built_by_who_may(roles: House, lake: Lake) -> None:
    """Not the embedder, which owns no store and goes on; the next load, which finds nothing waiting, builds it."""
    lake.put("2026-01-01", "product", [text(n) for n in range(5000)])
    load(roles, lake)
    with roles.connect("pgpipe_loader") as conn:
        conn.execute(EMBED)
    assert make_worker(roles.as_role("pgpipe_embedder"), Fake()).drain().embedded == {("public", "product"): 5000}
    indexes = "select count(*) from pg_indexes where tablename = 'product_embedding' and indexdef ~ 'hnsw'"
    with roles.connect(roles.dba) as conn:
        assert value(conn, indexes) == 0

        load(roles, lake, pgpipe.EmbeddingsGenerator())

        assert value(conn, indexes) == 1


def test_what_was_there_before_is_handed_over(house: House, lake: Lake) -> None:
    """A database that one user filled: the loader goes on with tables and histories, the embedder with stores."""
    lake.put("2026-01-01", "product", [text(1)])
    load(house, lake, role=house.dba, history=True)
    with house.connect(house.dba) as conn:
        conn.execute(EMBED)
        told = column(conn, "select pgpipe.create_roles()")
    handed = ("product", "product_embedding", "product_history")
    assert {f"pgpipe_loader owns public.{table}" for table in handed} <= set(told)

    lake.put("2026-01-02", "product", [text(1, "coat") | {"extra": 1.5}, text(2)])
    load(house, lake, mode="snapshot", soft_delete="gone_at")

    assert make_worker(house.as_role("pgpipe_embedder"), Fake()).drain().embedded == {("public", "product"): 2}
    with house.connect("pgpipe_reader") as conn:
        assert len(column(conn, "select key from pgpipe.text_search('product', 'waterproof')")) == 2
        assert column(conn, "select id from pgpipe.as_of(null::product, now()) order by id") == [1, 2]


def test_migrate_goes_on_after_the_roles(roles: House) -> None:
    """Functions that are replaced, dropped and made again keep their owners, and what is made again is closed again."""
    with roles.connect(roles.dba) as conn:
        conn.execute("update pgpipe.sql_file set checksum = ''")
        conn.execute("drop function pgpipe_internal.forget_files() cascade")

    assert migrate(roles.as_role(roles.dba)).files

    with roles.connect(roles.dba) as conn:
        found = """
            select proowner::regrole::text, has_function_privilege('public', oid, 'execute')
              from pg_proc where proname = %s
        """
        assert conn.execute(found, ("forget_files",)).fetchall() == [("pgpipe_queue", False)]
        assert conn.execute(found, ("merge",)).fetchall() == [("pgpipe_owner", True)]
