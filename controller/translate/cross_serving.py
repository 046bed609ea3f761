"""HTTPRoutes and GRPCRoutes that ask for the same hosts of a listener: the older has them, the younger is refused there
(GRPCRouteSpec.hostnames, "Cross Serving" in the documentation of the API).

Whether a route is refused depends on older routes alone, since one that is itself refused stands in nobody's way. Rivals are found
by their hostnames, so that routes of other hosts are not looked at; where a parent has routes of one kind only, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from controller.api.grpc_route import GRPCRoute
from controller.api.http_route import HTTPRoute
from controller.api.routes import AnyRoute
from controller.graph import View
from controller.store import Key
from controller.translate.attachment import Attachment
from controller.translate.conditions import Problem
from controller.translate.listeners import overlaps
from controller.translate.objects import Age, age, called
from controller.translate.verdicts import RouteEmission
from gateway.ir.rule import Binding

RIVALS = {"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}
"""The kinds that cannot serve one host together."""

Place = tuple[str, Key, str | None, str, str]
"""Kind of a route; the parent and the section that it names; "is" and a hostname, or "below" and a suffix that its hostname ends with."""


def parents_of_route(route: HTTPRoute | GRPCRoute) -> frozenset[tuple[str, Key]]:
    """The kind of a route with each parent that it names: the index "routes of parent"."""
    return frozenset((route.kind, parent) for parent, _ in _named(route))


def places_of_route(route: HTTPRoute | GRPCRoute) -> frozenset[Place]:
    """Where a route is found by those that ask for the same hosts: the index "hosts of route"."""
    hostnames = route.spec.hostnames or ("",)
    words = [word for hostname in hostnames for word in (("is", hostname), *(("below", suffix) for suffix in _suffixes(hostname)))]
    return frozenset((route.kind, parent, section, *word) for parent, section in _named(route) for word in words)


def _named(route: HTTPRoute | GRPCRoute) -> Iterator[tuple[Key, str | None]]:
    for parent in route.spec.parent_refs:
        yield (parent.kind, parent.namespace or route.namespace, parent.name), parent.section_name


def _suffixes(hostname: str) -> list[str]:
    """What stands after `*.` in the wildcards that cover a hostname, from the longest; '' comes last, for all hosts."""
    labels = hostname.removeprefix("*.").split(".") if hostname else []
    return [".".join(labels[place:]) for place in range(1, len(labels) + 1)]


def has_routes(key: tuple[str, Key], view: View) -> bool:
    """Unit "has routes": whether a route of the kind names the parent."""
    return bool(view.select("routes of parent", key))


def without_rivals(view: View, route: AnyRoute, attachments: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """The attachments without the bindings that an older route of the other kind has taken."""
    rival = RIVALS.get(route.kind)
    if rival is None:
        return tuple(attachments)
    return tuple(
        _without_rivals(view, route, rival, attachment)
        if attachment.bindings and view.result("has routes", (rival, attachment.named))
        else attachment
        for attachment in attachments
    )


def _without_rivals(view: View, route: AnyRoute, rival: str, attachment: Attachment) -> Attachment:
    lost = {binding.listener: winner for binding in attachment.bindings if (winner := _winner(view, route, rival, attachment, binding))}
    if not lost:
        return attachment
    kept = tuple(binding for binding in attachment.bindings if binding.listener not in lost)
    taken = " and ".join(f"on listener {listener.rpartition('/')[2]} by {called(*winner)}" for listener, winner in lost.items())
    message = f"hosts of this route are taken {taken}, older or else first by name; give the two kinds of routes hostnames of their own"
    if kept:
        return replace(attachment, bindings=kept, lost=message)
    return replace(attachment, bindings=(), problem=Problem("HostnameConflict", message))


def _winner(view: View, route: AnyRoute, rival: str, attachment: Attachment, binding: Binding) -> Key | None:
    """The oldest of the older routes that has hosts of the binding."""
    for found in sorted(_candidates(view, rival, attachment.named, binding), key=age):
        if not _precedes(found, route):
            return None
        emission: RouteEmission | None = view.result("route", found.key)
        if emission is not None and any(_meet(binding, other) for other in emission.bindings):
            return found.key
    return None


def _candidates(view: View, rival: str, parent: Key, binding: Binding) -> Iterable[AnyRoute]:
    """All routes whose hostnames, as they are written, overlap with the binding's."""
    words: dict[tuple[str, str], None] = {("is", ""): None}
    for hostname in binding.hostnames:
        words["is", hostname] = None
        words.update((("is", f"*.{suffix}"), None) for suffix in _suffixes(hostname) if suffix)
        if hostname[:1] in ("*", ""):
            words["below", hostname.removeprefix("*.")] = None
    sections = (None, binding.listener.rpartition("/")[2])
    selected = (view.select("hosts of route", (rival, parent, section, *word)) for section in sections for word in words)
    return {found.key: found for routes in selected for found in routes}.values()


def _precedes(one: AnyRoute, other: AnyRoute) -> bool:
    """By age, then by name, and where even that is the same by kind."""
    first: tuple[Age, str] = (age(one), one.kind)
    return first < (age(other), other.kind)


def _meet(one: Binding, other: Binding) -> bool:
    return one.listener == other.listener and any(overlaps(here, there) for here in one.hostnames for there in other.hostnames)
