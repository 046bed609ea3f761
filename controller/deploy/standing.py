"""What of ours is in the cluster, and whether the Gateways that it was made for are still ours.

A Gateway that is not accepted, or that we cannot read, keeps what it has: a mistake shall not cost it its address and every
connection. What was made for a Gateway is deleted when the Gateway is another controller's; with the Gateway itself the garbage
collector of the cluster deletes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum, auto

from controller.api.metadata import Key
from controller.deploy.objects import DEPLOYED, MANAGED_BY, OURS, ObjectKey, owner_of
from controller.deploy.placing import Client
from controller.sources.kube.errors import NotFound
from controller.sources.kube.resources import RESOURCES


class Standing(Enum):
    """Of a Gateway for which nothing is to be deployed now."""

    GONE = auto()
    FOREIGN = auto()
    """Its class is another controller's."""
    OURS = auto()
    """Or nobody's: a class that is not there may be made anew."""


async def standing_of(client: Client, gateway: Key, controller_name: str) -> Standing:
    """Where a Gateway stands at this moment. Raises ApiError."""
    _, namespace, name = gateway
    try:
        live = await client.get(RESOURCES["Gateway"], namespace, name)
    except NotFound:
        return Standing.GONE
    try:
        its_class = await client.get(RESOURCES["GatewayClass"], "", live["spec"]["gatewayClassName"])
    except NotFound:
        return Standing.OURS
    return Standing.OURS if its_class["spec"]["controllerName"] == controller_name else Standing.FOREIGN


async def deployed(client: Client, namespaces: tuple[str, ...]) -> AsyncIterator[tuple[Key, ObjectKey]]:
    """Every object that we made in these namespaces, () for all, with the Gateway it was made for. Raises ApiError."""
    for kind in DEPLOYED:
        for namespace in namespaces or ("",):
            objects, _ = await client.list(RESOURCES[kind], namespace, labels=f"{MANAGED_BY}={OURS}")
            for live in objects:
                if owner := owner_of(live):
                    place = live["metadata"]["namespace"]
                    yield ("Gateway", place, owner), ObjectKey(kind, place, live["metadata"]["name"])
