"""Which Gateway's proxies get which resources: all that they need, in the change that they need it, and nothing of anybody else."""

from __future__ import annotations

from controller.scopes import ScopedChange, Scopes
from gateway.ir.backend import Backend, BackendTls, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.filters import ExternalAuth, RequestMirror
from gateway.ir.listener import Certificate, ClientValidation, Gateway, Listener, Secret, TrustBundle
from gateway.ir.policy import AuthorizationPolicy
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule
from gateway.ir.value import Source
from gateway.ir.workload import SHARED, Workload

SOURCE = Source("Gateway", "a", "one")


def gateway(key: str, certificate: str | None = None) -> Gateway:
    return Gateway(key, SOURCE, certificate)


def listener(gateway: str, name: str = "web", *certificates: str, bundles: tuple[str, ...] = ()) -> Listener:
    return Listener(
        key=f"{gateway}/{name}",
        source=SOURCE,
        gateway=gateway,
        name=name,
        address="0.0.0.0",
        port=443,
        bind_port=443,
        location_port=443,
        protocol="HTTPS",
        certificates=certificates,
        client_validation=ClientValidation(bundles) if bundles else None,
    )


def rule(key: str, listeners: tuple[str, ...], *backends: str) -> HttpRule:
    bindings = tuple(Binding(name, ("",)) for name in listeners)
    return HttpRule(key, SOURCE, "a/r", 0, bindings, backends=tuple(map(BackendRef, backends)))


def policy(key: str, *targets: str) -> AuthorizationPolicy:
    return AuthorizationPolicy(key, SOURCE, targets)


def backend(key: str, *bundles: str) -> tuple[Backend, EndpointSet]:
    tls = BackendTls("h", bundles) if bundles else None
    return Backend(key, SOURCE, tls=tls), EndpointSet(key, SOURCE, (Endpoint("10.0.0.1", 80),))


def certificate(key: str, text: str = "chain") -> Certificate:
    return Certificate(key, SOURCE, text, Secret("key"), text)


def bundle(key: str) -> TrustBundle:
    return TrustBundle(key, SOURCE, "roots")


def keys(change: ScopedChange) -> tuple[set[str], set[str]]:
    return {f"{kind} {key}" for kind, key in (r.identity for r in change.set)}, {f"{kind} {key}" for kind, key in change.remove}


def shown(scopes: Scopes, scope: str) -> set[str]:
    return {f"{kind} {key}" for kind, key in (resource.identity for resource in scopes.content(scope))}


def two_gateways() -> Scopes:
    """Each with a listener, a certificate and a rule of its own; both lead to backend b."""
    scopes = Scopes()
    resources: list[AnyResource] = [*backend("b", "roots"), bundle("roots")]
    for key in ("a/one", "a/two"):
        resources += (
            gateway(key),
            listener(key, "web", f"secret-of-{key}"),
            certificate(f"secret-of-{key}"),
            rule(key, (f"{key}/web",), "b"),
        )
    scopes.change(resources, ())
    return scopes


def test_a_gateway_gets_its_own_secrets_and_no_others() -> None:
    """A private key goes to the proxies of the Gateways that name it, and to nobody else."""
    scopes = two_gateways()
    assert shown(scopes, "a/one") == {
        "Gateway a/one",
        "Listener a/one/web",
        "Certificate secret-of-a/one",
        "HttpRule a/one",
        "Backend b",
        "EndpointSet b",
        "TrustBundle roots",
    }
    assert not shown(scopes, "a/three")


def test_a_new_gateway_is_opened_with_all_that_it_needs() -> None:
    """What was there before its Gateway is shown with it, in the order of a batch."""
    scopes = Scopes()
    assert scopes.change([listener("a/one"), rule("r", ("a/one/web",), "b"), *backend("b")], ()).opened == {}
    division = scopes.change([gateway("a/one")], ())
    assert [r.identity[0] for r in division.opened["a/one"].set] == ["Gateway", "EndpointSet", "Backend", "Listener", "HttpRule"]
    assert not division.changed
    assert not division.closed


