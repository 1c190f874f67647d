"""A lake made from the standard library's docstrings: entities module, class and function, two dates, known changes."""

import ast
import inspect
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OLDER, NEWER = "2026-01-01", "2026-01-02"
ENTITIES = ("module", "class", "function")
SKIP = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "site-packages",
    "__pycache__",
    "ensurepip",
    "pydoc_data",
}
FEW_ASK = (
    "curses doctest encodings multiprocessing optparse pdb pickletools pydoc tkinter turtle unittest wsgiref xml xmlrpc"
)
# Python 3.12 and 3.13 are without these.
GONE = (
    "aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp mailcap msilib nis nntplib ossaudiodev"
    " pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib"
)
ASIDE = frozenset(f"{FEW_ASK} {GONE}".split())  # so the demo takes a minute, on any Python much the same
GONE_EVERY, CHANGED_EVERY, NEW_EVERY = 50, 20, 40

Row = dict[str, str | int]


@dataclass(frozen=True)
class Changes:
    """What the newer date changes in an entity, in rows."""

    rows: int  # of the newer date
    inserted: int
    updated: int
    deleted: int


def build(folder: Path, limit: int | None = None) -> dict[str, Changes]:
    """Write the lake to a folder.

    Args:
        folder: gets DATE/ENTITY/part-N.parquet and DATE/_SUCCESS.
        limit: at most so many rows of an entity.

    Returns:
        For each entity what a snapshot of the newer date changes in the older one.
    """
    rows: dict[str, list[Row]] = {entity: [] for entity in ENTITIES}
    for entity, row in documented():
        if str(row["module"]).split(".")[0] in ASIDE:
            continue
        if limit is None or len(rows[entity]) < limit:
            rows[entity].append(row)
        elif all(len(found) == limit for found in rows.values()):
            break
    changes = {}
    for entity, newer in rows.items():
        older, changes[entity] = _yesterday(newer)
        _write(folder / OLDER / entity, older, files=1)
        _write(folder / NEWER / entity, newer[::-1], files=2)
    for date in (OLDER, NEWER):
        (folder / date / "_SUCCESS").touch()
    return changes


def _yesterday(newer: list[Row]) -> tuple[list[Row], Changes]:
    """The older date: some rows not there yet, some with another summary, some that will be gone."""
    older: list[Row] = []
    inserted = updated = deleted = 0
    for n, row in enumerate(newer):
        if n % NEW_EVERY == NEW_EVERY - 1:
            inserted += 1
            continue
        changed = n % CHANGED_EVERY == CHANGED_EVERY - 1
        updated += changed
        older.append(row | {"summary": f"Draft: {row['summary']}"} if changed else row)
        if n % GONE_EVERY == GONE_EVERY - 1:
            deleted += 1
            older.append(row | {"name": f"{row['name']}.removed"})
    return older, Changes(len(newer), inserted, updated, deleted)


def _write(folder: Path, rows: list[Row], files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    share = -(-len(rows) // files)
    for n in range(files):
        table = pa.Table.from_pylist(rows[n * share : (n + 1) * share], schema=SCHEMA)
        pq.write_table(table, folder / f"part-{n:05}.parquet")


TEXTS = ("name", "module", "signature", "summary", "doc")
SCHEMA = pa.schema([pa.field(name, pa.string()) for name in TEXTS]).append(pa.field("lines", pa.int32()))


def documented() -> Iterator[tuple[str, Row]]:
    """Every public module, class and function of the standard library that has a docstring, in order of its name."""
    root = Path(sysconfig.get_path("stdlib"))
    for file in sorted(_sources(root)):
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__")
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, FileNotFoundError):  # some test just that; Debian's may be a dead link
            continue
        yield from _module(name, tree)


def _sources(root: Path) -> Iterator[Path]:
    """Python's files below a folder; private ones and SKIP are not walked into."""
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in SKIP and not name.startswith("_")]
        for file in files:
            name = file.removesuffix(".py")
            if name != file and name not in SKIP and (name == "__init__" or not name.startswith("_")):
                yield Path(folder, file)


def _module(name: str, tree: ast.Module) -> Iterator[tuple[str, Row]]:
    if text := ast.get_docstring(tree):
        yield "module", _row(name, name, "", text, len(tree.body))
    seen = set()
    for node in tree.body:
        text = ast.get_docstring(node) if isinstance(node, ast.ClassDef | ast.FunctionDef) else None
        if (
            not text
            or not isinstance(node, ast.ClassDef | ast.FunctionDef)
            or node.name.startswith("_")
            or node.name in seen
        ):
            continue
        seen.add(node.name)
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        arguments = (
            ast.unparse(node.args) if isinstance(node, ast.FunctionDef) else ", ".join(map(ast.unparse, node.bases))
        )
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        yield kind, _row(f"{name}.{node.name}", name, f"{node.name}({arguments})", text, lines)


def _row(name: str, module: str, signature: str, text: str, lines: int) -> Row:
    text = text.replace("\0", "\\0")  # a docstring of Python 3.14 holds that character, which no text of PostgreSQL can
    summary, _, rest = inspect.cleandoc(text).partition("\n\n")
    summary = " ".join(summary.split())
    doc = rest.strip()
    return {
        "name": name,
        "module": module,
        "signature": signature,
        "summary": summary,
        "doc": doc,
        "lines": lines,
    }
