"""Ranking by words: the score is BM25F to the last digit, and words too common to read are narrowed down."""

import json
import math
import random

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, make_docs, sqlstate, value

FIELDS = {"A": 1.5, "B": 1.0, "C": 0.75, "D": 0.5}
WORDS = [f"w{n}x" for n in range(30)]
ENTRIES = "select id, lexeme, positions, weights from doc, unnest(search)"


def bm25f(
    conn: Connection, asked: list[str], fields: dict[str, float] = FIELDS, k1: float = 1.2, b: float = 0.75
) -> dict[int, float]:
    """BM25F of every row that holds an asked word, computed here from the search column taken apart."""
    documents: dict[int, dict[str, list[str]]] = {row: {} for row in column(conn, "select id from doc")}
    for row, lexeme, _positions, weights in conn.execute(ENTRIES).fetchall():
        documents[row][lexeme] = weights
    mean = sum(len(w) for d in documents.values() for w in d.values()) / len(documents)
    holding = {word: sum(word in d for d in documents.values()) for word in asked}
    scores: dict[int, float] = {}
    for row, words in documents.items():
        norm = k1 * (1 - b + b * sum(map(len, words.values())) / mean)
        for word in asked:
            frequency = sum(fields[w] for w in words.get(word, []))
            if frequency:
                idf = math.log(1 + (len(documents) - holding[word] + 0.5) / (holding[word] + 0.5))
                scores[row] = scores.get(row, 0) + idf * frequency * (k1 + 1) / (frequency + norm)
    return scores


def ranked(conn: Connection, query: str, k: int = 1000) -> dict[int, float]:
    """The answer: scores by id, best first."""
    return dict(
        conn.execute(
            "select (key ->> 'id')::int, score from pgpipe_internal.rank_text('doc', %s, %s)", (query, k)
        ).fetchall()
    )


@pytest.mark.parametrize("weights", ["{title=>A, body=>B}", "{title=>B, body=>B}", "{title=>D, body=>A}", "{body=>C}"])
def test_the_score_is_bm25f(conn: Connection, weights: str) -> None:
    """For any columns and weights, and words that occur from once to 200 times, the score is the formula's."""
    rng = random.Random(weights)
    make_docs(conn)
    for row in range(40):
        texts = [" ".join(rng.choices(WORDS, range(1, 31), k=rng.choice([0, 3, 30]))) for _ in "tb"]
        repeated = f" {rng.choice(WORDS)}" * rng.choice([0, 1, 7, 200])
        conn.execute("insert into doc values (%s, %s, %s)", (row, texts[0], texts[1] + repeated))
    conn.execute("select pgpipe.enable_search('doc', %s, 'simple')", (weights,))
    conn.execute("select pgpipe.refresh_search('doc')")

    for asked in (["w3x"], ["w0x", "w7x", "w29x"], WORDS):
        assert ranked(conn, " ".join(asked)) == pytest.approx(bm25f(conn, asked), rel=1e-9)


def test_four_weights(conn: Connection) -> None:
    """Each column counts by its own weight, as the target is set to; a search may try other settings."""
    conn.execute("create table doc (id int primary key, a text, b text, c text, d text)")
    conn.execute("select pgpipe.enable_search('doc', '{a=>A, b=>B, c=>C, d=>D}', 'simple')")
    rng = random.Random(4)
    for row in range(60):
        texts = [" ".join(rng.choices(WORDS[:6], k=rng.randrange(5))) or None for _ in range(4)]
        conn.execute("insert into doc values (%s, %s, %s, %s, %s)", (row, *texts))
    conn.execute("select pgpipe.refresh_search('doc')")

    asked = ["w0x", "w1x", "w5x"]
    assert ranked(conn, "w0x w1x w5x") == pytest.approx(bm25f(conn, asked), rel=1e-9)
    fields = {"A": 4.0, "B": 2.0, "C": 2.0, "D": 0.1}
    ranking = {"k1": 0.7, "b": 0.4, "weights": fields}
    tried = "select (key ->> 'id')::int, score from pgpipe_internal.rank_text('doc', %s, 99, null, false, %s)"
    found = conn.execute(tried, ("w0x w1x w5x", json.dumps(ranking))).fetchall()
    assert dict(found) == pytest.approx(bm25f(conn, asked, fields, 0.7, 0.4), rel=1e-9)
    conn.execute("select pgpipe.set_ranking('doc', %s)", (json.dumps(ranking),))
    assert ranked(conn, "w0x w1x w5x") == pytest.approx(dict(found))
    conn.execute("select pgpipe.set_ranking('doc', null)")
    assert ranked(conn, "w0x w1x w5x") == pytest.approx(bm25f(conn, asked), rel=1e-9)


@pytest.mark.parametrize(
    "ranking",
    [
        '{"k": 1}',
        '{"k1": "1"}',
        '{"k1": 0}',
        '{"b": 2}',
        '{"weights": {"E": 1}}',
        '{"weights": {"A": 0.1}}',
        '{"weights": 1}',
        '{"text_weight": -1}',
        '{"vector_weight": true}',
        "[]",
    ],
)
def test_rankings_that_mean_nothing(conn: Connection, ranking: str) -> None:
    """PP003, and the target keeps what it had."""
    make_docs(conn)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")

    assert sqlstate(conn, "select pgpipe.set_ranking('doc', %s)", ranking) == "PP003"
    assert value(conn, "select (k1, b, text_weight)::text from pgpipe.search") == "(1.2,0.75,1)"


