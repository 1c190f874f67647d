"""The settings, described: what holds and where it comes from, a commented file, and a schema for editors."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pgpipe.secret import mask
from pgpipe.settings.check import model_at, settings_of
from pgpipe.settings.entity import EntitySettings, Section
from pgpipe.settings.layers import Layers, depth
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import variable_behind

OPENING = """\
# Settings of pgpipe. All but the source may be left out; behind # without a space stands a default or an example.
# Options beat the environment (PGPIPE_SOURCE__URL, DATABASE_URL), that beats .env, and that beats this file.
# `pgpipe config show` prints what holds and why, `pgpipe config check` looks for mistakes."""


@dataclass(frozen=True)
class Setting:
    """One setting as it holds."""

    name: str  # source.url
    value: Any  # secrets are masked
    origin: str  # where it was set, or "default"
    description: str


def effective(layers: Layers) -> list[Setting]:
    """Every setting with its value and its origin, in the order of the model; of entities those that are set.

    Raises:
        UsageError: a setting is wrong.
    """
    return list(_settings(settings_of(layers), (), layers))


def _settings(section: Section, path: tuple[str, ...], layers: Layers) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value, here = getattr(section, name), (*path, field.alias or name)
        if isinstance(value, Section):
            yield from _settings(value, here, layers)
        elif name == "named":
            for source, below in value.items():
                yield from _settings(below, (*path, source), layers)
        elif path == () and isinstance(value, dict):
            for entity, below in value.items():
                yield from _settings(below, (*here, entity), layers)
        else:
            yield Setting(".".join(here), _shown(value), _origin(here, layers), field.description or "")


def _shown(value: Any) -> Any:  # noqa: ANN401 - a setting is of any type
    if isinstance(value, str | Path):
        return mask(str(value), alone=True)
    return value


def _origin(path: Sequence[str], layers: Layers) -> str:
    for origin, layer in reversed(layers):
        if depth(layer, path) == len(path):
            variable = variable_behind(origin, path)
            return f"{origin} ({variable})" if variable else origin
    return "default"


def json_schema() -> dict[str, Any]:
    """The JSON schema of a configuration file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()


def commented_file(chosen: Mapping[str, Any]) -> str:
    """A pgpipe.toml in which everything is explained and nothing is set but what was chosen.

    Args:
        chosen: setting to value, such as {"source.url": "s3://bucket/prefix"}.
    """
    parts = [OPENING]
    for name, field in Settings.model_fields.items():
        section = model_at((name,))
        assert section is not None
        head, mark = ("entity.product", "#") if section is EntitySettings else (name, "")
        parts.append(f"# {field.description}\n{mark}[{head}]")
        for below, setting in section.model_fields.items():
            if below == "named":
                continue
            parts[-1] += "\n" + _lines(setting.alias or below, setting, head, chosen)
    return "\n\n".join(parts) + "\n"


def _lines(name: str, field: FieldInfo, head: str, chosen: Mapping[str, Any]) -> str:
    """The lines of a setting: what it is, then `#name = default`."""
    section = model_at((*head.split("."), name))
    if f"{head}.{name}" in chosen:
        setting = f"{name} = {_toml(chosen[f'{head}.{name}'])}"
    elif section is not None:
        setting = f"#{name} = {_toml(_example(section))}"
    else:
        setting = f"#{name} = {_toml(_value(field))}"
    return f"# {field.description}\n{setting}"


def _example(section: type[Section]) -> dict[str, Any]:
    return {f.alias or name: _value(f) for name, f in section.model_fields.items()}


def _value(field: FieldInfo) -> Any:  # noqa: ANN401 - a setting is of any type
    """The example where there is one, else the default."""
    if field.examples:
        return field.examples[0]
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return _example(type(value))
    assert value not in {None, PydanticUndefined}, field  # a setting without a default shows an example
    return value


def _toml(value: Any) -> str:  # noqa: ANN401 - a setting is of any type
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_name(name)} = {_toml(v)}" for name, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def toml_name(name: str) -> str:
    """A name as a key of the configuration file."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
