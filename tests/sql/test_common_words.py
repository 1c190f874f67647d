"""Questions of common words: an index of impacts finds the rows in which they are strongest."""

import math
import random
import re
from itertools import combinations

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, make_docs, value
from tests.sql.test_search_online import fill_all
from tests.sql.test_text_rank import FIELDS, bm25f, ranked

ROWS = 4000
WORDS = [f"w{n}x" for n in range(12)]  # w0x is in most rows, w11x in one of thirteen
LOWER = {"whole_limit": 200, "strong_rows": 300, "match_limit": 1000}
EVERY = """
    select (ranked.key ->> 'id')::int, ranked.score
      from pgpipe.search s
     cross join pgpipe_internal.weigh_words('doc', %s, false) w
     cross join pgpipe_internal.rank_matching(
           pgpipe_internal.rank_statement(s, '{id}', 'true', w.words, w.idf), 1000000) best
     cross join unnest(best.keys, best.scores) ranked (key, score)
"""
INDEXES = "select * from pgpipe_internal.search_index_statements('doc')"
BEST = "select (key ->> 'id')::int from pgpipe_internal.rank_text('doc', %s, 10, %s)"


def lower_limits(conn: Connection) -> None:
    """Make a table of some thousand rows a large one."""
    made = value(conn, "select pg_get_functiondef('pgpipe_internal.ranking()'::regprocedure)")
    names = value(conn, "select proargnames from pg_proc where oid = 'pgpipe_internal.ranking()'::regprocedure")
    head, body = made.split("select\n", 1)
    lines = body.split("\n")
    for name, limit in LOWER.items():
        place = names.index(name)
        lines[place] = re.sub(r"\d+", str(limit), lines[place], count=1)
    conn.execute(f"{head}select\n{chr(10).join(lines)}".encode())
    assert value(conn, "select to_jsonb(pgpipe_internal.ranking())").items() >= LOWER.items()


@pytest.fixture
def large(conn: Connection) -> Connection:
    """Rows of very different lengths, in which words occur once or often; every index is there."""
    lower_limits(conn)
    make_docs(conn)
    rng = random.Random(14)
    weights = [1 / (n + 1) ** 0.8 for n in range(len(WORDS))]
    with conn.cursor().copy("copy doc from stdin") as copy:
        for row in range(ROWS):
            few = rng.choices(WORDS, weights, k=rng.randrange(1, 12))
            title = " ".join(rng.choices(few, k=rng.randrange(3)))
            filler = [f"f{rng.randrange(3000)}" for _ in range(rng.randrange(1, 40))]
            copy.write_row((row, title, " ".join(rng.sample(few + filler, len(few + filler))), row))
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'simple')")
    conn.execute("select pgpipe.refresh_search('doc', 1000000)")
    conn.execute("analyze doc")
    for statement in column(conn, INDEXES):
        conn.execute(statement.encode())
    conn.execute("create index on doc (size)")
    return conn


def share(conn: Connection, query: str, where: str | None, passing: set[int]) -> float:
    """How much of the true ten an answer holds: a row counts if its score is at least the tenth's."""
    # Every row is ranked here as it is by rank_text, which is shown to be BM25F.
    scores = dict(conn.execute(EVERY, (query.replace('"', ""),)).fetchall())
    best = sorted((score for row, score in scores.items() if row in passing), reverse=True)[:10]
    found = [scores[row] for row in column(conn, BEST, query, where)]
    assert len(found) == len(best)
    return sum(score >= best[-1] * (1 - 1e-6) for score in found) / len(best)


def test_the_true_ten(large: Connection) -> None:
    """V17: one to three words of any frequency find the true ten, with a filter and with a phrase too."""
    rng = random.Random(3)
    every = set(range(ROWS))
    questions = [" ".join(rng.sample(WORDS, size)) for size in (1, 2, 3) for _ in range(8)]
    shares = [share(large, query, None, every) for query in questions]
    assert sum(shares) / len(shares) >= 0.95
    assert min(shares) >= 0.7

    halves = [
        share(large, query, '{"size": {"lt": 2500}}', {row for row in every if row < 2500}) for query in questions[::3]
    ]
    assert sum(halves) / len(halves) >= 0.95
    held = set(column(large, "select id from doc where search @@ 'w0x <-> w1x'"))
    assert share(large, '"w0x w1x"', None, held) >= 0.9

    # What is read is a part of the rows that hold one of the words, with the best ten among them.
    strongest = value(
        large,
        """select (pgpipe_internal.rows_to_rank(s, 'true', w)).strongest
             from pgpipe.search s, pgpipe_internal.weigh_words('doc', 'w0x w1x', false) w""",
    )

    read = set(column(large, f"select id from doc row where {strongest}"))

    scores = bm25f(large, ["w0x", "w1x"])
    assert 10 <= len(read) < len(scores) / 3
    assert set(sorted(scores, key=scores.__getitem__)[-10:]) <= read


