"""The systemd units: templates, and what becomes of them for the system's manager or a user's."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Literal

Scope = Literal["system", "user"]

EMBEDDER, LOAD, TIMER = "pgpipe-embedder@.service", "pgpipe-load.service", "pgpipe-load.timer"
NOTIFY = "pgpipe-notify@.service"
PART = re.compile(r"#\[(system|user)\]\n(.*?)(?=#\[)", re.DOTALL)


def units(scope: Scope, pgpipe: Path, calendar: str, *, gpu: bool) -> dict[str, str]:
    """The units' texts by their file names.

    Args:
        scope: whose manager will read them; a user's can neither make users nor mount.
        pgpipe: the program.
        calendar: when loads run, as systemd.time(7) writes it.
        gpu: whether embedders may use the machine's accelerators.
    """
    hardening = _of(scope, _read("hardening.conf")).strip()
    made = {}
    for name in (EMBEDDER, LOAD, TIMER, NOTIFY):
        text = _of(scope, _read(name)).replace("@HARDENING@", hardening).replace("@CALENDAR@", calendar)
        made[name] = text.replace("@PGPIPE@", str(pgpipe).replace("%", "%%"))
    if gpu and scope == "system":
        made[f"{EMBEDDER}.d/gpu.conf"] = _read("gpu.conf")
    return made


def _of(scope: Scope, text: str) -> str:
    """The text with the lines of the other scope left out."""
    kept = PART.sub(lambda part: part[2] if part[1] == scope else "", text)
    return kept.replace("#[end]\n", "")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