def test_a_gateway_that_is_gone_closes_its_scope_alone() -> None:
    """Its resources are not removed one by one: there is nobody to show that to."""
    scopes = two_gateways()
    division = scopes.change((), [("Gateway", "a/one"), ("Listener", "a/one/web"), ("HttpRule", "a/one")])
    assert (division.closed, division.changed, division.opened) == (("a/one",), {}, {})
    assert shown(scopes, "a/two")


def test_endpoints_reach_every_gateway_that_uses_them_and_no_other() -> None:
    """One EndpointSet changed is one resource in each scope that needs it."""
    scopes = two_gateways()
    scopes.change([gateway("a/idle")], ())
    division = scopes.change([EndpointSet("b", SOURCE)], ())
    assert {scope: keys(change) for scope, change in division.changed.items()} == {
        "a/one": ({"EndpointSet b"}, set()),
        "a/two": ({"EndpointSet b"}, set()),
    }


def test_a_rule_of_two_gateways_goes_to_each_with_its_own_bindings() -> None:
    """A Gateway's proxies do not learn where else a route is attached, nor are they told when only that changes."""
    scopes = two_gateways()
    shared = rule("shared", ("a/one/web", "a/two/web"), "b")
    division = scopes.change([shared], ())
    assert division.changed["a/one"].set == (rule("shared", ("a/one/web",), "b"),)
    assert division.changed["a/two"].set == (rule("shared", ("a/two/web",), "b"),)
    division = scopes.change([rule("shared", ("a/one/web",), "b")], ())
    assert {scope: keys(change) for scope, change in division.changed.items()} == {"a/two": (set(), {"HttpRule shared"})}


def test_a_rule_never_comes_before_its_backend_and_takes_it_along_when_it_goes() -> None:
    """What a scope begins to need is set in the same change, though it was there long before, and removed with the last that needs it."""
    scopes = two_gateways()
    scopes.change([*backend("c", "other"), bundle("other")], ())
    both = (rule("r1", ("a/one/web",), "c"), rule("r2", ("a/one/web",), "c"))
    needed = {"Backend c", "EndpointSet c", "TrustBundle other"}
    assert keys(scopes.change(both, ()).changed["a/one"]) == (needed | {"HttpRule r1", "HttpRule r2"}, set())
    assert keys(scopes.change((), [("HttpRule", "r1")]).changed["a/one"]) == (set(), {"HttpRule r1"})
    assert keys(scopes.change((), [("HttpRule", "r2")]).changed["a/one"]) == (set(), needed | {"HttpRule r2"})


def test_everything_that_names_a_resource_counts() -> None:
    """Filters of rules and of their backends, client validation, the client certificate of a Gateway, rules of streams."""
    scopes = Scopes()
    filters = (RequestMirror("mirror"), ExternalAuth("auth"))
    reference = BackendRef("", error="no such Service", filters=(RequestMirror("inner"),))
    http = HttpRule("h", SOURCE, "a/r", 0, (Binding("a/one/web", ("",)),), filters=filters, backends=(reference,))
    tcp = TcpRule("t", SOURCE, "a/r", 0, (Binding("a/one/set/name/tcp", ("",)),), backends=(BackendRef("tcp"),))
    named = [resource for key in ("mirror", "auth", "inner", "tcp", "unused") for resource in backend(key)]
    scopes.change([gateway("a/one", "client"), listener("a/one", bundles=("ca",)), http, tcp, *named], ())
    scopes.change([certificate("client"), certificate("unused"), bundle("ca"), bundle("unused")], ())
    expected = {f"{kind} {key}" for key in ("mirror", "auth", "inner", "tcp") for kind in ("Backend", "EndpointSet")}
    assert shown(scopes, "a/one") == expected | {
        "Gateway a/one",
        "Listener a/one/web",
        "HttpRule h",
        "TcpRule t",
        "Certificate client",
        "TrustBundle ca",
    }


