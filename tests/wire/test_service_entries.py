"""ServiceEntries in the sidecar of a caller: connections that capture rules bring here, on their way to hosts outside the cluster."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gateway.proxy.captured
import gateway.proxy.detecting
import gateway.upstream.resolve
from controller.translate.options import Outbound
from gateway.ir.workload import Workload
from tests.certificates import Authority
from tests.faults.waiting import until
from tests.gateway.net.hellos import captured as hello
from tests.wire.backends import Conversation, Scripted
from tests.wire.captured_fixtures import CAPTURED
from tests.wire.capturing import MESH, OTHER, OTHER_6, OWN, PodSockets, captured, refuses
from tests.wire.entries import entry, shown
from tests.wire.peers import OK, Recorder, get
from tests.wire.streaming import StreamSite, echo, read_all, read_exactly, serving

pytestmark = CAPTURED

Make = Callable[..., Scripted]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
"""As long as what a client gets."""
DNS_NAME = "backend.test"


def site(*documents: str, outbound: Outbound = "AllowAny", others: tuple[Any, ...] = ()) -> StreamSite:
    made = StreamSite(shown(*documents, outbound=outbound), *others, sockets=PodSockets())
    assert made.rejections == ()
    return made


def http(name: str, host: str, port: int, extra: str = "") -> str:
    """An entry for a host at port 80 whose one endpoint is at OTHER."""
    ports, endpoints = f"[{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]", f"[{{address: {OTHER}}}]"
    return entry(name, f"{{hosts: ['{host}'], ports: {ports}, resolution: STATIC, endpoints: {endpoints}{extra}}}")


def ask(address: str, port: int, host: str) -> bytes:
    """The status line's beginning."""
    with captured(address, port) as client:
        client.sendall(get(b"Connection: close", host=host.encode()))
        return read_all(client)[:12]


def said(address: str, port: int, data: bytes, *, pieces: bool = False) -> bytes:
    """What an echo sends back."""
    with captured(address, port) as client:
        for piece in [data[at : at + 1] for at in range(len(data))] if pieces else [data]:
            client.sendall(piece)
        return read_exactly(client, len(data))


# requests


def test_hosts_share_a_port_of_every_address(server: Make) -> None:
    """Without addresses a request goes by its Host, whatever address it was on its way to; wildcards stand for any labels."""
    exact, wild = Recorder(), Recorder()
    documents = http("a", "api.example", server(exact).port), http("b", "*.cdn.example", server(wild).port)
    with site(*documents, outbound="RegistryOnly"):
        for address, host in ((OWN, "API.example"), (OTHER_6, "api.example:80"), (OTHER, "a.b.cdn.example"), (OTHER, "c.cdn.example")):
            assert ask(address, 80, host) == b"HTTP/1.1 200"
    hosts = [[request.values(b"host")[0] for request in each.requests] for each in (exact, wild)]
    assert hosts == [[b"API.example", b"api.example:80"], [b"a.b.cdn.example", b"c.cdn.example"]]


def test_a_host_gets_what_the_application_sent(server: Make) -> None:
    """Nothing is added that would tell strangers of the cluster; what the application says in such fields is passed on, but no identity."""
    recorder = Recorder()
    with site(http("a", "a.example", server(recorder).port)), captured(OTHER, 80) as client:
        own = (b"X-Forwarded-For: 192.0.2.1", b"X-Request-Id: mine", b"X-Forwarded-Client-Cert: By=me", b"Connection: close")
        client.sendall(get(*own, host=b"a.example"))
        assert read_all(client).startswith(b"HTTP/1.1 200")
        assert ask(OTHER, 80, "a.example") == b"HTTP/1.1 200"
    first, second = recorder.requests
    names = {line.partition(b":")[0].lower() for line in second.head.split(b"\r\n")[1:] if line}
    said = {name: first.values(name) for name in (b"x-forwarded-for", b"x-request-id", b"x-forwarded-client-cert")}
    assert list(said.values()) == [[b"192.0.2.1"], [b"mine"], []]
    assert not {name for name in names if name.startswith((b"x-", b"forwarded"))}


