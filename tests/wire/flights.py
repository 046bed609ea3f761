"""A request under way: sent now, answered when the test wants to look; on a connection that may be used again.

h11 writes the request and reads the response, so that whatever our codec writes is judged by another one.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import h11

from tests.wire.backends import LIMIT

Fields = Sequence[tuple[str, str]]
CUT = (h11.RemoteProtocolError, ConnectionResetError)
"""What `Connection.response` raises for a response that does not end as it should."""


class Connection:
    """One connection of a client, one request after another."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=LIMIT)
        self._codec = h11.Connection(h11.CLIENT)
        self.informational: list[int] = []
        """Statuses of the 1xx responses to the present request."""

    def send(self, method: str, target: str, headers: Fields, body: bytes = b"") -> None:
        """Sends a whole request."""
        length = [("Content-Length", str(len(body)))] if body or method in ("POST", "PUT", "PATCH") else []
        self.send_head(method, target, [*headers, *length])
        if body:
            self.send_data(body)
        self.send_end()

    def send_head(self, method: str, target: str, headers: Fields) -> None:
        if self._codec.our_state is not h11.IDLE:
            self._codec.start_next_cycle()
        self.informational = []
        self._send(h11.Request(method=method, target=target, headers=list(headers)))

    def send_data(self, data: bytes) -> None:
        self._send(h11.Data(data=data))

    def send_end(self) -> None:
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self.socket.sendall(self._codec.send(event) or b"")

    def response(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, fields and body. Raises one of CUT for a response that is cut or malformed."""
        status, fields, body = 0, [], b""
        while not isinstance(event := self._event(), h11.EndOfMessage):
            match event:
                case h11.InformationalResponse():
                    self.informational.append(event.status_code)
                case h11.Response():
                    status = event.status_code
                    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                case h11.Data():
                    body += event.data
                case h11.ConnectionClosed():
                    raise h11.RemoteProtocolError("closed without an answer")
        return status, fields, body

    def _event(self) -> h11.Event:
        while (event := self._codec.next_event()) is h11.NEED_DATA:
            self._codec.receive_data(self.socket.recv(65_536))
        assert isinstance(event, h11.Event)
        return event

    def is_closed(self) -> bool:
        """Waits for the proxy's end of the connection: True when nothing comes before it."""
        return self.socket.recv(1) == b""

    def reset(self) -> None:
        """Ends with a reset instead of an end of the stream."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
