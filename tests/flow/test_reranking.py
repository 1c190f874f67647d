"""Reranked searches, in every way to ask: what is read, what is said of it, and what never happens by itself."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pgpipe
from pgpipe import errors
from pgpipe.api import reranking
from pgpipe.api.vectors import Loader
from pgpipe.db import Database
from pgpipe.searching.ask import Reranked
from pgpipe.settings.model import Settings
from pgpipe.web.asking import Models, ask, parse_question
from tests.conftest import Cli
from tests.fixtures.rerankers import Service, serving
from tests.sql.support import in_a_loop

PLUGIN = '''
"""Likes high numbers; counts how often it is loaded, and keeps what it read."""

loaded, read = [], []


class ByNumber:
    concurrent = True

    def __init__(self, settings):
        self.name = settings.model
        if self.name == "nowhere":
            raise OSError("there is no such model")
        loaded.append(self.name)

    def scores(self, query, texts, seconds):
        if self.name == "broken":
            raise RuntimeError("it broke\\nin two lines")
        read.append((query, texts))
        return [float(text.split()[1]) for text in texts]
'''
SHOP = """
    create table product (id int primary key, title text, about text);
    insert into product select n, 'Jacket ' || n, repeat('jacket ', 13 - n) from generate_series(1, 12) n;
    create table tool (id int primary key, title text);
    insert into tool values (1, 'Jacket 99');
    select pgpipe.enable_search('product', '{title=>A, about=>B}');
    select pgpipe.enable_search('tool', '{title=>A}');
"""
FIRST = list(range(1, 13))  # the order by words


@pytest.fixture
def shop(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Products whose order by words is that of their ids; a package that brings the backend `bynumber`."""
    with database.connect(autocommit=True) as conn:
        conn.execute(SHOP.encode())
    (tmp_path / "number_reranker.py").write_text(PLUGIN)
    info = tmp_path / "number_reranker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: number-reranker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pgpipe.rerankers]\nbynumber = number_reranker:ByNumber\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "number_reranker", raising=False)
    monkeypatch.setattr(reranking, "rerankers", Loader(reranking.load))
    monkeypatch.setattr(reranking, "_failed", {})
    return database


def settings(shop: Database, **declared: object) -> Settings:
    """Products are reranked as declared; a budget that no test waits for."""
    entity = {"product": {"rerank": {"model": "m", "budget": "60s"} | declared}}
    rerank = {"backend": "bynumber", "model": "default"}
    return Settings.model_validate({"database": {"url": shop.url}, "rerank": rerank, "entity": entity})


@pytest.fixture
def searcher(shop: Database) -> Iterator[pgpipe.Searcher]:
    """Five candidates are read again."""
    with pgpipe.Searcher(settings=settings(shop, candidates=5)) as made:
        yield made


def ids(hits: list[pgpipe.Hit]) -> list[int]:
    return [hit.key["id"] for hit in hits]


def test_what_is_read_and_in_which_order(searcher: pgpipe.Searcher, shop: Database) -> None:
    """The best candidates come by the model's scores, the others behind them as before; pages are parts of that."""
    import number_reranker  # type: ignore[import-not-found] # of the fixture

    found = searcher.search("jacket", "product", k=12)

    assert ids(found) == [5, 4, 3, 2, 1, *FIRST[5:]]
    assert [hit.rerank_score for hit in found] == [5, 4, 3, 2, 1, *[None] * 7]
    assert {hit.reranked for hit in found} == {Reranked(5, 5, None)}
    texts = [text for query, read in number_reranker.read for text in read if query == "jacket"]
    assert [text.split("\n")[0] for text in texts] == [f"Jacket {n}" for n in FIRST[:5]]
    assert "<b>" not in texts[0]
    pages = [ids(searcher.search("jacket", "product", k=4, skip=skip)) for skip in (0, 4, 8)]
    assert [id_ for page in pages for id_ in page] == ids(found)
    assert ids(searcher.search("jacket", "product", k=1)) == [5]
    with shop.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.refresh_search('product')")
    assert searcher.search("jaket", "product", k=1)[0].corrected == "jacket"
    assert number_reranker.read[-1][0] == "jacket"
    assert searcher.search("nothing at all", "product") == []
    number_reranker.read.clear()


def test_never_by_itself(searcher: pgpipe.Searcher, shop: Database) -> None:
    """Only an entity that says so is reranked, and no call that says no; a call may say how."""
    import number_reranker

    assert ids(searcher.search("jacket", "product", k=12, rerank=False)) == FIRST
    assert searcher.search("jacket", "tool")[0].reranked is None
    assert searcher.similar({"id": 1}, "product")[0].reranked is None
    assert ids(searcher.search("jacket", "product", k=3, order_by="id")) == [1, 2, 3]
    assert number_reranker.read == []
    assert searcher.search("jacket", "tool", rerank=True)[0].rerank_score == 99
    assert ids(searcher.search("jacket", "product", k=12, rerank={"candidates": 12})) == FIRST[::-1]
    assert number_reranker.loaded == ["default", "m"]
    both = searcher.search("jacket", ["product", "tool"], k=3, rerank={"model": "m", "candidates": 2})
    assert [(hit.entity, hit.rerank_score) for hit in both][:2] == [("tool", 99), ("product", 1)]
    assert searcher.search("jacket", ["product", "tool"])[0].reranked is None  # they differ
    plain = Settings.model_validate({"database": {"url": shop.url}})
    assert pgpipe.search("jacket", "product", settings=plain)[0].reranked is None
    for wrong, line in (
        ({"candidates": 0}, "candidates: input should be greater than or equal to 1"),
        ({"pages": 1}, "pages: there are model, candidates and budget"),
        ({"budget": "soon"}, "budget: string should match"), ("yes", "is true, false, or an object"),
    ):  # fmt: skip
        with pytest.raises(errors.UsageError, match=line):
            searcher.search("jacket", "product", rerank=wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="ordered by a column are not reranked"):
        searcher.search("jacket", "product", order_by="id", rerank=True)


