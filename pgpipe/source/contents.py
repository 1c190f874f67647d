"""What the files below a folder are: Parquet, something else, or the inside of a table format."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pgpipe.errors import SourceError
from pgpipe.source import File, Source

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"  # instead of it, if the footer is encrypted too
EXTENSIONS = (".parquet", ".parq", ".pq")
READERS = 8
FEW = 16  # files of one kind of name that are all looked into; of more, first three
MOST = 1000  # looked into at all; the rest is taken for data, so that whatever is not Parquet is refused by name
NAMED = 3  # files that a sentence names

FORMATS = {
    "a Delta Lake table (_delta_log/)": re.compile(r"(?:^|(?P<table>.*)/)_delta_log/"),
    "an Apache Hudi table (.hoodie)": re.compile(r"(?:^|(?P<table>.*)/)\.hoodie(?:/|_partition_metadata)"),
    "an Apache Iceberg table (metadata/)": re.compile(
        r"(?:^|(?P<table>.*)/)metadata/(?:[^/]+\.metadata\.json(?:\.gz)?|version-hint\.text)$"
    ),
}


@dataclass(frozen=True)
class Contents:
    """An entity's files, sorted out."""

    data: tuple[File, ...] = ()
    ignored: list[str] = field(default_factory=list)  # paths below the folder
    problem: str = ""  # why it cannot be loaded


def sort_out(source: Source, folder: str, files: Sequence[File]) -> Contents:
    """Which files of a folder are data. Other files are named as ignored, except marks such as _SUCCESS."""
    below = {file.path: file.path.removeprefix(f"{folder}/") for file in files}
    if problem := format_of(f"{source.url}/{folder}", below.values()) or _named_twice(files):
        return Contents(problem=problem)
    data, unknown, ignored = [], [], []
    for file in dict.fromkeys(files):
        is_parquet, hidden = file.path.lower().endswith(EXTENSIONS), _is_hidden(below[file.path])
        if is_parquet and not hidden:
            data.append(file)
        elif file.bytes and not hidden:
            unknown.append(file)
        elif is_parquet or not (hidden or file.path.endswith("_$folder$")):
            ignored.append(below[file.path])
    try:
        more = _by_content(source, unknown)
    except SourceError as exc:
        return Contents(problem=str(exc))
    ignored += [below[file.path] for file in unknown if file not in more]
    return Contents(tuple(sorted([*data, *more], key=lambda file: file.path)), sorted(ignored))


def format_of(where: str, paths: Iterable[str]) -> str:
    """Why the paths below `where` are not loaded: they are a table format. Empty if they are not."""
    for path in paths:
        for name, pattern in FORMATS.items():
            if found := pattern.match(path):
                table = f"{where}/{found['table']}" if found["table"] else where
                return (
                    f"{table} is {name}; its folder also holds files that the table does not use any more,"
                    " and pgpipe does not read its log: export it as plain Parquet to another folder"
                )
    return ""


def sentence(ignored: Sequence[str]) -> str:
    """How many files were ignored, and the first of them; empty if none was."""
    if not ignored:
        return ""
    more = f" and {len(ignored) - NAMED:,} more" if len(ignored) > NAMED else ""
    files = f"{len(ignored):,} file{'s' * (len(ignored) != 1)}"
    return f"{files} ignored, hidden or not Parquet: {', '.join(ignored[:NAMED])}{more}"


def _named_twice(files: Sequence[File]) -> str:
    versions: dict[str, File] = {}
    for file in files:
        if versions.setdefault(file.path, file) != file:
            return f"the source lists {file.uri} twice, with different ETags, sizes or times; load again"
    return ""


def _is_hidden(path: str) -> bool:
    """Whether a part of the path is hidden or temporary."""
    *folders, name = path.split("/")
    # A hive folder may be named for a column with an underscore; a running job writes to _temporary.
    return name.startswith(("_", ".")) or any(
        f.startswith(".") or (f.startswith("_") and "=" not in f) for f in folders
    )


def _by_content(source: Source, files: Sequence[File]) -> set[File]:
    """The files that begin as Parquet does. Of many that are named alike, a few decide if they agree."""
    kinds: dict[str, list[File]] = defaultdict(list)
    for file in files:
        _, dot, extension = file.path.rpartition("/")[2].rpartition(".")
        kinds[re.sub(r"\d+", "0", dot + extension.lower()) if dot else ""].append(file)

    def begins(file: File) -> bool:
        with source.open(file) as stream:
            return bytes(stream.read(len(MAGIC))) in {MAGIC, ENCRYPTED}

    found: set[File] = set()
    with ThreadPoolExecutor(READERS, thread_name_prefix="look") as pool:
        for alike in kinds.values():
            few = alike if len(alike) <= FEW else [alike[0], alike[len(alike) // 2], alike[-1]]
            answers = set(pool.map(begins, few))
            if answers == {True}:
                found.update(alike)
            elif len(answers) > 1:
                found.update(file for file, yes in zip(alike, pool.map(begins, alike[:MOST]), strict=False) if yes)
                found.update(alike[MOST:])
    return found
