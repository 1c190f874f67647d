"""What can be set for one entity: its key and mode, its search column, its embedding, and the limits of its loads."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pgpipe.settings.gates import Amount, Level, checked_limit

Mode = Literal["append", "upsert", "snapshot"]
Weight = Literal["A", "B", "C", "D"]
Bad = Literal["error", "strip", "null", "reject"]  # what happens to a value that cannot be stored


class Section(BaseModel):
    """A table of settings: unknown names are errors, values do not change after loading."""

    # Made when first used: a table within tables needs nothing of its own.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


BUILT_IN = {  # steps that come with pgpipe, and how each is left out
    "import": "name the entities to load with --entity",
    "search": "write search = false for the entity, or use --skip-search",
    "embed": "write embed = false for the entity, or use --skip-embeddings",
}


def own_components(names: list[str]) -> list[str]:
    """The names as they are, if none is of a step that comes with pgpipe; for the validators of fields."""
    for name in names:
        if name in BUILT_IN:
            raise ValueError(f"skip is for components of other packages; for {name}, {BUILT_IN[name]}")
    return names


class SearchDeclaration(Section):
    """The search column of an entity."""

    columns: dict[str, Weight] = Field(
        min_length=1, description="columns and their weights, A to D", examples=[{"title": "A", "description": "B"}]
    )
    language: str = Field("english", description="text search configuration of PostgreSQL")
    language_column: str | None = Field(
        None, description="column with each row's language, such as german or de", examples=["language"]
    )
    column_name: str = Field("search", description="name of the generated column")
    title: str | None = Field(
        None,
        description="column whose text is the title of a hit; the first of weight A if left out",
        examples=["title"],
    )


class RankingSettings(Section):
    """What searches of an entity rank by."""

    text_weight: float = Field(1, ge=0, le=1e6, description="weight of words in a hybrid search")
    vector_weight: float = Field(1, ge=0, le=1e6, description="weight of meaning in a hybrid search")
    k1: float = Field(1.2, gt=0, le=100, description="how fast further occurrences of a word count less")
    b: float = Field(0.75, ge=0, le=1, description="how much a long row loses")
    weights: dict[Weight, Annotated[float, Field(gt=0, le=1000)]] = Field(
        {},
        description="what an occurrence counts in columns of a weight: 1.5, 1, 0.75 and 0.5 for A to D if left out",
        examples=[{"A": 2.0}],
    )


class EmbedIndex(Section):
    """The vector index of an embedding."""

    precision: Literal["half", "bit", "full"] | None = Field(
        None, description="half | bit | full, of what it holds; half, or what it is, if left out", examples=["bit"]
    )


class EmbedDeclaration(Section):
    """The embedding of an entity."""

    columns: list[str] = Field(
        min_length=1, description="columns whose text is embedded", examples=[["title", "description"]]
    )
    template: str | None = Field(
        None,
        description="lines with {column}; one column a line if left out",
        examples=["{title}\n{description}"],
    )
    where: str | None = Field(
        None, description="SQL condition on the row's columns; other rows have no vectors", examples=["essential"]
    )
    chunk_size: int | None = Field(
        None, ge=1, description="tokens of a piece of a long text; as many as the model reads", examples=[128]
    )
    chunk_overlap: int = Field(0, ge=0, description="tokens that neighbouring pieces may share")
    filters: list[str] = Field(
        [], description="columns that searches are often filtered by, kept with the vectors", examples=[["brand"]]
    )
    store_precision: Literal["half", "full"] | None = Field(
        None,
        description="half | full, of stored vectors; full, or what it is, if left out",
        examples=["half"],
    )
    index: EmbedIndex = Field(default_factory=EmbedIndex.model_construct, description="The vector index.")


class RerankDeclaration(Section):
    """How the best answers of an entity are read again, and brought into another order."""

    model: str | None = Field(
        None, description="that of `rerank` if left out", examples=["cross-encoder/ms-marco-MiniLM-L6-v2"]
    )
    candidates: int = Field(50, ge=1, le=500, description="answers that are read")
    budget: str = Field(
        "400ms", pattern=r"^[1-9]\d{0,4}(ms|s)$", description="time for it; answers it does not reach keep their places"
    )

    @property
    def seconds(self) -> float:
        """The budget."""
        return int(self.budget[:-2]) / 1000 if self.budget.endswith("ms") else float(self.budget[:-1])


class EntitySettings(Section):
    """One entity. Every part may be left out; `search = false` and `embed = false` switch a part off."""

    key: list[str] = Field([], description="columns that identify a row", examples=[["id"]])
    distribute: str | None = Field(
        None,
        description="column of the key by which Citus spreads the rows over servers, if pgpipe makes the table",
        examples=["id"],
    )
    mode: Mode | None = Field(
        None, description="append | upsert | snapshot; upsert with a key, append without one", examples=["upsert"]
    )
    order: list[str] = Field(
        [],
        description="columns by which change files are ordered: of the rows of a key the last one counts",
        examples=[["updated_at"]],
    )
    delete: str | None = Field(
        None,
        description="SQL condition, or a boolean column, of the rows of change files that delete their key",
        examples=["op = 'D'"],
    )
    skip: list[str] = Field(
        [], description="components of other packages that leave this entity out", examples=[["audit"]]
    )
    partitions: bool | None = Field(
        None,
        description="folders such as region=eu/ become columns of text; by default those that the files lack",
        examples=[False],
    )
    every: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4}[hd]$",
        description="how often its dates come, such as 1d or 12h; by default the median gap between those loaded",
        examples=["7d"],
    )
    path_column: str | None = Field(
        None, description="a column of this name gets the address of each row's file", examples=["source_file"]
    )
    contract: Literal["evolve", "freeze"] = Field(
        "evolve", description="freeze: a file whose columns are not the target's is refused", examples=["freeze"]
    )
    exclude: list[str] = Field(
        [], description="columns of the files that are not even read, by their names there", examples=[["ssn"]]
    )
    rename: dict[str, str] = Field(
        {}, description="columns of the files that the target calls otherwise", examples=[{"title": "name"}]
    )
    hash: list[str] = Field(
        [], description="columns whose HMAC-SHA256 is stored, by their names in the target", examples=[["email"]]
    )
    hash_key: SecretStr | None = Field(
        None, description="secret of these hashes; that of `load` if left out", examples=["…"]
    )
    types: dict[str, str] = Field(
        {}, description="types that columns get, or keep, as PostgreSQL writes them", examples=[{"id": "bigint"}]
    )
    bad_values: Bad | dict[str, Bad] = Field(
        "error",
        description='error | strip | null | reject, for all columns or by column ("*": every other)',
        examples=["reject"],
    )
    max_value_mb: int = Field(
        256, ge=1, le=1023, description="MB that a value may take in PostgreSQL; a larger one is a bad value"
    )
    max_rejected: int = Field(10_000, ge=0, description="rows that a load may reject before it fails")
    max_deleted: Amount | None = Field(
        None,
        description="rows that a snapshot may delete, a share or a number; that of `load` if left out",
        examples=["50%"],
    )
    max_changed: Amount | None = Field(
        None,
        description="rows that a load may update, a share or a number; that of `load` if left out",
        examples=["20%"],
    )
    min_rows: int | None = Field(
        None, ge=0, description="rows that a date must have; that of `load` if left out", examples=[1000]
    )
    checks: dict[str, Level] | None = Field(
        None,
        description="SQL conditions of rows, or queries of `staged` that find nothing: error | warn",
        examples=[{"price >= 0": "error"}],
    )
    check_timeout: float | None = Field(
        None, gt=0, description="seconds that one check may take; that of `load` if left out", examples=[60]
    )
    soft_delete: Annotated[str, Field(min_length=1)] | Literal[False] | None = Field(
        None,
        description="column that says since when a row is gone, which is kept and not deleted; false ends that",
        examples=["deleted_at"],
    )
    history: bool | None = Field(
        None, description="keep the versions of its rows; false ends that, left out it stays as it is", examples=[True]
    )
    keep: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4} (hours?|days?|months?|years?)$",
        description="how long its history keeps a version that ended; for ever if left out",
        examples=["400 days"],
    )
    search: SearchDeclaration | Literal[False] | None = Field(None, description="chosen from the data if left out")
    ranking: RankingSettings | None = Field(
        None, description="what its searches rank by; left out, it stays as it is", examples=[{"vector_weight": 1.2}]
    )
    embed: EmbedDeclaration | Literal[False] | None = Field(None, description="chosen from the data if left out")

    rerank: RerankDeclaration | None = Field(
        None, description="searches read their best answers again, with a reranker; never if left out"
    )

    _known_limit = field_validator("max_deleted", "max_changed", mode="before")(checked_limit)
    _own_components = field_validator("skip")(own_components)

    @property
    def rhythm(self) -> timedelta | None:
        """How often dates come, if it is configured."""
        if self.every is None:
            return None
        return timedelta(**{"hours" if self.every.endswith("h") else "days": int(self.every[:-1])})

    def bad(self, column: str) -> Bad:
        """What happens to a value of this column that cannot be stored."""
        if isinstance(self.bad_values, str):
            return self.bad_values
        return self.bad_values.get(column, self.bad_values.get("*", "error"))
