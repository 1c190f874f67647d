"""Layers of settings, checked: what is wrong, in which layer, a line each."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pgpipe.errors import UsageError
from pgpipe.settings.entity import Section
from pgpipe.settings.layers import Layer, Layers, depth, merged, nearest
from pgpipe.settings.model import Settings
from pgpipe.settings.source import Sources, SourceSettings


def settings_of(layers: Layers) -> Settings:
    """The layers laid over each other, and checked.

    Raises:
        UsageError: a setting is unknown or has a wrong value; the line names the first, and where it stands.
    """
    found = faults(layers)
    if found:
        raise UsageError(found[0])
    return _validated(_joined(layers))


def faults(layers: Layers) -> list[str]:
    """All that is wrong, a line each: where, which setting, what. Values are not named: one may be a secret."""
    found = [line for origin, layer in layers for line in _wrong_tables(origin, layer)]
    if found:
        return found
    try:
        _validated(_joined(layers))
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
        if field is None and section is Sources and not rest:  # the name of a source
            return SourceSettings
        if not below:
            return None
        section = below[0]
        if field and get_origin(field.annotation) is dict and rest:
            rest.pop(0)  # the name that a user gave
    return section


def _types(annotation: Any) -> list[type]:  # noqa: ANN401 - a type, or a form made of types
    """The classes that an annotation is made of; of a dictionary, those of its values."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation]
    parts = get_args(annotation)
    return [t for part in (parts[1:] if get_origin(annotation) is dict else parts) for t in _types(part)]


def _validated(layer: Layer) -> Settings:
    """Checked, without pydantic's own plugins: looking for some, it would read about every installed package."""
    with _variable("PYDANTIC_DISABLE_PLUGINS", "__all__"):
        return Settings.model_validate(layer)


_one_at_a_time = threading.Lock()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """A variable of this process, for a moment."""
    with _one_at_a_time:
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            os.environ.pop(name, None)
            if before is not None:
                os.environ[name] = before


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
    path = [part for part in path if part != "named"] if path[:1] == ["source"] else path
    # What is missing stands in no layer: the one that holds the most of its path is at fault.
    origin = max(reversed(layers), key=lambda origin: depth(origin[1], path))[0]
    setting = ".".join(path)
    if error["type"] == "extra_forbidden":
        section = model_at(path[:-1])
        names = [f.alias or name for name, f in section.model_fields.items() if name != "named"] if section else []
        return f"{origin}: unknown setting {setting!r}{nearest(path[-1], names)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{origin}: {setting}: {message[:1].lower()}{message[1:]}"
