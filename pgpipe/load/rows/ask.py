"""Texts that only the database can read: each is asked of the input function of its type."""

import threading
from typing import Any, Self

import psycopg
import pyarrow as pa

from pgpipe.db import Connection, Database, translate
from pgpipe.errors import BadValue
from pgpipe.load.rows import json_text
from pgpipe.load.rows.kernels import Array, pc

READ = "select value from pgpipe_internal.read_texts(%s, %s) value"
VALUES = (
    "22",
    "23",
    "42601",
    "0A000",
    "XX000",
)  # what input functions raise; hstore a syntax error, PostGIS an internal


class Asker:
    """A connection of its own for this, made if it is needed; the connections of a load share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conn: Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        if self._conn is not None:
            self._conn.close()

    def read(self, texts: Array, kind: str) -> Array:
        """The field bytes of each text as a value of the type; NULL stays NULL.

        Raises:
            BadValue: a text is not valid as that type, or is not stored without loss.
            PgpipeError: from the server.
        """
        items = pc.binary_join_element_wise('{"value":', json_text.json_text(texts), "}", "")
        listed = pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)
        document = f"[{pc.binary_join(listed, ',')[0].as_py()}]"
        try:
            with self._lock, self._connection().cursor(binary=True) as cursor:
                found = [value for (value,) in cursor.execute(READ, (document, kind))]
        except psycopg.Error as exc:
            if exc.sqlstate is None or not exc.sqlstate.startswith(VALUES):
                raise translate(exc) from exc
            raise BadValue(f"a text that is not valid as {kind}") from exc
        fields: Any = pa.array(found, pa.binary())
        if fields.null_count > texts.null_count:
            raise BadValue(f"a value that {kind} would round")
        return fields

    def _connection(self) -> Connection:
        if self._conn is None:
            self._conn = self._database.connect(autocommit=True)
        return self._conn
