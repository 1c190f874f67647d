"""Which weights made a store's vectors: the vectors of fixed texts, kept with the embedding and compared by cosine."""

import numpy as np

from pgpipe.embed.batch import Encoder
from pgpipe.embed.model.base import Model, Vectors, unit_length
from pgpipe.errors import OtherModel

# Prose, another language, code, a list. The stored fingerprints are of these very texts.
PROBES = [
    "A waterproof jacket for cold and windy days.",
    "Wie wird das Wetter morgen in den Bergen?",
    "def add(a, b): return a + b",
    "red wine, 0.75 l",
]
DIMS = 256  # of each vector, at most: they tell models apart, and a row stays small
# Of the mean cosine. The same weights in int8 have 0.992 here, with a tenth of noise on each of them 0.95.
LEAST = 0.97


def take(model: Model) -> bytes | None:
    """The model's fingerprint; None where it does not take the texts.

    Raises:
        Transient: the backend cannot answer now.
        ModelError: the model fails on any text.
    """
    vectors, broken = Encoder(model).encode(PROBES, lambda _share: None)
    return None if broken else unit_length(vectors[:, :DIMS]).astype("<f4").tobytes()


def require_same(stored: bytes, taken: bytes, model: str, entity: str, embedding: str) -> None:
    """Compare the fingerprint of a store with that of the model at hand.

    Raises:
        OtherModel: they are of other weights.
    """
    one, other = _vectors(stored), _vectors(taken)
    dims = min(one.shape[1], other.shape[1])  # the store's may be fewer, by truncate_dim
    cosine = float(np.mean(np.sum(unit_length(one[:, :dims]) * unit_length(other[:, :dims]), axis=1)))
    if cosine < LEAST:
        raise OtherModel(
            f"the model {model!r} on this machine is not the one that made the vectors of {entity} (embedding"
            f" {embedding}); their cosine is {cosine:.3f}, and at least {LEAST} if the weights are the same;"
            " restore the former weights or prompts (embedding.revision, embedding.document_prompt), or change the"
            f" model: `pgpipe embedding add {entity} --name NEW`, `pgpipe embedder --drain`,"
            f" `pgpipe embedding switch {entity} NEW`"
        )


def _vectors(fingerprint: bytes) -> Vectors:
    return np.frombuffer(fingerprint, "<f4").reshape(len(PROBES), -1)
