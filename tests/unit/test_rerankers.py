"""Rerankers: a service that misbehaves on order, a budget that a slow one meets, and a cross-encoder made here."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pgpipe import errors
from pgpipe.rerank import http
from pgpipe.rerank.base import load_reranker
from pgpipe.rerank.within import FIRST, ROOM, Scorer
from pgpipe.settings.backend import RerankSettings
from tests.fixtures.rerankers import LENGTH, Service, make_cross_encoder, serving
from tests.sql.support import eventually

SECONDS = 60.0  # a budget that no test waits for


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that likes long texts."""
    with serving(lambda text: float(len(text))) as server:
        yield server


def settings(service: Service, **more: Any) -> RerankSettings:
    return RerankSettings(backend="http", model="m", url=service.url, **more)


def test_a_service(service: Service, tmp_path: Path) -> None:
    """It gets model, query, documents and top_n, each cut to what it reads, and the key; scores are by the texts."""
    (tmp_path / "key").write_text("s3cret\n")
    reranker = load_reranker(settings(service, max_tokens=16, api_key_file=tmp_path / "key"))

    assert reranker.scores("q" * 99, ["aa", "a" * 99, "aaa"], SECONDS) == [2, 64, 3]

    ((headers, body),) = service.requests
    assert body == {"model": "m", "query": "q" * 64, "documents": ["aa", "a" * 64, "aaa"], "top_n": 3}
    assert (headers["path"], headers["Authorization"]) == ("/v1/rerank", "Bearer s3cret")


def test_a_service_that_misbehaves(service: Service) -> None:
    """No redirect is followed, nothing is read without end, and whatever is no list of scores is one line."""
    reranker = load_reranker(settings(service))
    for answer, line in (
        ((307, {"Location": "http://127.0.0.1:1/"}, b""), "answers 307"),
        ((401, {}, {"message": "no such key"}), "answers 401: no such key"),
        ((500, {}, b"oops\nand more"), "answers 500: oops and more"),
        ((200, {}, b"hello"), "no scores"), ((200, {}, []), "no scores"), ((200, {}, {"data": []}), "no scores"),
        ((200, {}, {"results": [{"index": 0, "relevance_score": "x"}]}), "no scores"),
        ((200, {}, {"results": [{"index": 1, "relevance_score": 1}]}), "scores of 1 texts, not of the 2"),
        ((200, {}, {"results": [{"index": n, "relevance_score": 1} for n in (0, 7)]}), "scores of 2 texts, not"),
        ((200, {}, b" " * (5 << 20)), "more than 4 MiB"),
        ((200, {"Content-Length": "99", "Connection": "close"}, b"{"), "does not answer"),
    ):  # fmt: skip
        service.answers = [answer]
        with pytest.raises(errors.ModelError, match=line) as raised:
            reranker.scores("q", ["a", "b"], SECONDS)
        assert "\n" not in str(raised.value)
    assert len(service.requests) == 11

    service.answers = [(200, {}, {"results": [{"index": 0, "relevance_score": float("nan")}]})]
    assert "made no score" in (Scorer(reranker)("q", ["a"], SECONDS).fault or "")
    service.speak.clear()
    silent = Scorer(reranker)("q", ["a"], 0.1)
    service.speak.set()
    assert silent.scores == []
    assert silent.fault
    assert reranker.scores("q", ["a"], SECONDS) == [1.0]  # it speaks again


class Slow:
    """A reranker that reads a batch only when it may."""

    name = "slow"

    def __init__(self, batches: int) -> None:
        self.may = threading.Semaphore(batches)
        self.read: list[list[str]] = []

    def scores(self, _query: str, texts: list[str], _seconds: float) -> list[float]:
        self.may.acquire()
        self.read.append(texts)
        return [float(text) for text in texts]


