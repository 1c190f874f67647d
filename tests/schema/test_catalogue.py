"""What holds for every object of the schema, read from the catalogue."""

import re
from pathlib import Path

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, embedded_docs

ROOT = Path(__file__).parents[2]
OURS = "select oid from pg_namespace where nspname in ('pgpipe', 'pgpipe_internal')"
CALLERS_PATH = {"declared_type"}  # a type that a user declares is found by it; what it calls is named in full
COMMITS = {"fill_search"}  # a procedure that sets something cannot commit; it names everything in full


@also_on_16
def test_every_function_has_a_comment(conn: Connection) -> None:
    """The comments that psql shows are the reference manual."""
    bare = f"""
        select proname::text from pg_proc where pronamespace in ({OURS}) and obj_description(oid, 'pg_proc') is null
    """

    assert column(conn, bare) == []


@also_on_16
def test_every_relation_has_a_comment(conn: Connection) -> None:
    """Tables and views too, and the schemas; yoyo's own tables are yoyo's."""
    bare = f"""
        select relname::text from pg_class where relnamespace in ({OURS}) and relkind in ('r', 'v', 'm', 'p')
           and obj_description(oid, 'pg_class') is null and relname !~ '^_?yoyo'
    """
    schemas = """
        select nspname from pg_namespace where nspname ~ '^pgpipe' and obj_description(oid, 'pg_namespace') is null
    """

    assert column(conn, bare) == []
    assert column(conn, schemas) == []


@also_on_16
def test_every_function_pins_its_search_path(conn: Connection) -> None:
    """A caller's search_path never decides what a function of ours calls; the exceptions have their reasons."""
    open_ = f"""
        select proname::text from pg_proc p join pg_language l on l.oid = prolang
         where pronamespace in ({OURS}) and lanname in ('sql', 'plpgsql')
           and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)
    """
    inlined = {"content_hash", "of_type"}  # name everything in full, and may be inlined because they set nothing

    assert set(column(conn, open_)) <= CALLERS_PATH | COMMITS | inlined


OPEN = "a trigger of any writer calls it; without a row written in the same transaction it refuses"
READ = "a trigger of any writer reads it; it says what everybody may know"
DECLARED = "who declares calls it; what it makes or grants is decided by the declaration"
CLOSED = "it has fixed types and statements"
PINNED = "it reads its transition tables alone; its columns are pinned, its condition is plain"
DEFINERS = {  # what runs with its owner's rights, and why that is safe
    "insert": PINNED,
    "update": PINNED,
    "delete": PINNED,
    "note_missed": CLOSED,
    "enqueue_changes": CLOSED,
    "suspend_copy": OPEN,
    "render_triggers": DECLARED,
    "render_queue": DECLARED,
    "lend_triggers": DECLARED,
    "drop_rendered": CLOSED,
    "copied_embedding": READ,
    "hold_keys": "it locks rows by their place, and none of a table whose indexes run a function of a user's",
    "hold_rows": "as hold_keys",
    "note_fingerprint": CLOSED,
    "forget_jobs": CLOSED,
    "forget_target": CLOSED,
    "forget_files": CLOSED,
    "mark_history": CLOSED,
    "copy_filters": CLOSED,  # of an earlier version; test_filters.py has what is rendered now
}


@also_on_16
def test_definers_rights_are_few_and_closed(conn: Connection) -> None:
    """K1: SECURITY DEFINER is an exact list, pinned, closed to PUBLIC but where a writer's trigger needs it."""
    embedded_docs(conn)
    definers = f"""
        select regexp_replace(proname, '_\\d+$', ''), has_function_privilege('public', p.oid, 'execute'),
               proconfig @> array['search_path=pg_catalog, pg_temp'], proowner::regrole::text, rolsuper or rolcanlogin
          from pg_proc p join pg_roles r on r.oid = proowner
         where (pronamespace in ({OURS}) or pronamespace = 'pgpipe_target'::regnamespace) and prosecdef
    """

    found = {name: rest for name, *rest in conn.execute(definers).fetchall()}

    assert found.keys() == DEFINERS.keys()
    for name, reason in DEFINERS.items():
        assert found[name] == [reason in {OPEN, READ, DECLARED}, True, "pgpipe_queue", False], name


def test_docs_list_the_definers() -> None:
    """docs/operating.md names exactly the functions with their owner's rights."""
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    listed = page.partition("run with their owner's rights: ")[2].partition("They belong to")[0]

    assert set(re.findall(r"`(\w+)`", listed)) == DEFINERS.keys()


