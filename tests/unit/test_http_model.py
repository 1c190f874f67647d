"""The backend http against a real local HTTP server that misbehaves on order."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from pgpipe import errors
from pgpipe.embed.batch import Encoder
from pgpipe.embed.model import http
from pgpipe.embed.model.base import Model, dimensions, encode_query, load_model
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.settings.sources import load_settings
from tests.unit.http_service import Answer, Service, serving, vectors


@pytest.fixture
def service() -> Iterator[Service]:
    """A service on the loopback."""
    with serving() as server:
        yield server


def settings(service: Service, **more: object) -> EmbeddingSettings:
    return EmbeddingSettings(backend="http", model="m", url=service.url, **more)


def loaded(service: Service, **more: object) -> Model:
    """The model, with the request of its loading forgotten."""
    model = load_model(settings(service, **more))
    service.requests.clear()
    return model


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(http, "PATIENCE", 0.3)


def test_vectors_in_the_order_of_the_texts(service: Service) -> None:
    """Batches of a bounded size, sent as one model's documents; unit length; the dimensions are learned by asking."""
    model = loaded(service)
    texts = ["x" * n for n in range(150)]

    result = model.encode(texts)

    assert model.dims == dimensions(settings(service)) == 3
    expected = np.array([[n, 3, 4] for n in range(150)], np.float32)
    assert np.allclose(result, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert sorted(len(t) for t in service.texts[:3]) == [22, 64, 64]
    assert service.requests[0][1]["model"] == "m"
    assert service.requests[0][0]["path"] == "/v1/embeddings"
    assert model.encode([]).shape == (0, 3)


def test_prompts_and_pieces(service: Service) -> None:
    """Prompts are the user's; a long text is split by characters, four to a token."""
    model = loaded(service, query_prompt="q: ", document_prompt="d: ", max_tokens=100)

    encode_query(model, "one")
    model.encode(["two"])

    assert service.texts == [["q: one"], ["d: two"]]
    text = "some words. " * 100
    pieces = model.split(text)
    assert len(pieces) > 1
    assert max(b - a for a, b in pieces) <= 400
    assert "".join(text[a:b] for a, b in pieces).replace(" ", "") == text.replace(" ", "")
    assert model.split("short") == [(0, 5)]


@pytest.mark.parametrize("source", ["environment", "file"])
def test_the_key(service: Service, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment or from a credential's file; it is shown nowhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("s3cret\n")
    name, value = ("API_KEY", "s3cret") if source == "environment" else ("API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv(f"PGPIPE_EMBEDDING__{name}", value)
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "http")
    monkeypatch.setenv("PGPIPE_EMBEDDING__URL", service.url)
    embedding = load_settings().embedding

    load_model(embedding)

    assert service.requests[0][0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(embedding)


def test_a_key_that_is_not_there(service: Service, tmp_path: Path) -> None:
    """The line names the file."""
    with pytest.raises(errors.ModelError, match=r"api_key_file .*nokey cannot be read"):
        load_model(settings(service, api_key_file=tmp_path / "nokey"))
    with pytest.raises(errors.ModelError, match=r"needs embedding\.url"):
        load_model(EmbeddingSettings(backend="http"))


def test_throttling_is_waited_for(service: Service) -> None:
    """429 and 5xx: the same request again, not before Retry-After says so; nothing is lost or doubled."""
    model = loaded(service)
    service.answers = [(429, {"Retry-After": "0.3"}, {"error": {"message": "slow down"}}), (503, {}, b"")]
    before = time.monotonic()

    result = model.encode(["abc"])

    assert time.monotonic() - before >= 0.3
    assert service.texts == [["abc"]] * 3
    assert result.shape == (1, 3)


def test_one_throttled_request_holds_back_all(service: Service) -> None:
    """While the service asks to be left alone no other request is sent."""
    model = loaded(service)
    model._resume = time.monotonic() + 0.3  # type: ignore[attr-defined]
    before = time.monotonic()

    model.encode(["a"] * 200)

    assert time.monotonic() - before >= 0.3


@pytest.mark.usefixtures("impatient")
def test_a_long_throttle_goes_to_the_worker() -> None:
    """With the seconds that the service asked for, as a number or as a date."""
    with Service() as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        model = loaded(service)
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        for header, low, high in (("120", 120, 120), (date, 80, 91)):
            service.answers = [(429, {"Retry-After": header}, {"error": {"message": "quota"}})]
            with pytest.raises(errors.Transient, match=r"answers 429: quota") as caught:
                model.encode(["abc"])
            assert low <= caught.value.retry_after <= high
        service.shutdown()


@pytest.mark.parametrize("hang", [False, True], ids=["throttled", "no answer"])
def test_told_to_stop(service: Service, hang: bool) -> None:
    """`abort` ends a call that waits, for its turn or for an answer, while the service is as it was."""
    model = loaded(service, timeout=600)
    asked, over = threading.Event(), threading.Event()

    def rule(_: list[str]) -> Answer:
        asked.set()
        if hang:
            over.wait()
        return 429, {"Retry-After": "15"}, {"error": "quota"}

    service.rule = rule
    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(model.encode, ["abc"] * 300)
        asked.wait()
        model.abort()  # type: ignore[attr-defined]
        try:
            with pytest.raises(errors.Transient, match="the embedder stops"):
                encoding.result()
        finally:
            over.set()
    with pytest.raises(errors.Transient, match="the embedder stops"):
        model.encode(["abc"])


@pytest.mark.usefixtures("impatient")
def test_a_service_that_is_down(service: Service) -> None:
    """Refused connections, broken answers and time-outs are transient once loaded, unreachable at the start."""
    model = loaded(service, timeout=1)
    over = threading.Event()
    service.rule = lambda _: (500, {}, b"oops")
    with pytest.raises(errors.Transient, match=r"answers 500: oops"):
        model.encode(["abc"])
    service.rule = lambda texts: (over.wait(), (200, {}, vectors(texts)))[1]
    with pytest.raises(errors.Transient, match=r"does not answer"):
        model.encode(["abc"])
    over.set()
    service.rule = lambda _: (200, {"Content-Length": "1000", "Connection": "close"}, b"{")
    with pytest.raises(errors.Transient, match=r"does not answer"):
        model.encode(["abc"])

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # taken, and nobody listens
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(errors.Unreachable, match=r"does not answer"):
            load_model(EmbeddingSettings(backend="http", model="m", url=url))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Permanent),
        (422, errors.Permanent),
        (413, errors.TooLarge),
        (424, errors.TooLarge),
        (401, errors.ModelError),
        (403, errors.ModelError),
        (404, errors.ModelError),
        (302, errors.ModelError),
    ],
)
def test_what_is_not_tried_again(service: Service, status: int, kind: type[Exception]) -> None:
    """A refused text is the text's fault, a refused key or address nobody's who waits; each is asked for once."""
    model = loaded(service)
    service.rule = lambda _: (status, {"Location": "http://127.0.0.1:1/"}, {"error": {"message": "no"}})

    with pytest.raises(kind, match=f"answers {status}: no"):
        model.encode(["abc"])

    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>", {"data": 7}, {"data": [{"index": 0}]}, {"data": []}, vectors(["a", "b"])], ids=str
)
def test_answers_that_are_none(service: Service, body: object) -> None:
    """A page, other fields, too few or too many vectors: an error that says so, never a wrong vector."""
    model = loaded(service)
    service.rule = lambda _: (200, {}, body)

    with pytest.raises(errors.ModelError, match=r"answers with"):
        model.encode(["abc"])


