"""What a search page needs of a hit: boosts and orders by columns, and why it has its place."""

import json
from typing import Any

import pytest

from pgpipe.db import Connection
from tests.sql.support import column, drain, embed, make_docs, sqlstate, value

OLD = "now() - interval '60 days'"


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Four docs that answer alike by words; what tells them apart is in other columns."""
    make_docs(conn)
    conn.execute("alter table doc add popular numeric, add at timestamptz, add offered boolean")
    conn.execute(
        f"""
        insert into doc values
            (1, 'Jacket', 'for rain', 3, 9, now(), null), (2, 'Jacket', 'for rain', 1, 999, {OLD}, true),
            (3, 'Jacket', 'for rain', 2, 'NaN', null, false), (4, 'Jacket', 'for rain', null, null, 'infinity', null)
        """.encode()
    )
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")
    return conn


def asked(conn: Connection, options: dict[str, Any] | None, k: int = 10) -> list[tuple[int, float]]:
    """Keys and scores of the answers."""
    found = "select (key ->> 'id')::int, score from pgpipe.text_search('doc', 'jacket', %s, options => %s)"
    return conn.execute(found, (k, json.dumps(options))).fetchall()


def test_boosts(docs: Connection) -> None:
    """A boost adds a share of the score: by tenfolds, by age, or as it is; what is no finite number adds nothing."""
    plain = dict(asked(docs, None))

    for boost, added in (
        ({"popular": {"log": 0.3}}, {1: 0.3, 2: 0.9}),
        ({"at": {"half_life": "30 days", "weight": 0.2}}, {1: 0.2, 2: 0.05}),
        ({"size": {"weight": 0.1}}, {1: 0.3, 2: 0.1, 3: 0.2}),
        ({"offered": {"weight": -0.5}}, {2: -0.5}),
        ({"offered": {"weight": 1}, "popular": {"log": 1}}, {1: 1, 2: 4}),
    ):
        found = asked(docs, {"boost": boost})
        assert dict(found) == {n: pytest.approx(s * (1 + added.get(n, 0)), rel=1e-4) for n, s in plain.items()}
        assert [n for n, _ in found] == sorted(plain, key=lambda n: (-added.get(n, 0), n))


def test_orders(docs: Connection) -> None:
    """By one column or several, rising or falling, empty values last; among the candidates and no other rows."""
    for order, expected in (
        ("size", [2, 3, 1, 4]),
        ({"size": "desc"}, [1, 3, 2, 4]),
        ([{"title": "desc"}, "size"], [2, 3, 1, 4]),
    ):
        assert [n for n, _ in asked(docs, {"order_by": order})] == expected
        assert [n for n, _ in asked(docs, {"order_by": order}, 2)] == expected[:2]
    assert [n for n, _ in asked(docs, {"order_by": "size", "candidates": 2})] == [2, 1]


def test_options_that_mean_nothing(docs: Connection) -> None:
    """Each is refused by its name; a column is a name, and never SQL; rights on columns hold."""
    docs.execute("alter table doc add place point")
    for options, state in (
        ({"boots": {}}, "PP003"), ([], "PP003"), ({"row": 1}, "PP003"),
        ({"boost": {"nope": {"log": 1}}}, "PP002"), ({"boost": {"title": {"log": 1}}}, "PP003"),
        ({"boost": {"size": {"log": "1"}}}, "PP003"), ({"boost": {"size": {"log": 1, "weight": 1}}}, "PP003"),
        ({"boost": {"at": {"half_life": "x", "weight": 1}}}, "PP003"), ({"boost": {"size": {"log": 1e9}}}, "PP003"),
        ({"boost": {"at": {"half_life": "0 s", "weight": 1}}}, "PP003"),
        ({"order_by": "nope"}, "PP002"), ({"order_by": "size; drop table doc"}, "PP002"),
        ({"order_by": {"size": "desc, (select 1)"}}, "PP003"), ({"order_by": "place"}, "PP003"),
        ({"order_by": 1}, "PP003"), ({"order_by": "size", "candidates": 0}, "PP003"),
    ):  # fmt: skip
        asks = "select pgpipe.text_search('doc', 'jacket', options => %s)"
        assert sqlstate(docs, asks, json.dumps(options)) == state, options


def test_explained(docs: Connection) -> None:
    """The details are enough to compute the score again; the time of each part is told; both lists are there."""
    docs.execute("update doc set body = 'a jacket is a jacket' where id = 3")
    drain(docs, embed(docs))
    docs.execute("update doc_embedding set vector = case id when 4 then '[0,1,0]'::vector else '[1,0,0]' end")
    explain = json.dumps({"explain": True, "boost": {"size": {"weight": 0.1}}})

    score, details = docs.execute(
        "select score, details from pgpipe.text_search('doc', 'jacket', 1, '{\"id\": 3}', options => %s)", (explain,)
    ).fetchone() or (0, {})

    (word,) = details["text"]["words"]
    assert (word["word"], word["occurrences"]) == ("jacket", {"A": 1, "B": 2})
    times = 1.5 * 1 + 1 * 2
    norm = 1.2 * (0.25 + 0.75 * details["text"]["length"] / details["text"]["mean_length"])
    assert details["text"]["score"] == pytest.approx(word["idf"] * 2.2 * times / (times + norm))
    assert score == pytest.approx(details["text"]["score"] * (1 + details["boosts"]["size"]))
    assert set(details["milliseconds"]) == {"text", "boosts", "passages"}
    both = (
        "select score, details from pgpipe.hybrid_search('doc', 'jacket', '[1,0,0]', options => '{\"explain\": true}')"
    )
    for score, told in docs.execute(both.encode()).fetchall():
        assert score == pytest.approx(sum(told[part]["share"] * told[part]["weight"] for part in ("text", "vector")))
        assert min(told["milliseconds"].values()) >= 0
    near = "select details from pgpipe.vector_search('doc', '[1,0,0]', options => '{\"explain\": true}')"
    assert [told["vector"]["rank"] for told in column(docs, near)] == [1, 2, 3, 4]
    assert value(docs, "select count(details) from pgpipe.text_search('doc', 'jacket')") == 0


def like(conn: Connection, id_: int, **how: Any) -> list[int]:
    """Keys of the rows that are like one."""
    found = "select (hit_key ->> 'id')::int from pgpipe.similar('doc', %s, %s, %s)"
    return column(conn, found, json.dumps({"id": id_}), how.get("k", 10), json.dumps(how.get("where")))


def test_similar_rows(docs: Connection) -> None:
    """By the words that tell a row from others; by the mean of its vectors if it has any; never the row itself."""
    docs.execute("insert into doc values (5, 'Tent', 'for rain and snow', 1), (6, 'Lamp', 'snow white light', 2)")
    docs.execute("select pgpipe.refresh_search('doc')")

    assert like(docs, 6) == [5]
    assert like(docs, 5)[0] == 6  # snow is rarer than rain
    assert 5 not in like(docs, 5)
    assert like(docs, 5, where={"id": [1, 2]}) == [1, 2]
    assert like(docs, 5, k=1) == [6]
    assert sqlstate(docs, "select pgpipe.similar('doc', '{\"id\": 77}')") == "PP003"
    assert sqlstate(docs, "select pgpipe.similar('doc', '{\"nope\": 1}')") == "PP003"
    drain(docs, embed(docs))
    docs.execute("update doc_embedding set vector = case when id in (4, 5) then '[0,1,0]'::vector else '[1,0,0]' end")
    assert like(docs, 5)[0] == 4
    docs.execute("delete from doc_embedding where id = 5")
    assert like(docs, 5)[0] == 6
    shown = "select vector_rank, title, passage from pgpipe.similar('doc', '{\"id\": 1}', 1)"
    assert docs.execute(shown.encode()).fetchone() == (2, "Jacket", "Jacket\nfor rain")


def test_several_targets(docs: Connection) -> None:
    """One list by shares from 0 to 1 of each target; by words, or by meaning too where a vector is given; in pages."""
    docs.execute("create table tool (name text primary key, about text)")
    docs.execute("insert into tool values ('sewer', 'sews a jacket'), ('needle', 'a jacket for a jacket')")
    docs.execute("select pgpipe.enable_search('tool', '{name=>A, about=>B}')")
    docs.execute("create table other (name text primary key)")
    docs.execute("update doc set title = 'Coat' where id <> 2")
    drain(docs, embed(docs))
    docs.execute("update doc_embedding set vector = case id when 4 then '[1,0,0]'::vector else '[0,1,0]' end")
    found = "select target::text, key ->> 'name', key ->> 'id', score, passage from pgpipe.search_all({})"

    every = docs.execute(found.format("'jacket'").encode()).fetchall()

    assert [row[:3] for row in every] == [("doc", None, "2"), ("tool", "needle", None), ("tool", "sewer", None)]
    assert [row[3] for row in every] == [1, 1, pytest.approx(every[2][3])]
    assert 0 < every[2][3] < 1
    assert every[1][4] == "needle\na <b>jacket</b> for a <b>jacket</b>"
    paged = [docs.execute(found.format(f"'jacket', k => 1, skip => {n}").encode()).fetchall() for n in range(4)]
    assert [row for page in paged for row in page] == every
    assert docs.execute(found.format("'jacket', '{tool}'").encode()).fetchall() == every[1:]
    both = docs.execute(found.format("'jacket', '{tool, doc}', vectors => '[null, [1,0,0]]'").encode()).fetchall()
    assert {row[1] or row[2]: row[3] for row in both} == pytest.approx(
        {"needle": 1, "sewer": every[2][3], "2": 0.5, "4": 0.5, "1": 0, "3": 0}
    )
    for wrong, state in (
        ("'{tool}', vectors => '[]'", "PP003"), ("'{other}'", "PP005"),
        ("options => '{\"order_by\": \"id\"}'", "PP003"),
        ("filter => '{\"id\": 1}'", "PP002"), ("'{other}', vectors => '[[1,0,0]]'", "PP008"),
    ):  # fmt: skip
        assert sqlstate(docs, f"select pgpipe.search_all('jacket', {wrong})") == state, wrong


JOINED = """
    select {columns}, hit.key = to_jsonb(thing) - '{{note,search}}'::text[]
      from pgpipe.text_search('thing', 'needle') hit, jsonb_populate_record(null::thing, key) typed
      join thing using ({columns})
