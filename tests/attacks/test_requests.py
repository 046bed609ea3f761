"""Every request row of the table, through real sockets: whole, byte by byte, and with a second request behind it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.attacks.backend import Delivery, pieces_of
from tests.attacks.client import Answer, Client, read_answer
from tests.attacks.reading import Request
from tests.attacks.row import Refused, Served, get
from tests.attacks.stage import Stage, served_requests
from tests.attacks.table import REFUSED, SERVED

SECOND = get(target=b"/second")


def name(row: Refused | Served) -> str:
    return row.name


def deliveries(row: Refused | Served) -> Sequence[Delivery]:
    """A client that leaves sends nothing behind."""
    return ("whole", "byte by byte") if isinstance(row, Refused) and row.ends else ("whole", "byte by byte", "with more behind")


async def deliver(client: Client, row: Refused | Served, delivery: Delivery) -> None:
    data = row.sent + SECOND if delivery == "with more behind" else row.sent
    await client.send(pieces_of(data, delivery))
    if isinstance(row, Refused) and row.ends:
        client.end()


@pytest.mark.parametrize("row", REFUSED, ids=name)
def test_a_refused_request_reaches_no_backend(stage: Stage, row: Refused) -> None:
    """The status of the row, the end of the connection, nothing of it and nothing behind it forwarded, the reason in the log; and the
    gateway serves others as before (RFC 9112 9.6; design 7). Of a fault behind a good head a backend never sees the end."""
    for delivery in deliveries(row):
        stage.begin()
        expected = stage.run(refuse(stage, row, delivery))
        lines = stage.logged(2 + expected)
        assert lines[0]["status"] == row.status, delivery
        assert not row.closes or lines[0]["reason"], delivery


async def refuse(stage: Stage, row: Refused, delivery: Delivery) -> int:
    """How many more requests were served behind the row, as may be where its answer is no refusal."""
    with await stage.connect_client() as client:
        await deliver(client, row, delivery)
        behind = 0
        if row.closes:
            await client.read()
            check_refusal(row, client.received, delivery)
        else:
            redirect = await client.answer()
            check_answer(redirect, row.status, delivery)
            assert [field for field, _ in redirect.fields] == [b"location", b"content-length"], delivery
            if delivery == "with more behind":
                check_answer(await client.answer(), 200, delivery)
                behind = 1
    await stage.canary()
    backend = stage.backend
    if row.late:
        begun = [link for link in backend.links if link.received and not link.received.startswith(b"GET /canary")]
        await backend.wait_until(lambda: all(link.ended for link in begun), f"{delivery}: the connection with half a request is closed")
    else:
        assert len(served_requests(backend)) == behind, f"{delivery}: the backend got {[bytes(link.received) for link in backend.links]}"
    assert [request.target for request in backend.requests] == [b"/second"] * behind + [b"/canary"], delivery
    return behind


def check_refusal(row: Refused, received: bytes, delivery: Delivery) -> None:
    if not row.status:
        assert received == b"", delivery
        return
    answer = read_answer(received, b"GET", ended=True)
    assert (answer.status, answer.complete) == (row.status, True), f"{delivery}: {received!r}"
    assert answer.closes, f"{delivery}: no connection: close in {received!r}"
    assert answer.rest == b"", f"{delivery}: {received!r}"


def check_answer(answer: Answer, status: int, delivery: Delivery) -> None:
    assert (answer.status, answer.complete, answer.closes) == (status, True, False), f"{delivery}: {answer}"


@pytest.mark.parametrize("row", SERVED, ids=name)
def test_a_served_request_keeps_its_meaning(stage: Stage, row: Served) -> None:
    """One request, in the one form in which we write, with the row's method, target, fields, body and trailers, and nothing more than
    the row permits. What comes behind it is a request of its own, or is ignored where the connection ends (RFC 9112 9.3, 9.6)."""
    for delivery in deliveries(row):
        stage.begin()
        behind = stage.run(serve(stage, row, delivery))
        requests = served_requests(stage.backend)
        assert [request.target for request in requests[1:]] == [b"/second"] * behind, delivery
        check_request(row, requests[0], delivery)
        stage.logged(1 + behind)


async def serve(stage: Stage, row: Served, delivery: Delivery) -> int:
    """How many requests were served behind the row."""
    with await stage.connect_client() as client:
        await deliver(client, row, delivery)
        answer = await client.answer(row.method)
        assert (answer.status, answer.complete, answer.closes) == (200, True, row.closes), f"{delivery}: {answer}"
        assert answer.body == b"ok" or row.method == b"HEAD", delivery
        if row.closes:
            assert await client.read() == b"", f"{delivery}: more than one answer"
        elif delivery == "with more behind":
            check_answer(await client.answer(), 200, delivery)
            return 1
    return 0


def check_request(row: Served, request: Request, delivery: Delivery) -> None:
    found = (request.method, request.target, request.body, request.trailers)
    assert found == (row.method, row.target, row.body, row.trailers), delivery
    for field in dict.fromkeys(field for field, _ in row.fields):
        assert request.values(field) == [value for other, value in row.fields if other == field], f"{delivery}: {field!r}"
    present = {field for field, _ in (*request.fields, *request.trailers)}
    assert not present & {field.lower() for field in row.absent}, delivery
