"""What `pgpipe serve` is set to: the page, and the search API for applications."""

import ipaddress
import re
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from pgpipe.settings.entity import Section

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class ServeSettings(Section):
    """The page of `pgpipe serve`, and the API of `pgpipe serve --api`."""

    url: str | None = Field(
        None,
        description="connection string of a role that may only read; database.read_url or database.url if left out",
        examples=["postgresql://pgpipe_reader@db.example.com/shop?sslmode=verify-full"],
    )
    api: bool = Field(False, description="serve the search API, to who has a token, and not the page")
    tokens_url: str | None = Field(
        None,
        description="connection string of pgpipe_api on the primary server; serve.url or database.url if left out",
        examples=["postgresql://pgpipe_api@db.example.com/shop?sslmode=verify-full"],
    )
    host: str = Field("127.0.0.1", description="address to listen on: loopback, or any with api")
    port: int = Field(8425, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    hostnames: list[str] = Field(
        [], description="names by which a proxy before it or a client calls it", examples=[["pgpipe.example.com"]]
    )
    tls_cert: Path | None = Field(
        None, description="file of the certificate and its chain, for the API", examples=["/etc/pgpipe/tls.crt"]
    )
    tls_key: Path | None = Field(
        None, validate_default=True, description="file of its key", examples=["/etc/pgpipe/tls.key"]
    )
    origins: list[str] = Field(
        [], description="web pages whose scripts may use the API (CORS)", examples=[["https://shop.example.com"]]
    )
    timeout: float = Field(10, gt=0, le=600, description="seconds after which a request of the API is cancelled")
    connections: int = Field(8, ge=1, le=1000, description="connections to the database for the API")
    max_requests: int = Field(64, ge=1, le=10000, description="requests of the API at work; a further one gets a 503")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="of /metrics of the API, on loopback; 0: any", examples=[9465]
    )

    @field_validator("host")
    @classmethod
    def _allowed_host(cls, value: str, info: ValidationInfo) -> str:
        if value in LOOPBACK:
            return value
        if not info.data.get("api"):
            raise ValueError(f"{value!r} is not {', '.join(LOOPBACK)}: the page has no login; only --api takes others")
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{value!r} is not an address of this machine, such as 10.0.0.5") from None

    @field_validator("tls_key")
    @classmethod
    def _both(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_cert") is None):
            raise ValueError("tls_cert and tls_key belong together")
        return value

    @field_validator("origins")
    @classmethod
    def _whole_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin such as https://shop.example.com; * is not taken")
        return value

    @property
    def addressed(self) -> str:
        """The address as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def open(self) -> bool:
        """Whether other machines reach it."""
        return self.host != "localhost" and not ipaddress.ip_address(self.host).is_loopback

    @property
    def nameless(self) -> bool:
        """Whether it listens on all addresses, and no name says which is meant."""
        return self.host != "localhost" and ipaddress.ip_address(self.host).is_unspecified and not self.hostnames
