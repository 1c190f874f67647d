"""Settings as they are found: option > environment > .env > file > default. The only reader of the environment.

A file is TOML or JSON. In the environment a setting is PGPIPE_ and its path joined by two underscores
(PGPIPE_SOURCE__URL); DATABASE_URL and EMBEDDING_MODEL are read as well.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pgpipe.config import Section, Settings
from pgpipe.errors import UsageError
from pgpipe.layers import ALIASES, PREFIX, Layer, depth, from_variables, merged, nearest, read_file

FILES = ("pgpipe.toml", "pgpipe.json", "config.json")
Layers = list[tuple[str, Layer]]  # where settings stand, and the settings; the lowest first


def load_settings(file: Path | None = None, options: Layer | None = None) -> Settings:
    """Join the layers and check them.

    Args:
        file: the configuration file; by default the first of FILES in the current folder, if any.
        options: the layer of the command line, nested as in the file.

    Raises:
        UsageError: the file cannot be read, or a setting is unknown or has a wrong value; the line names it.
    """
    return settings_of(read_layers(file, options))


def read_layers(file: Path | None = None, options: Layer | None = None) -> Layers:
    """Where settings may stand, the lowest first: file, .env, environment, options. Nothing is checked.

    Raises:
        UsageError: the file cannot be read.
    """
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    if file is None:
        named = os.environ.get("PGPIPE_CONFIG")
        file = Path(named) if named else next((p for p in map(Path, FILES) if p.exists()), None)
    return [
        (str(file), read_file(file) if file else {}),
        (".env", from_variables(dotenv)),
        ("the environment", from_variables(os.environ)),
        ("the options", options or {}),
    ]


def settings_of(layers: Layers) -> Settings:
    """The layers laid over each other, and checked.

    Raises:
        UsageError: a setting is unknown or has a wrong value; the line names the first, and where it stands.
    """
    found = faults(layers)
    if found:
        raise UsageError(found[0])
    return Settings.model_validate(_joined(layers))


def faults(layers: Layers) -> list[str]:
    """All that is wrong, a line each: where, which setting, what. Values are not named: one may be a secret."""
    found = [line for origin, layer in layers for line in _wrong_tables(origin, layer)]
    if found:
        return found
    try:
        Settings.model_validate(_joined(layers))
    except ValidationError as exc:
        return list(dict.fromkeys(_explain(error, layers) for error in _one_a_setting(exc)))
    return []


def model_at(path: Sequence[str]) -> type[Section] | None:
    """The table of settings at a path such as ("entity", "product", "search"); None where there is none."""
    section: type[Section] = Settings
    rest = list(path)
    while rest:
        name = rest.pop(0)
        field = next((f for n, f in section.model_fields.items() if (f.alias or n) == name), None)
        below = [t for t in _types(field.annotation) if issubclass(t, Section)] if field else []
        if not below:
            return None
        section = below[0]
        if field and get_origin(field.annotation) is dict and rest:
            rest.pop(0)  # the name that a user gave
    return section


def variable_behind(origin: str, path: Sequence[str]) -> str | None:
    """The variable that sets this path in a layer, or a table above it; None if the layer is not an environment."""
    known: dict[str, Mapping[str, str | None]] = {"the environment": os.environ, ".env": dotenv_values(".env")}
    variables = known.get(origin, {})
    for length in range(len(path), 0, -1):
        own = PREFIX + "__".join(path[:length]).upper()
        names = [own, *(name for name, there in ALIASES.items() if there == tuple(path[:length]))]
        if found := next((name for name in names if variables.get(name)), None):
            return found
    return None


def _types(annotation: Any) -> list[type]:  # noqa: ANN401 - a type, or a form made of types
    """The classes that an annotation is made of; of a dictionary, those of its values."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation]
    parts = get_args(annotation)
    return [t for part in (parts[1:] if get_origin(annotation) is dict else parts) for t in _types(part)]


def _joined(layers: Layers) -> Layer:
    joined: Layer = {}
    for _, layer in layers:
        joined = merged(joined, layer)
    return joined


def _wrong_tables(origin: str, layer: Layer) -> Iterator[str]:
    for name, value in layer.items():
        if name not in Settings.model_fields:
            yield f"{origin}: unknown setting {name!r}{nearest(name, Settings.model_fields)}"
        elif not isinstance(value, dict):
            yield f"{origin}: {name} is a table of settings, not a single value"  # which may be a secret


def _one_a_setting(exc: ValidationError) -> Iterator[ErrorDetails]:
    """A value that may be of several types has an error for each of them; `false` is never the one that was meant."""
    tried = exc.errors()
    for error in tried:
        if "literal[False]" not in error["loc"] or len(tried) == 1:
            yield error


def _explain(error: ErrorDetails, layers: Layers) -> str:
    """A fault as one line: which layer, which setting, what is wrong with it."""
    tags = {section.__name__ for section in Section.__subclasses__()}  # pydantic's names of a union's members
    path = [str(p) for p in error["loc"] if p not in tags]
    # What is missing stands in no layer: the one that holds the most of its path is at fault.
    origin = max(reversed(layers), key=lambda origin: depth(origin[1], path))[0]
    setting = ".".join(path)
    if error["type"] == "extra_forbidden":
        section = model_at(path[:-1])
        names = [f.alias or name for name, f in section.model_fields.items()] if section else []
        return f"{origin}: unknown setting {setting!r}{nearest(path[-1], names)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{origin}: {setting}: {message[:1].lower()}{message[1:]}"
