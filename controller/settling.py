"""The statuses of a cluster on their way to the writer, joined with what the proxies of their Gateways have in place.

A status whose resources went out just now waits a moment for the proxies: a change is written once, not as Pending first or without what
a proxy refuses of it (design.md section 4), and the API server is left in peace while the change is on its way. What is Programmed stays
so while proxies come and go: only a new generation has to be acknowledged anew.
Pure: the time is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Final, Protocol

from msgspec.structs import replace

from controller.status import Live, programmed_apart
from controller.store import Key
from controller.translate.conditions import Problem, met
from controller.translate.statuses import GatewayStatus, ListenerSetStatus, Status
from gateway.ir.value import Identity
from gateway.ir.workload import mesh_namespace

PATIENCE: Final = 0.1
"""Seconds that a status waits for the proxies."""

_RULES: Final = ("HttpRule", "TlsRule", "TcpRule", "UdpRule")

_NOWHERE: Final[Mapping[str, int]] = MappingProxyType({})

Rejections = Mapping[Identity, tuple[str, ...]]


class Scope(Protocol):
    """The configuration of one Gateway's proxies (controller.publish.Publisher)."""

    @property
    def revision(self) -> int:
        """The last that was published."""

    @property
    def applied(self) -> int:
        """The last that all proxies have in place; 0 without any."""

    def rejections(self) -> Rejections:
        """What proxies could not build, and why."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """`revisions` that are to be in place, by scope."""

    revisions: Mapping[str, int]
    until: float


class Settling:
    """Owner of the final statuses. `scope` finds the configuration of a Gateway by namespace/name, None where it is not served;
    `programmed` the generation at which the server holds an object as Programmed, 0 for none: what others wrote stays so."""

    __slots__ = (
        "_final",
        "_gone",
        "_judged",
        "_members",
        "_programmed",
        "_refused",
        "_rejections",
        "_scope",
        "_suspects",
        "_undeployed",
        "_waiting",
        "_waiting_for",
    )

    def __init__(self, scope: Callable[[str], Scope | None], programmed: Callable[[Key], int] = lambda key: 0) -> None:
        self._scope = scope
        self._programmed = programmed
        self._judged: dict[Key, Status] = {}
        self._refused: dict[Key, Status] = {}
        self._final: dict[Key, Status] = {}
        self._waiting: dict[Key, _Wait] = {}
        self._waiting_for: dict[str, set[Key]] = {}
        self._suspects: dict[Key, None] = {}
        self._gone: dict[Key, None] = {}
        self._members: dict[str, set[Key]] = {}
        self._rejections: dict[str, Rejections] = {}
        self._undeployed: dict[str, str] = {}

    def note(self, statuses: Iterable[Status], gone: Iterable[Key], now: float, published: Mapping[str, int] = _NOWHERE) -> None:
        """What translation says of a change, after its resources were published: at which revision in which scope."""
        for key in gone:
            self._drop(key)
            self._final.pop(key, None)
            self._gone[key] = None
        for status in statuses:
            self._drop(status.object)
            self._gone.pop(status.object, None)
            self._judged[status.object] = status
            name = _gateway_of(status)
            if name is not None:
                self._members.setdefault(name, set()).add(status.object)
                scope = self._scope(name)
                behind = {name: scope.revision} if scope is not None and scope.applied < scope.revision else {}
            else:
                behind = {name: revision for name, revision in published.items() if self._is_waited_for(name, revision)}
            if behind:
                self._wait(status.object, _Wait(behind, now + PATIENCE))
            else:
                self._suspects[status.object] = None

    def refuse(self, statuses: Iterable[Status], readable: Iterable[Key]) -> None:
        """What is said of objects that cannot be read, instead of what translation says of their last readable version; and those that
        can be read again, or are gone."""
        for key in readable:
            if self._refused.pop(key, None) is not None:
                self._final.pop(key, None)
                if key in self._judged:
                    self._suspects[key] = None
        for status in statuses:
            self._refused[status.object] = status
            self._suspects[status.object] = None

    def moved(self, gateway: str) -> None:
        """Proxies of this Gateway came, went, acknowledged or refused something."""
        scope = self._scope(gateway)
        before, after = self._rejections.pop(gateway, {}), scope.rejections() if scope is not None else {}
        if after:
            self._rejections[gateway] = after
        members = self._members.get(gateway, ())
        if before != after:
            differ = (identity for identity in before.keys() | after.keys() if before.get(identity) != after.get(identity))
            routes = (_route_of(identity) for identity in differ if identity[0] in _RULES)
            self._suspects |= dict.fromkeys(key for key in chain(members, routes) if key in self._judged)
        for key in tuple(self._waiting_for.get(gateway, ())):
            if not any(self._lacks(name, revision) for name, revision in self._waiting[key].revisions.items()):
                self._stop_waiting(key)
                self._suspects[key] = None

    def undeployed(self, gateway: str, problem: str) -> None:
        """What keeps the proxies of a Gateway from being deployed; "" once nothing does."""
        if problem:
            self._undeployed[gateway] = problem
        else:
            self._undeployed.pop(gateway, None)
        self._suspects |= dict.fromkeys(key for key in self._members.get(gateway, ()) if key in self._judged)

    def reconsider(self) -> None:
        """This replica is to write from now on: what the server says is Programmed by the word of another stays so."""
        self._waiting = {key: _Wait(wait.revisions, 0.0) for key, wait in self._waiting.items()}
        self._suspects |= dict.fromkeys(key for members in self._members.values() for key in members if key in self._judged)

    def take(self, now: float) -> tuple[tuple[Status, ...], tuple[Key, ...]]:
        """The final statuses that differ from the last time, of what need not wait any more; and objects that have none any more."""
        late = [key for key, wait in self._waiting.items() if wait.until <= now]
        for key in late:
            if _gateway_of(self._judged[key]) is None:
                self._stop_waiting(key)
            else:  # it is Pending until they have it
                self._waiting[key] = _Wait(self._waiting[key].revisions, float("inf"))
        suspects = dict.fromkeys(chain(self._suspects, late))
        self._suspects = {key: None for key in suspects if key in self._waiting and key not in late}
        changed = [status for key in suspects if key not in self._suspects and (status := self._judge(key)) is not None]
        gone, self._gone = tuple(self._gone), {}
        return tuple(changed), gone

    def next(self) -> float | None:
        """The time at which `take` may have something, though nothing was noted; None where nothing waits for a time."""
        soonest = min((wait.until for wait in self._waiting.values()), default=float("inf"))
        return None if soonest == float("inf") else soonest

    @property
    def final(self) -> Mapping[Key, Status]:
        """What was given last, by object."""
        return self._final

    def _drop(self, key: Key) -> None:
        before = self._judged.pop(key, None)
        self._stop_waiting(key)
        self._suspects.pop(key, None)
        name = None if before is None else _gateway_of(before)
        if name is not None:
            self._members[name].discard(key)
            if not self._members[name]:
                del self._members[name]

    def _wait(self, key: Key, wait: _Wait) -> None:
        self._waiting[key] = wait
        for name in wait.revisions:
            self._waiting_for.setdefault(name, set()).add(key)

    def _stop_waiting(self, key: Key) -> None:
        wait = self._waiting.pop(key, None)
        for name in () if wait is None else wait.revisions:
            self._waiting_for[name].discard(key)
            if not self._waiting_for[name]:
                del self._waiting_for[name]

    def _serves(self, name: str) -> bool:
        """Whether there are proxies that have something in place: nothing else is waited for by what does not tell of them."""
        scope = self._scope(name)
        return scope is not None and scope.applied > 0

    def _is_waited_for(self, name: str, revision: int) -> bool:
        """By what does not tell of proxies. Nobody waits for sidecars: there is one in every Pod, and always one that is just ending."""
        return mesh_namespace(name) is None and self._serves(name) and self._lacks(name, revision)

    def _lacks(self, name: str, revision: int) -> bool:
        """Whether proxies of a Gateway do not have a revision yet."""
        scope = self._scope(name)
        return scope is not None and scope.applied < revision

    def _judge(self, key: Key) -> Status | None:
        before = self._final.get(key)
        final = self._refused.get(key)
        if final is None:
            status = self._judged[key]
            final = self._deployed(programmed_apart(status, lambda gateway: self._live(gateway, status, before)))
        if final == before:
            return None
        self._final[key] = final
        return final

    def _deployed(self, status: Status) -> Status:
        """The status with what keeps its Gateway's proxies from being deployed."""
        problem = self._undeployed.get(_gateway_of(status) or "")
        if problem is None or not isinstance(status, GatewayStatus) or ("Accepted", "True") not in _conditions(status):
            return status
        condition = met("Programmed", status.generation, Problem("NoResources", problem))
        return replace(status, conditions=tuple(condition if old.type == "Programmed" else old for old in status.conditions))

    def _live(self, gateway: str, status: Status, before: Status | None) -> Live:
        rejected = self._rejections.get(gateway, {})
        scope = self._scope(gateway)
        if scope is None:
            return Live(rejected=rejected)
        wait = self._waiting.get(status.object)
        stays = self._last_programmed(status.object, before) == status.generation
        return Live(1 if wait is None else wait.revisions.get(gateway, 1), scope.revision if stays else scope.applied, rejected=rejected)

    def _last_programmed(self, key: Key, before: Status | None) -> int:
        return before.generation if before is not None and _is_programmed(before) else self._programmed(key)


def _gateway_of(status: Status) -> str | None:
    """Namespace/name of the Gateway whose proxies a status waits for."""
    match status:
        case GatewayStatus():
            return "/".join(status.object[1:])
        case ListenerSetStatus():
            return status.gateway or None
    return None


def _route_of(rule: Identity) -> Key:
    """The route of a rule, by its key: kind/namespace/route/index."""
    kind, namespace, name, _ = rule[1].split("/")
    return kind, namespace, name


def _conditions(status: GatewayStatus | ListenerSetStatus) -> Iterator[tuple[str, str]]:
    return ((condition.type, condition.status) for condition in status.conditions)


def _is_programmed(status: Status) -> bool:
    return isinstance(status, GatewayStatus | ListenerSetStatus) and ("Programmed", "True") in _conditions(status)
