"""What can be set of sources: where the Parquet files are, how they are laid out, and when a date counts."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pgpipe.settings.entity import Section
from pgpipe.settings.layout import check_layout


class SourceSettings(Section):
    """Where the Parquet files are."""

    url: str | None = Field(
        None, description="s3://bucket/prefix, file:///path, or of a plugin", examples=["s3://bucket/prefix"]
    )
    endpoint_url: str | None = Field(
        None, description="address of an S3 that is not AWS", examples=["https://minio.example.com:9000"]
    )
    region: str | None = Field(None, description="AWS region", examples=["eu-central-1"])
    profile: str | None = Field(None, description="profile of the AWS configuration files", examples=["drops"])
    anonymous: bool = Field(False, description="read a public bucket without credentials")
    request_payer: bool = Field(False, description="pay for the requests to a bucket whose requester pays")
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="where the bucket stands in a request: auto | path | virtual"
    )
    layout: str | None = Field(
        None,
        description="which folder is what, where it is not found: {entity}, {date} or {year}, {month}, {day}, *",
        examples=["{entity}/dt={date}"],
    )
    complete: str = Field("any", description="when a date counts: any | _SUCCESS | age:10m (s, m or h)")
    lookback: int = Field(0, ge=0, le=1000, description="dates that are looked at again for files that came late")
    entities: list[str] = Field(
        [], description="entities that are loaded from it; all if left out", examples=[["product", "review"]]
    )

    @field_validator("layout")
    @classmethod
    def _clear_layout(cls, value: str | None) -> str | None:
        return value and check_layout(value)

    @field_validator("complete")
    @classmethod
    def _known_gate(cls, value: str) -> str:
        unit = {"s", "m", "h"}
        if value in {"any", "_SUCCESS"} or (value.startswith("age:") and value[-1] in unit and value[4:-1].isdigit()):
            return value
        raise ValueError("is one of any, _SUCCESS, age:10m (s, m or h)")


class Sources(SourceSettings):
    """The source without a name, and those with one: [source.shop]."""

    named: dict[str, SourceSettings] = Field({}, description="further sources")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:  # noqa: ANN401
        """In a file the tables of further sources stand between the settings of the plain one."""
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        schema["additionalProperties"] = schema["properties"].pop("named")["additionalProperties"]
        return schema

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, value: Any) -> Any:  # noqa: ANN401 - what a user wrote
        if not isinstance(value, dict):
            return value
        tables = {name: each for name, each in value.items() if isinstance(each, dict) and name not in cls.model_fields}
        plain = {name: each for name, each in value.items() if name not in tables}
        return plain | {"named": tables} if tables else plain

    @model_validator(mode="after")
    def _own_entities(self) -> "Sources":
        seen: dict[str, str] = {}
        for name, each in self.named.items():
            for entity in each.entities:
                if entity in seen:
                    raise ValueError(f"{seen[entity]} and {name} both name the entity {entity!r}; leave it to one")
                seen[entity] = name
        return self