def test_an_unused_secret_touches_nobody() -> None:
    """A Certificate that no listener names is in no scope, and its changes are no changes."""
    scopes = two_gateways()
    assert scopes.change([certificate("alone")], ()).changed == {}
    assert scopes.change([certificate("alone", "renewed")], [("TrustBundle", "nobody's")]).changed == {}


def test_a_policy_goes_where_it_holds() -> None:
    """Each Gateway gets the policies that hold for it, with itself as their only target, from when it comes to when it goes."""
    scopes = two_gateways()
    scopes.change([policy("p", "a/one", "a/two", "a/three"), policy("q", "a/two")], ())
    assert [each.targets for each in scopes.content("a/one") if isinstance(each, AuthorizationPolicy)] == [("a/one",)]
    assert {name for name in shown(scopes, "a/two") if name.startswith("Auth")} == {"AuthorizationPolicy p", "AuthorizationPolicy q"}
    division = scopes.change([policy("p", "a/two"), gateway("a/three")], ())
    assert keys(division.changed["a/one"]) == (set(), {"AuthorizationPolicy p"})
    assert "a/two" not in division.changed
    assert keys(division.opened["a/three"]) == ({"Gateway a/three"}, set())


def test_what_all_sidecars_share_goes_to_every_namespace_of_the_mesh() -> None:
    """A Service's listener with its rule and endpoints is shown in each namespace of the mesh, from when that opens, and at no Gateway."""
    scopes = two_gateways()
    frontend = (listener(SHARED, "a/shop:80"), rule("shop", (f"{SHARED}/a/shop:80",), "shop"), *backend("shop"))
    assert scopes.change([gateway("a/@mesh"), *frontend], ()).changed == {}
    expected = {f"Listener {SHARED}/a/shop:80", "HttpRule shop", "Backend shop", "EndpointSet shop"}
    assert shown(scopes, "a/@mesh") == expected | {"Gateway a/@mesh"}
    assert keys(scopes.change([gateway("b/@mesh")], ()).opened["b/@mesh"]) == (expected | {"Gateway b/@mesh"}, set())
    division = scopes.change([EndpointSet("shop", SOURCE)], ())
    assert {scope: keys(change) for scope, change in division.changed.items()} == {
        "a/@mesh": ({"EndpointSet shop"}, set()),
        "b/@mesh": ({"EndpointSet shop"}, set()),
    }


def test_consumers_get_their_own_listeners_beside_the_shared_ones() -> None:
    """A rule that is bound to both keeps both bindings in the consumers' namespace, and what it needs goes when neither needs it."""
    scopes = Scopes()
    scopes.change([gateway("a/@mesh"), gateway("b/@mesh"), listener(SHARED), listener("a/@mesh"), *backend("shop")], ())
    both = rule("shop", (f"{SHARED}/web", "a/@mesh/web"), "shop")
    division = scopes.change([both], ())
    assert both in division.changed["a/@mesh"].set
    assert rule("shop", (f"{SHARED}/web",), "shop") in division.changed["b/@mesh"].set
    division = scopes.change([rule("shop", ("a/@mesh/web",), "shop")], ())
    assert keys(division.changed["a/@mesh"]) == ({"HttpRule shop"}, set())
    assert keys(division.changed["b/@mesh"]) == (set(), {"HttpRule shop", "Backend shop", "EndpointSet shop"})


def test_workloads_are_known_everywhere() -> None:
    """Every namespace of the mesh and every Gateway gets all workloads, to know whom it speaks to."""
    scopes = two_gateways()
    scopes.change([gateway("a/@mesh")], ())
    division = scopes.change([Workload("a/pod", SOURCE, ("10.0.0.1",), "default")], ())
    assert {scope: keys(change) for scope, change in division.changed.items()} == dict.fromkeys(
        ("a/one", "a/two", "a/@mesh"), ({"Workload a/pod"}, set())
    )
    assert "Workload a/pod" in keys(scopes.change([gateway("b/@mesh")], ()).opened["b/@mesh"])[0]
