"""The admin server: GET and HEAD for health, metrics, configuration, explanation and status of one data plane.

A small HTTP/1.1 server on h11 for a handful of clients on a loopback address. It knows nothing of what it serves: pages are
functions of the query. On a loopback address only requests to a loopback name are answered, so that no web page can reach it
through a DNS name of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import h11

_HEAD_LIMIT: Final = 16 << 10
"""Bytes of a head, give or take one reading."""
_HEAD_TIMEOUT: Final = 10.0
"""Seconds from a connection's start, or its last response, to the end of a head."""
_WRITE_TIMEOUT: Final = 30.0
_LINGER: Final = 1.0
_CONNECTION_LIMIT: Final = 64
_READ_BYTES: Final = 4 << 10
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
"""A page may pass on a status that no RFC knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a page may look at: the query's pairs in order, decoded, and the header fields, names in lower case."""

    query: tuple[tuple[str, str], ...]
    fields: tuple[tuple[bytes, bytes], ...]

    def all(self, name: str) -> tuple[str, ...]:
        """Values of a parameter of the query, in order."""
        return tuple(value for found, value in self.query if found == name)

    def accepts(self, media_type: str) -> bool:
        """Whether Accept names the type (RFC 9110 12.5.1), by itself and not by a wildcard, and does not refuse it."""
        for name, value in self.fields:
            if name == b"accept":
                for one in value.decode("latin-1").split(","):
                    named, *parameters = (part.strip().lower() for part in one.split(";"))
                    if named == media_type and not any(part in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for part in parameters):
                        return True
        return False


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    fields: tuple[tuple[str, str], ...] = field(default=())


Serve = Callable[[Request], Awaitable[Page]]


class AdminServer:
    """Owner of the admin port and its connections. `pages` by path; `problem` is told of failures inside a page."""

    def __init__(self, pages: Mapping[str, Serve], problem: Callable[[str], None]) -> None:
        self._pages = pages
        self._problem = problem
        self._connections: dict[asyncio.Task[None], None] = {}
        """In the order in which they were last answered."""
        self._server: asyncio.Server | None = None
        self._loopback = True

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def start(self, listening: socket.socket) -> None:
        """Accepts on a bound socket, which it owns from now on."""
        self._loopback = ipaddress.ip_address(listening.getsockname()[0]).is_loopback
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=_READ_BYTES)

    async def close(self) -> None:
        """Ends the server and every connection."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTION_LIMIT:
            silent = next(iter(self._connections))  # so that those who hold connections open cannot keep a health check out
            del self._connections[silent]
            silent.cancel()
        self._connections[task] = None
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.pop(task, None)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request after another until either side wants the connection closed."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        while True:
            head: h11.Request | None = None
            try:
                async with asyncio.timeout(_HEAD_TIMEOUT):
                    head = await _receive_head(connection, reader)
                if head is None:
                    return
                page = await self._answer(head)
                self._note_answered()
            except h11.RemoteProtocolError as error:
                page = _plain(error.error_status_hint, str(error))
            sent = _serialised(connection, page, without_body=head is not None and head.method == b"HEAD")
            writer.write(sent)
            async with asyncio.timeout(_WRITE_TIMEOUT):
                await writer.drain()
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                await _linger(reader, writer)
                return
            connection.start_next_cycle()

    def _note_answered(self) -> None:
        task = asyncio.current_task()
        if task in self._connections:
            self._connections[task] = self._connections.pop(task)

    async def _answer(self, head: h11.Request) -> Page:
        fields = tuple((name, value) for name, value in head.headers)
        if self._loopback and not all(_is_local(value) for name, value in fields if name == b"host"):
            return _plain(421, "ask for this server by its IP address or as localhost")
        if head.method not in {b"GET", b"HEAD"}:
            return Page(b"this server only answers GET and HEAD\n", status=405, fields=(("allow", "GET, HEAD"),))
        try:
            target = urlsplit(head.target.decode("ascii"))
            query = tuple(parse_qsl(target.query, keep_blank_values=True, errors="strict", max_num_fields=100))
        except ValueError:
            return _plain(400, "the target is not a URL, or its query is not UTF-8")
        serve = self._pages.get(target.path)
        if serve is None:
            return _plain(404, f"there is no such page here; there are {', '.join(self._pages)}")
        try:
            return await serve(Request(query, fields))
        except Exception as error:  # one page's failure is told and is not the server's end
            self._problem(f"the admin page {target.path} failed: {type(error).__name__}: {error}")
            return _plain(500, "this page failed; the log says why")


async def _receive_head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """A whole request without a body, None if the client leaves instead. Raises h11.RemoteProtocolError."""
    head: h11.Request | None = None
    while True:
        match connection.next_event():
            case h11.NEED_DATA if head is not None and _has_body(head):
                raise h11.RemoteProtocolError("a request here has no body")
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(_READ_BYTES))
            case h11.Request() as head:
                pass
            case h11.EndOfMessage():
                return head
            case h11.Data():
                raise h11.RemoteProtocolError("a request here has no body")
            case _:
                return None


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets the client read the answer first: a close with data unread would reset the connection (RFC 9112 9.6)."""
    writer.write_eof()
    async with asyncio.timeout(_LINGER):
        while await reader.read(_READ_BYTES):
            pass


def _has_body(head: h11.Request) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in head.headers)


def _serialised(connection: h11.Connection, page: Page, *, without_body: bool) -> bytes:
    fields = [
        ("server", "tidegate"),
        ("content-type", page.content_type),
        ("content-length", str(len(page.body))),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        *page.fields,
    ]
    if connection.their_state is not h11.DONE:
        fields.append(("connection", "close"))
    head = connection.send(h11.Response(status_code=page.status, headers=fields, reason=_PHRASES.get(page.status, "")))
    body = b"" if without_body else connection.send(h11.Data(data=page.body))
    end = connection.send(h11.EndOfMessage())
    return (head or b"") + (body or b"") + (end or b"")


def _plain(status: int, text: str) -> Page:
    return Page(f"{text}\n".encode(), status=status)


def _is_local(host: bytes) -> bool:
    """Whether a Host names this machine in a way that no foreign DNS server can answer for."""
    try:
        name = urlsplit(f"//{host.decode('latin-1')}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
