"""systemd's notification protocol (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names."""

import os
import socket


def tell(message: str) -> None:
    """Send a state such as READY=1; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), address)
