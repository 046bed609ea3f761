"""What the control plane does so that sidecars get into Pods: the webhook that every replica serves, and what the leader keeps for it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

from controller.api.core import Namespace
from controller.api.metadata import Key
from controller.crowd import Seldom
from controller.injection.authorities import InjectedPods, MeshAuthorities
from controller.injection.callers import CallersAuthorities
from controller.sources.kube.changes import Change
from controller.sources.kube.client import Client
from mesh.authority import Authority
from mesh.injection.webhook import Webhook, webhook_context
from mesh.server_certificate import ServerCertificate
from tidegate.control_plane.options import ControllerOptions


class Keeping:
    """The leader's part: authorities in the namespaces of the mesh, and in the webhook's configuration."""

    def __init__(self, options: ControllerOptions, client: Client, message: Callable[[str], None]) -> None:
        self._authorities = MeshAuthorities(client, options.namespace, options.watch_namespaces, message)
        self._pods = InjectedPods(self._authorities.injected_pods)
        self._callers = CallersAuthorities(client, options.own_webhook(), message)

    def trust(self, authorities: str) -> None:
        """These roots (PEM) vouch for us."""
        self._authorities.configure(authorities)
        self._callers.configure(authorities)

    def take(self, change: Change) -> None:
        """The cluster has changed."""
        for found in change.puts:
            if isinstance(found, Namespace):
                self._authorities.namespace(found)
            elif found.kind == "Pod":
                self._pods.put(found)
        for key in change.removes:
            if key[0] == "Namespace":
                self._authorities.namespace_gone(key[2])
            elif key[0] == "Pod":
                self._pods.remove(key)
        for kind, namespace, name in (*(found.key for found in change.puts), *change.removes):
            self._authorities.disturbed(kind, namespace, name)

    def complaints(self) -> Iterator[tuple[Key, str]]:
        """What keeps sidecars from knowing us."""
        return self._authorities.complaints()

    async def run(self) -> None:
        """Works until it is cancelled, as long as this replica leads."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._authorities.run())
            tasks.create_task(self._callers.run())


async def serve(
    options: ControllerOptions, authority: Callable[[], Authority], listening: socket.socket, message: Callable[[str], None]
) -> None:
    """The webhook, until cancelled; the API server knows it by the name of our Service. Whoever can reach it cannot fill the log."""
    certificate = ServerCertificate(authority, (options.service,), webhook_context)
    await Webhook(options.sidecars(), certificate.context, Seldom(message, time.monotonic)).serve(listening)
