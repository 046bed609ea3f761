"""An explanation follows the decisions of an exchange in their order: port, listener, head, target, rule, filters, backends."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from gateway.explain.explanation import Explanation
from gateway.ir.backend import Backend, BackendTls, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.filters import Cors, PathModifier, RequestHeaderModifier, RequestMirror, RequestRedirect, ResponseHeaderModifier, UrlRewrite
from gateway.ir.listener import ClientValidation, Gateway, Listener, ListenerOptions, TrustBundle
from gateway.ir.rule import BackendRef, Binding, HeaderMatch, HttpRule, Match, PathMatch, Persistence, QueryMatch
from gateway.ir.value import Source
from gateway.offline import Offline
from gateway.options import SESSION_KEY_VARIABLE
from gateway.policies.persistence import Tokens
from gateway.proxy.admission import MISDIRECTED, NO_HOST, NO_ROUTE
from tests.certificates import Authority

GATEWAY = Source("Gateway", "default", "web")
ROUTE = Source("HTTPRoute", "default", "shop")
AUTHORITY = Authority()


def listener(name: str = "http", **fields: Any) -> Listener:
    port = fields.pop("port", 8080)
    defaults: dict[str, Any] = {
        "gateway": "default/web", "address": "127.0.0.1", "port": port, "bind_port": port, "location_port": port, "protocol": "HTTP",
    }  # fmt: skip
    return Listener(key=f"default/web/{name}", source=GATEWAY, name=name, **(defaults | fields))


def rule(index: int = 0, *, on: tuple[str, ...] = ("http",), hostnames: tuple[str, ...] = ("",), **fields: Any) -> HttpRule:
    bindings = tuple(Binding(f"default/web/{name}", hostnames) for name in on)
    return HttpRule(key=f"HTTPRoute/default/shop/{index}", source=ROUTE, route="default/shop", index=index, bindings=bindings, **fields)


def backend(name: str, *endpoints: Endpoint, **fields: Any) -> tuple[AnyResource, ...]:
    source = Source("Service", "default", name)
    key = f"default/{name}:80"
    return (Backend(key=key, source=source, **fields), EndpointSet(key=key, source=source, endpoints=endpoints))


SHOP = backend("shop", Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80))
TO_SHOP = (BackendRef("default/shop:80"),)


def explained(
    *resources: AnyResource, url: str = "http://127.0.0.1:8080/", method: str = "GET", headers: dict[str, str] | None = None
) -> Explanation:
    shared = (Gateway(key="default/web", source=GATEWAY), *SHOP)
    question = {"url": url, "method": method, "headers": list((headers or {}).items())}
    with Offline((*shared, *resources)) as offline:
        return msgspec.convert(offline.explain(question), Explanation)


def test_a_matched_request_goes_to_the_endpoints_of_its_backend() -> None:
    """HTTPRouteRule.backendRefs: every endpoint that may be asked, with its share of the requests."""
    said = explained(listener(), rule(backends=TO_SHOP))
    (portion,) = said.portions
    assert (portion.backend, portion.percent) == ("default/shop:80", 100)
    assert [(endpoint.address, endpoint.percent) for endpoint in portion.endpoints] == [("10.0.0.1:80", 50), ("10.0.0.2:80", 50)]
    assert said.listener is not None
    assert (said.listener.gateway, said.listener.name, said.listener.bound) == ("default/web", "http", "127.0.0.1:8080")
    assert said.reply is None
    assert not said.closed


def test_every_match_is_considered_with_the_first_thing_that_failed() -> None:
    """HTTPRouteRule.matches: in order of precedence, each with the first condition that does not hold."""
    matches = (
        Match(PathMatch("Exact", "/cart")),
        Match(PathMatch("PathPrefix", "/shoes"), headers=(HeaderMatch("x-try", "next"),)),
        Match(PathMatch("PathPrefix", "/shoes"), queries=(QueryMatch("size", "4[0-9]", "RegularExpression"),)),
        Match(PathMatch("PathPrefix", "/shoes"), method="POST"),
        Match(),
    )
    said = explained(listener(), rule(matches=matches, backends=TO_SHOP), url="http://h:8080/shoes/a?size=39")
    assert [(row.match, row.outcome) for row in said.considered] == [
        (0, "path /shoes/a is not /cart"),
        (3, "method GET is not POST"),
        (1, "header x-try is absent"),
        (2, "query parameter size: '39' does not match '4[0-9]'"),
        (4, "matches"),
    ]
    conditions = [row.conditions for row in said.considered]
    assert conditions[1:3] == ["path under /shoes, method POST", "path under /shoes, header x-try is 'next'"]


def test_what_the_listener_says_of_its_routes_is_considered() -> None:
    """Listener.hostname, allowedRoutes.namespaces: a rule has the hostnames that both sides have, and one of a namespace that is not taken
    says so."""
    hostnames, team = ("*.example", "shop.test"), ("team",)
    for namespaces, outcome in ((None, "matches"), (team, "namespace default is none that the listener takes routes from")):
        there = listener(hostname="a.example", namespaces=namespaces)
        said = explained(there, rule(hostnames=hostnames, backends=TO_SHOP), url="http://a.example:8080/")
        assert [(row.hostnames, row.outcome) for row in said.considered] == [(("a.example",), outcome)]
        assert (said.reply is None) == (namespaces is None)


def test_the_filters_that_serve_are_run() -> None:
    """HTTPURLRewriteFilter, HTTPHeaderFilter: the request is shown as the backend gets it, and each filter is named."""
    filters = (
        UrlRewrite(hostname="shop.internal", path=PathModifier("ReplacePrefixMatch", "/v2")),
        RequestHeaderModifier(set=(("x-env", "prod"),), remove=("x-debug",)),
        ResponseHeaderModifier(add=(("x-by", "tidegate"),)),
        RequestMirror("default/shop:80", 1, 4),
    )
    shop = rule(matches=(Match(PathMatch(value="/shop")),), filters=filters, backends=TO_SHOP)
    said = explained(listener(), shop, url="http://h:8080/shop/a?b", headers={"X-Debug": "1"})
    request = said.portions[0].forwarded
    assert request is not None
    assert (request.method, request.host, request.target, request.headers) == ("GET", "shop.internal", "/v2/a?b", (("x-env", "prod"),))
    assert said.rule is not None
    assert said.rule.filters == (
        "rewrites the request: host shop.internal, the matched prefix becomes /v2",
        "removes request header x-debug",
        "sets request header x-env: prod",
        "adds response header x-by: tidegate",
        "mirrors 25% of the requests to default/shop:80",
    )
    assert [(copy.backend, copy.percent) for copy in said.mirrors] == [("default/shop:80", 25)]


def test_a_redirect_is_answered_with_the_very_location() -> None:
    """HTTPRequestRedirectFilter: Location has the port that clients see."""
    redirect = RequestRedirect(status=308, path=PathModifier("ReplacePrefixMatch", "/new"))
    matches = (Match(PathMatch(value="/old")),)
    port = listener(port=80, bind_port=8080, location_port=8080)
    said = explained(port, rule(matches=matches, filters=(redirect,)), url="http://shop.example/old/a?b=c")
    assert said.reply is not None
    assert (said.reply.status, said.reply.headers) == (308, (("location", "http://shop.example:8080/new/a?b=c"),))
    assert said.portions == ()


def test_a_preflight_is_answered_in_the_backends_stead() -> None:
    """HTTPCORSFilter: a preflight is a local reply with the fields that allow it."""
    cors = Cors(allow_origins=("https://app.example",), allow_methods=("PUT",))
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    said = explained(listener(), rule(filters=(cors,), backends=TO_SHOP), method="OPTIONS", headers=headers)
    assert said.reply is not None
    assert said.reply.status == 204
    assert ("access-control-allow-origin", "https://app.example") in said.reply.headers


@pytest.mark.parametrize(
    ("backends", "status", "reason"),
    [
        ((), 500, "no backend with a weight above zero"),
        ((BackendRef("default/shop:80", weight=0),), 500, "no backend with a weight above zero"),
    ],
    ids=["no backend", "no weight"],
)
def test_a_rule_that_leads_nowhere_answers_500(backends: tuple[BackendRef, ...], status: int, reason: str) -> None:
    """HTTPRouteRule.backendRefs: without a backend that has a weight the answer is 500."""
    said = explained(listener(), rule(backends=backends))
    assert said.reply is not None
    assert (said.reply.status, said.reply.reason) == (status, reason)


def test_each_share_has_its_own_outcome() -> None:
    """HTTPBackendRef.weight: invalid references answer their share with 500, backends without endpoint theirs with 503."""
    backends = (
        BackendRef("default/shop:80", 5),
        BackendRef("", 3, error="Service default/nothing does not exist"),
        BackendRef("default/empty:80", 2),
        BackendRef("default/broken:80", 0),
    )
    empty = backend("empty", Endpoint("10.0.0.3", 80, ready=False))
    broken = backend("broken", error="broken")
    said = explained(listener(), *empty, *broken, rule(backends=backends))
    outcomes = [(portion.percent, portion.reply and (portion.reply.status, portion.reply.flag)) for portion in said.portions]
    assert outcomes == [(50, None), (30, (500, "NC")), (20, (503, "UH")), (0, None)]
    assert said.portions[1].reply is not None
    assert said.portions[1].reply.reason == "Service default/nothing does not exist"


def test_filters_of_a_backend_see_the_request_as_the_rule_left_it() -> None:
    """HTTPBackendRef.filters: they run for their share only, after those of the rule."""
    own = BackendRef("default/shop:80", 1, (RequestHeaderModifier(add=(("x-share", "canary"),)),))
    said = explained(listener(), rule(filters=(RequestHeaderModifier(set=(("x-share", "all"),)),), backends=(*TO_SHOP, own)))
    sent = [portion.forwarded.headers for portion in said.portions if portion.forwarded is not None]
    assert sent == [(("x-share", "all"),), (("x-share", "all,canary"),)]


def test_terminating_endpoints_take_part_only_while_none_is_ready() -> None:
    """discovery/v1 EndpointConditions.terminating: as the balancer has it."""
    endpoints = (Endpoint("10.0.0.1", 80, ready=False, terminating=True), Endpoint("10.0.0.2", 80, ready=False))
    said = explained(listener(), *backend("old", *endpoints), rule(backends=(BackendRef("default/old:80"),)))
    assert [endpoint.address for endpoint in said.portions[0].endpoints] == ["10.0.0.1:80"]


def test_a_session_outranks_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """SessionPersistence: a genuine token leads to its endpoint; without one the answer begins a session."""
    monkeypatch.setenv(SESSION_KEY_VARIABLE, "a key")
    tokens = Tokens(sha256(b"a key").digest())
    sticky = rule(backends=(*TO_SHOP, BackendRef("default/next:80", 99)), persistence=Persistence("Header", "x-session"))
    token = tokens.write(0, tokens.mark(sticky.key.encode(), b"10.0.0.2:80")).decode()
    resources = (Gateway(key="default/web", source=GATEWAY), *SHOP, *backend("next", Endpoint("10.0.0.9", 80)), listener(), sticky)
    with Offline(resources) as offline:
        free = msgspec.convert(offline.explain({"url": "http://h:8080/"}), Explanation)
        pinned = msgspec.convert(offline.explain({"url": "http://h:8080/", "headers": [["X-Session", token]]}), Explanation)
    assert free.session == "the request has none: the answer begins one"
    assert len(free.portions) == 2
    assert [(portion.backend, portion.percent) for portion in pinned.portions] == [("default/shop:80", 100)]
    assert [endpoint.address for endpoint in pinned.portions[0].endpoints] == ["10.0.0.2:80"]
    assert pinned.portions[0].forwarded is not None
    assert pinned.portions[0].forwarded.headers == ()


def test_an_address_of_the_proxy_itself_is_never_asked() -> None:
    """Issue 3: a listener's own address stays forbidden as a backend."""
    loop = backend("loop", Endpoint("127.0.0.1", 8080))
    said = explained(listener(), *loop, rule(backends=(BackendRef("default/loop:80"),)))
    assert "itself" in said.portions[0].endpoints[0].fault


