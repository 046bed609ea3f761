"""Bodies and trailers between clients and backends of every protocol: all that was sent arrives, and nothing else (RFC 9110 6.4, 6.5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.conftest import Serve
from tests.wire.sides import BACKENDS, CLIENTS, LISTENERS, Answering, Asking, BackendName, ClientName, Message, backend, client

TO_POOL = "- backendRefs: [{name: pool, port: 80}]"
LARGE = bytes(range(256)) * 12_000
"""Some MiB, and many times every window."""
BODIES = {"small": b"hello", "a window": LARGE[:65_535], "large": LARGE}

Sides = tuple[Asking, Answering]


@pytest.fixture(params=CLIENTS)
def client_name(request: pytest.FixtureRequest) -> ClientName:
    name: ClientName = request.param
    return name


@pytest.fixture(params=BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> BackendName:
    name: BackendName = request.param
    return name


@pytest.fixture
def sides(serve: Serve, client_name: ClientName, backend_name: BackendName, tmp_path: Path) -> Iterator[Sides]:
    with backend(backend_name, tmp_path) as (answering, objects), client(client_name, serve(LISTENERS, objects, TO_POOL)) as asking:
        yield asking, answering


@pytest.mark.parametrize("counted", [True, False], ids=["content-length", "no content-length"])
@pytest.mark.parametrize("size", BODIES)
def test_a_request_with_a_body(sides: Sides, size: str, counted: bool) -> None:
    """RFC 9113 8.1.1, RFC 9112 6: a length that was said passes on, one that was not is not made up; the connection takes another."""
    asking, answering = sides
    for _ in range(2):
        answering.plan(Message(status=200, body=b"ok"))
        answer = asking.ask(Message("POST", body=BODIES[size], counted=counted))
        assert (answer.status, answer.body) == (200, b"ok")
    for request in answering.requests():
        assert request.body == BODIES[size]
        assert request.value("content-length") == (str(len(BODIES[size])) if counted else None)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_a_body(sides: Sides, method: str) -> None:
    """RFC 9110 8.6: no body is made up; a POST says that there is none."""
    asking, answering = sides
    answering.plan(Message(status=200))
    assert asking.ask(Message(method)).status == 200
    [request] = answering.requests()
    assert (request.body, request.value("transfer-encoding")) == (b"", None)
    assert request.value("content-length") == ("0" if method == "POST" else None)


@pytest.mark.parametrize("counted", [True, False], ids=["content-length", "no content-length"])
@pytest.mark.parametrize("size", BODIES)
def test_a_response_with_a_body(sides: Sides, size: str, counted: bool) -> None:
    """RFC 9113 8.1.1, RFC 9112 6; the connection takes another request."""
    asking, answering = sides
    for _ in range(2):
        answering.plan(Message(status=200, body=BODIES[size], counted=counted))
        answer = asking.ask(Message())
        assert (answer.status, answer.body) == (200, BODIES[size])
        assert answer.value("content-length") in ({str(len(BODIES[size]))} if counted else {str(len(BODIES[size])), None})


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_a_response_without_a_body(sides: Sides, status: int, method: str) -> None:
    """RFC 9110 6.4.1, 8.6: HEAD, 204 and 304 have none, whatever Content-Length would say of another answer."""
    asking, answering = sides
    fields = (("content-length", "12"),) if status == 304 else ()
    for _ in range(2):
        answering.plan(Message(status=status, fields=fields, body=b"" if method == "GET" else b"twelve bytes"))
        answer = asking.ask(Message(method))
        assert (answer.status, answer.body) == (status, b"")
        assert answer.value("content-length") == (None if status == 204 else "12")


@pytest.mark.parametrize("size", ["small", "large"])
def test_trailers_of_a_request(sides: Sides, size: str) -> None:
    """RFC 9110 6.5: passed on behind the body, to the field; those that only a head may have are not."""
    asking, answering = sides
    answering.plan(Message(status=200))
    trailers = (("x-sum", "abc"), ("authorization", "secret"))
    message = Message("POST", fields=(("te", "trailers"),), body=BODIES[size], counted=False, trailers=trailers)
    assert asking.ask(message).status == 200
    [request] = answering.requests()
    assert (request.body, request.trailers) == (BODIES[size], (("x-sum", "abc"),))


@pytest.mark.parametrize("size", ["none", "small", "large"])
def test_trailers_of_a_response(sides: Sides, size: str) -> None:
    """RFC 9110 6.5: passed on to whoever takes them (TE: trailers), behind all of the body."""
    asking, answering = sides
    body = BODIES.get(size, b"")
    for fields, expected in (((("te", "trailers"),), (("x-sum", "abc"),)), ((), ())):
        answering.plan(Message(status=200, body=body, counted=False, trailers=(("x-sum", "abc"),)))
        answer = asking.ask(Message(fields=fields))
        assert (answer.status, answer.body, answer.trailers) == (200, body, expected)
