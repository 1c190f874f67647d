"""Questions through the command line and from Python, with the real model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import pytest

import pgpipe
from pgpipe.api import search
from pgpipe.demo import lake as docs
from tests.conftest import Cli, Lake, clone, make_cli
from tests.fixtures.examples import in_turn
from tests.flow.support import fails, rows, stages

pytestmark = pytest.mark.model
MODULES = {"ast", "base64", "bisect", "calendar"}  # the questions are about bisect
CONFIG = """
[entity.function]
key = ["name"]
mode = "snapshot"
search = { columns = { name = "A", summary = "A", doc = "B" } }
embed = { columns = ["summary", "doc"] }
"""
MEANING = "put something in its place in a sequence"  # shares no word with what it is about


@pytest.fixture(scope="module")
def asked(server18, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Functions of Python's library, loaded and embedded by `pgpipe run`; tests put back what they change."""
    folder = tmp_path_factory.mktemp("asked")
    first = takewhile(lambda found: str(found[1]["module"]) <= max(MODULES), docs.documented())
    functions = [row for entity, row in first if entity == "function" and row["module"] in MODULES]
    Lake(folder / "lake").put("2026-01-01", "function", functions)
    (folder / "pgpipe.toml").write_text(CONFIG)
    with contextmanager(clone)(server18) as database, pytest.MonkeyPatch.context() as patch:
        cli = make_cli(database.url, folder, patch)
        run = ("run", "--source", f"file://{folder}/lake", "--json")
        yield SimpleNamespace(cli=cli, database=database, rows=len(functions), again=run, run=cli(*run))


def ask(cli: Cli, question: str, *options: str) -> list[dict]:
    """The answers to a question."""
    result = cli("search", question, "--json", "--row", *options)
    assert (result.code, result.err) == (0, ""), result
    return json.loads(result.out)


def names(hits: list[dict]) -> list[str]:
    """Whose answers they are, best first."""
    return [hit["key"]["name"] for hit in hits]


def test_run_embeds_every_row(asked: SimpleNamespace) -> None:
    """And reports it; a second run finds nothing to do and writes nothing."""
    first = stages(asked.run)
    before = rows(asked.database, "select name, chunk, xmin::text from function_embedding order by 1, 2")

    second = stages(asked.cli(*asked.again))

    assert asked.run.code == 0
    assert first["function", "import"]["inserted"] == asked.rows
    assert first["function", "embed"]["embedded"] == asked.rows
    assert {name for name, _, _ in before} == {name for (name,) in rows(asked.database, "select name from function")}
    assert [second["function", s]["state"] for s in ("import", "embed")] == ["nothing to do"] * 2
    assert rows(asked.database, "select name, chunk, xmin::text from function_embedding order by 1, 2") == before
    assert rows(asked.database, "select count(*) from pgpipe.job") == [(0,)]


def test_a_question_by_meaning(asked: SimpleNamespace) -> None:
    """Is answered by rows that share no word with it; keyword search does not find them."""
    vector = ask(asked.cli, MEANING, "--mode", "vector", "-k", "4")

    assert {"bisect.insort_left", "bisect.insort_right"} <= set(names(vector))
    assert all(hit["text_rank"] is None and hit["passage"] for hit in vector)
    assert [hit["vector_rank"] for hit in vector] == [1, 2, 3, 4]
    assert vector[0]["score"] >= vector[-1]["score"] > 0
    text = ask(asked.cli, "sequence place", "--mode", "text")
    assert "bisect.insort_left" not in names(text)


def test_a_question_by_words(asked: SimpleNamespace) -> None:
    """Words are alternatives, a phrase must occur, a -word must not; the words are marked in the passage."""
    both = names(ask(asked.cli, "insert item sorted gibberishword", "--mode", "text"))
    phrase = names(ask(asked.cli, '"the right of the rightmost"', "--mode", "text"))
    without = names(ask(asked.cli, "insert item sorted -rightmost", "--mode", "text"))

    assert {"bisect.insort_left", "bisect.insort_right"} <= set(both)
    assert "bisect.insort_left" not in phrase
    assert "bisect.insort_right" not in without
    assert "<b>" in ask(asked.cli, "insert item", "--mode", "text")[0]["passage"]


def test_a_question_in_both_ways(asked: SimpleNamespace) -> None:
    """Hybrid is the default; a hit says its place in both lists."""
    question = "how do I insert an item into a sorted list?"

    default = ask(asked.cli, question, "-k", "5")

    assert default == ask(asked.cli, question, "--mode", "hybrid", "-k", "5")
    assert {"bisect.insort_left", "bisect.insort_right"} & set(names(default)[:2])  # docstrings differ between Pythons
    assert default[0]["text_rank"]
    assert default[0]["vector_rank"]
    assert "search" not in default[0]["row"]
    assert default[0]["row"]["module"] == "bisect"


@pytest.mark.parametrize("mode", ["text", "vector", "hybrid"])
def test_a_filter_holds_in_every_mode(asked: SimpleNamespace, mode: str) -> None:
    """By value, by list and by bounds."""
    question = "insert an item into a list"

    for where in ('{"module": "ast"}', '{"module": ["ast", "x"]}', '{"module": {"gte": "ast", "lt": "asu"}}'):
        hits = ask(asked.cli, question, "--mode", mode, "--filter", where)
        assert {hit["row"]["module"] for hit in hits} == {"ast"}


