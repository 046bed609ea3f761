"""What the control plane does so that sidecars get into Pods: the webhook that every replica serves, and what the leader keeps for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from controller.api.core import Namespace
from controller.injection.authorities import MeshAuthorities
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
        self.authorities = MeshAuthorities(client, options.watch_namespaces, message)
        self._callers = CallersAuthorities(client, options.own_webhook(), message)

    def trust(self, authorities: str) -> None:
        """These roots (PEM) vouch for us."""
        self.authorities.configure(authorities)
        self._callers.configure(authorities)

    def take(self, change: Change) -> None:
        """The cluster has changed. Whether injected Pods are in a namespace is for MeshAuthorities.injected_pods to be told."""
        for found in change.puts:
            if isinstance(found, Namespace):
                self.authorities.namespace(found)
        for kind, _, name in change.removes:
            if kind == "Namespace":
                self.authorities.namespace_gone(name)
        for kind, namespace, name in (*(found.key for found in change.puts), *change.removes):
            self.authorities.disturbed(kind, namespace, name)

    async def run(self) -> None:
        """Works until it is cancelled, as long as this replica leads."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.authorities.run())
            tasks.create_task(self._callers.run())


async def serve(
    options: ControllerOptions, authority: Callable[[], Authority], listening: socket.socket, message: Callable[[str], None]
) -> None:
    """The webhook, until cancelled; the API server knows it by the name of our Service."""
    certificate = ServerCertificate(authority, (options.service,), webhook_context)
    await Webhook(options.sidecars(), certificate.context, message).serve(listening)
