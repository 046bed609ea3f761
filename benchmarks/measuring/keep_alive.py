"""A client that keeps one connection and never opens another: whatever ends the connection is an error that is seen.

GET alone, and responses with a Content-Length; it is small so that it takes little of the machine that is measured.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

LIMIT = 10.0
"""Seconds until a response must be there."""


class TransportError(Exception):
    """The connection ended, or what came is no whole response."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; names of fields in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


class KeepAlive:
    """One connection; a context manager. Raises TransportError."""

    def __init__(self, port: int, *, tls: bool = False, address: str = "127.0.0.1") -> None:
        try:
            connection = socket.create_connection((address, port), timeout=LIMIT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _trusting().wrap_socket(connection) if tls else connection
        except OSError as error:
            raise TransportError(f"no connection to port {port}: {error}") from error
        self._received = b""

    def __enter__(self) -> KeepAlive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, host: str, path: str) -> Answer:
        """One request and its response."""
        try:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii"))
            answer = self._answer()
        except OSError as error:
            raise TransportError(f"GET {path} of {host}: {error or type(error).__name__}") from error
        if self._received:
            raise TransportError(f"GET {path} of {host}: {len(self._received)} bytes came after the response")
        if answer.fields.get("connection", "").lower() == "close":
            raise TransportError(f"GET {path} of {host}: {answer.status} with Connection: close")
        return answer

    def _answer(self) -> Answer:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        head, self._received = self._received[:end].decode("latin-1"), self._received[end + 4 :]
        lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        try:
            status, length = int(lines[0].split(" ", 2)[1]), int(fields["content-length"])
        except (IndexError, KeyError, ValueError):
            raise TransportError(f"this head is not understood: {head!r}") from None
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return Answer(status, fields, body)

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise TransportError(f"the connection was closed, {len(self._received)} bytes into a response")
        self._received += data

    def close(self) -> None:
        self._socket.close()


def _trusting() -> ssl.SSLContext:
    """The certificate is one of ours, made a moment ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
