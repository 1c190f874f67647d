"""Write docs/cli.md from click, docs/sql.md from a migrated database, the table of docs/architecture.md from the files.

`make docs` runs it; tests fail where what stands there is not what it would write.
"""

import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from psycopg.rows import dict_row

from pgpipe.cli.app import cli
from pgpipe.db import Connection, Database
from pgpipe.db.embedded import leave_embedded, start_embedded
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100  # characters of a signature before it is broken into lines

FUNCTIONS = """
    select p.proname::text as name, pg_get_function_arguments(p.oid) as arguments,
           pg_get_function_result(p.oid) as result, obj_description(p.oid, 'pg_proc') as comment
      from pg_proc p where p.pronamespace = 'pgpipe'::regnamespace order by p.proname
"""
RELATIONS = """
    select c.relname::text as name, c.relkind::text as kind, obj_description(c.oid, 'pg_class') as comment,
           array(select array[a.attname::text, format_type(a.atttypid, a.atttypmod),
                              case when a.attnotnull then 'not null' else '' end,
                              coalesce(pg_get_expr(d.adbin, d.adrelid),
                                       case when a.attidentity <> '' then 'identity' end, '')]
                   from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                  order by a.attnum) as columns,
           array(select pg_get_constraintdef(k.oid) from pg_constraint k
                  where k.conrelid = c.oid and k.contype <> 'n' order by k.contype desc, 1) as rules
      from pg_class c
     where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and c.relname !~ '^_?yoyo'
     order by c.relkind <> 'v', c.relname
"""
DEFINED = re.compile(r"^create (?:or replace )?(?:function|procedure) pgpipe\.(\w+)", re.MULTILINE)
RAISED = re.compile(r"raise exception '((?:[^']|'')*)'[^;]*?errcode = '(PP\d{3})'")
CLI_HEAD = """\
# Command line

Generated from the commands by `make docs`; `pgpipe COMMAND --help` prints the same.

## Exit codes

| code | meaning |
|---|---|
| 0 | all well |
| 1 | some entity failed; the others are done, and what was loaded before stays |
| 2 | usage or configuration, also: the schema or pgvector is missing |
| 3 | source or database unreachable |
| 78 | what 2 means, from the daemon `pgpipe embedder`: trying again would not help, and systemd does not |

An error is one line on stderr: what, where, and what to do.

## Commands
"""
SQL_HEAD = """\
# SQL

Generated from the catalogue by `make docs`: what `\\d+` and `\\df+` of psql show of the schema `pgpipe`, which is what
you may call and rely on. Functions of `pgpipe_internal` may change in any release.
Arguments can be given by name: `k => 5`. In an example, `:vector` is the vector of a question, as in psql.
"""


def command_line() -> str:
    """docs/cli.md: every command with its help and its options."""
    commands = list(_commands(cli, "pgpipe"))
    index = [
        f"- [`{path}`](#{path.replace(' ', '-')}): {command.get_short_help_str(200)}" for path, command in commands
    ]
    return "\n".join([CLI_HEAD, *index, "", *(_command(path, command) for path, command in commands)]).rstrip() + "\n"


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (below := command.get_command(context, name)) and not below.hidden:
                yield from _commands(below, f"{path} {name}")


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"## {path}", "", f"```\n{usage}\n```", "", *_prose(command.help or "")]
    options = [p for p in command.get_params(context) if isinstance(p, click.Option) and "--help" not in p.opts]
    records = [record for option in options if not option.hidden and (record := option.get_help_record(context))]
    if records:
        lines += [
            "| option | |",
            "|---|---|",
            *(f"| `{_cell(names)}` | {_cell(text)} |" for names, text in records),
            "",
        ]
    return "\n".join(lines)


def _prose(text: str) -> Iterator[str]:
    """The paragraphs of a help text; one that click is told to leave alone keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.lstrip().startswith("\b"):
            yield f"```\n{inspect.cleandoc(paragraph.replace(chr(8), ''))}\n```"
        else:
            yield _plain(" ".join(paragraph.split()))
        yield ""


def _plain(text: str | None) -> str:
    """A comment as Markdown: what looks like a tag is text."""
    return (text or "").replace("<", "\\<").replace("*", "\\*")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def sql_reference(conn: Connection) -> str:
    """docs/sql.md: functions, views, tables and error codes of a migrated database."""
    with conn.cursor(row_factory=dict_row) as cursor:
        functions = {f["name"]: f for f in cursor.execute(FUNCTIONS).fetchall()}
        relations = cursor.execute(RELATIONS).fetchall()
    parts = [SQL_HEAD]
    for file in sorted(ROOT.glob("sql/api/*.sql")):
        text = file.read_text(encoding="utf-8")
        names = [name for name in dict.fromkeys(DEFINED.findall(text)) if name in functions]
        if names:
            parts += [f"## {_purpose(text)}\n\n`{file.relative_to(ROOT)}`\n"]
            parts += [_function(functions[name]) for name in names]
    for title, kinds in (("Views", "vm"), ("Tables", "rp")):
        parts += [f"## {title}\n", *(_relation(r) for r in relations if r["kind"] in kinds)]
    return "\n".join([*parts, *_codes()]).rstrip() + "\n"


def _purpose(text: str) -> str:
    """A file's first line, as a heading."""
    return re.split(r"[.:] |[.:]$", _opening(text))[0]


