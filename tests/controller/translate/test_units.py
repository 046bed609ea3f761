"""What a change costs: how many units run for it, whatever the number of routes (design.md section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from controller.api.metadata import Object
from controller.graph import Graph, Unit, View
from controller.store import Store
from controller.translate.options import IN_CLUSTER, Options
from controller.translate.units import indexes, listings, tallies, units
from tests.controller.translate.golden import parse, read

MANY = 200
STANDALONE = Options()


class Runs:
    """A graph that counts how often each unit runs."""

    def __init__(self, objects: Iterable[Object], options: Options = STANDALONE) -> None:
        self._runs: Counter[str] = Counter()
        self.most_reads: Counter[str] = Counter()
        """Of each unit how much the run that read most did."""
        self._graph = Graph(Store(indexes(options), listings(options)), [self._counting(unit) for unit in units(options)], tallies(options))
        self._graph.apply(objects)

    def _counting(self, unit: Unit) -> Unit:
        def run(key: Any, view: View) -> Any:
            self._runs[unit.name] += 1
            value = unit.run(key, view)
            self.most_reads[unit.name] = max(self.most_reads[unit.name], len(view.reads))
            return value

        return replace(unit, run=run)

    def of(self, *puts: Object) -> dict[str, int]:
        """The runs of each unit for one change."""
        self._runs.clear()
        self._graph.apply(puts)
        return dict(self._runs)


def gateway(port: int = 80) -> Object:
    listeners = [{"name": "http", "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}]
    spec = {"gatewayClassName": "tidegate", "listeners": listeners, "allowedListeners": {"namespaces": {"from": "Same"}}}
    return parse({"kind": "Gateway", "metadata": {"name": "web"}, "spec": spec})


def listener_set(number: int, hostname: str = "") -> Object:
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname or f"a{number}.test"}]
    spec = {"parentRef": {"name": "web"}, "listeners": listeners}
    return parse({"kind": "ListenerSet", "metadata": {"name": f"set-{number}"}, "spec": spec})


def route(number: int, service: str = "shop", parent: dict[str, str] | None = None) -> Object:
    rules = [{"backendRefs": [{"name": service, "port": 80}]}]
    spec = {"parentRefs": [parent or {"name": "web"}], "rules": rules}
    return parse({"kind": "HTTPRoute", "metadata": {"name": f"route-{number}"}, "spec": spec})


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
    """A new route is itself and a count on its Gateway: its Service, which others refer to as well, stays what it is."""
    assert runs.of(route(MANY)) == {"attachments": 1, "route": 1, "gateway status": 1}


def test_a_changed_route_runs_one_unit(runs: Runs) -> None:
    """A route that changes neither its listeners nor its backends is itself only."""
    changed = parse({"kind": "HTTPRoute", "metadata": {"name": "route-0"}, "spec": {
        "parentRefs": [{"name": "web"}], "rules": [{"matches": [{"method": "GET"}], "backendRefs": [{"name": "shop", "port": 80}]}],
    }})  # fmt: skip
    assert runs.of(changed) == {"attachments": 1, "route": 1}


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


def hosting(hostname: str, label: str = "") -> Object:
    """The Gateway, with a hostname and, where a label is given, for the routes of namespaces that have it alone."""
    chosen = {"from": "Selector", "selector": {"matchLabels": {"edge": label}}} if label else {"from": "All"}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname or None, "allowedRoutes": {"namespaces": chosen}}
    return parse({"kind": "Gateway", "metadata": {"name": "web"}, "spec": {"gatewayClassName": "tidegate", "listeners": [listener]}})


def namespace(name: str, label: str) -> Object:
    return parse({"kind": "Namespace", "metadata": {"name": name, "labels": {"edge": label}}})


def test_a_listener_that_changes_its_hostname_runs_no_route() -> None:
    """Routes without hostnames do not ask for it; those with hostnames only whether they meet it, all of the same ones together."""
    routes = [*(route(number) for number in range(MANY)), *(http_route(f"h{number}", "a.test") for number in range(MANY))]
    found = Runs([hosting("*.test"), service(), *routes])
    ran = found.of(hosting("a.test"))
    assert (ran["gateway"], ran["listener hostname"], ran["meets"]) == (1, 1, 1)
    assert not {"attachments", "route"} & ran.keys()
    assert found.of(hosting("b.test"))["route"] == MANY


def test_a_label_runs_the_routes_of_its_namespace_where_a_listener_asks_for_it() -> None:
    """What a listener's selector says of a namespace is found out once; a label that no selector asks for concerns nobody."""
    found = Runs([hosting("", "yes"), service(), namespace("default", "no"), *(route(number) for number in range(MANY))])
    ran = found.of(namespace("default", "other"))
    assert ran == {"namespace labels": 1, "selects": 1}
    ran = found.of(namespace("default", "yes"))
    assert (ran["selects"], ran["gateway"], ran["route"]) == (1, 1, MANY)
    assert found.of(namespace("elsewhere", "yes")) == {}


