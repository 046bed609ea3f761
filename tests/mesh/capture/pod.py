"""A Pod made of network namespaces: this thread's, with a cable to another host that has many addresses, and sockets of several users.

Nothing is accepted by a program: the kernel makes a connection with whoever listens where it is led, and that is what is asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self

from gateway.ir.workload import INBOUND_PORT, OUTBOUND_PORT
from tests.faults.seclusion import FAR, HERE, FarHost, command
from tests.wire.backends import LIMIT

HERE_6: Final = "2001:db8::1"
FAR_6: Final = "2001:db8::2"
ELSEWHERE: Final = "198.51.100.7"
ELSEWHERE_6: Final = "2001:db8:7::7"
"""Addresses of the other host that are in no network of this one."""

APPLICATION: Final = 1000
PROXY: Final = 1337
PORT: Final = 8080
OTHER_PORT: Final = 9090
HEALTH_PORT: Final = 15021

_ORIGINAL_DESTINATION: Final = 80
"""SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST."""
_LIBC: Final = ctypes.CDLL(None)


@dataclass(frozen=True)
class Family:
    """The addresses of one family."""

    number: int
    here: str
    far: str
    elsewhere: str
    loopback: str
    towards_application: str


FAMILIES: Final = (
    Family(4, HERE, FAR, ELSEWHERE, "127.0.0.1", "127.0.0.6"),
    Family(6, HERE_6, FAR_6, ELSEWHERE_6, "::1", "::6"),
)


@dataclass(frozen=True)
class Arrival:
    """Where a connection was led, where it was going, and who its client is for whoever accepts it."""

    at: str
    going: tuple[str, int]
    client: str


@contextlib.contextmanager
def acting_as(user: int, group: int) -> Iterator[None]:
    """Sockets made meanwhile by this thread are theirs (setfsuid(2))."""
    _LIBC.setfsgid(group)
    _LIBC.setfsuid(user)
    try:
        yield
    finally:
        _LIBC.setfsuid(0)
        _LIBC.setfsgid(0)


def dial(address: str, port: int, user: int = APPLICATION, group: int = APPLICATION, source: str | None = None) -> socket.socket:
    """A connection of a user's, from the network namespace of this thread."""
    with acting_as(user, group):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.settimeout(LIMIT)
    if source:
        made.bind((source, 0))
    made.connect((address, port))
    return made


class Pod:
    """Listens as the sidecar, as an application on two ports and as the sidecar's health server; so does the other host, as anybody's.
    Made inside a secluded test, a context manager."""

    def __init__(self) -> None:
        self.far = FarHost()
        command("ip", "address", "add", f"{HERE_6}/64", "dev", "near", "nodad")
        self.far.call(self._set_up_far)
        for family, via in (("-4", FAR), ("-6", FAR_6)):
            command("ip", family, "route", "add", "default", "via", via)
        ports = {"outbound": OUTBOUND_PORT, "inbound": INBOUND_PORT, "application": PORT, "other": OTHER_PORT, "health": HEALTH_PORT}
        self._listeners = {name: _listen(port) for name, port in ports.items()}
        self._listeners |= {f"far {port}": self.far.call(lambda port=port: _listen(port)) for port in (PORT, OTHER_PORT)}  # type: ignore[misc]  # mypy infers no type of a lambda with a default

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners.values():
            listener.close()
        self.far.close()

    def reaches(self, address: str, port: int, user: int = APPLICATION, group: int = APPLICATION, source: str | None = None) -> Arrival:
        """Where a connection out of this Pod ends."""
        with dial(address, port, user, group, source):
            return self._arrival()

    def reached_from_far(self, address: str, port: int) -> Arrival:
        """Where one of the other host's ends."""
        with self.far.call(lambda: dial(address, port)):
            return self._arrival()

    def _arrival(self) -> Arrival:
        found, _, _ = select.select(list(self._listeners.values()), [], [], LIMIT)
        [(name, listener)] = [(name, listener) for name, listener in self._listeners.items() if listener in found]
        connection, client = listener.accept()
        with connection:
            return Arrival(name, _original_destination(connection), _plain(client[0]))

    @staticmethod
    def _set_up_far() -> None:
        command("ip", "address", "add", f"{FAR_6}/64", "dev", "far", "nodad")
        command("ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo")
        command("ip", "address", "add", f"{ELSEWHERE_6}/128", "dev", "lo", "nodad")


def _listen(port: int) -> socket.socket:
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)


def _plain(address: str) -> str:
    mapped = ip_address(address)
    return str(getattr(mapped, "ipv4_mapped", None) or mapped)


def _original_destination(connection: socket.socket) -> tuple[str, int]:
    """Where the client was going; where it arrived, if nothing was redirected."""
    if "." in connection.getsockname()[0]:
        with contextlib.suppress(OSError):
            answer = connection.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16)
            port, packed = struct.unpack_from("!2xH4s", answer)
            return socket.inet_ntop(socket.AF_INET, packed), port
    else:
        with contextlib.suppress(OSError):
            answer = connection.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DESTINATION, 28)
            port, packed = struct.unpack_from("!2xH4x16s", answer)
            return socket.inet_ntop(socket.AF_INET6, packed), port
    return _plain(connection.getsockname()[0]), connection.getsockname()[1]
