"""pgpipe search and fill-search."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import Any

import click
from rich.markup import escape
from rich.text import Text

from pgpipe import errors
from pgpipe.api import search as ask
from pgpipe.api import suggest
from pgpipe.cli.app import App, cli, json_option
from pgpipe.searching import fill
from pgpipe.searching.ask import Hit
from pgpipe.searching.passage import pieces
from pgpipe.searching.suggest import Suggestion
from pgpipe.target import find

SHOWN = 320  # characters of a passage without marks, in a terminal; --json has it whole


class FreeText(click.Command):
    """A command whose argument may begin with a hyphen, as the question -jacket does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A word behind one hyphen is text, unless it is an option: -h, -k or -k5."""
        known = {name: param for param in self.get_params(ctx) for name in param.opts}
        options: list[str] = []
        words: list[str] = []
        rest = iter(args)
        for word in rest:
            short = known.get(word[:2])
            if word == "--":
                words += rest
            elif word in known:
                options += [word, *islice(rest, 0 if getattr(known[word], "is_flag", False) else 1)]
            elif word.startswith("-") and word[1:2] not in {"-", ""} and not (short and word[2:].isdecimal()):
                words.append(word)
            else:
                options.append(word)
        return super().parse_args(ctx, [*options, "--", *words])


@cli.command(cls=FreeText)
@click.argument("query")
@click.option(
    "--entity",
    metavar="NAME",
    multiple=True,
    help="Where to look, as NAME or SCHEMA.NAME; may be left out if there is only one. Several make one list.",
)
@click.option(
    "--mode",
    type=click.Choice(["text", "vector", "hybrid"]),
    help="[default: hybrid if there are vectors, else text]",
)
@click.option("-k", default=10, show_default=True, type=click.IntRange(1, 1000), help="At most so many answers.")
@click.option("--skip", default=0, type=click.IntRange(0, 100_000), metavar="N", help="Leave out the first N answers.")
@click.option("--filter", "where", metavar="JSON", help='Such as {"brand": "x", "price": {"lt": 20}}.')
@click.option("--prefix", is_flag=True, help="The last word is the beginning of one.")
@click.option("--fuzzy/--no-fuzzy", default=True, help="Correct a word that no row holds.  [default: --fuzzy]")
@click.option("--boost", metavar="JSON", help='What columns add to the score, such as {"popularity": {"log": 0.3}}.')
@click.option("--order-by", metavar="COLUMN", help="Order the best answers by it; falling with a - before its name.")
@click.option("--explain", is_flag=True, help="With --json: each answer has details that say why it has its place.")
@click.option(
    "--rerank/--no-rerank",
    default=None,
    help="Let a model read the best answers again, and order them.  [default: as the entity's settings say]",
)
@click.option(
    "--rerank-by", metavar="JSON", help='The same by other settings, such as {"candidates": 20, "budget": "1s"}.'
)
@click.option("--suggest", "is_begun", is_flag=True, help="Complete what is typed so far, in place of answers.")
@click.option("--row", is_flag=True, help="With --json: each answer has its whole row.")
@json_option
@click.pass_obj
def search(
    app: App,
    /,
    query: str,
    entity: tuple[str, ...],
    where: str | None,
    *,
    as_json: bool,
    is_begun: bool,
    rerank_by: str | None,
    **how: Any,  # noqa: ANN401 - the options above
) -> None:
    """Ask a question: words, or a full sentence.

    Words are alternatives and the best match wins; "a phrase" must occur, -word must not, word* is a beginning.
    """
    if is_begun:
        if len(entity) > 1:
            raise errors.UsageError("--suggest completes by one entity; give --entity once")
        found = suggest(query, next(iter(entity), None), how["k"], settings=app.settings, database=app.reading)
        _print_suggestions(app, found, as_json)
        return
    how["boost"] = parse_object("--boost", how["boost"], '{"popularity": {"log": 0.3}}')
    if rerank_by and how["rerank"] is not False:
        how["rerank"] = parse_object("--rerank-by", rerank_by, '{"candidates": 20}')
    if (column := how["order_by"] or "").startswith("-"):
        how["order_by"] = {column[1:]: "desc"}
    with blamed_on_filter(None if how["boost"] or how["order_by"] else where):
        hits = ask(query, entity, filter=parse_filter(where), settings=app.settings, database=app.reading, **how)
    if as_json:
        app.print_json([asdict(hit) for hit in hits])
        return
    if hits and hits[0].corrected:
        app.err.print(f"Answers to: {escape(hits[0].corrected)}")
    if hits and (told := hits[0].reranked):
        app.err.print(f"Not reranked: {escape(told.fault)}" if told.fault else f"Reranked: {told.rows} of {told.of}")
    for place, hit in enumerate(hits, how["skip"] + 1):
        print_hit(app, place, hit)
    if not hits:
        app.err.print("Nothing found.")


@cli.command("fill-search")
@click.option("--entity", metavar="NAME", help="Only this one, as NAME or SCHEMA.NAME.")
@click.option("--batch", default=fill.BATCH, show_default=True, type=click.IntRange(1), help="Rows a transaction.")
@click.pass_obj
def fill_search(app: App, entity: str | None, batch: int) -> None:
    """Fill search columns that were declared for tables in use, let them serve, and build missing indexes.

    Writers do not wait, and what was searchable stays so. You may stop it: the next call goes on from its place.
    """
    with app.database.connect(autocommit=True, session=True) as conn:
        only = find(conn, entity, app.home) if entity else None
        targets = fill.pending(conn, only)
        for target in targets:
            name = target.label(app.home)
            with app.bar(f"{name}: search", max(target.rows - target.filled, 0)) as advance:
                done = fill.fill(conn, target, advance, batch)
            click.echo(f"{name}: {'filled, and serves' if done else 'another process is at it'}")
        for searched in fill.unindexed(conn, only):
            done = fill.build_indexes(conn, searched)
            click.echo(f"{searched.label(app.home)}: {'indexed' if done else 'another process is at it'}")
    if not targets:
        click.echo(f"The search column of {entity} is filled." if entity else "Every search column is filled.")


def parse_filter(where: str | None) -> dict[str, Any] | None:
    """The filter of an option: as `parse_object`."""
    return parse_object("--filter", where, '{"brand": "x"}')


def parse_object(option: str, text: str | None, example: str) -> dict[str, Any] | None:
    """The JSON object of an option.

    Raises:
        UsageError: it is not one.
    """
    if text is None:
        return None
    try:
        parsed = json.loads(text)
    except ValueError as exc:
        raise errors.UsageError(f"{option} is not valid JSON: {exc}") from None
    if not isinstance(parsed, dict):
        raise errors.UsageError(f"{option} is a JSON object, such as {example}")
    return parsed


@contextmanager
def blamed_on_filter(where: str | None) -> Iterator[None]:
    """Only the filter can name a missing column, or a value that does not fit its column."""
    try:
        yield
    except errors.PgpipeError as exc:
        state = getattr(exc.__cause__, "sqlstate", None) or ""
        if where is not None and (state in {"PP002", "PP003"} or state.startswith("22")):
            raise errors.UsageError(f"--filter: {exc}") from exc
        raise


def _print_suggestions(app: App, found: list[Suggestion], as_json: bool) -> None:
    if as_json:
        app.print_json([asdict(each) for each in found])
        return
    for each in found:
        click.echo(each.suggestion)


def print_hit(app: App, place: int, hit: Hit) -> None:
    """A hit in a few lines: its title and key, its score and ranks, its passage."""
    key = ", ".join(str(v) for v in hit.key.values())
    ranks = [f"{name} {rank}" for name, rank in (("text", hit.text_rank), ("vector", hit.vector_rank)) if rank]
    if hit.rerank_score is not None:
        ranks.append(f"reranked {hit.rerank_score:.3f}")
    name = " · ".join(dict.fromkeys(part for part in (hit.entity, hit.title, key) if part))
    app.out.print(f"[bold]{place:>2}. {escape(name)}[/]  [dim]{hit.score:.3f} ({', '.join(ranks)})[/]")
    passage = Text("    ")
    words = " ".join((hit.passage or "").split())
    shown = words if "<b>" in words or len(words) <= SHOWN else words[:SHOWN] + " …"
    for piece, marked in pieces(shown):
        passage.append(piece, "bold yellow" if marked else "")
    app.out.print(passage)
