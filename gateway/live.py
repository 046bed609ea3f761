"""Everything of a worker that is live: resources by kind, and what was compiled from them.

`Preparation` builds the next state beside it and puts it in place in one callback; nothing else changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate, Gateway, TrustBundle
from gateway.ir.policy import AnyPolicy
from gateway.ir.value import Identity

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.ir.workload import Workload
    from gateway.proxy.core import Core
    from gateway.proxy.guard import Guard
    from gateway.proxy.port import LiveListener, Port
    from gateway.proxy.rule import Rule
    from gateway.relay.rule import LiveStreamRule
    from gateway.routing.destinations import DestinationTable
    from gateway.upstream.backend import Backend
    from gateway.upstream.mesh import Occupants


class Live:
    """Owned by `Runtime`, changed by `Preparation.commit` alone.

    `resources` holds what the controller wants, also what could not be built; `rejections` says what could not, and why. The
    other tables hold what serves: a Certificate or Listener that was rejected is there in its previous version, if it had one.
    """

    __slots__ = (
        "backends",
        "bundles",
        "captures",
        "certificates",
        "core",
        "described",
        "gateways",
        "guards",
        "listeners",
        "policies",
        "ports",
        "rejections",
        "resources",
        "rules",
        "streams",
        "workload",
    )

    def __init__(self, core: Core, workload: str = "") -> None:
        self.core = core
        self.workload = workload
        """Key of the Workload beside which this proxy is; '' for a Gateway's."""
        self.resources: dict[Identity, AnyResource] = {}
        self.rejections: dict[Identity, str] = {}
        self.bundles: dict[str, TrustBundle] = {}
        self.certificates: dict[str, Certificate] = {}
        self.gateways: dict[str, Gateway] = {}
        self.policies: dict[Identity, AnyPolicy] = {}
        """As they hold: in the place of one that was rejected stands one that denies everything."""
        self.guards: dict[str, Guard] = {}
        """By key of the Gateway."""
        self.backends: WeakValueDictionary[str, Backend] = WeakValueDictionary()
        """All that a rule or a resource names; one that only rules name has no resource yet, or no longer, and says so in its error."""
        self.described: dict[str, Backend] = {}
        """Those that have a resource; afterwards a backend lives as long as a rule names it."""
        self.listeners: dict[str, LiveListener] = {}
        self.rules: dict[str, Rule] = {}
        self.streams: dict[Identity, LiveStreamRule] = {}
        self.ports: dict[Place, Port] = {}
        self.captures: dict[Place, DestinationTable[LiveListener]] = {}
        """Of the ports that are shared by captured listeners, which stand in `ports` no more than those."""

    @property
    def workloads(self) -> dict[str, Workload]:
        """By key. The table is the core's, since connections ask it."""
        return self.core.mesh.workloads

    @property
    def occupants(self) -> dict[str, Occupants]:
        """Workloads by address (net.addresses.address_key)."""
        return self.core.mesh.occupants
