"""AuthorizationPolicies at a Gateway, through real sockets: requests of every version, gRPC calls, TCP, TLS and UDP; and what is said of
denials."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.wire.backends import LIMIT, Echo, Scripted
from tests.wire.conftest import Serve
from tests.wire.datagrams import Answering
from tests.wire.grpc_peers import GrpcClient, GrpcEcho
from tests.wire.pairings import every_pairing
from tests.wire.peers import Wire, get
from tests.wire.secure import gateway, https, trust, trusting, validation
from tests.wire.serving import Site, certificate, service
from tests.wire.streaming import echo, read_exactly
from tests.wire.test_stream_policies import GATEWAY as STREAMS
from tests.wire.test_stream_policies import route as stream_route
from tests.wire.test_stream_policies import service as stream_service

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]\n"
ACCOUNT = "spiffe://cluster.local/ns/team/sa/billing"


def policy(name: str = "p", action: str = "ALLOW", *rules: object, **spec: object) -> str:
    """An AuthorizationPolicy for the Gateways of the default namespace."""
    return json.dumps(
        {"kind": "AuthorizationPolicy", "metadata": {"name": name}, "spec": {"action": action, "rules": list(rules), **spec}}
    )


def operation(**fields: object) -> dict[str, object]:
    return {"to": [{"operation": fields}]}


def source(**fields: object) -> dict[str, object]:
    return {"from": [{"source": fields}]}


def when(key: str, *values: str) -> dict[str, object]:
    return {"when": [{"key": key, "values": list(values)}]}


def explained(site: Site, url: str = "http://example.com/", method: str = "GET", **who: str) -> Any:
    return site._explain({"method": method, "url": url, **who})


def denied(site: Site) -> dict[str, float]:
    samples = [dict(sample.labels) | {"value": sample.value} for sample in site.statistics().counters if "_denied_" in sample.name]
    return {str(sample["policy"]): float(sample["value"]) for sample in samples}


@every_pairing
def test_a_denied_request_is_403(serve: Serve, blue: Echo) -> None:
    """The answer, the log and the counters name the policy; no backend sees the request, and the connection is kept."""
    site = serve(TO_BLUE, policy("admin", "DENY", operation(paths=["/admin*"])))
    answer = site.ask("/admin/users?x")
    assert (answer.status, answer.counted.flags, answer.reason) == (403, "RBAC", "denied by AuthorizationPolicy default/admin, rule 0")
    assert site.ask("/shop").status == 200
    assert [request.target for request in blue.requests] == ["/shop"]
    first = site.log.wait_for(2)[0]
    assert (first["flags"], first["status"], first["reason"], first["route"]) == ("RBAC", 403, answer.reason, None)
    assert denied(site) == {"default/admin": 1}


@every_pairing
def test_what_no_policy_allows_is_denied(serve: Serve, blue: Echo) -> None:
    """With an ALLOW policy only what one of them matches passes, and DENY goes before; without a policy again everything."""
    reading, one = operation(methods=["GET", "HEAD"]), when("request.headers[x-team]", "blue")
    no = policy("no", "DENY", operation(hosts=["evil.test"]))
    site = serve(TO_BLUE, policy("read", "ALLOW", reading), policy("team", "ALLOW", one), no)
    assert site.ask().status == 200
    assert site.ask(method="DELETE").reason == "no AuthorizationPolicy allows it; there is default/read, default/team"
    assert site.ask(method="DELETE", headers=[("X-Team", "blue")]).status == 200
    assert site.ask(host="EVIL.test:80").status == 403
    assert denied(site) == {"": 1, "default/no": 1}
    site.change(TO_BLUE)
    assert site.ask(method="DELETE", host="evil.test").status == 200


def test_slashes_count_as_one_where_a_policy_holds(serve: Serve, blue: Echo) -> None:
    """Whoever writes a slash twice, a dot segment or an escape gets no further than who does not; without a policy slashes stay."""
    deny = policy("admin", "DENY", operation(paths=["/admin/*", "/admin"]))
    site = serve(TO_BLUE, deny)
    for target in ("/admin", "//admin", "/x/..//admin/a", "/%61dmin/a", "/./admin//", "/admin/%2e/"):
        assert site.ask(target).status == 403, target
    assert site.ask("//shop//1").request.target == "/shop/1"
    site.change(TO_BLUE)
    assert site.ask("//shop").request.target == "//shop"


def test_denials_come_before_routes(serve: Serve) -> None:
    """Who is denied does not learn which routes there are."""
    site = serve("- matches: [{path: {value: /shop}}]\n  backendRefs: [{name: blue, port: 80}]\n", policy("none"))
    assert [site.ask(path).status for path in ("/shop", "/nowhere")] == [403, 403]


def test_addresses(serve: Serve) -> None:
    """ipBlocks is the connection's other end, remoteIpBlocks the client that a trusted proxy names, which nobody else can choose."""
    there = [("X-Forwarded-For", "203.0.113.9")]
    trusting_proxy = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], trustedHops: 1}"
    by_source = policy("a", "DENY", source(ipBlocks=["203.0.113.0/24"]))
    by_remote = policy("b", "DENY", source(remoteIpBlocks=["203.0.113.9"]))
    site = serve(TO_BLUE, by_source, trusting_proxy)
    assert site.ask(headers=there).status == 200
    site.change(TO_BLUE, by_remote, trusting_proxy)
    assert [site.ask(headers=there).status, site.ask().status] == [403, 200]
    site.change(TO_BLUE, by_remote)
    assert site.ask(headers=there).status == 200
    site.change(TO_BLUE, policy("c", "DENY", source(ipBlocks=["127.0.0.0/8"])))
    assert site.ask(headers=there).status == 403


