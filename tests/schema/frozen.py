"""What a release froze: a sha256 of each migration, and one of all of sql/ for each schema version.

`make freeze` appends what is new to frozen.txt; the tests hold the tree to it. Run as a program it freezes.
"""

import hashlib
import shutil
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIST = HERE / "frozen.txt"
RELEASED = HERE / "released"  # a folder a schema version: what upgrades begin with


def sha256(*files: Path) -> str:
    """Of the contents, one after the other, with their names."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def checksums(root: Path, version: int) -> dict[str, str]:
    """What would be frozen now: each migration, and sql/ as of this version."""
    made = {f"migrations/{file.name}": sha256(file) for file in sorted(root.glob("migrations/*.sql"))}
    return made | {f"sql/ of version {version}": sha256(*sorted(root.glob("sql/*.sql")))}


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


if __name__ == "__main__":
    from pgpipe.schema import VERSION

    LIST.write_text(freeze(ROOT, VERSION, LIST.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in ("migrations", "sql"):
        shutil.copytree(ROOT / folder, RELEASED / str(VERSION) / folder, dirs_exist_ok=True)
