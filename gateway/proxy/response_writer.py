"""The writing half of a client's connection in HTTP/1.1: responses anew from their parsed values, framing chosen here (RFC 9112 6, 7).

Heads and bodies are gathered and written in one piece: each write is a system call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.http.chunked import last_chunk
from gateway.http.head import ResponseHead
from gateway.net.reset import reset


class ResponseWriter:
    """State of the response that is being written; the reading half decides what comes before and after it.

    `_close_after` says that the connection ends with this response.
    """

    __slots__ = ("_bodiless", "_chunked", "_close_after", "_old", "_out", "_tunnel", "_until_close", "_write", "transport")

    transport: asyncio.Transport
    _write: Callable[[bytes], None]

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._chunked = self._bodiless = self._close_after = self._tunnel = False
        self._old = False
        """Whether the client speaks HTTP/1.0."""
        self._until_close = False
        """Whether the end of the response is the end of the connection, as HTTP/1.0 has it."""

    def close_after(self) -> None:
        """The connection ends with this response, and says so when the head is not sent yet."""
        self._close_after = True

    def send_interim(self, head: ResponseHead) -> None:
        if not self._old:
            self._write(b"%b%b\r\n" % (head.line, b"".join(head.written())))

    def send_head(self, head: ResponseHead) -> None:
        status, length = head.status, head.length
        out = self._out
        out.append(head.line)
        out += head.lines if head.edited is None else head.written()
        if status == 101:
            self._tunnel, self._close_after = True, True
            out.append(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
            return
        old = self._old
        if self._bodiless or status in (204, 304):
            self._bodiless = True
            if length is not None and status != 204:
                out.append(b"content-length: %d\r\n" % length)
        elif length is not None:
            out.append(b"content-length: %d\r\n" % length)
        elif old:
            self._close_after = self._until_close = True
        else:
            self._chunked = True
            out.append(b"transfer-encoding: chunked\r\n")
        if self._close_after:
            out.append(b"connection: close\r\n\r\n")
        elif old:
            out.append(b"connection: keep-alive\r\n\r\n")
        else:
            out.append(b"\r\n")

    def send_data(self, data: bytes) -> None:
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        elif not self._bodiless:
            self._out.append(data)

    def _finish_response(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        out = self._out
        if self._chunked:
            out.append(last_chunk(list(trailers)))
        if out:
            self._write(b"".join(out))
            out.clear()

    def flush(self) -> None:
        out = self._out
        if out:
            self._write(b"".join(out))
            out.clear()

    def send_half_close(self) -> None:
        self.flush()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()  # TLS has no half close here: the other direction ends too, or nobody would ever know

    def _cut(self) -> None:
        """A chunked or counted body that ends here is visibly cut; a body that ends with the connection needs a reset (RFC 9112 8)."""
        self.flush()
        if not self._until_close:
            self.transport.close()
            return
        reset(self.transport)
