"""A batch at the model: texts are split and encoded, and rows that it takes are parted from those that it does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pgpipe.embed.batch import Encoder, Failure, split
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.queue import Chunk, Job, Lease


@dataclass(frozen=True)
class Encoded:
    """A batch between the model and the database."""

    lease: Lease
    good: list[Job]
    chunks: list[Chunk]  # their job's number is that in `good`
    vectors: Vectors
    failures: list[tuple[Failure, list[Job]]]
    read: int = 0  # jobs whose text the model read

    def part(self, start: int, stop: int) -> "Encoded":
        """Some of the good jobs, with what belongs to them."""
        kept = [n for n, chunk in enumerate(self.chunks) if start <= chunk.job < stop]
        chunks = [replace(self.chunks[n], job=self.chunks[n].job - start) for n in kept]
        return Encoded(self.lease, self.good[start:stop], chunks, self.vectors[kept], [])

    def without(self, refused: dict[str, Failure]) -> "Encoded":
        """The same where jobs of these keys failed after all, in the database."""
        failed = [job for job in self.good if job.key in refused]
        return replace(
            self,
            good=[job for job in self.good if job.key not in refused],
            failures=self.failures + [(refused[job.key], [job]) for job in failed],
            read=self.read - sum(map(must_read, failed)),
        )


def must_read(job: Job) -> bool:
    """Whether the model must read the job's text."""
    return job.content is not None and not job.fresh and not job.twin


def unread(lease: Lease) -> Encoded:
    """A batch that needs no model."""
    return Encoded(lease, lease.jobs, [], np.empty((0, lease.embedding.dims), np.float32), [])


def encode(lease: Lease, encoder: Encoder, between: Callable[[float], None]) -> Encoded:
    """Split the texts and encode the pieces.

    Args:
        lease: the jobs as claimed.
        encoder: of the embedding's model.
        between: called before each call of the model with the share of the texts that are done; what it raises ends
            the encoding.

    Raises:
        Transient, ModelError: as Encoder.encode.
    """
    todo = [n for n, job in enumerate(lease.jobs) if must_read(job)]
    failures: dict[int, Failure] = {}
    chunks: list[Chunk] = []
    texts: list[str] = []
    for n in todo:
        content = lease.jobs[n].content or ""
        pieces, failure = split(encoder.model, content, lease.embedding.chunk_size, lease.embedding.chunk_overlap)
        if failure:
            failures[n] = failure
        chunks += [Chunk(n, number, start, end) for number, (start, end) in enumerate(pieces)]
        texts += [content[start:end] for start, end in pieces]
    vectors, broken = encoder.encode(texts, between)
    failures |= {chunks[c].job: failure for c, failure in broken.items()}
    good = [n for n in range(len(lease.jobs)) if n not in failures]
    place = {n: i for i, n in enumerate(good)}
    kept = [c for c in range(len(chunks)) if chunks[c].job in place]
    return Encoded(
        lease,
        [lease.jobs[n] for n in good],
        [Chunk(place[chunks[c].job], chunks[c].number, chunks[c].start, chunks[c].end) for c in kept],
        vectors[kept],
        [(f, [lease.jobs[n] for n, g in failures.items() if g == f]) for f in dict.fromkeys(failures.values())],
        read=len(todo) - len(failures),
    )
