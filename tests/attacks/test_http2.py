"""Every row about HTTP/2, through real sockets: whole, byte by byte, and with a good request on a later stream behind it."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from tests.attacks.backend import Backend, Delivery, Plan, pieces_of
from tests.attacks.http2_client import Http2Client, Seen
from tests.attacks.http2_row import INITIAL_WINDOW_SIZE, Http2Attack, Http2Row, Http2Served, get, window_update
from tests.attacks.http2_table import ATTACKS, LEGAL, REFUSED, ROWS, SERVED
from tests.attacks.reading import Request
from tests.attacks.stage import Stage, served_requests

DELIVERIES: tuple[Delivery, ...] = ("whole", "byte by byte", "with more behind")


def name(row: Http2Row) -> str:
    return row.name


def test_the_table_is_large_enough() -> None:
    """At least 150 rows that differ in the attack, and 60 that are legal but odd."""
    assert sum(map(len, ATTACKS.values())) >= 150
    assert sum(map(len, LEGAL.values())) >= 60


def test_every_row_is_another_one() -> None:
    """No name and no bytes twice; each names what demands its verdict; no attack is legal."""
    assert not [key for key, count in Counter(row.name for row in ROWS).items() if count > 1]
    sent = Counter(map(bytes_of, ROWS))
    assert not [row.name for row in ROWS if sent[bytes_of(row)] > 1]
    assert all(row.source for row in ROWS)
    legal = {bytes_of(row) for row in chain(*LEGAL.values())}
    assert not [row.name for row in chain(*ATTACKS.values()) if bytes_of(row) in legal]


def bytes_of(row: Http2Row) -> tuple[object, ...]:
    """All that a client does."""
    return (row.sent, row.settings, row.then, False) if isinstance(row, Http2Served) else (row.sent, (), b"", row.bare)


def behind(row: Http2Row) -> tuple[int, bytes]:
    """A good request on a later stream, and which one. It is a canary, so that the backend answers it whatever is planned, and has room
    for the answer whatever window the row begins with."""
    stream = max(1001, row.stream + 2)
    more = get(stream=stream, path=b"/canary")
    if isinstance(row, Http2Served) and INITIAL_WINDOW_SIZE in dict(row.settings):
        more += window_update(len(b"ok"), stream)
    return stream, more


@pytest.mark.parametrize("row", REFUSED, ids=name)
def test_an_attack_gets_its_verdict_and_reaches_no_backend(stage: Stage, row: Http2Attack) -> None:
    """GOAWAY and the end, RST_STREAM or a status, as the row says, and nothing of it forwarded; where the connection goes on it serves
    the next stream, and others are served as before (RFC 9113 5.4, 8.1.1; design 7). The log says why."""
    for delivery in DELIVERIES:
        stage.begin()
        seen = stage.run(refuse(stage, row, delivery))
        lines = stage.all_logged()
        if not seen.ended:
            assert any(line["reason"] for line in lines), f"{delivery}: no reason in {lines}"


async def refuse(stage: Stage, row: Http2Attack, delivery: Delivery) -> Seen:
    if row.unanswered:
        stage.backend.plan = Plan(b"")
    number, more = behind(row)
    with await Http2Client.connect(stage.site.address()) as client:
        if not row.bare:
            await client.open()
        await client.send(pieces_of(row.sent + more if delivery == "with more behind" else row.sent, delivery))
        seen = await client.read(lambda seen: not only_ends(row) and seen.stream(row.stream).over)
        ended = seen.ended
        check_verdict(row, seen, delivery)
        if not ended:
            if delivery != "with more behind":
                await client.send([more])
            await client.read(lambda seen: seen.stream(number).over)
            served = seen.stream(number)
            assert (served.status, served.body, seen.goaway) == (200, b"ok", None), f"{delivery}: the connection does not go on: {seen}"
    await stage.canary()
    await check_backend(stage, row, delivery)
    return seen


def only_ends(row: Http2Attack) -> bool:
    return not row.verdict.resets and not row.verdict.answers


def check_verdict(row: Http2Attack, seen: Seen, delivery: Delivery) -> None:
    stream, verdict = seen.stream(row.stream), row.verdict
    assert not seen.fault or verdict.unspoken, f"{delivery}: {seen.fault}"
    if seen.ended:
        assert verdict.unspoken or seen.goaway in verdict.ends, f"{delivery}: ended with {seen.goaway}: {seen}"
    elif stream.status:
        assert stream.status in verdict.answers, f"{delivery}: {stream}"
    else:
        assert stream.reset in verdict.resets, f"{delivery}: {stream}"


async def check_backend(stage: Stage, row: Http2Attack, delivery: Delivery) -> None:
    backend = stage.backend
    whole = [request.target for request in backend.requests if request.target != b"/canary"]
    assert whole == list(row.before), f"{delivery}: the backend got {[bytes(link.received) for link in backend.links]}"
    if row.late:
        begun = [link for link in backend.links if link.received and not link.received.startswith(b"GET /canary")]
        await backend.wait_until(lambda: all(link.ended for link in begun), f"{delivery}: the connection with half a request is closed")
    else:
        served_requests(backend)


@pytest.mark.parametrize("row", SERVED, ids=name)
def test_a_served_request_keeps_its_meaning(stage: Stage, row: Http2Served) -> None:
    """One request, in the one form in which we write, with the row's method, target, fields, body and trailers; others of the row beside
    it, each on its stream; and the connection serves the next one too."""
    for delivery in DELIVERIES[:2] if row.closes else DELIVERIES:
        stage.begin()
        stage.run(serve(stage, row, delivery))
        whole = stage.run(whole_requests(stage.backend, row))
        requests = {request.target: request for request in whole if request.target not in row.cancelled}
        assert set(requests) == {row.target, *row.more}, delivery
        check_request(row, requests[row.target], delivery)
        stage.all_logged()


async def whole_requests(backend: Backend, row: Http2Served) -> list[Request]:
    """Those that came. One that was cancelled may have begun: then its connection ends, and nothing else comes on it."""
    begun = [link for link in backend.links if any(link.received.startswith(b"POST %b " % target) for target in row.cancelled)]
    await backend.wait_until(lambda: all(link.ended for link in begun), "the connection of a cancelled request is closed")
    return served_requests(backend, begun)


async def serve(stage: Stage, row: Http2Served, delivery: Delivery) -> None:
    number, more = behind(row)
    wanted = [row.stream, *row.others, *([number] if delivery == "with more behind" else [])]
    with await Http2Client.connect(stage.site.address()) as client:
        await client.open(*row.settings)
        await client.send(pieces_of(row.sent + more if delivery == "with more behind" else row.sent, delivery))
        if row.then:
            await stage.backend.wait_until(lambda: any(request.target == row.target for request in stage.backend.requests), "the request")
            await client.send([row.then])
        seen = await client.read(lambda seen: all(seen.stream(each).over for each in wanted))
        if not row.closes and delivery != "with more behind":
            await client.send([more])
            await client.read(lambda seen: seen.stream(number).over)
            wanted.append(number)
        for each in wanted:
            stream = seen.stream(each)
            body = b"" if row.method == b"HEAD" and each == row.stream else b"ok"
            assert (stream.status, stream.body, stream.ended, stream.reset) == (200, body, True, None), f"{delivery}: {each}: {seen}"
        assert row.closes or (seen.goaway is None and not seen.ended), f"{delivery}: the connection does not go on: {seen}"
        assert seen.pongs == list(row.pings), delivery
        assert not seen.fault, delivery


def check_request(row: Http2Served, request: Request, delivery: Delivery) -> None:
    found = (request.method, request.target, request.body, request.trailers)
    assert found == (row.method, row.target, row.body, row.trailers), delivery
    for field in dict.fromkeys(field for field, _ in row.fields):
        assert request.values(field) == [value for other, value in row.fields if other == field], f"{delivery}: {field!r}"
    present = {field for field, _ in (*request.fields, *request.trailers)}
    assert not present & set(row.absent), delivery
