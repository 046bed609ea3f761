"""The PROXY protocol on both sides: who a load balancer in front says the client is, and whom backends are told of."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.ir.backend import BackendTls, HealthCheck, HttpCheck
from gateway.ir.listener import TrustBundle
from gateway.ir.value import Source
from gateway.net.proxy_protocol import Ends, read_header, write_header
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Echo, Scripted
from tests.wire.secure import careless
from tests.wire.streaming import (
    StreamSite,
    backend,
    echo,
    http_rule,
    is_over,
    listener,
    options,
    read_all,
    read_exactly,
    serving,
    tcp_rule,
    tls_rule,
)

MakeScripted = Callable[..., Scripted]
CURL, HAPROXY, NGINX = shutil.which("curl"), shutil.which("haproxy"), shutil.which("nginx")

CLIENT = Ends(b"203.0.113.7", 5555, b"198.51.100.1", 443)
CLIENT_6 = Ends(b"2001:db8::7", 5555, b"2001:db8::1", 443)
LINE = b"PROXY TCP4 203.0.113.7 198.51.100.1 5555 443\r\n"
BINARY = write_header("v2", CLIENT)
GET = b"GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
ACCEPT: dict[str, Any] = {"proxy_protocol": "Accept"}
REQUIRE: dict[str, Any] = {"proxy_protocol": "Require"}


def http_site(blue: Echo, **fields: Any) -> StreamSite:
    rules = (backend("blue", blue.port, protocol="http/1.1"), http_rule("http", "blue"))
    return StreamSite(listener("http", 80, "HTTP", options=options(**fields)), *rules)


def refused(site: StreamSite) -> float:
    counters = site.statistics().counters
    return sum(sample.value for sample in counters if sample.labels == (("reason", "PROXY header"),))


# accepted


@pytest.mark.parametrize(
    ("header", "named"),
    [(LINE, "203.0.113.7"), (BINARY, "203.0.113.7"), (write_header("v2", CLIENT_6), "2001:db8::7")],
    ids=["v1", "v2", "v2 of IPv6"],
)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_the_client_of_a_request_is_whom_the_header_names(blue: Echo, header: bytes, named: str, pieces: str) -> None:
    """ListenerOptions.proxy_protocol: in x-forwarded-for and in the log; whatever stands behind the header is the request."""
    with http_site(blue, **REQUIRE) as site, site.connect(80) as client:
        if pieces == "whole":
            client.sendall(header + GET)
        else:
            for byte in header + GET:
                client.sendall(bytes((byte,)))
                site.run(lambda: None)
        assert b"200 OK" in read_all(client)
        assert blue.requests[0].value("x-forwarded-for") == named
        [line] = site.log.wait_for(1)
        assert line["client"] == named


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", write_header("v2", None), b""], ids=["UNKNOWN", "LOCAL", "none"])
def test_without_a_name_the_client_is_the_other_end(blue: Echo, header: bytes) -> None:
    """A load balancer's own connection, and with Accept one without a header."""
    with http_site(blue, **ACCEPT) as site, site.connect(80) as client:
        client.sendall(header + GET)
        assert b"200 OK" in read_all(client)
        assert blue.requests[0].value("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "fields", "reason"),
    [
        (GET, REQUIRE, "no PROXY header"),
        (b"PROXY TCP4 nobody\r\n" + GET, REQUIRE, "malformed PROXY line"),
        (b"PROXY TCP4 nobody\r\n" + GET, ACCEPT, "malformed PROXY line"),
        (LINE + GET, REQUIRE | {"proxy_protocol_addresses": ("10.0.0.0/8",)}, "not one of the addresses whose PROXY header is believed"),
    ],
)
def test_what_has_no_header_that_is_believed_is_reset_and_logged(blue: Echo, sent: bytes, fields: dict[str, Any], reason: str) -> None:
    """Closed, counted, and logged with the reason; no request is read from it."""
    with http_site(blue, **fields) as site:
        assert site.refuses(80, sent)
        [line] = site.log.wait_for(1)
        assert (line["flags"], line["reason"], line["client"]) == ("DPE", reason, "127.0.0.1")
        assert refused(site) == 1
        assert blue.requests == []


def test_from_elsewhere_a_header_is_nothing_but_a_bad_request(blue: Echo) -> None:
    """With Accept and proxy_protocol_addresses others may come without a header, and may not name anybody."""
    with http_site(blue, proxy_protocol_addresses=("10.0.0.0/8",), **ACCEPT) as site:
        with site.connect(80) as client:
            client.sendall(LINE + GET)
            assert b" 400 " in read_all(client)
        with site.connect(80) as client:
            client.sendall(GET)
            assert b"200 OK" in read_all(client)
        assert [request.value("x-forwarded-for") for request in blue.requests] == ["127.0.0.1"]


