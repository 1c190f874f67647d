"""The search API and the network: hosts, origins, TLS, slow and silent clients, addresses, a database that is away."""

import asyncio
import socket
import ssl
import time
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
from tests.flow.support import fails
from tests.sql.support import in_a_loop
from tests.web.api_client import QUESTION, Client, serving, settings, token


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
        assert in_a_loop(attempts()) == 1


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
