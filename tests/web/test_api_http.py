"""The search API over real HTTP: what it answers, to whom, as which role, how often and how long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pgpipe import tokens
from pgpipe.db import Database
from pgpipe.web.api import shield
from tests.fixtures import rerankers
from tests.sql.support import eventually
from tests.web.api_client import QUESTION, Client, serving, settings, token

NOWHERE = {"error": {"code": "not_found", "message": "the entity is unknown; /v1/entities lists those of this token"}}


@pytest.fixture
def client(shop: Database) -> Iterator[Client]:
    """An application with a token for doc."""
    with serving(settings(shop)) as url, Client(url, token(shop, "doc")) as client:
        eventually(lambda: client.raw("POST", "/v1/search", json=QUESTION).status_code == 200)
        yield client


def test_what_an_application_asks(client: Client, shop: Database) -> None:
    """Searches in all modes with filters, facets and totals, similar rows, completions, and what can be searched."""
    found = client.post("search", **QUESTION, filter={"size": {"lt": 300}}, facets=["size"], total=True, row=True)
    rows = {hit["key"]["id"]: hit for hit in found["hits"]}
    assert rows.keys() == {1, 2}
    assert rows[1]["row"]["size"] == 10
    assert rows[1]["text_rank"] == 1
    assert rows[1]["vector_rank"]
    assert found["total"] == {"rows": 2, "exact": True}
    assert {facet["value"] for facet in found["facets"]} == {"10", "20", "300"}
    (best,) = client.post("search", **QUESTION, mode="text", k=1)["hits"]
    assert "<b>waterproof</b>" in best["passage"]
    assert client.post("facets", query="jacket", facets=["size"])["total"]["rows"] == 2
    assert len(client.post("similar", key={"id": 1}, k=2)["hits"]) == 2
    (entity,) = client.raw("GET", "/v1/entities").json()["entities"]
    assert (entity["entity"], entity["modes"]) == ("doc", ["hybrid", "text", "vector"])
    assert {"name": "size", "type": "integer", "searched": False} in entity["columns"]
    paths = client.raw("GET", "/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/ready", *shield.PATHS}
    with Client(client.base, token(shop)) as both:
        found = both.post("search", query="jacket", entity=["doc", "secret"], mode="text")
        assert {hit["entity"] for hit in found["hits"]} == {"doc", "secret"}
        assert both.post("suggest", prefix="hidd", entity="secret")["suggestions"]


def test_a_bad_request_is_one_line(client: Client) -> None:
    """Errors have one shape, name what is wrong, and nothing of the inside."""
    for code, name, body in (
        (400, "nope", QUESTION | {"filter": {"nope": 1}}),
        (400, "integer", QUESTION | {"filter": {"size": "many"}}),
        (400, "kk", QUESTION | {"kk": 1}),
        (400, "k:", QUESTION | {"k": 101}),
        (400, "k:", QUESTION | {"k": "1"}),
        (400, "query", {"entity": "doc", "query": "x" * 2001}),
        (400, "filter", QUESTION | {"filter": {"size": {"between": 1}}}),
        (400, "mode", QUESTION | {"mode": "fuzzy"}),
        (400, "one entity", {"query": "x", "entity": ["doc", "public.doc"], "total": True, "mode": "text"}),
    ):
        error = client.post("search", code, **body)["error"]
        assert set(error) == {"code", "message"}
        assert name in error["message"], error
        assert "\n" not in error["message"]
    for content in (b"{", b"[" * 60_000, b'"\xff"', b"null", b'{"query": "\\ud800", "entity": "\\u0000"}'):
        found = client.raw("POST", "/v1/search", content=content)
        assert found.status_code in {400, 404}, found.text
        assert set(found.json()) == {"error"}
    assert client.raw("GET", "/v1/search").status_code == 405
    assert client.raw("GET", "/v1/nowhere").json()["error"]["code"] == "not_found"


def test_who_has_no_token_learns_nothing(client: Client, shop: Database, logged: list[dict[str, Any]]) -> None:
    """No token, a wrong, cut, doubled, revoked or expired one: the same 401, also for what does not exist."""
    held = token(shop, "doc")
    wrong = held[:-1] + ("a" if held[-1] != "a" else "b")
    revoked = token(shop, "doc")
    headers: list[Any] = [
        {},
        {"authorization": "Bearer"},
        *({"authorization": f"Bearer {given}"} for given in (wrong, held[:-1], "x" * 9000)),
    ]
    headers += [{"authorization": f"Basic {held}"}, [("authorization", f"Bearer {held}")] * 2]
    with Client(client.base, None) as stranger:
        answers = [stranger.raw("POST", "/v1/search", json=QUESTION, headers=given) for given in headers]
        answers.append(stranger.raw("GET", "/v1/nowhere"))
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.text for answer in answers}) == 1
        assert answers[0].headers["www-authenticate"].startswith("Bearer")
        assert stranger.raw("GET", "/health").json() == {"status": "ok"}
        assert stranger.raw("GET", "/ready").json() == {"status": "ok"}
    with Client(client.base, revoked) as gone:
        gone.post("search", **QUESTION)
        with shop.connect(autocommit=True) as conn:
            tokens.revoke(conn, revoked)
        eventually(lambda: gone.raw("POST", "/v1/search", json=QUESTION).status_code == 401)
    assert wrong[16:] not in str(logged)
    assert "waterproof" not in str(logged)  # questions are not logged either


def test_a_token_for_one_table_does_not_see_another(client: Client, shop: Database) -> None:
    """Cross-entity: what a token may not search, what its role may not read, and what there is not: one answer."""
    with shop.connect(autocommit=True) as conn:
        conn.execute("revoke select on secret from pgpipe_reader")
    with Client(client.base, token(shop, "secret", "doc")) as other:
        for asking, names in ((client, ("secret", "public.secret", "nope")), (other, ("secret", "nope"))):
            for name in names:
                assert asking.post("search", 404, query="hidden", entity=name) == NOWHERE
                assert asking.post("search", 404, query="hidden", entity=["doc", name], mode="text") == NOWHERE
                assert asking.post("facets", 404, facets=["title"], entity=name) == NOWHERE
                assert asking.post("similar", 404, key={"id": 1}, entity=name) == NOWHERE
                assert asking.post("suggest", 404, prefix="hid", entity=name) == NOWHERE
            listed = asking.raw("GET", "/v1/entities").json()["entities"]
            assert [entity["entity"] for entity in listed] == ["doc"]


def test_requests_act_as_the_role(client: Client, shop: Database) -> None:
    """Rights and row policies of the token's role hold, for two tokens on the same connections in turns."""
    few = f"few_{shop.url.rpartition('t_')[2][:8]}"
    with shop.connect(autocommit=True) as conn:
        conn.execute(
            f"create role {few}; grant {few} to pgpipe_api; grant select (id, title, body, search) on doc to {few}"
        )
        conn.execute(f"grant usage on schema public to {few}; create policy few on doc to {few} using (id = 2)")
        conn.execute(f"grant select on pgpipe.search, pgpipe.embedding, pgpipe.lexeme, pgpipe.word to {few}")
    try:
        with Client(client.base, token(shop, "doc", role=few)) as other, ThreadPoolExecutor(8) as threads:
            wanted = {"query": "jacket", "entity": "doc", "mode": "text"}
            asked = [(client, {1, 2}), (other, {2})] * 8
            found = threads.map(lambda each: each[0].post("search", **wanted), asked)
            for (_, ids), answer in zip(asked, found, strict=True):
                assert {hit["key"]["id"] for hit in answer["hits"]} == ids
            assert other.post("search", 403, **wanted, filter={"size": 10})["error"]["code"] == "forbidden"
            misnamed = other.post("search", 400, **wanted, filter={"nope": 10})["error"]["message"]
            assert ("body" in misnamed, "size" in misnamed) == (True, False)  # it names what the role may read
            assert (
                other.post("search", 403, query="jacket", entity="doc", mode="vector")["error"]["code"] == "forbidden"
            )
    finally:
        with shop.connect(autocommit=True) as conn:
            conn.execute(f"drop owned by {few}; drop role {few}")