def test_a_header_that_does_not_come_in_time_ends_the_connection(blue: Echo) -> None:
    """ListenerOptions.header_timeout."""
    with http_site(blue, header_timeout=100, **REQUIRE) as site:
        for sent in (b"", LINE[:20]):
            assert site.refuses(80, sent)
        lines = site.log.wait_for(2)
        assert {line["reason"] for line in lines} == {"PROXY header did not come in time"}


def test_limits_are_those_of_the_client_that_is_named(blue: Echo) -> None:
    """ListenerOptions.most_connections_per_client: not of the load balancer, which has them all."""
    site = http_site(blue, most_connections_per_client=1, **REQUIRE)
    with site, site.connect(80) as one, site.connect(80) as two, site.connect(80) as third:
        for client, address in ((one, b"192.0.2.1"), (two, b"192.0.2.2"), (third, b"192.0.2.1")):
            client.sendall(write_header("v2", CLIENT._replace(address=address)))
            site.run(lambda: None)
        assert is_over(third)
        for client in (one, two):
            client.sendall(GET)
            assert b"200 OK" in read_all(client)


def test_whom_to_believe_about_forwarded_fields_is_decided_by_the_other_end(blue: Echo) -> None:
    """ListenerOptions.trusted_addresses: of whoever passes the request on, not of a client that may claim any address."""
    with http_site(blue, trusted_addresses=("203.0.113.0/24",), **REQUIRE) as site, site.connect(80) as client:
        client.sendall(LINE + GET.replace(b"\r\n\r\n", b"\r\nx-forwarded-proto: https\r\n\r\n"))
        assert b"200 OK" in read_all(client)
    with http_site(blue, trusted_addresses=("127.0.0.0/8",), **REQUIRE) as site, site.connect(80) as client:
        client.sendall(LINE + GET.replace(b"\r\n\r\n", b"\r\nx-forwarded-proto: https\r\n\r\n"))
        assert b"200 OK" in read_all(client)
    assert [request.value("x-forwarded-proto") for request in blue.requests] == ["http", "https"]
    assert [request.value("x-forwarded-for") for request in blue.requests] == ["203.0.113.7", "203.0.113.7"]


@pytest.mark.parametrize("mode", ["HTTPS", "Terminate", "Passthrough"])
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
def test_before_a_client_hello(scripted: MakeScripted, blue: Echo, tmp_path: Path, mode: str, pieces: str) -> None:
    """On TLS ports exactly the header is taken away, and the ClientHello behind it decides as ever."""
    authority = Authority()
    context = serving(authority, "a.test", tmp_path)

    def secure(conversation: Conversation) -> None:
        with context.wrap_socket(conversation.connection, server_side=True) as connection:
            connection.sendall(connection.recv(5))

    passing = mode == "Passthrough"
    server = scripted(secure if passing else echo())
    fields: dict[str, Any] = {"options": options(**REQUIRE)}
    if not passing:
        fields["certificates"] = ("default/certificate",)
    if mode == "HTTPS":
        resources: tuple[Any, ...] = (listener("x", 443, "HTTPS", **fields), http_rule("x", "blue"))
    else:
        resources = (listener("x", 443, "TLS", tls_mode=mode, **fields), tls_rule("x", "a"))
    backends = (backend("a", server.port), backend("blue", blue.port, protocol="http/1.1"))
    with StreamSite(authority.issue("a.test").resource(), *backends, *resources) as site, site.connect(443) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = careless().wrap_bio(incoming, outgoing, server_hostname="a.test")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        if pieces == "at once":
            connection.sendall(BINARY + hello)
        else:
            for byte in BINARY + hello[:20]:
                connection.sendall(bytes((byte,)))
                site.run(lambda: None)
            connection.sendall(hello[20:])
        _finish(client, incoming, outgoing, connection)
        client.write(GET if mode == "HTTPS" else b"hello")
        connection.sendall(outgoing.read())
        answer = b""
        while not answer:
            try:
                answer = client.read(5)
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65_536))
        assert answer == (b"HTTP/" if mode == "HTTPS" else b"hello")
        connection.shutdown(socket.SHUT_WR)
        [line] = site.log.wait_for(1)
        assert line["client"] == "203.0.113.7"


