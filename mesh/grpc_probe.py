"""A gRPC probe as kubelet makes it: grpc.health.v1.Health/Check over HTTP/2 without TLS (GRPCAction).

What asks is what checks the health of backends; apart from these it shares nothing with what serves.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.ir.backend import GrpcCheck, HealthCheck
from gateway.proxy.core import Core
from gateway.upstream.check_question import question_of
from gateway.upstream.checks import put
from gateway.upstream.connect import Undecided, open_connection
from gateway.upstream.connections import Connections
from gateway.upstream.endpoint import Endpoint, Pool
from gateway.upstream.protection import Protection


class GrpcProber:
    """Owner of what calls need besides a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._core = Core(loop)
        self._protection = Protection(self._core, "", _nobody)

    async def ask(self, service: str, where: tuple[str, int], arguments: dict[str, Any]) -> None:
        """Returns if the application serves. `arguments` are those of `create_connection` that lead to the place. Raises Unwell and
        OSError."""
        connections = Connections(tuple, 1, 0)
        connections.reserve()
        connections.protocol = "h2c"
        endpoint = Endpoint(*where, connections, self._protection)
        undecided = Undecided(self._core, endpoint, Pool(None, connections))
        question = question_of(HealthCheck(grpc=GrpcCheck(service)), endpoint.label)
        assert question is not None
        transport = await open_connection(self._core.loop, undecided, arguments, None, None)
        try:
            await put(question, undecided, self._core.loop)
        finally:
            transport.abort()


def _nobody() -> None:
    """No backend is told how one probe went."""
