"""Why a request gets the rule it gets: every match of every rule in order of precedence, each with the first thing that failed.

Hosts, paths and namespaces are judged by the table's own search and the rest by the very predicates of `RouteTable.match`, so the one
that matches here is the one that serves. Among 10,000 rules this takes a tenth of a second, so that it is done in steps.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import Final, Generic, assert_never

from gateway.http.head import RequestHead
from gateway.ir.hostnames import shared
from gateway.routing.entry import Entry, Payload
from gateway.routing.predicates import Parameters, shown
from gateway.routing.table import RouteTable

MATCHES: Final = "matches"
NOT_REACHED: Final = "not reached: an earlier one matched"

_SORTED_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Considered(Generic[Payload]):
    """A match of a rule, with the hostnames that its route and the listener have in common.

    `outcome` is 'matches' for the one that serves, otherwise the first condition that fails, in words; 'not reached ...' where none
    fails but an earlier one serves.
    """

    entry: Entry[Payload]
    hostnames: tuple[str, ...]
    outcome: str

    @property
    def matched(self) -> bool:
        return self.outcome == MATCHES


_Row = tuple[tuple[object, ...], tuple[str, ...], Entry[Payload]]
"""A match with its place in the order of precedence and the hostnames of its rule there."""


def explain(table: RouteTable[Payload], head: RequestHead) -> tuple[Considered[Payload], ...]:
    """All matches of the table. Those of hostnames that do not cover the host come last."""
    steps = explain_in_steps(table, head)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            considered: tuple[Considered[Payload], ...] = done.value
            return considered


def explain_in_steps(table: RouteTable[Payload], head: RequestHead) -> Generator[None, None, tuple[Considered[Payload], ...]]:
    """As `explain`; yields after each match, twice. Neither the table nor the head may change meanwhile."""
    covering = {hostname.decode(): level for level, hostname in enumerate(table.hostnames(head.host))}
    listener = table.hostname.decode()
    found = {id(entry) for group in table.find(head.host, head.path) for entry in group}
    parts: list[list[_Row[Payload]]] = [[]]
    for placed in table.placed():
        hostnames = shared(listener, tuple(hostname.decode() for hostname in placed.hostnames))
        for entry in placed.entries:
            parts[-1].append((_precedence(hostnames, covering, entry), hostnames, entry))
            if len(parts[-1]) == _SORTED_AT_ONCE:
                parts[-1].sort(key=itemgetter(0))
                parts.append([])
            yield
    parts[-1].sort(key=itemgetter(0))
    parameters = Parameters(head.query)
    considered: list[Considered[Payload]] = []
    served = False
    for _, hostnames, entry in merge(*parts, key=itemgetter(0)):
        if id(entry) in found:
            outcome = _first_failure(entry, head, parameters) or (NOT_REACHED if served else MATCHES)
            served = served or outcome == MATCHES
        elif table.namespaces is not None and entry.namespace not in table.namespaces:
            outcome = f"namespace {entry.namespace} is none that the listener takes routes from"
        elif covering.keys().isdisjoint(hostnames):
            outcome = f"hostname {shown(head.host)} is {_not_among(hostnames)}"
        else:
            outcome = f"path {shown(head.path)} {_path_fault(entry)}"
        considered.append(Considered(entry, hostnames, outcome))
        yield
    return tuple(considered)


def _precedence(hostnames: tuple[str, ...], covering: dict[str, int], entry: Entry[Payload]) -> tuple[object, ...]:
    """By the most specific of the rule's hostnames that covers the host; where none does, by the most specific of all."""
    level = min((covering.get(hostname, len(covering)) for hostname in hostnames), default=len(covering))
    hostname = min(((hostname[:1] == "*" or not hostname, -len(hostname)) for hostname in hostnames), default=(True, 0))
    return (level, hostname if level == len(covering) else (), entry.rank, entry.order)


def _first_failure(entry: Entry[Payload], head: RequestHead, parameters: Parameters) -> str | None:
    for predicate in entry.predicates:
        if not predicate.holds(head, parameters):
            return predicate.failure(head, parameters)
    return None


def _not_among(hostnames: tuple[str, ...]) -> str:
    if not hostnames:
        return "none that its route and the listener share"
    words = ", ".join(shown(hostname.encode()) for hostname in hostnames)
    return f"not {words}" if len(hostnames) == 1 else f"none of {words}"


def _path_fault(entry: Entry[Payload]) -> str:
    path = shown(entry.path)
    match entry.kind:
        case "Exact":
            return f"is not {path}"
        case "PathPrefix":
            return f"is not under {path}"
        case "RegularExpression":
            return f"does not match '{path}'"
        case _:
            assert_never(entry.kind)
