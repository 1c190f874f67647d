"""From texts to vectors: equal texts once, similar lengths together, and a failing text alone. No database here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pgpipe import errors
from pgpipe.embed.halt import END
from pgpipe.embed.model.base import Model, Vectors
from pgpipe.log import get_logger
from pgpipe.mask import said

TEXTS = 256  # that the model gets at once; between two calls the lease is extended and a stop is heeded
HALF = 2000  # dimensions beyond which a store keeps vectors in half precision (sql/30: create_store)
TOKENS = 65_536  # at once, counted as the model pays for them: the longest of the texts times their number

log = get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why a text has no vector; `charge` says that the text is at fault, not the machine."""

    reason: str
    charge: bool
    retry_after: float | None = None  # seconds to wait, where the model's backend could not answer


@dataclass
class Encoder:
    """A model, and what was learned about how much it takes at once."""

    model: Model
    tokens: int = TOKENS
    half: bool = False  # the store keeps half the precision
    failed_calls: int = field(default=0, init=False)

    def encode(self, texts: Sequence[str], between: Callable[[float], None]) -> tuple[Vectors, dict[int, Failure]]:
        """Encode each different text once.

        Args:
            texts: in any order, any number.
            between: called before each call of the model with the share of the texts that are done, from 0 to 1; what
                it raises ends the encoding.

        Returns:
            Vectors, shape (len(texts), dims), and why each text that failed did (its vector means nothing).

        Raises:
            Transient: the backend cannot answer now; nothing is returned.
            ModelError: the vectors are not what the model promises, or it fails on any text whatever.
        """
        unique = list(dict.fromkeys(texts))
        place = {text: n for n, text in enumerate(unique)}
        costs = self._count(unique)
        order = sorted(range(len(unique)), key=lambda n: -costs[n])  # longest first: too large shows at once
        vectors = np.zeros((len(unique), self.model.dims), np.float32)
        broken: dict[int, Failure] = {}
        done = 0
        while done < len(order):
            between(done / len(order))
            part = order[done : done + self._room(costs[order[done]])]
            found, bad = self._bisect([unique[n] for n in part], max(costs[part[0]], 1))
            vectors[part] = found
            broken |= {part[n]: failure for n, failure in bad.items()}
            done += len(part)
        if unique and len(broken) == len(unique):
            self._probe(next(iter(broken.values())))
        everywhere = [place[text] for text in texts]
        failures = {n: broken[u] for n, u in enumerate(everywhere) if u in broken}
        return vectors[everywhere] if everywhere else vectors, failures

    def _count(self, texts: list[str]) -> list[int]:
        count: Callable[[list[str]], list[int]] | None = getattr(self.model, "count", None)
        if count:
            try:
                return [int(tokens) for _, tokens in zip(texts, count(texts), strict=True)]
            except END:
                raise
            except BaseException as exc:  # noqa: BLE001 - what cannot be counted can hardly be encoded: that says more
                log.debug("tokens cannot be counted", model=self.model.name, error=said(exc))
        return [len(text) // 4 + 1 for text in texts]  # English has about 4 characters a token

    def _room(self, longest: int) -> int:
        return min(max(self.tokens // max(longest, 1), 1), TEXTS)

    def _bisect(self, texts: list[str], longest: int, *, faulty: bool = False) -> tuple[Vectors, dict[int, Failure]]:
        """Where the model fails, halve until the texts that it cannot take stand alone.

        `faulty` says that a call with these texts is known to fail, because one with more of them did and the others
        are good: then it is not made. One bad text among n costs log2(n) calls that fail.
        """
        if not faulty or len(texts) == 1:
            try:
                return self._call(texts)
            except (errors.Transient, errors.ModelError, *END):
                raise
            except BaseException as exc:  # noqa: BLE001 - a model may raise anything; its text is found below
                self.failed_calls += 1
                faulty = not _too_large(exc)
                if not faulty:
                    self.tokens = max(longest * len(texts) // 2, 1)
                if len(texts) == 1:
                    return np.zeros((1, self.model.dims), np.float32), {0: failure_of(exc)}
        half = len(texts) // 2
        left, bad_left = self._bisect(texts[:half], longest)
        right, bad_right = self._bisect(texts[half:], longest, faulty=faulty and not bad_left)
        return np.concatenate([left, right]), bad_left | {half + n: failure for n, failure in bad_right.items()}

    def _call(self, texts: list[str]) -> tuple[Vectors, dict[int, Failure]]:
        vectors = np.asarray(self.model.encode(texts), np.float32)
        if vectors.shape != (len(texts), self.model.dims):
            raise errors.ModelError(
                f"the model {self.model.name!r} made vectors of shape {vectors.shape} for {len(texts)} texts,"
                f" not of {self.model.dims} dimensions"
            )
        return vectors, {n: Failure(reason, charge=True) for n, reason in faults(vectors, self.half).items()}

    def _probe(self, failure: Failure) -> None:
        """Tell bad texts from a bad machine, where every text of a batch failed: try one that any model takes."""
        _, broken = self._bisect(["a word"], 1)
        if broken:
            raise errors.ModelError(f"the model {self.model.name!r} fails on any text: {failure.reason}")


def faults(vectors: Vectors, half: bool = False) -> dict[int, str]:
    """Which vectors no search could find, and why: those without a direction, as the store would keep them.

    pgvector adds up squares in single precision: where their sum is 0 or infinite, every cosine is not a number.
    """
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(vectors), axis=1)
    half = half or vectors.shape[1] > HALF
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        kept = vectors.astype(np.float16).astype(np.float32) if half else vectors
        lengths = np.einsum("ij,ij->i", kept, kept)
    where = " in half precision" if half else ""
    found: dict[int, str] = {}
    for n in np.flatnonzero(~(finite & np.isfinite(lengths) & (lengths > 0))).tolist():
        if not finite[n]:
            found[n] = "the model made a vector that is not finite"
        elif not vectors[n].any():
            found[n] = "the model made a vector of zeros, which has no direction"
        elif lengths[n] == 0:
            found[n] = f"the model made a vector whose values are too small: its length is 0{where}"
        else:
            found[n] = f"the model made a vector whose values are too large: its length is infinite{where}"
    return found


def split(model: Model, text: str, size: int | None, overlap: int) -> tuple[list[tuple[int, int]], Failure | None]:
    """The ranges of a text's pieces, or why the model cannot split it."""
    try:
        return [(int(start), int(end)) for start, end in model.split(text, size, overlap)], None
    except (errors.Transient, *END):
        raise
    except BaseException as exc:  # noqa: BLE001 - as in Encoder
        return [], failure_of(exc)


def failure_of(exc: BaseException) -> Failure:
    """Why a text that stood alone failed; one that is too large for this machine may do on another."""
    return Failure(said(exc), charge=not _too_large(exc))


def _too_large(exc: BaseException) -> bool:
    """Out of memory: Python's, torch's of any device, or what a backend calls so."""
    return isinstance(exc, (errors.TooLarge, MemoryError)) or type(exc).__name__ == "OutOfMemoryError"
