"""HTTPRoutes and GRPCRoutes that ask for the same hosts of a listener: the older has them, the younger is refused there
(GRPCRouteSpec.hostnames, "Cross Serving" in the documentation of the API).

Whether a route is refused depends on older routes alone, since one that is itself refused stands in nobody's way. Rivals are found
by their hostnames, so that routes of other hosts are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from controller.api.grpc_route import GRPCRoute
from controller.api.http_route import HTTPRoute
from controller.api.references import GATEWAY_GROUP
from controller.api.routes import AnyRoute
from controller.graph import View
from controller.store import Entry, Key
from controller.translate.attachment import Attachment, attach
from controller.translate.conditions import Problem
from controller.translate.objects import Rank, called, rank
from controller.translate.options import Options
from controller.translate.precedence import Question, first_standing
from controller.translate.verdicts import RouteEmission
from gateway.ir.hostnames import shared
from gateway.ir.rule import AnyRule, Binding

RIVALS = {"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}
"""The kinds that cannot serve one host together."""

Word = tuple[Literal["is", "below"], str]
"""A hostname, or a suffix that hostnames end with; '' for all."""

Place = tuple[str, Key, Word]
"""Kind of a route, a parent that it names, and a word for one of its hostnames."""


def hosts_of_route(obj: Any) -> Iterator[tuple[Place, Rank]]:
    """Where a route is found by those that ask for the same hosts: the listing "hosts of route"."""
    if not isinstance(obj, HTTPRoute | GRPCRoute):
        return
    place = rank(obj)
    gateways = (parent for parent in obj.spec.parent_refs if parent.group == GATEWAY_GROUP)
    parents = {(parent.kind, parent.namespace or obj.namespace, parent.name) for parent in gateways}
    for hostname in obj.spec.hostnames or ("",):
        words: list[Word] = [("is", hostname), *(("below", suffix) for suffix in _suffixes(hostname))]
        yield from (((obj.kind, parent, word), place) for parent in parents for word in words)


def _suffixes(hostname: str) -> list[str]:
    """What stands after `*.` in the wildcards that cover a hostname, from the longest; '' comes last, for all hosts."""
    labels = hostname.removeprefix("*.").split(".") if hostname else []
    return [".".join(labels[place:]) for place in range(1, len(labels) + 1)]


def _meeting(hostname: str) -> Iterator[Word]:
    """The words for all hostnames that have hosts in common with one."""
    yield "is", hostname
    yield from (("is", f"*.{suffix}" if suffix else "") for suffix in _suffixes(hostname))
    if hostname[:1] in ("*", ""):
        yield "below", hostname.removeprefix("*.")


def translate_attachments(options: Options, key: Key, view: View) -> tuple[Attachment, ...]:
    """Unit "attachments": what becomes of each parentRef of a route, in their order."""
    route: AnyRoute | None = view.get(*key)
    if route is None:
        return ()
    found = (attach(options, view, route, reference) for reference in route.spec.parent_refs)
    return tuple(_without_rivals(view, route, each) if key[0] in RIVALS and not each.in_mesh else each for each in found)


def _without_rivals(view: View, route: AnyRoute, attachment: Attachment) -> Attachment:
    """The attachment without the bindings that an older route of the other kind has taken."""
    hostnames = attachment.bindings[0].hostnames if attachment.bindings else ()  # those of the route, at every listener
    if not any(view.select(*place) for place in _places(route, attachment, hostnames)):
        return attachment
    lost = {binding.listener: winner for binding in attachment.bindings if (winner := _winner(view, route, attachment, binding))}
    if not lost:
        return attachment
    bindings = tuple(binding for binding in attachment.bindings if binding.listener not in lost)
    attached = tuple(binding for binding in attachment.attached if binding.listener not in lost)
    if attached == attachment.attached:
        return replace(attachment, bindings=bindings)
    told = (binding.listener for binding in attachment.attached if binding.listener in lost)
    taken = " and ".join(f"on listener {listener.rpartition('/')[2]} by {called(*lost[listener])}" for listener in told)
    message = f"hosts of this route are taken {taken}, older or else first by name; give the two kinds of routes hostnames of their own"
    if attached:
        return replace(attachment, bindings=bindings, attached=attached, lost=message)
    return replace(attachment, bindings=bindings, attached=(), problem=Problem("HostnameConflict", message))


def _winner(view: View, route: AnyRoute, attachment: Attachment, binding: Binding) -> Key | None:
    """The oldest of the older routes that has hosts of the binding. What the listener says of hosts is asked for only where it matters,
    so that a change of it concerns few."""
    winner = _oldest(view, route, attachment, binding)
    if winner is None or binding.hostnames == ("",):
        return winner
    own = view.result("listener hostname", (attachment.named, binding.listener.rpartition("/")[2]))
    return _oldest(view, route, attachment, Binding(binding.listener, shared(own, binding.hostnames)))


def _oldest(view: View, route: AnyRoute, attachment: Attachment, binding: Binding) -> Key | None:
    """Where the route itself is not attached, only bound, those that are bound count as well."""
    unit = "attached" if any(attached.listener == binding.listener for attached in attachment.attached) else "bound route"
    rivals = (Question(place, unit, binding.listener) for place in _places(route, attachment, binding.hostnames))
    found = [winner for question in rivals if (winner := first_standing(view, question, route)) is not None]
    return min(found)[0].key if found else None


def _places(route: AnyRoute, attachment: Attachment, hostnames: tuple[str, ...]) -> list[Entry]:
    """Where routes of the other kind are listed that have hosts in common with these hostnames."""
    words = dict.fromkeys(word for hostname in hostnames for word in _meeting(hostname))
    return [("hosts of route", (RIVALS[route.kind], attachment.named, word)) for word in words]


def is_attached(key: tuple[Key, str], view: View) -> Literal[True] | None:
    """Unit "attached": whether a route is attached to a listener. Then it has all hosts there that one of its hostnames covers."""
    route, listener = key
    emission: RouteEmission | None = view.result("route", route)
    return True if emission is not None and any(binding.listener == listener for binding in emission.attached) else None


def is_bound(key: tuple[Key, str], view: View) -> Literal[True] | None:
    """Unit "bound route": whether rules of a route are bound to a listener, which may not take their namespace."""
    route, listener = key
    emission: RouteEmission | None = view.result("route", route)
    rules = (rule for rule in emission.resources[:1] if isinstance(rule, AnyRule)) if emission is not None else ()
    return True if any(binding.listener == listener for rule in rules for binding in rule.bindings) else None
