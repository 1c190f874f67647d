"""kill -9 of a load: the target is the old state or the new one, the ledger agrees, and the next run completes."""

import random
import time
from pathlib import Path

import pytest

from pgpipe.db import Database
from tests.chaos.support import MODES, NEWER, OLDER, Load, agrees, await_begin, build, run, state
from tests.flow.support import rows
from tests.sql.support import eventually

RUNNING = "select count(*) from pgpipe.load_history where state = 'running'"
SPAN = 0.6  # seconds; about what the load takes after it has begun


@pytest.mark.parametrize("moments", [3, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.parametrize("mode", [pytest.param(m, marks=() if m == "merge" else pytest.mark.long) for m in MODES])
def test_a_killed_load_leaves_the_old_state_or_the_new(
    mode: str, moments: int, database: Database, tmp_path: Path
) -> None:
    """At random moments of a load (an append may also stand between two files); then it runs to its end."""
    url = build(tmp_path / "lake")
    day = OLDER if mode == "first load" else NEWER
    if mode != "first load":
        assert run(database, url, *MODES[mode], "--date", OLDER).code == 0
    draw = random.Random(mode)
    with database.connect(autocommit=True) as conn:
        states = [state(conn)]
        for number, moment in enumerate(sorted(draw.uniform(0, SPAN) for _ in range(moments))):
            load = Load(database, url, *MODES[mode], "--date", day)
            await_begin(conn, load, number + (mode != "first load"))
            time.sleep(moment)
            load.kill()
            eventually(
                lambda: rows(database, "select count(*) from pgpipe.load_history where state = 'running'") == [(0,)]
            )
            states.append(state(conn))
            assert agrees(conn, MODES[mode][1])
        ended = run(database, url, *MODES[mode], "--date", day)
        done = state(conn)

        assert ended.code == 0, ended.said
        assert agrees(conn, MODES[mode][1])
        if mode != "append":
            assert set(states) <= {states[0], done}
        assert conn.execute("select count(*) from pgpipe.load where finished_at is null").fetchone() == (0,)
        left = conn.execute("select count(*) from pg_class where relnamespace = 'pgpipe_staging'::regnamespace")
        assert left.fetchone() == (0,)
