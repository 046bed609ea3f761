"""What is explained of calls to hosts of ServiceEntries, from the resources that a sidecar has of them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.explain import Explanation
from gateway.offline import Offline
from tests.wire.entries import entry, shown

DOCUMENTS = (
    entry("web", "{hosts: [a.example, '*.b.example'], ports: [{number: 80, name: http, protocol: HTTP}]}"),
    entry("pay", "{hosts: [pay.example], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}"),
    entry("db", "{hosts: [db.example], addresses: [192.0.2.0/24], resolution: STATIC, endpoints: [{address: 203.0.113.5}], ports: ["
          "{number: 5432, name: tcp, protocol: TCP}, {number: 80, name: http, protocol: HTTP}]}"),
)  # fmt: skip


def explain(url: str, method: str = "GET", outbound: Any = "AllowAny", **question: Any) -> Explanation:
    with Offline(shown(*DOCUMENTS, outbound=outbound)) as offline:
        assert offline.rejections == ()
        return msgspec.convert(offline.explain({"url": url, "method": method, **question}), Explanation)


def test_a_host_is_known_without_a_destination() -> None:
    """The URL is what the workload would dial: an address that DNS gives, and that no listener names; the entry is said."""
    for url, host in (("http://a.example/", "a.example"), ("http://x.y.b.example/", "*.b.example")):
        said = explain(url)
        assert said.listener is not None
        assert said.listener.why == (
            "captured on its way to port 80 of an address that no listener names; "
            "it is for this port of every address that no other listener names"
        )
        assert said.rule is not None
        assert (said.rule.kind, said.rule.route, said.rule.rule) == ("ServiceEntry", "default/web", "http")
        assert said.portions[0].backend == f"@external/default/web/{host}:80/client"
        assert [each.address for each in said.portions[0].endpoints] == ["an address that its name has, port 80"]
        assert "what does not begin as a request of HTTP is passed on as TCP; silence is waited out" in said.notes


def test_the_server_name_decides_of_tls() -> None:
    """tls:// names it; https:// says what to ask."""
    said = explain("tls://pay.example:443", "CONNECT")
    assert said.rule is not None
    assert (said.rule.kind, said.rule.route) == ("ServiceEntry", "default/pay")
    assert [each.address for each in said.portions[0].endpoints] == ["pay.example:443"]
    assert "TLS is looked into for its server name, and passed on as it is" in said.notes
    assert explain("https://pay.example/").closed.endswith("write CONNECT tls://pay.example:443")


def test_the_block_of_an_address_is_said() -> None:
    """With addresses it is where the call goes that counts, by whatever name."""
    for url in ("tcp://192.0.2.7:5432", "tcp://db.example:5432"):
        said = explain(url, "CONNECT", **({} if "192" in url else {"destination": ["192.0.2.7", 5432]}))
        assert said.listener is not None
        assert said.listener.why == "captured on its way to 192.0.2.7:5432; it is for this port of 192.0.2.0/24"
        assert [each.address for each in said.portions[0].endpoints] == ["203.0.113.5:5432"]
    said = explain("http://db.example/")
    assert said.listener is not None
    assert said.listener.why == "captured on its way to 192.0.2.0:80; it is for this port of 192.0.2.0/24"


def test_what_no_entry_names_is_not_served_with_registry_only() -> None:
    """Another host at the port is answered 404, another server name ended."""
    said = explain("http://c.example/", outbound="RegistryOnly", destination=["198.51.100.1", 80])
    assert said.reply is not None
    assert said.reply.status == 404
    said = explain("tls://c.example:443", "CONNECT", outbound="RegistryOnly", destination=["198.51.100.1", 443])
    assert said.closed == "no route is for this server name"
