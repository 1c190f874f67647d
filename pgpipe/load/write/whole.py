"""Writing what is planned, one way for each action."""

from pgpipe.db import translated
from pgpipe.load.write.append import append, append_date
from pgpipe.load.write.create import create
from pgpipe.load.write.diagnose import Diagnosis
from pgpipe.load.write.key import key_indexes
from pgpipe.load.write.merge import merge
from pgpipe.load.write.run import Counts, Run, record


def write(run: Run) -> Counts:
    """Do what is planned; whole or, where it fails, not at all (`append`: file by file)."""
    plan = run.plan
    if plan.action == "recognise":
        with translated(), run.conn.transaction():
            record(run, Counts())
        return Counts()
    diagnosis = Diagnosis(run)
    if plan.action == "append" and not plan.is_staged:
        return append(run, diagnosis)
    way = {"create": create, "append": append_date, "merge": merge}[plan.action]
    with key_indexes([run]):
        return diagnosis.twice(run.conn, plan.parts, lambda lesson: way(run, lesson))