def test_the_listener_is_chosen_by_host() -> None:
    """Gateway.spec.listeners: exact before the longest wildcard before none; routes of others do not count."""
    listeners = (listener("any"), listener("wide", hostname="*.example"), listener("shop", hostname="shop.example"))
    rules = tuple(rule(index, on=(name,), backends=TO_SHOP) for index, name in enumerate(("any", "wide", "shop")))
    chosen = [
        said.listener.name
        for host in ("other", "a.b.example", "shop.example")
        if (said := explained(*listeners, *rules, headers={"Host": host})).listener is not None and len(said.considered) == 1
    ]
    assert chosen == ["any", "wide", "shop"]


def test_no_listener_for_the_host_is_404() -> None:
    """Reference 5.3: a host that no listener of the port covers gets 404, as live."""
    said = explained(listener(hostname="shop.example"), rule(backends=TO_SHOP), url="http://other:8080/")
    assert said.reply is not None
    assert (said.reply.status, said.reply.flag) == (NO_HOST.status, NO_HOST.flag)
    assert "shop.example" in said.reply.reason


def test_no_match_is_404_and_says_why_where_the_listener_allows_it() -> None:
    """ListenerPolicy.spec.reasonHeader: local replies of 400 and above carry x-tidegate-reason."""
    said = explained(listener(options=ListenerOptions(reason_header=True)), rule(matches=(Match(PathMatch(value="/a")),)))
    assert said.reply is not None
    assert (said.reply.status, said.reply.reason, said.reply.flag) == (NO_ROUTE.status, NO_ROUTE.reason, NO_ROUTE.flag)
    assert said.reply.headers == (("x-tidegate-reason", "no route matches"),)