def _finish(client: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, connection: socket.socket) -> None:
    while True:
        try:
            client.do_handshake()
            return
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65_536))


def test_a_tls_port_refuses_what_has_no_header() -> None:
    """Counted among the handshakes that failed, and logged."""
    required = listener("x", 443, "HTTPS", certificates=("default/certificate",), options=options(**REQUIRE))
    with StreamSite(Authority().issue("a.test").resource(), required) as site:
        with pytest.raises(OSError, match=r"reset|EOF"):
            careless().wrap_socket(site.connect(443), server_hostname="a.test")
        [line] = site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("DPE", "no PROXY header")
        failed = {dict(sample.labels).get("reason"): sample.value for sample in site.statistics().counters if "handshakes" in sample.name}
        assert failed["proxy_header"] == 1


def test_a_tcp_relay_knows_the_client_and_passes_on_what_follows(scripted: MakeScripted) -> None:
    """The header itself is not for the backend."""
    server = scripted(echo())
    required = listener("db", 5432, options=options(**REQUIRE))
    with StreamSite(required, backend("db", server.port), tcp_rule("db", "db")) as site:
        with site.connect(5432) as client:
            client.sendall(LINE + b"select")
            assert read_exactly(client, 6) == b"select"
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        [line] = site.log.wait_for(1)
        assert (line["client"], line["bytes_received"]) == ("203.0.113.7", 6)


def test_a_server_that_speaks_first_is_reached_without_a_header(scripted: MakeScripted) -> None:
    """With Accept a client that says nothing for the header's time has none."""
    server = scripted(echo(b"220 hello\r\n"))
    accepting = listener("smtp", 25, options=options(header_timeout=100, **ACCEPT))
    with StreamSite(accepting, backend("db", server.port), tcp_rule("smtp", "db")) as site, site.connect(25) as client:
        assert read_exactly(client, 11) == b"220 hello\r\n"


def test_a_change_holds_for_the_connections_that_come(blue: Echo) -> None:
    """A ListenerPolicy that comes or goes, with no connection lost."""
    with http_site(blue) as site:
        for fields, header in (({}, b""), (REQUIRE, LINE), ({}, b"")):
            site.put(listener("http", 80, "HTTP", options=options(**fields)))
            with site.connect(80) as client:
                client.sendall(header + GET)
                assert b"200 OK" in read_all(client)
        assert [request.value("x-forwarded-for") for request in blue.requests] == ["127.0.0.1", "203.0.113.7", "127.0.0.1"]


# sent


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_backend_is_told_of_the_client(scripted: MakeScripted, version: Any) -> None:
    """BackendOptions.proxy_protocol: both ends as the client sees them, before a byte of it."""
    server = scripted(echo())
    described = backend("db", server.port, proxy_protocol=version)
    with StreamSite(listener("db", 5432), described, tcp_rule("db", "db")) as site, site.connect(5432) as client:
        client.sendall(b"select")
        client.shutdown(socket.SHUT_WR)
        received = read_all(client)
        header = read_header(received)
        assert header is not None
        assert header.ends is not None
        address, port = client.getsockname()
        assert header.ends == Ends(address.encode(), port, b"127.0.0.1", site.address(5432)[1])
        assert received[header.length :] == b"select"


def test_what_a_header_in_front_says_is_passed_on(scripted: MakeScripted) -> None:
    """Through two load balancers the backend still knows the client, its port, and whom it has asked."""
    server = scripted(echo())
    required = listener("db", 5432, options=options(**REQUIRE))
    described = backend("db", server.port, proxy_protocol="v1")
    with StreamSite(required, described, tcp_rule("db", "db")) as site, site.connect(5432) as client:
        client.sendall(BINARY)
        assert read_exactly(client, len(LINE)) == LINE


def test_the_header_goes_before_the_handshake_with_a_tls_backend(scripted: MakeScripted, tmp_path: Path) -> None:
    """The backend's TLS begins behind it."""
    authority = Authority()
    context = serving(authority, "db.example", tmp_path)
    headers: list[bytes] = []

    def script(conversation: Conversation) -> None:
        headers.append(read_exactly(conversation.connection, 28))
        with context.wrap_socket(conversation.connection, server_side=True) as secure:
            secure.sendall(secure.recv(6))

    server = scripted(script)
    bundle = TrustBundle(key="default/ca", source=Source("ConfigMap", "default", "ca"), certificates=authority.certificate)
    described = backend("db", server.port, tls=BackendTls("db.example", ("default/ca",)), proxy_protocol="v2")
    with StreamSite(listener("db", 5432), bundle, described, tcp_rule("db", "db")) as site, site.connect(5432) as client:
        client.sendall(b"select")
        assert read_exactly(client, 6) == b"select"
        header = read_header(headers[0])
        assert header is not None
        assert header.ends is not None
        assert header.ends.port == client.getsockname()[1]