def grpc_route(name: str, hostname: str) -> Object:
    rules = [{"backendRefs": [{"name": "shop", "port": 80}]}]
    spec = {"parentRefs": [{"name": "web"}], "hostnames": [hostname] if hostname else [], "rules": rules}
    return parse({"kind": "GRPCRoute", "metadata": {"name": name}, "spec": spec})


def http_route(name: str, hostname: str) -> Object:
    rules = [{"backendRefs": [{"name": "shop", "port": 80}]}]
    spec = {"parentRefs": [{"name": "web"}], "hostnames": [hostname] if hostname else [], "rules": rules}
    return parse({"kind": "HTTPRoute", "metadata": {"name": name}, "spec": spec})


def test_routes_of_both_kinds_wake_only_those_of_the_same_hosts() -> None:
    """GRPCRouteSpec.hostnames: only a route that may have hosts of another kind's route looks at it, the first of its kind included."""
    found = Runs([gateway(), service(), *(http_route(f"h{number}", f"h{number}.test") for number in range(9))])
    assert found.of(grpc_route("g", "g.test"))["attachments"] == 1
    assert found.of(http_route("other", "other.test"))["attachments"] == 1
    assert found.of(http_route("clash", "g.test"))["attachments"] == 2
    assert found.of(grpc_route("wide", "*.test"))["attachments"] == 1 + 11


def test_a_route_that_takes_no_host_of_another_runs_no_other() -> None:
    """A younger route of the other kind is only looked at by those of its hosts; none of them is translated anew."""
    found = Runs([gateway(), service(), *(http_route(f"h{number}", "") for number in range(MANY))])
    ran = found.of(grpc_route("young", ""))
    assert (ran["attachments"], ran["route"]) == (MANY + 1, 1)


def test_routes_that_are_refused_for_their_hosts_are_not_asked_one_by_one() -> None:
    """What stands in nobody's way costs each younger route of its hosts only the logarithm of its number."""
    refused = [grpc_route(f"g{number:03}", "") for number in range(MANY)]
    found = Runs([gateway(), service(), http_route("a", ""), *refused, *(http_route(f"h{number:03}", "") for number in range(MANY))])
    assert found.most_reads["attachments"] < 10 + MANY.bit_length()
    assert found.most_reads["first attached"] == 2


@pytest.fixture(scope="module")
def with_sets() -> Runs:
    routes = (route(number, parent={"kind": "ListenerSet", "name": f"set-{number}"}) for number in range(MANY))
    return Runs([gateway(), service(), *(listener_set(number) for number in range(MANY)), *routes])


def test_a_listener_set_wakes_no_routes_of_others(with_sets: Runs) -> None:
    """A ListenerSet that is added is judged itself and counted; others, whose hostnames it does not ask for, are not looked at."""
    ran = with_sets.of(listener_set(MANY))
    own = ("adoption", "relations", "attached policies", "listener set", "listener set status")
    assert ran == dict.fromkeys((*own, "gateway status"), 1)


def test_a_listener_set_that_takes_a_hostname_runs_the_one_that_loses_it(with_sets: Runs) -> None:
    """Where a ListenerSet gets in the way of a later one, that one is judged anew; no route is, since none says hostnames of its own."""
    ran = with_sets.of(listener_set(0, "a1.test"))
    assert ran["listener set"] == 2
    assert not {"attachments", "route"} & ran.keys()


def test_a_policy_of_a_listener_set_runs_no_route(with_sets: Runs) -> None:
    """Options of listeners are no business of routes."""
    spec = {"targetRefs": [{"kind": "ListenerSet", "name": "set-5"}], "trustedHops": 1}
    ran = with_sets.of(parse({"kind": "ListenerPolicy", "metadata": {"name": "edge"}, "spec": spec}))
    assert ran["listener set"] == 1
    assert not {"route", "gateway", "relations"} & ran.keys()


def deployed(address: str, name: str = "web") -> Object:
    """The Service of a Gateway, with an address."""
    document = f"""
    {{kind: Service, metadata: {{name: {name}-tidegate, ownerReferences: [{{uid: ""}}]}},
      spec: {{type: LoadBalancer, ports: [{{port: 80}}]}}, status: {{loadBalancer: {{ingress: [{{ip: {address}}}]}}}}}}
    """
    (found,) = read(document)[1]
    return found