def test_a_reranker_that_fails(searcher: pgpipe.Searcher) -> None:
    """The answer stays in its first order and says why in a line; what does not load is not tried at each question."""
    for model, line in (
        ("broken", "RuntimeError: it broke"),
        ("nowhere", "the reranker 'nowhere' cannot be loaded: there is no such model"),
    ):
        for _ in range(2):
            found = searcher.search("jacket", "product", k=12, rerank={"model": model})
            assert ids(found) == FIRST
            assert {hit.reranked for hit in found} == {Reranked(0, 5, line)}
            assert found[0].rerank_score is None


def test_loaded_once(searcher: pgpipe.Searcher, shop: Database) -> None:
    """By one of eight threads that ask at once, or before; a child that was forked has threads of its own."""
    import number_reranker

    with ThreadPoolExecutor(8) as threads:
        asked = threads.map(lambda _: ids(searcher.search("jacket", "product", k=5)), range(16))
        assert set(map(tuple, asked)) == {(5, 4, 3, 2, 1)}
    searcher.warm_up()
    assert number_reranker.loaded == ["m"]
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if ids(searcher.search("jacket", "product", k=2)) == [5, 4] else 1)
    assert os.waitpid(child, 0)[1] == 0

    async def asked_in_a_loop() -> list[int]:
        async with pgpipe.AsyncSearcher(settings=settings(shop, candidates=3)) as asynchronous:
            await asynchronous.warm_up("product")
            return ids(await asynchronous.search("jacket", "product", k=4))

    assert in_a_loop(asked_in_a_loop()) == [3, 2, 1, 4]


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that likes high numbers."""
    with serving(lambda text: float(text.split()[1])) as server:
        yield server


@pytest.mark.usefixtures("shop")
def test_the_command(cli: Cli, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how far the reranker came, in text and JSON, with its part of the time; the key is of the environment."""
    (tmp_path / "pgpipe.toml").write_text(
        f"""
        [rerank]
        backend = "http"
        url = "{service.url}"

        [entity.product]
        rerank = {{ model = "m", candidates = 3, budget = "60s" }}
        """
    )
    monkeypatch.setenv("PGPIPE_RERANK__API_KEY", "s3cret")
    command = ("search", "jacket", "--entity", "product", "-k", "4")

    told, explained = cli(*command), json.loads(cli(*command, "--json", "--explain").out)

    assert told.code == 0
    assert told.err.strip() == "Reranked: 3 of 3"
    assert "Jacket 3 · 3" in told.out.splitlines()[0]
    assert "reranked 3.000" in told.out.splitlines()[0]
    assert [hit["key"]["id"] for hit in explained] == [3, 2, 1, 4]
    assert [hit["rerank_score"] for hit in explained] == [3, 2, 1, None]
    assert explained[0]["reranked"] == {"rows": 3, "of": 3, "fault": None}
    assert explained[0]["details"]["rerank"] == {"score": 3, "place": 3}
    assert explained[0]["details"]["milliseconds"]["rerank"] > 0
    assert service.requests[0][0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in cli("config", "show").out
    assert cli(*command, "--no-rerank").err == ""
    assert cli(*command, "--rerank-by", '{"candidates": 2}').err.strip() == "Reranked: 2 of 2"
    assert cli("search", "jacket", "--entity", "tool", "--rerank").err.strip() == "Reranked: 1 of 1"
    assert "--rerank-by is a JSON object" in cli(*command, "--rerank-by", "[]").err
    service.answers = [(500, {}, b"down")]
    assert cli(*command).err.strip().endswith("/v1/rerank answers 500: down")
    service.speak.clear()
    silent = cli(*command, "--rerank-by", '{"budget": "50ms"}')
    assert (silent.code, silent.err.count("\n")) == (0, 1)
    assert silent.err.startswith("Not reranked: ")


def test_the_page_and_mcp(shop: Database) -> None:
    """Both follow the entity; a request may say no, and names no model; a page waits for no model to load."""
    import mcp

    from pgpipe.mcp_server import create_server

    known = settings(shop, candidates=3)
    models = Models(known.embedding, known=known)

    def page(**parameters: str) -> list[pgpipe.Hit]:
        asked = parse_question({"q": "jacket", "entity": "product", "k": "4"} | parameters)
        with shop.connect() as conn:
            (answer,) = ask(conn, models, asked, "public", ["text"])
        assert answer.error is None
        return answer.hits

    first = page()
    assert first[0].reranked in {Reranked(3, 3, None), Reranked(0, 3, first[0].reranked.fault)}
    reranking.rerankers(known.rerank.for_model("m"))  # now it is loaded
    assert ids(page()) == [3, 2, 1, 4]
    assert ids(page(rerank="false")) == [1, 2, 3, 4]
    assert ids(page(rerank='{"model": "other"}')) == [3, 2, 1, 4]

    async def asked() -> list[dict]:
        async with mcp.Client(create_server(known)) as client:
            answer = await client.call_tool("search", {"query": "jacket", "entity": "product", "k": 2})
        return (answer.structured_content or {})["result"]

    assert [(hit["key"]["id"], hit["rerank_score"]) for hit in in_a_loop(asked())] == [(3, 3), (2, 2)]