ODD = {
    "empty": "",
    "one character": "x",
    "ten thousand words": "insert " * 5000 + " ".join(f"word{n}" for n in range(5000)),
    "stop words": "the of and is",
    "operators": '& | ! <-> ( ) :* - -- * " ""',
    "NUL": "insert\0item",
    "emoji": "\U0001f600 \U0001f469\u200d\U0001f467",
    "Chinese": "\u6570\u636e\u5e93",
}


@pytest.mark.parametrize(("kind", "mode"), in_turn([(kind,) for kind in ODD], ["text", "vector", "hybrid"]))
def test_odd_questions(asked: SimpleNamespace, kind: str, mode: str) -> None:
    """None is an error: by words some find nothing, by meaning each has nearest rows."""
    hits = ask(asked.cli, ODD[kind], "--mode", mode, "-k", "3")

    if mode != "text" or kind in {"ten thousand words", "NUL"}:
        assert len(hits) == 3
    elif kind != "one character":
        assert hits == []


def test_answers_in_words(asked: SimpleNamespace) -> None:
    """Rank, key, score and the passage, with the question's words free of marks."""
    result = asked.cli("search", "insert item into a sorted list", "-k", "2")

    assert (result.code, result.err) == (0, "")
    first, passage = result.out.splitlines()[:2]
    assert first.startswith(" 1. bisect.")
    assert "(text " in first
    assert "vector " in first
    assert "insert item" in passage.lower()
    assert "<b>" not in result.out
    nothing = asked.cli("search", "gibberishword", "--mode", "text")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing found.\n")


def test_a_text_may_hold_any_mark(asked: SimpleNamespace) -> None:
    """HTML, the mark-up of the terminal library, its emoji codes: printed as they are."""
    html = "</b> an [/bold] odd [red]zebra[/] &lt;/b&gt; :warning: \\"
    with asked.database.connect(autocommit=True) as conn:
        conn.execute("insert into function (name, summary) values ('[b]x[/]', %s)", (html,))
        shown = asked.cli("search", "zebra", "--mode", "text")
        conn.execute("delete from function where name = '[b]x[/]'")

    assert (shown.code, shown.err) == (0, "")
    assert "[b]x[/]" in shown.out
    assert "[/bold] odd [red]zebra[/] &lt;/b&gt; :warning: \\" in shown.out


@pytest.mark.usefixtures("asked")
def test_from_python() -> None:
    """Typed hits, from the settings of the folder; the default mode is the best there is."""
    hits = search(MEANING, entity="function", mode="vector", k=3, filter={"module": "bisect"}, row=True)

    assert len(hits) == 3
    assert all(isinstance(hit, pgpipe.Hit) and hit.row["module"] == "bisect" for hit in hits)
    assert search(MEANING, k=3, mode="vector", filter={"module": "bisect"}, row=True) == hits
    assert search("sorted list", k=1, mode=None)[0].vector_rank is not None
    assert search("sorted list", k=1)[0].text_rank is not None


def test_rows_of_plain_sql_are_found(asked: SimpleNamespace) -> None:
    """By word at once; by meaning after a drain; changed and deleted ones too."""
    database = asked.database
    summary = "Brew a cup of hot coffee in the morning."
    with database.connect(autocommit=True) as conn:
        conn.execute("insert into function (name, summary) values ('kitchen.brew', %s)", (summary,))
        assert names(ask(asked.cli, "coffee", "--mode", "text")) == ["kitchen.brew"]
        assert "kitchen.brew" not in names(ask(asked.cli, "espresso for breakfast", "--mode", "vector"))

        drained = asked.cli("embedder", "--drain")
        assert (drained.code, drained.out) == (0, "1 rows embedded, 0 were fresh\n")
        assert names(ask(asked.cli, "espresso for breakfast", "--mode", "vector"))[0] == "kitchen.brew"
        conn.execute("update function set summary = 'Walk the dog in the park.' where name = 'kitchen.brew'")
        assert asked.cli("embedder", "--drain").out == "1 rows embedded, 0 were fresh\n"
        assert names(ask(asked.cli, "a stroll with my puppy", "--mode", "vector"))[0] == "kitchen.brew"
        conn.execute("update function set lines = 5 where name = 'kitchen.brew'")
        assert asked.cli("embedder", "--drain").out == "0 rows embedded, 0 were fresh\n"
        conn.execute("delete from function where name = 'kitchen.brew'")
    assert "kitchen.brew" not in names(ask(asked.cli, "a stroll with my puppy", "--mode", "hybrid"))
    assert asked.cli("embedder", "--drain").code == 0
    assert rows(database, "select count(*) from function_embedding where name like 'kitchen%'") == [(0,)]


def test_a_model_that_is_nowhere_is_named(asked: SimpleNamespace, tmp_path: Path) -> None:
    """One line that says where was looked."""
    Lake(tmp_path).put("2026-01-01", "other", [{"id": 1, "text": "some words of prose"}])
    asked.cli("load", "--source", f"file://{tmp_path}", "--key", "id", "--skip-embeddings")
    (tmp_path / "model").mkdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDING_MODEL", str(tmp_path / "model"))
        result = asked.cli("load", "--source", f"file://{tmp_path}", "--key", "id", "--json")

    fails(result, 1, "other: the model ", f"{tmp_path / 'model'} has no weights in a safetensors file")
