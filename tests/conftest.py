"""Fixtures: real PostgreSQL servers, a migrated database per test, a real S3 server, lakes, and the command line."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
from click.testing import CliRunner
from psycopg import sql

from pgpipe.config import DatabaseSettings
from pgpipe.db import Connection, Database, pgserver
from pgpipe.demo import lake as docs
from pgpipe.demo import store
from pgpipe.schema import migrate

SHM = Path("/dev/shm")
FAST = (
    SHM if SHM.is_dir() and shutil.disk_usage(SHM).free > 4 << 30 else None
)  # a database in memory is cloned in no time
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")  # has no pgvector: the vector-less mode


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    version: int
    url: str  # of its database postgres

    def at(self, name: str) -> str:
        """The url of another database of it."""
        info = psycopg.conninfo.conninfo_to_dict(self.url)
        return psycopg.conninfo.make_conninfo(**(info | {"dbname": name}))

    def create(self, name: str) -> None:
        """Make an empty database."""
        self.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composable) -> None:
        """Run a statement outside of any transaction."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(statement)

    @property
    def template(self) -> str:
        """A migrated database, made once; tests get clones of it."""
        name = "pgpipe_template"
        with psycopg.connect(self.url, autocommit=True) as conn:
            if not conn.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
                conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
                migrate(Database(DatabaseSettings(url=self.at(name))))
        return name


def start_wheel(version: int) -> Iterator[Server]:
    """A server of the embedded wheel, tuned for tests: what they write need not outlive a power cut."""
    folder = Path(tempfile.mkdtemp(prefix=f"pgpipe-{version}-", dir=FAST))
    folder.chmod(0o755)
    server = pgserver().get_server(folder / "data", cleanup_mode="stop", postgres_version=version)
    with psycopg.connect(server.get_uri(), autocommit=True) as conn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            conn.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(setting)))
        conn.execute("select pg_reload_conf()")
    yield Server(version, server.get_uri())
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server18() -> Iterator[Server]:
    """PostgreSQL 18 with pgvector."""
    yield from start_wheel(18)


@pytest.fixture(scope="session")
def server16() -> Iterator[Server]:
    """PostgreSQL 16 with pgvector."""
    yield from start_wheel(16)


