"""Requests drawn from a grammar: legal ones in all their variety, and the same with a few bytes, words or lines gone wrong.

Everything is drawn from the `Random` that is handed in, so a number names a request for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

METHODS: Final = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""Those that every server knows: what is compared is where a request ends, not which methods it has heard of."""
HOST: Final = b"a.example"
_SEGMENTS: Final = (b"a", b"bc", b"", b".", b"..", b"...", b"%2e", b"%2F", b"%5c", b"%41", b"%7e", b"%C3%A4", b"d;e=f", b"g,h", b"\xc3\xa4")
_QUERIES: Final = (b"", b"a=b", b"a=b&c=d", b"a?b/c", b"a=%0d%0a", b"..", b"a=%zz")
_NAMES: Final = (b"X-A", b"x-b", b"Accept", b"Cookie", b"X-Forwarded", b"X_C", b"X-Transfer-Encoding", b"Via", b"!#$%&'*+-.^_`|~")
_VALUES: Final = (b"", b"a", b"a, b", b"a\tb", b'"a;b"', b"chunked", b"5", b"\xe4\xff", b"a: b", b"GET / HTTP/1.1", b"x" * 300)
_SPACES: Final = (b"", b" ", b"\t", b"  ")
_HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"
_BODIES: Final = (b"", b"hello", b"\r\n", b"0\r\n\r\n", _HIDDEN, b"\x00\xff\n", b"5\r\nhello\r\n", b"y" * 5000)
_EXTENSIONS: Final = (b"", b"", b"", b";a", b";a=b", b' ; a = "b;c"', b";a;b=c")
_TRAILERS: Final = (b"X: y\r\n", b"Content-Length: 3\r\n", b"Host: b\r\n", b"Digest: z\r\nX: \r\n")
_CHUNKED: Final = (b"chunked", b"Chunked", b"CHUNKED")

_BYTES: Final = (b"\r\n", *[bytes((byte,)) for byte in b"\r\n\x00 \t\x0b\x0c:;,+-_0x\x7f\x80\xa0"])
_LINES: Final = (
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"content-length: +5",
    b"Content-Length : 5",
    b"Content-Length: 5, 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer_Encoding: chunked",
    b" Transfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"Host: b.example",
    b"Connection: content-length",
    b"Connection: close",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"",
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request. `method` and `body` are what a legal one means; None of one that may mean anything."""

    sent: bytes
    method: bytes | None
    body: bytes | None


def draw(random: Random) -> Drawn:
    """A legal request, or, as often, one with one to three mutations."""
    method, parts, body = _legal(random)
    if random.random() < 0.5:
        return Drawn(b"\r\n".join(parts), method, body)
    sent = b"\r\n".join(parts)
    for _ in range(random.randint(1, 3)):
        sent = random.choice(_MUTATIONS)(sent, random)
    return Drawn(sent, None, None)


def _legal(random: Random) -> tuple[bytes, list[bytes], bytes]:
    """Method, lines up to the body, which is the last of them, and the body as meant."""
    method = random.choice(METHODS)
    version = random.choice((b"1.1", b"1.1", b"1.1", b"1.0"))
    lines = [b"%b %b HTTP/%b" % (method, _target(random), version), _field(random, b"Host", HOST)]
    lines += [_field(random, random.choice(_NAMES), random.choice(_VALUES)) for _ in range(random.randint(0, 4))]
    framing, sent, body = _body(random, chunked=version == b"1.1")
    lines += framing
    if version == b"1.1" and random.random() < 0.1:
        lines.append(random.choice((b"Expect: 100-continue", b"TE: trailers\r\nConnection: TE", b"Connection: keep-alive, X-A")))
    head, *others = lines
    random.shuffle(others)
    return method, [head, *others, b"", sent], body


def _target(random: Random) -> bytes:
    # a path may not climb above the root: that many names in front of every '..' are enough
    path = b"/r/r/r/r/r/" + b"/".join(random.choice(_SEGMENTS) for _ in range(random.randint(0, 4)))
    target = path if random.random() < 0.7 else path + b"?" + random.choice(_QUERIES)
    return target if random.random() < 0.9 else b"http://" + HOST + target


def _field(random: Random, name: bytes, value: bytes) -> bytes:
    return name + b":" + random.choice(_SPACES) + value + random.choice(_SPACES)


def _body(random: Random, *, chunked: bool) -> tuple[list[bytes], bytes, bytes]:
    """Framing lines, the bytes as sent, and as meant."""
    body = b"".join(random.choice(_BODIES) for _ in range(random.randint(0, 3)))
    match random.randrange(3):
        case 0:
            return [], b"", b""
        case 1 if chunked:
            return [_field(random, b"Transfer-Encoding", random.choice(_CHUNKED))], _chunks(random, body), body
        case _:
            return [_field(random, b"Content-Length", b"%0*d" % (random.choice((1, 1, 6)), len(body)))], body, body


def _chunks(random: Random, body: bytes) -> bytes:
    sent, at = b"", 0
    while at < len(body):
        piece = body[at : at + random.choice((1, 2, 7, 1000))]
        if len(body) > 1000:
            piece = body[at : at + 1000]
        at += len(piece)
        size = random.choice((b"%x", b"%X", b"%04x")) % len(piece)
        sent += size + random.choice(_EXTENSIONS) + b"\r\n" + piece + b"\r\n"
    return sent + random.choice((b"0", b"000")) + b"\r\n" + (random.choice(_TRAILERS) if random.random() < 0.2 else b"") + b"\r\n"


def _insert(sent: bytes, random: Random) -> bytes:
    at = random.randint(0, len(sent))
    return sent[:at] + random.choice(_BYTES) + sent[at:]


def _remove(sent: bytes, random: Random) -> bytes:
    at = random.randint(0, len(sent))
    return sent[:at] + sent[at + random.randint(1, 3) :]


def _replace(sent: bytes, random: Random) -> bytes:
    at = random.randint(0, len(sent))
    return sent[:at] + random.choice(_BYTES) + sent[at + 1 :]


def _add_line(sent: bytes, random: Random) -> bytes:
    lines = sent.split(b"\r\n")
    lines.insert(random.randint(0, len(lines)), random.choice(_LINES))
    return b"\r\n".join(lines)


def _repeat_line(sent: bytes, random: Random) -> bytes:
    lines = sent.split(b"\r\n")
    lines.insert(random.randint(0, len(lines)), random.choice(lines))
    return b"\r\n".join(lines)


def _remove_line(sent: bytes, random: Random) -> bytes:
    lines = sent.split(b"\r\n")
    del lines[random.randrange(len(lines))]
    return b"\r\n".join(lines)


def _change_line_end(sent: bytes, random: Random) -> bytes:
    lines = sent.split(b"\r\n")
    at = random.randint(1, len(lines))
    return b"\r\n".join(lines[:at]) + random.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ")) + b"\r\n".join(lines[at:])


def _repeat_slice(sent: bytes, random: Random) -> bytes:
    start = random.randint(0, len(sent))
    return sent[: start + random.randint(1, 40)] + sent[start:]


def _follow(sent: bytes, random: Random) -> bytes:
    return sent + b"\r\n".join(_legal(random)[1])


_MUTATIONS: Final[tuple[Callable[[bytes, Random], bytes], ...]] = (
    _insert,
    _remove,
    _replace,
    _add_line,
    _repeat_line,
    _remove_line,
    _change_line_end,
    _repeat_slice,
    _follow,
)
