"""docs/sql.md is what the catalogue says."""

import re
import runpy
from pathlib import Path

from pgpipe.db import Database

ROOT = Path(__file__).parents[2]
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
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
