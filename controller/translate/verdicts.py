"""What is found out about a route of any kind, and about one rule of it: its resource, what is wrong with it, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.references import BackendObjectReference
from controller.api.references import BackendRef as BackendReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.destinations import USES, Destination, Use, backend_key, resolve
from controller.translate.statuses import Emission
from gateway.ir.filters import AnyFilter
from gateway.ir.rule import AnyRule, BackendRef, Binding

ServiceOfGateway = tuple[Key, tuple[str, str]]
"""A Gateway, and namespace and name of a Service that a route attached to it refers to."""


@dataclass(frozen=True, slots=True)
class RouteEmission(Emission):
    """Besides rules and status where the route is attached, and what else the tallies count: destinations, Gateways with Services."""

    attached: tuple[Binding, ...] = ()
    destinations: tuple[Destination, ...] = ()
    services: tuple[ServiceOfGateway, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """A rule and what is wrong with it as a whole and with its references."""

    rule: AnyRule
    dropped: Problem | None = None
    """Why the rule is not served."""
    closed: Problem | None = None
    """Why the rule is served with 500 only."""
    unresolved: tuple[Problem, ...] = ()
    destinations: tuple[tuple[Destination, bool], ...] = ()
    """The valid ones, each with whether it is an ExternalName."""
    services: tuple[tuple[str, str], ...] = ()
    """Namespace and name of all Services that the rule may refer to, whether they are there or not."""

    @property
    def invalid(self) -> Problem | None:
        """Why the rule does not do what it says."""
        return self.dropped or self.closed


class References:
    """Resolves the references of one rule and collects where they lead. `in_mesh`: the route is attached to Services alone."""

    __slots__ = ("_affine", "_destinations", "_in_mesh", "_route", "_services", "_view")

    def __init__(self, view: View, route: Key, in_mesh: bool) -> None:
        self._view = view
        self._route = route
        self._in_mesh = in_mesh
        self._destinations: dict[Destination, bool] = {}
        self._services: dict[tuple[str, str], None] = {}
        self._affine: set[str] = set()

    def resolve(self, reference: BackendObjectReference, use: Use | None = None) -> str | Problem:
        """The key of the Backend, or why there is none. `use` is that of the route unless it is given."""
        use = use or USES[self._route[0]]
        found = resolve(self._view, self._route, reference, "MESH" if self._in_mesh and use == "HTTP" else use, self._in_mesh)
        if isinstance(found, Problem) and found.reason in ("InvalidKind", "RefNotPermitted"):
            return found
        self._services[reference.namespace or self._route[1], reference.name] = None
        if isinstance(found, Problem):
            return found
        destination, judgement = found
        self._destinations[destination] = judgement.external
        key = backend_key(destination)
        if judgement.has_affinity:
            self._affine.add(key)
        return key

    def share(self, reference: BackendReference, place: int, unresolved: list[Problem], filters: tuple[AnyFilter, ...] = ()) -> BackendRef:
        """What a backend gets of the rule's traffic. One that is invalid keeps its weight, and why is added to what is unresolved."""
        backend = self.resolve(reference)
        if isinstance(backend, Problem):
            unresolved.append(backend.at(f"backendRefs[{place}]"))
            return BackendRef(weight=reference.weight, error=str(backend))
        return BackendRef(backend, reference.weight, filters)

    def has_affinity(self, backend: str) -> bool:
        """Whether a Backend that was found belongs to a Service with a sessionAffinity."""
        return backend in self._affine

    @property
    def destinations(self) -> tuple[tuple[Destination, bool], ...]:
        """Where references lead, each with whether it is an ExternalName."""
        return tuple(self._destinations.items())

    @property
    def services(self) -> tuple[tuple[str, str], ...]:
        """The Services that are referred to, those that are not there included."""
        return tuple(self._services)