def test_a_host_that_nobody_names_passes_to_where_it_was_going(server: Make) -> None:
    """AllowAny: requests for other hosts at the port, and what is no request; the entry takes only its own."""
    named, other = Recorder(), Recorder()
    port = server(other).port
    raw = server(echo()).port
    ports = f"[{{number: {port}, name: a, protocol: HTTP, targetPort: {server(named).port}}}, {{number: {raw}, name: b, protocol: HTTP}}]"
    spec = f"{{hosts: [api.example], ports: {ports}, resolution: STATIC, endpoints: [{{address: {OTHER}}}]}}"
    with site(entry("a", spec)):
        assert ask(OTHER, port, "elsewhere.example") == b"HTTP/1.1 200"
        assert ask(OTHER, port, "api.example") == b"HTTP/1.1 200"
        assert said(OTHER, raw, b"\0bytes") == b"\0bytes"
    assert [len(each.requests) for each in (named, other)] == [1, 1]


def test_registry_only_opens_what_entries_name_and_nothing_else(server: Make) -> None:
    """RegistryOnly: other hosts are answered 404, other bytes, server names and ports are refused."""
    tls = "{hosts: [tls.example], ports: [{number: 443, name: tls, protocol: TLS}]}"
    with site(http("a", "api.example", server(Recorder()).port), entry("tls", tls), outbound="RegistryOnly") as mesh:
        assert ask(OTHER, 80, "api.example") == b"HTTP/1.1 200"
        assert ask(OTHER, 80, "api.example.org") == b"HTTP/1.1 404"
        assert refuses(OTHER, 80, "Outbound", b"\0bytes")
        assert refuses(OTHER, 443, "Outbound", hello("other.example"))
        assert refuses(OTHER, 443, "Outbound", hello(None))
        assert refuses(OTHER, 443, "Outbound", get(host=b"tls.example"))
        assert refuses(OTHER, 8080)
        assert {line["flags"] for line in mesh.log.wait_for(7)} == {"-", "NR"}


def test_an_entry_that_is_wrong_harms_no_other(server: Make) -> None:
    """It opens nothing, also not what of it could be understood."""
    wrong = entry("wrong", "{hosts: [b.example], ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {a: b}}}")
    with site(http("a", "a.example", server(Recorder()).port), wrong, outbound="RegistryOnly"):
        assert ask(OTHER, 80, "a.example") == b"HTTP/1.1 200"
        assert ask(OTHER, 80, "b.example") == b"HTTP/1.1 404"


