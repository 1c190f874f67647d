"""systemd's notification protocol (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names."""

import os
import socket
import threading
import time

EXTENSION = 60  # seconds that systemd is asked to wait on for the start
LONGEST = 3600  # seconds of starting after which no more time is asked for: then something hangs


def tell(message: str) -> None:
    """Send a state such as READY=1; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), address)


class Watchdog:
    """Feeds systemd's watchdog (WatchdogSec=) with progress: no clock of its own, so that a hang is noticed."""

    def __init__(self) -> None:
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0
        self._fed = 0.0

    def beat(self) -> None:
        """Something got done. Told at most ten times within the watchdog's interval."""
        now = time.monotonic()
        if self._interval and now - self._fed >= self._interval / 10:
            tell("WATCHDOG=1")
            self._fed = now


class Starting:
    """Asks systemd for more time while a model loads: seconds from a disk, minutes from a hub, nobody knows before."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="starting", daemon=True)

    def begin(self) -> None:
        """Ask now and every third of the extension."""
        self._thread.start()

    def end(self) -> None:
        """The start is over."""
        self._ended.set()

    def _ask(self) -> None:
        until = time.monotonic() + LONGEST
        while not self._ended.is_set() and time.monotonic() < until:
            tell(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1_000_000}")
            self._ended.wait(EXTENSION / 3)
