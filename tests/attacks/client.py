"""A client that sends exactly the bytes it is given, and lets h11 judge what comes back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import h11

from tests.attacks.backend import LIMIT, turn


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; names of fields in lower case. A response that is cut, malformed or not there at all is not `complete`."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    informational: tuple[int, ...]
    complete: bool
    rest: bytes
    fault: str = ""
    """What h11 says of a malformed one."""

    def values(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field == name]

    @property
    def closes(self) -> bool:
        """Whether it announces the end of the connection."""
        return b"close" in [option.strip() for value in self.values(b"connection") for option in value.lower().split(b",")]


def read_answer(received: bytes, method: bytes, *, ended: bool) -> Answer:
    """The first response in what came in answer to a request of this method."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "h"), ("Connection", "upgrade"), ("Upgrade", "any")]))
    reader.send(h11.EndOfMessage())
    if received:
        reader.receive_data(received)
    if ended:
        reader.receive_data(b"")
    status, body, informational = 0, b"", []
    fields: tuple[tuple[bytes, bytes], ...] = ()
    try:
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            match event:
                case h11.InformationalResponse(status_code=101) | h11.Response():
                    status, fields = event.status_code, tuple(event.headers)
                case h11.InformationalResponse():
                    informational.append(event.status_code)
                case h11.Data():
                    body += event.data
                case _:  # more is needed, or the connection has ended too early, or it was switched to another protocol
                    switched = event is h11.PAUSED and status == 101
                    rest = reader.trailing_data[0] if switched else b""
                    return Answer(status, fields, bytes(body), tuple(informational), switched, rest)
    except h11.RemoteProtocolError as fault:
        return Answer(status, fields, bytes(body), tuple(informational), False, b"", str(fault))
    return Answer(status, fields, bytes(body), tuple(informational), True, reader.trailing_data[0])


class Client:
    """One connection, in the running loop."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.received = b""
        self.ended = False

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> Client:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, address)
        return cls(connection)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def send(self, pieces: Iterable[bytes]) -> None:
        """Each piece is read before the next is sent. Stops when the other side has closed the connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LIMIT):
                for piece in pieces:
                    await loop.sock_sendall(self._socket, piece)
                    await turn()
        except OSError:
            pass  # what was answered before is still there to be read

    def end(self) -> None:
        """No more comes from here."""
        self._socket.shutdown(socket.SHUT_WR)

    async def read(self, enough: Callable[[bytes], bool] | None = None, limit: float = LIMIT) -> bytes:
        """What came until it is enough, or until the end of the connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                while not self.ended and (enough is None or not enough(self.received)):
                    try:
                        data = await loop.sock_recv(self._socket, 65_536)
                    except ConnectionResetError:
                        data = b""
                    self.received += data
                    self.ended = not data
        except TimeoutError:
            raise AssertionError(f"nothing more came after {self.received!r}") from None
        return self.received

    async def answer(self, method: bytes = b"GET", limit: float = LIMIT) -> Answer:
        """The next response, whole, or what there is of it at the end of the connection."""

        def enough(received: bytes) -> bool:
            found = read_answer(received, method, ended=False)
            return found.complete or bool(found.fault)

        await self.read(enough, limit)
        found = read_answer(self.received, method, ended=self.ended)
        self.received = found.rest
        return found
