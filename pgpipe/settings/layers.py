"""Layers of settings: a file, variables, and how they are laid over each other. Knows no setting by name."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgpipe.errors import UsageError

PREFIX = "PGPIPE_"
ALIASES = {"DATABASE_URL": ("database", "url"), "EMBEDDING_MODEL": ("embedding", "model")}

Layer = dict[str, Any]
Layers = list[tuple[str, Layer]]  # where settings stand, and the settings; the lowest first


def read_file(file: Path) -> Layer:
    """The settings of a TOML or JSON file.

    Raises:
        UsageError: it is not there, or cannot be read.
    """
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        layer = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"the configuration file {file} does not exist") from None
    except (OSError, ValueError) as exc:
        raise UsageError(f"{file} cannot be read: {exc}") from None
    if not isinstance(layer, dict):
        raise UsageError(f"{file} is a table of settings, not a {type(layer).__name__}")
    return layer


def from_variables(variables: Mapping[str, str]) -> Layer:
    """The settings of an environment: PGPIPE_ and the path joined by two underscores, and a few general names."""
    layer: Layer = {}
    variables = {name: value for name, value in variables.items() if value}  # empty: as if it were not set
    for name, value in variables.items():
        path: tuple[str, ...] | None = ALIASES.get(name)
        if path is None and name.startswith(PREFIX) and name != "PGPIPE_CONFIG":
            path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if path:
            _put(layer, path, _decoded(value))
    # The general name of another program gives way to ours.
    for name, path in ALIASES.items():
        own = PREFIX + "__".join(path).upper()
        if name in variables and own in variables:
            _put(layer, path, _decoded(variables[own]))
    return layer


def _put(layer: Layer, path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401 - a setting is of any type
    for part in path[:-1]:
        below: Any = layer.setdefault(part, {})
        if not isinstance(below, dict):
            return  # the text in the table's place is refused when the layers are checked
        layer = below
    layer[path[-1]] = value


def _decoded(value: str) -> Any:  # noqa: ANN401 - a setting is of any type
    """Lists and tables are written as JSON in a variable; all else is text, and pydantic reads numbers from it."""
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def merged(low: Layer, high: Layer) -> Layer:
    """One layer over another, table by table."""
    both = {k: merged(low[k], v) for k, v in high.items() if isinstance(v, dict) and isinstance(low.get(k), dict)}
    return low | high | both


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the one that was probably meant, else those there are."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; choose from {', '.join(sorted(known))}"


def depth(layer: Any, path: Sequence[str]) -> int:  # noqa: ANN401 - a layer or a value in it
    """How many parts of the path the layer has."""
    for done, part in enumerate(path):
        if not isinstance(layer, dict) or part not in layer:
            return done
        layer = layer[part]
    return len(path)
