"""What a listener says of the routes it takes changes under a kept-alive connection, and no rule with it."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.ir.rule import Binding, HttpRule, Match, PathMatch
from gateway.ir.value import Source
from tests.wire.backends import Echo
from tests.wire.flights import Connection
from tests.wire.streaming import StreamSite, backend, http_rule, listener

HTTP = listener("http", 80, "HTTP")


def rule(name: str, namespace: str, path: str, hostname: str = "") -> HttpRule:
    """Of a route of a namespace, to the backend of its name."""
    return replace(
        http_rule("http", name, name), source=Source("HTTPRoute", namespace, name), route=f"{namespace}/{name}",
        bindings=(Binding(HTTP.key, (hostname,)),), matches=(Match(PathMatch("PathPrefix", path)),),
    )  # fmt: skip


class Site(StreamSite):
    """With one connection, kept alive."""

    def __init__(self, blue: Echo, green: Echo, *rules: HttpRule) -> None:
        to = tuple(backend(echo.name, echo.port, protocol="http/1.1") for echo in (blue, green))
        super().__init__(HTTP, *to, rules)
        self._connection = Connection(self.address(80))

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        super().__exit__()

    def ask(self, host: str = "a.test") -> str | int:
        """The backend that answers, or the status where none does."""
        self._connection.send("GET", "/x", [("Host", host)])
        status, fields, _ = self._connection.response()
        return dict(fields).get("echo", "").partition("/")[0] or status


def test_rules_of_a_namespace_are_served_from_when_it_is_taken(blue: Echo, green: Echo) -> None:
    """allowedRoutes.namespaces.from Selector: a rule of a namespace that is not taken is as if it was not there, 404 where no other
    matches."""
    with Site(blue, green, rule("blue", "team", "/x"), rule("green", "shop", "/")) as site:
        assert site.ask() == "blue"
        for namespaces, expected in (((), 404), (("shop",), "green"), (("shop", "team"), "blue"), (("other",), 404), (None, "blue")):
            site.put(replace(HTTP, namespaces=namespaces))
            assert [site.ask(), site.ask()] == [expected, expected]


def test_a_rule_serves_what_the_hostname_of_its_listener_covers(blue: Echo, green: Echo) -> None:
    """Listener.hostname: of the hostnames that cover all of it none comes before another, so that the longer path does; hosts that it does
    not cover are 404."""
    with Site(blue, green, rule("blue", "shop", "/x"), rule("green", "shop", "/", "*.test")) as site:
        for hostname, expected in (("", "green"), ("a.test", "blue"), ("*.test", "blue"), ("b.test", 404), ("", "green")):
            site.put(replace(HTTP, hostname=hostname))
            assert [site.ask(), site.ask()] == [expected, expected]
        assert site.ask("a.org") == "blue"
