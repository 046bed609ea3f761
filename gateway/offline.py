"""The data plane's tables without its sockets: resources are compiled as a worker does it, and nothing is bound or served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

from gateway.descriptors import Place, place_of
from gateway.explain import explain
from gateway.guarding import selections
from gateway.ir.batch import AnyResource, Batch, Rejection
from gateway.live import Live
from gateway.preparation import Preparation
from gateway.proxy.capture_port import destinations_of
from gateway.proxy.core import Core
from gateway.proxy.port import LiveListener, Port, kind_of
from gateway.proxy.rule import Account
from gateway.routing.destinations import DestinationTable
from gateway.telemetry.counters import NO_LABELS


class Offline:
    """A proxy that has just these resources. `admin` is where its admin server would be, `workload` the key of the Workload that it is
    beside, '' for a Gateway's. Ends with the `with` block."""

    def __init__(self, resources: Iterable[AnyResource], admin: tuple[str, int] | None = None, workload: str = "") -> None:
        self._loop = asyncio.new_event_loop()
        self._core = Core(self._loop)
        live = Live(self._core, workload)
        preparation = Preparation(live, Batch(revision=1, set=tuple(resources), snapshot=True))
        for _ in preparation.steps():
            pass
        preparation.commit()
        self.rejections = tuple(Rejection(kind, key, reason) for (kind, key), reason in sorted(live.rejections.items()))
        """The resources that a proxy could not build."""
        self._ports, self._captures = self._share_ports(live), self._share_captures(live)
        self._selections = partial(selections, live)
        self._core.forbid([*self._ports, *self._captures], admin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()

    def explain(self, argument: Any) -> dict[str, Any]:
        """As gateway.explain.explain. Raises ValueError for a bad argument."""
        return explain(self._core, self._ports, argument, self._captures, self._selections)

    def _share_ports(self, live: Live) -> dict[Place, Port]:
        account = Account(self._core.counters_for(NO_LABELS), NO_LABELS)
        ports: dict[Place, Port] = {}
        sharing: dict[Place, dict[bytes, Any]] = {}
        for listener in live.listeners.values():
            resource = listener.resource
            place, kind = place_of(resource), kind_of(resource)
            if kind == "captured":
                continue
            ports.setdefault(place, Port(place.address, place.port, kind, account))
            sharing.setdefault(place, {})[resource.hostname.encode("ascii")] = listener
        for place, listeners in sharing.items():
            ports[place].listen(listeners)
        return ports

    def _share_captures(self, live: Live) -> dict[Place, DestinationTable[LiveListener]]:
        sharing: dict[Place, list[LiveListener]] = {}
        for listener in live.listeners.values():
            if kind_of(listener.resource) == "captured":
                sharing.setdefault(place_of(listener.resource), []).append(listener)
        return {place: destinations_of(listeners) for place, listeners in sharing.items()}
