"""`make eval`: nDCG@10 and recall@100 of text, vector and hybrid search, and of the library bm25s beside them."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bm25s
import click
import Stemmer

from pgpipe.db import Connection, Database
from pgpipe.db.embedded import leave_embedded, start_embedded
from pgpipe.embed.batch import TEXTS
from pgpipe.embed.model.base import Model, load_model
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.evaluation.measure import DEPTH, scores
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings
from pgpipe.target import Target
from tests.bench.judged import Judged, read

Ask = Callable[[str], list[str]]  # a question → ids of documents, best first
KEYS = "select key ->> 'id' from pgpipe."


def plain(question: str) -> str:
    """A question without operators: where the people who asked these put quotes, they did not insist on a phrase."""
    return re.sub(r"(^|\s)-+|\"", r"\1 ", question)


def measure(judged: Judged, ask: Ask) -> tuple[float, float, float]:
    """Mean nDCG@10, mean recall@100 and milliseconds a question."""
    started = time.perf_counter()
    answers = {q: ask(plain(text)) for q, text in judged.questions.items()}
    spent = (time.perf_counter() - started) * 1000 / len(answers)
    found = scores(judged.gains, answers)
    return float(found["ndcg@10"].mean()), float(found["recall@100"].mean()), spent


def peer(judged: Judged) -> Ask:
    """The library bm25s with the English stemmer and stop words, title and body as one text."""
    stemmer = Stemmer.Stemmer("english")
    ids = [d.id for d in judged.documents]
    index = bm25s.BM25()
    texts = [f"{d.title} {d.body}" for d in judged.documents]
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)

    def ask(question: str) -> list[str]:
        tokens = bm25s.tokenize([question], stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
        found, scores = index.retrieve(tokens, k=min(DEPTH, len(ids)), show_progress=False)
        return [ids[n] for n, score in zip(found[0], scores[0], strict=True) if score > 0]

    return ask


@contextmanager
def loaded(judged: Judged, settings: EmbeddingSettings, model: Model) -> Iterator[Connection]:
    """A connection to a database that holds the documents, searchable and embedded, in a table `document`."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-eval-") as folder:
        Path(folder).chmod(0o755)
        url = start_embedded(Path(folder) / "data")
        try:
            database = Database(DatabaseSettings(url=url))
            migrate(database)
            with database.connect(autocommit=True) as conn:
                fill(conn, judged, model)
                say(f"{len(judged.documents)} documents loaded, their words indexed")
                embed(database, settings, model, len(judged.documents))
                yield conn
        finally:
            leave_embedded(Path(folder) / "data")


def fill(conn: Connection, judged: Judged, model: Model) -> None:
    """Declare as a newcomer would: title A, body B, both embedded."""
    conn.execute("create table document (id text primary key, title text, body text)")
    with conn.cursor().copy("copy document from stdin") as copy:
        for d in judged.documents:
            copy.write_row((d.id, d.title, d.body))
    conn.execute("select pgpipe.enable_search('document', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('document')")
    conn.execute("analyze document")
    conn.execute(
        "select pgpipe.enable_embedding('document', '{title,body}', model => %s, dims => %s)", (model.name, model.dims)
    )


def embed(database: Database, settings: EmbeddingSettings, model: Model, documents: int) -> None:
    """Work off the queue, as the embedder does."""
    finished = 0

    def progress(_target: Target, jobs: int) -> None:
        nonlocal finished
        finished += jobs
        say(f"{finished} of {documents} documents embedded")

    totals = Worker(database, settings, Hooks(progress=progress), load=lambda _settings: model).drain()
    if totals.failed:
        raise click.ClickException(f"{totals.failed} documents have no vector, so the table would be wrong")


def encode(model: Model, questions: Iterable[str]) -> dict[str, str]:
    """The vector of each different question as pgvector writes it, with the model's prompt for questions."""
    different = list(dict.fromkeys(questions))
    ask = getattr(model, "encode_query", model.encode)
    vectors: dict[str, str] = {}
    for start in range(0, len(different), TEXTS):
        part = different[start : start + TEXTS]
        vectors |= {text: str(vector.tolist()) for text, vector in zip(part, ask(part), strict=True)}
        say(f"{len(vectors)} of {len(different)} questions embedded")
    return vectors


def say(progress: str) -> None:
    """Tell whoever waits; the table alone goes to stdout."""
    click.echo(progress, err=True)


def main() -> None:
    """Print the table."""
    folder = os.environ.get("COLLECTION")
    judged = read(Path(folder) if folder else None)
    say(f"{judged.name}: {len(judged.documents)} documents, {len(judged.questions)} questions with an answer")
    settings = EmbeddingSettings(batch=128)  # small, so that progress shows
    model = load_model(settings)
    encoded = encode(model, map(plain, judged.questions.values()))
    with loaded(judged, settings, model) as conn:

        def asks(statement: str) -> Ask:
            return lambda text: [
                row[0] for row in conn.execute(KEYS + statement, {"text": text, "vector": encoded[text], "k": DEPTH})
            ]

        modes = {
            "bm25s": peer(judged),
            "text": asks("text_search('document', %(text)s, %(k)s)"),
            "vector": asks("vector_search('document', %(vector)s, %(k)s)"),
            "hybrid": asks("hybrid_search('document', %(text)s, %(vector)s, %(k)s)"),
            "hybrid, ranks": asks("hybrid_search('document', %(text)s, %(vector)s, %(k)s, rrf_k => 60)"),
        }
        click.echo(f"\n{judged.name}: {len(judged.documents)} documents, {len(judged.questions)} questions\n")
        click.echo("| mode | nDCG@10 | recall@100 | ms a question |\n|---|---|---|---|")
        for mode, ask in modes.items():
            say(f"asking: {mode}")
            quality, found, spent = measure(judged, ask)
            click.echo(f"| {mode} | {quality:.3f} | {found:.3f} | {spent:.1f} |")


if __name__ == "__main__":
    main()
