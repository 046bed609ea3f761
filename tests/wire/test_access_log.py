"""One line of JSON for each exchange, and the numbers on /metrics (design.md section 8)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.telemetry.exposition import Exposition
from tests.wire.backends import Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.serving import Site, service

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"


def last_line(site: Site) -> dict[str, Any]:
    return site.log.wait_for(1)[-1]


def test_fields_of_a_line(serve: Serve, blue: Echo) -> None:
    """A line names the request, its answer, who served it and how long that took (design.md section 8, Access log)."""
    site = serve("- name: shop\n  backendRefs: [{name: blue, port: 80}]")
    blue.plan(Planned(201, body=b"created"))
    answer = site.ask("/buy?what=hat", method="POST", host="shop.example.com", body=b"please")
    line = last_line(site)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("duration_ms") >= line.pop("backend_ms") > 0
    assert line == {
        "method": "POST",
        "path": "/buy?what=hat",
        "protocol": "HTTP/1.1",
        "status": 201,
        "grpc_status": None,
        "flags": "-",
        "reason": None,
        "bytes_received": 6,
        "bytes_sent": 7,
        "client": "127.0.0.1",
        "request_id": answer.request.value("x-request-id"),
        "authority": "shop.example.com",
        "gateway": "default/web",
        "listener": "http",
        "route": "HTTPRoute/default/route",
        "rule": "shop",
        "backend": "default/blue:80",
        "endpoint": f"127.0.0.1:{blue.port}",
        "tls": None,
        "peer": None,
        "peer_identity": None,
    }


def test_no_route(serve: Serve) -> None:
    """NR: no rule matched."""
    site = serve()
    site.ask("/nowhere")
    line = last_line(site)
    assert (line["status"], line["flags"], line["reason"], line["route"], line["backend"]) == (404, "NR", "no route matches", None, None)


def test_no_backend(serve: Serve) -> None:
    """NC: there is nothing valid to ask; the reason says why."""
    site = serve("- backendRefs: [{name: missing, port: 80}]")
    site.ask()
    line = last_line(site)
    assert (line["status"], line["flags"], line["endpoint"]) == (500, "NC", None)
    assert "Service default/missing does not exist" in line["reason"]


def test_no_healthy_endpoint(serve: Serve) -> None:
    """UH: the backend has no endpoint that is ready."""
    site = serve("- backendRefs: [{name: shop, port: 80}]", service("shop"))
    site.ask()
    line = last_line(site)
    assert (line["status"], line["flags"], line["backend"]) == (503, "UH", "default/shop:80")


def test_connect_failure(serve: Serve) -> None:
    """UF: no connection came about; the line has the endpoint."""
    port = closed_port()
    site = serve("- backendRefs: [{name: shop, port: 80}]", service("shop", port))
    site.ask()
    line = last_line(site)
    assert (line["status"], line["flags"], line["endpoint"]) == (503, "UF", f"127.0.0.1:{port}")


def test_timeout(serve: Serve, blue: Echo) -> None:
    """UT: the rule's time was over."""
    site = serve("- timeouts: {request: 50ms}\n  backendRefs: [{name: blue, port: 80}]")
    blue.plan(Planned(held=True))
    site.ask()
    line = last_line(site)
    assert (line["status"], line["flags"], line["reason"]) == (504, "UT", "request timeout")
    assert line["duration_ms"] >= 50


def test_reset_by_the_backend(serve: Serve, scripted: type[Scripted]) -> None:
    """UC: the backend ended the connection without an answer."""

    def resets(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.reset()

    site = serve("- backendRefs: [{name: raw, port: 80}]", service("raw", scripted(resets).port))
    site.ask()
    assert (last_line(site)["status"], last_line(site)["flags"]) == (503, "UC")


def test_the_client_left(serve: Serve, blue: Echo) -> None:
    """DC: the client closed the connection before its answer, and the backend's request is given up."""
    site = serve(TO_BLUE)
    blue.plan(Planned(held=True))
    flight = site.begin()
    blue.wait_for(1)
    flight.connection.reset()
    blue.wait_for_abandoned()
    line = last_line(site)
    assert (line["status"], line["flags"], line["endpoint"]) == (0, "DC", f"127.0.0.1:{blue.port}")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n', 400),
        (b'GET /" HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400),
        (b"GET /\x80\xff HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", 505),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
    ],
)
def test_refused_requests_are_logged(serve: Serve, sent: bytes, status: int | None) -> None:
    """DPE: what is no request is logged with its reason, and nothing a client sends breaks the line's JSON."""
    site = serve(TO_BLUE)
    with site.connect() as connection:
        connection.sendall(sent)
        answered = int(connection.recv(65_536).split(b" ")[1])
    line = last_line(site)
    assert line["status"] == answered
    if status is not None:
        assert (answered, line["flags"]) == (status, "DPE")
        assert line["reason"]


def test_a_listener_may_keep_no_log(serve: Serve) -> None:
    """accessLog false: the listener's exchanges are counted, not logged (ListenerPolicy.accessLog)."""
    policies = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: quiet, port: 80, protocol: HTTP}, {name: loud, port: 8080, protocol: HTTP}]
---
kind: ListenerPolicy
metadata: {name: reasons}
spec: {targetRefs: [{name: web, sectionName: quiet}], accessLog: false, reasonHeader: true}
"""
    site = serve(TO_BLUE, policies)
    site.ask("/one")
    site.ask("/two", port=8080)
    assert [line["path"] for line in site.log.wait_for(1)] == ["/two"]


def test_the_reason_header_is_off_by_default(serve: Serve) -> None:
    """x-tidegate-reason is for those who ask for it; the log says it always (ListenerPolicy.reasonHeader)."""
    site = serve("kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}]}")
    assert "x-tidegate-reason" not in site.ask().headers
    assert last_line(site)["reason"] == "no route matches"


def test_exchanges_are_counted(serve: Serve, blue: Echo) -> None:
    """istio_requests_total and its companions count every exchange by route, backend, status and flags (design.md section 8, Metrics)."""
    site = serve("- name: shop\n  backendRefs: [{name: blue, port: 80}]")
    blue.plan(Planned(200, body=b"12345"), Planned(503))
    for _ in range(3):
        site.ask(method="POST", body=b"123")
    text = Exposition().prometheus(site.statistics()).decode()
    totals = re.findall(r'^istio_requests_total\{(.*)response_code="([0-9]+)"(.*)\} ([0-9]+)', text, re.MULTILINE)
    assert sorted((code, count) for _, code, _, count in totals) == [("200", "2"), ("503", "1")]
    assert all("blue" in before + after for before, _, after, _ in totals)
    [ok] = [series for series in site.statistics().requests if series.code == 200]
    assert (ok.count, ok.request_bytes, ok.response_bytes, sum(ok.duration_buckets)) == (2, 6, 5, 2)


def test_refused_requests_are_counted(serve: Serve) -> None:
    """A request that is refused is counted by its reason (design.md section 7: counted and logged with a reason)."""
    site = serve(TO_BLUE)
    with site.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    refused = {sample.labels: sample.value for sample in site.statistics().counters if sample.name == "tidegate_requests_refused_total"}
    assert refused == {(("reason", "more than one Host"),): 1}