def test_a_budget() -> None:
    """What is read within it counts, the rest does not; a reranker that is stuck makes nobody wait longer."""
    slow = Slow(1)
    scorer, texts = Scorer(slow), [str(n) for n in range(50)]

    in_part = scorer("q", texts, 0.5)
    stuck = scorer("q", texts, 0.05)
    many = [scorer("q", texts, 0).fault or "" for _ in range(ROOM + 2)]
    for _ in range(60):
        slow.may.release()
    eventually(lambda: bool(scorer("q", texts[:1], SECONDS).scores))
    again = scorer("q", texts, SECONDS)

    assert (in_part.scores, in_part.fault) == ([0, 1, 2, 3], None)
    assert (stuck.scores, stuck.fault) == ([], "no score came within 50 ms")
    assert "busy" in many[-1]  # what waits does not fill memory
    assert (again.scores, again.fault) == (list(range(50)), None)
    assert len(slow.read[0]) == FIRST  # later batches are as large as there is time for


def test_a_service_that_trickles(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that come byte by byte, each in time, hold no thread for ever; the next question is asked as usual."""
    monkeypatch.setattr(http, "SPARE", 0.1)
    cut = threading.Event()

    def trickle(listening: socket.socket) -> None:
        with listening, suppress(OSError), listening.accept()[0] as conn:
            conn.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not cut.wait(0.05):
                conn.sendall(b"x")
        cut.set()

    listening = socket.create_server(("127.0.0.1", 0))
    reranker = load_reranker(
        settings(service).model_copy(update={"url": f"http://127.0.0.1:{listening.getsockname()[1]}"})
    )
    threading.Thread(target=trickle, args=(listening,), daemon=True).start()
    asking = threading.Thread(target=Scorer(reranker), args=("q", ["a"], 0.2), daemon=True)
    asking.start()
    assert cut.wait(30)
    reranker._url = f"{service.url}/rerank"  # type: ignore[attr-defined]
    assert reranker.scores("q", ["aa"], SECONDS) == [2]


def test_a_cross_encoder(tmp_path: Path) -> None:
    """The scores of sentence-transformers; a text may be longer than the model reads; several labels are refused."""
    from sentence_transformers import CrossEncoder

    folder = make_cross_encoder(tmp_path / "cross")
    model = load_reranker(RerankSettings(model=str(folder), device="cpu"))
    texts = ["rain jacket", "wool hat", "tent " * LENGTH, ""]

    found = model.scores("jacket", texts, SECONDS)

    theirs = CrossEncoder(str(folder), device="cpu").predict([("jacket", text) for text in texts])
    assert found == pytest.approx(theirs.tolist())
    assert len(set(found)) == 4
    with pytest.raises(errors.ModelError, match="makes 2 scores of a pair"):
        load_reranker(RerankSettings(model=str(make_cross_encoder(tmp_path / "two", labels=2)), device="cpu"))

    config = json.loads((folder / "config.json").read_text())
    for code in (
        {"auto_map": {"AutoModelForSequenceClassification": "evil.Evil"}},
        {"sentence_transformers": {"activation_fn": "torch.hub.load"}},
        {"sbert_ce_default_activation_function": "torch.utils.collect_env.main"},
    ):
        (folder / "config.json").write_text(json.dumps(config | code))
        with pytest.raises(errors.ModelRefused, match=r"add the model to rerank\.trust_remote_code"):
            load_reranker(RerankSettings(model=str(folder)))
    (folder / "config.json").write_text(
        json.dumps(config | {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}})
    )
    assert load_reranker(RerankSettings(model=str(folder), device="cpu")).scores("jacket", texts, SECONDS) != found


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the setting, the model or the package."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    for wrong, line in (
        ({"backend": "http"}, "the backend http needs rerank.url, such as https://api.jina.ai/v1"),
        ({"backend": "http", "url": "http://x", "api_key_file": tmp_path / "nokey"}, "rerank.api_key_file .* cannot"),
        ({"model": str(tmp_path / "empty")}, "has no weights in a safetensors file"),
    ):
        with pytest.raises(errors.ModelError, match=line):
            load_reranker(RerankSettings(**wrong))
    with pytest.raises(ValueError, match="unknown backend 'onyx'; the backends are http, torch"):
        RerankSettings(backend="onyx")
    assert RerankSettings().for_model("x").model == "cross-encoder/x"
