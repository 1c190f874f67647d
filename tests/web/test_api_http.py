"""The search API over real HTTP: what it answers, to whom, as which role, how often and how long."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from psycopg_pool import AsyncConnectionPool

from pgpipe import errors, tokens
from pgpipe.db import Database
from pgpipe.settings.model import Settings
from pgpipe.web.api import server as api_server
from pgpipe.web.api import shield
from pgpipe.web.api import tokens as api_tokens
from tests.conftest import Cli
from tests.fixtures import rerankers
from tests.flow.support import fails
from tests.sql.support import eventually
from tests.web.api_client import Client, serving, settings, token

ROWS = """
    create table secret (id int primary key, title text);
    insert into secret values (1, 'hidden jacket');
    select pgpipe.enable_search('secret', '{title=>A}');
    select pgpipe.refresh_search('secret');
    select pgpipe.create_roles();
    alter table doc enable row level security;
    create policy all_rows on doc to pgpipe_reader using (true);
"""
NOWHERE = {"error": {"code": "not_found", "message": "there is no such entity; /v1/entities lists those of this token"}}
QUESTION = {"query": "waterproof jacket", "entity": "doc"}


@pytest.fixture
def shop(filled: Database) -> Database:
    """Three docs in all modes, another table, and the roles."""
    with filled.connect(autocommit=True) as conn:
        conn.execute(ROWS)
    return filled


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


def test_a_database_that_is_away_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers whose tokens are unknown wait for one attempt together, so that nobody waits behind all of theirs."""
    monkeypatch.setattr(api_tokens, "PATIENCE", 0.3)

    async def attempts() -> int:
        nowhere = f"host=127.0.0.1 port={closed.getsockname()[1]}"
        async with AsyncConnectionPool(nowhere, min_size=0, max_size=2, open=False) as pool:
            known = api_tokens.Tokens(pool)
            found = await asyncio.gather(*(known.admit(tokens.make()) for _ in range(20)), return_exceptions=True)
            assert {type(each) for each in found} == {errors.Unreachable}
            return pool.get_stats()["requests_num"]

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        assert asyncio.run(attempts()) == 1


def test_hosts_and_origins(shop: Database) -> None:
    """DNS rebinding gets a 421. Only listed pages may use it from a browser, and never with a browser's credentials."""
    known = settings(shop, origins=["https://shop.example.com"], hostnames=["api.example.com"])
    with serving(known) as url, Client(url, token(shop, "doc")) as client:
        for host, code in (("evil.example", 421), ("api.example.com:443", 200), ("api.example.com.evil.example", 421)):
            assert client.raw("GET", "/v1/entities", headers={"host": host}).status_code == code
        assert client.raw("GET", "/health", headers={"host": "10.0.0.9"}).status_code == 200
        for origin, allowed in (("https://shop.example.com", True), ("https://evil.example", False), ("null", False)):
            asked = {
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization",
            }
            preflight = client.raw("OPTIONS", "/v1/search", headers=asked)
            plain = client.raw("GET", "/v1/entities", headers={"origin": origin})
            for answer in (preflight, plain):
                assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
                assert "access-control-allow-credentials" not in answer.headers


