"""Templates: what is rendered from them, for one table, and what render refuses."""

import os
from pathlib import Path

import psycopg
import pytest

from pgpipe import schema
from pgpipe.db import Connection, Database
from tests.conftest import also_on_16, pretend
from tests.sql.support import column, drain, embed, embedded_docs, jobs, make_docs, sqlstate, value

GOLDEN = Path(__file__).with_name("golden")
FRAGMENTS = {"enqueue_added", "enqueue_again", "update_changes"}  # of the triggers' templates
LOADS = "merge_"  # templates of loads: test_merge_templates.py
DISTRIBUTED = "distributed_"  # templates of a distributed target, which take the place of others
TEMPLATES = sorted(
    file.stem
    for file in (schema.ROOT / "sql" / "templates").glob("*.sql")
    if file.stem not in FRAGMENTS and not file.stem.startswith((LOADS, DISTRIBUTED))
)
SAMPLE = """
    create table item (shop int, "Item no" text, title text, body text, sold boolean, primary key (shop, "Item no"));
    select pgpipe.enable_embedding('item', '{title,body}', 'fake', 3, condition => 'not sold')
"""
SPREAD = sorted(file.stem for file in (schema.ROOT / "sql" / "templates").glob(f"{DISTRIBUTED}*.sql"))
TRIGGERS = {"delete", "insert", "update"}
COPIES = {"copy_filters", "copy_vectors"}  # triggers that an embedding with a filter table has
ALWAYS = [template for template in TEMPLATES if template not in COPIES]
COPY = "select pgpipe_internal.copy_function(e, %s) from pgpipe.embedding e"
QUEUE = """
    select pgpipe_internal.queue_function(
        %s, pgpipe_internal.queue_parts(e) || pgpipe_internal.range_parts(e) || pgpipe_internal.distributed_parts(e))
      from pgpipe.embedding e
"""
PARTS = "select pgpipe_internal.render(%s, pgpipe_internal.trigger_parts(e, %s)) from pgpipe.embedding e"
RENDERED = """
    select proname::text, prosrc from pg_proc where pronamespace = 'pgpipe_target'::regnamespace order by 1
"""


@pytest.mark.parametrize("template", TEMPLATES + SPREAD)
def test_golden_files(conn: Connection, template: str) -> None:
    """What a template becomes for one table is what tests/sql/golden/ shows; `make golden` writes it."""
    if template.startswith(DISTRIBUTED):
        pretend(conn)
        conn.execute(SAMPLE.replace(";", "; select pgpipe_internal.after_create('item', 'shop');").encode())
    else:
        conn.execute(SAMPLE)
    if template in COPIES:
        conn.execute("select pgpipe.enable_filters('item', '{sold,title}')")
        text = value(conn, COPY, template)
    else:
        text = value(conn, PARTS, template, template) if template in TRIGGERS else value(conn, QUEUE, template)
    file = GOLDEN / f"{template}.sql"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")

    assert text == file.read_text(encoding="utf-8")
    name = template.removeprefix(DISTRIBUTED)
    body = value(conn, f"select prosrc from pg_proc where oid = 'pgpipe_target.{name}_1'::regproc")
    assert body in text


def test_lines_of_templates() -> None:
    """A template has no line over 100 characters."""
    for name in TEMPLATES + SPREAD:
        lines = (schema.ROOT / "sql" / "templates" / f"{name}.sql").read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines)) <= 100, name


def test_holes_and_parts(conn: Connection) -> None:
    """Each hole has a part and each part a hole; what a part holds is no hole, and ends no quotation."""
    conn.execute("insert into pgpipe.template values ('sample', 'as $body$ {one} {} {two} {one} $body$')")
    render = "select pgpipe_internal.render('sample', %s::jsonb)"

    assert value(conn, render, '{"one": "{two}", "two": "\\\\1 {{x}}"}') == "as $body$ {two} {} \\1 {{x}} {two} $body$"
    for parts, wrong in (('{"one": "1"}', "two"), ('{"one": "1", "two": "2", "three": "3"}', "three")):
        with pytest.raises(psycopg.Error, match=f"does not fit its parts: {wrong}"):
            conn.execute(render, (parts,))
    with pytest.raises(psycopg.Error, match="does not exist"):
        conn.execute("select pgpipe_internal.render('nothing', '{}')")
    tagged = value(conn, render, '{"one": "$body$", "two": "$body"}')
    tag = tagged.split()[1]
    assert tagged.count(tag) == 2
    assert tag not in {"$body$", "$body"}


