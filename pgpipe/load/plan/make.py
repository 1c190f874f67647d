"""Making a plan: what it is decided from is read first, and no more of it than the outline asks for."""

from dataclasses import replace

from pgpipe.db import Connection
from pgpipe.load.plan.keys import KeyNeeded
from pgpipe.load.plan.outline import CAREFUL, DONE, Consent, Plan, outline
from pgpipe.load.plan.parts import check_name
from pgpipe.load.plan.scene import TODAY, Scene, foresee_facts, with_doubt
from pgpipe.load.plan.soft_delete import without_marks
from pgpipe.load.plan.target import read_facts
from pgpipe.settings.entity import EntitySettings
from pgpipe.source import Source
from pgpipe.source.layout import EntityFiles


def make_plan(
    conn: Connection,
    schema: str,
    source: Source,
    files: EntityFiles,
    settings: EntitySettings,
    consent: Consent = CAREFUL,
    scene: Scene = TODAY,
) -> Plan:
    """Decide what to do; touches nothing.

    Raises:
        DataError: the files, or the files and the target, do not agree; the message says what and where.
    """
    check_name(files.entity, "entity", source.url)
    facts = read_facts(conn, schema, files.entity) if scene.migrated else foresee_facts(conn, schema, files.entity)
    facts = without_marks(replace(facts, ledger=scene.ledger(facts.ledger)), settings)
    try:
        plan = outline(files, facts, settings, consent)
        if plan.action in DONE:
            return with_doubt(conn, plan, facts)
    except KeyNeeded as exc:
        from pgpipe.load.plan.full import with_proposal

        raise with_proposal(conn, exc, source, files, settings) from None
    from pgpipe.load.plan.full import full_plan

    return full_plan(conn, source, plan, facts, settings, scene)