def many_gateways() -> Iterator[Object]:
    """A class with parameters, and Gateways with a Service and a route each."""
    document = """
    {kind: GatewayClass, metadata: {name: tidegate}, spec: {controllerName: tidegate.dev/gateway-controller}}
    """
    yield from read(document)[1]
    for number in range(MANY):
        gateway = {"gatewayClassName": "tidegate", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
        yield parse({"kind": "Gateway", "metadata": {"name": f"g{number}"}, "spec": gateway})
        yield deployed("192.0.2.1", f"g{number}")
        yield route(number, parent={"name": f"g{number}"})


@pytest.fixture(scope="module")
def in_cluster() -> Runs:
    return Runs([service(), *many_gateways()], IN_CLUSTER)


def test_an_address_that_comes_writes_one_status(in_cluster: Runs) -> None:
    """What a Service of a Gateway is assigned concerns that Gateway's status, none of its listeners or routes, and no other Gateway.
    The two units of all Services look whether routes refer to it."""
    assert in_cluster.of(deployed("192.0.2.2", "g5")) == {"assignment": 1, "gateway status": 1, "backends": 1, "endpoints": 1}


def test_a_changed_gateway_concerns_no_other(in_cluster: Runs) -> None:
    """In a cluster Gateways on one port know nothing of one another."""
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP"}, {"name": "more", "port": 81, "protocol": "HTTP"}]
    spec = {"gatewayClassName": "tidegate", "listeners": listeners}
    ran = in_cluster.of(parse({"kind": "Gateway", "metadata": {"name": "g5"}, "spec": spec}))
    assert (ran["gateway"], ran["infrastructure"], ran["gateway status"]) == (1, 1, 1)
    assert not {"places", "claims", "moved ports"} & ran.keys()


MESH = replace(IN_CLUSTER, class_names=("tidegate",), mesh=True)


def pod(number: int, app: str = "shop", address: str = "") -> Object:
    labels = {"app": app, "tidegate.dev/mesh": "sidecar"}
    status = {"phase": "Running", "podIP": address or f"10.1.0.{number}"}
    return parse({"kind": "Pod", "metadata": {"name": f"pod-{number}", "labels": labels}, "status": status})


def frontend(name: str, target: int = 8080) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": target}]
    spec = {"clusterIP": "10.96.0.1", "selector": {"app": name}, "ports": ports}
    return parse({"kind": "Service", "metadata": {"name": name}, "spec": spec})


def on_service(number: int, service: str, namespace: str = "default") -> Object:
    parents = [{"group": "", "kind": "Service", "name": service, "namespace": "default"}]
    return parse({"kind": "HTTPRoute", "metadata": {"name": f"on-{number}", "namespace": namespace}, "spec": {"parentRefs": parents}})


def mesh() -> Runs:
    services = [frontend(name) for name in ("shop", "cart", "desk")]
    return Runs([*services, *(pod(number) for number in range(MANY)), pod(MANY, "cart"), on_service(0, "cart")], MESH)


def test_a_pod_of_the_mesh_runs_one_unit() -> None:
    """A Pod that comes, moves or gets other labels is its own Workload, and concerns nobody else."""
    runs = mesh()
    assert runs.of(pod(MANY + 1)) == {"workload": 1}
    assert runs.of(pod(0, address="10.2.0.1")) == {"workload": 1}


def test_a_service_runs_the_pods_that_it_selects_and_no_route_of_another() -> None:
    """What a Service says of a port concerns the Workloads behind it, and its own listeners."""
    ran = mesh().of(frontend("cart", target=9090))
    assert (ran["workload"], ran["frontend"], ran["frontend listeners"], ran.get("route", 0)) == (1, 1, 1, 0)


def test_a_route_on_a_service_runs_that_service_alone() -> None:
    """The first route takes the Service's own rule away; the routes and Services beside it are not looked at."""
    expected = {"attachments": 1, "route": 1, "frontend listeners": 1}
    runs = mesh()
    assert runs.of(on_service(1, "shop")) == expected
    assert runs.of(on_service(2, "desk", "team")) == expected


def test_a_policy_that_changes_no_mode_runs_no_workload() -> None:
    """A PeerAuthentication of the root namespace concerns those workloads alone for which it changes something."""
    runs = mesh()
    permissive, strict = (
        parse({"kind": "PeerAuthentication", "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": {"mtls": {"mode": mode}}})
        for mode in ("PERMISSIVE", "STRICT")
    )
    assert "workload" not in runs.of(permissive)
    assert runs.of(strict)["workload"] == MANY + 1


def entry_of(name: str, host: str, **spec: Any) -> Object:
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
    metadata = {"name": name, "namespace": "default"}
    return parse({"kind": "ServiceEntry", "metadata": metadata, "spec": {"hosts": [host], "ports": ports} | spec})


def test_an_entry_runs_no_other_at_its_port_but_those_of_its_hosts() -> None:
    """However many entries share a port: the listener stays as it is, and only who wants the same host is looked at again."""
    runs = mesh()
    for number in range(MANY):
        runs.of(entry_of(f"entry-{number}", f"{number}.example"))
    assert runs.of(entry_of("new", "new.example")) == {"service entry": 1}
    assert runs.of(entry_of("same", "7.example")) == {"service entry": 2}
    assert runs.of(entry_of("new", "new.example", exportTo=["."])) == {"service entry": MANY + 2, "entry place": 1}
