"""The application beside the callee's sidecar: it serves whatever a caller speaks at each of its ports, and keeps what has reached it.

What reaches it bears the mark of its cell: the field x-cell of a request, or a line of bytes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread

import h2.config
import h2.connection
import h2.events

from tests.wire.backends import LIMIT

GREETING = b"220 ready\r\n"
END = b"end\n"
"""After these bytes, alone, the application ends the connection: an end of the caller's is not told through mutual TLS."""
PREFACE = b"PRI * HTTP/2.0"
_TLS = b"\x16"
"""The first byte of a ClientHello."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What has come of a cell: how, and by which address of the sidecar."""

    cell: str
    port: int
    spoken: str
    """http/1.1, h2, grpc, websocket or bytes."""
    tls: bool
    """Whether the application has ended TLS itself."""


class Application:
    """Listens on ports of one address until `close`; at those of `first` it speaks before its client does, at those of `raw` whatever
    comes is bytes. `context` is for callers that bring TLS of their own."""

    def __init__(self, address: str, ports: Iterable[int], first: Iterable[int], raw: Iterable[int], context: ssl.SSLContext) -> None:
        self._first, self._raw, self._context = frozenset(first), frozenset(raw), context
        self._reached: list[Reached] = []
        self._came = Condition()
        self._open: set[socket.socket] = set()
        self._listening = [socket.create_server((address, port)) for port in ports]
        self._threads = [Thread(target=self._accept, args=(each,), daemon=True) for each in self._listening]
        for thread in self._threads:
            thread.start()

    def wait_for(self, cell: str) -> Reached:
        """What has come of a cell, once it has."""
        with self._came:
            assert self._came.wait_for(lambda: bool(self._of(cell)), LIMIT), f"nothing of {cell} reached the application"
            [reached] = self._of(cell)
            return reached

    def cells(self) -> list[str]:
        """The cells of which something came, as often as it did."""
        with self._came:
            return [each.cell for each in self._reached]

    def close(self) -> None:
        for each in self._listening:
            each.shutdown(socket.SHUT_RDWR)
            each.close()
        for connection in tuple(self._open):
            with suppress(OSError):  # it has ended already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)

    def _of(self, cell: str) -> list[Reached]:
        return [each for each in self._reached if each.cell == cell]

    def _keep(self, reached: Reached) -> None:
        with self._came:
            self._reached.append(reached)
            self._came.notify_all()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._open.add(connection)
            Thread(target=self._serve, args=(connection, listening.getsockname()[1]), daemon=True).start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if port not in self._first and connection.recv(1, socket.MSG_PEEK) == _TLS:
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        self._converse(secured, port, tls=True)
                else:
                    self._converse(connection, port, tls=False)
        except OSError:
            pass  # the proxy left first: whether it may is the question of the cell
        finally:
            self._open.discard(connection)

    def _converse(self, connection: socket.socket, port: int, *, tls: bool) -> None:
        if port in self._first:
            connection.sendall(GREETING)
        said = connection.recv(65_536)
        if port not in self._raw and said.startswith(PREFACE):
            self._http2(connection, port, said, tls)
        elif port not in self._raw and said.startswith((b"GET ", b"POST ", b"DELETE ")):
            self._http1(connection, port, said, tls)
        else:
            self._echo(connection, port, said, tls)

    def _echo(self, connection: socket.socket, port: int, said: bytes, tls: bool) -> None:
        if said:
            self._keep(Reached(said.partition(b"\n")[0].decode("latin-1").lstrip("\0"), port, "bytes", tls))
        while said and said != END:
            connection.sendall(said)
            said = connection.recv(65_536)

    def _http1(self, connection: socket.socket, port: int, said: bytes, tls: bool) -> None:
        """Requests without bodies; one that asks for WebSocket is the last, and what follows it comes back, up to a close."""
        while said:
            while b"\r\n\r\n" not in said:
                said += connection.recv(65_536)
            head, _, said = said.partition(b"\r\n\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
            upgrades = fields.get(b"upgrade") == b"websocket"
            self._keep(Reached(fields.get(b"x-cell", b"").decode(), port, "websocket" if upgrades else "http/1.1", tls))
            if upgrades:
                accept = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                connection.sendall(accept + b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")  # RFC 6455 1.3, for the key of the callers
                while (data := connection.recv(65_536)) and not data.startswith(b"\x88"):
                    connection.sendall(data)
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            said = said or connection.recv(65_536)

    def _http2(self, connection: socket.socket, port: int, said: bytes, tls: bool) -> None:
        speaking = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        speaking.initiate_connection()
        calls: dict[int, bool] = {}
        while said:
            for event in speaking.receive_data(said):
                if isinstance(event, h2.events.RequestReceived):
                    fields = {str(name): str(value) for name, value in event.headers}
                    calls[event.stream_id] = fields.get("content-type") == "application/grpc"
                    self._keep(Reached(fields.get("x-cell", ""), port, "grpc" if calls[event.stream_id] else "h2", tls))
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(speaking, event.stream_id, is_call=calls.pop(event.stream_id))
            connection.sendall(speaking.data_to_send())
            said = connection.recv(65_536)

    def _answer(self, speaking: h2.connection.H2Connection, stream: int, *, is_call: bool) -> None:
        if is_call:
            speaking.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            speaking.send_data(stream, b"\0\0\0\0\0")
            speaking.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        else:
            speaking.send_headers(stream, [(":status", "200")])
            speaking.send_data(stream, b"ok", end_stream=True)