def test_a_client_that_thinks_first_is_waited_for(server: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture.patient: where only a host or server name tells where a call goes, silence says nothing."""
    recorder = Recorder()
    for module in (gateway.proxy.detecting, gateway.proxy.captured):
        monkeypatch.setattr(module, "SILENCE", 0.0)
    with site(http("a", "a.example", server(recorder).port)), captured(OTHER, 80) as client:
        assert ask(OTHER, 80, "a.example") == b"HTTP/1.1 200"  # after which the silent one has long been accepted
        client.sendall(get(b"Connection: close", host=b"a.example"))
        assert read_all(client).startswith(b"HTTP/1.1 200")
    assert len(recorder.requests) == 2


# TLS


def test_tls_goes_by_its_server_name_and_is_not_ended(server: Make, tmp_path: Path) -> None:
    """Protocols TLS and HTTPS: the certificate is the server's own; without addresses, whatever the destination was."""
    authority = Authority()

    def answering(name: str) -> Callable[[Conversation], None]:
        context = serving(authority, name, tmp_path)

        def script(conversation: Conversation) -> None:
            with context.wrap_socket(conversation.connection, server_side=True) as secure:
                secure.sendall(name.encode())

        return script

    ports = {name: server(answering(name)).port for name in ("pay.example", "www.pay.example")}

    def tls(name: str, host: str, protocol: str, port: int) -> str:
        known = f"[{{number: 443, name: tls, protocol: {protocol}, targetPort: {port}}}]"
        return entry(name, f"{{hosts: ['{host}'], ports: {known}, resolution: STATIC, endpoints: [{{address: {OTHER}}}]}}")

    documents = (
        tls("exact", "pay.example", "TLS", ports["pay.example"]), tls("wild", "*.pay.example", "HTTPS", ports["www.pay.example"]),
    )  # fmt: skip
    context = ssl.create_default_context(cadata=authority.certificate)
    with site(*documents, outbound="RegistryOnly") as mesh:
        for name in ports:
            with context.wrap_socket(captured(OWN, 443), server_hostname=name) as client:
                assert client.recv(100) == name.encode()
        lines = mesh.log.wait_for(2)
        assert sorted(line["server_name"] for line in lines) == ["pay.example", "www.pay.example"]
        explained = mesh.explain("tls://www.pay.example:443")
        assert (explained["rule"]["kind"], explained["rule"]["route"]) == ("ServiceEntry", "default/wild")


def test_a_client_hello_is_read_however_it_comes_and_passed_on_whole(server: Make) -> None:
    """Byte by byte, and with what follows it. Another name, and what only begins like TLS, passes to where it was going."""
    named, other = server(echo()), server(echo())
    spec = f"{{hosts: [a.example], ports: [{{number: {other.port}, name: tls, protocol: TLS, targetPort: {named.port}}}],"
    with site(entry("a", f"{spec} resolution: STATIC, endpoints: [{{address: {OTHER}}}]}}")):
        first = hello("a.example")
        assert said(OTHER, other.port, first, pieces=True) == first
        assert said(OTHER, other.port, first + b"early") == first + b"early"
        assert (named.connections, other.connections) == (2, 0)
        for data in (hello("b.example"), hello(None), b"\x16\x03\x01\x00\x05nope!", b"SSH-2.0-x\r\n"):
            assert said(OTHER, other.port, data) == data
        assert (named.connections, other.connections) == (2, 4)


# addresses


def test_the_longest_block_serves_and_addresses_come_first(server: Make) -> None:
    """With addresses a call goes by its destination: an address, the longest CIDR, the port of every address; of IPv6 likewise."""

    def naming(name: bytes) -> Callable[[Conversation], None]:
        return lambda conversation: conversation.send(name)

    def tcp(name: str, addresses: str) -> str:
        port = server(naming(name.encode())).port
        ports = f"[{{number: 5432, name: tcp, protocol: TCP, targetPort: {port}}}]"
        where = f"resolution: STATIC, endpoints: [{{address: {OTHER}}}]"
        return entry(name, f"{{hosts: [{name}.example], addresses: [{addresses}], ports: {ports}, {where}}}")

    documents = (
        tcp("host", "127.0.1.1"), tcp("narrow", "127.0.1.0/24"), tcp("wide", "127.0.0.0/8"), tcp("six", "'fd00::/8'"), tcp("any", ""),
    )  # fmt: skip

    def heard(address: str) -> bytes:
        with captured(address, 5432) as client:
            return read_all(client)

    with site(*documents, outbound="RegistryOnly"):
        found = [heard(address) for address in ("127.0.1.1", "127.0.1.2", "127.0.2.1", OTHER_6, OTHER)]
        assert found == [b"host", b"narrow", b"wide", b"six", b"any"]
        assert refuses("127.0.1.1", 5433)


def test_a_pod_s_own_address_is_no_entry_s(server: Make) -> None:
    """A port of every address that anything may use is not meant to have calls to Pods, as those of headless Services are."""
    to_pod, to_entry = server(lambda conversation: conversation.send(b"pod")), server(lambda conversation: conversation.send(b"entry"))
    ports = f"[{{number: {to_pod.port}, name: tcp, protocol: TCP, targetPort: {to_entry.port}}}]"
    spec = f"{{hosts: [db.example], ports: {ports}, resolution: STATIC, endpoints: [{{address: {OTHER}}}]}}"
    workload = Workload("default/db-0", MESH, (OTHER,), "default")
    with site(entry("db", spec)) as mesh:
        for others, name in (((), b"entry"), ((workload,), b"pod")):
            mesh.put(*others)
            with captured(OTHER, to_pod.port) as client:
                assert read_all(client) == name


# DNS


def named(port: int, resolution: str = "DNS", protocol: str = "HTTP") -> str:
    ports = f"[{{number: 80, name: a, protocol: {protocol}, targetPort: {port}}}]"
    return entry("named", f"{{hosts: [{DNS_NAME}], ports: {ports}, resolution: {resolution}}}")


def request(client: socket.socket) -> None:
    client.sendall(get(host=DNS_NAME.encode()))
    assert read_exactly(client, len(ANSWER)).endswith(b"ok")


def names(mesh: StreamSite, *addresses: str) -> None:
    """What DNS answers from now on."""
    mesh.run(lambda: setattr(mesh.runtime._core.resolver, "_look_up", lambda name: addresses if name == DNS_NAME else ()))


@pytest.mark.parametrize(("resolution", "answered"), [("DNS", [1, 1]), ("DNS_ROUND_ROBIN", [2, 0])])
def test_requests_move_when_dns_answers_anew(server: Make, monkeypatch: pytest.MonkeyPatch, resolution: str, answered: list[int]) -> None:
    """DNS: connections to an address that the name has no longer are not used again, however busy. DNS_ROUND_ROBIN: they go on."""
    monkeypatch.setattr(gateway.upstream.resolve, "FRESH", -1.0)
    first, second = Recorder(OK, OK), Recorder(OK, OK)
    port = server(first, address=OWN).port
    server(second, address=OTHER, port=port)
    with site(named(port, resolution)) as mesh, captured(OTHER, 80) as client:
        resolver = mesh.runtime._core.resolver
        names(mesh, OWN)
        request(client)
        names(mesh, OTHER)
        [backend] = mesh.run(lambda: [each for key, each in mesh.runtime._live.described.items() if key.startswith("@external/")])
        until(lambda: mesh.run(lambda: resolver.current(DNS_NAME)) == (OTHER,), "DNS was not asked again")
        mesh.run(lambda: backend.age(11))
        request(client)
    assert [len(each.requests) for each in (first, second)] == answered


def test_a_stream_goes_where_dns_says_when_it_begins(server: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of TCP each connection asks; those that there are go on."""
    monkeypatch.setattr(gateway.upstream.resolve, "FRESH", -1.0)
    port = server(echo(b"one"), address=OWN).port
    server(echo(b"two"), address=OTHER, port=port)
    with site(named(port, protocol="TCP")) as mesh:
        names(mesh, OWN)
        with captured(OTHER, 80) as client:
            assert read_exactly(client, 3) == b"one"
            names(mesh, OTHER)
            until(lambda: mesh.run(lambda: mesh.runtime._core.resolver.current(DNS_NAME)) == (OTHER,), "DNS was not asked again")
            with captured(OTHER, 80) as later:
                assert read_exactly(later, 3) == b"two"
            client.sendall(b"on")
            assert read_exactly(client, 2) == b"on"


def test_another_address_of_a_name_is_tried_where_nobody_is(server: Make) -> None:
    """Resolution DNS without endpoints asks for the host itself; a connection that is refused is none of the client's."""
    recorder = Recorder()
    port = server(recorder).port
    with site(named(port)) as mesh:
        names(mesh, "127.0.0.9", OTHER)
        for _ in range(4):
            assert ask(OWN, 80, DNS_NAME) == b"HTTP/1.1 200"
    assert len(recorder.requests) == 4


def test_a_name_that_dns_does_not_know_is_answered_503(server: Make) -> None:
    """And the reason names it."""
    with site(named(80)) as mesh:

        def unknown(name: str) -> tuple[str, ...]:
            raise OSError(f"{name} has no address")

        mesh.run(lambda: setattr(mesh.runtime._core.resolver, "_look_up", unknown))
        assert ask(OTHER, 80, DNS_NAME) == b"HTTP/1.1 503"
        [line] = mesh.log.wait_for(1)
        assert DNS_NAME in line["reason"]
