"""What becomes of deployed objects in other hands: a Deployment that is changed or deleted is noticed at once, everything else in a while.

Deployments are watched, since without one nothing serves. Services and the ConfigMaps of authorities are watched by the source. The rest
would be a watch a kind for objects that hardly anybody touches, so all kinds are listed now and then, and compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from controller.deploy.deployer import Deployer
from controller.deploy.objects import DEPLOYED, MANAGED_BY, OURS
from controller.sources.kube.client import Client
from controller.sources.kube.errors import ApiError
from controller.sources.kube.reflector import Reflector, Scope, Told
from controller.sources.kube.resources import RESOURCES

INTERVAL: Final = 120.0
"""Seconds between two comparisons of everything."""

_LABELS: Final = f"{MANAGED_BY}={OURS}"


class Drift:
    """Tells a deployer what the API server has of it. `problem` is told what cannot be looked at."""

    def __init__(
        self,
        client: Client,
        namespaces: Sequence[str],
        deployer: Deployer,
        problem: Callable[[str], None],
        interval: float = INTERVAL,
    ) -> None:
        self._client = client
        self._namespaces = tuple(namespaces) or ("",)
        self._deployer = deployer
        self._problem = problem
        self._interval = interval

    async def run(self) -> None:
        """Until cancelled, as long as this replica leads."""
        told = Told(lambda: None, self._tell, lambda: None)
        async with asyncio.TaskGroup() as tasks:
            for namespace in self._namespaces:
                watched = _Watched(self._deployer, namespace)
                tasks.create_task(Reflector(self._client, Scope(namespace, labels=_LABELS), watched, told).run())
            tasks.create_task(self._compare())

    async def _compare(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._interval)
            for kind in DEPLOYED:
                for namespace in self._namespaces:
                    try:
                        found, _ = await self._client.list(RESOURCES[kind], namespace, labels=_LABELS)
                    except ApiError as error:
                        self._tell(error)
                    else:
                        self._deployer.seen_all(kind, namespace, found)

    def _tell(self, error: ApiError) -> None:
        """That the API server is not reached at all, everybody says."""
        if error.status:
            self._problem(f"{error}; what others do to deployed objects is not noticed until that is over")


class _Watched:
    """See controller.sources.kube.reflector.Shelf: keeps nothing, since the deployer knows what is to be."""

    def __init__(self, deployer: Deployer, namespace: str) -> None:
        self.resource = RESOURCES["Deployment"]
        self._deployer = deployer
        self._namespace = namespace

    def listing(self) -> _Listing:
        """A list, which is compared as a whole."""
        return _Listing(self._deployer, self._namespace)

    def take(self, raw: dict[str, Any]) -> None:
        """One was added or modified."""
        self._deployer.seen("Deployment", raw)

    def drop(self, raw: dict[str, Any]) -> None:
        """One was deleted."""
        self._deployer.disturbed("Deployment", raw["metadata"]["namespace"], raw["metadata"]["name"])


class _Listing:
    """One that would remove everything needs no second look: what is missing is asked for by name before it is made."""

    empties = False

    def __init__(self, deployer: Deployer, namespace: str) -> None:
        self._deployer = deployer
        self._namespace = namespace
        self._found: list[dict[str, Any]] = []

    def add(self, raw: dict[str, Any]) -> None:
        """One Deployment."""
        self._found.append(raw)

    def finish(self) -> None:
        """These are all."""
        self._deployer.seen_all("Deployment", self._namespace, self._found)
