"""Making a plan: what it is decided from is read first, and no more of it than the outline asks for."""

from dataclasses import replace
from functools import partial

from pgpipe.db import Connection, awake
from pgpipe.load.plan.bounds import extremes
from pgpipe.load.plan.decide import CAREFUL, DONE, Consent, Plan, decide, outline
from pgpipe.load.plan.files import check_name, read_footers
from pgpipe.load.plan.scene import TODAY, Scene, foresee_facts, with_doubt
from pgpipe.load.plan.target import Merge, check_delete, read_details, read_facts, require_history
from pgpipe.load.rows.shape import check_columns, configured, in_files
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
    facts = replace(facts, ledger=scene.ledger(facts.ledger))
    plan = outline(files, facts, settings, consent)
    if plan.action in DONE:
        return with_doubt(conn, plan, facts)
    # Footers of many files take long, and so may a look at all rows of the target.
    with awake(conn):
        of_partition = partial(extremes, columns=in_files(facts.partitioned_by, settings))
        read = read_footers(source, plan.reads, of_partition) if plan.reads else []
        parts = configured(read, files, settings)
    if parts:
        plan = replace(plan, remarks=(*plan.remarks, *check_columns(parts, settings, files.entity)))
    merge = Merge(plan.key, plan.mode) if plan.action == "merge" else None
    details = read_details(conn, facts, parts, settings, merge, migrated=scene.migrated)
    plan = decide(plan, parts, facts, details, settings)
    if plan.changes and scene.migrated:
        check_delete(conn, plan.changes, plan.columns, files.entity)
    if plan.history.wanted and scene.migrated:
        require_history(conn, facts, files.entity, [column.name for column in plan.columns])
    if plan.action == "create" and scene.is_created:
        return replace(plan, action="append" if plan.mode == "append" else "merge")
    return plan