def test_an_http_backend_gets_a_connection_for_each_request(scripted: MakeScripted) -> None:
    """A connection with a header is one client's: it serves one exchange, and is not kept for others."""
    seen: list[bytes] = []

    def script(conversation: Conversation) -> None:
        seen.append(conversation.read_until(b"\r\n"))
        while conversation.read_head():
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = scripted(script)
    described = backend("web", server.port, protocol="http/1.1", proxy_protocol="v1")
    with StreamSite(listener("http", 80, "HTTP"), described, http_rule("http", "web")) as site:
        ports = []
        for _ in range(2):
            with site.connect(80) as client:
                ports.append(client.getsockname()[1])
                for _ in range(2):
                    client.sendall(GET.replace(b"Connection: close\r\n", b""))
                    while b"ok" not in client.recv(65_536):
                        pass
        assert server.connections == 4
        assert [line.split()[4] for line in seen] == [b"%d" % ports[0], b"%d" % ports[0], b"%d" % ports[1], b"%d" % ports[1]]
        while site.run(lambda: [each.connections.count for each in site.runtime._live.described.values()]) != [0]:
            pass


def test_a_health_check_names_nobody(scripted: MakeScripted) -> None:
    """haproxy.org, doc/proxy-protocol.txt 2.2: LOCAL is for connections of the proxy's own; the backend waits for a header all the same."""
    checks: list[bytes] = []

    def script(conversation: Conversation) -> None:
        checks.append(read_exactly(conversation.connection, 16))
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = scripted(script)
    check = HealthCheck(http=HttpCheck(), interval=50)
    described = backend("web", server.port, protocol="http/1.1", proxy_protocol="v2", health_check=check)
    with StreamSite(described):
        while not checks:
            pass
    assert checks[0] == write_header("v2", None)


# peers that are not ours


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(LIMIT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def connect_when_up(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), LIMIT)
        except ConnectionRefusedError:
            pass


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
@pytest.mark.parametrize("sending", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"])
def test_haproxy_in_front(blue: Echo, tmp_path: Path, sending: str) -> None:
    """Its headers of both versions, with checksum and TLVs, are understood."""
    with http_site(blue, **REQUIRE) as site:
        port = free_port()
        (tmp_path / "ha.cfg").write_text(
            f"defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
            f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{site.address(80)[1]} {sending}\n"
        )
        with running(str(HAPROXY), "-db", "-f", str(tmp_path / "ha.cfg")), connect_when_up(port) as client:
            client.sendall(GET)
            assert b"200 OK" in read_all(client)
        assert blue.requests[0].value("x-forwarded-for") == "127.0.0.1"
        assert refused(site) == 0


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_as_a_client_with_a_header(blue: Echo) -> None:
    """curl --haproxy-protocol."""
    with http_site(blue, **REQUIRE) as site:
        url = f"http://127.0.0.1:{site.address(80)[1]}/"
        command = [str(CURL), "-s", "--haproxy-protocol", "-o", "/dev/null", "-w", "%{http_code}", url]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.stdout == b"200"


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_as_a_backend_that_asks_for_a_header(tmp_path: Path, version: Any) -> None:
    """It says whom the header names."""
    port = free_port()
    (tmp_path / "logs").mkdir()
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/1; proxy_temp_path {tmp_path}/2; fastcgi_temp_path {tmp_path}/3;\n"
        f"uwsgi_temp_path {tmp_path}/4; scgi_temp_path {tmp_path}/5;\n"
        f"server {{ listen 127.0.0.1:{port} proxy_protocol;\n"
        'location / { return 200 "$proxy_protocol_addr $proxy_protocol_port"; } } }\n'
    )
    described = backend("web", port, protocol="http/1.1", proxy_protocol=version)
    required = listener("http", 80, "HTTP", options=options(**REQUIRE))
    with running(str(NGINX), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")):
        connect_when_up(port).close()
        with StreamSite(required, described, http_rule("http", "web")) as site, site.connect(80) as client:
            client.sendall(BINARY + GET)
            assert read_all(client).endswith(b"203.0.113.7 5555")