def test_a_header_sent_twice_gets_around_nothing(serve: Serve) -> None:
    """Neither a denial for one value nor a permission for one."""
    twice = [("X-Team", "blue"), ("X-Team", "red")]
    site = serve(TO_BLUE, policy("deny", "DENY", when("request.headers[X-Team]", "red")))
    assert [site.ask(headers=fields).status for fields in (twice, twice[:1], twice[1:])] == [403, 200, 403]
    site.change(TO_BLUE, policy("allow", "ALLOW", when("request.headers[x-team]", "blue")))
    assert [site.ask(headers=fields).status for fields in (twice, twice[:1], twice[1:], ())] == [403, 200, 403, 403]


def test_an_audited_request_leaves_a_mark(serve: Serve) -> None:
    """Its line in the log names policy and rule, and it passes; one that is denied is marked too. Others have no such field."""
    site = serve(TO_BLUE, policy("seen", "AUDIT", operation(paths=["/a*"])), policy("no", "DENY", operation(paths=["/ab"])))
    assert [site.ask(path).status for path in ("/a", "/ab", "/b")] == [200, 403, 200]
    assert [line.get("audit") for line in site.log.wait_for(3)] == ["default/seen rule 0", "default/seen rule 0", None]


def test_identity_from_a_client_certificate(serve: Serve, tmp_path: Path) -> None:
    """The one URI of a certificate that had to verify is the principal; a name of another kind, or two URIs, is none."""
    authority = Authority()
    site = serve(
        gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}),
        certificate("server", authority.issue("example.com")), trust("ca", authority), TO_BLUE,
        policy("team", "ALLOW", source(principals=["cluster.local/ns/team/sa/*"], namespaces=["team"])),
    )  # fmt: skip
    statuses = []
    for names in ((ACCOUNT,), ("billing.test",), (ACCOUNT, ACCOUNT.replace("billing", "other")), (ACCOUNT.replace("team", "desk"),)):
        context = trusting(authority, authority.issue(*names, usage="client"), tmp_path)
        with Wire(site, 443, tls=context, server_name="example.com") as wire:
            statuses += [wire.ask(get()).status for _ in range(2)]
    assert statuses == [200, 200, 403, 403, 403, 403, 403, 403]
    said = {caller: explained(site, "https://example.com/", caller=caller)["reply"] for caller in ("team/billing", "desk/billing", "")}
    assert [caller for caller, reply in said.items() if reply is None] == ["team/billing"]


def test_a_denied_call_is_permission_denied(
    serve: Serve, grpc_echo: Callable[..., GrpcEcho], grpc_client: Callable[..., GrpcClient]
) -> None:
    """A gRPC call has status 7 (PERMISSION_DENIED), by path as the method's name is written there."""
    one = grpc_echo("one")
    site = serve(
        service("one", one.port),
        'kind: GRPCRoute\nmetadata: {name: route}\nspec: {rules: [{backendRefs: [{name: one, port: 80}]}]}',
        policy("method", "DENY", operation(paths=["*/Unary"])),
    )  # fmt: skip
    client = grpc_client(site.address())
    assert (client.unary(b"").status, client.unary(b"", method="Other").status) == (7, 0)