def test_limits_hold_across_processes(shop: Database) -> None:
    """Two servers share one bucket: no more than the burst passes, and a 429 says when to come back."""
    held, free = token(shop, "doc", per_minute=6, burst=8), token(shop, "doc")
    with serving(settings(shop)) as first, serving(settings(shop)) as second:
        with (
            Client(first, held, waits=False) as a,
            Client(second, held, waits=False) as b,
            ThreadPoolExecutor(4) as threads,
        ):
            asking = [a, b] * 10
            found = list(threads.map(lambda each: each.raw("GET", "/v1/entities"), asking))
        refused = [answer for answer in found if answer.status_code == 429]
        assert len(found) - len(refused) == 8
        assert {answer.json()["error"]["code"] for answer in refused} == {"too_many_requests"}
        assert {1 <= int(answer.headers["retry-after"]) <= 10 for answer in refused} == {True}
        with Client(first, free) as other:
            assert other.raw("GET", "/v1/entities").status_code == 200


def test_a_search_is_cancelled_and_overload_is_refused(shop: Database) -> None:
    """A search that waits is cancelled at the limit with 504. While it waits, one request too many gets 503."""
    known = settings(shop, timeout=0.8, max_requests=1)
    with serving(known) as url, Client(url, token(shop, "doc")) as client, ThreadPoolExecutor(1) as thread:
        client.post("search", **QUESTION, mode="text")
        with shop.connect() as conn:
            conn.execute("lock table doc in access exclusive mode")
            waits = thread.submit(client.raw, "POST", "/v1/search", json=QUESTION | {"mode": "text"})
            eventually(lambda: bool(_waiting(shop)))
            refused = client.raw("POST", "/v1/search", json=QUESTION)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "overloaded"
            assert client.raw("GET", "/health").status_code == 200
            assert waits.result().status_code == 504
            assert waits.result().json()["error"]["code"] == "timeout"
        client.post("search", **QUESTION, mode="text")


