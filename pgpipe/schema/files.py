"""The files that the schema is made of: where they lie, in which order they are applied, and what each needs."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE if (PACKAGE / "sql").is_dir() else PACKAGE.parent  # in a wheel the two folders lie in the package
INTERNAL = "internal/"  # in sql/: functions that only pgpipe calls
TEMPLATES = "templates/"  # in sql/: what is rendered for one embedding or one load
REQUIRES = "-- requires: "  # the first line of a file that needs an extension
MADE = re.compile(r"^create or replace (?:function|procedure) pgpipe_internal\.(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class File:
    """A file of sql/, or of sql/templates/."""

    name: str
    text: str

    @property
    def template(self) -> str | None:
        """What the template is called that it holds."""
        return Path(self.name).stem if self.name.startswith(TEMPLATES) else None

    @property
    def needs(self) -> str | None:
        """The extension that its first line names."""
        first = self.text.partition("\n")[0]
        return first.removeprefix(REQUIRES) if first.startswith(REQUIRES) else None

    @property
    def makes(self) -> list[str]:
        """The names of the functions that it puts into pgpipe_internal."""
        return MADE.findall(self.text) if self.name.startswith(INTERNAL) else []

    @property
    def checksum(self) -> str:
        """Of the whole text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> Path:
    """The folder of what runs once."""
    return ROOT / "migrations"


def sql_files() -> list[str]:
    """The files of sql/, in the order in which they are applied, and its templates."""
    folder = ROOT / "sql"
    numbered = sorted(
        [*folder.glob("internal/*.sql"), *folder.glob("api/*.sql")],
        key=lambda file: (file.name, file.parent != folder / "internal"),
    )
    return [file.relative_to(folder).as_posix() for file in [*numbered, *sorted(folder.glob("templates/*.sql"))]]


def read_files() -> list[File]:
    """The same files with their texts."""
    return [File(name, (ROOT / "sql" / name).read_text(encoding="utf-8")) for name in sql_files()]