def test_found_right_after_it_was_written(large: Connection) -> None:
    """A row with a common word only is found in the next statement, and no more once its text is another."""
    # Counting words counted how many rows hold each common one with each step at least.
    stored = dict(large.execute("select lexeme, steps from pgpipe.lexeme where steps is not null").fetchall())
    tagged = "select count(*) from doc where pgpipe_internal.impacts_index('doc', 'search') is not null and "

    assert set(stored) <= set(WORDS) | {lexeme for lexeme in stored if lexeme.startswith("f")}
    for word in WORDS[:3]:
        expression = value(large, "select pgpipe_internal.impacts_index('doc', 'search')")
        for step in (1, 2, 5):
            asked = " | ".join(f"'{word}{chr(31)}{chr(96 + s)}'" for s in range(step, 11))
            count = value(large, tagged + f"{expression} @@ %s::tsquery", asked)
            assert stored[word][step - 1] == pytest.approx(count, rel=0.01)

    large.execute("create role scribe; grant insert, select on doc to scribe; set role scribe")
    large.execute("insert into doc values (-1, 'w0x w0x w0x', 'w0x w0x', 0)")  # a writer needs no right on the index
    large.execute("reset role; drop owned by scribe; drop role scribe")
    assert column(large, BEST, "w0x", None)[0] == -1

    large.execute("update doc set body = repeat('filler ', 500), title = null where id = -1")
    assert -1 not in column(large, BEST, "w0x", None)
    large.execute("update doc set title = 'w0x w0x w0x w0x', body = null where id = 7")
    assert column(large, BEST, "w0x", None)[0] == 7
    large.execute("delete from doc where id = 7")
    assert 7 not in column(large, BEST, "w0x", None)


@also_on_16
def test_steps(conn: Connection) -> None:
    """An impact says how often a word occurs for the length of the row, in steps of a half."""
    rng = random.Random(5)
    for _ in range(60):
        texts = {weight: rng.choices(WORDS, k=rng.choice([0, 1, 5, 40])) for weight in FIELDS}
        document = value(
            conn,
            "select "
            + " || ".join(f"setweight(to_tsvector('simple', '{' '.join(t)}'), '{w}')" for w, t in texts.items()),
        )
        found = set(column(conn, "select tsvector_to_array(pgpipe_internal.impacts_1(%s, 30))", document)[0])

        length = sum(map(len, texts.values()))
        norm = 1.2 * (0.25 + 0.75 * length / 30)
        for word in WORDS:
            frequency = sum(FIELDS[w] * t.count(word) for w, t in texts.items())
            tags = {tag.partition(chr(31))[2] for tag in found if tag.startswith(word + chr(31))}
            # Either side of a limit is right within the last digits.
            steps = {math.floor(math.log(max(frequency / norm, 1e-9) * near, 1.5)) + 1 for near in (1 - 1e-6, 1 + 1e-6)}
            strong = {chr(96 + min(step, 10)) for step in steps if step > 0}
            if strong and frequency <= sum(t.count(word) for t in texts.values()):
                assert tags <= strong
                assert tags or len(steps) > 1
            else:  # of words that occur twice or more the number alone says whether they may be strong
                assert tags <= strong | {"`"}


@also_on_16
@pytest.mark.parametrize("words", range(1, 11))
def test_ways_to_match(conn: Connection, words: int) -> None:
    """A row is read if it is strong in one word, in any two of three, or in one of each of two or three groups."""
    ways = conn.execute("select parts, way, part, word from pgpipe_internal.ways_to_match(%s)", (words,)).fetchall()

    for parts in range(1, min(words, 3) + 1):
        groups: dict[int, dict[int, set[int]]] = {}
        for _, way, part, word in (row for row in ways if row[0] == parts):
            groups.setdefault(way, {}).setdefault(part, set()).add(word)
        assert all(len(group) == parts for group in groups.values())
        if words <= 3:
            assert {tuple(sorted(w for part in g.values() for w in part)) for g in groups.values()} == (
                set(combinations(range(1, words + 1), parts)) if parts > 1 else {tuple(range(1, words + 1))}
            )
        else:
            assert sorted(w for part in groups[0].values() for w in part) == list(range(1, words + 1))


@also_on_16
def test_without_the_index(large: Connection) -> None:
    """A target of before has no index of impacts: it is searched as well as can be, and the index is built online."""
    (index,) = column(large, "select indexrelid::regclass::text from pg_index where indexprs is not null")
    large.execute(f"drop index {index}".encode())
    assert len(ranked(large, "w0x w1x w2x", 10)) == 10

    (statement,) = column(large, INDEXES)
    assert statement.startswith("create index concurrently on public.doc using gin (pgpipe_internal.impacts_1(search,")
    large.execute(statement.encode())

    assert column(large, INDEXES) == []
    assert share(large, "w0x w1x w2x", None, set(range(ROWS))) >= 0.9

    # Another declaration gets its own index before it serves, and a search that is dropped leaves none.
    large.execute("select pgpipe.alter_search('doc', '{title=>B, body=>B}')")
    fill_all(large)

    assert column(large, INDEXES) == []
    assert "impacts_1(search," in value(large, "select pgpipe_internal.impacts_index('doc', 'search')")
    large.execute("select pgpipe.disable_search('doc')")
    assert value(large, "select count(*) from pg_index where indexprs is not null") == 0
