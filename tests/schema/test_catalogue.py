"""What holds for every object of the schema, read from the catalogue."""

import re
from pathlib import Path

from pgpipe.db import Connection
from tests.sql.support import column

ROOT = Path(__file__).parents[2]
OURS = "select oid from pg_namespace where nspname = 'pgpipe'"
CALLERS_PATH = {"declared_type"}  # a type that a user declares is found by it; what it calls is named in full
COMMITS = {"fill_search"}  # a procedure that sets something cannot commit; it names everything in full


def test_every_function_has_a_comment(conn: Connection) -> None:
    """The comments that psql shows are the reference manual."""
    bare = f"""
        select proname::text from pg_proc where pronamespace = ({OURS}) and obj_description(oid, 'pg_proc') is null
    """

    assert column(conn, bare) == []


def test_every_relation_has_a_comment(conn: Connection) -> None:
    """Tables and views too, and the schemas; yoyo's own tables are yoyo's."""
    bare = f"""
        select relname::text from pg_class where relnamespace = ({OURS}) and relkind in ('r', 'v', 'm', 'p')
           and obj_description(oid, 'pg_class') is null and relname !~ '^_?yoyo'
    """
    schemas = """
        select nspname from pg_namespace where nspname ~ '^pgpipe' and obj_description(oid, 'pg_namespace') is null
    """

    assert column(conn, bare) == []
    assert column(conn, schemas) == []


def test_every_function_pins_its_search_path(conn: Connection) -> None:
    """A caller's search_path never decides what a function of ours calls; the exceptions have their reasons."""
    open_ = f"""
        select proname::text from pg_proc p join pg_language l on l.oid = prolang
         where pronamespace = ({OURS}) and lanname in ('sql', 'plpgsql')
           and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)
    """
    inlined = {"content_hash"}  # names everything in full, and may be inlined because it sets nothing

    assert set(column(conn, open_)) <= CALLERS_PATH | COMMITS | inlined


def test_definers_rights_are_few_and_closed(conn: Connection) -> None:
    """SECURITY DEFINER: triggers, a lock, a count, a note that a worker may not make itself; pinned, not for PUBLIC."""
    callable_ones = {"settle_jobs", "hold_rows", "refresh_stale_searches", "note_fingerprint"}
    definers = f"""
        select proname::text, prorettype = 'trigger'::regtype, proconfig @> array['search_path=pg_catalog, pg_temp'],
               has_function_privilege('public', oid, 'execute')
          from pg_proc where pronamespace = ({OURS}) and prosecdef
    """

    found = {name: rest for name, *rest in conn.execute(definers).fetchall()}

    assert {"enqueue_changes", "forget_files", "settle_jobs"} <= set(found)
    assert {name for name, (is_trigger, _, _) in found.items() if not is_trigger} == callable_ones
    assert all(pinned and not public for _, pinned, public in found.values())


def test_one_function_of_a_name(conn: Connection) -> None:
    """No overloads: a call by name is never ambiguous, and no older version stays behind."""
    twice = f"select proname::text from pg_proc where pronamespace = ({OURS}) group by proname having count(*) > 1"

    assert column(conn, twice) == []


def test_what_makes_a_key_or_a_text_pins_its_settings(conn: Connection) -> None:
    """Functions that pin one setting that a value's text depends on pin them all."""
    query = f"select proname::text, lower(array_to_string(proconfig, ' ')) from pg_proc where pronamespace = ({OURS})"
    wanted = {"timezone=utc", "datestyle=iso", "intervalstyle=postgres", "bytea_output=hex", "extra_float_digits=1"}
    pinned = {name: wanted & set((config or "").split()) for name, config in conn.execute(query).fetchall()}

    some = {name for name, settings in pinned.items() if settings}
    assert {name for name, settings in pinned.items() if settings == wanted} == some
    makers = {
        "enqueue_changes",
        "enqueue_all",
        "claim_jobs",
        "settle_jobs",
        "rank_text",
        "rank_vector",
        "vector_search",
    }
    assert some >= makers


def test_lines_and_openings() -> None:
    """Every file of sql/ opens with a sentence of purpose and has no line over 140 characters."""
    for file in [*ROOT.glob("sql/*.sql"), *ROOT.glob("migrations/*.sql")]:
        lines = file.read_text(encoding="utf-8").splitlines()
        opening = lines[1] if lines[0].startswith("-- requires: ") else lines[0]
        assert re.match(r"-- [A-Z].*[.:]?", opening), file
        assert max(map(len, lines)) <= 140, file
