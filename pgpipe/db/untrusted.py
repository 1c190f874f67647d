"""Files in a folder that another user may write to: read and replaced, and no link is followed."""

import contextlib
import errno
import os
import stat
from pathlib import Path

OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


def read(folder: Path, name: str, owner: int) -> str | None:
    """The text of a regular file that belongs to this owner or to us; None if there is none.

    Raises:
        OSError: it is a link, or another user's.
    """
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | OPEN)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | OPEN, dir_fd=place)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise PermissionError(f"{folder / name} is a link, and may lead anywhere; delete it") from exc
        raise
    finally:
        os.close(place)
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid not in {owner, os.geteuid()}:
            raise PermissionError(f"{folder / name} is not a file of the server alone; delete it")
        return file.read()


def replace(folder: Path, name: str, text: str, owner: int) -> None:
    """Put a new file of this owner, closed to others, in the place of whatever has the name."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | OPEN)
    made = f".{name}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made, dir_fd=place)
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN, 0o600, dir_fd=place)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if owner != os.geteuid():
                os.fchown(file.fileno(), owner, -1)
        os.rename(made, name, src_dir_fd=place, dst_dir_fd=place)
    finally:
        os.close(place)
