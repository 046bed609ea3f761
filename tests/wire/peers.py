"""Peers for HTTP/1.1 byte by byte: a client that sends exactly what it is told, and a backend that keeps exactly what it got.

Responses are read by h11, so that what our codec writes is judged by another one.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Condition
from typing import Literal, Self

import h11

from tests.wire.backends import LIMIT, Conversation
from tests.wire.serving import Site

Delivery = Literal["whole", "byte by byte", "with more behind"]
DELIVERIES: tuple[Delivery, ...] = ("whole", "byte by byte", "with more behind")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Response:
    """A response as h11 read it. Names of fields are in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...]
    informational: tuple[int, ...]
    reason: str

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def value(self, name: str) -> str | None:
        """The only value of a field; None if it is absent."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None


class Wire:
    """A client's end of one connection, in blocking calls."""

    def __init__(self, site: Site, port: int = 80, *, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        self._site = site
        self.socket = site.connect(port)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            try:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
            except BaseException:
                self.socket.close()
                raise
        self.received = b""
        """What came and was not read yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Each piece is read by the proxy before the next one goes out."""
        for number, piece in enumerate(pieces):
            if number:
                self.turn()
            self.socket.sendall(piece)

    def deliver(self, data: bytes, delivery: Delivery, more: bytes = b"") -> None:
        """Sends the bytes in one of the three ways; `more` only behind the last of them."""
        match delivery:
            case "whole":
                self.send(data)
            case "byte by byte":
                self.send(*[data[at : at + 1] for at in range(len(data))])
            case "with more behind":
                self.send(data + more)

    def turn(self) -> None:
        """Waits until the proxy has read what was sent: its loop polls once for this call and for the connection."""
        self._site._thread.call(lambda: None)

    def end(self) -> None:
        """No more comes from the client; it still reads."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read_until(self, mark: bytes) -> bytes:
        """Up to the mark, and with it."""
        while mark not in self.received:
            data = self.socket.recv(65_536)
            assert data, f"the proxy closed the connection after {self.received!r}"
            self.received += data
        found, _, self.received = self.received.partition(mark)
        return found + mark

    def rest(self) -> bytes:
        """All that comes until the proxy ends its side."""
        while data := self.socket.recv(65_536):
            self.received += data
        rest, self.received = self.received, b""
        return rest

    def is_ended(self) -> bool:
        """Waits for the proxy's end of the connection; False if anything comes before it."""
        return self.rest() == b""

    def response(self, method: str = "GET") -> Response:
        """The next response. Raises h11.RemoteProtocolError for one that is malformed or cut."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        reader.send(h11.EndOfMessage())
        if self.received:
            reader.receive_data(self.received)
        response: h11.Response | None = None
        body, informational = b"", []
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            match event:
                case h11.NEED_DATA:
                    reader.receive_data(self.socket.recv(65_536))
                case h11.InformationalResponse():
                    informational.append(event.status_code)
                case h11.Response():
                    response = event
                case h11.Data():
                    body += event.data
                case _:
                    raise h11.RemoteProtocolError(f"the proxy closed the connection: {event}")
        assert response is not None
        self.received = reader.trailing_data[0]
        return Response(
            response.status_code,
            _text(response.headers),
            body,
            _text(event.headers),
            tuple(informational),
            response.reason.decode("latin-1"),
        )

    def ask(self, data: bytes, method: str = "GET") -> Response:
        self.send(data)
        return self.response(method)


def _text(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"1.1", host: bytes = b"example.com") -> bytes:
    """A GET with a Host and further field lines."""
    return b"\r\n".join([b"GET %b HTTP/%b" % (target, version), b"Host: " + host, *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    """A POST with a Host, further field lines, and whatever is said to be its body."""
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, b"Host: example.com", *lines, b"", body])


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request, byte for byte."""

    connection: int
    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def values(self, name: bytes) -> list[bytes]:
        """By the lower-case name."""
        return [value for field, value in self.fields if field.lower() == name]


_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"


class Recorder:
    """A script for `Scripted`: keeps every request as it came and answers it, until the proxy closes the connection."""

    def __init__(self, *answers: bytes, otherwise: bytes = OK) -> None:
        self._answers = list(answers)
        self._otherwise = otherwise
        self.requests: list[Recorded] = []
        self.connections = 0
        self.begun = 0
        """Requests whose head has come."""
        self.left = 0
        """Connections that have ended."""
        self._changed = Condition()

    def __call__(self, conversation: Conversation) -> None:
        with self._changed:
            self.connections += 1
            number = self.connections
            self._changed.notify_all()
        try:
            while head := conversation.read_head():
                with self._changed:
                    self.begun += 1
                    self._changed.notify_all()
                request = Recorded(number, head, _body(conversation, head))
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                    answer = self._answers.pop(0) if self._answers else self._otherwise
                conversation.send(answer if not head.startswith(b"HEAD ") else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        finally:
            with self._changed:
                self.left += 1
                self._changed.notify_all()

    def wait_for(self, done: Callable[[Recorder], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: done(self), LIMIT), f"{self.connections} connections, {len(self.requests)} requests"


def _body(conversation: Conversation, head: bytes) -> bytes:
    """As it stands on the wire, with the chunks and trailers; what there was if the proxy ended the connection inside it."""
    if _CHUNKED not in head.lower():
        found = _LENGTH.search(head)
        return _exactly(conversation, int(found[1]) if found else 0)
    body = b""
    while line := conversation.read_until(b"\r\n"):
        body += line
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        body += _exactly(conversation, size + 2)
    while line := conversation.read_until(b"\r\n"):
        body += line
        if line == b"\r\n":
            break
    return body


def _exactly(conversation: Conversation, size: int) -> bytes:
    while len(conversation.received) < size and (data := conversation.connection.recv(65_536)):
        conversation.received += data
    body, conversation.received = conversation.received[:size], conversation.received[size:]
    return body
