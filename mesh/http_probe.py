"""An HTTP probe as kubelet makes it: one GET, redirects that stay on the host followed, certificates not looked at (HTTPGetAction)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import h11

from gateway.net.sockets import readable
from mesh.probes import HttpGet

BODY_LIMIT: Final = 10 << 10
"""Bytes of an answer that are passed on; kubelet reads no more."""
MOST_REDIRECTS: Final = 10
_HEAD_LIMIT: Final = 64 << 10
_READ: Final = 16 << 10
_LEGAL: Final = "/?%:@!$&'()*+,;=~[]"
"""Of the path as the Pod gives it; what else stands there is encoded, as kubelet does (RFC 3986 3.3)."""

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[str, int, ssl.SSLContext | None], Awaitable[Streams]]
"""To a host, '' for the application beside us, and a port. Raises OSError."""


class ProbeFailed(Exception):
    """The application gave no answer that could be passed on; the text says why."""


class Answer(NamedTuple):
    """What the application said."""

    status: int
    content_type: str
    body: bytes


async def ask(get: HttpGet, address: str, connect: Connect) -> Answer:
    """The answer at the end of all redirects; `address` is the Pod's. Raises ProbeFailed and OSError."""
    url = urlsplit(f"{get.scheme.lower()}://{readable(get.host or address, get.port)}{quote(get.path, safe=_LEGAL)}")
    first = url.hostname
    for _ in range(MOST_REDIRECTS + 1):
        answer, location = await _once(get, url, connect, get.host)
        url = urlsplit(urljoin(url.geturl(), location))
        if not location or url.hostname != first or url.scheme not in {"http", "https"}:
            return answer
    raise ProbeFailed(f"it redirected more than {MOST_REDIRECTS} times")


async def _once(get: HttpGet, url: SplitResult, connect: Connect, host: str) -> tuple[Answer, str]:
    """An answer, and where it leads to if that is elsewhere."""
    secure = url.scheme == "https"
    try:
        port = url.port or (443 if secure else 80)
    except ValueError as error:
        raise ProbeFailed(f"it redirects to a port that is none: {error}") from None
    reader, writer = await connect(host, port, _unverified() if secure else None)
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        writer.write(_request(connection, get, url))
        return await _answer(connection, reader)
    except h11.ProtocolError as error:
        raise ProbeFailed(f"it did not answer in HTTP: {error}") from None
    finally:
        writer.transport.abort()


def _request(connection: h11.Connection, get: HttpGet, url: SplitResult) -> bytes:
    """A name that the Pod gives stands in the place of ours, and Host among them (Probe.httpGet.httpHeaders)."""
    given = [(header.name.lower(), header.value) for header in get.http_headers]
    named = {name for name, _ in given}
    ours = (("host", url.netloc), ("user-agent", "kube-probe/tidegate"), ("accept", "*/*"), ("connection", "close"))
    fields = [*(field for field in ours if field[0] not in named), *(field for field in given if field != ("accept", ""))]
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        request = h11.Request(method="GET", target=target.encode(), headers=[(name.encode(), value.encode()) for name, value in fields])
        return (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    except h11.LocalProtocolError as error:
        raise ProbeFailed(f"a header of the probe, or where it was redirected to, is not valid HTTP: {error}") from None


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[Answer, str]:
    head: h11.Response | None = None
    body = bytearray()
    while len(body) < BODY_LIMIT:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(_READ))
            case h11.Response() as head:
                pass
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage() | h11.PAUSED:
                break
            case h11.ConnectionClosed():
                raise ProbeFailed("it closed the connection without an answer")
            case _:
                pass
    assert head is not None
    fields = {name: value.decode("latin-1") for name, value in head.headers}
    location = fields.get(b"location", "") if 300 <= head.status_code < 400 else ""
    return Answer(head.status_code, fields.get(b"content-type", "text/plain; charset=utf-8"), bytes(body[:BODY_LIMIT])), location


def _unverified() -> ssl.SSLContext:
    """What the application is, kubelet does not ask either: it is in the same Pod."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
