"""Listeners of protocol TLS: a connection goes where its server name says, with its TLS ended here or left to the backend."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import httpx
import pytest

from gateway.ir.listener import ClientValidation, TrustBundle
from gateway.ir.value import Source
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Echo, Scripted
from tests.wire.secure import careless, trusting
from tests.wire.streaming import (
    StreamSite,
    backend,
    echo,
    http_rule,
    is_reset,
    listener,
    read_all,
    read_exactly,
    reset,
    serving,
    tls_rule,
)

MakeScripted = Callable[..., Scripted]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def speaking_tls(context: ssl.SSLContext, name: bytes) -> Callable[[Conversation], None]:
    """A backend that ends TLS itself, says its name, and sends back what comes."""

    def script(conversation: Conversation) -> None:
        with context.wrap_socket(conversation.connection, server_side=True) as secure:
            secure.sendall(name)
            while data := secure.recv(65_536):
                secure.sendall(data)

    return script


def ends(site: StreamSite, name: str) -> bool:
    """Whether a connection ends without a byte; the ssl module does not tell a reset from an end."""
    try:
        with careless().wrap_socket(site.connect(443), server_hostname=name) as client:
            return client.recv(1) == b""
    except OSError:
        return True


def closes_without_a_word(site: StreamSite, name: str | None, port: int = 443) -> bool:
    """Whether a ClientHello is answered by the end of the connection and nothing else."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = careless().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with site.connect(port) as connection:
        connection.sendall(outgoing.read())
        return connection.recv(64) == b""


def test_passthrough_leaves_tls_to_the_backend(scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """TLSRoute at a listener with tls.mode Passthrough: the backend's certificate, its ALPN, and both names in the log."""
    server = scripted(speaking_tls(serving(authority, "a.example.com", tmp_path, "own/1"), b"a"))
    passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
    with StreamSite(passing, backend("a", server.port), tls_rule("tls", "a", "a.example.com")) as site:
        context = trusting(authority)
        context.set_alpn_protocols(["own/1"])
        with context.wrap_socket(site.connect(443), server_hostname="A.example.com") as client:
            assert client.selected_alpn_protocol() == "own/1"
            assert client.recv(1) == b"a"
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        [line] = site.log.wait_for(1)
        assert (line["protocol"], line["server_name"], line["flags"], line["tls"]) == ("TLS", "a.example.com", "-", None)
        assert (line["route"], line["backend"]) == ("TLSRoute/default/route", "default/a:80")


def test_terminate_gives_the_backend_plain_bytes(scripted: MakeScripted, authority: Authority) -> None:
    """TLSRoute at a listener with tls.mode Terminate: the listener's certificate; no ALPN is offered, whatever the client asks for."""
    server = scripted(echo(b"plain "))
    ended = listener("tls", 443, "TLS", certificates=("default/certificate",))
    certificate = authority.issue("a.example.com").resource()
    with StreamSite(certificate, ended, backend("a", server.port), tls_rule("tls", "a", "a.example.com")) as site:
        context = trusting(authority)
        context.set_alpn_protocols(["postgresql"])
        with context.wrap_socket(site.connect(443), server_hostname="a.example.com") as client:
            assert client.selected_alpn_protocol() is None
            assert client.recv(6) == b"plain "
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        [line] = site.log.wait_for(1)
        assert (line["protocol"], line["server_name"], line["tls"]) == ("TLS", "a.example.com", "TLSv1.3")
        assert (line["bytes_received"], line["bytes_sent"]) == (5, 11)


def test_https_terminated_and_passed_on_connections_share_a_port(
    scripted: MakeScripted, authority: Authority, tmp_path: Path, blue: Echo
) -> None:
    """The ClientHello decides among the listeners of a port, whatever becomes of its TLS."""
    passed = scripted(speaking_tls(serving(authority, "passed.test", tmp_path), b"p"))
    ended = scripted(echo(b"e"))
    listeners = (
        listener("https", 443, "HTTPS", "web.test", certificates=("default/web",)),
        listener("ended", 443, "TLS", "ended.test", certificates=("default/ended",)),
        listener("passed", 443, "TLS", "*.test", tls_mode="Passthrough"),
    )
    certificates = (authority.issue("web.test").resource("default/web"), authority.issue("ended.test").resource("default/ended"))
    backends = (backend("p", passed.port), backend("e", ended.port), backend("blue", blue.port, protocol="http/1.1"))
    rules = (tls_rule("passed", "p", "*.test", name="p"), tls_rule("ended", "e", "ended.test", name="e"), http_rule("https", "blue"))
    context = trusting(authority)
    with StreamSite(*certificates, *listeners, *backends, *rules) as site:
        for name, expected in (("passed.test", b"p"), ("ended.test", b"e")):
            with context.wrap_socket(site.connect(443), server_hostname=name) as client:
                assert client.recv(1) == expected
        with httpx.Client(verify=context, trust_env=False) as client:
            url = f"https://127.0.0.1:{site.address(443)[1]}/"
            request = client.build_request("GET", url, headers={"Host": "web.test"}, extensions={"sni_hostname": "web.test"})
            assert client.send(request).headers["echo"].startswith("blue/")
            request = client.build_request("GET", url, headers={"Host": "ended.test"}, extensions={"sni_hostname": "web.test"})
            assert client.send(request).status_code == 421


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example.com", b"exact"),
        ("b.a.example.com", b"long"),
        ("c.example.com", b"short"),
        ("c.b.example.com", b"short"),
        ("example.com", b"any"),
        ("other.test", b"any"),
    ],
)
def test_the_most_specific_hostname_chooses_the_rule(scripted: MakeScripted, authority: Authority, name: str, expected: bytes) -> None:
    """TLSRoute.spec.hostnames: exact before wildcard, a longer wildcard before a shorter one."""
    wanted = {b"exact": "a.example.com", b"long": "*.a.example.com", b"short": "*.example.com", b"any": ""}
    servers = {label: scripted(echo(label)) for label in wanted}
    backends = [backend(label.decode(), server.port) for label, server in servers.items()]
    rules = [tls_rule("tls", label.decode(), hostname, name=label.decode()) for label, hostname in wanted.items()]
    ended = listener("tls", 443, "TLS", certificates=("default/certificate",))
    site = StreamSite(authority.issue("x.test").resource(), ended, *backends, *rules)
    with site, careless().wrap_socket(site.connect(443), server_hostname=name) as client:
        assert client.recv(16) == expected


