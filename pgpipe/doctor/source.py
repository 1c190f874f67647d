"""The source, examined: reachable, listing and reading allowed, the latest date, its clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pgpipe.db import Database
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.doctor.machine import compare_clocks
from pgpipe.errors import PgpipeError, SourceError
from pgpipe.pipeline.context import Context
from pgpipe.pipeline.dates import find_behind
from pgpipe.settings.model import Settings
from pgpipe.settings.source import SourceSettings
from pgpipe.source import File, Source, open_source
from pgpipe.source.contents import ENCRYPTED, MAGIC, NAMED, sentence
from pgpipe.source.dates import find_newest
from pgpipe.source.layout import Lake


def examine(settings: SourceSettings, name: str = "source") -> Iterator[Finding]:
    """List, find the latest date, read the first bytes of a file of it. `name` is that of its settings."""
    if not settings.url:
        yield warning(name, "none is set; an embedder needs none", "for loads: source.url, or --source")
        return
    source = open_source(settings)
    server_time = getattr(source, "server_time", None)  # a folder has no clock
    if server_time is not None:
        yield compare_clocks(f"{name} clock", server_time(), datetime.now(UTC), 60)
    lake = Lake(source, settings.layout)
    yield ok(name, f"{source.url} can be listed; {len(lake.dates())} dates")
    if lake.left_out:
        left_out = ", ".join(lake.left_out[:NAMED])
        yield warning(name, f"neither a date nor an entity, so not read: {left_out}", f"set {name}.layout if it is one")
    listed = find_newest(lake, settings.complete)
    day = " and ".join(dict.fromkeys(str(entity.date) for entity in listed))
    files = [file for entity in listed for file in entity.files]
    names = ", ".join(entity.name for entity in listed)
    for entity in listed:
        if entity.problem:
            yield failure("latest date", f"{entity.name}: {entity.problem}")
        elif entity.ignored:
            yield warning("latest date", f"{entity.name}: {sentence(entity.ignored)}", "look at what writes them")
    if not files:
        yield failure("latest date", f"{day} holds no Parquet file", "look at what writes it", SourceError.exit_code)
        return
    yield ok("latest date", f"{day}: {len(files)} files of {names}, {sum(file.bytes for file in files):,} bytes")
    if weak := sum(not file.strong for file in files):
        yield warning(
            "ETags",
            f"{weak} of {len(files)} files have an ETag that need not change with the bytes; size and time stand in",
            "let the server compute hashes; else a file that is overwritten must get another size or a later time",
        )
    yield _read(source, files[0])


def examine_dates(settings: Settings, database: Database) -> Iterator[Finding]:
    """Compare the dates of the source with those that are loaded. Source and database have been examined."""
    if not settings.source.url:
        return
    try:
        found = find_behind(Context(settings, database, open_source(settings.source)))
    except PgpipeError:
        return
    for entity, days in found.items():
        yield warning(
            "dates",
            f"{entity}: {', '.join(map(str, days[:NAMED]))}{' …' if len(days) > NAMED else ''} not loaded"
            f" ({len(days)} of the source's dates)",
            "look at the last load; `pgpipe plan` says which of them the next one takes",
        )


def _read(source: Source, file: File) -> Finding:
    try:
        with source.open(file) as stream:
            head = stream.read(4)
    except SourceError as exc:
        return failure("reading", str(exc), "listing is allowed, reading is not", exc.exit_code)
    if head == ENCRYPTED:
        return failure(
            "reading", f"{file.uri} is an encrypted Parquet file, which pgpipe cannot read; write it unencrypted"
        )
    if head != MAGIC:
        return failure("reading", f"{file.uri} is not a Parquet file", "look at what writes it")
    return ok("reading", f"{file.uri} can be read")
