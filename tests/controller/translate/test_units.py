"""What a change costs: how many units run for it, whatever the number of routes (design.md section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from controller.api.metadata import Object
from controller.graph import Graph, Unit, View
from controller.store import Store
from controller.translate.options import Options
from controller.translate.units import indexes, tallies, units
from tests.controller.translate.golden import parse, read

MANY = 200


class Runs:
    """A graph that counts how often each unit runs."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._runs: Counter[str] = Counter()
        options = Options()
        self._graph = Graph(Store(indexes(options)), [self._counting(unit) for unit in units(options)], tallies())
        self._graph.apply(objects)

    def _counting(self, unit: Unit) -> Unit:
        def run(key: Any, view: View) -> Any:
            self._runs[unit.name] += 1
            return unit.run(key, view)

        return replace(unit, run=run)

    def of(self, *puts: Object) -> dict[str, int]:
        """The runs of each unit for one change."""
        self._runs.clear()
        self._graph.apply(puts)
        return dict(self._runs)


def gateway(port: int = 80) -> Object:
    listeners = [{"name": "http", "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}]
    return parse({"kind": "Gateway", "metadata": {"name": "web"}, "spec": {"gatewayClassName": "tidegate", "listeners": listeners}})


def route(number: int, service: str = "shop") -> Object:
    rules = [{"backendRefs": [{"name": service, "port": 80}]}]
    return parse({"kind": "HTTPRoute", "metadata": {"name": f"route-{number}"}, "spec": {"parentRefs": [{"name": "web"}], "rules": rules}})


def service(target: int = 8080, protocol: str | None = "http") -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": target, "appProtocol": protocol}]
    return parse({"kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": ports}})


def endpoints(address: str) -> Object:
    document = f"""
    {{kind: EndpointSlice, metadata: {{name: shop-1, labels: {{kubernetes.io/service-name: shop}}}}, addressType: IPv4,
      ports: [{{name: http, port: 8080}}], endpoints: [{{addresses: [{address}]}}]}}
    """
    (found,) = read(document)[1]
    return found


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs([gateway(), service(), endpoints("10.0.0.1"), *(route(number) for number in range(MANY))])


def test_a_changed_slice_runs_one_unit(runs: Runs) -> None:
    """An EndpointSlice concerns the endpoints of its Service and none of the routes that refer to it."""
    assert runs.of(endpoints("10.0.0.2")) == {"endpoints": 1}


def test_an_added_route_runs_a_handful_of_units(runs: Runs) -> None:
    """A new route is itself, a count on its Gateway, and a reference to its Service."""
    assert runs.of(route(MANY)) == {"route": 1, "gateway status": 1, "backends": 1, "endpoints": 1}


def test_a_changed_route_runs_one_unit(runs: Runs) -> None:
    """A route that changes neither its listeners nor its backends is itself only."""
    changed = parse({"kind": "HTTPRoute", "metadata": {"name": "route-0"}, "spec": {
        "parentRefs": [{"name": "web"}], "rules": [{"matches": [{"method": "GET"}], "backendRefs": [{"name": "shop", "port": 80}]}],
    }})  # fmt: skip
    assert runs.of(changed) == {"route": 1}


def test_a_service_that_stays_what_routes_know_of_it_runs_no_route(runs: Runs) -> None:
    """A Service whose port changes its target concerns no route."""
    assert runs.of(service(target=9090)) == {"destination": 1, "application protocol": 1, "backends": 1, "endpoints": 1}


def test_a_service_that_becomes_unusable_runs_the_routes_that_refer_to_it(runs: Runs) -> None:
    """Each route that refers to a Service has to say that its protocol is not supported."""
    found = Runs([gateway(), service(), *(route(number) for number in range(3)), route(3, "other")])
    ran = found.of(service(protocol="kubernetes.io/wss"))
    assert ran == {"destination": 1, "application protocol": 1, "route": 3, "backends": 1, "endpoints": 1}


def test_a_slice_that_says_no_other_protocol_runs_no_route() -> None:
    """What slices of a Service without appProtocol say is looked at, and concerns routes only where it is another protocol."""
    found = Runs([gateway(), service(protocol=None), endpoints("10.0.0.1"), route(0)])
    assert found.of(endpoints("10.0.0.2")) == {"application protocol": 1, "endpoints": 1}


def test_a_namespace_whose_labels_do_not_matter_runs_no_route(runs: Runs) -> None:
    """A Namespace concerns only listeners that select by labels."""
    assert runs.of(parse({"kind": "Namespace", "metadata": {"name": "default", "labels": {"tier": "edge"}}})) == {}
