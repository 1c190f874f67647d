"""pgpipe systemd."""

import os
import sys
from pathlib import Path

import click

from pgpipe.cli.app import App, cli
from pgpipe.errors import UsageError
from pgpipe.units import Scope, units


@cli.command()
@click.option("--system", "scope", flag_value="system", default="system", help="For the machine [default].")
@click.option("--user", "scope", flag_value="user", help="For this user: no root needed, and less isolation.")
@click.option("--install", is_flag=True, help="Write the files instead of printing them.")
@click.option("--force", is_flag=True, help="Also over files that differ.")
@click.option("--gpu", is_flag=True, help="Let embedders use the machine's GPUs.")
@click.option("--on-calendar", "calendar", default="*-*-* 06:00:00", show_default=True, help="When loads run.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to write [default: systemd's own]"
)
@click.pass_obj
def systemd(app: App, scope: Scope, install: bool, force: bool, gpu: bool, calendar: str, folder: Path | None) -> None:
    """Print or install the systemd units: embedders, and a load by timer.

    They read pgpipe.toml in /etc/pgpipe (a user's: ~/.config/pgpipe). The database's password is in pgpass in that
    folder (a user's: ~/.pgpass).
    """
    made = units(scope, _program(), calendar, gpu=gpu)
    folder = folder or _folder(scope)
    if not install:
        for name, text in made.items():
            click.echo(f"# {folder / name}\n{text}")
        return
    differing = [name for name, text in made.items() if _differs(folder / name, text)]
    if differing and not force:
        raise UsageError(f"{folder / differing[0]} is there and differs; --force overwrites it")
    try:
        for name, text in made.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            app.err.print(f"wrote {folder / name}", soft_wrap=True)
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written: {exc.strerror}; --user needs no root") from exc
    control = "systemctl --user" if scope == "user" else "systemctl"
    click.echo(f"{control} daemon-reload\n{control} enable --now pgpipe-load.timer pgpipe-embedder@1")


def _program() -> Path:
    """This program, by the path that the units will call."""
    beside = Path(sys.executable).with_name("pgpipe")
    return beside if os.access(beside, os.X_OK) else Path(sys.argv[0]).absolute()


def _folder(scope: Scope) -> Path:
    if scope == "system":
        return Path("/etc/systemd/system")
    return Path("~/.config/systemd/user").expanduser()


def _differs(file: Path, text: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") != text
