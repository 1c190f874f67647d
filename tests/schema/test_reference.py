"""docs/sql.md is what the catalogue says."""

import ast
import re
import runpy
from pathlib import Path

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, value

ROOT = Path(__file__).parents[2]
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
EXAMPLE = re.compile(r"^### (\w+)\n.*?^```sql\n[^`]*```.*?^```sql\n([^`]*);\n```", re.MULTILINE | re.DOTALL)
# The examples, in the order of a story: each finds what those before it left.
STORY = """
    schema_version create_roles keep_ledger as_of
    enable_search set_title set_ranking refresh_search
    text_search escape_passage similar search_all facets total suggest
    alter_search fill_search
    enable_embedding pause_embedding resume_embedding retry_jobs drop_jobs
    vector_search hybrid_search hybrid_facets set_index_precision enable_filters embedding_drift switch_embedding
    disable_filters disable_embedding disable_search
"""
ARTICLES = """
    create table article (id int primary key, title text, body text, author text, year int);
    insert into article select n, 'how to compress', 'a file, with gzip', 'Ada', 2000 + n
      from generate_series(1, 30) n
"""
HISTORY = """
    select pgpipe_internal.set_history('article', '{id}', true, null);
    select pgpipe_internal.keep_versions('article', null, '{id}', null, true)
"""
ANSWERS = {
    "as_of",
    "text_search",
    "facets",
    "total",
    "suggest",
    "vector_search",
    "hybrid_search",
    "hybrid_facets",
    "embedding_drift",
}
DOCUMENTED = """
    select proname::text from pg_proc where pronamespace = 'pgpipe'::regnamespace
    union select relname::text from pg_class
     where relnamespace = 'pgpipe'::regnamespace and relkind in ('r', 'p', 'v', 'm') and relname !~ '^_?yoyo'
"""


def test_sql_reference_is_up_to_date(database: Database) -> None:
    """Functions, views, tables and error codes of a migrated database; else run `make docs`."""
    with database.connect() as conn:
        made = GENERATE["sql_reference"](conn)

    assert (ROOT / "docs/sql.md").read_text(encoding="utf-8") == made, "run `make docs`"


def test_nothing_is_left_out(database: Database) -> None:
    """Every function, view and table has its heading, also one that a file defines in an unusual way."""
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs/sql.md").read_text(encoding="utf-8"), re.MULTILINE))

    with database.connect() as conn:
        assert {row[0] for row in conn.execute(DOCUMENTED).fetchall()} == headings


def examples() -> dict[str, str]:
    """The example of each function in docs/sql.md."""
    return dict(EXAMPLE.findall((ROOT / "docs/sql.md").read_text(encoding="utf-8").partition("## Views")[0]))


@also_on_16
def test_every_function_has_an_example_that_runs(conn: Connection) -> None:
    """Each public function has an example in docs/sql.md. They run one after another, and searches find rows."""
    conn.execute(ARTICLES)
    written = examples()
    functions = column(conn, "select proname::text from pg_proc where pronamespace = 'pgpipe'::regnamespace")
    assert sorted(written) == sorted(functions) == sorted(STORY.split())
    vector = str([0.1] * 384)

    for name in STORY.split():
        if name == "as_of":
            conn.execute(HISTORY)
        if name == "switch_embedding":
            embed(conn, "article", name="second", enqueue=False)
        rows = conn.execute(written[name].replace(":vector", f"'{vector}'")).fetchall() if name != "fill_search" else []
        if name == "fill_search":
            conn.execute(written[name])
        if name in {"enable_embedding", "resume_embedding"}:
            drain(conn, value(conn, "select min(embedding_id) from pgpipe.embedding"), vector)
        assert rows or name not in ANSWERS, name

    assert column(conn, "select name from pgpipe.embedding") == ["second"]
    assert value(conn, "select count(*) from pgpipe.search") == 0


def test_the_public_functions_are_few(conn: Connection) -> None:
    """The schema pgpipe has at most 40 functions."""
    assert value(conn, "select count(*) from pg_proc where pronamespace = 'pgpipe'::regnamespace") <= 40


def test_docs_name_no_function_that_may_change() -> None:
    """Functions of pgpipe_internal are named where the code is explained, and nowhere else in the documentation."""
    explain = {"docs/architecture.md", "CONTRIBUTING.md"}
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = file.read_text(encoding="utf-8")
        assert file.relative_to(ROOT).as_posix() in explain or "pgpipe_internal." not in text, file


def test_messages_name_no_function_that_may_change() -> None:
    """No message and no hint, in SQL or Python, names the schema pgpipe_internal; in Python only SQL does."""
    for file in [*ROOT.glob("sql/**/*.sql"), *ROOT.glob("migrations/*.sql")]:
        for raised in re.findall(
            r"\braise (?:exception|warning|notice|info) .*?;\n", file.read_text(encoding="utf-8"), re.DOTALL
        ):
            assert not any("pgpipe_internal" in text for text in re.findall(r"'(?:[^']|'')*'", raised)), raised
    is_sql = re.compile(r"[\s^]*(select|create|insert|update|delete|with|do|call|grant|set|from|join|and|where)\b")
    for file in ROOT.glob("pgpipe/**/*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                assert "pgpipe_internal." not in node.value or is_sql.match(node.value), f"{file}:{node.lineno}"