def test_a_row_that_is_stored_apart(conn: Connection) -> None:
    """A text of thousands of words scores like any other; its search column stays in the row."""
    make_docs(conn)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'simple')")
    long = (
        "select n, 'long', (select string_agg('w' || n || 'y' || m, ' ') from generate_series(1, %s) m) || ' zebra', 0"
    )
    conn.execute("insert into doc " + long + " from generate_series(1, 9) n", (150,))
    conn.execute("insert into doc " + long + " from generate_series(10, 12) n", (4000,))
    conn.execute("select pgpipe.refresh_search('doc')")

    assert ranked(conn, "zebra long") == pytest.approx(bm25f(conn, ["zebra", "long"]), rel=1e-9)
    assert (
        value(conn, "select attstorage from pg_attribute where attrelid = 'doc'::regclass and attname = 'search'")
        == "m"
    )


@pytest.fixture
def common(conn: Connection) -> Connection:
    """20,000 docs; the words are in every second, third, … of them."""
    make_docs(conn)
    words = " || ".join(
        f"case when hashint4(n * 31 + {m}) % {m} = 0 then ' common{m}' else '' end" for m in range(2, 9)
    )
    conn.execute(f"insert into doc select n, 'doc ' || n, 'filler' {'||' + words}, n from generate_series(1, 20000) n")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'simple')")
    conn.execute("vacuum analyze doc")
    conn.execute("select pgpipe.refresh_search('doc', 1000000)")
    return conn


@also_on_16
def test_too_few_candidates_are_filled_up(common: Connection) -> None:
    """Where only few rows hold the rare word, or the common ones together, the answer still has k rows."""
    common.execute("insert into doc values (0, 'zebra', 'common2', 0)")
    common.execute("update pgpipe.search set documents = documents * 1000")
    common.execute("update pgpipe.lexeme set documents = documents * 1000")

    found = list(ranked(common, "zebra common2 common3", 20))

    assert found[0] == 0
    assert len(found) == 20
    assert len(ranked(common, "common8 nothing -filler", 20)) == 0


@also_on_16
def test_what_fills_up_comes_last(common: Connection) -> None:
    """Rows with the rare word stay before those that fill up, so a longer answer begins with the shorter one."""
    common.execute("insert into doc select -n, 'zebra', 'filler', 0 from generate_series(1, 7) n")
    common.execute("insert into doc values (0, 'common2 common3', 'common2 common3 common2 common3', 0)")
    common.execute("update pgpipe.search set documents = documents * 1000")
    common.execute("update pgpipe.lexeme set documents = documents * 1000")
    page = """
        select (key ->> 'id')::int, score, text_rank
          from pgpipe.text_search('doc', 'zebra common2 common3', %s, skip => %s)
    """

    whole = common.execute(page, (40, 0)).fetchall()
    pages = [row for skip in range(0, 40, 5) for row in common.execute(page, (5, skip)).fetchall()]

    assert {row for row, _, _ in whole[:7]} == set(range(-7, 0))
    assert pages == whole
    assert len({row for row, _, _ in whole}) == 40
    assert [score for _, score, _ in whole] == sorted((score for _, score, _ in whole), reverse=True)


def test_a_filter_leaves_nothing_out(common: Connection) -> None:
    """All rows that pass a rare filter and hold any of the words are ranked, however common the words are."""
    common.execute("create index on doc (size)")
    common.execute("update pgpipe.lexeme set documents = documents * 100")
    where = '{"size": {"gte": 100, "lt": 130}}'
    found = "select (key ->> 'id')::int from pgpipe_internal.rank_text('doc', %s, 1000, %s)"

    holding = "select id from doc where size between 100 and 129 and search @@ 'common2 | common3'"
    assert set(column(common, found, "common2 common3", where)) == set(column(common, holding))


@pytest.mark.parametrize("state", ["emptied", "hidden"])
def test_the_planner_stands_in_for_the_lexeme_table(common: Connection, state: str) -> None:
    """Without the lexeme table, or where it is hidden, the planner's statistics tell which words are common."""
    if state == "emptied":
        common.execute("delete from pgpipe.lexeme")
    else:
        common.execute("create role stranger")
        common.execute("grant usage on schema pgpipe to stranger")
        common.execute("grant select on doc, pgpipe.search, pgpipe.lexeme to stranger")
        common.execute("alter table doc enable row level security")
        common.execute("create policy everybody on doc using (true)")
        common.execute("set role stranger")
    try:
        documents = value(common, "select documents from pgpipe_internal.weigh_words('doc', 'common2 zebra', false)")
        best = list(ranked(common, "common2 common3 common4", 5))
    finally:
        common.execute("reset role")
        if state == "hidden":
            common.execute("drop owned by stranger")
            common.execute("drop role stranger")

    assert documents == pytest.approx([documents[0], 10000], rel=0.1)
    assert documents[0] < 1000
    assert set(best) <= set(column(common, "select id from doc where search @@ 'common2 & common3 & common4'"))


def test_rows_since_the_count(common: Connection) -> None:
    """Where the table has grown since its lexemes were counted, so has what is expected of each word."""
    before = value(common, "select documents from pgpipe_internal.weigh_words('doc', 'common2', false)")
    common.execute("update pg_class set reltuples = 200000 where oid = 'doc'::regclass")

    after = value(common, "select documents from pgpipe_internal.weigh_words('doc', 'common2', false)")

    assert after == pytest.approx([10 * before[0]], rel=0.01)
