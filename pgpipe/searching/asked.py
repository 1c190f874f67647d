"""The log of questions: what was asked, how many hits it had, and how long each part took. Off unless configured.

It is written over `database.url` by a thread of its own, after the answer. A search neither waits for it nor fails.
"""

import atexit
import hashlib
import json
import os
import queue
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg import Cursor

from pgpipe.db import Connection, Database
from pgpipe.db.encoding import storable
from pgpipe.log import get_logger
from pgpipe.mask import said
from pgpipe.searching.ask import STATEMENTS, Hit, Question, Statement
from pgpipe.searching.steps import Encode, Steps
from pgpipe.settings.model import Settings

RECORD = "select pgpipe_internal.record_asked(%s::jsonb, %s)"
UNANSWERED = """
    select schema, entity, question, times, last_at from pgpipe.unanswered
     order by times desc, last_at desc, question limit %s
"""
GRANTED = """
    select has_table_privilege('pgpipe.asked', 'select') and has_table_privilege('pgpipe.unanswered', 'select') as may
"""
MODES = {sql: mode for mode, sql in STATEMENTS.items()}
ROOM = 1000  # questions that may wait to be written; more are dropped
BATCH = 100  # questions of one statement
IDLE = 30.0  # seconds after which the connection is closed
PATIENCE = 2.0  # seconds that a process waits at its end for what is not written yet
log = get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """One question to one table."""

    asked_at: str
    target: int
    mode: str
    question: str | None
    hash: str
    hits: int
    corrected: str | None
    milliseconds: dict[str, float]


class Log:
    """Writes questions to one database."""

    def __init__(self, database: Database, days: int) -> None:
        self._database, self._days = database, days
        self._waiting: queue.Queue[Asked] = queue.Queue(ROOM)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def write(self, asked: Asked) -> None:
        """Take a question; the thread writes it."""
        try:
            self._waiting.put_nowait(asked)
        except queue.Full:
            log.warning("a question is not recorded: too many wait", waiting=ROOM)
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pgpipe asked", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> None:
        """Wait until all is written, or so long."""
        until = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def _run(self) -> None:
        conn: Connection | None = None
        while True:
            try:
                batch = [self._waiting.get(timeout=None if conn is None else IDLE)]
            except queue.Empty:
                conn = self._close(conn)
                continue
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            conn = self._write(conn, batch)
            for _ in batch:
                self._waiting.task_done()

    def _write(self, conn: Connection | None, batch: list[Asked]) -> Connection | None:
        """Write them; the connection to go on with, or none after a failure."""
        try:
            conn = conn or self._database.connect(autocommit=True)
            conn.execute(RECORD, (json.dumps([_held(conn, each) for each in batch]), self._days))
        except Exception as exc:  # noqa: BLE001 - whatever it is, searches go on
            log.warning("questions are not recorded", questions=len(batch), error=said(exc))
            return self._close(conn)
        return conn

    @staticmethod
    def _close(conn: Connection | None) -> None:
        if conn is not None:
            conn.close()


def _held(conn: Connection, each: Asked) -> dict[str, Any]:
    """As the database can hold it: one character that it lacks would lose the questions of others as well."""
    texts = {"question": each.question, "corrected": each.corrected}
    return asdict(each) | {name: text and storable(conn, text) for name, text in texts.items()}


def unanswered(cursor: Cursor[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Questions that never had a hit, of those that the role may read; none if it may read none."""
    granted = cursor.execute(GRANTED).fetchone()
    return cursor.execute(UNANSWERED, (most,)).fetchall() if granted and granted["may"] else []


def recorded(steps: Steps[list[Hit]], question: Question, settings: Settings) -> Steps[list[Hit]]:
    """The same steps; their times and the number of hits are recorded, if that is configured."""
    return steps if settings.asked.question == "off" else _timed(steps, question, settings)


def _timed(steps: Steps[list[Hit]], question: Question, settings: Settings) -> Steps[list[Hit]]:
    taken = {"model": 0.0, "search": 0.0}
    last: Statement[Any] | None = None
    step = next(steps)
    while True:
        began = time.perf_counter()
        answer = yield step
        part = "model" if isinstance(step, Encode) else "search"
        taken[part] = round(taken[part] + (time.perf_counter() - began) * 1000, 3)
        last = step if isinstance(step, Statement) and step.row is Hit else last
        try:
            step = steps.send(answer)
        except StopIteration as end:
            try:
                _note(end.value, last, question, taken, settings)
            except Exception as exc:  # noqa: BLE001 - a thread that cannot be started, say: the answer is there
                log.warning("a question is not recorded", error=said(exc))
            return end.value  # type: ignore[no-any-return] # what the steps return


def _note(
    hits: list[Hit], asked: Statement[Any] | None, question: Question, taken: dict[str, float], settings: Settings
) -> None:
    if asked is None:
        return
    plain = " ".join(question.query.split())
    words = plain if settings.asked.question == "words" else None
    record = Asked(
        datetime.now(UTC).isoformat(),
        0,
        MODES.get(asked.sql, "several"),
        words,
        hashlib.sha256(plain.lower().encode()).hexdigest(),
        len(hits),
        (hits[0].corrected if hits else None) if words else None,
        taken,
    )
    for oid in asked.values.get("oids") or [asked.values["oid"]]:
        _log(settings).write(replace(record, target=oid))


def _log(settings: Settings) -> Log:
    """The log of a database, one in a process."""
    key = (settings.database, settings.asked.days)
    with _making:
        if key not in _logs:
            _logs[key] = Log(Database(settings.database), settings.asked.days)
        return _logs[key]


def flush(seconds: float = PATIENCE) -> None:
    """Wait a few seconds for what is not written yet, at the end of a process."""
    for each in list(_logs.values()):
        each.flush(seconds)


def _after_fork() -> None:
    """In a child: its parent's threads are not here, and its connections are not its own."""
    global _making  # noqa: PLW0603 - the lock of the parent may be held
    _making = threading.Lock()
    _logs.clear()


_logs: dict[Any, Log] = {}
_making = threading.Lock()
atexit.register(flush)
os.register_at_fork(after_in_child=_after_fork)
