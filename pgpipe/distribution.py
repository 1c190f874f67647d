"""The distribution that this package comes in. On the index, the package's own name is somebody else's."""

from importlib.metadata import PackageNotFoundError, version

NAME = "pgpipe-search"
VERSION = "0.1.0"
OTHER = "pgpipe"  # somebody else's package, 1.0.5 of 2023; 0.1.0 of this one was built under that name too


def install(extra: str) -> str:
    """The command that installs an extra, as messages print it."""
    return f"pip install '{NAME}[{extra}]'"


def other_version() -> str | None:
    """The version of a distribution `pgpipe` in this environment, whose files lie among ours; None without one."""
    try:
        return version(OTHER)
    except PackageNotFoundError:
        return None
