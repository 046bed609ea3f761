"""Backends and clients that vanish without a word: no end of the connection, no reset, no answer to any packet."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from gateway.net import keepalive
from gateway.net.sockets import bind
from tests.faults.seclusion import FAR, FarHost, secluded
from tests.faults.waiting import until
from tests.wire.backends import LIMIT, Conversation, Script, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import Recorder
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: far, port: 80}]"


def far_service(port: int) -> str:
    return service("far", port).replace("127.0.0.1", FAR)


def idle(site: Site) -> int:
    """Pooled connections to the far host."""

    def count() -> int:
        return sum(len(endpoint.plain.idle) for endpoint in site.runtime._live.described["default/far:80"].endpoints.values())

    return site._thread.call(count)


@pytest.fixture
def far() -> Iterator[Callable[..., tuple[FarHost, Scripted]]]:
    """Makes the far host and a backend on it, in a secluded test."""
    hosts: list[FarHost] = []
    backends: list[Scripted] = []

    def make(*scripts: Script) -> tuple[FarHost, Scripted]:
        hosts.append(FarHost())
        backends.append(hosts[-1].call(lambda: Scripted(*scripts, address=FAR)))
        return hosts[-1], backends[-1]

    yield make
    for backend in backends:
        backend.close()
    for host in hosts:
        host.close()


def test_the_limits_find_a_vanished_backend_within_30_seconds() -> None:
    """Faults, "half-open found by keepalive": idle 10 s, then three probes 5 s apart; what is under way gets 15 retransmissions that are
    at most 2 s apart, as far as the kernel lets us."""
    first, interval, most = keepalive.BACKEND
    assert first + interval * most <= 30
    doubling = [0.2 * 2**number for number in range(16)]
    assert sum(min(wait, keepalive._RETRANSMISSION / 1000) for wait in doubling) <= 30


def test_clients_are_probed_too() -> None:
    """Accepted connections inherit it from the listening socket: a WebSocket whose client has vanished does not stay for ever."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert tuple(accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options) == keepalive.CLIENT


@pytest.mark.slow
@secluded
def test_an_idle_connection_to_a_vanished_backend_is_found(
    serve: Serve, far: Callable[..., tuple[FarHost, Scripted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults, "half-open": it leaves the pool before a request could be sent on it; with a backend that is back the next one is served."""
    monkeypatch.setattr(keepalive, "BACKEND", (1, 1, 1))
    recorder = Recorder()
    host, backend = far(recorder)
    site = serve(far_service(backend.port), ROUTE)
    assert site.ask().status == 200
    assert idle(site) == 1
    host.vanish()
    until(lambda: idle(site) == 0, "the connection stays in the pool")
    host.come_back()
    assert site.ask(method="POST", body=b"x").status == 200
    assert recorder.connections == 2


@pytest.mark.slow
@secluded
def test_a_backend_that_vanishes_while_it_works_is_given_up(
    serve: Serve, far: Callable[..., tuple[FarHost, Scripted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be sent, the answer is awaited without a timeout: the probes find it, and the client is told 503."""
    monkeypatch.setattr(keepalive, "BACKEND", (1, 1, 1))
    begun = Event()

    def working(conversation: Conversation) -> None:
        conversation.read_head()
        begun.set()
        conversation.read_head()

    host, backend = far(working)
    site = serve(far_service(backend.port), ROUTE)
    flight = site.begin()
    assert begun.wait(LIMIT)
    host.vanish()
    assert flight.answer().status == 503


@pytest.mark.slow
@secluded
def test_a_request_to_a_vanished_backend_is_given_up(serve: Serve, far: Callable[..., tuple[FarHost, Scripted]]) -> None:
    """Sent on a kept connection whose backend has just vanished, a request is not retransmitted for a quarter of an hour. Here the kernel
    sends it again once and not fifteen times."""
    Path("/proc/sys/net/ipv4/tcp_retries2").write_text("1")
    host, backend = far(Recorder())
    policy = json.dumps(
        {"kind": "BackendPolicy", "metadata": {"name": "quick"}, "spec": {"targetRefs": [{"name": "far"}], "connectTimeout": "100ms"}}
    )
    site = serve(far_service(backend.port), policy, ROUTE)
    assert site.ask().status == 200
    host.vanish()
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (503, "UF"), "found stale, and there is no other connection to be had"


def test_retransmissions_do_not_wait_ever_longer(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """What bounds them is set on each connection to a backend, where the kernel can (TCP_RTO_MAX_MS, Linux 6.15)."""
    with socket.socket() as probe:
        try:
            probe.getsockopt(socket.IPPROTO_TCP, keepalive._TCP_RTO_MAX_MS)
        except OSError:
            pytest.skip("this kernel has no TCP_RTO_MAX_MS: Linux 6.15 is needed")
    site = serve(service("far", scripted(Recorder()).port), ROUTE)
    assert site.ask().status == 200

    def longest() -> int:
        (endpoint,) = site.runtime._live.described["default/far:80"].endpoints.values()
        connection = endpoint.plain.idle[0].transport.get_extra_info("socket")
        wait: int = connection.getsockopt(socket.IPPROTO_TCP, keepalive._TCP_RTO_MAX_MS)
        return wait

    assert site._thread.call(longest) == keepalive._RETRANSMISSION
