"""V4: row level security: a worker that does not see all rows leaves the embedding alone, and says what to grant."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import queue
from pgpipe.embed.reconcile import reconcile
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, drain, embed, jobs, make_docs, sqlstate, stored, value

MINE = "create policy mine on doc using (size > 2)"
ALL = "create policy everything on doc using (true)"
SEES = "select pgpipe_internal.sees_all_rows('doc', to_regrole(%s), %s)"
REASON = "select reason from pgpipe.embedding_status where entity = 'doc'"


@dataclass(frozen=True)
class Tenants:
    """A database whose one role owns everything: no superuser, no BYPASSRLS."""

    database: Database
    admin: Connection  # a superuser
    conn: Connection  # of that role
    role: str


@pytest.fixture
def tenants(any_database: Database) -> Iterator[Tenants]:
    """One role for all, as a managed service gives it: it owns schema, targets, stores and functions."""
    role = f"one_{uuid.uuid4().hex[:8]}"
    name = sql.Identifier(role)
    url = make_conninfo(any_database.url, user=role)
    with any_database.connect(autocommit=True) as admin:
        dbname = admin.info.dbname
        admin.execute(sql.SQL("create role {} login").format(name))
        admin.execute(sql.SQL("alter database {} owner to {}").format(sql.Identifier(dbname), name))
        for schema in ("pgpipe", "pgpipe_internal", "pgpipe_staging", "pgpipe_target", "public"):
            admin.execute(sql.SQL("alter schema {} owner to {}").format(sql.Identifier(schema), name))
        for kind, part in admin.execute(OWNED).fetchall():
            admin.execute(f"alter {kind} {part} owner to {role}".encode())
        database = Database(DatabaseSettings(url=url))
        with database.connect(autocommit=True) as conn:
            yield Tenants(database, admin, conn, role)
        admin.execute(sql.SQL("reassign owned by {} to current_user").format(name))
        admin.execute(sql.SQL("drop owned by {}").format(name))
        admin.execute(sql.SQL("drop role {}").format(name))


OWNED = """
    select case c.relkind when 'v' then 'view' else 'table' end, c.oid::regclass::text from pg_class c
     where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'v')
    union all
    select 'routine', p.oid::regprocedure::text from pg_proc p
     where p.pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'