def test_tls_by_files(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of the files is shown; a key that does not fit is refused; who shakes no hand is cut."""
    monkeypatch.setattr(api_server, "SILENT", 0.5)
    authority = trustme.CA()
    issued, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    cert, key, wrong = (tmp_path / name for name in ("cert.pem", "key.pem", "wrong.pem"))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    other.private_key_pem.write_to_path(str(wrong))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(settings(shop, tls_cert=cert, tls_key=key)) as url, Client(url, token(shop), verify=context) as client:
        assert client.raw("GET", "/v1/entities").status_code == 200
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as silent:
            assert silent.recv(1) == b""
    with pytest.raises(Exception, match="tls_key cannot be used"):
        api_server.make_server(None, settings(shop, tls_cert=cert, tls_key=wrong).serve)  # type: ignore[arg-type]


def test_slow_and_large_requests(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow loris: headers or a body that trickle end by the server. Huge bodies are refused."""
    monkeypatch.setattr(api_server, "SILENT", 0.3)
    monkeypatch.setattr(shield, "SLOWEST", 0.3)
    held = token(shop, "doc")
    with serving(settings(shop)) as url, Client(url, held) as client:
        address = ("localhost", int(url.rpartition(":")[2]))
        head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {held}\r\n"
        for sent, answer in (
            ("POST /v1/search HTTP/1.1\r\nHost: loc", b""),
            ("", b""),
            (f"{head}Content-Length: 9\r\n\r\n{{", b"HTTP/1.1 408"),
            (f"{head}Content-Length: 99999999999999999999\r\n\r\n", b"HTTP/1.1 4"),
            (f"{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}", b"HTTP/1.1 400"),
            (f"{head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 4"),
            (f"{head}X-A: b\r\n\tfolded\r\nBad Header: x\r\n\r\n", b"HTTP/1.1 400"),
        ):
            with socket.create_connection(address) as conn:
                conn.settimeout(20)
                conn.sendall(sent.encode())
                assert conn.recv(4096)[: len(answer)] == answer if answer else conn.recv(4096) == b"", sent
        assert client.raw("POST", "/v1/search", content=b"x" * 70_000).status_code == 413
        assert client.raw("POST", "/v1/search", content=iter([b"x" * 1000] * 70)).status_code == 413
        client.post("search", **QUESTION, mode="text")


def test_a_client_that_reads_nothing(
    shop: Database, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Who asks, without a token, and never reads the answers, holds no connection, and writes no log."""
    monkeypatch.setattr(api_server, "SILENT", 0.2)
    monkeypatch.setattr(shield, "SLOWEST", 0.1)
    with serving(settings(shop)) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        asked = "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in ("/openapi.json", "/v1/entities"))
        with socket.socket() as conn:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            conn.connect(address)
            conn.settimeout(20)
            with pytest.raises(ConnectionError):  # the server cut it while it waited for room
                conn.sendall(asked.encode() * 100_000)
        for sent in (b"\0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"):
            with socket.create_connection(address, 20) as conn:
                conn.sendall(sent)
                assert conn.recv(100)
    assert [entry for entry in logged if entry["level"] != "DEBUG"] == []
    assert capfd.readouterr().err == ""


def test_probes_cost_one_look_a_second(shop: Database) -> None:
    """A stranger who asks /ready without end takes no connection from searches: one look answers all."""
    asked = "select count(*) from pg_stat_activity where usename = 'pgpipe_api'"
    with serving(settings(shop)) as url, Client(url, token(shop, "doc")) as client, ThreadPoolExecutor(16) as threads:
        found = threads.map(lambda _: client.raw("GET", "/ready").status_code, range(60))
        assert set(found) == {200}
        with shop.connect() as conn:
            assert (conn.execute(asked).fetchone() or (0,))[0] <= 3


def test_addresses_are_tested_on_the_parsed_value(cli: Cli) -> None:
    """Without the API loopback only, whatever stands for another address; with it any, and all only by a name."""
    for host in ("0.0.0.0", "::", "10.0.0.5", "127.0.0.1.evil.example", "127.1", "0x7f.1"):
        with pytest.raises(ValueError, match=r"serve\.?\W*host|login"):
            Settings.model_validate({"serve": {"host": host}})
    for host in ("evil.example", "127.1", "0x7f.1", ""):
        with pytest.raises(ValueError, match="not an address"):
            Settings.model_validate({"serve": {"api": True, "host": host}})
    for host, is_open in (("10.0.0.5", True), ("::1", False), ("127.0.0.2", False), ("fe80::1", True)):
        assert Settings.model_validate({"serve": {"api": True, "host": host}}).serve.open is is_open
    for origin in ("*", "null", "https://a.example/", "https://a.example\r\nX: y", "javascript:x"):
        with pytest.raises(ValueError, match="not an origin"):
            Settings.model_validate({"serve": {"api": True, "origins": [origin]}})
    fails(cli("serve", "--api", "--host", "0.0.0.0"), 2, "--hostname")
    fails(cli("serve", "--api", "--tls-cert", "x"), 2, "belong together")


def test_what_serve_needs(shop: Database, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that may not read tokens, or not act as their role, is named before the server listens."""
    monkeypatch.setenv("PGPIPE_SERVE__URL", f"{shop.url} user=pgpipe_reader" if "=" in shop.url else shop.url)
    fails(cli("serve", "--api"), 2, "may not read tokens", "pgpipe_api")
    role = f"lone_{time.time_ns()}"
    with shop.connect(autocommit=True) as conn:
        conn.execute(f"create role {role}; grant {role} to pgpipe_api")
        token(shop, role=role)
        conn.execute(f"revoke {role} from pgpipe_api")
        monkeypatch.setenv("PGPIPE_SERVE__URL", f"{shop.url} user=pgpipe_api")
        fails(cli("serve", "--api"), 2, f"grant {role} to pgpipe_api")
        conn.execute(f"drop role {role}")
