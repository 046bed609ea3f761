"""GRPCRoute from YAML to calls: what its matches take, which backends get it, and what its filters change.

Calls themselves, and what the gateway says to them, are in `test_grpc`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.wire.conftest import Serve
from tests.wire.grpc_peers import GrpcClient, GrpcEcho
from tests.wire.secure import gateway
from tests.wire.serving import Site, service

Calling = Callable[..., GrpcClient]

UNIMPLEMENTED, UNAVAILABLE = 12, 14
METHODS = ("Unary", "Other", "Bidi")
QUOTED = "{}: '{}'"


@pytest.fixture
def one(grpc_echo: Callable[..., GrpcEcho]) -> GrpcEcho:
    return grpc_echo("one")


@pytest.fixture
def two(grpc_echo: Callable[..., GrpcEcho]) -> GrpcEcho:
    return grpc_echo("two")


def services(*echoes: GrpcEcho) -> str:
    """A Service for each, which does not say that it speaks HTTP/2: that it is a backend of a GRPCRoute does."""
    return "\n---\n".join(service(echo.name, echo.port) for echo in echoes)


def route(*rules: str, name: str = "route", **spec: str) -> str:
    """A GRPCRoute with these rules, and `spec` besides, in YAML."""
    more = "".join(f"\n  {field}: {value}" for field, value in spec.items())
    listed = "".join(f"\n  - {rule}" for rule in rules)
    return f"kind: GRPCRoute\nmetadata: {{name: {name}}}\nspec:{more}\n  rules:{listed}"


def rule(backend: str, match: str = "", more: str = "") -> str:
    matches = f"matches: [{{{match}}}], " if match else ""
    return f"{{{matches}backendRefs: [{{name: {backend}, port: 80}}]{more}}}"


def method(name: str = "", service: str = "", type: str = "Exact") -> str:
    parts = {"type": type, "service": service, "method": name}
    return f"method: {{{', '.join(QUOTED.format(key, value) for key, value in parts.items() if value)}}}"


def who(client: GrpcClient, *metadata: tuple[str, str], method: str = "Unary") -> str | int:
    """The backend that answers a call, or the status without one."""
    outcome = client.unary(b"", metadata, method=method)
    return outcome.backend or outcome.status


def explained(site: Site, called: str, *fields: tuple[str, str]) -> tuple[str, str] | int:
    """Route and rule that `explain` says serve a call, or the gRPC status."""
    headers = (("Host", "example.com"), ("content-type", "application/grpc"), *fields)
    said: dict[str, Any] = site.explain(f"/echo.Echo/{called}", method="POST", headers=headers)
    if said["reply"] is not None:
        return int(dict(said["reply"]["headers"])["grpc-status"])
    return said["rule"]["route"], said["rule"]["rule"]


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        (method("Unary", "echo.Echo"), ("Unary",)),
        (method(service="echo.Echo"), METHODS),
        (method("Other"), ("Other",)),
        (method("unary", "echo.Echo"), ()),
        (method(service="echo"), ()),
        (method("[UO].*", r"echo\..+", "RegularExpression"), ("Unary", "Other")),
        (method("Un", "echo.Echo", "RegularExpression"), ()),
        (method(service="echo.E[a-z]+", type="RegularExpression"), METHODS),
        ("", METHODS),
    ],
    ids=["both", "service", "method", "case", "a part", "expressions", "an expression for a part", "expression of a service", "none"],
)
def test_methods(serve: Serve, one: GrpcEcho, grpc_client: Calling, match: str, taken: tuple[str, ...]) -> None:
    """GRPCMethodMatch: exact by default, to the letter; an expression takes the whole (GRPCExactMethodMatching). What no rule takes is
    UNIMPLEMENTED, and `explain` says the same."""
    site = serve(services(one), route(rule("one", match)))
    client = grpc_client(site.address())
    for name in METHODS:
        served = name in taken
        answered = client.bidi([b""]) if name == "Bidi" else client.unary(b"", method=name)
        assert (answered.backend or answered.status) == ("one" if served else UNIMPLEMENTED)
        assert explained(site, name) == (("default/route", "0") if served else UNIMPLEMENTED)


def test_the_most_specific_match_serves(serve: Serve, one: GrpcEcho, two: GrpcEcho, grpc_client: Calling) -> None:
    """GRPCRouteRule.matches: more characters of the service, then of the method, then more headers, whatever the order of the rules."""
    rules = (rule("two"), rule("two", method(service="echo.Echo")), rule("one", method("Unary", "echo.Echo")))
    site = serve(services(one, two), route(*rules))
    client = grpc_client(site.address())
    assert (who(client), who(client, method="Other")) == ("one", "two")
    assert (explained(site, "Unary"), explained(site, "Other")) == (("default/route", "2"), ("default/route", "1"))


def test_headers(serve: Serve, one: GrpcEcho, two: GrpcEcho, grpc_client: Calling) -> None:
    """GRPCHeaderMatch: metadata by exact value or expression, all of a match, any match of a rule (GRPCRouteHeaderMatching)."""
    rules = (
        rule("one", "headers: [{name: version, value: one}]"),
        rule("two", "headers: [{name: Version, value: two}, {name: color, value: 'bl.*', type: RegularExpression}]"),
        rule("one", "headers: [{name: color, value: red}]}, {headers: [{name: color, value: pink}]"),
    )
    client = grpc_client(serve(services(one, two), route(*rules)).address())
    assert who(client, ("version", "one")) == "one"
    assert who(client, ("version", "two"), ("color", "blue")) == "two"
    assert who(client, ("version", "two")) == UNIMPLEMENTED
    assert who(client, ("version", "one, two")) == UNIMPLEMENTED
    assert [who(client, ("color", color)) for color in ("red", "pink", "green")] == ["one", "one", UNIMPLEMENTED]


def test_hostnames_of_listeners(serve: Serve, one: GrpcEcho, two: GrpcEcho, grpc_client: Calling) -> None:
    """Listener.hostname: the most specific one takes the call, by its authority (GRPCRouteListenerHostnameMatching)."""
    hostnames = {"bar": "bar.test", "foo": "foo.bar.test", "any": "*.bar.test"}
    listeners = [{"name": name, "port": 80, "protocol": "HTTP", "hostname": hostname} for name, hostname in hostnames.items()]
    parents = ("[{name: web, sectionName: bar}]", "[{name: web, sectionName: any}]", "[{name: web, sectionName: foo}]")
    backends = ("one", "two", "one")
    routes = [route(rule(to), name=f"r{number}", parentRefs=parents[number]) for number, to in enumerate(backends)]
    site = serve(gateway(*listeners), services(one, two), *routes)
    asked = ("bar.test", "foo.bar.test", "baz.bar.test", "multiple.labels.bar.test", "bar.test:80", "other.test")
    found = [who(grpc_client(site.address(), authority=authority)) for authority in asked]
    assert found == ["one", "one", "two", "two", "one", UNIMPLEMENTED]


def test_a_named_rule_is_logged_by_its_name(serve: Serve, one: GrpcEcho, grpc_client: Calling) -> None:
    """GRPCRouteRule.name (GRPCRouteNamedRule)."""
    site = serve(services(one), route(rule("one", more=", name: calls")))
    assert who(grpc_client(site.address())) == "one"
    [line] = site.log.wait_for(1)
    assert (line["route"], line["rule"], line["grpc_status"]) == ("GRPCRoute/default/route", "calls", 0)
    [series] = site.statistics().requests
    assert (series.route_kind, series.rule, series.protocol) == ("GRPCRoute", "calls", "grpc")
    assert explained(site, "Unary") == ("default/route", "calls")


@pytest.mark.slow
def test_weights_are_shares(serve: Serve, one: GrpcEcho, two: GrpcEcho, grpc_client: Calling) -> None:
    """GRPCBackendRef.weight, for each call of a connection; what is not there costs its share (GRPCRouteWeight)."""
    shares = "{name: one, port: 80, weight: 7}, {name: two, port: 80, weight: 2}, {name: missing, port: 80, weight: 1}"
    none = "{name: blue, port: 80, weight: 0}"
    site = serve(services(one, two), route(f"backendRefs: [{shares}, {none}]"))
    site.seed(1)
    client = grpc_client(site.address())
    found = Counter(who(client) for _ in range(200))
    assert 120 <= found["one"] <= 160
    assert 25 <= found["two"] <= 55
    assert found["one"] + found["two"] + found[UNAVAILABLE] == 200


def test_filters_of_rules_and_backends(serve: Serve, one: GrpcEcho, two: GrpcEcho, grpc_client: Calling) -> None:
    """GRPCRouteFilter: metadata are edited in both directions, and calls are copied."""
    site = serve(
        services(one, two),
        """
