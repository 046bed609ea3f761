"""A load: messages of 100 bytes that come back, one under way on each connection at any time; over TCP, in WebSockets, or in datagrams.

Arguments: port, connections, seconds, kind ("tcp", "websocket" or "udp").
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

MESSAGE = b"m" * 100
LIMIT = 5.0
_SENT = {"tcp": MESSAGE, "websocket": b"\x82\xe4" + bytes(4) + MESSAGE, "udp": MESSAGE}
"""A message as the client sends it; the masking key of a WebSocket may be zeros."""
_EXPECTED = {"tcp": MESSAGE, "websocket": b"\x82\x64" + MESSAGE, "udp": MESSAGE}
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def connect(port: int, kind: str) -> socket.socket:
    """A connection, or a socket for datagrams, that is ready for messages. Raises OSError."""
    if kind == "udp":
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(("127.0.0.1", port))
        made.settimeout(LIMIT)
        return made
    made = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kind == "websocket":
        made.sendall(_HANDSHAKE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = made.recv(1)
            if not data:
                break
            head += data
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"the handshake was answered with {head[:80]!r}")
    return made


def check(port: int, *, kind: str) -> str:
    """One message; what is wrong with what comes back, '' if nothing is. A datagram may be lost before the proxy listens."""
    for last in (*[False] * (9 if kind == "udp" else 0), True):
        try:
            with connect(port, kind) as client:
                client.settimeout(LIMIT if last else 0.2)
                client.sendall(_SENT[kind])
                expected, received = _EXPECTED[kind], b""
                while len(received) < len(expected) and (data := client.recv(65_536)):
                    received += data
            return "" if received == expected else f"a message came back as {received[:60]!r}"
        except OSError as error:
            if last:
                return str(error) or type(error).__name__
    return ""


class Relay:
    """Owner of the connections."""

    def __init__(self, port: int, connections: int, kind: str) -> None:
        self._sent, self._expected = _SENT[kind], _EXPECTED[kind]
        self._poll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._missing: dict[int, int] = {}
        """Bytes of the message under way that have not come back."""
        self._begun: dict[int, float] = {}
        self.milliseconds: list[float] = []
        self.troubles: list[str] = []
        for _ in range(connections):
            client = connect(port, kind)
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> float:
        """Returns how long it took."""
        begun = time.monotonic()
        end = begun + seconds
        for descriptor in self._clients:
            self._send(descriptor, begun)
        while not self.troubles and (now := time.monotonic()) < end:
            ready = self._poll.poll(LIMIT)
            if not ready:
                self.troubles.append(f"nothing came back for {LIMIT:g} s")
            now = time.monotonic()
            for descriptor, _ in ready:
                self._receive(descriptor, now)
        return time.monotonic() - begun

    def _send(self, descriptor: int, now: float) -> None:
        self._missing[descriptor] = len(self._expected)
        self._begun[descriptor] = now
        self._clients[descriptor].send(self._sent)

    def _receive(self, descriptor: int, now: float) -> None:
        try:
            data = self._clients[descriptor].recv(4096)
            self._missing[descriptor] -= len(data)
            if not data or self._missing[descriptor] < 0:
                self.troubles.append("the connection was closed" if not data else "more came back than was sent")
            elif not self._missing[descriptor]:
                self.milliseconds.append(1000 * (now - self._begun[descriptor]))
                self._send(descriptor, now)
        except OSError as error:
            self.troubles.append(str(error))


def main() -> None:
    arguments = json.loads(sys.argv[1])
    relay = Relay(arguments["port"], arguments["connections"], arguments["kind"])
    seconds = relay.run(arguments["seconds"])
    json.dump({"seconds": seconds, "milliseconds": relay.milliseconds, "troubles": relay.troubles[:100]}, sys.stdout)


if __name__ == "__main__":
    main()
