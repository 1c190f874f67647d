"""This machine, examined: the model and its device, disk, clocks."""

import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pgpipe import distribution
from pgpipe.db import Database
from pgpipe.db.embedded import default_dir
from pgpipe.doctor.finding import Finding, ok, warning
from pgpipe.embed import queue
from pgpipe.embed.model.base import dimensions, load_model
from pgpipe.embed.model.prompts import lacking
from pgpipe.errors import PgpipeError
from pgpipe.settings.model import EmbeddingSettings, Settings

FREE = 2 << 30  # bytes below which a disk is nearly full: a model, or the WAL of a small load


def compare_clocks(check: str, theirs: datetime, ours: datetime, most: float) -> Finding:
    """Two clocks that should be one, `most` seconds apart at most."""
    apart = (ours - theirs).total_seconds()
    if abs(apart) <= most:
        return ok(check, f"{abs(apart):.1f} s apart")
    ahead = "ahead of" if apart > 0 else "behind"
    return warning(check, f"this machine is {abs(apart):,.0f} s {ahead} it", "set the clocks: timedatectl set-ntp true")


def examine_model(settings: EmbeddingSettings, database: Database) -> Iterator[Finding]:
    """Load the model, embed a word, and compare its dimensions with what is declared."""
    dims = dimensions(settings)
    began = time.monotonic()
    model = load_model(settings)
    vectors = model.encode(["a word"])
    device = getattr(model, "device", settings.device or "cpu")
    took = time.monotonic() - began
    yield ok(
        "model", f"{settings.model}: {vectors.shape[1]} dimensions by {settings.backend} on {device}, {took:.1f} s"
    )
    if missing := lacking(settings):
        told = f"{settings.model} is made for prompts and has none: answers are worse without them"
        yield warning("prompts", told, f"set {missing}, then embed all rows again under another name")
    try:
        with database.connect(autocommit=True) as conn:
            declared = [e for e in queue.embeddings(conn) if e.model == settings.model and e.dims != dims]
    except PgpipeError:
        return  # the database's findings say it
    for e in declared:
        yield warning(
            "model",
            f"{e.target.label(database.schema)} was declared with {e.dims} dimensions, the model has {dims}",
            "declare it again",
        )


def examine_installation() -> Iterator[Finding]:
    """Which distribution this is, and whether the other `pgpipe` is installed in the same environment."""
    found = f"pgpipe {distribution.VERSION}, distribution {distribution.NAME}"
    other = distribution.other_version()
    if other is None:
        yield ok("installation", found)
    else:
        yield warning(
            "installation",
            f"{found}; the distribution {distribution.OTHER} {other} is installed too, and its files lie among ours",
            f"pip uninstall {distribution.OTHER}, then pip install --force-reinstall --no-deps {distribution.NAME}",
        )


def examine_allowed(settings: EmbeddingSettings, database: Database) -> Iterator[Finding]:
    """Name the embeddings that this machine leaves alone, because its configuration does not name their model."""
    try:
        with database.connect(autocommit=True) as conn:
            declared = queue.embeddings(conn)
    except PgpipeError:
        return  # the database's findings say it
    for e in declared:
        if not settings.allows(e.model):
            name = e.target.label(database.schema)
            told = f"{name}: the embedding {e.name} is left alone here: its model {e.model!r} is not allowed"
            yield warning("allowed models", told, "if you trust the model, add it to embedding.models")


def examine_disk(settings: Settings) -> Iterator[Finding]:
    """Room where models are kept, and where the embedded server keeps its data."""
    folders = {"disk of models": settings.embedding.cache_dir or Path.home() / ".cache"}
    if settings.database.url is None:
        folders["disk of the embedded server"] = settings.database.embedded_dir or default_dir()
    for check, folder in folders.items():
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < FREE:
            yield warning(check, f"{free / (1 << 30):.1f} GiB free in {folder}", "make room, or name another folder")
        else:
            yield ok(check, f"{free / (1 << 30):,.0f} GiB free in {folder}")
