"""The data plane's tables without its sockets."""

from __future__ import annotations

from gateway.ir.backend import Backend, Endpoint, EndpointSet
from gateway.ir.filters import RequestHeaderModifier
from gateway.ir.listener import Gateway, Listener
from gateway.ir.rule import BackendRef, Binding, HttpRule
from gateway.ir.value import Source
from gateway.offline import Offline

SOURCE = Source("Gateway", "default", "web")
LISTENER = Listener(
    key="default/web/http", source=SOURCE, gateway="default/web", name="http", address="127.0.0.1", port=80, bind_port=80, location_port=80,
    protocol="HTTP",
)  # fmt: skip
BINDINGS = (Binding(LISTENER.key, ("",)),)


def test_what_a_proxy_could_not_build_is_named() -> None:
    """Design 4: a rejected rule is named with its reason, and answers 500; the others serve."""
    bad = HttpRule(
        key="HTTPRoute/default/a/0", source=SOURCE, route="default/a", index=0, bindings=BINDINGS,
        filters=(RequestHeaderModifier(set=(("host\r\n", "x"),)),),
    )  # fmt: skip
    with Offline((Gateway(key="default/web", source=SOURCE), LISTENER, bad)) as offline:
        (rejection,) = offline.rejections
        answer = offline.explain({"url": "http://h/"})
    assert (rejection.kind, rejection.key) == ("HttpRule", bad.key)
    assert "is not a token" in rejection.reason
    assert answer["reply"]["status"] == 500


def test_the_admin_server_is_no_backend() -> None:
    """Issue 3: the admin port stays forbidden as a backend address."""
    endpoints = EndpointSet(key="default/b:80", source=SOURCE, endpoints=(Endpoint("127.0.0.1", 15000),))
    rule = HttpRule(
        key="HTTPRoute/default/a/0", source=SOURCE, route="default/a", index=0, bindings=BINDINGS, backends=(BackendRef("default/b:80"),)
    )
    with Offline((LISTENER, Backend(key="default/b:80", source=SOURCE), endpoints, rule), ("127.0.0.1", 15000)) as offline:
        (portion,) = offline.explain({"url": "http://h/"})["portions"]
    assert "itself" in portion["endpoints"][0]["fault"]


def test_nothing_is_bound() -> None:
    """The same port may be looked at twice at once: no socket is opened."""
    with Offline((LISTENER,)) as one, Offline((LISTENER,)) as other:
        assert one.explain({"url": "http://h/"}) == other.explain({"url": "http://h/"})
