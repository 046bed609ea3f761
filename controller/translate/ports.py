"""The ports of a Gateway that has Pods of its own: where its listeners are bound in them, and what its Services expose.

A port is bound as it is. One of our own is bound at the lowest free port from SHIFT above it: none that a listener of the Gateway or of
its ListenerSets has, whatever the transport, and none that is taken for another of our own.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate.infrastructure import ExposedPort
from controller.translate.objects import age
from controller.translate.options import HIGHEST_PORT, OWN_PORTS, SHIFT, Options
from controller.translate.parents import adopted

Moved = tuple[tuple[int, int], ...]
"""Ports of our own that listeners have, each with the port at which it is bound."""


def owners(view: View, gateway: Gateway) -> tuple[Gateway | ListenerSet, ...]:
    """What the listeners of a Gateway are written in: itself, then its ListenerSets, the oldest first."""
    sets: tuple[ListenerSet, ...] = view.select("sets of Gateway", gateway.key)
    return (gateway, *sorted((found for found in sets if adopted(view, found.key)), key=age))


def _listeners(view: View, gateway: Gateway) -> Iterator[Listener]:
    for owner in owners(view, gateway):
        yield from owner.spec.listeners


def translate_moved_ports(key: Key, view: View) -> Moved:
    """Unit "moved ports": of a Gateway that has listeners on ports of our own. A port for which no other is free is left out."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return ()
    taken = {listener.port for listener in _listeners(view, gateway)}
    moved: list[tuple[int, int]] = []
    for port in sorted(taken.intersection(OWN_PORTS)):
        place = next((free for free in range(port + SHIFT, HIGHEST_PORT + 1) if free not in taken), None)
        if place is not None:
            taken.add(place)
            moved.append((port, place))
    return tuple(moved)


def bind_port(options: Options, view: View, gateway: Key, port: int) -> int:
    """The port at which a Gateway's listener on `port` is bound. Above 65535 where there is none."""
    if not options.cluster or port not in OWN_PORTS:
        return options.bind_port(port)
    moved: Moved = view.result("moved ports", gateway)
    return dict(moved).get(port, HIGHEST_PORT + 1)


def exposed_ports(options: Options, view: View, gateway: Gateway) -> tuple[ExposedPort, ...]:
    """The ports of a Gateway's Services: those of all its listeners, also of such as are refused, so that a mistake in one listener
    takes no address away. Where nothing is bound, a connection is refused."""
    found = {(listener.port, "UDP" if listener.protocol == "UDP" else "TCP") for listener in _listeners(view, gateway)}
    places = ((port, protocol, bind_port(options, view, gateway.key, port)) for port, protocol in sorted(found))
    return tuple(
        ExposedPort(port, place, "UDP" if protocol == "UDP" else "TCP", f"p{port}-{protocol.lower()}")
        for port, protocol, place in places
        if place <= HIGHEST_PORT
    )
