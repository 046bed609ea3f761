"""The three small servers of a data plane: admin pages for who is inside, health and metrics for who is outside."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from gateway.admin import AdminServer, Serve
from gateway.net.sockets import readable
from gateway.pages import Subject, pages
from tidegate.binding import Place, bind_all
from tidegate.data_plane.options import DataPlaneOptions

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
    return Listening(*bind_all((("--admin", options.admin), ("--health", options.health), ("--metrics", options.metrics))))


class Servers:
    """Owner of the servers, and of the sockets that it is given. `asked` are pages of the health port besides ours."""

    def __init__(self, subject: Subject, listening: Listening, asked: Mapping[str, Serve], message: Callable[[str], None]) -> None:
        every = pages(subject)
        outside = ({**asked, **{path: every[path] for path in _HEALTH}}, {path: every[path] for path in _METRICS})
        self._listening = listening
        self._servers = [AdminServer(served, message) for served in (every, *outside)]

    async def start(self) -> None:
        for server, listening in zip(self._servers, self._listening, strict=True):
            await server.start(listening)

    async def close(self) -> None:
        for server in self._servers:
            await server.close()
        self._listening.close()
