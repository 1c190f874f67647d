"""Adopting vectors that exist already: another tool made them, and they need not be computed again."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from psycopg.types.json import Jsonb

from pgpipe import errors
from pgpipe.db import Connection, translated
from pgpipe.embed.batch import Encoder
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.queue import Embedding

STEP = 5_000  # rows of one transaction
ALIKE = 0.97  # cosine; as for the identity of a model
RELATION = "select to_regclass(%s)::oid::bigint"
SAMPLE = "select key::text, content, vector from pgpipe_internal.sample_foreign(%s, %s::oid::regclass, %s, %s, %s)"
KEY = "select key_columns from pgpipe.embedding where embedding_id = %s"
WAITING = "select count(*) from pgpipe.job where embedding_id = %s"
ADOPT = "select examined, adopted, last from pgpipe_internal.adopt_vectors(%s, %s::oid::regclass, %s, %s, %s, %s)"


@dataclass(frozen=True)
class Source:
    """Where vectors lie."""

    oid: int  # of the table
    vector: str  # the column: vector, halfvec, real[] or double precision[]
    key: list[str]  # the columns that hold the key of the target, in its order


@dataclass
class Adopted:
    """What became of the rows that waited."""

    examined: int = 0
    adopted: int = 0


def relation(conn: Connection, name: str) -> int:
    """The oid of a table as SQL names it.

    Raises:
        UsageError: the table does not exist.
    """
    row = conn.execute(RELATION, (name,)).fetchone()
    if row is None or row[0] is None:
        raise errors.UsageError(f"the table {name} does not exist")
    return int(row[0])


def key_columns(conn: Connection, embedding: Embedding) -> list[str]:
    """The key of its target."""
    row = conn.execute(KEY, (embedding.embedding_id,)).fetchone()
    return list(row[0]) if row else []


def waiting(conn: Connection, embedding: Embedding) -> int:
    """How many of its rows wait."""
    row = conn.execute(WAITING, (embedding.embedding_id,)).fetchone()
    return int(row[0]) if row else 0


def check(conn: Connection, embedding: Embedding, source: Source, encoder: Encoder, size: int) -> float:
    """Compare a random sample with what the embedding's model makes of the same texts; returns the lowest cosine.

    Raises:
        UsageError: the vectors are of another model, of other texts, or there is none to compare.
        DatabaseError: a column is missing, or its type holds no vectors.
    """
    with translated():
        values = (embedding.embedding_id, source.oid, source.vector, source.key, size)
        rows = conn.execute(SAMPLE, values).fetchall()
    if not rows:
        raise errors.UsageError(
            f"no row of {embedding.entity} that waits has a usable vector of {embedding.dims} dimensions there"
        )
    made, failures = encoder.encode([text for _, text, _ in rows], lambda _share: None)
    given = np.array([vector for _, _, vector in rows], np.float32)
    cosines = np.sum(_unit(given) * _unit(made), axis=1)
    cosines[list(failures)] = 1  # of a text that the model does not take nothing is known
    worst = int(np.argmin(cosines))
    if cosines[worst] < ALIKE:
        raise errors.UsageError(
            f"the vectors are not what the model {embedding.model!r} makes of the present texts: the cosine is"
            f" {cosines[worst]:.3f} for {rows[worst][0]}, and must be {ALIKE}; nothing was adopted"
            " (`--check 0` takes them without a look)"
        )
    return float(cosines[worst])


def adopt(
    conn: Connection,
    embedding: Embedding,
    source: Source,
    progress: Callable[[int], None] = lambda _rows: None,
    step: int = STEP,
) -> Adopted:
    """Take over the vectors of all rows that wait; those without a usable one go on waiting.

    Stop it anywhere: each step is committed, and the next call finds only rows that still wait.

    Args:
        conn: that commits each statement.
        embedding: whose store they go into.
        source: where they come from.
        progress: called with the rows of each step.
        step: rows of one transaction.

    Raises:
        DatabaseError: a column is missing, or its type holds no vectors.
    """
    result, last = Adopted(), None
    with translated():
        while True:
            values = (embedding.embedding_id, source.oid, source.vector, source.key, last and Jsonb(last), step)
            row = conn.execute(ADOPT, values).fetchone()
            assert row is not None
            examined, adopted, last = row
            if not examined:
                return result
            result.examined += examined
            result.adopted += adopted
            progress(examined)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return units
