"""Doctor: who may act as the role whose rights functions have."""

import json
import uuid

from pgpipe.db import Database
from pgpipe.doctor.roles import examine_queue_role
from tests.conftest import Cli

CHECK = "pgpipe_queue"


def findings(cli: Cli) -> list[tuple[str, str, str]]:
    """State, message and advice of each finding about the role."""
    found = json.loads(cli("doctor", "--json", "--skip-model").out)
    return [(f["state"], f["message"], f["todo"]) for f in found if f["check"] == CHECK]


def test_members_of_the_queue_role_are_named(cli: Cli, database: Database) -> None:
    """A role that made pgpipe_queue beforehand could write every queue; a role that may log in is a failure."""
    intruder = f"intruder_{uuid.uuid4().hex[:8]}"
    with database.connect(autocommit=True) as conn:
        assert not [f for f in findings(cli) if intruder in f[1]]
        conn.execute(f"create role {intruder}; grant pgpipe_queue to {intruder}".encode())
        try:
            (named,) = (f for f in findings(cli) if intruder in f[1])
            assert named[0] == "warning"
            assert named[2].endswith(f"revoke pgpipe_queue from {intruder}")
        finally:
            conn.execute(f"drop role {intruder}".encode())
        assert not [f for f in findings(cli) if intruder in f[1]]


def test_a_queue_role_that_may_log_in(database: Database) -> None:
    """It is a failure, with the statement that mends it."""
    with database.connect() as conn:
        conn.execute("alter role pgpipe_queue login")
        (finding,) = (f for f in examine_queue_role(conn) if f.state == "failure")
        conn.rollback()

    assert finding.todo == "alter role pgpipe_queue nologin nosuperuser"