@pytest.mark.parametrize("page", ["security", "neighbours"])
def test_tests_that_a_page_names_exist(page: str) -> None:
    """Each row of its table names a test, and each test that it names is there."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!---|who \||neighbour \|).+$", text, re.MULTILINE)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)

    assert len(rows) > 10
    assert [row for row in rows if "::" not in row] == []
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), (file, test)


@also_on_16
def test_no_view_runs_declared_sql(conn: Connection) -> None:
    """K4: the functions that views call hold no `condition`: whoever reads a status runs nothing that was declared."""
    views = f"""
        select distinct p.proname::text, p.prosrc
          from pg_depend d
          join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
          join pg_class c on c.oid = r.ev_class and c.relnamespace in ({OURS})
          join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid and p.pronamespace in ({OURS})
    """
    for name, source in conn.execute(views).fetchall():
        assert "condition_on" not in source, name
        assert "input_expression" not in source, name


WRITES = {  # what the roles may write, by column where not the whole table
    "pgpipe_reader": {},
    "pgpipe_api": {"token": {"UPDATE": {"used_on"}}, "token_bucket": {"INSERT": None, "UPDATE": None}},
    "pgpipe_queue": {
        "embedding": {"UPDATE": {"fingerprint", "filter_error"}},
        "job": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "load_file": {"DELETE": None},
        "missed": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "history_mark": {"INSERT": None, "UPDATE": {"nested"}},  # to lock
        "tombstone": {"DELETE": None},
    },
    "pgpipe_embedder": {
        "job": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "missed": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "trouble": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "index_health": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "finished": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "sweep": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "reconciliation": {"INSERT": None, "UPDATE": None, "DELETE": None},
        "fence": {"DELETE": None},
        "lexeme": {"INSERT": None, "DELETE": None},
        "word": {"INSERT": None, "DELETE": None},
        "search": {"UPDATE": {"documents", "mean_length", "refreshed_at"}},
    },
}


@also_on_16
def test_who_may_write_what(conn: Connection) -> None:
    """K4: the tables and columns that each role may write are exactly these; the loader writes no store's name."""
    conn.execute("select pgpipe.create_roles()")
    tables = f"""
        select c.relname::text, w, case when has_table_privilege(%s, c.oid, w) then null else
               (select array_agg(a.attname::text) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                   and w in ('INSERT', 'UPDATE') and has_column_privilege(%s, c.oid, a.attnum, w)) end,
               has_table_privilege(%s, c.oid, w)
          from pg_class c cross join unnest('{{INSERT,UPDATE,DELETE,TRUNCATE}}'::text[]) w
         where c.relnamespace in ({OURS}) and c.relkind = 'r'
    """
    for role, expected in WRITES.items():
        found: dict[str, dict[str, set[str] | None]] = {}
        for table, right, columns, whole in conn.execute(tables, (role,) * 3).fetchall():
            if whole or columns:
                found.setdefault(table, {})[right] = None if whole else set(columns)
        assert found == expected, role
    updates = (
        "select array_agg(a.attname::text) from pg_attribute a where a.attrelid = 'pgpipe.embedding'::regclass"
        " and a.attnum > 0 and has_column_privilege('pgpipe_loader', a.attrelid, a.attnum, 'update')"
    )
    (columns,) = column(conn, updates)
    changed = {"active", "paused_at", "max_attempts", "filters", "filter_table", "filter_error", "index_precision"}
    assert set(columns) == changed


@also_on_16
def test_one_function_of_a_name(conn: Connection) -> None:
    """No overloads: a call by name is never ambiguous, and no older version stays behind."""
    twice = f"select proname::text from pg_proc where pronamespace in ({OURS}) group by proname having count(*) > 1"

    assert column(conn, twice) == []
    files = [file for file in ROOT.glob("sql/*/*.sql") if not file.stem.startswith("distributed_")]
    made = [name for file in files for name in MADE.findall(file.read_text(encoding="utf-8"))]
    made = [name for name in made if not name.startswith("{")]
    assert [name for name in set(made) if made.count(name) > 1] == []  # the later one would take its place


@also_on_16
def test_what_makes_a_key_or_a_text_pins_its_settings(conn: Connection) -> None:
    """Functions that pin one setting that a value's text depends on pin them all."""
    embedded_docs(conn)
    query = f"""
        select regexp_replace(proname, '_\\d+$', ''), lower(array_to_string(proconfig, ' ')) from pg_proc
         where (pronamespace in ({OURS}) or pronamespace = 'pgpipe_target'::regnamespace)
    """
    wanted = {"timezone=utc", "datestyle=iso", "intervalstyle=postgres", "bytea_output=hex", "extra_float_digits=1"}
    pinned = {name: wanted & set((config or "").split()) for name, config in conn.execute(query).fetchall()}

    some = {name for name, settings in pinned.items() if settings}
    assert {name for name, settings in pinned.items() if settings == wanted} == some
    makers = {
        "enqueue_all",
        "read",
        "settle",
        "compare",
        "orphans",
        "insert",
        "update",
        "delete",
        "rank_text",
        "rank_vector",
        "vector_search",
    }
    assert some >= makers


def test_openings() -> None:
    """Every file of sql/ opens with a sentence of purpose."""
    for file in [*ROOT.glob("sql/**/*.sql"), *ROOT.glob("migrations/*.sql")]:
        if file.parent.name != "templates":
            lines = file.read_text(encoding="utf-8").splitlines()
            opening = lines[1] if lines[0].startswith("-- requires: ") else lines[0]
            assert re.match(r"-- [A-Z].*[.:]?", opening), file


def test_templates_are_ascii() -> None:
    """They are kept in a table, and a database's encoding may lack any other character."""
    for file in (ROOT / "sql" / "templates").iterdir():
        assert file.read_bytes().isascii(), file


MADE = re.compile(r"^create (?:or replace )?(?:function|procedure) [\w.]+?\.([\w{}]+)", re.MULTILINE)


def test_lines() -> None:
    """No file of sql/ has a line over 100 columns."""
    wide = {
        f"{file.parent.name}/{file.name}"
        for file in ROOT.glob("sql/*/*.sql")
        if max(map(len, file.read_text(encoding="utf-8").splitlines())) > 100
    }

    assert wide == set()


def test_length_of_functions() -> None:
    """No function of sql/ has more than 40 lines, from `create` to the end of its body."""
    long = set()
    for file in ROOT.glob("sql/*/*.sql"):
        text = file.read_text(encoding="utf-8")
        for made in MADE.finditer(text):
            tag = re.compile(r"\bas (\$\w*\$)").search(text, made.end())
            assert tag, made[1]
            end = text.index(tag[1], tag.end())
            if text.count("\n", made.start(), end) >= 40:
                long.add(file.stem if file.parent.name == "templates" else made[1])

    assert long == set()
