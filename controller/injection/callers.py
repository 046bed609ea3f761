"""The caBundle of the MutatingWebhookConfiguration: the roots by which the API server knows the webhook.

Owner of what the API server has of that one object. Only this field is ever written, by server-side apply, and only in the webhooks that
lead to our Service; everything else of the object is the chart's. It works while `run` runs, which is as long as this replica leads.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from controller.sources.kube.client import Client
from controller.sources.kube.errors import ApiError
from controller.sources.kube.reflector import Reflector, Scope, Told
from controller.sources.kube.resources import RESOURCES
from controller.sources.kube.timing import Backoff

_CONFIGURATION: Final = RESOURCES["MutatingWebhookConfiguration"]


class OwnWebhook(NamedTuple):
    """The name of the configuration, and the Service of the controller that its webhooks lead to."""

    configuration: str
    service: str
    namespace: str


class CallersAuthorities:
    """`problem` is told what keeps the field from being right."""

    def __init__(self, client: Client, own: OwnWebhook, problem: Callable[[str], None]) -> None:
        self._client = client
        self._own = own
        self._problem = problem
        self._authorities = ""
        self._live: dict[str, Any] | None = None
        self._due = asyncio.Event()
        self._told = ""

    def configure(self, authorities: str) -> None:
        """The API server is to know the webhook by these roots (PEM)."""
        if authorities != self._authorities:
            self._authorities = authorities
            self._due.set()

    async def run(self) -> None:
        """Works until it is cancelled."""
        scope = Scope(fields=f"metadata.name={self._own.configuration}")
        told = Told(lambda: None, self._say, lambda: None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Reflector(self._client, scope, _Watched(self._see), told).run())
            tasks.create_task(self._keep())

    def _see(self, live: dict[str, Any] | None) -> None:
        """The configuration as it is now; None if there is none."""
        self._live = live
        self._due.set()
        if live is None:
            self._complain(
                f"MutatingWebhookConfiguration {self._own.configuration} is not there: no Pod gets a sidecar. Install the chart with "
                "mesh.enabled, or run the controller without --mesh"
            )

    async def _keep(self) -> NoReturn:
        backoff = Backoff(self._client.timing.retry_first, self._client.timing.retry_most)
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write()
            except ApiError as error:
                self._say(error)
                self._due.set()
                await asyncio.sleep(backoff.next(error.retry_after))
            else:
                backoff.reset()

    async def _write(self) -> None:
        """Raises ApiError. What was written comes back as an event."""
        wanted = base64.b64encode(self._authorities.encode()).decode()
        ours = [webhook for webhook in (self._live or {}).get("webhooks") or () if self._is_ours(webhook)]
        if self._live is None or not wanted or all(webhook["clientConfig"].get("caBundle") == wanted for webhook in ours):
            return
        body = {
            "apiVersion": _CONFIGURATION.api_version,
            "kind": _CONFIGURATION.kind,
            "metadata": {"name": self._own.configuration, "uid": self._live["metadata"]["uid"]},
            "webhooks": [{"name": webhook["name"], "clientConfig": {"caBundle": wanted}} for webhook in ours],
        }
        await self._client.apply(_CONFIGURATION, "", self._own.configuration, body)
        self._told = ""

    def _is_ours(self, webhook: dict[str, Any]) -> bool:
        service = (webhook.get("clientConfig") or {}).get("service") or {}
        return (service.get("namespace"), service.get("name")) == (self._own.namespace, self._own.service)

    def _say(self, error: ApiError) -> None:
        """An API server that is not reached at all, everybody says."""
        if error.status:
            self._complain(f"{error}; where the roots are others than before, no Pod of the mesh can be created until that is over")

    def _complain(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._problem(text)


class _Watched:
    """See controller.sources.kube.reflector.Shelf: a list and watch of one object."""

    def __init__(self, see: Callable[[dict[str, Any] | None], None]) -> None:
        self.resource = _CONFIGURATION
        self._see = see

    def listing(self) -> _Listing:
        """A list of one object, or of none."""
        return _Listing(self._see)

    def take(self, raw: dict[str, Any]) -> None:
        """It was added or modified."""
        self._see(raw)

    def drop(self, _: dict[str, Any]) -> None:
        """It was deleted."""
        self._see(None)


class _Listing:
    empties = False

    def __init__(self, see: Callable[[dict[str, Any] | None], None]) -> None:
        self._see = see
        self._found: dict[str, Any] | None = None

    def add(self, raw: dict[str, Any]) -> None:
        """The object."""
        self._found = raw

    def finish(self) -> None:
        """That was all."""
        self._see(self._found)
