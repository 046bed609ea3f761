"""Reads requests as a trusting server would, so that it can answer whatever a proxy under test forwards, be it ours or another.

How well-formed the bytes are is judged elsewhere: by `canonical` for what our gateway writes.
"""

from __future__ import annotations

from dataclasses import dataclass

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; names of fields in lower case."""

    method: bytes
    target: bytes
    fields: Pairs
    body: bytes
    trailers: Pairs

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order."""
        return [value for field, value in self.fields if field == name]


def read_request(data: bytes) -> tuple[Request, int] | None:
    """The first request and where it ends; None while it is not whole. Raises ValueError for what is no request."""
    head, mark, _ = data.partition(b"\r\n\r\n")
    if not mark:
        return None
    line, *field_lines = head.split(b"\r\n")
    parts = line.split(b" ")
    if len(parts) < 3 or not parts[-1].startswith(b"HTTP/1."):
        raise ValueError(f"no request line: {line!r}")
    fields = _pairs(field_lines)
    body = _read_body(data, len(head) + 4, dict(fields))
    if body is None:
        return None
    content, trailers, end = body
    return Request(parts[0], b" ".join(parts[1:-1]), fields, content, trailers), end


def _pairs(lines: list[bytes]) -> Pairs:
    return tuple((name.strip().lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines))


def _read_body(data: bytes, at: int, fields: dict[bytes, bytes]) -> tuple[bytes, Pairs, int] | None:
    if b"chunked" not in fields.get(b"transfer-encoding", b"").lower():
        end = at + int(fields.get(b"content-length", b"0"))
        return None if len(data) < end else (data[at:end], (), end)
    body = b""
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(data[at:line_end].partition(b";")[0], 16)
        at = line_end + 2
        if not size:
            break
        if len(data) < at + size + 2:
            return None
        body += data[at : at + size]
        at += size + 2
    end = at if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at) + 2
    if end < at or len(data) < end + 2:
        return None
    return body, _pairs(data[at:end].split(b"\r\n")[:-1]), end + 2
