"""Shell completion, by the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, make_cli
from tests.fixtures.examples import one_in

ASK = {
    "bash": """source {script}; COMP_WORDS=(pgpipe se); COMP_CWORD=1; _pgpipe_completion pgpipe
               printf '%s\\n' "${{COMPREPLY[@]}}" """,
    # zsh completes only at its prompt: the script defines the function, which is told what the program answers.
    "zsh": """autoload -U compinit && compinit -u && source {script} && whence -f _pgpipe_completion >/dev/null &&
              COMP_WORDS='pgpipe se' COMP_CWORD=1 _PGPIPE_COMPLETE=zsh_complete pgpipe""",
    "fish": "source {script}; complete -C 'pgpipe se'",
}


@pytest.fixture
def bare_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line; nothing here reaches a database."""
    return make_cli("unused", tmp_path, monkeypatch)


@pytest.mark.parametrize("shell", one_in(3, ASK))
def test_a_shell_completes(bare_cli: Cli, tmp_path: Path, shell: str) -> None:
    """The script is one that the shell reads, and it answers with the commands that begin so."""
    made = bare_cli("completion", shell)
    assert made.code == 0
    if shutil.which(shell) is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI installs {shell}; it is missing")
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(made.out)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "pgpipe").write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore -m pgpipe "$@"\n')
    (commands / "pgpipe").chmod(0o755)
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    answer = subprocess.run(
        [shell, "-c", ASK[shell].format(script=script)], env=environment, capture_output=True, text=True, check=True
    )

    assert {"search", "serve"} <= set(answer.stdout.split())


def test_an_unknown_shell(bare_cli: Cli) -> None:
    """Is named with those there are."""
    assert bare_cli("completion", "tcsh").code == 2
