"""Fields on their way to a backend: hop-by-hop ones end here, identity is what we know and not what a client says (design.md 7)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.wire.backends import Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import Recorded, Recorder, Wire, get, post
from tests.wire.serving import Site, service

Ask = Callable[..., Recorded]


class Forwarding:
    """A gateway and the backend that keeps what it is sent."""

    def __init__(self, site: Site, backend: Recorder) -> None:
        self.site, self.backend = site, backend

    def __call__(self, *lines: bytes, host: bytes = b"example.com") -> Recorded:
        """The request as the backend got it."""
        with Wire(self.site) as wire:
            assert wire.ask(get(*lines, host=host)).status == 200
        return self.backend.requests[-1]


@pytest.fixture
def forwarding(serve: Serve, scripted: Callable[..., Scripted]) -> Callable[..., Forwarding]:
    """Makes a gateway whose listeners have the given ListenerPolicy."""

    def make(policy: str = "") -> Forwarding:
        backend = Recorder()
        spec = f"{{targetRefs: [{{name: web}}], {policy}}}"
        described = f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {spec}"
        return Forwarding(serve(service("kept", scripted(backend).port), "- backendRefs: [{name: kept, port: 80}]", described), backend)

    return make


OWN = {
    b"x-forwarded-proto": b"http",
    b"x-forwarded-port": b"80",
    b"x-forwarded-for": b"127.0.0.1",
    b"x-forwarded-host": b"example.com",
}


def test_a_backend_is_told_where_the_request_came_from(forwarding: Callable[..., Forwarding]) -> None:
    """Scheme, port and host as the client used them, its address, and an id; each once, and nothing else is added."""
    request = forwarding()()
    fields = dict(request.fields)
    assert len(fields) == len(request.fields)
    assert re.fullmatch(rb"[0-9a-f]{32}", fields.pop(b"x-request-id"))
    assert fields == {b"host": b"example.com", **OWN}


def test_every_request_has_an_id_of_its_own(forwarding: Callable[..., Forwarding]) -> None:
    """Also on one connection; the log has the same one."""
    made = forwarding()
    with Wire(made.site) as wire:
        for _ in range(5):
            assert wire.ask(get()).status == 200
    ids = [request.values(b"x-request-id")[0].decode() for request in made.backend.requests]
    assert len(set(ids)) == 5
    assert [line["request_id"] for line in made.site.log.wait_for(5)] == ids


LIES = {
    "x-forwarded-proto": b"https",
    "X-Forwarded-Host": b"evil.example",
    "X-FORWARDED-PORT": b"443",
    "x-forwarded-client-cert": b"Hash=1;Subject=admin",
    "Forwarded": b"for=1.1.1.1;proto=https",
    "X-Real-IP": b"1.1.1.1",
    "X-Request-Id": b"mine",
}


@pytest.mark.parametrize("name", LIES)
def test_identity_is_not_what_a_client_says(forwarding: Callable[..., Forwarding], name: str) -> None:
    """By default nobody is believed, the loopback address neither (catalogue 2.4; CVE-2024-45806)."""
    request = forwarding()(name.encode() + b": " + LIES[name])
    own = OWN.get(name.lower().encode())
    if name == "X-Request-Id":
        assert request.values(b"x-request-id") != [b"mine"]
    else:
        assert request.values(name.lower().encode()) == ([] if own is None else [own])


@pytest.mark.parametrize(
    "name",
    ["x_forwarded_proto", "X.Forwarded.For", "x-forwarded_client-cert", "X_Real_IP", "Forwarded", "content_length", "Transfer_Encoding"],
)
def test_no_alias_of_a_protected_name_passes(forwarding: Callable[..., Forwarding], name: str) -> None:
    """A backend that reads '_' as '-' must not be told lies either (catalogue 2.2)."""
    request = forwarding()(name.encode() + b": 1")
    assert [field.lower() for field, _ in request.fields].count(name.lower().encode()) == 0


def test_the_clients_address_is_appended(forwarding: Callable[..., Forwarding]) -> None:
    """x-forwarded-for is one list: what came, then who brought it; the log believes none of it."""
    made = forwarding()
    request = made(b"X-Forwarded-For: 1.1.1.1, 2.2.2.2", b"x-forwarded-for: 3.3.3.3")
    assert request.values(b"x-forwarded-for") == [b"1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"]
    assert made.site.log.wait_for(1)[0]["client"] == "127.0.0.1"


def test_the_forwarded_host_is_as_the_client_wrote_it(forwarding: Callable[..., Forwarding]) -> None:
    """With its port."""
    assert forwarding()(host=b"Example.com:80").values(b"x-forwarded-host") == [b"Example.com:80"]


@pytest.mark.parametrize("policy", ["trustedHops: 1", "trustedAddresses: [127.0.0.0/8]"])
def test_a_trusted_proxy_is_believed(forwarding: Callable[..., Forwarding], policy: str) -> None:
    """What it says of identity is kept, and what it does not say is ours (ListenerPolicy)."""
    made = forwarding(policy)
    lies = [name.encode() + b": " + value for name, value in LIES.items()]
    request = made(*lies, b"X-Forwarded-For: 9.9.9.9")
    for name, value in LIES.items():
        assert request.values(name.lower().encode()) == [value], name
    assert request.values(b"x-forwarded-for") == [b"9.9.9.9, 127.0.0.1"]
    assert made.site.log.wait_for(1)[0]["client"] == "9.9.9.9"
    request = made()
    assert {name: request.values(name) for name in OWN} == {name: [value] for name, value in OWN.items()}


@pytest.mark.parametrize(
    ("policy", "chain", "client"),
    [
        ("trustedHops: 1", b"8.8.8.8, 9.9.9.9", "9.9.9.9"),
        ("trustedHops: 2", b"8.8.8.8, 9.9.9.9", "8.8.8.8"),
        ("trustedHops: 5", b"8.8.8.8, 9.9.9.9", "8.8.8.8"),
        ("trustedAddresses: [127.0.0.1/32, 10.0.0.0/8]", b"8.8.8.8, 10.1.1.1, 10.2.2.2", "8.8.8.8"),
        ("trustedAddresses: [127.0.0.1/32]", b"8.8.8.8, 10.1.1.1", "10.1.1.1"),
        ("trustedAddresses: [10.0.0.0/8]", b"8.8.8.8", "127.0.0.1"),
        ("trustedHops: 2", b'evil","x":"y, 9.9.9.9', "9.9.9.9"),
        ("trustedHops: 2", b'fe80::1%","x":"y, 9.9.9.9', "9.9.9.9"),
        ("trustedHops: 1", b"\xff", "127.0.0.1"),
        ("trustedAddresses: [127.0.0.1/32, 10.0.0.0/8]", b"8.8.8.8, unknown, 10.2.2.2", "10.2.2.2"),
    ],
)
def test_who_the_client_is_behind_trusted_proxies(forwarding: Callable[..., Forwarding], policy: str, chain: bytes, client: str) -> None:
    """The nearest address that no proxy of ours has, and nothing that is no address (ListenerPolicy.trustedHops, .trustedAddresses)."""
    made = forwarding(policy)
    made(b"X-Forwarded-For: " + chain)
    assert made.site.log.wait_for(1)[0]["client"] == client


def test_who_is_not_in_the_trusted_networks_is_not_believed(forwarding: Callable[..., Forwarding]) -> None:
    """A policy for others changes nothing for this one."""
    request = forwarding("trustedAddresses: [10.0.0.0/8]")(b"X-Forwarded-Proto: https", b"X-Request-Id: mine", b"X-Real-Ip: 1.1.1.1")
    assert request.values(b"x-forwarded-proto") == [b"http"]
    assert request.values(b"x-request-id") != [b"mine"]
    assert request.values(b"x-real-ip") == []


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b"\xff"])
def test_an_id_that_could_harm_a_log_is_replaced(forwarding: Callable[..., Forwarding], value: bytes) -> None:
    """Even a trusted peer's id must be short and printable."""
    request = forwarding("trustedHops: 1")(b"X-Request-Id: " + value)
    assert re.fullmatch(rb"[0-9a-f]{32}", request.values(b"x-request-id")[0])


