"""Active health checks (BackendPolicy.healthCheck): what is asked, what follows from it, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest

from tests.certificates import Authority
from tests.wire.backends import Conversation, Echo, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.http2_backends import Http2Echo, Http2Plan, http2_service, tls_of
from tests.wire.pools import OK, TO_POOL, count, healthy, look, policy, pool, until
from tests.wire.secure import TlsBackend, backend_policy, trust

FAILURES = "tidegate_health_check_failures_total"
AGENT = "tidegate-health-check"


def checking(panic: int = 50, **check: Any) -> str:
    return policy(healthCheck={"interval": "100ms", "timeout": "2s", "unhealthyThreshold": 1, **check}, panicThreshold=panic)


class Moody:
    """A backend that answers checks as it is told; `asked` are the heads of the checks."""

    def __init__(self) -> None:
        self.well = True
        self.asked: list[bytes] = []

    def __call__(self, conversation: Conversation) -> None:
        while head := conversation.read_head():
            check = b"user-agent: tidegate-health-check" in head
            if check:
                self.asked.append(head)
            conversation.send(OK if self.well or not check else OK.replace(b"200 OK", b"500 Unwell"))


def test_an_unwell_endpoint_is_left_out_until_it_is_well(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """By what it answers to the check alone, whatever requests get (BackendPolicy.healthCheck)."""
    moody = Moody()
    port = scripted(moody).port
    site = serve(TO_POOL, pool(blue.port, port), checking(http={"path": "/healthz?deep=1", "host": "health.test"}))
    assert healthy(site) == {blue.port, port}
    moody.well = False
    until(lambda: healthy(site) == {blue.port}, "the endpoint left out")
    assert {site.ask().backend for _ in range(4)} == {"blue"}
    (portion,) = site.explain()["portions"]
    assert portion["endpoints"][1]["fault"] == "left out, health checks fail: answered 500"
    assert count(site, FAILURES) >= 1
    assert count(site, "tidegate_endpoints_ejected") == 1
    moody.well = True
    until(lambda: healthy(site) == {blue.port, port}, "the endpoint back in use")
    assert moody.asked[0].startswith(b"GET /healthz?deep=1 HTTP/1.1\r\nhost: health.test\r\n")


def test_a_closed_port_is_found_without_a_request(serve: Serve, blue: Echo) -> None:
    """Of type TCP a connection that comes about is enough, and one that does not is too little."""
    dead = closed_port()
    site = serve(TO_POOL, pool(blue.port, dead), checking(type="TCP"))
    until(lambda: healthy(site) == {blue.port}, "the endpoint left out")
    assert not blue.requests


def test_statuses_that_are_expected(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """Just those that are listed are good (BackendPolicy.healthCheck.http.statuses)."""
    moody = Moody()
    moody.well = False
    port = scripted(moody).port
    site = serve(TO_POOL, pool(blue.port, port), checking(http={"statuses": [204, 500]}))
    until(lambda: healthy(site) == {port} and bool(moody.asked), "200 to count as bad")
    assert moody.asked[0].startswith(b"GET / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % port)


@pytest.mark.slow
def test_thresholds(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """So many in a row make it unhealthy, and so many healthy again."""
    moody = Moody()
    port = scripted(moody).port
    site = serve(TO_POOL, pool(blue.port, port), checking(unhealthyThreshold=3, healthyThreshold=2))
    until(lambda: bool(moody.asked), "a check")
    moody.well, before = False, count(site, FAILURES)
    until(lambda: port not in healthy(site), "the endpoint left out")
    assert count(site, FAILURES) - before >= 3
    moody.well, asked = True, len(moody.asked)
    until(lambda: port in healthy(site), "the endpoint back in use")
    assert len(moody.asked) - asked >= 2


@pytest.mark.parametrize("fault", ["closes", "nonsense", "silence"])
def test_what_is_no_answer_is_a_bad_one(serve: Serve, blue: Echo, scripted: type[Scripted], fault: str) -> None:
    """An end without an answer, something else than HTTP, and none in time (BackendPolicy.healthCheck.timeout)."""

    def script(conversation: Conversation) -> None:
        conversation.read_head()
        if fault == "nonsense":
            conversation.send(b"nonsense\r\n\r\n")
        elif fault == "silence":
            conversation.read_head()

    port = scripted(script).port
    site = serve(TO_POOL, pool(blue.port, port), checking(timeout="100ms"))
    until(lambda: healthy(site) == {blue.port}, "the endpoint left out")


def test_interim_answers_are_passed_over(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """A 103 is not the answer (RFC 9110 15.2)."""
    checked = Event()

    def script(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
        conversation.read_head()
        checked.set()

    port = scripted(script).port
    site = serve(TO_POOL, pool(blue.port, port), checking())
    assert checked.wait(10)
    assert (healthy(site), count(site, FAILURES)) == ({blue.port, port}, 0)


def test_checks_go_over_tls(serve: Serve, tmp_path: Path) -> None:
    """As requests do, under the BackendTLSPolicy: a certificate that does not verify is a bad check, and the hostname is the Host."""
    authority = Authority()
    good, bad = (TlsBackend(tmp_path, issuer.issue("pool.test")) for issuer in (authority, Authority("Stranger")))
    with closing(good), closing(bad):
        site = serve(TO_POOL, pool(good.port, bad.port), checking(), trust("ca", authority), backend_policy("pool", "pool.test", "ca"))
        until(lambda: healthy(site) == {good.port} and bool(good.recorder.requests), "the endpoint with the strange certificate left out")
        assert set(good.server_names) == {"pool.test"}
        assert good.recorder.requests[0].head.startswith(b"GET / HTTP/1.1\r\nhost: pool.test\r\n")


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_checks_go_in_http2(serve: Serve, http2_echo: Callable[..., Http2Echo], tmp_path: Path, tls: bool) -> None:
    """Where requests go in it, with prior knowledge or because TLS chooses it; on connections of their own."""
    authority = Authority()
    context = tls_of(authority.issue("pool.test"), tmp_path) if tls else None
    good, bad = http2_echo("good", tls=context), http2_echo("bad", tls=context)
    bad.always(Http2Plan(status=500))
    secured = (trust("ca", authority), backend_policy("pool", "pool.test", "ca")) if tls else ()
    backends = http2_service("pool", good.port, bad.port, protocol=None if tls else "kubernetes.io/h2c")
    site = serve(TO_POOL, backends, checking(http={"path": "/healthz?deep=1"}), *secured)
    until(lambda: healthy(site) == {good.port} and bool(good.requests), "the endpoint left out")
    check = good.requests[0]
    host = "pool.test" if tls else f"127.0.0.1:{good.port}"
    assert (check.method, check.target, check.value("host"), check.value("user-agent")) == ("GET", "/healthz?deep=1", host, AGENT)
    until(lambda: good.connections >= 2, "a connection for each check")
    assert look(site, lambda found: found.connections.count) == 0


class Serving:
    """A gRPC server with grpc.health.v1.Health; `status` is what it says of itself, None for a server without it."""

    def __init__(self, status: int | None) -> None:
        self.status, self.asked = status, list[bytes]()
        self._threads = ThreadPoolExecutor(2)
        self._server = grpc.server(self._threads)
        methods = {} if status is None else {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _check(self, request: bytes, context: Any) -> bytes:
        self.asked.append(request)
        return b"\x08%c" % self.status if self.status else b""

    def close(self) -> None:
        self._server.stop(None).wait()
        self._threads.shutdown()


@pytest.fixture
def serving() -> Iterator[Callable[[int | None], Serving]]:
    servers: list[Serving] = []

    def make(status: int | None) -> Serving:
        servers.append(Serving(status))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def test_checks_over_grpc(serve: Serve, serving: Callable[[int | None], Serving]) -> None:
    """SERVING alone is well: not another status, none, nor a server that does not know the service (grpc.health.v1;
    BackendPolicy.healthCheck.type GRPC). The port need not say that it speaks HTTP/2."""
    servers = [serving(status) for status in (1, 2, 0, None)]
    well, unwell = servers[0], servers[1]
    site = serve(TO_POOL, pool(*[server.port for server in servers]), checking(type="GRPC", grpc={"service": "a.B"}, panic=0))
    until(lambda: healthy(site) == {well.port} and bool(well.asked), "the endpoints left out")
    assert well.asked[0] == b"\x0a\x03a.B"
    faults = {entry["address"]: entry["fault"] for entry in site.explain()["portions"][0]["endpoints"]}
    assert faults[f"127.0.0.1:{unwell.port}"].endswith("is not serving: status 2 of grpc.health.v1")
    assert faults[f"127.0.0.1:{servers[3].port}"].endswith("ended the call with gRPC status 12")
    unwell.status = 1
    until(lambda: unwell.port in healthy(site), "the endpoint back in use")


def test_checks_follow_the_endpoints_and_end_with_the_policy(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """One that is gone is checked no more, one that comes is; without the policy nothing is, and everyone counts as healthy."""
    moody = Moody()
    port, dead = scripted(moody).port, closed_port()
    site = serve(TO_POOL, pool(port, dead), checking())
    until(lambda: healthy(site) == {port} and bool(moody.asked), "the first checks")
    site.change(TO_POOL, pool(dead, blue.port), checking())
    assert look(site, lambda found: {endpoint.port for endpoint in found._checks._checked}) == {dead, blue.port}
    site.change(TO_POOL, pool(dead, blue.port))
    assert look(site, lambda found: len(found._checks._checked)) == 0
    assert healthy(site) == {dead, blue.port}
    assert look(site, lambda found: [task for task in found._core._tasks if not task.cancelling()]) == []


def test_a_gateway_that_drains_ends_its_checks(serve: Serve, scripted: type[Scripted]) -> None:
    """Nothing is left of them when the runtime has closed (SIGTERM)."""
    moody = Moody()
    site = serve(TO_POOL, pool(scripted(moody).port), checking())
    until(lambda: bool(moody.asked), "a check")
    found = site.runtime._live.described["default/pool:80"]
    site.drain()
    assert not found._checks._checked
