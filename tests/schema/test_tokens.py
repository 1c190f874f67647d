"""Tokens of the search API in the database: who reads them, what they may act as, how many requests they have."""

import re
from datetime import timedelta

import pytest

from pgpipe import errors, secret, tokens
from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import column, sqlstate, value

OTHERS = ("pgpipe_reader", "pgpipe_embedder", "pgpipe_loader")
TAKE = "select granted, wait from pgpipe_internal.take_requests(%s, %s, %s)"


@pytest.fixture
def owner(conn: Connection) -> Connection:
    """A database that uses the roles."""
    conn.execute("select pgpipe.create_roles()")
    return conn


def make(conn: Connection, **given: object) -> str:
    return tokens.create(conn, "shop", **({"role": "pgpipe_reader", "targets": [], "per_minute": 60} | given))  # type: ignore[arg-type]


@also_on_16
def test_nobody_but_the_owner_and_the_server_reads_hashes(owner: Connection) -> None:
    """A reader, loader or embedder gets neither hashes nor the list; by a grant of all tables they get no row."""
    token = make(owner)

    for role in OTHERS:
        owner.execute(f"set role {role}")
        for relation in ("token", "token_status", "token_bucket"):
            assert sqlstate(owner, f"select * from pgpipe.{relation}") == "42501"
        assert sqlstate(owner, "update pgpipe.token set revoked_at = null") == "42501"
        owner.execute("reset role")
    owner.execute("grant all on all tables in schema pgpipe to pgpipe_reader; set role pgpipe_reader")
    assert column(owner, "select hash from pgpipe.token union all select null from pgpipe.token_status") == []
    assert sqlstate(owner, "insert into pgpipe.token select 'aaaaaaaa', '\\x', 'x', 'x'") == "42501"
    owner.execute("reset role; set role pgpipe_api")
    assert column(owner, "select hash from pgpipe.token") == [tokens.hash_of(token)]
    assert sqlstate(owner, "update pgpipe.token set role = 'pgpipe_owner'") == "42501"
    assert sqlstate(owner, "delete from pgpipe.token") == "42501"
    owner.execute("reset role; select pgpipe.create_roles()")  # takes the grant back
    assert not value(owner, "select has_table_privilege('pgpipe_reader', 'pgpipe.token', 'select')")


def test_a_dump_holds_no_token(owner: Connection) -> None:
    """What is stored is a SHA-256; neither table nor a log of statements has the token, and a log of ours masks it."""
    token = make(owner)
    stored = str(owner.execute("select * from pgpipe.token, pgpipe.token_status").fetchall())

    assert re.fullmatch(r"pgpipe_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", token)
    assert token[16:] not in stored
    assert token[16:] not in secret.mask(f"somebody sent {token} and pgpipe_{token[7:]}.")
    assert len({make(owner)[16:] for _ in range(20)}) == 20


@also_on_16
def test_roles_that_a_token_may_not_act_as(owner: Connection) -> None:
    """A superuser, one that no policy restricts, who may read tokens, one that pgpipe_api is no member of."""
    free, other, server = (f"{name}_{owner.info.dbname}" for name in ("free", "other", "server"))
    owner.execute(f"create role {free} bypassrls; create role {other}; create role {server} in role pgpipe_api")
    try:
        for role, line in (
            ("postgres", "no policy of rows"),
            (free, "no policy of rows"),
            ("pgpipe_owner", "may read the tokens"),
            ("pgpipe_api", "may read the tokens"),
            (server, "may read the tokens"),
            (other, f"Run: grant {other} to pgpipe_api"),
            ("nobody'; --", "does not exist"),
        ):
            with pytest.raises(errors.UsageError, match=line):
                make(owner, role=role)
        owner.execute(f"grant {other} to pgpipe_api")
        assert make(owner, role=other)
    finally:
        owner.execute(f"drop role {free}; drop role {other}; drop role {server}")


@also_on_16
def test_requests_are_taken_from_a_bucket(owner: Connection, any_database: Database) -> None:
    """No more than the burst at once, and then one a second; who asks meanwhile for another token does not wait."""
    first, second = (tokens.id_of(make(owner, burst=5)) for _ in range(2))

    assert owner.execute(TAKE, (first, 3, 0)).fetchone() == (3, 0)
    assert owner.execute(TAKE, (first, 3, 1)).fetchone() == (3, 0)  # one was not spent
    (granted, wait) = owner.execute(TAKE, (first, 3, 0)).fetchone() or ()
    assert granted == 0
    assert 0 < wait <= 1
    owner.execute("update pgpipe.token_bucket set at = at - interval '2 seconds'")
    assert value(owner, "select granted from pgpipe_internal.take_requests(%s, 9, 0)", first) == 2
    owner.execute("update pgpipe.token_bucket set at = at - interval '1 day'")
    assert value(owner, "select granted from pgpipe_internal.take_requests(%s, 9, 0)", first) == 5
    owner.execute("update pgpipe.token_bucket set at = at + interval '1 day'")  # the clock was put back
    assert value(owner, "select granted from pgpipe_internal.take_requests(%s, 9, 0)", first) == 0
    with any_database.connect() as busy:
        busy.execute(TAKE, (first, 1, 0))
        owner.execute("set statement_timeout = '5s'")
        assert owner.execute(TAKE, (second, 1, 0)).fetchone() == (1, 0)
    assert (
        value(owner, "select count(*) from pgpipe.token_status where used_on = (now() at time zone 'UTC')::date") == 2
    )


def test_tokens_that_end(owner: Connection) -> None:
    """One that expired or was revoked, by its id, its name or itself, gets no request; a third is named as unknown."""
    gone, first, second = (make(owner, expires_at=tokens.now(owner) - timedelta(1)), make(owner), make(owner))
    assert tokens.revoke(owner, first) == 1

    with pytest.raises(errors.UsageError, match="no active token"):
        tokens.revoke(owner, first)
    for token in (gone, first):
        assert owner.execute(TAKE, (tokens.id_of(token), 1, 0)).fetchall() == []
    assert [each.state for each in tokens.listed(owner)] == ["expired", "revoked", "active"]
    assert tokens.revoke(owner, "shop") == 2
    assert owner.execute(TAKE, (tokens.id_of(second), 1, 0)).fetchall() == []