def test_nothing_listens_there() -> None:
    """A port that is not bound gives no answer; those that are are named."""
    said = explained(listener(), url="http://127.0.0.1:81/")
    assert said.closed == "nothing listens on port 81; what is bound: 127.0.0.1:8080"


@pytest.mark.parametrize("url", ["http://h:8080/", "http://h/", "http://h:9080/"])
def test_a_port_is_found_as_bound_as_written_and_as_clients_see_it(url: str) -> None:
    """Design 2: with --port-offset both the user's port and the offset port lead to the listener."""
    said = explained(listener(port=80, bind_port=9080, location_port=8080), url=url)
    assert said.listener is not None


def test_a_bound_port_comes_before_a_written_one() -> None:
    """A client reaches what is bound, whatever another listener calls its port."""
    moved = listener("moved", port=8080, bind_port=18080, location_port=18080)
    said = explained(moved, listener("there", port=9, bind_port=8080), url="http://h:8080/")
    assert said.listener is not None
    assert said.listener.name == "there"


def test_the_address_of_the_url_chooses_among_ports_of_one_number() -> None:
    """A socket bound to an address takes what comes there; one bound to all takes the rest."""
    one, rest = listener("one", address="127.0.0.2"), listener("rest", address="0.0.0.0")
    names = []
    for host in ("127.0.0.2", "127.0.0.3", "shop.example"):
        said = explained(one, rest, url=f"http://{host}:8080/")
        assert said.listener is not None
        names.append(said.listener.name)
    assert names == ["one", "rest", "rest"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/a/../../b", 400), ("/%00", 400), ("/..;/a", 400), ("/a b", 400), ("/" + "a" * 9000, 414)],
)
def test_a_target_that_is_refused_on_the_wire_is_refused_here(path: str, status: int) -> None:
    """RFC 9112 3.2, design 7: the proxy's own codec judges the request."""
    said = explained(listener(), rule(backends=TO_SHOP), url=f"http://h:8080{path}")
    assert said.reply is not None
    assert (said.reply.status, said.reply.flag) == (status, "DPE")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Content-Length": "1", "Transfer-Encoding": "chunked"}, 400),
        ("GET", {"Host": ""}, 400),
        ("GET", {"Host": "a@b"}, 400),
        ("GET", {"Expect": "miracles"}, 417),
        ("GET", {f"x-{number}": "y" for number in range(101)}, 431),
        ("CONNECT", {}, 405),
        ("G T", {}, 400),
    ],
)
def test_a_head_that_is_refused_on_the_wire_is_refused_here(method: str, headers: dict[str, str], status: int) -> None:
    """RFC 9112 3 to 6: framing, Host, expectations and limits."""
    said = explained(listener(), rule(backends=TO_SHOP), method=method, headers=headers)
    assert said.reply is not None
    assert said.reply.status == status


