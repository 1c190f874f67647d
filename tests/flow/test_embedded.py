"""The embedded server is its user's alone: sockets, logins and folders, played as other users of the machine."""

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgpipe import errors
from pgpipe.db import embedded
from pgpipe.db.embedded import leave_embedded, start_embedded

WHO = "select current_user || ' ' || pg_postmaster_start_time()"
MEMORY = next((p for p in [Path("/dev/shm")] if p.is_dir()), None)
LONG = "d" * 120  # with it a socket's path has over 107 bytes
OTHER, OWNER = 65534, 1  # nobody and daemon: users that every Linux has
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another local user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that others cannot enter; in memory, where a server is made in less than half the time."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-test-", dir=MEMORY) as place:
        yield Path(place)


@pytest.fixture
def folder(place: Path) -> Iterator[Path]:
    """For a server of one's own."""
    folder = place / LONG
    yield folder
    if folder.exists():
        leave_embedded(folder)


def act_as(user: int, act: Callable[[], object]) -> str:
    """What a child process of this user gets; its error's text if it fails. No exec: others may not reach Python."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.environ |= {"HOME": "/nonexistent", "PGUSER": "postgres"}
            result = str(act())
        except BaseException:  # noqa: BLE001 - the parent looks at it
            result = traceback.format_exc()
        os.write(write, result.encode()[-4000:])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        result = pipe.read()
    os.waitpid(child, 0)
    return result


def login(url: str) -> str:
    with psycopg.connect(url, connect_timeout=10) as conn:
        return str(conn.execute(WHO).fetchone())


def modes(path: Path) -> dict[Path, int]:
    """Of the folder and all above it."""
    return {p: p.stat().st_mode for p in (path, *path.parents)}


def refuses_others(url: str) -> None:
    """Neither by the path nor, if that were open, by the server's own rule does another user get in."""
    socket = Path(str(conninfo_to_dict(url)["host"]))
    mode = socket.stat().st_mode & 0o777
    assert mode == 0o700
    assert "Permission denied" in act_as(OTHER, lambda: login(url))
    opened = [p for p in (socket, *socket.parents) if not p.stat().st_mode & 0o001]
    before = {p: p.stat().st_mode for p in opened}
    try:
        for path in opened:
            path.chmod(before[path] | 0o011)
        assert 'Peer authentication failed for user "postgres"' in act_as(OTHER, lambda: login(url))
    finally:
        for path in opened:
            path.chmod(before[path])


@as_root
def test_root_has_its_server_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K5: for root the server runs as another user, whom its data is closed to from above; no folder is opened.

    Root's keys in the environment stay root's.
    """
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "Hunter2")
    programs = Path(sys.prefix)
    before, around = modes(folder.parent), modes(programs)

    url = start_embedded(folder)

    assert login(url).startswith("('postgres ")
    refuses_others(url)
    assert (modes(folder.parent), modes(programs)) == (before, around)
    with psycopg.connect(url) as conn:
        assert conn.execute("show listen_addresses").fetchone() == ("",)
        pid = int((folder / "postmaster.pid").read_text().split()[0])
    assert "Hunter2" not in psutil.Process(pid).environ().values()
    assert psutil.Process(pid).uids().effective != 0
    assert psutil.Process(pid).gids().effective != 0
    leave_embedded(folder)
    assert not psutil.pid_exists(pid)


@as_root
@pytest.mark.parametrize("name", [pytest.param("data", marks=pytest.mark.long), LONG])
def test_another_user_of_the_machine_is_refused(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K5: an ordinary user's server; its socket is in the data folder or, if that is too long, in a private one."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    start_embedded.__globals__["_pgserver"]()  # imported before the child has no right to
    os.chown(place, OWNER, OWNER)
    folder = place / name
    try:
        url = act_as(OWNER, lambda: start_embedded(folder))
        assert url.startswith("postgresql://"), url
        assert str(conninfo_to_dict(url)["host"]).startswith(str(folder) if name == "data" else "/tmp/pgpipe-1-")
        assert "postgres" in act_as(OWNER, lambda: login(url))
        refuses_others(url)
        assert place.stat().st_mode & 0o777 == 0o700
    finally:
        for pid in [int((folder / "postmaster.pid").read_text().split()[0])] if folder.exists() else []:
            psutil.Process(pid).terminate()
            psutil.Process(pid).wait(60)


def test_two_processes_share_a_server(folder: Path) -> None:
    """K5: a second process finds the private socket, and the server ends with the last of the two."""
    url = start_embedded(folder)
    code = "import sys, pathlib; from pgpipe.db.embedded import *; print(start_embedded(pathlib.Path(sys.argv[1])))"
    second = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)

    assert second.stdout.strip() == url, second.stderr
    assert "postgres" in login(url)
    leave_embedded(folder)
    with pytest.raises(psycopg.OperationalError):
        login(url)


@as_root
def test_a_folder_of_an_earlier_version(folder: Path) -> None:
    """K5: a server that 0.1.0 made and still runs lets others in; the next process shuts them out, its data is kept."""
    wheel = embedded._pgserver()
    folder.parent.chmod(0o755)
    before = wheel.get_server(folder, cleanup_mode=None)
    with psycopg.connect(before.get_uri(), autocommit=True) as conn:
        conn.execute("create table kept ()")
    assert "postgres" in act_as(OTHER, lambda: login(before.get_uri()))

    url = start_embedded(folder)

    assert login(url) == login(url)
    with psycopg.connect(url) as conn:
        conn.execute("table kept")
    assert "Peer authentication failed" in act_as(OTHER, lambda: login(before.get_uri()))
    leave_embedded(folder)
    url = start_embedded(folder)
    with psycopg.connect(url) as conn:
        conn.execute("table kept")
    refuses_others(url)


@as_root
def test_names_in_tmp_that_others_took(place: Path) -> None:
    """K5: whatever another user put in the place of a socket's folder, a link included, another folder is made."""
    place.chmod(0o1777)
    (place / "mine").mkdir(0o700)
    os.chown(place / "mine", OWNER, OWNER)
    act_as(OTHER, lambda: (place / "link").symlink_to(place / "mine"))
    act_as(OTHER, lambda: (place / "folder").mkdir(0o700))
    (place / "open").mkdir(0o750)
    os.chown(place / "open", OWNER, OWNER)

    for name in ("link", "folder", "open"):
        made = embedded._private(place, name, OWNER)
        found = made.lstat()
        assert made.name.startswith(f"{name}-")
        assert (found.st_uid, found.st_mode & 0o777) == (OWNER, 0o700)
    assert embedded._private(place, "mine", OWNER) == place / "mine"