def test_tcp_and_tls(serve: Serve, scripted: Callable[..., Scripted], tmp_path: Path) -> None:
    """A connection that is denied is closed before a backend knows of it; by port, address and server name."""
    authority = Authority()
    backend = scripted(echo(), echo(), echo())
    documents = (
        STREAMS, certificate("pair", authority.issue("ended.test")),
        stream_service("db", 5432, backend.port), stream_route("TCPRoute", "db", 5432),
        stream_service("ended", 443, backend.port), stream_route("TLSRoute", "ended", 443, hostnames=["ended.test"]),
    )  # fmt: skip
    site = serve(*documents, policy("db", "DENY", operation(ports=["5432"], methods=["GET"]) | source(ipBlocks=["127.0.0.1"])))
    with pytest.raises(ConnectionResetError), site.connect(5432) as connection:  # maybe before the client knows that it is there
        connection.recv(1)
    with Wire(site, 443, tls=trusting(authority), server_name="ended.test") as wire:
        wire.send(b"hello")
        assert read_exactly(wire.socket, 5) == b"hello"
    site.change(*documents, policy("sni", "DENY", when("connection.sni", "*.test")))
    with site.connect(5432) as connection:
        connection.sendall(b"hello")
        assert read_exactly(connection, 5) == b"hello"
    with contextlib.suppress(OSError), Wire(site, 443, tls=trusting(authority), server_name="ended.test") as wire:
        wire.send(b"hello")
        assert wire.socket.recv(1) == b""
    lines = site.log.wait_for(4)
    reasons = {line["reason"] for line in lines if line["flags"] == "RBAC"}
    assert reasons == {f"denied by AuthorizationPolicy default/{name}, rule 0" for name in ("db", "sni")}
    assert denied(site) == {"default/db": 1, "default/sni": 1}


def test_a_rule_of_http_never_allows_a_connection(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Fields of HTTP on TCP: what allows by them allows nothing, and `explain` says so."""
    backend = scripted(echo())
    site = serve(
        STREAMS.replace("  - {name: ended", "  #").replace("  - {name: passed", "  #"),
        stream_service("db", 5432, backend.port), stream_route("TCPRoute", "db", 5432), policy("get", "ALLOW", operation(methods=["GET"])),
    )  # fmt: skip
    with pytest.raises(ConnectionResetError), site.connect(5432) as connection:  # maybe before the client knows that it is there
        connection.recv(1)
    said = site.explain_stream("tcp://127.0.0.1:5432")
    assert said["closed"] == "no AuthorizationPolicy allows it; there is default/get [RBAC]"
    assert said["policies"][0]["outcome"] == "rule 0: fields of HTTP does not match"


def test_datagrams(serve: Serve) -> None:
    """No flow begins for a client that is denied; its datagrams are dropped and counted."""
    dns = Answering(b"re: ")
    documents = (
        STREAMS.replace("  - {name: ended", "  #").replace("  - {name: passed", "  #"),
        stream_service("dns", 53, dns.port, "UDP"), stream_route("UDPRoute", "dns", 53),
    )  # fmt: skip
    site = serve(*documents, policy("dns", "DENY", operation(ports=["53"])))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(LIMIT)
        client.connect(("127.0.0.1", site.sockets.datagrams[53]))
        client.send(b"one")
        site._thread.call(lambda: None)
        site.change(*documents, policy("other", "DENY", operation(ports=["54"])))
        client.send(b"two")
        assert client.recv(100) == b"re: two"
    assert denied(site) == {"default/dns": 1}
    dns.close()


def test_a_policy_that_a_proxy_cannot_build_denies_everything(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What translation let through by mistake is no way in."""
    monkeypatch.setattr("controller.translate.mesh.reading.block", str)
    monkeypatch.setattr("controller.translate.mesh.reading.Reading._values", lambda self, given, place, read: tuple(given))
    site = serve(TO_BLUE)
    site.change(TO_BLUE, policy("bad", "ALLOW", source(ipBlocks=["here"])), refused=True)
    assert site.ask().reason == "denied by AuthorizationPolicy default/bad, rule that cannot be built"


def test_every_policy_is_explained(serve: Serve) -> None:
    """`explain` shows what each policy considered says, whether it decides or not."""
    deny = policy("d", "DENY", operation(paths=["/x"]), source(namespaces=["team"]))
    site = serve(TO_BLUE, policy("a", "ALLOW", operation(methods=["GET"])), deny)
    said = explained(site, "http://example.com/x", caller="desk/billing")
    assert [(each["action"], each["policy"], each["outcome"]) for each in said["policies"]] == [
        ("DENY", "default/d", "rule 0 matches"),
        ("ALLOW", "default/a", "rule 0 matches"),
    ]
    said = explained(site, caller="desk/billing", client="192.0.2.1")
    assert said["policies"][0]["outcome"] == "rule 0: paths does not match; rule 1: namespaces does not match"
    assert said["reply"] is None
