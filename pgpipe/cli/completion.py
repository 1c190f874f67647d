"""pgpipe completion."""

import click
from click.shell_completion import get_completion_class

from pgpipe.cli.app import cli


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    \b
    bash:  pgpipe completion bash > ~/.local/share/bash-completion/completions/pgpipe
    zsh:   pgpipe completion zsh > a file _pgpipe in a folder of $fpath
    fish:  pgpipe completion fish > ~/.config/fish/completions/pgpipe.fish
    """  # noqa: D301 - \b is click's mark for text that keeps its line breaks
    made = get_completion_class(shell)
    assert made is not None  # click knows the three
    click.echo(made(cli, {}, "pgpipe", "_PGPIPE_COMPLETE").source())
