"""Three writers. Each knows what its rows of `note` must be; on `doc` they meet, with DDL, key changes and TRUNCATE."""

import random
from collections.abc import Callable
from contextlib import suppress

import psycopg

from pgpipe.db import Connection
from tests.chaos.soak.world import LOST, World
from tests.sql.alterations import ALTERATIONS

KEYS = 200  # of a writer
WORDS = ["One", "two", "DREI", "", " ", None, "four " * 180]
LOSABLE = {"40P01", "40001", "55P03", "57014"}  # a deadlock, a lock that others hold: the statement is given up
PUT = """
    insert into note select %s, n, %s::text || ' ' || n %% 50, %s from generate_series(%s::int, %s) n
        on conflict (writer, number) do update set body = excluded.body, mark = excluded.mark
"""
REKEY = """
    update note set number = -number - 1
     where writer = %s and number between %s and %s
       and not exists (select from note taken
                        where taken.writer = note.writer and taken.number = -note.number - 1)
"""
PUT_DOC = """
    insert into doc (id, title, body, size) select n, %s, %s, %s from generate_series(%s::int, least(%s, 49)) n
        on conflict (id) do update set title = excluded.title, body = excluded.body, size = excluded.size
"""

Rows = dict[int, tuple[str | None, str | None]]  # body and mark, by number
Change = tuple[str, tuple[object, ...], Callable[[Rows], None]]


class Writer:
    """One writer, and what its rows of `note` are."""

    def __init__(self, world: World, number: int) -> None:
        self.number, self.rows = number, Rows()
        self._world, self._random, self._step = world, world.random(f"writer {number}"), 0

    def run(self) -> None:
        """Write until the soak is over."""
        world = self._world
        conn = world.connect()
        while not world.over.is_set():
            if conn.closed:
                world.count("connections of writers lost")
                conn = world.connect()
            self._note(conn) if self._random.random() < 0.6 else self._doc(conn)
            world.pause(self._random.random() * 0.05)
        conn.close()

    def _note(self, conn: Connection) -> None:
        """A statement on its own rows. Its number is written with it: so it is known whether it was committed."""
        statement, values, change = _CHANGES[self._random.randrange(len(_CHANGES))](self._random, self)
        self._step += 1
        try:
            with conn.transaction():
                conn.execute(statement.encode(), values)
                conn.execute("update step set number = %s where writer = %s", (self._step, self.number))
        except psycopg.Error as exc:
            if not conn.closed:
                self._refused(statement, exc)
            elif self._committed():
                change(self.rows)
        else:
            change(self.rows)
            self._world.count("statements on note")

    def _committed(self) -> bool:
        """Whether the last step was; asked when its backend has ended, too."""
        query = "select from step where writer = %s and number = %s"
        while True:
            with suppress(*LOST), self._world.connect() as conn:
                conn.execute("select from step where writer = %s for update", (self.number,))
                return conn.execute(query, (self.number, self._step)).rowcount == 1

    def _doc(self, conn: Connection) -> None:
        """A statement on rows that others write as well, or one that alters the table."""
        kind, statement, values = _on_doc(self._random)
        try:
            if statement.startswith("vacuum"):
                conn.execute(statement.encode())
            else:
                with conn.transaction():
                    conn.execute(statement.encode(), values or None)
        except psycopg.Error as exc:
            if not conn.closed:
                self._refused(statement, exc)
        else:
            self._world.count(kind)

    def _refused(self, statement: str, exc: psycopg.Error) -> None:
        """Others may be in the way, and DDL may not fit; but never may something of pgpipe's refuse a write."""
        ours = "pgpipe" in f"{exc.diag.context}{exc.diag.message_primary}" and exc.sqlstate not in LOSABLE
        if ours or (exc.sqlstate or "XX")[:2] in {"XX", "PP"}:
            self._world.violated(f"{statement!r}: {exc.sqlstate} {exc} {exc.diag.context}")
        self._world.count(f"statements refused, {exc.sqlstate}")


def _span(choose: random.Random) -> tuple[int, int]:
    first = choose.randrange(KEYS)
    return first, first + choose.choice([0, 0, 3, 20, 100])


def _put(choose: random.Random, writer: Writer) -> Change:
    first, last = _span(choose)
    body, mark = choose.choice(WORDS), choose.choice(WORDS)

    def change(rows: Rows) -> None:
        rows.update({n: (None if body is None else f"{body} {n % 50}", mark) for n in range(first, last + 1)})

    return PUT, (writer.number, body, mark, first, last), change


def _edit(choose: random.Random, writer: Writer) -> Change:
    (first, last), stamp = _span(choose), f"{writer.number}.{choose.random()}"

    def change(rows: Rows) -> None:
        rows.update({n: (f"{stamp} {n}", mark) for n, (_, mark) in rows.items() if first <= n <= last})

    return (
        "update note set body = %s || ' ' || number where writer = %s and number between %s and %s",
        (stamp, writer.number, first, last),
        change,
    )


def _mark(choose: random.Random, writer: Writer) -> Change:
    (first, last), mark = _span(choose), choose.choice(WORDS)

    def change(rows: Rows) -> None:
        rows.update({n: (body, mark) for n, (body, _) in rows.items() if first <= n <= last})

    return (
        "update note set mark = %s where writer = %s and number between %s and %s",
        (mark, writer.number, first, last),
        change,
    )


def _delete(choose: random.Random, writer: Writer) -> Change:
    first, last = _span(choose)

    def change(rows: Rows) -> None:
        for n in [n for n in rows if first <= n <= last]:
            del rows[n]

    return (
        "delete from note where writer = %s and number between %s and %s",
        (writer.number, first, last),
        change,
    )


def _rekey(choose: random.Random, writer: Writer) -> Change:
    """All rows whose mirror is free change their key."""
    first, last = _span(choose)

    def change(rows: Rows) -> None:
        for n in [n for n in rows if first <= n <= last and -n - 1 not in rows]:
            rows[-n - 1] = rows.pop(n)

    return REKEY, (writer.number, first, last), change


_CHANGES = [_put, _put, _edit, _edit, _mark, _delete, _rekey]


def _on_doc(choose: random.Random) -> tuple[str, str, tuple[object, ...]]:
    one, other = choose.randrange(1, 50), choose.randrange(1, 50)
    kinds: list[tuple[str, str, tuple[object, ...]]] = [
        ("inserts on doc", PUT_DOC, (choose.choice(WORDS), choose.choice(WORDS), choose.randint(-1, 2), one, one + 9)),
        ("updates of doc", "update doc set size = %s where id > %s", (choose.randint(-1, 2), one)),
        ("key changes of doc", "update doc set id = %s where id = %s", (other, one)),
        ("deletes on doc", "delete from doc where id between %s and %s", (one, one + 3)),
    ]
    alteration = choose.choice(sorted(ALTERATIONS))
    kinds.append((f"DDL, {alteration}", ALTERATIONS[alteration], ()))
    return choose.choices(kinds, [6, 3, 4, 3, 2])[0]
