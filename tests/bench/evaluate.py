"""`make eval`: nDCG@10 and recall@100 of text, vector and hybrid search, and of the library bm25s beside them."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bm25s
import click
import Stemmer

from pgpipe.config import DatabaseSettings, EmbeddingSettings
from pgpipe.db import Connection, Database, pgserver
from pgpipe.embed.model import dimensions, load_model
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from tests.bench.judged import DEPTH, Judged, ndcg, read, recall

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
    return (
        sum(ndcg(a, judged.gains[q]) for q, a in answers.items()) / len(answers),
        sum(recall(a, judged.gains[q]) for q, a in answers.items()) / len(answers),
        spent,
    )


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
def loaded(judged: Judged, url: str | None, settings: EmbeddingSettings) -> Iterator[Connection]:
    """A connection to a database that holds the documents, searchable and embedded, in a table `document`."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-eval-") as folder:
        Path(folder).chmod(0o755)
        running = None if url else pgserver().get_server(Path(folder) / "data", cleanup_mode="delete")
        database = Database(DatabaseSettings(url=url or str(running.get_uri())))
        migrate(database)
        with database.connect(autocommit=True) as conn:
            fill(conn, judged, settings)
            Worker(database, settings).drain()
            yield conn
        if running:
            running.cleanup()


def fill(conn: Connection, judged: Judged, settings: EmbeddingSettings) -> None:
    """Declare as a newcomer would: title A, body B, both embedded."""
    conn.execute("create table document (id text primary key, title text, body text)")
    with conn.cursor().copy("copy document from stdin") as copy:
        for d in judged.documents:
            copy.write_row((d.id, d.title, d.body))
    conn.execute("select pgpipe.enable_search('document', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('document')")
    conn.execute("analyze document")
    conn.execute(
        "select pgpipe.enable_embedding('document', '{title,body}', model => %s, dims => %s)",
        (settings.model, dimensions(settings)),
    )


def main() -> None:
    """Print the table."""
    folder = os.environ.get("COLLECTION")
    judged = read(Path(folder) if folder else None)
    settings = EmbeddingSettings()
    model = load_model(settings)
    asked = {plain(text) for text in judged.questions.values()}
    encoded = {text: str(model.encode([text])[0].tolist()) for text in asked}
    with loaded(judged, None, settings) as conn:

        def asks(statement: str) -> Ask:
            return lambda text: [
                row[0] for row in conn.execute(KEYS + statement, {"text": text, "vector": encoded[text], "k": DEPTH})
            ]

        modes = {
            "bm25s": peer(judged),
            "text": asks("rank_text('document', %(text)s, %(k)s)"),
            "vector": asks("rank_vector('document', %(vector)s, %(k)s)"),
            "hybrid": asks("hybrid_search('document', %(text)s, %(vector)s, %(k)s)"),
            "hybrid, ranks": asks("hybrid_search('document', %(text)s, %(vector)s, %(k)s, rrf_k => 60)"),
        }
        click.echo(f"\n{judged.name}: {len(judged.documents)} documents, {len(judged.questions)} questions\n")
        click.echo("| mode | nDCG@10 | recall@100 | ms a question |\n|---|---|---|---|")
        for mode, ask in modes.items():
            quality, found, spent = measure(judged, ask)
            click.echo(f"| {mode} | {quality:.3f} | {found:.3f} | {spent:.1f} |")


if __name__ == "__main__":
    main()