def test_names_that_could_end_a_quotation(conn: Connection) -> None:
    """A column by the name of a tag, of a hole or of a variable is a column."""
    conn.execute('create table odd (keys int, "$body$" text, "{name}" text, primary key (keys, "$body$"))')
    embedding = embed(conn, "odd", ["{name}"], template="{{{name}}}", condition="keys > 0 and \"$body$\" <> '$body$'")

    conn.execute("insert into odd values (1, 'a', 'b'), (-1, 'a', 'b'), (2, '$body$', 'b')")

    assert jobs(conn, embedding) == {'{"keys": 1, "$body$": "a"}': 1}


def test_what_is_rendered_goes_with_its_embedding(conn: Connection) -> None:
    """Functions of a dropped embedding, or of a dropped table, do not stay; those of another one do."""
    make_docs(conn)
    one, two = embed(conn), embed(conn, name="other")
    others = [f"{template}_{two}" for template in ALWAYS]
    assert len(column(conn, RENDERED)) == 2 * len(ALWAYS)

    conn.execute("select pgpipe.disable_embedding('doc')")
    assert column(conn, RENDERED) == others
    assert one != two
    conn.execute("drop table doc cascade")
    conn.execute("select pgpipe_internal.drop_orphaned_embeddings()")
    assert column(conn, RENDERED) == []


@also_on_16
def test_who_may_call_and_make_them(conn: Connection) -> None:
    """Triggers and locks run as the role of the queue, which owns all, the others as their caller; who may make one."""
    embedded_docs(conn)
    conn.execute("select pgpipe.create_roles()")
    query = """
        select proname::text, prosecdef, proowner::regrole::text,
               proconfig @> '{"search_path=pg_catalog, pg_temp"}',
               has_function_privilege('public', oid, 'execute'), obj_description(oid, 'pg_proc') is null
          from pg_proc where pronamespace = 'pgpipe_target'::regnamespace
    """

    definers = {f"{name}_1" for name in TRIGGERS}
    rows = conn.execute(query).fetchall()
    assert {name for name, definer, *_ in rows if definer and not name.startswith("hold_")} == definers
    assert [rest for _, _, *rest in rows] == [["pgpipe_queue", True, False, False]] * len(ALWAYS)
    callers = """
        select proname::text from pg_proc where pronamespace = 'pgpipe_target'::regnamespace
           and has_function_privilege('pgpipe_embedder', oid, 'execute') order by 1
    """
    assert set(column(conn, callers)) == {f"{name}_1" for name in ALWAYS if name not in TRIGGERS}
    makers = """
        select rolname::text from pg_roles
         where has_schema_privilege(oid, 'pgpipe_target', 'create') and rolname ~ '^pgpipe_' order by 1
    """
    assert column(conn, makers) == ["pgpipe_owner", "pgpipe_queue"]
    writers = """
        select rolname::text from pg_roles
         where rolname ~ '^pgpipe_' and has_any_column_privilege(oid, 'pgpipe.template', 'insert, update')
    """
    assert column(conn, writers) == ["pgpipe_owner"]


@also_on_16
def test_the_owner_of_a_table_declares(conn: Connection) -> None:
    """Who owns a table, and may declare, gets its triggers; their functions stay closed to him."""
    conn.execute("select pgpipe.create_roles()")
    conn.execute("set role pgpipe_loader")
    make_docs(conn)
    embedding = embed(conn)
    conn.execute("insert into doc values (1, 'a', 'b', 1)")
    conn.execute("reset role")

    assert jobs(conn, embedding) == {'{"id": 1}': 1}
    open_ = "select has_function_privilege('pgpipe_loader', %s::regproc, 'execute')"
    assert not value(conn, open_, f"pgpipe_target.insert_{embedding}")


@also_on_16
def test_a_changed_template_is_rendered_by_migrate(any_database: Database, conn: Connection) -> None:
    """A template of another release replaces the functions of each embedding; a second migrate finds nothing."""
    embedding = embedded_docs(conn)
    before = conn.execute(RENDERED).fetchall()
    conn.execute("update pgpipe.sql_file set checksum = 'older' where name = 'templates/insert.sql'")
    conn.execute("update pgpipe.template set body = replace(body, 'insert into', 'x') || ' -- older'")
    conn.execute("select pgpipe_internal.render_triggers(%s)", (embedding,))

    assert schema.migrate(any_database).files == ["templates/insert.sql"]

    assert conn.execute(RENDERED).fetchall() == before
    assert schema.migrate(any_database) == schema.Migrated()
    assert sqlstate(conn, "insert into doc values (9, 'a', 'b', 1)") == ""
    assert drain(conn, embedding) == 1