@contextmanager
def start_debian(*options: str, files: Mapping[str, bytes] | None = None) -> Iterator[Path]:
    """Run Debian's PostgreSQL 15, whose superuser postgres logs in by socket without a password.

    Args:
        options: of the server.
        files: put into its data folder before it starts, name to content.

    Returns:
        The folder of its socket.
    """
    if not DEBIAN_15.exists():
        if os.environ.get("CI"):
            pytest.fail("CI installs postgresql-15 (Debian); it is missing")
        pytest.skip("Debian's postgresql-15 is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-15-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    run: Callable[..., object] = lambda *a: subprocess.run(  # noqa: E731 - a partial with positional arguments
        [*as_user, *map(str, a)], check=True, cwd=folder, stdout=subprocess.DEVNULL
    )
    run(DEBIAN_15 / "initdb", "-D", data, "--auth=trust", "-U", "postgres", "--encoding=utf8", "--locale=C.UTF-8")
    for name, content in (files or {}).items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o600)
        if as_user:
            shutil.chown(data / name, "postgres", "postgres")
    arguments = f"-k {folder} -c fsync=off -c synchronous_commit=off {' '.join(options)}"
    run(DEBIAN_15 / "pg_ctl", "-w", "-D", data, "-o", arguments, "-l", folder / "log", "start")
    yield folder
    run(DEBIAN_15 / "pg_ctl", "-w", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server15() -> Iterator[Server]:
    """Debian's PostgreSQL 15 without pgvector."""
    with start_debian("-h ''") as folder:
        yield Server(15, f"host={folder} user=postgres dbname=postgres")


@pytest.fixture(params=[18, 16], ids=["pg18", "pg16"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server with pgvector in turn."""
    return request.getfixturevalue(f"server{request.param}")


def clone(server: Server) -> Iterator[Database]:
    """A migrated database of one's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    make = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(server.template))
    server.execute(make)
    yield Database(DatabaseSettings(url=server.at(name)))
    server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def database(server18: Server) -> Iterator[Database]:
    """A migrated database on PostgreSQL 18."""
    yield from clone(server18)


@pytest.fixture
def any_database(server: Server) -> Iterator[Database]:
    """A migrated database, once on each version with pgvector."""
    yield from clone(server)


@pytest.fixture
def plain_database(server15: Server) -> Iterator[Database]:
    """A migrated database without pgvector."""
    yield from clone(server15)


@pytest.fixture
def conn(any_database: Database) -> Iterator[Connection]:
    """A connection that commits each statement, once on each version with pgvector."""
    with any_database.connect(autocommit=True) as conn:
        yield conn


@pytest.fixture
def other(any_database: Database) -> Iterator[Connection]:
    """A second connection to the database of `conn`."""
    with any_database.connect(autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a real S3 server."""
    with store.serve() as endpoint:
        yield endpoint


@pytest.fixture
def s3_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that makes the command line use the S3 server; returns its address."""
    for name, value in store.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", s3)
    monkeypatch.setenv("PGPIPE_SOURCE__ADDRESSING_STYLE", "path")
    return s3


@pytest.fixture
def logged() -> Iterator[list[dict]]:
    """What pgpipe logs, its fields and `level`, whatever level a command of an earlier test left behind."""
    entries: list[dict] = []
    ours, handler = logging.getLogger("pgpipe"), logging.Handler()
    handler.emit = lambda record: entries.append(record.told | {"level": record.levelname})  # type: ignore[method-assign,attr-defined]
    before = ours.level
    ours.setLevel(logging.DEBUG)
    ours.addHandler(handler)
    yield entries
    ours.removeHandler(handler)
    ours.setLevel(before)


@dataclass(frozen=True)
class DocsLake:
    """A lake of the standard library's docstrings, on disk."""

    path: Path
    changes: dict[str, docs.Changes]

    @property
    def url(self) -> str:
        """As a source."""
        return f"file://{self.path}"


@pytest.fixture(scope="session")
def docs_lake(tmp_path_factory: pytest.TempPathFactory) -> DocsLake:
    """120 rows an entity, two dates."""
    path = tmp_path_factory.mktemp("docs")
    return DocsLake(path, docs.build(path, limit=120))


class Lake:
    """A lake that a test makes, file by file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file://{path}"

    def put(self, date: str, entity: str, rows: pa.Table | list[dict], name: str = "part-0.parquet", **options) -> Path:
        """Write a Parquet file."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        file = self.path / date / entity / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file, **options)
        return file


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    (tmp_path / "lake").mkdir()
    return Lake(tmp_path / "lake")


@dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `pgpipe ARGUMENTS` in this process against `database`, in an empty folder."""
    return make_cli(database.url, tmp_path, monkeypatch)


@pytest.fixture
def plain_cli(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The same against a database without pgvector."""
    return make_cli(plain_database.url, tmp_path, monkeypatch)


def make_cli(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The whole of `main`, with its exit code and its one-line errors."""
    import pgpipe.cli

    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Result:
        with CliRunner().isolation() as (out, err, _):
            monkeypatch.setattr(sys, "argv", ["pgpipe", *arguments])
            try:
                pgpipe.cli.main()
                code = 0
            except SystemExit as exc:
                code = exc.code if isinstance(exc.code, int) else int(bool(exc.code))
            return Result(code, out.getvalue().decode(), err.getvalue().decode())

    return run


@dataclass(frozen=True)
class Guarded:
    """A PostgreSQL that wants TLS and a password of everybody but `plain`."""

    url: str  # host and port
    superuser: str  # by socket, without a password
    authority: Path  # that signed its certificate, which is for localhost
    other_authority: Path  # signed nothing that is in use


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Debian's PostgreSQL 15 on a free port of loopback, with a certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    for name, ca in (("authority", authority), ("other", other)):
        ca.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    issued = authority.issue_cert("localhost")
    files = {
        "server.key": issued.private_key_pem.bytes(),
        "server.crt": b"".join(part.bytes() for part in issued.cert_chain_pems),
        "pg_hba.conf": b"local all postgres trust\nhost all plain 127.0.0.1/32 trust\n"
        b"hostssl all all 127.0.0.1/32 scram-sha-256\n",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with start_debian(f"-h 127.0.0.1 -p {port}", "-c ssl=on -c max_connections=40", files=files) as socket_folder:
        yield Guarded(
            f"host=localhost hostaddr=127.0.0.1 port={port}",
            f"host={socket_folder} port={port} user=postgres dbname=postgres",
            folder / "authority.pem",
            folder / "other.pem",
        )


Configure = Callable[..., Path]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write the settings of the entity `product` where the command line finds them."""

    def write(**settings: Any) -> Path:
        file = tmp_path / "pgpipe.json"
        file.write_text(json.dumps({"entity": {"product": {"search": False, "embed": False} | settings}}))
        return file

    return write