def _opening(text: str) -> str:
    """The first line of an SQL file that says what it is for."""
    return next(line.removeprefix("-- ") for line in text.splitlines() if not line.startswith("-- requires: "))


def _sentence(text: str) -> str:
    """A first sentence, as the cell of a table."""
    return _cell(re.split(r"\. |\.$", text)[0])


def _function(function: dict[str, Any]) -> str:
    call = f"pgpipe.{function['name']}({function['arguments']})"
    if function["result"] is None:
        call = f"call {call}"
    if len(call) > WIDTH:
        call = call.replace("(", "(\n    ", 1)[:-1] + "\n)"
        call = re.sub(r", (?=\w+ \w|OUT )", ",\n    ", call)
    returns = "" if function["result"] is None else f" returns {function['result']}"
    text, _, example = function["comment"].partition(" Example: ")
    return f"### {function['name']}\n\n```sql\n{call}{returns}\n```\n\n{_plain(text)}\n\n```sql\n{example};\n```\n"


def _relation(relation: dict[str, Any]) -> str:
    lines = [
        f"### {relation['name']}",
        "",
        _plain(relation["comment"]),
        "",
        "| column | type | | default |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cell(part) for part in column)} |" for column in relation["columns"]]
    lines += ["", *(f"- `{rule}`" for rule in relation["rules"])] if relation["rules"] else []
    return "\n".join([*lines, ""])


def _codes() -> Iterator[str]:
    """The SQLSTATEs of pgpipe, each with what it says."""
    found: dict[str, dict[str, None]] = {}
    for file in sorted([*ROOT.glob("migrations/*.sql"), *ROOT.glob("sql/**/*.sql")]):
        for message, code in RAISED.findall(file.read_text(encoding="utf-8")):
            found.setdefault(code, {})[message.replace("''", "'").replace("%%", "%")] = None
    yield "## Error codes\n\n| SQLSTATE | says |\n|---|---|"
    for code, messages in sorted(found.items()):
        yield f"| {code} | {'<br>'.join(map(_cell, messages))} |"


def files() -> str:
    """The table of files: each says in its first line what it is for."""
    rows = ["| `migrations/` | tables and schemas; run once, frozen once released |"]
    rows += [
        f"| `{file.relative_to(ROOT)}` | {_sentence(_opening(file.read_text(encoding='utf-8')))} |"
        for file in sorted(ROOT.glob("sql/*/*.sql"))
    ]
    for path in sorted(ROOT.glob("pgpipe/*")):
        module = path / "__init__.py" if path.is_dir() else path
        if not path.name.startswith("__") and module.suffix == ".py" and module.exists():
            first = module.read_text(encoding="utf-8").splitlines()[0].strip('"')
            rows.append(f"| `pgpipe/{path.name}{'/' if path.is_dir() else ''}` | {_sentence(first)} |")
    rows.append("| `pgpipe/units/` | units for systemd |")
    rows.append("| `tests/` | `unit`, `sql`, `schema`, `flow`, `web`, `chaos`, `bench`; see CONTRIBUTING |")
    return "\n".join(["| file | duty |", "|---|---|", *rows])


def with_files(page: str) -> str:
    """A page with its table of files as it is today."""
    table = f"<!-- files: written by `make docs` -->\n{files()}\n<!-- /files -->"
    return re.sub(r"<!-- files: .*?<!-- /files -->", lambda _: table, page, flags=re.DOTALL)


def main() -> None:
    """Write both references, and the table of files."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-docs-") as folder:
        url = start_embedded(Path(folder) / "data")
        try:
            database = Database(DatabaseSettings(url=url))
            migrate(database)
            with database.connect() as conn:
                (ROOT / "docs/sql.md").write_text(sql_reference(conn), encoding="utf-8")
        finally:
            leave_embedded(Path(folder) / "data")  # while its folder is there
    (ROOT / "docs/cli.md").write_text(command_line(), encoding="utf-8")
    page = ROOT / "docs/architecture.md"
    page.write_text(with_files(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
