"""What a run did: one line per entity and component, and the exit code."""

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal


@dataclass(frozen=True)
class StageReport:
    """What one component did for one entity, in rows."""

    entity: str
    stage: str
    state: Literal["ok", "nothing to do", "skipped", "failed"] = "ok"
    read: int | None = None
    inserted: int | None = None
    updated: int | None = None
    deleted: int | None = None
    unchanged: int | None = None
    rejected: int | None = None
    left_out: int | None = None  # by a trigger, rule or policy of the target
    superseded: int | None = None  # by a later change of the same key
    deletes: int | None = None  # rows of change files that say that a row is gone
    mended: int | None = None  # values, not rows
    embedded: int | None = None
    seconds: float = 0.0
    note: str = ""
    warnings: tuple[str, ...] = ()  # of checks that do not stop a load
    exit_code: int = 0
    gate: bool = False  # whether a gate of the configuration refused it


@dataclass
class Report:
    """The whole run."""

    date: date | None  # the last one; None: no date was due
    stages: list[StageReport] = field(default_factory=list)
    dates: list["Report"] = field(default_factory=list)  # of a run as a whole: one for each
    of: int = 1  # dates that the run has

    @property
    def exit_code(self) -> int:
        """0, or 1 where some entity failed; where nothing at all worked for one kind of reason, that one's code."""
        failed = [s for s in self.stages if s.state == "failed"]
        codes = {s.exit_code for s in failed}
        if len(codes) == 1 and len(failed) == len(self.stages):
            return codes.pop()
        return 1 if failed else 0

    @property
    def failures(self) -> list[str]:
        """One line for each entity that failed: which, and why."""
        failed = [s for s in self.stages if s.state == "failed"]
        return [s.note if s.note.startswith(f"{s.entity}: ") else f"{s.entity}: {s.note}" for s in failed]

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json."""
        found: dict[str, Any] = {
            "date": self.date and self.date.isoformat(),
            "stages": [asdict(s) for s in self.stages],
            "exit_code": self.exit_code,
        }
        return found | {"dates": [each.as_json() for each in self.dates]} if self.dates else found


def together(dates: list[Report]) -> Report:
    """One report of several dates, oldest first."""
    return Report(dates[-1].date if dates else None, [stage for each in dates for stage in each.stages], dates)
