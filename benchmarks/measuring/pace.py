"""A load: requests at a fixed rate, whatever the answers do, at random moments, on kept-alive connections in turn.

The moments are a Poisson process, as many independent clients make them; a request that is due while every connection waits for an
answer goes out on the first that is free, and its time counts from when it was due.
Arguments: port, connections, seconds, rate; address, if it is not 127.0.0.1; host, if it is not the address; path, if it is not /; ahead,
whether it has its core before everybody else.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import time
from collections import deque

from measuring.backend import BODY
from measuring.processes import put_ahead

LIMIT = 10.0


class Pace:
    """Owner of the connections."""

    def __init__(self, address: str, port: int, connections: int, host: str, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._free: deque[int] = deque()
        self._due: dict[int, float] = {}
        """By descriptor, of requests that wait for their answer."""
        self.milliseconds: list[float] = []
        self.troubles: list[str] = []
        for _ in range(connections):
            connection = socket.create_connection((address, port), timeout=LIMIT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            descriptor = connection.fileno()
            self._connections[descriptor] = connection
            self._poll.register(descriptor, select.EPOLLIN)
            self._free.append(descriptor)

    def run(self, rate: float, seconds: float) -> float:
        """Sends for so long and waits for the last answers; returns how long it took."""
        draw = random.Random(1).expovariate
        begun = time.monotonic()
        due, end = begun, begun + seconds
        while due < end and not self.troubles:
            now = time.monotonic()
            if due <= now and self._free:
                self._send(due)
                due += draw(rate)
            else:  # select and not epoll, since it knows less than a millisecond
                wait = LIMIT if due <= now else due - now
                if select.select((self._poll,), (), (), wait)[0]:
                    self._receive()
        while self._due and not self.troubles:
            if not select.select((self._poll,), (), (), LIMIT)[0]:
                self.troubles.append(f"{len(self._due)} requests are not answered after {LIMIT:g} s")
            self._receive()
        return time.monotonic() - begun

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _send(self, due: float) -> None:
        descriptor = self._free.popleft()
        self._due[descriptor] = due
        try:
            self._connections[descriptor].send(self._request)
        except OSError as error:
            self.troubles.append(str(error))

    def _receive(self) -> None:
        for descriptor, _ in self._poll.poll(0):
            try:
                data = self._connections[descriptor].recv(65_536)
            except OSError as error:
                self.troubles.append(str(error))
                continue
            if not (data.startswith(b"HTTP/1.1 200") and data.endswith(BODY)):
                self.troubles.append(f"answered with {data[:80]!r}")
                continue
            self.milliseconds.append(1000 * (time.monotonic() - self._due.pop(descriptor)))
            self._free.append(descriptor)


def main() -> None:
    arguments = json.loads(sys.argv[1])
    if arguments.get("ahead"):
        put_ahead(os.getpid())
    address = arguments.get("address", "127.0.0.1")
    pace = Pace(address, arguments["port"], arguments["connections"], arguments.get("host", address), arguments.get("path", "/"))
    seconds = pace.run(arguments["rate"], arguments["seconds"])
    pace.close()
    json.dump({"seconds": seconds, "milliseconds": pace.milliseconds, "troubles": pace.troubles[:100]}, sys.stdout)


if __name__ == "__main__":
    main()
