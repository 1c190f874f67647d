"""pgpipe evaluate: modes measured, embeddings compared, settings of ranking fitted and set."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from pgpipe.db import Database
from tests.conftest import Cli
from tests.flow.test_embedding_cli import ready  # noqa: F401 - a fixture
from tests.sql.support import value

QUESTIONS = 12
# For each question a row that has its word in the body, and one that has it in a title, which is wrong.
THINGS = """
    create table thing (id text primary key, title text, body text);
    insert into thing select 'right ' || n, null, format('w%sx fill', n) from generate_series(1, %s) n;
    insert into thing select 'wrong ' || n, format('w%sx', n), 'fill fill' from generate_series(1, %s) n;
    select pgpipe.enable_search('thing', '{title=>A, body=>B}', 'simple');
    select pgpipe.refresh_search('thing')
"""


@pytest.fixture
def things(database: Database, tmp_path: Path) -> Path:
    """A table whose title is a bad guide, and its judgements."""
    with database.connect() as conn:
        conn.execute(THINGS.replace("%s)", f"{QUESTIONS})").encode())
    judged = tmp_path / "judged.tsv"
    judged.write_text("".join(f"w{n}x\tright {n}\t1\n" for n in range(1, QUESTIONS + 1)), encoding="utf-8")
    return judged


def test_a_table_is_measured(things: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every right row is second: MRR is 0.5. Judged rows that are gone are left out, and a row of no table is said."""
    with things.open("a", encoding="utf-8") as file:
        file.write("w1x\tgone\t1\n")
    found = cli("evaluate", "judged.tsv")
    assert found.code == 0, found.err
    assert "thing lacks 1 of the judged rows" in found.err
    assert "0.500 (0.500 to 0.500)" in found.out
    things.write_text('w1x\t{"id": "gone"}\t1\n', encoding="utf-8")
    lost = cli("evaluate", "judged.tsv")
    assert (lost.code, 'has none of the 1 judged rows, such as \'{"id": "gone"}\'' in lost.err) == (2, True)
    things.write_text("w1x\tright 1\t1\n", encoding="utf-8")
    few = cli("evaluate", "judged.tsv", "--tune")
    assert (few.code, "--tune needs at least 10 questions with an answer, and there are 1" in few.err) == (2, True)
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    bare = cli("evaluate", "judged.tsv")
    assert (bare.code, "pgpipe evaluate needs ir_measures, which is not installed" in bare.err) == (2, True)
    assert "pip install 'pgpipe-search[evaluate]'" in bare.err


@pytest.mark.usefixtures("things")
def test_settings_are_fitted(cli: Cli, database: Database) -> None:
    """The lines for pgpipe.toml answer the questions that they were not fitted to. Once set, nothing is better."""
    found = cli("evaluate", "judged.tsv", "--tune", "--entity", "thing")
    assert found.code == 0, found.err
    assert "within the noise" not in found.out
    lines = found.out[found.out.index("[entity.thing.ranking]") :]
    ranking = tomllib.loads(lines)["entity"]["thing"]["ranking"]
    assert ranking["weights"]["A"] == 1
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.set_ranking('thing', %s)", (json.dumps(ranking),))
    (measured,) = json.loads(cli("evaluate", "judged.tsv", "--json").out)["modes"]
    assert measured["measures"]["mrr"]["mean"] == 1
    assert "No setting answers better" in cli("evaluate", "judged.tsv", "--tune").out


def test_noise_is_called_so(things: Path, cli: Cli) -> None:
    """Where right rows are as often the one kind as the other, no gain is more than chance."""
    lines = things.read_text(encoding="utf-8").splitlines()
    mixed = [line.replace("right", "wrong") if n % 3 else line for n, line in enumerate(lines)]
    things.write_text("\n".join(mixed), encoding="utf-8")

    said = cli("evaluate", "judged.tsv", "--tune").out
    assert "No setting answers better" in said or "The gain is within the noise" in said


def test_two_embeddings_are_compared(ready: Cli, database: Database, tmp_path: Path) -> None:  # noqa: F811 - a fixture
    """The same vectors under two names do not differ; rows without vectors are said, and so is an unknown name."""
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        conn.execute("select pgpipe.enable_embedding('doc', '{title,body}', 'chaos', 3, name => 'large')")
        conn.execute("select pgpipe.enable_embedding('doc', '{body}', 'chaos', 3, name => 'empty')")
        conn.execute("select pgpipe.pause_embedding('doc', 'empty')")
        assert value(conn, "select count(*) from pgpipe.job") == 60
    assert ready("embedder", "--drain").code == 0
    (tmp_path / "judged.tsv").write_text("".join(f"title {n}\t{n}\t1\n" for n in range(1, 7)), encoding="utf-8")

    found = ready("evaluate", "judged.tsv", "--compare", "default", "large")
    assert found.code == 0, found.err
    assert found.out.count("the difference is within the noise: nDCG@10 +0.000 (+0.000 to +0.000), 0 questions") == 2
    assert "30 rows wait" in ready("evaluate", "judged.tsv", "--compare", "default", "empty").err
    wrong = ready("evaluate", "judged.tsv", "--compare", "default", "larg")
    assert (wrong.code, "it has default, empty, large" in wrong.err) == (2, True)