"""


def test_a_join_by_the_key(conn: Connection) -> None:
    """A key of one column or several, of any types, is typed as in the table, and the join goes by its index."""
    conn.execute("create type size as enum ('small', 'large')")
    types = {
        "id": ("bigint", "n"), "code": ("text", "'a\"''' || n"), "at": ("timestamptz", "now() + n * interval '1 s'"),
        "share": ("float8", "n / 3.0"), "price": ("numeric(9,2)", "n / 4.0"), "place": ("uuid", "gen_random_uuid()"),
        "big": ("size", "(array['small', 'large']::size[])[1 + n % 2]"), "raw": ("bytea", "int4send(n)"),
        "took": ("interval", "n * interval '1 day 1 s'"), "parts": ("int[]", "array[n, null]"),
    }  # fmt: skip
    for names in (["id"], ["place"], ["at"], ["big", "id"], list(types)):
        typed = ", ".join(f'"{name}" {types[name][0]}' for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        conn.execute(f"create table thing ({typed}, note text, primary key ({columns}))".encode())
        made = ", ".join(types[name][1] for name in names)
        note = "case when n < 3 then 'needle' else 'hay' end"
        conn.execute(f"insert into thing select {made}, {note} from generate_series(1, 2000) n".encode())
        conn.execute("select pgpipe.enable_search('thing', '{note=>A}')")
        conn.execute("analyze thing")
        asked = JOINED.format(columns=columns)

        found = conn.execute(asked.encode()).fetchall()
        plan = "\n".join(column(conn, f"explain {asked}"))

        assert [row[-1] for row in found] == [True, True], names
        assert "Index Scan using thing_pkey" in plan, plan
        assert "Seq Scan" not in plan, plan
        conn.execute("drop table thing")
