"""Scaffold: the migration it writes, and that both ways of declaring end the same."""

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from pgpipe.db import Database
from tests.conftest import Cli, Lake, Server, clone, make_cli
from tests.fixtures.examples import one_in
from tests.flow.support import fails, load, rows

TEXT = "a waterproof jacket for cycling in heavy rain, number"
TARGET = '"Odd ""name"""'
CATALOGUE = {
    "columns": """
        select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               pg_get_expr(d.adbin, d.adrelid)
          from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where a.attrelid = to_regclass(%s) and a.attnum > 0 order by a.attnum
    """,
    "keys": """
        select contype, pg_get_constraintdef(oid) from pg_constraint
         where conrelid = to_regclass(%s) and contype in ('p', 'f', 'c', 'u') order by 1, 2
    """,
    "indexes": "select indexdef from pg_indexes where tablename like 'Odd%' order by 1",
    "triggers": """
        select tgname, pg_get_triggerdef(oid) from pg_trigger
         where tgrelid = to_regclass(%s) and not tgisinternal order by 1
    """,
    "storage": "select relpersistence, reloptions from pg_class where oid = to_regclass(%s)",
    # Not the figures of the last refresh, which is due by the planner's estimate: of a published table it is exact.
    "search": "select column_name, weights, language from pgpipe.search",
    "embedding": "select store::text, key_columns, columns, template, model, dims, active from pgpipe.embedding",
    "queue": "select key from pgpipe.job order by 1",
    "staged": "select count(*) from pg_class where relnamespace = 'pgpipe_staging'::regnamespace",
}
ENTITY = 'Odd "name"'
ROWS: list[dict[str, Any]] = [
    {
        "id": n,
        "Größe; drop": n * 1.5,
        "a%s": n % 2 == 0,
        "text": f"{TEXT} {n}",
        "price": Decimal(n) / 4,
        "day": date(2026, 1, 1),
        "at": datetime(2026, 1, 1, n, tzinfo=UTC),
        "tags": ["a", "b"],
    }
    for n in range(1, 9)
]


WAYS = [(mode, key) for mode in ("append", "upsert", "snapshot") for key in ("id", "id,day")] + [("append", None)]


@pytest.mark.parametrize(("mode", "key"), one_in(3, WAYS))
def test_both_ways_end_equal(
    server18: Server, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, mode: str
) -> None:
    """`load` alone, and scaffold, migrate, load: the same catalogue, rows, declarations, queue; then the same merge."""
    lake.put("2026-01-01", ENTITY, ROWS)
    new = ROWS[0] | {"id": 99, "text": f"{TEXT} 99"}
    options = ["--mode", mode, *(["--key", key] if key else [])]
    ends = []
    for scaffolded in (False, True):
        for database in clone(server18):
            folder = tmp_path / str(scaffolded)
            folder.mkdir()
            cli = make_cli(database.url, folder, monkeypatch)
            if scaffolded:
                wrote = cli("scaffold", ENTITY, "--source", lake.url, *options)
                assert (wrote.code, wrote.out) == (
                    0,
                    "Wrote migrations/0001_Odd_name.sql. Review it, then: pgpipe migrate\n",
                )
                assert cli("migrate").out == "applied 0001_Odd_name\n"
            load(cli, lake.url, *options, embed=True)
            first = state(database)
            lake.put("2026-01-02", ENTITY, [*(ROWS[2:] if mode != "append" else []), new])
            load(cli, lake.url, *options, embed=True)
            ends.append((first, state(database)))
            shutil.rmtree(lake.path / "2026-01-02")

    for alone, scaffolded_too in zip(*ends, strict=True):
        for name, what in alone.items():
            assert scaffolded_too[name] == what, name


def state(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a load leaves behind."""
    found = {name: rows(database, query, *[TARGET] * query.count("%s")) for name, query in CATALOGUE.items()}
    whole = sql.SQL("select to_jsonb(t) from {} t order by t.id, t.text").format(sql.Identifier(ENTITY)).as_string()
    found["rows"] = rows(database, whole)
    found["hits"] = rows(database, "select key from pgpipe.text_search(%s, 'jacket number 5', 3)", TARGET)
    return found


def test_what_is_configured_is_written(cli: Cli, lake: Lake) -> None:
    """Search, embedding and types as the configuration has them; `-` prints instead of writing."""
    lake.put("2026-01-01", "product", ROWS)
    Path("pgpipe.toml").write_text(
        "[entity.product]\nkey = ['id']\nembed = false\n"
        "search = { columns = { text = 'B' }, language = 'german', column_name = 'words' }\n"
    )

    printed = cli("scaffold", "product", "--source", lake.url, "--folder", "-").out

    assert '"id" bigint' in printed
    assert 'primary key ("id")' in printed
    assert """select pgpipe.enable_search('"public"."product"', '{"text": "B"}', 'german', 'words'""" in printed
    assert "enable_embedding" not in printed
    assert not Path("migrations").exists()


def test_numbers_go_on(cli: Cli, lake: Lake) -> None:
    """The next file comes after those that are there."""
    lake.put("2026-01-01", "product", ROWS)
    Path("migrations").mkdir()
    Path("migrations/0041_mine.sql").write_text("select 1;")

    assert "migrations/0042_product.sql" in cli("scaffold", "product", "--source", lake.url).out


def test_what_cannot_be_scaffolded(cli: Cli, lake: Lake) -> None:
    """A table that is there, an entity that is not, a key that no file has: one line each."""
    lake.put("2026-01-01", "product", ROWS)
    fails(cli("scaffold", "prodcut", "--source", lake.url), 2, "no entity 'prodcut'")
    fails(cli("scaffold", "product", "--source", lake.url, "--key", "isbn"), 1, "'isbn' is not in the files")
    load(cli, lake.url, "--key", "id")
    fails(cli("scaffold", "product", "--source", lake.url), 2, "public.product is there already")
