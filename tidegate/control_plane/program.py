"""`tidegate controller` as a process: its ports, its authority, its signals."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from controller.sources.kube.access import Access, NoAccess
from controller.sources.kube.client import Client
from gateway.admin import AdminServer
from gateway.net.sockets import BindError, readable
from mesh.authority_store import StoredAuthority
from mesh.roots import UnreadableRoot
from tidegate.binding import bind_all
from tidegate.control_plane import injection, told
from tidegate.control_plane.controller import Controller
from tidegate.control_plane.options import ControllerOptions
from tidegate.control_plane.trust import AuthoritySecret, TokenReviews
from tidegate.enduring import endure
from tidegate.stream import Identities, Stream

BAD_OPTIONS: Final = 2

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 10.0
_BUNDLE_LOOK: Final = 5.0
"""Seconds between two looks at whether other roots are trusted than before."""

Message = Callable[[str], None]


class Listening(NamedTuple):
    """The bound sockets of a replica."""

    stream: socket.socket
    metrics: socket.socket
    health: socket.socket
    admin: socket.socket
    webhook: socket.socket | None = None
    """None without a mesh."""

    def sentence(self) -> str:
        """Where they are reached."""
        bound = {name: each for name, each in self._asdict().items() if each is not None}
        return ", ".join(f"{name} at {readable(*each.getsockname()[:2])}" for name, each in bound.items())


async def run(options: ControllerOptions, message: Message) -> int:
    """Works until SIGTERM or SIGINT. Returns the exit status: 0, or BAD_OPTIONS."""
    complaints = options.complaints()
    for complaint in complaints:
        message(complaint)
    if complaints:
        return BAD_OPTIONS
    access = Access(options.kubeconfig)
    try:
        await access.refresh()
        listening = _listen(options)
    except (NoAccess, BindError) as error:
        message(str(error))
        return BAD_OPTIONS
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(access))
        address, _ = options.stream
        bound = replace(options, stream=(address, listening.stream.getsockname()[1]))
        replica = Replica(bound, client, message)
        controller = replica.controller
        served = ((told.health, listening.health), (told.metrics, listening.metrics), (told.status, listening.admin))
        for pages, socket_of_it in served:
            server = AdminServer(pages(controller), message)
            await server.start(socket_of_it)
            stack.push_async_callback(server.close)
        message(listening.sentence())
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(replica.run(listening))
            await ending.wait()
            message("ending: the Lease is given back; proxies go on with what they have, and turn to another replica")
            work.cancel()
    return 0


def _listen(options: ControllerOptions) -> Listening:
    """Raises BindError."""
    places = [("--stream", options.stream), ("--metrics", options.metrics), ("--health", options.health), ("--admin", options.admin)]
    if options.mesh:
        places.append(("--webhook", options.webhook))
    return Listening(*bind_all(places))


class Replica:
    """A controller with the authority that vouches for it and its proxies, the stream that these come by, and the webhook."""

    def __init__(self, options: ControllerOptions, client: Client, message: Message) -> None:
        self._options = options
        self._message = message
        leaf = timedelta(seconds=options.certificate_lifetime)
        self._authority = StoredAuthority(AuthoritySecret(client, options.namespace), options.trust_domain, message, leaf)
        self.controller = Controller(options, client, message)
        identities = Identities(
            lambda: self._authority.current,
            TokenReviews(client).review,
            self.controller.scope_of,
            (options.service,),
            self.controller.elsewhere,
        )
        self._stream = Stream(self.controller.served, identities, message)

    async def run(self, listening: Listening) -> None:
        """Works until cancelled."""
        await self._open()
        self._trust()
        webhook = listening.webhook
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.controller.run())
            tasks.create_task(endure("keeping the certificate authority", self._authority.keep, self._message))
            tasks.create_task(endure("serving the configuration stream", lambda: self._stream.serve(listening.stream), self._message))
            if webhook is not None:
                tasks.create_task(endure("serving the webhook", lambda: self._inject(webhook), self._message))
            tasks.create_task(endure("following the trusted roots", self._follow_roots, self._message))

    async def _inject(self, listening: socket.socket) -> None:
        await injection.serve(self._options, lambda: self._authority.current, listening, self._message)

    async def _open(self) -> None:
        """Waits for the authority: nothing can be served or deployed without."""
        pause, said = _FIRST_PAUSE, ""
        while True:
            try:
                await self._authority.open()
            except (OSError, UnreadableRoot) as error:
                problem = f"the certificate authority cannot be read, and is tried again: {error}"
                if problem != said:
                    self._message(problem)
                said = problem
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return

    async def _follow_roots(self) -> None:
        while True:
            await asyncio.sleep(_BUNDLE_LOOK)
            self._trust()

    def _trust(self) -> None:
        authority = self._authority.current
        self.controller.trust(authority.bundle(datetime.now(UTC)), authority.derived)
