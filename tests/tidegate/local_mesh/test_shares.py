"""What workers of Gateways are given of a mesh's resources; plain values."""

from __future__ import annotations

from gateway.ir.backend import Backend
from gateway.ir.listener import Capture, Gateway, Listener
from gateway.ir.policy import AuthorizationPolicy
from gateway.ir.rule import Binding, HttpRule
from gateway.ir.value import Source
from tidegate.local_mesh.shares import of_gateways

SOURCE = Source("HTTPRoute", "shop", "cart")
OWN, SHARED = Binding("shop/web/http", ("",)), Binding("@mesh/@mesh/shop/cart:80", ("",))


def rule(*bindings: Binding) -> HttpRule:
    return HttpRule("HTTPRoute/shop/cart/0", SOURCE, "shop/cart", 0, bindings)


def test_what_sidecars_alone_have_is_left_out() -> None:
    """Captured listeners and the scopes of namespaces are not even there; what is neither is everybody's."""
    listener = Listener("shop/web/http", SOURCE, "shop/web", "http", "127.0.0.1", 80, 80, 80, "HTTP")
    captured = Listener("@mesh/@mesh/shop/cart:80", SOURCE, "@mesh/@mesh", "x", "::", 80, 15001, 80, "HTTP", capture=Capture("Outbound"))
    backend, gateway, scope = Backend("shop/cart:80", SOURCE), Gateway("shop/web", SOURCE), Gateway("shop/@mesh", SOURCE)
    kept, gone = of_gateways((listener, captured, backend, gateway, scope), (("Backend", "old"),))
    assert kept == (listener, backend, gateway)
    assert gone == (("Backend", "old"), captured.identity, scope.identity)


def test_a_rule_has_its_bindings_to_gateways_and_is_gone_without_any() -> None:
    """A route may stand on a Gateway and on a Service."""
    assert of_gateways((rule(OWN, SHARED),), ()) == ((rule(OWN),), ())
    assert of_gateways((rule(SHARED),), ()) == ((), (("HttpRule", "HTTPRoute/shop/cart/0"),))


def test_a_policy_has_gateways_as_its_targets() -> None:
    """One for workloads alone is gone."""
    both = AuthorizationPolicy("shop/p", SOURCE, ("shop/@mesh", "shop/web"), "DENY", ())
    own = AuthorizationPolicy("shop/p", SOURCE, ("shop/web",), "DENY", ())
    theirs = AuthorizationPolicy("shop/p", SOURCE, ("shop/@mesh",), "DENY", ())
    assert of_gateways((both,), ()) == ((own,), ())
    assert of_gateways((theirs,), ()) == ((), (own.identity,))
