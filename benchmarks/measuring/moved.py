"""A backend for large bodies: reads what is uploaded as fast as it can, and sends bodies of any size out of the kernel's memory.

    GET  /known/SIZE     a body of SIZE bytes with Content-Length
    GET  /chunked/SIZE   the same in chunks of 64 KiB
    PUT  anything        with Content-Length: 200 and how many bytes came

One blocking thread a connection, for few connections. Arguments: port.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

BLOCK = 1 << 20
CHUNK = 1 << 16
_SMALL = 256 * 1024


def zeros() -> int:
    """A descriptor of BLOCK zeros in memory, for sendfile."""
    descriptor = os.memfd_create("zeros")
    os.truncate(descriptor, BLOCK)
    return descriptor


class Talk:
    """One connection."""

    def __init__(self, connection: socket.socket, source: int) -> None:
        self._socket = connection
        self._source = source
        self._received = b""
        self._room = bytearray(_SMALL)

    def run(self) -> None:
        with self._socket:
            try:
                while head := self._head():
                    self._answer(head)
            except ConnectionError:
                pass  # whoever measures sees it on its own side

    def _head(self) -> str:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            data = self._socket.recv(65_536)
            if not data:
                return ""
            self._received += data
        head, self._received = self._received[:end], self._received[end + 4 :]
        return head.decode("latin-1")

    def _answer(self, head: str) -> None:
        lines = head.split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if method == "PUT":
            body = str(self._read(int(fields["content-length"]))).encode()
            self._socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        _, kind, size = path.split("/")
        if kind == "known":
            self._socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % int(size), socket.MSG_MORE)
            self._send(int(size))
        else:
            self._socket.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", socket.MSG_MORE)
            self._send_chunked(int(size))

    def _read(self, length: int) -> int:
        remaining = length - len(self._received)
        self._received = b""
        while remaining > 0:
            came = self._socket.recv_into(self._room, min(len(self._room), remaining))
            if not came:
                raise ConnectionError
            remaining -= came
        return length

    def _send(self, size: int) -> None:
        while size:
            size -= os.sendfile(self._socket.fileno(), self._source, 0, min(size, BLOCK))

    def _send_chunked(self, size: int) -> None:
        chunk = b"%x\r\n%b\r\n" % (CHUNK, bytes(CHUNK))
        joined = chunk * min(16, size // CHUNK)
        for _ in range(size // CHUNK // 16 or 1):
            self._socket.sendall(joined)
        self._socket.sendall(b"0\r\n\r\n")


def main() -> None:
    source = zeros()
    with socket.create_server(("127.0.0.1", json.loads(sys.argv[1])["port"]), backlog=1024) as listening:
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Talk(connection, source).run, daemon=True).start()


if __name__ == "__main__":
    main()