@pytest.mark.parametrize("mode", ["Terminate", "Passthrough"])
def test_a_name_that_no_rule_is_for_hears_nothing(authority: Authority, mode: str) -> None:
    """TLSRouteHostnameIntersection: a name without a listener, one without a rule, and none at all are closed without an alert, since TLS
    may be the backend's. What a listener has no rule for is logged, too."""
    fields = {"certificates": ("default/certificate",)} if mode == "Terminate" else {}
    only = listener("tls", 443, "TLS", "*.example.com", tls_mode=mode, **fields)
    with StreamSite(authority.issue("x.test").resource(), only, backend("a"), tls_rule("tls", "a", "a.example.com")) as site:
        for name in ("other.test", "b.example.com", None):
            assert closes_without_a_word(site, name)
        [line] = site.log.wait_for(1)
        assert (line["flags"], line["reason"], line["server_name"]) == ("NR", "no route is attached to this listener", "b.example.com")
        failed = {dict(sample.labels).get("reason"): sample.value for sample in site.statistics().counters if "handshakes" in sample.name}
        assert failed["unrecognized_name"] == 3


def test_a_client_hello_in_many_pieces_is_passed_on_whole(scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """RFC 8446 5.1: a ClientHello may come byte by byte; what was looked at reaches the backend untouched."""
    server = scripted(speaking_tls(serving(authority, "a.example.com", tmp_path), b"a"))
    passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
    with StreamSite(passing, backend("a", server.port), tls_rule("tls", "a")) as site:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="a.example.com")
        with site.connect(443) as connection:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        connection.sendall(bytes([byte]))
                        site.run(lambda: None)
                    incoming.write(connection.recv(65_536))
            connection.sendall(outgoing.read())
            while True:
                try:
                    assert client.read(1) == b"a"
                    break
                except ssl.SSLWantReadError:
                    incoming.write(connection.recv(65_536))


def test_a_backend_that_is_not_there_resets_the_connection(authority: Authority) -> None:
    """The client learns of it at once, in both modes."""
    ended = listener("ended", 443, "TLS", "ended.test", certificates=("default/certificate",))
    passed = listener("passed", 443, "TLS", "passed.test", tls_mode="Passthrough")
    rules = (tls_rule("ended", "a", "ended.test", name="e"), tls_rule("passed", "a", "passed.test", name="p"))
    with StreamSite(authority.issue("ended.test").resource(), ended, passed, backend("a"), *rules) as site:
        with pytest.raises(OSError, match=r"reset|EOF"):
            careless().wrap_socket(site.connect(443), server_hostname="passed.test")
        assert ends(site, "ended.test")
        assert [line["flags"] for line in site.log.wait_for(2)] == ["UH", "UH"]


