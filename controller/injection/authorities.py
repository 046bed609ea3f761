"""The ConfigMap `tidegate-mesh-ca` in each namespace of the mesh: the certificates by which sidecars know the controller.

Owner of which namespaces are in the mesh. A namespace is, while its labels ask for injection or injected Pods are in it. What was placed
and is still so costs nothing. It works while `run` runs, which is as long as this replica leads; a new run compares everything once.
Only a ConfigMap with our label is ever changed or removed, and nothing is written where a namespace is being deleted. Each bears the name
of the installation that keeps it, which is that of its namespace: two that reach one namespace would write over each other for ever. So the
second leaves it alone and says so, until the first is gone with its namespace, or somebody decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from controller.api.core import Namespace
from controller.api.injection import is_injected, is_meshed
from controller.api.metadata import Key, Object
from controller.deploy.agenda import Agenda
from controller.deploy.objects import MANAGED_BY, OURS, Manifest, holds
from controller.deploy.placing import Client
from controller.sources.kube.errors import ApiError, NotFound
from controller.sources.kube.resources import RESOURCES
from controller.sources.kube.timing import Backoff

NAME: Final = "tidegate-mesh-ca"
ENTRY: Final = "ca.crt"
INSTALLATION: Final = "tidegate.dev/installation"
"""The label with the namespace of the controller that keeps it; one without is of a version that knew no such label."""
_CONFIG_MAP: Final = RESOURCES["ConfigMap"]
_RETRY: Final = (0.5, 60.0)
"""Seconds: the first pause after a failure, and the longest. Pods wait for it, so the first is short."""
_RECONSIDERED: Final = 60.0
"""Seconds between two looks at a name that somebody else has: no event need come when it is free."""


class MeshAuthorities:
    """`own_namespace` is the controller's, `namespaces` are those in reach, () for all. `problem` is told what keeps a ConfigMap from being
    right."""

    def __init__(self, client: Client, own_namespace: str, namespaces: Iterable[str], problem: Callable[[str], None]) -> None:
        self._client = client
        self._own = own_namespace
        self._reach = tuple(namespaces)
        self._problem = problem
        self._agenda = Agenda(self._settle)
        self._authorities = ""
        self._present: set[str] = set()
        """Namespaces that are there, as far as they may be read."""
        self._labelled: set[str] = set()
        self._with_pods: set[str] = set()
        self._leaving: set[str] = set()
        self._placed: set[str] = set()
        """Namespaces that have, or may have, ours as it should be or otherwise."""
        self._settled: dict[str, str] = {}
        """The authorities that were last known to stand there."""
        self._failing: dict[str, Backoff] = {}
        self._told: dict[str, str] = {}

    def configure(self, authorities: str) -> None:
        """These certificates (PEM) are to be in every namespace of the mesh."""
        if authorities != self._authorities:
            self._authorities = authorities
            self._look_at_all()

    def namespace(self, found: Namespace) -> None:
        """A namespace is new, or other than before."""
        name = found.name
        self._present.add(name)
        self._note(self._leaving, name, found.metadata.deletion_timestamp is not None)
        self._note(self._labelled, name, is_injected(name, found.metadata.labels))

    def namespace_gone(self, name: str) -> None:
        """A namespace is not there any more."""
        for known in (self._present, self._labelled, self._with_pods, self._leaving, self._placed):
            known.discard(name)
        self._settled.pop(name, None)
        self._failing.pop(name, None)
        self._told.pop(name, None)
        for waiting in self._told:  # for an installation that was there, perhaps
            self._agenda.add(_key(waiting))

    def injected_pods(self, namespace: str, are_there: bool) -> None:
        """Whether a namespace holds injected Pods, whatever its labels say: what they know the controller by stays as long."""
        self._note(self._with_pods, namespace, are_there)

    def disturbed(self, kind: str, namespace: str, name: str) -> None:
        """An object of the cluster has changed or is gone; if it is ours it is compared."""
        if (kind, name) == (_CONFIG_MAP.kind, NAME) and self._reaches(namespace):
            self._settled.pop(namespace, None)
            self._agenda.add(_key(namespace))

    def complaints(self) -> Iterator[tuple[Key, str]]:
        """What keeps ConfigMaps from being right, as it was told last."""
        for name, complaint in sorted(self._told.items()):
            yield (_CONFIG_MAP.kind, name, NAME), complaint

    async def run(self) -> None:
        """Works until it is cancelled."""
        self._settled.clear()
        self._told.clear()
        self._failing.clear()
        self._look_at_all()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._agenda.run())
            tasks.create_task(self._look_for_leftovers())

    async def _look_for_leftovers(self) -> None:
        """Those of namespaces that left the mesh while nobody led."""
        backoff = Backoff(*_RETRY)
        while True:
            try:
                for namespace in self._reach or ("",):
                    found, _ = await self._client.list(_CONFIG_MAP, namespace, labels=f"{MANAGED_BY}={OURS}")
                    for place in (each["metadata"]["namespace"] for each in found if each["metadata"]["name"] == NAME):
                        self._placed.add(place)
                        self._agenda.add(_key(place))
                return
            except ApiError as error:
                if error.status:
                    self._problem(f"ConfigMaps {NAME} of namespaces that have left the mesh cannot be listed, and stay: {error}")
                await asyncio.sleep(backoff.next(error.retry_after))

    def _note(self, known: set[str], name: str, is_so: bool) -> None:
        """Writes down what is so, and looks at the namespace if that is news."""
        if (name in known) is is_so or not self._reaches(name):
            return
        (known.add if is_so else known.discard)(name)
        self._agenda.add(_key(name))

    def _reaches(self, namespace: str) -> bool:
        return not self._reach or namespace in self._reach

    def _look_at_all(self) -> None:
        for name in self._labelled | self._with_pods | self._placed:
            self._agenda.add(_key(name))

    async def _settle(self, key: Key) -> float | None:
        """Makes the ConfigMap of a namespace be as it should; the pause until the next try, None when there is nothing left to do."""
        name = key[2]
        is_wanted = name in self._labelled or name in self._with_pods
        if name in self._leaving or not self._authorities or (is_wanted and self._settled.get(name) == self._authorities):
            return None
        if not is_wanted and name not in self._placed:
            return None
        try:
            complaint = await self._place(name) if is_wanted else await self._remove(name)
        except ApiError as error:
            return self._failed(name, error)
        self._failing.pop(name, None)
        self._say(name, complaint)
        if complaint:
            self._settled.pop(name, None)
            return _RECONSIDERED
        return None

    async def _place(self, name: str) -> str:
        """What is in the way, "" for nothing. Raises ApiError."""
        wanted = manifest(name, self._authorities, self._own)
        self._settled[name] = self._authorities  # first, so that whatever is disturbed meanwhile is looked at again
        live = await self._live(name)
        if live is not None and not _is_ours(live):
            return (
                f"ConfigMap {name}/{NAME} is there already and is not ours (label {MANAGED_BY}: {OURS}): the sidecars of this namespace "
                "trust what it holds. Delete it, and it is made anew"
            )
        if live is not None and (other := self._other(live)):
            return (
                f"ConfigMap {name}/{NAME} is kept by the installation of Tidegate in namespace {other} (label {INSTALLATION}), and "
                f"sidecars of {name} know that one alone: it is left as it is. Let watchNamespaces of the two name different namespaces; "
                "if the other is gone for good, delete the ConfigMap, and it is made anew"
            )
        self._placed.add(name)
        if live is None:
            await self._client.apply(_CONFIG_MAP, name, NAME, wanted)
        elif not holds(live, wanted) or set(live.get("data") or {}) != {ENTRY}:
            body = {**wanted, "metadata": {**wanted["metadata"], "uid": live["metadata"]["uid"]}}
            await self._client.apply(_CONFIG_MAP, name, NAME, body)
        return ""

    async def _remove(self, name: str) -> str:
        live = await self._live(name)
        if live is not None and _is_ours(live) and not self._other(live):
            await self._client.delete(_CONFIG_MAP, name, NAME, uid=live["metadata"]["uid"])
        self._placed.discard(name)
        self._settled.pop(name, None)
        return ""

    def _other(self, live: Mapping[str, Any]) -> str:
        """The namespace of another installation that keeps it, "" for none. One whose namespace is known to be gone keeps nothing."""
        owner: str = (live["metadata"].get("labels") or {}).get(INSTALLATION, self._own)
        is_gone = self._own in self._present and owner not in self._present
        return "" if owner == self._own or is_gone else owner

    async def _live(self, namespace: str) -> dict[str, Any] | None:
        try:
            return await self._client.get(_CONFIG_MAP, namespace, NAME)
        except NotFound:
            return None

    def _failed(self, name: str, error: ApiError) -> float | None:
        """An API server that is not reached at all, everybody says."""
        self._settled.pop(name, None)
        if error.status:
            self._say(name, f"ConfigMap {NAME} of namespace {name} cannot be kept, and new Pods there wait for it: {error}")
        return self._failing.setdefault(name, Backoff(*_RETRY)).next(error.retry_after)

    def _say(self, name: str, complaint: str) -> None:
        if complaint and self._told.get(name) != complaint:
            self._problem(complaint)
        if complaint:
            self._told[name] = complaint
        else:
            self._told.pop(name, None)


class InjectedPods:
    """Owner of which injected Pods are in each namespace; `tell` hears whether there are any."""

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._pods: dict[str, set[str]] = {}

    def put(self, pod: Object) -> None:
        """A Pod is new, or other than before."""
        if not is_meshed(pod.metadata.labels):
            self.remove(pod.key)
            return
        self._pods.setdefault(pod.namespace, set()).add(pod.name)
        self._tell(pod.namespace, True)

    def remove(self, key: Key) -> None:
        """A Pod is gone, or not injected."""
        _, namespace, name = key
        pods = self._pods.get(namespace, set())
        pods.discard(name)
        if not pods and self._pods.pop(namespace, None) is not None:
            self._tell(namespace, False)


def manifest(namespace: str, authorities: str, installation: str) -> Manifest:
    """The ConfigMap as it is applied."""
    labels = {MANAGED_BY: OURS, "app.kubernetes.io/part-of": "tidegate", INSTALLATION: installation}
    metadata = {"name": NAME, "namespace": namespace, "labels": labels}
    return {"apiVersion": _CONFIG_MAP.api_version, "kind": _CONFIG_MAP.kind, "metadata": metadata, "data": {ENTRY: authorities}}


def _is_ours(live: Mapping[str, Any]) -> bool:
    return (live["metadata"].get("labels") or {}).get(MANAGED_BY) == OURS


def _key(namespace: str) -> Key:
    return ("Namespace", "", namespace)
