"""What can be set: a table of settings for each part of pgpipe, with its defaults and what they mean."""

import os
import re
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator

from pgpipe.errors import ModelRefused
from pgpipe.settings.backend import ModelSettings, RerankSettings
from pgpipe.settings.entity import EntitySettings, Section, own_components
from pgpipe.settings.gates import CHECK_TIMEOUT, MAX_DELETED, Amount, Level, checked_limit
from pgpipe.settings.notify import NotifySettings
from pgpipe.settings.serve import ServeSettings
from pgpipe.settings.source import Sources

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# Settings of an entity whose defaults are those of `load`:
DEFAULTED = ("max_deleted", "max_changed", "min_rows", "checks", "check_timeout", "hash_key")
WINDOW = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


class DatabaseSettings(Section):
    """The PostgreSQL that receives the data; the embedded server if no url is given."""

    url: str | None = Field(
        None,
        description="postgresql://…; TLS and other options of libpq pass through",
        examples=["postgresql://pgpipe@db.example.com/shop?sslmode=verify-full"],
    )
    read_url: str | None = Field(
        None,
        description="for search, serve and status, such as a list of standbys; that of writing if left out",
        examples=["postgresql://pgpipe@replica.example.com,db.example.com/shop?target_session_attrs=prefer-standby"],
    )
    db_schema: str = Field("public", alias="schema", description="schema in which targets are created")
    embedded_dir: Path | None = Field(
        None, description="data folder of the embedded server", examples=["/var/lib/pgpipe"]
    )

    model_config = ConfigDict(populate_by_name=True)

    def for_reading(self) -> "DatabaseSettings":
        """The database that questions go to."""
        return self.model_copy(update={"url": self.read_url}) if self.read_url else self


class IndexSettings(Section):
    """The vector index of a store, and when it is built."""

    kind: Literal["hnsw", "none"] = Field("hnsw", description="hnsw | none")
    min_rows: int = Field(5000, ge=1, description="fewer are read in a few milliseconds without an index")
    max_wait: float = Field(3600, ge=0, description="seconds after which it is built though jobs still wait")
    memory_mb: int = Field(
        2048, ge=1, description="at most so much maintenance_work_mem for a build, which is refused if it needs more"
    )
    check_every: float = Field(
        86400, ge=0, description="seconds after which an embedder measures it again; 0: it never does"
    )
    max_dead: float = Field(0.3, gt=0, le=1, description="share of dead bytes above which it is built again")
    max_loss: float = Field(
        0.03, gt=0, le=1, description="built again if it finds so much less of the nearest than after its build"
    )
    window: str | None = Field(
        None,
        pattern=WINDOW,
        description="hours in UTC in which it may be measured and built again; at any time if left out",
        examples=["01:00-05:00"],
    )

    def open_now(self) -> bool:
        """Whether its window is open."""
        if self.window is None:
            return True
        first, last = self.window.split("-")
        now = f"{datetime.now(UTC):%H:%M}"
        return first <= now < last if first <= last else now >= first or now < last


class EmbeddingSettings(ModelSettings):
    """The model, and how much of it at once."""

    SECTION = "embedding"
    BACKENDS = ("torch", "onnx", "onnx-int8", "openvino", "http")
    PLUGINS = "pgpipe.embedders"

    model: str = Field(DEFAULT_MODEL, description="name on the model hub, or a folder; of embeddings to come")
    models: tuple[str, ...] = Field(
        (),
        description="other models that a database may name for this machine to run: names, patterns, folders",
        examples=[["sentence-transformers/*"]],
    )
    backend: str = Field(
        "torch", description="torch | onnx | onnx-int8 | openvino | http, or one that a package brings"
    )
    batch: int = Field(512, ge=1, le=10000, description="jobs that a worker claims at once")
    reconcile_every: float = Field(
        3600, gt=0, description="seconds after which an idle embedder compares all rows with their vectors again"
    )
    lease: float = Field(300, ge=1, description="seconds that a worker holds a batch; extended while it works")
    truncate_dim: int | None = Field(
        None, ge=1, description="keep the first dimensions only, of a Matryoshka model", examples=[256]
    )
    query_prompt: str | None = Field(
        None, description="put before a question; the model's own if left out", examples=["query: "]
    )
    document_prompt: str | None = Field(
        None, description="put before a text; the model's own if left out", examples=["passage: "]
    )
    url: str | None = Field(None, description="of an OpenAI-compatible service", examples=["https://api.openai.com/v1"])
    max_tokens: int = Field(512, ge=16, description="that the service's model reads at once; longer texts are split")
    timeout: float = Field(60, gt=0, description="seconds that the service may take to answer")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="of /metrics, /healthz and /readyz; 0: any", examples=[9464]
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics are served on")
    metrics_hostnames: tuple[str, ...] = Field(
        (),
        description="names by which scrapers call it, besides its addresses and the name of this machine",
        examples=[["embedder.example.com"]],
    )
    index: IndexSettings = Field(
        default_factory=IndexSettings.model_construct, description="The vector index of a store."
    )

    def allows(self, model: str) -> bool:
        """Whether this machine runs a model that a database names.

        A folder must be listed as it is. Names of the hub may match a pattern, or be written without their owner.
        """
        named = (DEFAULT_MODEL, self.model, *self.models, *self.trust_remote_code)
        if model in named:
            return True
        name = full_name(model)
        known = any(fnmatchcase(name, full_name(pattern)) or pattern == "*" for pattern in named)
        return known and bool(HUB_NAME.fullmatch(name)) and ".." not in name and not Path(model).exists()

    def for_model(self, model: str) -> "EmbeddingSettings":
        """The settings for a model that a database names: the only way from its name to loading it.

        Raises:
            ModelRefused: the configuration of this machine does not name it.
        """
        if not self.allows(model):
            raise ModelRefused(
                f"the database names the model {model!r}, which this machine may not run; if you trust it, add it to"
                " embedding.models in this machine's configuration"
            )
        return self.model_copy(update={"model": model, "models": (self.model, *self.models)})


