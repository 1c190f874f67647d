"""Settings as they are found: option > environment > .env > file > default. The only reader of the environment.

A file is TOML or JSON. In the environment a setting is PGPIPE_ and its path joined by two underscores
(PGPIPE_SOURCE__URL); DATABASE_URL and EMBEDDING_MODEL are read as well. AWS_* are for boto3, also those of .env.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgpipe.settings.check import settings_of
from pgpipe.settings.layers import ALIASES, PREFIX, Layer, Layers, from_variables, read_file
from pgpipe.settings.model import Settings

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
}
FILES = ("pgpipe.toml", "pgpipe.json", "config.json")


def load_settings(file: Path | None = None, options: Layer | None = None) -> Settings:
    """Join the layers and check them.

    Args:
        file: the configuration file; by default the first of FILES in the current folder, if any.
        options: the layer of the command line, nested as in the file.

    Raises:
        UsageError: the file cannot be read, or a setting is unknown or has a wrong value; the line names it.
    """
    settings = settings_of(read_layers(file, options))
    _lend_aws()
    return settings


def _lend_aws() -> None:
    """Put AWS_* of .env where boto3 looks for them, unless the environment has them. Credentials of two never mix."""
    found = {name: value for name, value in _dotenv().items() if name.startswith("AWS_") and value}
    known = {name for name, value in os.environ.items() if value}
    skipped = known | (CREDENTIALS if CREDENTIALS & known else set())
    os.environ.update({name: value for name, value in found.items() if name not in skipped})


def read_layers(file: Path | None = None, options: Layer | None = None) -> Layers:
    """Where settings may stand, the lowest first: file, .env, environment, options. Nothing is checked.

    Raises:
        UsageError: the file cannot be read.
    """
    dotenv = {name: value for name, value in _dotenv().items() if value is not None}
    if file is None:
        named = os.environ.get("PGPIPE_CONFIG")
        file = Path(named) if named else next((p for p in map(Path, FILES) if p.exists()), None)
    return [
        (str(file), read_file(file) if file else {}),
        (".env", from_variables(dotenv)),
        ("the environment", from_variables(os.environ)),
        ("the options", options or {}),
    ]


def _dotenv() -> dict[str, str | None]:
    """The variables of .env, if there is one."""
    if not Path(".env").exists():
        return {}
    from dotenv import dotenv_values

    return dotenv_values(".env")


def variable_behind(origin: str, path: Sequence[str]) -> str | None:
    """The variable that sets this path in a layer, or a table above it; None if the layer is not an environment."""
    known: dict[str, Mapping[str, str | None]] = {"the environment": os.environ, ".env": _dotenv()}
    variables = known.get(origin, {})
    for length in range(len(path), 0, -1):
        own = PREFIX + "__".join(path[:length]).upper()
        names = [own, *(name for name, there in ALIASES.items() if there == tuple(path[:length]))]
        if found := next((name for name in names if variables.get(name)), None):
            return found
    return None
