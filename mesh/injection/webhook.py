"""The mutating webhook as a server: HTTPS, `/inject` for the API server, `/healthz` for whoever wants to know whether it is up.

Owner of its connections. aiohttp speaks HTTP; what is ours is that each connection begins with the certificate of that moment, and that
nobody holds many of them: they count from accept on, and one that asks nothing in time is closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from aiohttp import web

from mesh.injection.review import BadReview, answer
from mesh.injection.settings import SidecarSettings

MOST_BYTES: Final = 4 << 20
"""Of a review: the API server takes no request of more than 3 MiB, and a review holds little more than the Pod."""
_LONGEST_LINE: Final = 1_000
"""Characters of what is logged of a refused Pod."""
_PAUSE: Final = 0.1
"""Seconds before the next try where a connection could not be accepted, for want of descriptors for example."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections at once, and seconds: for a handshake, for the first request after it, for a body, and between two requests."""

    connections: int = 512
    handshake: float = 5.0
    first_request: float = 5.0
    body: float = 4.0
    """Less than the API server waits for an answer (timeoutSeconds in the chart), so that it learns why."""
    idle: float = 120.0


class Webhook:
    """`context` gives the TLS context for a new connection; `problem` hears of refused Pods and of what goes wrong."""

    def __init__(
        self,
        settings: SidecarSettings,
        context: Callable[[], ssl.SSLContext],
        problem: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self._settings = settings
        self._context = context
        self._problem = problem
        self._limits = limits or Limits()
        self._handshakes = 0
        """Connections that are in their handshake; aiohttp counts the others."""
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        """Connections that have asked for nothing yet, with what will close them."""

    async def serve(self, listening: socket.socket) -> NoReturn:
        """Until cancelled. The socket does not block, and stays its caller's."""
        application = web.Application(client_max_size=MOST_BYTES)
        application.router.add_post("/inject", self._inject)
        application.router.add_get("/healthz", self._healthz)
        application.on_response_prepare.append(self._asked)
        logger = logging.Logger("tidegate.webhook", logging.CRITICAL)  # strangers' malformed requests are answered, and no news
        runner = web.AppRunner(
            application, access_log=None, logger=logger, keepalive_timeout=self._limits.idle, auto_decompress=False, shutdown_timeout=1.0
        )
        await runner.setup()
        assert runner.server is not None
        try:
            async with asyncio.TaskGroup() as connections:
                while True:
                    accepted = await self._accept(listening, runner.server)
                    if accepted is not None:
                        connections.create_task(self._begin(accepted, runner.server))
                        await asyncio.sleep(0)  # so that it counts before the next one is judged
        finally:
            for timer in self._silent.values():
                timer.cancel()
            self._silent.clear()
            await runner.cleanup()

    async def _accept(self, listening: socket.socket, server: web.Server) -> socket.socket | None:
        try:
            accepted, peer = await asyncio.get_running_loop().sock_accept(listening)
        except OSError as error:
            self._problem(f"the webhook cannot accept a connection: {error}")
            await asyncio.sleep(_PAUSE)
            return None
        if self._handshakes + len(server.connections) >= self._limits.connections:
            accepted.close()
            self._problem(f"one of too many connections to the webhook at once was closed; it came from {peer[0]}")
            return None
        return accepted

    async def _begin(self, accepted: socket.socket, server: web.Server) -> None:
        """The handshake; then aiohttp serves the connection until it ends. Whoever fails in it learns that from TLS."""
        loop = asyncio.get_running_loop()
        self._handshakes += 1
        try:
            transport, protocol = await loop.connect_accepted_socket(
                server, accepted, ssl=self._context(), ssl_handshake_timeout=self._limits.handshake
            )
        except OSError:
            accepted.close()
        else:
            self._silent[protocol] = loop.call_later(self._limits.first_request, self._give_up, protocol, transport)
        finally:
            self._handshakes -= 1

    def _give_up(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        del self._silent[protocol]
        transport.abort()

    def _heard(self, protocol: asyncio.BaseProtocol) -> None:
        if (timer := self._silent.pop(protocol, None)) is not None:
            timer.cancel()

    async def _asked(self, request: web.Request, _: web.StreamResponse) -> None:
        """Whatever was asked is being answered."""
        self._heard(request.protocol)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _inject(self, request: web.Request) -> web.Response:
        self._heard(request.protocol)
        try:
            async with asyncio.timeout(self._limits.body):
                body = await request.read()
            found = answer(body, self._settings)
        except BadReview as error:
            return web.Response(status=400, text=f"{error}\n")
        except TimeoutError:
            return web.Response(status=408, text=f"the body did not come within {self._limits.body:g} s\n")
        except web.HTTPException:
            raise
        except Exception as fault:  # of ours, in one Pod: the API server is told, and does as failurePolicy says
            self._problem(f"injection failed, which is a fault of Tidegate: {type(fault).__name__}: {fault}")
            return web.Response(status=500, text="injection failed, which is a fault of Tidegate: look into the controller's log\n")
        if found.refused:
            self._problem(f"a Pod was refused by the webhook: {_one_line(found.refused)}")
        return web.Response(body=found.body, content_type="application/json")


def _one_line(text: str) -> str:
    """Names come from whoever calls: what could pass for another line, or reach a terminal, does not."""
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_LINE]


def webhook_context(_: str) -> ssl.SSLContext:
    """Asks for no client certificate: who calls may only learn what becomes of a Pod, and API servers rarely have one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
