"""Frames of HTTP/2 (RFC 9113 4 and 6): what is written, and what the payload of one that was read says.

Whoever reads a connection cuts it into frames itself, since that is three shifts; here are the rules inside a frame, and the errors that
break them. A `ConnectionFault` ends the connection with GOAWAY, a `StreamFault` one stream with RST_STREAM.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, iter_unpack, pack, unpack_from
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
SETTINGS_TIMEOUT: Final = 4
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
CONNECT_ERROR: Final = 10
ENHANCE_YOUR_CALM: Final = 11
INADEQUATE_SECURITY: Final = 12
HTTP_1_1_REQUIRED: Final = 13
ERROR_NAMES: Final[dict[int, str]] = {
    NO_ERROR: "NO_ERROR",
    PROTOCOL_ERROR: "PROTOCOL_ERROR",
    INTERNAL_ERROR: "INTERNAL_ERROR",
    FLOW_CONTROL_ERROR: "FLOW_CONTROL_ERROR",
    SETTINGS_TIMEOUT: "SETTINGS_TIMEOUT",
    STREAM_CLOSED: "STREAM_CLOSED",
    FRAME_SIZE_ERROR: "FRAME_SIZE_ERROR",
    REFUSED_STREAM: "REFUSED_STREAM",
    CANCEL: "CANCEL",
    COMPRESSION_ERROR: "COMPRESSION_ERROR",
    CONNECT_ERROR: "CONNECT_ERROR",
    ENHANCE_YOUR_CALM: "ENHANCE_YOUR_CALM",
    INADEQUATE_SECURITY: "INADEQUATE_SECURITY",
    HTTP_1_1_REQUIRED: "HTTP_1_1_REQUIRED",
}
"""RFC 9113 7."""

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6
ENABLE_CONNECT_PROTOCOL: Final = 8
SETTING_SIZE: Final = 6
"""Bytes of a setting in its frame."""

LARGEST_WINDOW: Final = (1 << 31) - 1
SMALLEST_MAX_FRAME: Final = 1 << 14
"""What each peer takes in any case; the least that SETTINGS_MAX_FRAME_SIZE may be."""
LARGEST_MAX_FRAME: Final = (1 << 24) - 1

_head: Final = Struct("!HBBBI").pack
"""Of a frame: its size in two parts, kind, flags, stream."""

_FEWEST_AND_MOST: Final[dict[int, tuple[int, int, int]]] = {
    ENABLE_PUSH: (0, 1, PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: (0, LARGEST_WINDOW, FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: (SMALLEST_MAX_FRAME, LARGEST_MAX_FRAME, PROTOCOL_ERROR),
    ENABLE_CONNECT_PROTOCOL: (0, 1, PROTOCOL_ERROR),
}
"""Least and greatest value of a setting, and the error that another one is (RFC 9113 6.5.2, RFC 8441 3)."""


class ConnectionFault(Exception):
    """The peer broke a rule that the whole connection depends on (RFC 9113 5.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class StreamFault(Exception):
    """A fault that ends one stream only (RFC 9113 5.4.2)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _head(size >> 8, size & 0xFF, kind, flags, stream) + payload


def data_header(size: int, flags: int, stream: int) -> bytes:
    """The nine bytes before the payload of a DATA frame."""
    return _head(size >> 8, size & 0xFF, DATA, flags, stream)


def header_frames(stream: int, block: bytes, ended: bool, most: int) -> bytes:
    """A field block as HEADERS, with CONTINUATION frames where it is longer than `most`, the peer's SETTINGS_MAX_FRAME_SIZE."""
    flags = END_STREAM if ended else 0
    if len(block) <= most:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    frames = [frame(HEADERS, flags, stream, block[:most])]
    last = (len(block) - 1) // most * most
    frames += [frame(CONTINUATION, END_HEADERS if at == last else 0, stream, block[at : at + most]) for at in range(most, last + 1, most)]
    return b"".join(frames)


def settings_frame(pairs: Iterable[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join([pack("!HI", setting, value) for setting, value in pairs]))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, pack("!I", increment))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, pack("!I", code))


def goaway(last: int, code: int, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, pack("!II", last, code) + debug)


def ping(data: bytes, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, data)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values in order, unknown ones too (RFC 9113 6.5). Raises ConnectionFault."""
    if len(payload) % SETTING_SIZE:
        raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS is no list of settings of six bytes")
    pairs: list[tuple[int, int]] = []
    for setting, value in iter_unpack("!HI", payload):
        allowed = _FEWEST_AND_MOST.get(setting)
        if allowed is not None and not allowed[0] <= value <= allowed[1]:
            raise ConnectionFault(allowed[2], f"setting {setting} cannot be {value}")
        pairs.append((setting, value))
    return pairs


def read_window_update(payload: bytes) -> int:
    """The increment; 0 is a fault of the stream or of the connection, whichever it was sent for (RFC 9113 6.9). Raises ConnectionFault."""
    if len(payload) != 4:
        raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not four bytes long")
    return int.from_bytes(payload, "big") & LARGEST_WINDOW


def read_goaway(payload: bytes) -> tuple[int, int, bytes]:
    """Last stream that was or may be processed, error code, debug data (RFC 9113 6.8). Raises ConnectionFault."""
    if len(payload) < 8:
        raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY is shorter than eight bytes")
    last, code = unpack_from("!II", payload)
    return last & LARGEST_WINDOW, code, payload[8:]


def unpadded(payload: bytes) -> bytes:
    """The payload of padded DATA or HEADERS without the padding (RFC 9113 6.1, 6.2). Raises ConnectionFault."""
    if not payload:
        raise ConnectionFault(FRAME_SIZE_ERROR, "padded frame without the length of its padding")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "padding as long as the frame")
    return payload[1 : len(payload) - padding]


def unprioritized(payload: bytes, stream: int) -> tuple[bytes, StreamFault | None]:
    """The payload of HEADERS without their priority (RFC 9113 6.2), and the fault of a stream that depends on itself (RFC 7540 5.3.1).

    It is not raised, since the block must be read all the same: the tables of both ends follow it (RFC 9113 4.3). Raises ConnectionFault.
    """
    if len(payload) < 5:
        raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS shorter than its priority")
    return payload[5:], _itself() if _dependency(payload) == stream else None


def check_priority(payload: bytes, stream: int) -> None:
    """PRIORITY means nothing any more (RFC 9113 5.3.2), but must still be one (RFC 9113 6.3, RFC 7540 5.3.1). Raises StreamFault."""
    if len(payload) != 5:
        raise StreamFault(FRAME_SIZE_ERROR, "PRIORITY is not five bytes long")
    if _dependency(payload) == stream:
        raise _itself()


def _itself() -> StreamFault:
    return StreamFault(PROTOCOL_ERROR, "stream depends on itself")


def _dependency(priority: bytes) -> int:
    return int.from_bytes(priority[:4], "big") & LARGEST_WINDOW
