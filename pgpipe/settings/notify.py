"""What can be set of notices: who is notified of a load's end, and when."""

import shlex
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from pgpipe.settings.entity import Section


class NotifySettings(Section):
    """Who is notified of a load's end."""

    command: str | None = Field(
        None,
        description="command that gets the report as JSON on its standard input; no shell reads it",
        examples=["mail -s 'pgpipe load' ops@example.com"],
    )
    url: SecretStr | None = Field(
        None, description="address that the report is sent to by POST, as JSON", examples=["https://example.com/hook"]
    )
    on: tuple[Literal["failure", "gate", "success"], ...] = Field(
        ("failure", "gate"), description="when: failure | gate | success"
    )
    timeout: float = Field(10, gt=0, le=600, description="seconds that the command, or one of three tries, may take")

    @field_validator("command")
    @classmethod
    def _words(cls, value: str | None) -> str | None:
        try:
            words = shlex.split(value or "x")
        except ValueError as exc:
            raise ValueError(f"cannot be split into words: {str(exc).lower()}") from None
        if not words:
            raise ValueError("names no program")
        return value

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parts = urlsplit(value.get_secret_value())
                known = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                known = False
            if not known:
                raise ValueError("is not an address that begins with https:// or http://")
        return value
