"""A mesh on this machine, put together: objects as a cluster would have them, an authority, the stream for sidecars, and workloads.

    files ─> LocalObjects ─> translation ─┬─> of_gateways ─> the run's own workers, with an identity
                  ^                       └─> Publishers ─> stream (mutual TLS) ─> a `tidegate sidecar` beside each workload
                  └── at which ports applications accept <── Tending <── workloads
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from controller.api.gateway import Gateway
from controller.api.metadata import Key, Object
from controller.publishers import Publishers
from controller.sources.problems import Problem
from controller.translate.names import deployed_name
from controller.translate.objects import called
from controller.translate.options import Options
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity
from gateway.ir.workload import mesh_namespace, mesh_scope
from mesh.authority_store import StoredAuthority
from mesh.rotation import wait_after
from tidegate.enduring import endure
from tidegate.local_mesh.asking import addresses_of, asked_of
from tidegate.local_mesh.numbers import MeshBlock
from tidegate.local_mesh.objects import Changes, LocalObjects, Workload
from tidegate.local_mesh.problems import PlaceOf, problems_of
from tidegate.local_mesh.shares import of_gateways
from tidegate.local_mesh.tending import Tending
from tidegate.local_mesh.trust import Account, GatewayIdentity, InMemory, Tokens, gateway_identity
from tidegate.local_mesh.workloads import RunningWorkload, SidecarSettings, Surrounding
from tidegate.served import served
from tidegate.stream import Identities, Stream

TRUST_DOMAIN: Final = Options().trust_domain
_HOST: Final = "localhost"
"""The name that sidecars reach us by."""
_LOOK: Final = 60.0
"""Seconds between two looks at whether roots are others, or the identity of Gateways is due."""
_EXPLAIN_TIMEOUT: Final = 5.0


class LocalMesh:
    """Owner of everything that a mesh has besides Gateways. `changed` is given what translation is to take in from here, `publish`
    resources for the workers of Gateways."""

    def __init__(
        self,
        block: MeshBlock,
        settings: SidecarSettings,
        changed: Callable[[Changes], None],
        publish: Callable[[Iterable[AnyResource]], None],
        message: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._publish = publish
        self._message = message
        self._objects = LocalObjects(block)
        self._authority = StoredAuthority(InMemory(), TRUST_DOMAIN, message)
        self._tokens = Tokens()
        self._publishers = Publishers(message, self._moved)
        identities = Identities(lambda: self._authority.current, self._tokens.review, lambda *account: None, (_HOST,))
        self._stream = Stream(self._publishers, identities, message)
        self._tending = Tending(self._objects.workloads, self._begin, self._end, message)
        self._gateways: dict[Key, Gateway] = {}
        self._identity: GatewayIdentity | None = None
        self._told: dict[str, frozenset[tuple[Identity, tuple[str, ...]]]] = {}
        self._listening: socket.socket | None = None
        self.at_once = asyncio.Event()
        """Set where the end is not to wait for anything under way."""

    async def open(self) -> None:
        """Makes the authority, and a port for sidecars. Raises OSError."""
        await self._authority.open()
        self._tokens.trust(self._authority.current.bundle(datetime.now(UTC)))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self._settings = replace(self._settings, controller=f"{_HOST}:{self._listening.getsockname()[1]}")

    def close(self) -> None:
        """After `run`."""
        self._tokens.close()
        if self._listening is not None:
            self._listening.close()

    # the path of a change

    def take(self, puts: Iterable[Object], removes: Iterable[Key]) -> Changes:
        """What the files say, as translation is to take it."""
        puts, removes = tuple(puts), tuple(removes)
        for key in removes:
            self._gateways.pop(key, None)
        self._gateways.update((obj.key, obj) for obj in puts if isinstance(obj, Gateway))
        return self._objects.take(puts, removes)

    def divide(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> tuple[tuple[AnyResource, ...], tuple[Identity, ...]]:
        """Gives sidecars what is theirs of a change; returns what is the Gateways', with the identity that they have from now on."""
        set, remove = tuple(set), tuple(remove)
        self._publishers.publish(set, remove)
        ours, gone = of_gateways(set, remove)
        return (*self._identify(), *ours), gone

    def settle(self) -> None:
        """After a change: workloads are started and ended."""
        self._tending.reconsider()

    def problems(self, place: PlaceOf) -> tuple[Problem, ...]:
        """What cannot be used of Pods and Services, where the files have it."""
        return problems_of(self._objects, place)

    # what goes on

    async def run(self) -> None:
        """Serves sidecars and keeps workloads running, until it is cancelled; then all of them are ended."""
        assert self._listening is not None
        listening = self._listening
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(endure("serving the configuration stream", lambda: self._stream.serve(listening), self._message)),
                tasks.create_task(endure("keeping the certificate authority", self._authority.keep, self._message)),
                tasks.create_task(endure("renewing the identity of Gateways", self._keep_identity, self._message)),
            ]
            try:
                self._tending.begin()
                await asyncio.Event().wait()
            finally:
                await self._tending.leave(self.at_once)
                for task in beside:
                    task.cancel()

    async def _keep_identity(self) -> None:
        while True:
            await asyncio.sleep(_LOOK * (0.5 + wait_after(1, random.random())))
            self._tokens.trust(self._authority.current.bundle(datetime.now(UTC)))
            if identity := self._identify():
                self._publish(identity)

    def _identify(self) -> tuple[AnyResource, ...]:
        """The identity of the workers of Gateways, where it is another than before: that of the first Gateway, since they share them."""
        if not self._gateways:
            return ()
        _, gateway = min(self._gateways.items())
        account = (gateway.namespace, deployed_name(gateway.name, gateway.spec.gateway_class_name))
        if self._identity is not None and self._identity.account == account and time.time() < self._identity.renew_at:
            return ()
        if self._identity is None or self._identity.account != account:
            share = f", which all {len(self._gateways)} Gateways share" if len(self._gateways) > 1 else ""
            self._message(f"the gateway calls workloads as spiffe://{TRUST_DOMAIN}/ns/{account[0]}/sa/{account[1]}{share}")
        self._identity = gateway_identity(self._authority.current, account)
        return self._identity.resources

    def _begin(self, workload: Workload) -> RunningWorkload:
        key, account = workload.pod.key, _account(workload)

        def accepts(ports: frozenset[int]) -> None:
            was_ready = self._objects.is_ready(key)
            self._changed(self._objects.accept(key, ports))
            if self._objects.is_ready(key) and not was_ready:
                self._message(f"{called(*key)} is ready")

        self._message(addresses_of(self._objects, workload))
        around = Surrounding(
            files=(self._tokens.roots, self._tokens.issue(account)) if workload.meshed else None,
            ask=lambda: self._objects.surroundings(self._objects.workloads.get(key, workload)),
            targets=lambda: self._objects.targets(key),
            accepts=accepts,
            message=self._message,
        )
        return RunningWorkload(workload, self._settings, around)

    def _end(self, workload: Workload) -> None:
        self._tokens.revoke(_account(workload))

    def _moved(self, scope: str) -> None:
        """A sidecar has something in place, or cannot have it."""
        publisher, namespace = self._publishers.publisher(scope), mesh_namespace(scope)
        if publisher is None or namespace is None:
            return
        before, now = self._told.get(scope, frozenset()), frozenset(publisher.rejections().items())
        self._told[scope] = now
        for (kind, key), reasons in sorted(now - before):
            self._message(f"a sidecar of namespace {namespace} cannot serve {kind} {key}: {'; '.join(reasons)}")

    # what is told

    def status(self) -> dict[str, Any]:
        """Parts of the page `/status`: sidecars by namespace, as the controller's has them, and workloads."""
        scopes = ((scope, mesh_namespace(scope), self._publishers.publisher(scope)) for scope in sorted(self._publishers))
        mesh = [served(namespace, publisher) for _, namespace, publisher in scopes if namespace is not None and publisher is not None]
        return {"mesh": mesh, "workloads": [self._told_of(running) for running in self._tending.running]}

    def _told_of(self, running: RunningWorkload) -> dict[str, Any]:
        workload = running.workload
        return {
            "namespace": workload.pod.namespace,
            "name": workload.pod.name,
            "address": workload.block.pod,
            "application": workload.application,
            "sidecar": workload.meshed,
            "state": running.state,
            "ready": running.state == "running" and self._objects.is_ready(workload.pod.key),
            "restarts": running.restarts,
        }

    async def explain(self, argument: bytes) -> bytes | None:
        """The answer of the sidecar whose workload would ask; None where it is the Gateways' to answer."""
        try:
            found = asked_of(self._objects, msgspec.json.decode(argument, type=dict[str, Any]))
        except ValueError:
            return None
        if found is None:
            return None
        workload, question = found
        publisher = self._publishers.publisher(mesh_scope(workload.pod.namespace))
        asked = msgspec.json.encode(question)
        answers = {} if publisher is None else await publisher.ask("explain", asked, _EXPLAIN_TIMEOUT)
        answer = answers.get(workload.name)
        return None if answer is None else bytes(answer)


def _account(workload: Workload) -> Account:
    return Account(workload.pod.namespace, workload.pod.spec.service_account_name, workload.pod.name)
