"""What keeps a role from loading is said before a row is read, by `plan` and `load` alike, with what to do."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows

ROWS = pa.table({"id": [1, 2], "text": ["a", "b"]})
KINDS = {
    "view": ("create view {} as select 1::bigint as id, 'x'::text as text", "is a view, and rows go into tables only"),
    "saved": ("create materialized view {} as select 1::bigint as id, 'x'::text as text", "is a materialized view"),
    "away": (
        """create foreign data wrapper w; create server s foreign data wrapper w;
           create foreign table {} (id bigint, text text) server s""",
        "is a foreign table",
    ),
    "numbers": ("create sequence {}", "is a sequence"),
    "list": ("create table held (id bigint); create index {} on held (id)", "is an index"),
    "kind": ("create type {} as (id bigint, text text)", "is a composite type"),
}


def refused(cli: Cli, url: str, *parts: str) -> None:
    """Both commands say it, in one line."""
    for command in ("plan", "load"):
        fails(cli(command, "--source", url, "--skip-search", "--skip-embeddings"), 1, *parts)


def test_what_is_not_a_table(cli: Cli, lake: Lake, database: Database) -> None:
    """L25: a relation of another kind is named as what it is, whether or not the configuration names it."""
    for name, (ddl, _) in KINDS.items():
        lake.put("2026-01-01", name, ROWS)
        with database.connect(autocommit=True) as conn:
            conn.execute(ddl.format(name).encode())
    for options in ([], ["--key", "id", *(f"--entity={name}" for name in KINDS)]):
        for command in ("plan", "load"):
            result = cli(command, "--source", lake.url, "--skip-search", "--skip-embeddings", *options)
            lines = result.err.splitlines()
            assert (result.code, len(lines)) == (1, len(KINDS)), result
            for line, (name, (_, what)) in zip(sorted(lines), sorted(KINDS.items()), strict=True):
                assert line.startswith(f"pgpipe: {name}: public.{name} {what}")
                assert line.endswith("rename it, or let database.schema name another schema")


@pytest.fixture
def lo(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role that may load, but owns no target; the command line logs in as it."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create role pgpipe_lo login")
        for schema in ("pgpipe", "pgpipe_staging", "pgpipe_internal"):
            conn.execute(f"grant all on schema {schema} to pgpipe_lo".encode())
            conn.execute(f"grant all on all tables in schema {schema} to pgpipe_lo".encode())
            conn.execute(f"grant execute on all functions in schema {schema} to pgpipe_lo".encode())
    url = database.url.replace("postgres:", "pgpipe_lo:").replace("user=postgres", "user=pgpipe_lo")
    assert url != database.url
    monkeypatch.setenv("DATABASE_URL", url)
    yield "pgpipe_lo"
    with database.connect(autocommit=True) as conn:
        conn.execute("reassign owned by pgpipe_lo to postgres; drop owned by pgpipe_lo; drop role pgpipe_lo")


def test_rights_on_a_table_of_another_owner(
    cli: Cli, lake: Lake, database: Database, configure: Configure, lo: str
) -> None:
    """L23: the rights that a load in this mode lacks are named, with the grant; with that grant it loads."""
    lake.put("2026-01-01", "product", ROWS)
    configure(key=["id"], mode="snapshot")
    table = "public.product"
    refused(cli, lake.url, f"{lo} may not create tables in the schema public: grant create on schema public to")
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint primary key, text text)")
        refused(cli, lake.url, f"{lo} lacks SELECT, INSERT, UPDATE, DELETE, TRIGGER on {table}, which belongs")
        conn.execute(f"grant select, insert, update, delete on product to {lo}".encode())
        refused(cli, lake.url, f"{lo} lacks TRIGGER on {table}", f": grant trigger on {table} to {lo}")
        conn.execute(f"grant trigger on product to {lo}".encode())
    assert load(cli, lake.url)["product", "import"]["inserted"] == 2

    lake.put("2026-01-02", "product", pa.table({"id": [1, 2], "text": ["a", "b"], "size": [1, 2]}))
    refused(cli, lake.url, f'only its owner may change: alter table {table} add column "size" bigint')
    with database.connect(autocommit=True) as conn:
        conn.execute(f"alter table product add size bigint; revoke delete on product from {lo}".encode())
        refused(cli, lake.url, f"{lo} lacks DELETE on {table}")
        configure(key=["id"], mode="upsert")
        assert load(cli, lake.url)["product", "import"]["updated"] == 2
        conn.execute(f"revoke create on schema pgpipe_staging from {lo}".encode())
        lake.put("2026-01-03", "product", ROWS)
        refused(cli, lake.url, f"the role {lo} may not load: grant pgpipe_loader to {lo}")


def test_row_level_security(cli: Cli, lake: Lake, database: Database, configure: Configure, lo: str) -> None:
    """K18: a target whose policies may hide rows is refused, with the policies and what to do; with that it loads."""
    configure(key=["id"], mode="snapshot")
    lake.put("2026-01-01", "product", ROWS)
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint primary key, text text)")
        conn.execute(f"alter table product owner to {lo}; alter table product enable row level security".encode())
        conn.execute("create policy no_a on product using (text <> 'a') with check (true)")
        conn.execute("alter table product force row level security")
        says = (
            f"in force on public.product for the role {lo} (policies: no_a)",
            "never deleted: alter role",
            "no force row",
        )
        refused(cli, lake.url, *says)
        configure(mode="append")
        refused(cli, lake.url, "an append copies rows, which it does not allow")
        configure(key=["id"], mode="snapshot")
        conn.execute(f"create policy pgpipe_load on product to {lo} using (true)".encode())
        assert load(cli, lake.url)["product", "import"]["inserted"] == 2
        conn.execute(b"drop policy pgpipe_load on product; alter table product no force row level security")
    lake.put("2026-01-02", "product", pa.table({"id": [2], "text": ["c"]}))
    assert load(cli, lake.url)["product", "import"]["deleted"] == 1
    assert rows(database, "select id, text from product") == [(2, "c")]