def test_the_end_of_a_terminated_side_loses_nothing(scripted: MakeScripted, authority: Authority) -> None:
    """RFC 8446 6.1: what was sent before close_notify arrives."""
    received: list[bytes] = []

    def script(conversation: Conversation) -> None:
        received.append(read_all(conversation.connection))

    server = scripted(script)
    ended = listener("tls", 443, "TLS", certificates=("default/certificate",))
    with StreamSite(authority.issue("a.test").resource(), ended, backend("a", server.port), tls_rule("tls", "a")) as site:
        client = careless().wrap_socket(site.connect(443), server_hostname="a.test")
        client.sendall(b"x" * 1_000_000)
        client.unwrap().close()
        site.log.wait_for(1)
        server.close()
        assert received == [b"x" * 1_000_000]


def test_a_backend_that_ends_closes_a_terminated_client_in_order(scripted: MakeScripted, authority: Authority) -> None:
    """close_notify follows the last byte of a backend that ends its side, so that no truncation is feigned (RFC 8446 6.1)."""
    server = scripted(lambda conversation: conversation.send(b"y" * 1_000_000))
    ended = listener("tls", 443, "TLS", certificates=("default/certificate",))
    with StreamSite(authority.issue("a.test").resource(), ended, backend("a", server.port), tls_rule("tls", "a")) as site:
        context = careless()
        with context.wrap_socket(site.connect(443), server_hostname="a.test", suppress_ragged_eofs=False) as client:
            received = b""
            while data := client.recv(65_536):
                received += data
        assert received == b"y" * 1_000_000


@pytest.mark.parametrize("mode", ["AllowValidOnly", "AllowInsecureFallback"])
def test_client_certificates_are_asked_for_where_tls_is_terminated(
    scripted: MakeScripted, authority: Authority, tmp_path: Path, mode: str
) -> None:
    """Gateway.spec.tls.frontend for a listener of protocol TLS; the log has the identity that was verified."""
    server = scripted(echo(b"!"))
    bundle = TrustBundle(key="default/ca", source=Source("ConfigMap", "default", "ca"), certificates=authority.certificate)
    validation = ClientValidation(("default/ca",), mode)  # type: ignore[arg-type]
    ended = listener("tls", 443, "TLS", certificates=("default/certificate",), client_validation=validation)
    with StreamSite(bundle, authority.issue("a.test").resource(), ended, backend("a", server.port), tls_rule("tls", "a")) as site:
        context = trusting(authority, authority.issue("client.test"), tmp_path)
        with context.wrap_socket(site.connect(443), server_hostname="a.test") as client:
            assert client.recv(1) == b"!"
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        [line] = site.log.wait_for(1)
        assert len(line["peer"]) == 64


def test_openssl_as_client_and_server(authority: Authority, tmp_path: Path, scripted: MakeScripted) -> None:
    """Peers that are not ours on both ends of a connection that is passed on."""
    chain, key = authority.issue("a.test").write(tmp_path, "server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(chain), "-key", str(key), "-rev", "-quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), LIMIT).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None
        passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
        with StreamSite(passing, backend("a", port), tls_rule("tls", "a")) as site:
            where = f"127.0.0.1:{site.address(443)[1]}"
            command = ["openssl", "s_client", "-connect", where, "-servername", "a.test", "-quiet"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
                assert client.stdin is not None
                assert client.stdout is not None
                client.stdin.write(b"hello\n")
                client.stdin.flush()
                assert client.stdout.readline() == b"olleh\n"
                client.kill()
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_a_client_that_resets_inside_its_hello_leaves_nothing_behind(authority: Authority) -> None:
    """A connection that ends before its ClientHello is whole is counted and gone."""
    passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
    with StreamSite(passing, backend("a"), tls_rule("tls", "a")) as site:
        client = site.connect(443)
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
        site.run(lambda: None)
        reset(client)
        while site.run(lambda: site.runtime.busy):
            pass


def test_relays_run_side_by_side(scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """Twenty connections at once, each with its own bytes."""
    server = scripted(speaking_tls(serving(authority, "a.test", tmp_path), b""))
    passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
    with StreamSite(passing, backend("a", server.port), tls_rule("tls", "a")) as site:
        faults: list[BaseException] = []

        def run(number: int) -> None:
            try:
                with trusting(authority).wrap_socket(site.connect(443), server_hostname="a.test") as client:
                    for turn in range(20):
                        sent = b"%d/%d " % (number, turn) * 100
                        client.sendall(sent)
                        assert read_exactly(client, len(sent)) == sent
            except BaseException as fault:
                faults.append(fault)

        threads = [Thread(target=run, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert not faults


def test_plain_bytes_on_a_tls_port_are_turned_away(authority: Authority) -> None:
    """What is no ClientHello is never passed on."""
    passing = listener("tls", 443, "TLS", tls_mode="Passthrough")
    with StreamSite(passing, backend("a"), tls_rule("tls", "a")) as site, site.connect(443) as client:
        client.sendall(b"\x00\x01\x02\x03\x04\x05")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"" or is_reset(client)
