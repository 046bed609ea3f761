"""One object of a Gateway at the API server: applied if it is ours or nobody's, deleted if it is ours, left alone otherwise.

Between looking at an object and applying it somebody else may make one of that name; the moment is as short as one request, and
an object that was there when we looked cannot be exchanged for another (metadata.uid).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from controller.api.metadata import Key
from controller.deploy.objects import MANAGED_BY, OURS, Manifest, ObjectKey, holds, key_of, owner_of
from controller.sources.kube.errors import NotFound
from controller.sources.kube.resources import RESOURCES, Resource

FIELD_MANAGER = "tidegate"
"""By which the API server knows our fields (server-side apply)."""


class Client(Protocol):
    """What is asked of the API server. Failures are `controller.sources.kube.errors.ApiError`."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """The object, with its managedFields."""

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "") -> tuple[Sequence[dict[str, Any]], str]:
        """All objects with these labels ("key=value"), and the resourceVersion of the list."""

    async def apply(self, resource: Resource, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply as `FIELD_MANAGER`, by force."""

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "", propagation: str = "Background") -> None:
        """Deletes the object with this uid; one that is not there is no error."""


class NotOurs(Exception):
    """Somebody else has an object of that kind and name."""


class Leaving(Exception):
    """The object is being deleted, and its name not free yet."""


async def place(client: Client, gateway: Key, wanted: Manifest, *, only_if_changed: bool = False) -> None:
    """Applies a manifest; with `only_if_changed` not if the object still has every field of it.

    Raises ApiError, NotOurs, Leaving.
    """
    key = key_of(wanted)
    live = await _live(client, key)
    if live is None:
        await client.apply(RESOURCES[key.kind], key.namespace, key.name, wanted)
        return
    if owner_of(live) != gateway[2]:
        raise NotOurs(
            f"{key} is there already and was not made for this Gateway (by {MANAGED_BY}: {OURS} and its ownerReferences): "
            "rename or delete it, or rename the Gateway"
        )
    if "deletionTimestamp" in live["metadata"]:
        raise Leaving(f"{key} is being deleted")
    if only_if_changed and holds(live, wanted):
        return
    body = {**wanted, "metadata": {**wanted["metadata"], "uid": live["metadata"]["uid"]}}
    await client.apply(RESOURCES[key.kind], key.namespace, key.name, _with_replicas_that_stay(body, live))


async def remove(client: Client, gateway: Key, key: ObjectKey) -> None:
    """Deletes an object if it was made for the Gateway; one that is not there, or not ours, is left at that. Raises ApiError."""
    live = await _live(client, key)
    if live is not None and owner_of(live) == gateway[2]:
        await client.delete(RESOURCES[key.kind], key.namespace, key.name, uid=live["metadata"]["uid"])


async def _live(client: Client, key: ObjectKey) -> dict[str, Any] | None:
    try:
        return await client.get(RESOURCES[key.kind], key.namespace, key.name)
    except NotFound:
        return None


def _with_replicas_that_stay(body: Manifest, live: dict[str, Any]) -> Manifest:
    """The manifest of a Deployment that others are to scale from now on, with the replicas it has.

    A field that only we stated would be taken away when we no longer state it, and the default put in its place: one Pod, until
    an autoscaler has looked. Once somebody has scaled it the field is theirs, and is not stated again.
    """
    if body["kind"] != "Deployment" or "replicas" in body["spec"] or not _states_replicas(live):
        return body
    return {**body, "spec": {**body["spec"], "replicas": live["spec"]["replicas"]}}


def _states_replicas(live: dict[str, Any]) -> bool:
    return any(
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == "Apply"
        and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in live["metadata"].get("managedFields", ())
    )