kind: GRPCRoute
metadata: {name: route}
spec:
  rules:
  - filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: rule}], remove: [x-gone]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-added, value: rule}]}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}
    backendRefs:
    - name: one
      port: 80
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-set, value: backend}]}}]
""",
    )
    outcome = grpc_client(site.address()).unary(b"hello", (("x-gone", "a"), ("x-kept", "b")))
    assert (outcome.backend, dict(outcome.initial)["x-added"], outcome.messages) == ("one", "rule", (b"hello",))
    [call] = one.calls
    assert (",".join(call.values("x-set")), call.value("x-gone"), call.value("x-kept")) == ("rule,backend", None, "b")
    [copy] = two.wait_for(1)
    assert (copy.method, copy.messages, copy.value("x-set")) == ("Unary", (b"hello",), "rule")


def test_a_route_may_keep_sessions(serve: Serve, one: GrpcEcho, grpc_echo: Callable[..., GrpcEcho], grpc_client: Calling) -> None:
    """GRPCRouteRule.sessionPersistence: the token that a call brings back leads to the endpoint that it came from."""
    site = serve(
        service("one", one.port, grpc_echo("other").port),
        route(rule("one", more=", sessionPersistence: {sessionName: x-session, type: Header}")),
    )
    client = grpc_client(site.address())
    first = client.unary(b"")
    token = dict(first.initial)["x-session"]
    assert {who(client, ("x-session", token)) for _ in range(8)} == {first.backend}
    assert {who(client) for _ in range(8)} == {"one", "other"}


def test_http_and_grpc_routes_have_hosts_of_their_own(serve: Serve, one: GrpcEcho, grpc_client: Calling) -> None:
    """Of two routes of a host the older is accepted, the other is not (GRPCRoute); on different hosts both serve."""
    of_http = "kind: HTTPRoute\nmetadata: {name: pages}\nspec: {hostnames: [HOST], rules: [{backendRefs: [{name: blue, port: 80}]}]}"
    calls = route(rule("one"), hostnames="[grpc.test]")
    site = serve(services(one), calls, of_http.replace("HOST", "http.test"))
    client = grpc_client(site.address(), authority="grpc.test")
    assert who(client) == "one"
    assert site.ask(host="http.test").backend == "blue"
    site.change(services(one), calls, of_http.replace("HOST", "grpc.test").replace("pages", "z-pages"))
    assert who(client) == "one"
    assert "HostnameConflict" in site.conditions("HTTPRoute", "z-pages")
