"""The distribution that this package comes in. On the package index, the name `pgpipe` belongs to another project."""

NAME = "pgpipe-search"
VERSION = "0.1.0"
OTHER = "pgpipe"  # another project's package, 1.0.5 of 2023; our 0.1.0 was built under that name too


def install(extra: str) -> str:
    """The command that installs an extra, as messages print it."""
    return f"pip install '{NAME}[{extra}]'"


def other_version() -> str | None:
    """The version of the other distribution `pgpipe`, if its files are installed among ours; else None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(OTHER)
    except PackageNotFoundError:
        return None
