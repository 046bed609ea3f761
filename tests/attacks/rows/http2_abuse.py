"""Streams of frames each of which is legal, or nearly so, and all of which together are an attack (reference 2.5, S4).

An event is the smallest unit that an attacker repeats. After MOST_EVENTS of them the connection has ended, or, where the client only
stands still, nothing more is held for it than limits allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import pack
from typing import Final

from tests.attacks.http2_row import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    LARGEST,
    PRIORITY,
    block,
    data,
    frame,
    get,
    goaway,
    head,
    headers,
    padded,
    ping,
    post,
    priority,
    rst_stream,
    settings,
    string,
    window_update,
)

MOST_EVENTS: Final = 500
MOST_GROWTH: Final = 10 * 1024 * 1024
"""Bytes that the memory of a worker may grow by under an attack."""
LARGE: Final = b"/large"
"""Path of an answer larger than any buffer."""
STALLED: Final = b"/stalled"
"""Path of a request whose body the backend does not read."""
SCARCE: Final = b"/scarce"
"""Path of requests for all of which there is one connection to the backend."""


@dataclass(frozen=True, slots=True)
class Abuse:
    """What a client does.

    event    the bytes of the event with this number, counted from 0
    opening  what goes before the first
    reads    whether the client reads what comes back
    ends     whether the connection is to end; otherwise the client may stay, at the cost of what it holds
    events   how many there are at most
    early    whether the backend answers a head before the body has come
    """

    name: str
    source: str
    event: Callable[[int], bytes]
    opening: bytes = b""
    settings: tuple[tuple[int, int], ...] = ()
    reads: bool = True
    ends: bool = True
    events: int = MOST_EVENTS
    early: bool = False


def _stream(number: int) -> int:
    return 2 * number + 1


def _spread(request: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """An event that opens a stream of its own."""
    return lambda number: request(_stream(number))


_HEAD = block(*head())
_BOMB = headers(1, _HEAD + b"\x40\x01x\x7f\x81\x1e" + b"y" * 3968)
"""A request that fills the table with one field of 4 KiB; b"\\xbe" names it again."""

_RESET = headers(1, head((b"X", b"y")), END_HEADERS)
"""A malformed request, whose body may still be on its way when it is reset."""


def _anything(number: int) -> bytes:
    """One of the frames that cost little, each kind in turn: of none there are as many as a flood of it has."""
    sent = (
        ping(), ping(flags=1), settings(), settings(flags=1), priority(1, 3), window_update(1), window_update(1, 1), data(b"", flags=0),
        frame(0xFA, 0, 0), goaway(),
    )  # fmt: skip
    return sent[number % len(sent)]


RESETS = (
    Abuse("rapid reset", "CVE-2023-44487", _spread(lambda stream: get(stream=stream) + rst_stream(stream))),
    Abuse("rapid reset of unfinished requests", "CVE-2023-44487", _spread(lambda stream: post(stream=stream) + rst_stream(stream))),
    Abuse("rapid reset with errors", "CVE-2023-44487", _spread(lambda stream: get(stream=stream) + rst_stream(stream, stream & 0xF))),
    Abuse(
        "rapid reset, one stream late",
        "CVE-2023-44487",
        lambda number: get(stream=_stream(number)) + (rst_stream(_stream(number - 1)) if number else b""),
    ),
    Abuse(
        "made to reset: window raised by 0",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: get(stream=stream, path=LARGE) + window_update(0, stream)),
    ),
    Abuse(
        "made to reset: window over its limit",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: get(stream=stream, path=LARGE) + window_update(LARGEST, stream)),
    ),
    Abuse(
        "made to reset: DATA behind the end",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: get(stream=stream, path=LARGE) + data(b"x", stream)),
    ),
    Abuse(
        "made to reset: PRIORITY of 4 bytes",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: get(stream=stream, path=LARGE) + frame(PRIORITY, 0, stream, bytes(4))),
    ),
    Abuse(
        "made to reset: depends on itself",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: get(stream=stream, path=LARGE) + priority(stream, stream)),
    ),
    Abuse(
        "made to reset: body over its length",
        "MadeYouReset, CVE-2025-8671",
        _spread(lambda stream: post((b"content-length", b"1"), stream=stream) + data(b"xx", stream)),
    ),
    Abuse("malformed requests", "reference 2.5", _spread(lambda stream: get((b"X", b"y"), stream=stream))),
    Abuse("requests without fields", "reference 2.5", _spread(lambda stream: headers(stream, b""))),
    Abuse("requests without fields that go on", "reference 2.5", _spread(lambda stream: headers(stream, b"", END_HEADERS))),
    Abuse("more streams than are allowed", "RFC 9113 5.1.2", _spread(lambda stream: post(stream=stream, path=STALLED))),
)

FRAMES = (
    Abuse("PING", "CVE-2019-9512", lambda number: ping(pack("!Q", number))),
    Abuse("PING, and nothing is read", "CVE-2019-9512", lambda number: ping(pack("!Q", number)) * 20, reads=False),
    Abuse("SETTINGS", "CVE-2019-9515", lambda _: settings()),
    Abuse("SETTINGS, and nothing is read", "CVE-2019-9515", lambda _: settings() * 20, reads=False),
    Abuse(
        "SETTINGS that move 100 windows",
        "CVE-2019-9515",
        lambda number: settings((4, number % 2)),
        opening=b"".join(get(stream=stream, path=LARGE) for stream in range(1, 200, 2)),
        settings=((4, 0),),
    ),
    Abuse("SETTINGS of 2,000 unknown ones", "CVE-2020-11080", lambda _: settings(*[(0x1234, 0)] * 2000)),
    Abuse("PRIORITY", "CVE-2019-9513", lambda number: priority(_stream(number), _stream(number + 1))),
    Abuse("PRIORITY of one stream", "CVE-2019-9513", lambda number: priority(1, 3 + 2 * (number % 2)), opening=post()),
    Abuse("WINDOW_UPDATE of the connection", "CVE-2019-9511", lambda _: window_update(1)),
    Abuse(
        "WINDOW_UPDATE of a stream, byte by byte",
        "CVE-2019-9511: data dribble",
        lambda _: window_update(1, 1),
        opening=get(path=LARGE),
        settings=((4, 0),),
    ),
    Abuse("DATA of no bytes", "CVE-2019-9518", lambda _: data(b"", flags=0), opening=post()),
    Abuse("DATA of padding alone", "CVE-2019-9518", lambda _: padded(DATA, 0, 1, b"", 1), opening=post()),
    Abuse(
        "DATA of padding alone, of a stream that was answered",
        "CVE-2019-9518",
        lambda _: padded(DATA, 0, 1, b"", 1),
        opening=post(),
        early=True,
    ),
    Abuse("unknown frames", "CVE-2019-9518", lambda _: frame(0xFA, 0, 0, b"x")),
    Abuse("unknown frames of many kinds", "CVE-2019-9518", lambda number: frame(0x10 + number % 240, 0, 0, b"x")),
    Abuse("unknown frames of 16 KiB", "reference 2.5", lambda _: frame(0xFA, 0, 0, bytes(16_384))),
    Abuse("RST_STREAM of a closed stream", "reference 2.5", lambda _: rst_stream(1), opening=get()),
    Abuse("GOAWAY", "reference 2.5", lambda _: goaway()),
    Abuse("GOAWAY beside an open request", "reference 2.5", lambda _: goaway(), opening=post()),
    Abuse("acknowledgements of PING", "reference 2.5", lambda _: ping(flags=1), opening=post()),
    Abuse("acknowledgements of SETTINGS", "reference 2.5", lambda _: settings(flags=1), opening=post()),
    Abuse("a little of everything", "reference 2.5", _anything, opening=post()),
    Abuse(
        "SETTINGS that open and shut 100 windows",
        "CVE-2019-9515",
        lambda _: settings(*[(4, 0), (4, 1)] * 1365),
        opening=b"".join(get(stream=stream, path=LARGE) for stream in range(1, 200, 2)),
        settings=((4, 0),),
    ),
    Abuse("DATA of a stream that was reset", "RFC 9113 5.1", lambda _: data(bytes(16_384), flags=0), opening=_RESET),
    Abuse("empty DATA of a stream that was reset", "RFC 9113 5.1", lambda _: data(b"", flags=0), opening=_RESET),
    Abuse("HEADERS of a stream that was reset", "RFC 9113 5.1", lambda _: headers(1, block((b"x", b"y"))), opening=_RESET),
    Abuse("CONTINUATION of no bytes", "CVE-2024-27316", lambda _: frame(CONTINUATION, 0, 1), opening=headers(1, _HEAD, END_STREAM)),
    Abuse(
        "CONTINUATION of a field each",
        "CVE-2024-27316",
        lambda number: frame(CONTINUATION, 0, 1, block((b"x%d" % number, b"y"))),
        opening=headers(1, _HEAD, END_STREAM),
    ),
    Abuse(
        "CONTINUATION of 16 KiB",
        "CVE-2024-27316",
        lambda _: frame(CONTINUATION, 0, 1, bytes(16_384)),
        opening=headers(1, _HEAD, END_STREAM),
    ),
    Abuse("upload past the window", "RFC 9113 6.9", lambda _: frame(DATA, 0, 1, bytes(16_384)), opening=post(path=STALLED)),
)

HELD = (
    Abuse(
        "HPACK bomb on each stream",
        "CVE-2016-6581",
        _spread(lambda stream: headers(stream + 2, _HEAD + b"\xbe" * 4000)),
        opening=_BOMB,
    ),
    Abuse(
        "3,000 tiny fields on each stream",
        "HTTP/2 Bomb, CVE-2026-47774",
        _spread(lambda stream: get(*[(b"a", b"")] * 3000, stream=stream)),
        ends=False,
        events=100,
    ),
    Abuse(
        "crumbs of cookies on each stream",
        "HTTP/2 Bomb, CVE-2026-49975",
        _spread(lambda stream: headers(stream, _HEAD + b"\x40\x06cookie\x00" + b"\xbe" * 90, END_HEADERS)),
        ends=False,
    ),
    Abuse(
        "crumbs of cookies, 16 KiB on each stream",
        "HTTP/2 Bomb, CVE-2026-49975",
        _spread(lambda stream: headers(stream + 2, _HEAD + b"\xbe" * 88, END_HEADERS)),
        opening=headers(1, _HEAD + b"\x40\x06cookie" + string(b"c" * 180)),
        ends=False,
    ),
    Abuse(
        "windows that stay shut on 100 streams",
        "CVE-2019-9517",
        _spread(lambda stream: get(stream=stream, path=LARGE)),
        settings=((4, 0),),
        ends=False,
        events=100,
    ),
    Abuse(
        "answers that nobody reads",
        "CVE-2019-9517",
        _spread(lambda stream: get(stream=stream, path=LARGE)),
        settings=((4, LARGEST),),
        opening=window_update(LARGEST - 65_535),
        reads=False,
        ends=False,
        events=100,
    ),
    Abuse(
        "uploads that wait for a connection",
        "reference 2.5",
        _spread(lambda stream: post(stream=stream, path=SCARCE) + data(bytes(16_384), stream, 0) * 4),
        ends=False,
        events=100,
    ),
    Abuse(
        "uploads that wait for a connection, as large as one that does not wait may be",
        "reference 2.5",
        _spread(lambda stream: post(stream=stream, path=SCARCE) + data(bytes(16_384), stream, 0) * 16),
        ends=False,
        events=100,
    ),
    Abuse(
        "heads of 16 KiB whose bodies do not come",
        "reference 2.5",
        _spread(
            lambda stream: (
                headers(stream, _HEAD + block(*[(b"x", b"y" * 8000)] * 2)[:16_000], 0)
                + frame(CONTINUATION, END_HEADERS, stream, block(*[(b"x", b"y" * 8000)] * 2)[16_000:])
            )
        ),
        ends=False,
        events=100,
    ),
)

ABUSES: Final = RESETS + FRAMES + HELD