def test_one_vector_that_is_null(service: Service) -> None:
    """V16: the text whose vector the service leaves out is charged; the others have theirs."""
    model = loaded(service)

    def rule(texts: list[str]) -> Answer:
        answer = vectors(texts)
        for row in answer["data"]:  # type: ignore[attr-defined]
            row["embedding"] = None if texts[row["index"]] == "odd" else row["embedding"]
        return 200, {}, answer

    service.rule = rule

    result, failures = Encoder(model).encode(["a", "odd", "b"], lambda _share: None)

    assert {n: (f.reason, f.charge) for n, f in failures.items()} == {
        1: ("the model made a vector that is not finite", True)
    }
    assert np.isfinite(result[[0, 2]]).all()


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        ({"message": "no such text"}, errors.Permanent, "answers 400: no such text"),
        ("out of order", errors.Permanent, "answers 400: out of order"),
        ({"message": "slow down", "code": 429}, errors.Transient, "answers 429: slow down"),
        ({"message": "no key", "code": "401"}, errors.ModelError, "answers 401: no key"),
        ({"message": "CUDA out of memory", "code": 424}, errors.TooLarge, "answers 424: CUDA out of memory"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_an_error_that_calls_itself_success(service: Service, error: object, kind: type[Exception], says: str) -> None:
    """V16: `200 {"error": …}` is the error that it names; the service's words are shown."""
    model = loaded(service)
    service.rule = lambda _: (200, {}, {"error": error})

    with pytest.raises(kind, match=says):
        model.encode(["abc"])


def test_a_backend_out_of_memory(service: Service) -> None:
    """V16: 424 for a batch that is too large halves it; no row is charged."""
    model = loaded(service)
    service.rule = lambda texts: (200, {}, vectors(texts)) if len(texts) < 3 else (424, {}, {"error": "out of memory"})

    result, failures = Encoder(model).encode([f"text {n}" for n in range(9)], lambda _share: None)

    assert (failures, result.shape) == ({}, (9, 3))


def test_other_dimensions_later(service: Service) -> None:
    """A service that changes its model under the same name is found out."""
    model = loaded(service)
    service.rule = lambda texts: (200, {}, {"data": [{"index": n, "embedding": [1.0]} for n, _ in enumerate(texts)]})

    with pytest.raises(errors.ModelError, match=r"vectors of shape \(1, 1\), not \(1, 3\)"):
        model.encode(["abc"])