@as_root
@pytest.mark.parametrize("name", ["pg_hba.conf", "pg_ident.conf", ".handle_pids.json"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_of_the_servers_user(
    name: str, link: Callable[[Path, Path], None], folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K5: root reads and writes no file of its own through a link that the server's user put into the data folder."""
    monkeypatch.setattr(embedded._Server, "_call", lambda *_: None)
    mine = place / "mine"
    mine.write_text("[1]")
    folder.mkdir()
    for file in ("PG_VERSION", "pg_hba.conf", "pg_ident.conf"):
        (folder / file).write_text("")
    (folder / name).unlink(missing_ok=True)
    link(folder / name, mine)
    server = embedded._Server(folder, embedded.VERSION)

    with pytest.raises(PermissionError, match=rf"{name} is (a link|not a file of the server alone)"):
        server.initialize() if name.startswith("pg") else server.enter()

    assert mine.read_text() == "[1]"
    with pytest.raises(errors.Unreachable):
        start_embedded(folder)
    assert mine.read_text() == "[1]"
    assert mine.stat().st_uid == 0


@as_root
def test_root_changes_no_data_of_others(folder: Path) -> None:
    """K5: a data folder of another user, and one that holds other files, is refused and left as it is."""
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    with pytest.raises(errors.Unreachable, match=r"the folder belongs to another user"):
        start_embedded(folder)
    assert folder.stat().st_uid == OTHER

    os.chown(folder, 0, 0)
    (folder / "passwd").touch()
    with pytest.raises(errors.Unreachable, match=r"the folder holds other files"):
        start_embedded(folder)
    assert folder.stat().st_uid == 0


@as_root
@pytest.mark.parametrize("owner", [OTHER, 0])
def test_programs_lie_where_only_root_writes(
    owner: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K5: programs of the server are neither copied to nor run from a folder that others may write to."""
    copies = tmp_path / "copies"
    copies.mkdir()
    copies.chmod(0o777 if owner == 0 else 0o755)
    os.chown(copies, owner, -1)
    monkeypatch.setattr(embedded, "COPIES", copies)
    monkeypatch.setattr(embedded, "_reaches", lambda *_: False)

    with pytest.raises(errors.Unreachable, match=r"must be a folder that only root may write to"):
        start_embedded(folder)
    assert list(copies.iterdir()) == []


@as_root
@pytest.mark.long  # copies them
def test_programs_that_the_server_user_cannot_reach(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K5: root's installation in a closed folder stays closed; a copy of the server's programs is run instead."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-copies-") as copies:
        Path(copies).chmod(0o755)
        monkeypatch.setattr(embedded, "COPIES", Path(copies))
        monkeypatch.setattr(embedded, "_reaches", lambda *_: False)

        url = start_embedded(folder)

        assert "postgres" in login(url)
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        assert copies in psutil.Process(pid).exe()
        leave_embedded(folder)