"""


def two_targets(t: Tenants, rows: int = 5) -> int:
    """Docs and notes, embedded; then row level security in force for the docs, for their owner too."""
    make_docs(t.conn, rows)
    t.conn.execute("create table note (id int primary key, title text)")
    t.conn.execute("insert into note values (1, 'one')")
    embedding = embed(t.conn)
    drain(t.conn, embedding)
    embed(t.conn, "note", ["title"])
    t.conn.execute(MINE)
    t.conn.execute("alter table doc enable row level security, force row level security")
    return embedding


def test_a_worker_that_does_not_see_all_rows_leaves_them_alone(tenants: Tenants) -> None:
    """V4: FORCE with one role for all: vectors and jobs stay as they are, other embeddings are served, all is said."""
    embedding = two_targets(tenants)
    tenants.admin.execute("update doc set title = 'changed' where id in (1, 4)")
    before = column(tenants.admin, "select to_jsonb(j)::text from pgpipe.job j where embedding_id = %s", embedding)
    worker = make_worker(tenants.database, Fake())

    with pytest.raises(
        errors.RowsHidden, match=r"default. of public.doc is left alone. row level security hides rows"
    ) as caught:
        worker.drain()

    assert f"alter role {tenants.role} bypassrls" in str(caught.value)
    assert caught.value.exit_code == 2
    assert worker.totals.embedded == {("public", "note"): 1}
    assert stored(tenants.admin) == [1, 2, 3, 4, 5]
    assert (
        column(tenants.admin, "select to_jsonb(j)::text from pgpipe.job j where embedding_id = %s", embedding) == before
    )
    assert "row level security hides rows of public.doc" in value(tenants.conn, REASON)


@pytest.mark.parametrize(
    "call",
    [
        "select * from pgpipe_target.claim_{0}(10, 'w', gen_random_uuid())",
        "select pgpipe_internal.reconcile_rows({0})",
        "select pgpipe_internal.reconcile_rows({0}, 10, 'worker')",
        "select * from pgpipe.embedding_drift('doc')",
        "select pgpipe.enable_embedding('doc', '{{title}}', 'fake', 3, name => 'other')",
    ],
)
def test_each_call_that_reads_rows_refuses(tenants: Tenants, call: str) -> None:
    """V4: claim, sweep, drift and a declaration that enqueues: each refuses, and changes nothing."""
    embedding = two_targets(tenants)

    assert sqlstate(tenants.conn, call.format(embedding)) == "PP012"

    assert stored(tenants.admin) == [1, 2, 3, 4, 5]
    assert jobs(tenants.admin, embedding) == {}
    assert column(tenants.admin, "select embedding_id from pgpipe.reconciliation") == []


def test_policies_changed_while_a_batch_is_at_the_model(tenants: Tenants) -> None:
    """V4: a policy that comes between claim and finish makes the finish refuse: no vector of a hidden row goes."""
    embedding = two_targets(tenants)
    tenants.conn.execute("alter table doc disable row level security")
    tenants.conn.execute("update doc set title = 'changed' where id in (1, 4)")

    def hide(_texts: list[str]) -> None:
        tenants.admin.execute("alter table doc enable row level security")

    with pytest.raises(errors.RowsHidden):
        make_worker(tenants.database, Fake(hide)).drain()

    assert stored(tenants.admin) == [1, 2, 3, 4, 5]
    assert len(jobs(tenants.admin, embedding)) == 2
    tenants.conn.execute("alter table doc disable row level security")
    tenants.admin.execute("update pgpipe.job set visible_at = now(), lease_token = null, leased_by = null")
    assert make_worker(tenants.database, Fake()).drain().embedded["public", "doc"] == 2


def test_what_makes_all_rows_visible(tenants: Tenants) -> None:
    """V4: BYPASSRLS, or a policy with using (true) and no restrictive one, lets the worker go on; nothing is lost."""
    two_targets(tenants)
    tenants.admin.execute("update doc set title = 'changed' where id = 1")
    tenants.conn.execute(ALL)

    assert make_worker(tenants.database, Fake()).drain().embedded["public", "doc"] == 1
    reconcile(tenants.conn, next(e for e in queue.embeddings(tenants.conn) if e.target.name == "doc"))
    assert stored(tenants.admin) == [1, 2, 3, 4, 5]
    assert value(tenants.conn, REASON) is None

    tenants.conn.execute("create policy no on doc as restrictive using (size > 3)")
    assert "let no restrictive policy apply" in value(tenants.conn, REASON)
    with pytest.raises(errors.RowsHidden):
        make_worker(tenants.database, Fake()).drain()

    tenants.admin.execute(f"alter role {tenants.role} bypassrls".encode())
    make_worker(tenants.database, Fake()).drain()
    assert value(tenants.conn, REASON) is None


def test_a_store_that_is_guarded(tenants: Tenants) -> None:
    """V4: row level security on the store itself, as some services switch on everywhere, is seen as well."""
    two_targets(tenants)
    tenants.conn.execute("alter table doc disable row level security")
    tenants.conn.execute("alter table doc_embedding enable row level security, force row level security")

    with pytest.raises(errors.RowsHidden, match=r"rows of public\.doc_embedding from"):
        make_worker(tenants.database, Fake()).drain()

    assert stored(tenants.admin) == [1, 2, 3, 4, 5]


@also_on_16
def test_every_changed_row_is_enqueued(tenants: Tenants) -> None:
    """V4: the trigger sees what a statement changed, whatever policies its writer has."""
    embedding = two_targets(tenants)
    tenants.conn.execute("create policy write on doc for update using (true) with check (true)")
    tenants.conn.execute("create policy add on doc for insert with check (true)")

    tenants.conn.execute("update doc set title = 'changed'")  # reads a column: the rows of SELECT's policy only
    tenants.conn.execute("insert into doc values (9, 'nine', '', 0)")  # a row that its writer will not see

    changed = set(jobs(tenants.admin, embedding))
    assert changed == {
        f'{{"id": {n}}}' for n in (*column(tenants.admin, "select id from doc where title = 'changed'"), 9)
    }
    assert len(changed) > 1


@pytest.mark.parametrize(
    ("policies", "commands", "sees"),
    [
        ([], "r", False),
        (["create policy p on doc using (true)"], "rw", True),
        (["create policy p on doc for select using (true)"], "r", True),
        (["create policy p on doc for select using (true)"], "rw", False),
        (["create policy p on doc for update using (true)"], "r", False),
        (["create policy p on doc using (1 = 1)"], "r", False),
        (["create policy p on doc with check (true)"], "r", False),
        (["create policy p on doc to pg_monitor using (true)"], "r", False),
        (["create policy p on doc using (size > 1)", "create policy q on doc using (true)"], "r", True),
        (["create policy p on doc using (true)", "create policy q on doc as restrictive using (size > 0)"], "r", False),
        (
            [
                "create policy p on doc using (true)",
                "create policy q on doc as restrictive for delete using (size > 0)",
            ],
            "r",
            True,
        ),
        (
            [
                "create policy p on doc using (true)",
                "create policy q on doc as restrictive to pg_monitor using (false)",
            ],
            "r",
            True,
        ),
    ],
)
def test_which_policies_show_all_rows(tenants: Tenants, policies: list[str], commands: str, sees: bool) -> None:
    """V4: read from the catalogue, without running a policy: which role sees all rows with which command."""
    make_docs(tenants.conn, 3)
    assert value(tenants.conn, SEES, tenants.role, commands) is True
    tenants.conn.execute("alter table doc enable row level security")
    assert value(tenants.conn, SEES, tenants.role, commands) is True  # the owner
    tenants.conn.execute("alter table doc force row level security")
    for policy in policies:
        tenants.conn.execute(policy.encode())

    assert value(tenants.conn, SEES, tenants.role, commands) is sees
    if commands == "r":
        seen = value(tenants.conn, "select count(*) from doc")
        assert seen == 3 or not sees  # the server agrees


def test_policies_of_partitions_are_no_matter(tenants: Tenants) -> None:
    """V4: rows are read through the parent, and there the policies of its partitions do not apply."""
    tenants.conn.execute("create table doc (id int primary key, title text) partition by range (id)")
    tenants.conn.execute("create table doc_1 partition of doc for values from (0) to (9)")
    tenants.conn.execute("insert into doc values (1, 'one'), (2, 'two')")
    embedding = embed(tenants.conn, columns=["title"])
    tenants.conn.execute("create policy none on doc_1 using (false)")
    tenants.conn.execute("alter table doc_1 enable row level security, force row level security")

    assert make_worker(tenants.database, Fake()).drain().embedded == {("public", "doc"): 2}
    with tenants.admin.transaction():
        tenants.admin.execute("set local session_replication_role = replica")
        tenants.admin.execute("update doc set title = 'changed' where id = 1")
    reconcile(tenants.conn, queue.embeddings(tenants.conn)[0])

    assert list(jobs(tenants.admin, embedding)) == ['{"id": 1}']
    assert stored(tenants.admin) == [1, 2]


@also_on_16
def test_the_check_runs_no_policy(tenants: Tenants) -> None:
    """V4: a policy's function would run with the worker's rights, so it is not called to find out."""
    embedding = two_targets(tenants)
    tenants.conn.execute("drop policy mine on doc")
    tenants.conn.execute(
        "create function evil(int) returns boolean language plpgsql as $$ begin raise exception 'evil'; end $$"
    )
    tenants.conn.execute("create policy evil on doc using (evil(size))")

    with pytest.raises(psycopg.Error, match="is left alone"):
        tenants.conn.execute("select pgpipe_internal.reconcile_rows(%s)", (embedding,))
    assert "row level security" in value(tenants.conn, REASON)
