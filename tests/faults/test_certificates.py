"""Certificates and authorities that change, break or go while handshakes and requests run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import time

import pytest

from tests.certificates import EXPIRED, Authority, Pair
from tests.faults.clients import Clients
from tests.faults.programs import Program, free_ports
from tests.faults.waiting import until
from tests.wire.conftest import Serve
from tests.wire.peers import Wire, get
from tests.wire.secure import TlsBackend, backend_policy, condition, first_of, gateway, https, shown, shown_on, trust, trusting, validation
from tests.wire.serving import certificate, service

ROUTE = "- backendRefs: [{name: blue, port: 80}]"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
@pytest.mark.timeout(1200)  # with --whole
def test_a_certificate_that_is_renewed_again_and_again(serve: Serve, authority: Authority, rounds: int) -> None:
    """Faults, "rotated under load": no handshake and no request fails; who begins after the acknowledgement is shown the new one."""
    pairs = [authority.issue("example.com") for _ in range(12 * rounds)]
    listening = gateway(https("https", "example"))
    site = serve(listening, certificate("example", pairs[0]), ROUTE)
    context = trusting(authority)
    kept = Wire(site, 443, tls=context, server_name="example.com")
    seen: list[tuple[int, bytes]] = []
    live = 0

    def handshake() -> None:
        began = live
        with Wire(site, 443, tls=context, server_name="example.com") as wire:
            assert wire.ask(get()).status == 200
            seen.append((began, shown_on(wire)))

    def ask() -> None:
        assert kept.ask(get()).status == 200

    clients = Clients(handshake, handshake, ask)
    try:
        for number, pair in enumerate(pairs):
            site.change(listening, certificate("example", pair), ROUTE)
            live = number
            clients.more(3)
    finally:
        clients.end()
        kept.socket.close()
    order = {first_of(pair): number for number, pair in enumerate(pairs)}
    for began, leaf in seen:
        assert began <= order[leaf] <= began + 2, "what was live when it began, or came meanwhile"
    assert {order[leaf] for _, leaf in seen} == set(range(len(pairs)))
    assert {series.code for series in site.statistics().requests if series.count} == {200}


@pytest.mark.slow
def test_an_expired_certificate_is_served_and_told(tmp_path: Path, authority: Authority) -> None:
    """Faults, "expiry metric": clients are the judges of it, but the terminal and the metrics say it before they do."""
    pair = authority.issue("example.com", validity=EXPIRED)
    secure = {"name": "secure"}, {"gatewayClassName": "tidegate", "listeners": [{**https("https", "example"), "port": free_ports(1)[0]}]}
    documents = (
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": secure[0], "spec": secure[1]},
        {"apiVersion": "v1", **json.loads(certificate("example", pair))},
    )
    (tmp_path / "secure.yaml").write_text("\n---\n".join(json.dumps(document) for document in documents))
    program = Program(tmp_path, "--access-log", "off", stdout=subprocess.PIPE, text=True)
    try:
        assert program.process.stdout is not None
        assert any("certificate default/example expired, and clients refuse it" in line for line in program.process.stdout)
        until(lambda: 0 < program.metric("tidegate_certificate_expiry_timestamp_seconds") < time(), "no metric tells it")
        assert program.end() == 0
    finally:
        program.close()
        assert program.process.stdout is not None
        program.process.stdout.close()


UNREADABLE = {
    "no certificate": lambda pair: Pair("-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n", pair.private_key),
    "half a certificate": lambda pair: Pair(pair.chain[:300], pair.private_key),
    "half a key": lambda pair: Pair(pair.chain, pair.private_key[:100]),
    "no key": lambda pair: Pair(pair.chain, ""),
}


def test_a_pair_that_does_not_match_keeps_the_old_one_under_load(serve: Serve, authority: Authority) -> None:
    """Faults, "key mismatch: bad pair rejected, old kept, condition set": nobody notices, neither when it comes nor when it is mended."""
    first, other, third = (authority.issue("example.com") for _ in range(3))
    listening = gateway(https("https", "example"))
    site = serve(listening, certificate("example", first), ROUTE)
    context = trusting(authority)

    def handshake() -> None:
        with Wire(site, 443, tls=context, server_name="example.com") as wire:
            assert wire.ask(get()).status == 200

    clients = Clients(handshake)
    try:
        site.change(listening, certificate("example", Pair(other.chain, first.private_key)), ROUTE, refused=True)
        assert condition(site, "ResolvedRefs", "https") == ("False", "InvalidCertificateRef")
        assert shown(site, "example.com") == first_of(first)
        clients.more(3)
        site.change(listening, certificate("example", third), ROUTE)
        assert condition(site, "ResolvedRefs", "https") == ("True", "ResolvedRefs")
        assert shown(site, "example.com") == first_of(third)
        clients.more(3)
    finally:
        clients.end()


@pytest.mark.parametrize("broken", UNREADABLE.values(), ids=UNREADABLE)
def test_a_secret_that_cannot_be_read_leaves_the_old_pair_in_use(
    serve: Serve, authority: Authority, broken: Callable[[Pair], Pair]
) -> None:
    """Faults, "bad pair rejected, old kept, condition set": until a Secret comes that can be read. Its neighbour notices nothing."""
    pair, other = authority.issue("example.com"), authority.issue("other.test")
    listening = gateway(https("https", "example", hostname="example.com"), https("other", "other", hostname="other.test"))
    secrets = certificate("example", pair), certificate("other", other)
    site = serve(listening, *secrets, ROUTE)
    assert shown(site, "example.com") == first_of(pair)
    site.change(listening, certificate("example", broken(pair)), secrets[1], ROUTE, refused=True)
    assert condition(site, "ResolvedRefs", "https") == ("False", "InvalidCertificateRef")
    assert (shown(site, "example.com"), shown(site, "other.test")) == (first_of(pair), first_of(other))
    third = authority.issue("example.com")
    site.change(listening, certificate("example", third), secrets[1], ROUTE)
    assert condition(site, "ResolvedRefs", "https") == ("True", "ResolvedRefs")
    assert shown(site, "example.com") == first_of(third)


GONE = {
    "gone": "",
    "without the entry": json.dumps({"kind": "ConfigMap", "metadata": {"name": "trusted"}, "data": {"other": "x"}}),
    "no PEM": json.dumps({"kind": "ConfigMap", "metadata": {"name": "trusted"}, "data": {"ca.crt": "not PEM"}}),
}


@pytest.mark.parametrize("now", GONE.values(), ids=GONE)
def test_authorities_of_clients_that_go_close_their_listener(serve: Serve, authority: Authority, tmp_path: Path, now: str) -> None:
    """Faults, "CA gone": whose clients cannot be verified lets none in, whatever they show; a plain listener goes on; it opens again."""
    listening = gateway(
        https("https", "example"), {"name": "http", "port": 80, "protocol": "HTTP"}, tls={"frontend": {"default": validation("trusted")}}
    )
    secret = certificate("example", authority.issue("example.com"))
    client = trusting(authority, authority.issue("client", usage="client"), tmp_path)
    site = serve(listening, secret, trust("trusted", authority), ROUTE)
    assert site.ask(port=443, tls=client).status == 200
    site.change(listening, secret, now, ROUTE)
    with pytest.raises(ConnectionRefusedError):
        site.connect(443)
    assert site.ask().status == 200
    site.change(listening, secret, trust("trusted", authority), ROUTE)
    site.forget_connections()
    assert site.ask(port=443, tls=client).status == 200


@pytest.mark.parametrize("now", GONE.values(), ids=GONE)
def test_authorities_of_a_backend_that_go_close_that_backend(serve: Serve, authority: Authority, tmp_path: Path, now: str) -> None:
    """Faults, "CA gone": a backend that cannot be verified is not asked, 500; others are; it serves again with its authorities."""
    backend = TlsBackend(tmp_path, authority.issue("secure.test"))
    rules = """
- {matches: [{path: {value: /secure}}], backendRefs: [{name: secure, port: 80}]}
- {matches: [{path: {value: /plain}}], backendRefs: [{name: blue, port: 80}]}
"""
    base = service("secure", backend.port), backend_policy("secure", "secure.test", "trusted"), rules
    site = serve(*base, trust("trusted", authority))
    try:
        assert [site.ask(path).status for path in ("/secure", "/plain")] == [200, 200]
        site.change(*base, now)
        assert [site.ask(path).status for path in ("/secure", "/plain")] == [500, 200]
        assert len(backend.recorder.requests) == 1
        site.change(*base, trust("trusted", authority))
        assert site.ask("/secure").status == 200
    finally:
        site.forget_connections()
        backend.close()
