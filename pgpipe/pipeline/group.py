"""A group of entities that are imported together, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pgpipe.errors import GateFailed, PgpipeError
from pgpipe.load.plan.links import because
from pgpipe.pipeline.report import StageReport
from pgpipe.source.layout import EntityFiles


@dataclass
class Group:
    """Entities that are loaded together, and what became of each."""

    members: list[EntityFiles]
    outcomes: dict[str, StageReport | PgpipeError] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the entities."""
        return [files.entity for files in self.members]

    def fail(self, entity: str | None, error: PgpipeError) -> None:
        """None of them is loaded: one failed, or all."""
        for name in self.names:
            self.outcomes[name] = error if entity in {None, name} else _refusal(name, str(entity), self.names, error)

    def outcome(self, entity: str) -> StageReport:
        """What the import reports of an entity.

        Raises:
            PgpipeError: it is not loaded.
        """
        done = self.outcomes[entity]
        if isinstance(done, PgpipeError):
            raise done
        return done


def _refusal(entity: str, failed: str, names: Sequence[str], error: PgpipeError) -> PgpipeError:
    kind = GateFailed if isinstance(error, GateFailed) else PgpipeError
    refusal = kind(f"{entity}: {because(failed, names)}")
    refusal.exit_code = error.exit_code
    return refusal