def test_one_token_leaves_room_for_others(shop: Database) -> None:
    """Slow searches of one token take neither all places nor all connections: another token is answered meanwhile."""
    known = settings(shop, connections=4, max_requests=4)
    busy, other = token(shop, "doc"), token(shop, "secret")
    with (
        serving(known) as url,
        Client(url, busy) as slow,
        Client(url, other) as quick,
        ThreadPoolExecutor(3) as threads,
    ):
        quick.post("search", query="hidden", mode="text")
        with shop.connect() as conn:
            conn.execute("lock table doc in access exclusive mode")
            asked = [threads.submit(slow.raw, "POST", "/v1/search", json=QUESTION | {"mode": "text"}) for _ in range(3)]
            eventually(lambda: _waiting(shop) == 3)
            refused = slow.raw("POST", "/v1/search", json=QUESTION)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert quick.post("search", query="hidden", mode="text")["hits"]
        assert [each.result().status_code for each in asked] == [200] * 3
        slow.post("search", **QUESTION, mode="text")


def test_settings_of_a_table_end_with_the_request(shop: Database) -> None:
    """What a policy's function sets for the session, its search_path say, is gone when another token asks."""
    with shop.connect(autocommit=True) as conn:
        conn.execute(
            "create function leave() returns boolean language sql volatile as"
            " $$ select set_config('shop.tenant', 'a', false) = 'a' $$;"
            "create function left_by() returns text stable language sql as"
            " $$ select current_setting('shop.tenant', true) $$;"
            "alter table secret enable row level security; create policy leave on secret using (leave());"
            "alter policy all_rows on doc using (coalesce(left_by(), '') = '')"
        )
    held = token(shop, "secret"), token(shop, "doc")
    with serving(settings(shop, connections=1)) as url, Client(url, held[0]) as one, Client(url, held[1]) as other:
        assert one.post("search", query="hidden", mode="text")["hits"]
        assert other.post("search", **QUESTION, mode="text")["hits"]


def _waiting(database: Database) -> int:
    sql = "select count(*) from pg_locks where not granted and relation = 'doc'::regclass"
    with database.connect() as conn:
        return int((conn.execute(sql).fetchone() or (0,))[0])


def test_a_database_that_is_away(shop: Database) -> None:
    """503 with Retry-After, without an address or a password; connections that were cut are opened again."""
    with serving(settings(shop)) as url, Client(url, token(shop, "doc")) as client:
        client.post("search", **QUESTION, mode="text")
        with shop.connect(autocommit=True) as conn:
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'pgpipe_api'")
        eventually(lambda: client.raw("POST", "/v1/search", json=QUESTION | {"mode": "text"}).status_code == 200)


def test_a_reranker_that_fails(shop: Database, logged: list[dict[str, Any]]) -> None:
    """Its address and its words are in the log of the server, and not in an answer; the order is that of the search."""
    with rerankers.serving(len) as service:
        service.answers = [(500, {}, "ask 10.0.0.7")]
        declared = {"entity": {"doc": {"rerank": {"model": "m", "budget": "60s"}}}}
        known = settings(shop, declared | {"rerank": {"backend": "http", "url": service.url}})
        with serving(known) as url, Client(url, token(shop, "doc")) as client:
            failed, read = (client.raw("POST", "/v1/search", json=QUESTION | {"mode": "text"}) for _ in range(2))
    assert [hit["reranked"]["rows"] for hit in failed.json()["hits"]] == [0] * 3
    assert [hit["reranked"]["rows"] for hit in read.json()["hits"]] == [3] * 3
    assert "10.0.0.7" not in failed.text
    assert service.url not in failed.text
    assert "10.0.0.7" in str(logged)
