"""Settings: option > environment > .env > file > default. The only reader of the environment.

A file is TOML or JSON. In the environment a setting is PGPIPE_ and its path joined by two underscores
(PGPIPE_SOURCE__URL); DATABASE_URL and EMBEDDING_MODEL are read as well.
"""

import os
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pgpipe.errors import UsageError
from pgpipe.layers import Layer, from_variables, merged, nearest, read_file

FILES = ("pgpipe.toml", "pgpipe.json", "config.json")

Mode = Literal["append", "upsert", "snapshot"]
Weight = Literal["A", "B", "C", "D"]


class Section(BaseModel):
    """A table of settings: unknown names are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    """Where Parquet lies."""

    url: str | None = Field(None, description="s3://bucket/prefix or file:///path")
    endpoint_url: str | None = Field(None, description="of an S3 that is not AWS")
    region: str | None = None
    profile: str | None = Field(None, description="of the AWS configuration files")
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    complete: str = Field("any", description="when a date counts: any | _SUCCESS | age:10m")

    @field_validator("complete")
    @classmethod
    def _known_gate(cls, value: str) -> str:
        unit = {"s", "m", "h"}
        if value in {"any", "_SUCCESS"} or (value.startswith("age:") and value[-1] in unit and value[4:-1].isdigit()):
            return value
        raise ValueError("is one of any, _SUCCESS, age:10m (s, m or h)")


class DatabaseSettings(Section):
    """The PostgreSQL that receives the data; the embedded server where no url is given."""

    url: str | None = Field(None, description="postgresql://…; TLS and other options of libpq pass through")
    db_schema: str = Field("public", alias="schema", description="where targets are created")
    embedded_dir: Path | None = Field(None, description="data folder of the embedded server")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class EmbeddingSettings(Section):
    """The model, and how much of it at once."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    backend: Literal["torch", "onnx", "openvino"] = "torch"
    device: str | None = Field(None, description="cpu, cuda, mps; chosen by what is there")
    batch: int = Field(256, ge=1, le=10000, description="jobs that a worker claims at once")
    cache_dir: Path | None = Field(None, description="folder of downloaded models")


class SearchDeclaration(Section):
    """The search column of an entity."""

    columns: dict[str, Weight] = Field(min_length=1)
    language: str = "english"
    column_name: str = "search"


class EmbedDeclaration(Section):
    """The embedding of an entity."""

    columns: list[str] = Field(min_length=1)
    template: str | None = Field(None, description="lines with {column}; one column a line where left out")


class EntitySettings(Section):
    """One entity. Every part may be left out; `search = false` and `embed = false` switch a part off."""

    key: list[str] = []
    mode: Mode | None = Field(None, description="upsert with a key, append without one")
    search: SearchDeclaration | Literal[False] | None = Field(None, description="chosen from the data")
    embed: EmbedDeclaration | Literal[False] | None = Field(None, description="chosen from the data")


class LoadSettings(Section):
    """How a load runs."""

    jobs: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 8), ge=1, le=64)


class Settings(Section):
    """All settings of pgpipe."""

    source: SourceSettings = SourceSettings()
    database: DatabaseSettings = DatabaseSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    load: LoadSettings = Field(default_factory=LoadSettings)
    entity: dict[str, EntitySettings] = {}

    def for_entity(self, name: str) -> EntitySettings:
        """What is set for this entity; the defaults where nothing is."""
        return self.entity.get(name, EntitySettings())


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
        UsageError: a setting is unknown or has a wrong value; the line names it and where it stands.
    """
    joined: Layer = {}
    for origin, layer in layers:
        _check_names(layer, origin)
        joined = merged(joined, layer)
    try:
        return Settings.model_validate(joined)
    except ValidationError as exc:
        raise UsageError(_explain(exc, layers)) from None


def _check_names(layer: Layer, origin: str) -> None:
    for name, value in layer.items():
        if name not in Settings.model_fields:
            raise UsageError(f"{origin}: there is no setting {name!r}{nearest(name, Settings.model_fields)}")
        if not isinstance(value, dict):
            raise UsageError(f"{origin}: {name} is a table of settings, not a single value")  # which may be a secret


def _explain(exc: ValidationError, layers: Layers) -> str:
    """The first fault as one line: which layer, which setting, what is wrong with it."""
    error = exc.errors()[0]
    tags = {
        "SearchDeclaration",
        "EmbedDeclaration",
        "literal[False]",
    }  # pydantic's names of a union's members
    path = [str(p) for p in error["loc"] if p not in tags]
    # What is missing stands in no layer: the one that holds the most of its path is at fault.
    origin = max(reversed(layers), key=lambda origin: _depth(origin[1], path))[0]
    setting = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"{origin}: there is no setting {setting!r}{nearest(path[-1], _names_at(path[:-1]))}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{origin}: {setting}: {message[:1].lower()}{message[1:]}"


def _depth(layer: Any, path: list[str]) -> int:  # noqa: ANN401 - a layer or a value in it
    """How many parts of the path the layer has."""
    for depth, part in enumerate(path):
        if not isinstance(layer, dict) or part not in layer:
            return depth
        layer = layer[part]
    return len(path)


def _names_at(path: list[str]) -> list[str]:
    """The settings of the table at this path."""
    sections: dict[str, type[Section]] = {
        "source": SourceSettings,
        "database": DatabaseSettings,
        "embedding": EmbeddingSettings,
        "load": LoadSettings,
        "entity": EntitySettings,
    }
    section = sections[path[0]]
    if path[0] == "entity" and len(path) > 2:  # noqa: PLR2004 - entity, its name, its part
        section = SearchDeclaration if path[2] == "search" else EmbedDeclaration
    return [f.alias or name for name, f in section.model_fields.items()]
