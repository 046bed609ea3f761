"""A load: every request on a connection of its own, which the server closes after its response; some of them under way at any time.

With TLS every connection makes a full handshake: no session is ever offered again.
Arguments: port, tls, connections, seconds.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterator

from measuring.backend import BODY

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
LIMIT = 10.0
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


def exchange(port: int, context: ssl.SSLContext | None) -> Iterator[tuple[socket.socket, int]]:
    """One connection from start to end; gives what it waits for. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        if context is None:
            yield from talk(connection)
            return
        with context.wrap_socket(connection, do_handshake_on_connect=False) as secured:
            while True:
                try:
                    secured.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    yield secured, _READ
                except ssl.SSLWantWriteError:
                    yield secured, _WRITE
            yield from talk(secured)


def talk(connection: socket.socket) -> Iterator[tuple[socket.socket, int]]:
    """The request, and the whole response up to the end of the connection."""
    connection.send(REQUEST)
    received = b""
    while True:
        try:
            data = connection.recv(65_536)
        except (BlockingIOError, ssl.SSLWantReadError):
            yield connection, _READ
            continue
        if not data:
            break
        received += data
    if not (received.startswith(b"HTTP/1.1 200") and received.endswith(BODY)):
        raise ConnectionError(f"answered with {received[:80]!r}")


class Dialling:
    """Keeps so many exchanges under way until its time is over, then lets them end."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._context = context
        self._poll = select.epoll()
        self._under_way: dict[int, tuple[Iterator[tuple[socket.socket, int]], float]] = {}
        self.milliseconds: list[float] = []
        self.troubles: list[str] = []

    def run(self, connections: int, seconds: float) -> float:
        """Returns how long it took."""
        begun = time.monotonic()
        end = begun + seconds
        for _ in range(connections):
            self._start()
        while self._under_way:
            ready = self._poll.poll(LIMIT)
            if not ready:
                self.troubles.append(f"{len(self._under_way)} connections wait for {LIMIT:g} s")
                break
            for descriptor, _ in ready:
                if self._go_on(descriptor) and time.monotonic() < end:
                    self._start()
        return time.monotonic() - begun

    def _start(self) -> None:
        going = exchange(self._port, self._context)
        self._follow(going, time.monotonic())

    def _go_on(self, descriptor: int) -> bool:
        """Whether the exchange has ended."""
        going, begun = self._under_way.pop(descriptor)
        return self._follow(going, begun, descriptor)

    def _follow(self, going: Iterator[tuple[socket.socket, int]], begun: float, registered: int | None = None) -> bool:
        try:
            connection, event = next(going)
        except StopIteration:
            self.milliseconds.append(1000 * (time.monotonic() - begun))
            return True
        except OSError as error:
            self.troubles.append(str(error) or type(error).__name__)
            return True
        descriptor = connection.fileno()
        if registered is None:
            self._poll.register(descriptor, event)
        else:
            self._poll.modify(descriptor, event)
        self._under_way[descriptor] = (going, begun)
        return False


def trusting() -> ssl.SSLContext:
    """TLS 1.3, and any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    arguments = json.loads(sys.argv[1])
    dialling = Dialling(arguments["port"], trusting() if arguments["tls"] else None)
    seconds = dialling.run(arguments["connections"], arguments["seconds"])
    json.dump({"seconds": seconds, "milliseconds": dialling.milliseconds, "troubles": dialling.troubles[:100]}, sys.stdout)


if __name__ == "__main__":
    main()
