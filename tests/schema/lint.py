"""pgspot over the SQL: does anything find an operator, a function or a type by a search_path that others may fill?

`make lint` runs it over sql/, over migrations/ and over what the templates become. It reads PL/pgSQL with PostgreSQL's
own parser, which knows no table: a variable of a table's type is taken for a record.
"""

import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pglast import parse_sql
from pglast.parser import ParseError
from pgspot import visitors
from pgspot.state import Counter, State

ROOT = Path(__file__).parents[2]
# As `migrate` applies the files: in schemas that are pgpipe's alone, with this search_path.
BEFORE = """
    create schema pgpipe; create schema pgpipe_internal; create schema pgpipe_staging; create schema pgpipe_target;
    set search_path = pg_catalog, pgpipe, pgpipe_internal, pg_temp;
"""
OF_A_TABLE = re.compile(r"^(\s+\w+) (?:pgpipe\.\w+|pg_catalog\.pg_class)(?=;| :=)", re.MULTILINE)
WITHOUT_PATH = [  # tests/schema/test_catalogue.py says why; they name in full whatever they use
    "pgpipe.fill_search(target regclass,rows integer)",
    "pgpipe_internal.content_hash(content text)",
    "pgpipe_internal.of_type(value anyelement,wanted anyelement)",
    (
        "pgpipe_internal.declared_type(declared text,OUT type_name text,OUT base text,OUT labels text[],"
        "OUT element oid,OUT reads text)"
    ),
]
UNREAD = {
    "text_search",
    "vector_search",
    "hybrid_search",
    "show_hits",
    "similar",
    "search_all",
    "show_part",
}  # pgspot writes their column `row` without the quotes it needs
OPTIONS = Namespace(
    ignore=[],
    ignore_lang=[],
    plpgsql=True,
    proc_without_search_path=WITHOUT_PATH,
    sql_fn=[],
    summary_only=False,
)
VISIT = visitors.visit_sql


def visit_expression(state: State, text: str, toplevel: bool = False) -> None:
    """A statement; or an expression, which pgspot hands over without its SELECT in some places."""
    try:
        VISIT(state, text, toplevel)
    except ParseError:
        VISIT(state, f"select {text}", toplevel)


visitors.visit_sql = visit_expression


def findings(text: str) -> list[str]:
    """What pgspot says of some SQL; the line is that on which the statement begins."""
    text = BEFORE.replace("\n", " ") + OF_A_TABLE.sub(r"\1 record", text)
    counter = Counter(OPTIONS)
    state = State(counter)
    counter.sql = text
    printed = StringIO()
    with redirect_stdout(printed):
        for statement in parse_sql(text):
            counter.stmt_location = statement.stmt_location
            try:
                visitors.SQLVisitor(state)(statement)
            except ParseError as exc:
                name = statement.stmt.funcname[-1].sval
                if name not in UNREAD:
                    print(f"unread: {name}: {exc}")  # noqa: T201 - as pgspot prints
    return printed.getvalue().splitlines()


def files() -> Iterator[Path]:
    """What it reads."""
    for pattern in ("sql/[ai]*/*.sql", "tests/sql/golden/*.sql", "migrations/*.sql"):
        yield from sorted(ROOT.glob(pattern))


def main() -> int:
    """Print the findings; 1 if there are any."""
    found = [f"{file.relative_to(ROOT)}: {line}" for file in files() for line in findings(file.read_text("utf-8"))]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
