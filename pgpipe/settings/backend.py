"""What the settings of embedders and of rerankers have in common: a model, what runs it, and whom it may trust."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from pgpipe.settings.entity import Section

DEFAULT_RERANKER = "cross-encoder/ms-marco-MiniLM-L6-v2"


class ModelSettings(Section):
    """A model, and what runs it here."""

    SECTION: ClassVar[str]  # where they stand, for messages
    BACKENDS: ClassVar[tuple[str, ...]]  # those of pgpipe; others come as plugins
    PLUGINS: ClassVar[str]  # the entry point group that a package names its backend in

    model: str = Field(description="name on the model hub, or a folder")
    trust_remote_code: tuple[str, ...] = Field(
        (),
        description="models whose repository may run Python of its own here, with all rights of this process",
        examples=[["acme/model-with-code"]],
    )
    backend: str = Field(description="what runs it")
    device: str | None = Field(None, description="cpu, cuda, mps; by default the best there is", examples=["cpu"])
    cache_dir: Path | None = Field(
        None, description="folder of downloaded and of exported models", examples=["/var/cache/pgpipe"]
    )
    revision: str | None = Field(
        None, description="of the model on the hub: a branch, a tag or a commit", examples=["main"]
    )
    url: str | None = Field(None, description="of the service, for the backend http")
    api_key: SecretStr | None = Field(None, description="of that service", examples=["…"])
    api_key_file: Path | None = Field(
        None, description="file that holds the key, such as a systemd credential", examples=["/etc/pgpipe/api_key"]
    )
    max_tokens: int = Field(512, ge=16, description="that the service's model reads at once")

    @field_validator("backend", check_fields=False)
    @classmethod
    def _known_backend(cls, value: str) -> str:
        if value in cls.BACKENDS:
            return value
        from importlib.metadata import entry_points

        known = {*cls.BACKENDS, *entry_points(group=cls.PLUGINS).names}
        if value not in known:
            raise ValueError(f"unknown backend {value!r}; the backends are {', '.join(sorted(known))}")
        return value

    @property
    def trusted(self) -> bool:
        """Whether the model's repository may run its Python code, and read pickles."""
        return self.model in self.trust_remote_code


class RerankSettings(ModelSettings):
    """The model that reads the best answers again, if a search asks for that."""

    SECTION = "rerank"
    BACKENDS = ("torch", "http")
    PLUGINS = "pgpipe.rerankers"

    model: str = Field(
        DEFAULT_RERANKER, description="cross-encoder, a name on the model hub or a folder; of entities that name none"
    )
    backend: str = Field("torch", description="torch | http, or one that a package brings")
    url: str | None = Field(
        None, description="of a service that reranks, for the backend http", examples=["https://api.jina.ai/v1"]
    )
    max_tokens: int = Field(512, ge=16, description="that the service's model reads of a text; the rest is cut off")

    def for_model(self, model: str | None) -> "RerankSettings":
        """The settings for the model of an entity; one without an owner is of cross-encoder."""
        wanted = model or self.model
        known = (
            wanted if "/" in wanted or self.backend != "torch" or Path(wanted).is_dir() else f"cross-encoder/{wanted}"
        )
        return self.model_copy(update={"model": known})
