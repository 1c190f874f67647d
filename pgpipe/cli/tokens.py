"""pgpipe tokens."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import click

from pgpipe import tokens as made
from pgpipe.cli.app import App, cli, json_option
from pgpipe.searching.ask import find_searchable

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def _span(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    if value is None or value == "never":
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}[hdw]", value):
        raise click.BadParameter(f"{value!r} is not a time such as 90d (h, d or w), or `never`")
    return timedelta(**{UNITS[value[-1]]: int(value[:-1])})


@cli.group()
def tokens() -> None:
    """Who may ask the search API: see `pgpipe serve --api`."""


@tokens.command("create")
@click.argument("name")
@click.option(
    "--entity", "entities", multiple=True, metavar="NAME", help="May search this one; repeatable [default: all]"
)
@click.option("--role", default="pgpipe_reader", show_default=True, help="Role of the database that requests act as.")
@click.option(
    "--per-minute", type=click.IntRange(1, 1_000_000), default=600, show_default=True, help="Requests, on average."
)
@click.option("--burst", type=click.IntRange(1, 1_000_000), help="Requests at once [default: those of ten seconds]")
@click.option(
    "--expires", callback=_span, metavar="90d|never", default="365d", show_default=True, help="How long it holds."
)
@json_option
@click.pass_obj
def create(
    app: App,
    name: str,
    entities: Sequence[str],
    role: str,
    per_minute: int,
    burst: int | None,
    expires: timedelta | None,
    *,
    as_json: bool,
) -> None:
    """Make a token and print it, this once: the database keeps only its hash.

    NAME says what it is for. Rights and row policies of --role hold for every request. The database must know the role
    pgpipe_api (`pgpipe roles`), and that role must be a member of --role.
    """
    with app.database.connect() as conn:
        targets = [find_searchable(conn, entity, app.home) for entity in dict.fromkeys(entities)]
        until = made.now(conn) + expires if expires else None
        token = made.create(conn, name, role, targets, per_minute=per_minute, burst=burst, expires_at=until)
    if as_json:
        app.print_json({"token": token, "token_id": made.id_of(token), "name": name, "expires_at": until})
        return
    click.echo(token)
    app.tell("keep it now: it is not shown again. Send it as the header `Authorization: Bearer …`")


@tokens.command("list")
@json_option
@click.pass_obj
def list_(app: App, *, as_json: bool) -> None:
    """List tokens by the part that may be shown: what each may search, and the last day on which it was used."""
    with app.database.connect() as conn:
        found = made.listed(conn)
    if as_json:
        app.print_json([asdict(each) for each in found])
    elif found:
        app.print_rows(
            [
                {
                    "token": f"pgpipe_{each.token_id}_…",
                    "name": each.name,
                    "state": each.state,
                    "role": each.role,
                    "entities": "all" if each.entities is None else ", ".join(each.entities),
                    "per minute": each.per_minute,
                    "expires": f"{each.expires_at:%Y-%m-%d}" if each.expires_at else "never",
                    "used": each.used_on or "never",
                }
                for each in found
            ]
        )
    else:
        app.tell("no token yet; `pgpipe tokens create NAME` makes one")


@tokens.command("revoke")
@click.argument("which", metavar="ID|NAME")
@click.pass_obj
def revoke(app: App, which: str) -> None:
    """Revoke the token with this id, or all with this name. Servers refuse it within a second."""
    with app.database.connect() as conn:
        count = made.revoke(conn, which)
    app.tell(f"{count} revoked")