def full_name(model: str) -> str:
    """The name on the hub; one without an owner is of sentence-transformers."""
    return model if "/" in model else f"sentence-transformers/{model}"


class LoadSettings(Section):
    """How a load runs."""

    jobs: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 8),
        ge=1,
        le=64,
        description="connections to copy over; by default one a core, at most 8",
        examples=[4],
    )
    lock_wait: float = Field(
        300, ge=0, description="seconds that a change of a table's columns or triggers waits for who uses the table"
    )
    skip: list[str] = Field(
        [], description="components of other packages that are not run, for any entity", examples=[["audit"]]
    )
    max_deleted: Amount = Field(
        MAX_DELETED,
        description="rows that a snapshot may delete: a share of a table of over 100 rows, or a number; never all",
    )
    max_changed: Amount = Field(
        1.0, description="rows that a load may update: a share of over 100 rows that are there and staged, or a number"
    )
    min_rows: int = Field(0, ge=0, description="rows that a date must have")
    checks: dict[str, Level] = Field(
        {},
        description="SQL conditions of rows, or queries of `staged` that find nothing: error | warn",
        examples=[{"updated_at <= now()": "warn"}],
    )
    hash_key: SecretStr | None = Field(
        None, description="secret of the hashes of columns, as PGPIPE_LOAD__HASH_KEY", examples=["…"]
    )
    check_timeout: float = Field(CHECK_TIMEOUT, gt=0, description="seconds that one check may take")

    _known_limit = field_validator("max_deleted", "max_changed", mode="before")(checked_limit)
    _own_components = field_validator("skip")(own_components)


class AskedSettings(Section):
    """The log of questions."""

    question: Literal["off", "hash", "words"] = Field(
        "off", description="what pgpipe.asked keeps of a question: off (no log) | hash | words"
    )
    days: int = Field(30, ge=1, le=3650, description="days that a question is kept")


class Settings(Section):
    """All settings of pgpipe."""

    # Defaults need no check, and what checks each table alone is not made for them.
    source: Sources = Field(default_factory=Sources.model_construct, description="Where the Parquet files are.")
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings.model_construct, description="The PostgreSQL that receives the data."
    )
    load: LoadSettings = Field(default_factory=LoadSettings.model_construct, description="How a load runs.")
    embedding: EmbeddingSettings = Field(
        default_factory=EmbeddingSettings.model_construct, description="The model, and how much of it at once."
    )
    rerank: RerankSettings = Field(
        default_factory=RerankSettings.model_construct, description="The model that reads the best answers again."
    )
    serve: ServeSettings = Field(
        default_factory=ServeSettings.model_construct, description="The page of `pgpipe serve`, and the search API."
    )
    asked: AskedSettings = Field(default_factory=AskedSettings.model_construct, description="The log of questions.")
    notify: NotifySettings = Field(
        default_factory=NotifySettings.model_construct, description="Who is notified of a load's end."
    )
    entity: dict[str, EntitySettings] = Field({}, description="One table an entity, by its name.")

    def by_source(self) -> dict[str, "Settings"]:
        """The settings with each source in turn, by the setting's name; the plain one alone if no other is named."""
        plain = self.source.model_copy(update={"named": {}})
        named = {f"source.{name}": self.model_copy(update={"source": each}) for name, each in self.source.named.items()}
        return ({"source": self.model_copy(update={"source": plain})} if plain.url or not named else {}) | named

    def for_entity(self, name: str) -> EntitySettings:
        """What is set for this entity, for all of them, or by default."""
        found = self.entity.get(name) or EntitySettings.model_construct()
        defaults = {name: getattr(self.load, name) for name in DEFAULTED if getattr(found, name) is None}
        return found.model_copy(update=defaults)
