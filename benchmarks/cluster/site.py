"""What all tests share: the API server, a Gateway that serves, and a backend behind it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from cluster import objects
from cluster.api import Api


@dataclass(frozen=True, slots=True)
class Site:
    """`address` is the Gateway's, `spaces` are namespaces whose routes may name the backend."""

    api: Api
    address: str


SPACES = ("routes", "edited")
"""Namespaces whose routes lead to the backend."""


async def prepare(api: Api) -> Site:
    """Returns when the Gateway is Programmed and the backend there, without routes of an earlier run. Raises CannotMeasure."""
    for space in (objects.SYSTEM, *SPACES):
        await api.apply(objects.namespace(space))
        await api.delete_all("HTTPRoute", space)
    for each in (*objects.backend(), objects.grant(SPACES), objects.gateway()):
        await api.apply(each)
    await api.when("Deployment", objects.SYSTEM, objects.BACKEND, lambda found: bool(found.get("status", {}).get("availableReplicas")))
    gateway = await api.when("Gateway", objects.SYSTEM, objects.GATEWAY, _is_programmed)
    return Site(api, gateway["status"]["addresses"][0]["value"])


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def _is_programmed(gateway: dict[str, Any]) -> bool:
    conditions = gateway.get("status", {}).get("conditions", ())
    return any(each["type"] == "Programmed" and each["status"] == "True" for each in conditions)
