"""The workloads of the mesh as this worker knows them, and how an address is reached: with mutual TLS where a proxy of the mesh is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from gateway.ir.workload import MutualTls, Workload
from gateway.net.addresses import address_key

if TYPE_CHECKING:
    from gateway.net.mesh_tls import MeshTlsSettings, OwnIdentity

Occupants: TypeAlias = tuple[Workload, ...]
"""Workloads at one address, the one that came last at the end: nearly always one. A Pod may have the address of one that is gone before it
is known to be gone, and Pods of a node's own network share it."""


class Mesh:
    """Owned by the worker's Core, changed by a Preparation's commit alone (gateway.meshing).

    workloads  by key
    occupants  by address, as `net.addresses.address_key` has it
    own        what this proxy proves to be; None before it has an identity
    """

    __slots__ = ("occupants", "own", "workloads")

    def __init__(self) -> None:
        self.workloads: dict[str, Workload] = {}
        self.occupants: dict[str, Occupants] = {}
        self.own: OwnIdentity | None = None

    def workload_at(self, address: str) -> Workload | None:
        """Who is at an address; of several one with an identity, since the others share its node's network or are gone."""
        occupants = self.occupants.get(address_key(address))
        return None if occupants is None else reached(occupants) or occupants[-1]

    def settings(self, address: str, port: int, identities: tuple[str, ...] = ()) -> MeshTlsSettings | None:
        """How connections to an endpoint of a Backend without TLS of its own are made; None for plain ones. The identities are the
        Backend's."""
        return settings_towards(self.own, self.occupants.get, (address, port), identities)


def settings_towards(
    own: OwnIdentity | None, occupants: Callable[[str], Occupants | None], place: tuple[str, int], identities: tuple[str, ...] = ()
) -> MeshTlsSettings | None:
    """Mutual TLS exactly with a workload that has an identity and takes it at that port, if we have one ourselves. One whose identity is
    none of those that count is asked for one that does, which it cannot prove."""
    address, port = place
    if own is None:
        return None
    workload = reached(occupants(address_key(address)) or ())
    if workload is None or demand_at(workload, port) == "Disable":
        return None
    expected = workload.spiffe_id
    return own.towards(expected if not identities or expected in identities else identities[0])


def reached(occupants: Occupants) -> Workload | None:
    """Of several the last with an identity: to take it for one without would mean to speak in plain."""
    return next((workload for workload in reversed(occupants) if workload.spiffe_id), None)


def demand_at(workload: Workload, port: int) -> MutualTls:
    """What its proxy demands of callers at a port."""
    for each in workload.ports:
        if each.number == port and each.mutual_tls is not None:
            return each.mutual_tls
    return workload.mutual_tls
