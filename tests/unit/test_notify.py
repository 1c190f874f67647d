"""systemd's notification protocol, with a real socket at the other end."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgpipe.embed.daemon.systemd import tell


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(120)
        yield sock


def test_a_state_arrives_as_one_datagram(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is, each by itself."""
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    tell("READY=1")
    tell("STATUS=naïve\nSTOPPING=1")

    assert listener.recv(4096) == b"READY=1"
    assert listener.recv(4096) == "STATUS=naïve\nSTOPPING=1".encode()


def test_an_abstract_address_begins_with_a_nul(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which the environment writes as @."""
    listener.bind(f"\0{tmp_path}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")

    tell("READY=1")

    assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", [None, ""])
def test_without_systemd_nothing_happens(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal, or in a container."""
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    tell("READY=1")