def test_hop_by_hop_fields_end_here(forwarding: Callable[..., Forwarding]) -> None:
    """With those that Connection names, in every spelling (RFC 9110 7.6.1)."""
    request = forwarding()(
        b"Connection: keep-alive, X-Own, TE",
        b"connection: Other",
        b"x-own: 1",
        b"X-OWN: 2",
        b"OTHER: 3",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic YTpi",
        b"TE: deflate",
        b"Trailer: x",
        b"Upgrade: foo",
        b"X-Kept: 4",
    )
    names = [name for name, _ in request.fields if name not in OWN and name not in (b"host", b"x-request-id")]
    assert names == [b"X-Kept"]


def test_what_was_dropped_cannot_take_our_own_fields_with_it(forwarding: Callable[..., Forwarding]) -> None:
    """Connection is honoured before our fields are added, and naming one of them is refused (CVE-2021-32813, CVE-2024-45410)."""
    made = forwarding()
    for name in (b"X-Forwarded-For", b"x-forwarded-proto", b"X-Real-Ip", b"x-request-id", b"Host"):
        with Wire(made.site) as wire:
            assert wire.ask(get(b"Connection: " + name)).status == 400
    assert made.backend.requests == []


def test_end_to_end_fields_pass_untouched(forwarding: Callable[..., Forwarding]) -> None:
    """In order, as they were written, however often; also those that only look special."""
    lines = [
        b"Authorization: Basic YTpi",
        b"Cookie: a=b",
        b"cookie: c=d",
        b"Accept: */*",
        b"x: 1",
        b"X: 2",
        b"Via: 1.1 a",
        b"Max-Forwards: 3",
        b"Pragma: x",
    ]
    request = forwarding()(*lines)
    assert [b"%b: %b" % pair for pair in request.fields if pair[0] not in OWN and pair[0] not in (b"host", b"x-request-id")] == lines


def test_framing_is_ours(forwarding: Callable[..., Forwarding]) -> None:
    """Exactly one framing field, in canonical form (RFC 9112 6)."""
    made = forwarding()
    with Wire(made.site) as wire:
        assert wire.ask(post(b"CONTENT-LENGTH: 0005", body=b"hello")).status == 200
        assert wire.ask(post(b"Transfer-encoding: chunKED", body=b"0\r\n\r\n")).status == 200
    framing = [
        [pair for pair in request.fields if pair[0].lower() in (b"content-length", b"transfer-encoding")]
        for request in made.backend.requests
    ]
    assert framing == [[(b"content-length", b"5")], [(b"transfer-encoding", b"chunked")]]
