"""The three small servers of a data plane: admin pages for who is inside, health and metrics for who is outside."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.admin import AdminServer
from gateway.net.sockets import BindError, bind, readable
from gateway.pages import Subject, pages
from tidegate.data_plane.options import DataPlaneOptions, Place

_EVERYWHERE: Final = "::"
_HEALTH: Final = ("/healthz/live", "/healthz/ready")
_METRICS: Final = ("/metrics",)


class Listening(NamedTuple):
    """Their bound sockets."""

    admin: socket.socket
    health: socket.socket
    metrics: socket.socket

    @property
    def admin_place(self) -> Place:
        """Where the admin server listens, with the port that was bound."""
        address, port = self.admin.getsockname()[:2]
        return address, port

    def sentence(self) -> str:
        """Where they are reached."""
        return ", ".join(f"{name} at http://{readable(*bound.getsockname()[:2])}" for name, bound in self._asdict().items())

    def close(self) -> None:
        for bound in self:
            bound.close()


def listen(options: DataPlaneOptions) -> Listening:
    """Binds all. Raises BindError, whose remedy names the option."""
    bound: list[socket.socket] = []
    try:
        for option, place in (("--admin", options.admin), ("--health", options.health), ("--metrics", options.metrics)):
            bound.append(_bind(place, option))
    except BindError:
        for opened in bound:
            opened.close()
        raise
    return Listening(*bound)


def _bind(place: Place, option: str) -> socket.socket:
    """Every address is that of IPv6, which takes IPv4 too, unless the host has none."""
    try:
        return bind(*place)
    except BindError as error:
        cause = error.__cause__
        if place[0] == _EVERYWHERE and isinstance(cause, OSError) and cause.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            return _bind(("0.0.0.0", place[1]), option)  # noqa: S104  # asked for: kubelet and Prometheus come from elsewhere
        raise BindError(*place, error.reason, f"{option} chooses another address or port") from cause


class Servers:
    """Owner of the servers, and of the sockets that it is given."""

    def __init__(self, subject: Subject, listening: Listening, message: Callable[[str], None]) -> None:
        every = pages(subject)
        outside = [{path: every[path] for path in paths} for paths in (_HEALTH, _METRICS)]
        self._listening = listening
        self._servers = [AdminServer(served, message) for served in (every, *outside)]

    async def start(self) -> None:
        for server, listening in zip(self._servers, self._listening, strict=True):
            await server.start(listening)

    async def close(self) -> None:
        for server in self._servers:
            await server.close()
        self._listening.close()
