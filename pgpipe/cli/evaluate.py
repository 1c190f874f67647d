"""pgpipe evaluate."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgpipe import errors
from pgpipe.cli.app import App, cli, json_option

if TYPE_CHECKING:  # numpy and what reads judgements are for who evaluates
    from pgpipe.db import Connection
    from pgpipe.evaluation.evaluate import Difference, Measured
    from pgpipe.evaluation.judgements import Judgements
    from pgpipe.evaluation.measure import Interval
    from pgpipe.evaluation.ranked import Ranker
    from pgpipe.evaluation.tune import Tuned
    from pgpipe.searching.ask import Searchable

FILE = click.Path(exists=True, path_type=Path)


@cli.command()
@click.argument("judgements", type=FILE)
@click.option("--questions", type=FILE, metavar="FILE", help="Questions of BEIR or TREC, by the names in JUDGEMENTS.")
@click.option("--entity", metavar="NAME", help="Where to look; may be left out if there is only one.")
@click.option("--compare", nargs=2, metavar="NAME NAME", help="Compare two embeddings, the second with the first.")
@click.option("--tune", "is_tuned", is_flag=True, help="Fit the settings of ranking to one half of the questions.")
@json_option
@click.pass_obj
def evaluate(
    app: App,
    judgements: Path,
    questions: Path | None,
    entity: str | None,
    compare: tuple[str, str] | None,
    *,
    is_tuned: bool,
    as_json: bool,
) -> None:
    """Measure how well searches answer questions whose answers are known.

    JUDGEMENTS has lines of question, key of a row, and grade, with tabs between them; 0 is a row that does not answer.
    It may be a folder in the form of BEIR. A file of BEIR or TREC takes --questions.
    """
    from pgpipe.evaluation import judgements as judged
    from pgpipe.evaluation.ranked import Ranker, of_table
    from pgpipe.searching.ask import find_searchable

    if compare and is_tuned:
        raise errors.UsageError("--compare and --tune are two commands: tune after the switch")
    read = judged.read(judgements, questions)
    with app.reading.connect(autocommit=True) as conn:
        target = find_searchable(conn, entity, app.home)
        known = of_table(conn, target, read)
        asked, name = known.judgements, target.label(app.home)
        if known.lacking:
            app.tell(f"{name} lacks {known.lacking:,} of the judged rows; they are left out")
        ranker = Ranker(conn, app.settings.embedding, len(asked.questions))
        about = {"entity": name, "questions": len(asked.questions), "lacking": known.lacking}
        if is_tuned:
            tuned = _tune(app, conn, ranker, target, asked)
            found: dict[str, Any] = {"tuned": asdict(tuned) | {"certain": tuned.certain}}
        else:
            modes, differences = _measure(app, conn, ranker, target, asked, compare)
            found = {"modes": list(map(asdict, modes)), "differences": list(map(asdict, differences))}
    if as_json:
        app.print_json(about | found)
    elif is_tuned:
        _print_tuned(app, name, tuned)
    else:
        _print_modes(app, modes, len(asked.questions))
        _print_differences(app, differences, compare)


def _measure(
    app: App,
    conn: "Connection",
    ranker: "Ranker",
    target: "Searchable",
    asked: "Judgements",
    compare: tuple[str, str] | None,
) -> tuple[list["Measured"], list["Difference"]]:
    """Each mode; of two embeddings those that use one, and how the second differs."""
    from pgpipe.evaluation.evaluate import difference, measure, modes_of
    from pgpipe.evaluation.ranked import with_embedding

    targets = [target]
    if compare:
        targets = []
        for name in compare:
            one, waiting = with_embedding(conn, target, name)
            targets.append(one)
            if waiting:
                app.tell(f"{waiting:,} rows wait for their vectors of the embedding {name}, and are not found by it")
    modes = [mode for mode in modes_of(targets[0]) if mode != "text" or not compare]
    with app.bar(target.label(app.home), len(asked.questions) * len(modes) * len(targets)) as advance:
        measured = {mode: [measure(ranker, asked, each, mode, advance) for each in targets] for mode in modes}
    differences = [difference(mode, *(scores for _, scores in pair)) for mode, pair in measured.items() if compare]
    return [each for pair in measured.values() for each, _ in pair], differences


def _tune(app: App, conn: "Connection", ranker: "Ranker", target: "Searchable", asked: "Judgements") -> "Tuned":
    from pgpipe.evaluation.tune import TRIALS, Tuner

    with app.bar(f"{target.label(app.home)}: settings", TRIALS) as advance:
        return Tuner(conn, ranker, target, advance).tune(asked)


def _print_modes(app: App, modes: Iterable["Measured"], questions: int) -> None:
    rows = [
        {"mode": each.mode, "embedding": each.embedding}
        | {name: _range(bounds) for name, bounds in each.measures.items()}
        | {"ms": f"{each.milliseconds:.0f}"}
        for each in modes
    ]
    app.print_rows(rows)
    app.out.print(f"{questions} questions. In brackets: 95 % confidence, by bootstrap.")


def _print_differences(app: App, differences: Iterable["Difference"], compare: tuple[str, str] | None) -> None:
    for each in differences:
        gain = each.measures["ndcg@10"]
        said = f"{compare[1]} is better than {compare[0]}" if compare else ""
        if gain.high < 0 and compare:
            said = f"{compare[1]} is worse than {compare[0]}"
        elif not gain.certain:
            said = "the difference is within the noise"
        app.out.print(
            f"{each.mode}: {said}: nDCG@10 {_signed(gain)}, {each.better} questions better, {each.worse} worse"
        )


def _print_tuned(app: App, name: str, tuned: "Tuned") -> None:
    from pgpipe.settings.describe import toml_name

    rows = [
        {"mode": held.mode, "measure": measure}
        | {"before": _range(held.before[measure]), "after": _range(held.after[measure])}
        | {"difference": _signed(held.difference.measures[measure])}
        for held in tuned.modes
        for measure in held.before
    ]
    app.print_rows(rows)
    app.out.print(f"Fitted to {tuned.fitted} questions; the table is of the others.")
    if not tuned.changed:
        app.out.print("No setting answers better than those that it has.")
        return
    if not tuned.certain:
        app.out.print("The gain is within the noise: keep what you have, or judge more questions.")
    click.echo(f"\n[entity.{toml_name(name)}.ranking]")
    for setting, value in tuned.ranking.items():
        shown = ", ".join(f"{letter} = {number}" for letter, number in value.items()) if setting == "weights" else value
        click.echo(f"{setting} = {{ {shown} }}" if setting == "weights" else f"{setting} = {shown}")


def _range(bounds: "Interval") -> str:
    return f"{bounds.mean:.3f} ({bounds.low:.3f} to {bounds.high:.3f})"


def _signed(bounds: "Interval") -> str:
    return f"{bounds.mean:+.3f} ({bounds.low:+.3f} to {bounds.high:+.3f})"
