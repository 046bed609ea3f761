"""A load: many connections, each with one request, that then stay open and silent until standard input ends.

Prints one line of JSON when all are there: how many, and what went wrong. They come from many loopback addresses, 100 from each.
Arguments: port, tls, connections.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys

from measuring.backend import BODY
from measuring.dial import trusting

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LIMIT = 30.0
FROM_EACH = 100


def opened(port: int, number: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connection after its first request. Raises OSError."""
    source = (f"127.0.{1 + number // FROM_EACH // 250}.{1 + number // FROM_EACH % 250}", 0)
    connection = socket.create_connection(("127.0.0.1", port), timeout=LIMIT, source_address=source)
    if context is not None:
        connection = context.wrap_socket(connection)
    connection.sendall(REQUEST)
    received = b""
    while not received.endswith(BODY):
        data = connection.recv(65_536)
        if not data:
            raise ConnectionError(f"connection {number} was closed after {received[:80]!r}")
        received += data
    if not received.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"connection {number}: answered with {received[:80]!r}")
    return connection


def main() -> None:
    arguments = json.loads(sys.argv[1])
    context = trusting() if arguments["tls"] else None
    connections, trouble = [], ""
    try:
        for number in range(arguments["connections"]):
            connections.append(opened(arguments["port"], number, context))
    except OSError as error:
        trouble = str(error) or type(error).__name__
    print(json.dumps({"connections": len(connections), "trouble": trouble}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