def test_escaped_slashes_may_be_redirected() -> None:
    """ListenerPolicy.spec.paths.escapedSlashes Redirect: 307 to the unescaped path, absolute."""
    said = explained(listener(options=ListenerOptions(escaped_slashes="Redirect")), rule(backends=TO_SHOP), url="http://h:8080/a%2Fb?c")
    assert said.reply is not None
    assert (said.reply.status, said.reply.headers) == (307, (("location", "http://h:8080/a/b?c"),))


def test_options_without_a_path_asks_for_the_server_itself() -> None:
    """RFC 9112 3.2.4: OPTIONS for a URI without path is sent as OPTIONS *."""
    assert explained(listener(), rule(backends=TO_SHOP), url="http://h:8080", method="OPTIONS").path == "*"


class TestTls:
    """Ports that terminate TLS."""

    @staticmethod
    def secure(name: str, hostname: str, **fields: Any) -> tuple[AnyResource, ...]:
        pair = AUTHORITY.issue(hostname.replace("*", "a")).resource(f"default/{name}")
        return (pair, listener(name, hostname=hostname, port=8443, protocol="HTTPS", certificates=(pair.key,), **fields))

    def test_the_url_is_the_server_name(self) -> None:
        """RFC 6066 3: the client names the URL's host, and gets the listener of that name."""
        said = explained(*self.secure("one", "one.example"), rule(on=("one",), backends=TO_SHOP), url="https://one.example:8443/")
        assert said.portions

    def test_a_host_of_another_listener_is_misdirected(self) -> None:
        """RFC 9110 7.4: 421 where another listener of the port serves the host, 404 where none does."""
        listeners = (*self.secure("one", "one.example"), *self.secure("two", "two.example"))
        statuses = []
        for host in ("two.example", "three.example"):
            said = explained(*listeners, url="https://one.example:8443/", headers={"Host": host})
            assert said.reply is not None
            statuses.append(said.reply.status)
        assert statuses == [MISDIRECTED.status, NO_HOST.status] == [421, 404]

    def test_an_unknown_server_name_gets_no_handshake(self) -> None:
        """RFC 6066 3: alert unrecognized_name."""
        assert "unrecognized_name" in explained(*self.secure("one", "one.example"), url="https://two.example:8443/").closed

    def test_the_scheme_must_fit_the_port(self) -> None:
        """Plain HTTP on a TLS port is answered 400, TLS on a plain port not at all."""
        plain = explained(*self.secure("one", "one.example"), url="http://one.example:8443/")
        assert plain.reply is not None
        assert plain.reply.status == 400
        assert "plain HTTP" in explained(listener(), url="https://h:8080/").closed

    def test_a_demand_for_client_certificates_is_noted(self) -> None:
        """Gateway.spec.tls.frontend: who shows no valid certificate gets no answer at all."""
        bundle = TrustBundle(key="default/ca", source=GATEWAY, certificates=AUTHORITY.certificate)
        validation = ClientValidation(("default/ca",))
        said = explained(bundle, *self.secure("one", "one.example", client_validation=validation), url="https://one.example:8443/")
        assert said.notes == ("the client must show a certificate that verifies, or the handshake fails",)

    def test_a_backend_behind_tls_is_said_to_be(self) -> None:
        """BackendTLSPolicy.spec.validation.hostname; trust that is not there answers 500."""
        endpoint = Endpoint("10.0.0.1", 443)
        fine = backend("fine", endpoint, tls=BackendTls("fine.internal"))
        lost = backend("lost", endpoint, tls=BackendTls("lost.internal", trust_bundles=("default/gone",)))
        said = explained(listener(), *fine, *lost, rule(backends=(BackendRef("default/fine:80"), BackendRef("default/lost:80"))))
        assert said.portions[0].tls == "fine.internal"
        assert said.portions[1].reply is not None
        assert said.portions[1].reply.status == 500


@pytest.mark.parametrize(
    "argument",
    [
        {"url": ""},
        {"url": "ftp://h/"},
        {"url": "http://user:secret@h/"},
        {"url": "http://h:99999/"},
        {"url": "http://[::1/"},
        {"url": "http://h/", "method": "GET\r\nX: y"},
        {"url": "http://h/", "headers": [["x", "y\n"]]},
        {"url": "http://h/", "other": 1},
        {},
    ],
    ids=str,
)
def test_what_no_client_could_send_is_no_question(argument: dict[str, Any]) -> None:
    """A bad question is a ValueError that says what to write, never an explanation of something else."""
    with Offline(()) as offline, pytest.raises(ValueError, match=r"\S"):
        offline.explain(argument)


def test_an_explanation_changes_nothing() -> None:
    """Asking takes no turn of a balancer and counts nothing: the same question has the same answer."""
    with Offline((Gateway(key="default/web", source=GATEWAY), *SHOP, listener(), rule(backends=TO_SHOP))) as offline:
        answers = [offline.explain({"url": "http://h:8080/"}) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
