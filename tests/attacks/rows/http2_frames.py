"""Frames that may not be there, or not so (RFC 9113 3.4, 4, 5.1, 6): what a connection or a stream does not survive."""

from __future__ import annotations

from struct import pack

from tests.attacks.http2_row import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INVALID_PREFACE,
    LARGEST,
    MOST_IN_A_FRAME,
    PADDED,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Http2Attack,
    Verdict,
    block,
    data,
    ends,
    frame,
    get,
    goaway,
    head,
    headers,
    padded,
    ping,
    post,
    priority,
    resets,
    rst_stream,
    settings,
    window_update,
)

_PREFACE = "RFC 9113 3.4"
_SIZE = "RFC 9113 4.2"
_STATES = "RFC 9113 5.1"
_IDS = "RFC 9113 5.1.1"
_BLOCK = "RFC 9113 4.3, 6.10"
_SETTINGS = "RFC 9113 6.5"
_WINDOW = "RFC 9113 6.9"
_BAD_SIZE = ends(FRAME_SIZE_ERROR)
_BAD = ends(PROTOCOL_ERROR)
_FIRST, _REST = block(*head())[:20], block(*head())[20:]
_BEGUN = headers(1, _FIRST, END_STREAM)
"""HEADERS whose block goes on."""

PREFACES = (
    Http2Attack("no SETTINGS behind the preface", _PREFACE, PREFACE + get(), INVALID_PREFACE, bare=True),
    Http2Attack("PING before SETTINGS", _PREFACE, PREFACE + ping() + settings() + get(), INVALID_PREFACE, bare=True),
    Http2Attack("SETTINGS that acknowledge as the first", _PREFACE, PREFACE + settings(flags=ACK) + get(), INVALID_PREFACE, bare=True),
    Http2Attack("preface twice", _PREFACE, PREFACE + PREFACE + settings() + get(), INVALID_PREFACE, bare=True),
    Http2Attack("frames without a preface", _PREFACE, settings() + get(), INVALID_PREFACE, bare=True),
    Http2Attack(
        "preface with another second half", _PREFACE, PREFACE.replace(b"SM", b"MS") + settings() + get(), INVALID_PREFACE, bare=True
    ),
    Http2Attack("preface with bare LF", _PREFACE, PREFACE.replace(b"\r\n", b"\n") + settings() + get(), INVALID_PREFACE, bare=True),
    Http2Attack(
        "request of HTTP/1.1 behind the preface",
        _PREFACE,
        PREFACE + b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        INVALID_PREFACE,
        bare=True,
    ),
)

SIZES = (
    Http2Attack(
        "DATA over the largest frame",
        _SIZE,
        post() + data(bytes(MOST_IN_A_FRAME + 1)),
        Verdict(ends=(FRAME_SIZE_ERROR,), resets=(FRAME_SIZE_ERROR,)),
        late=True,
    ),
    Http2Attack("HEADERS over the largest frame", _SIZE, get((b"x", b"y" * MOST_IN_A_FRAME)), _BAD_SIZE),
    Http2Attack(
        "CONTINUATION over the largest frame", _SIZE, _BEGUN + frame(CONTINUATION, END_HEADERS, 1, bytes(MOST_IN_A_FRAME + 1)), _BAD_SIZE
    ),
    Http2Attack("unknown frame over the largest", _SIZE, frame(0xFA, 0, 0, bytes(MOST_IN_A_FRAME + 1)) + get(), _BAD_SIZE),
    Http2Attack("frame of 16 MiB that never comes", _SIZE, b"\xff\xff\xff" + pack("!BBI", SETTINGS, 0, 0), _BAD_SIZE),
    Http2Attack("PING of 7 bytes", "RFC 9113 6.7", ping(b"7 bytes") + get(), _BAD_SIZE),
    Http2Attack("PING of 9 bytes", "RFC 9113 6.7", ping(b"9 bytes..") + get(), _BAD_SIZE),
    Http2Attack("empty PING", "RFC 9113 6.7", ping(b"") + get(), _BAD_SIZE),
    Http2Attack("RST_STREAM of 3 bytes", "RFC 9113 6.4", post() + frame(RST_STREAM, 0, 1, bytes(3)), _BAD_SIZE, late=True),
    Http2Attack("RST_STREAM of 5 bytes", "RFC 9113 6.4", post() + frame(RST_STREAM, 0, 1, bytes(5)), _BAD_SIZE, late=True),
    Http2Attack("SETTINGS of 5 bytes", _SETTINGS, frame(SETTINGS, 0, 0, bytes(5)) + get(), _BAD_SIZE),
    Http2Attack("acknowledgement of SETTINGS with a payload", _SETTINGS, settings((3, 1), flags=ACK) + get(), _BAD_SIZE),
    Http2Attack("WINDOW_UPDATE of 3 bytes", _WINDOW, frame(WINDOW_UPDATE, 0, 0, bytes(3)) + get(), _BAD_SIZE),
    Http2Attack("WINDOW_UPDATE of 5 bytes", _WINDOW, frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x00\x01\x00") + get(), _BAD_SIZE),
    Http2Attack("GOAWAY of 7 bytes", "RFC 9113 6.8", frame(GOAWAY, 0, 0, bytes(7)) + get(), _BAD_SIZE),
    Http2Attack("PRIORITY of 4 bytes", "RFC 9113 6.3", post() + frame(PRIORITY, 0, 1, bytes(4)), resets(FRAME_SIZE_ERROR), late=True),
    Http2Attack("PRIORITY of 6 bytes", "RFC 9113 6.3", post() + frame(PRIORITY, 0, 1, bytes(6)), resets(FRAME_SIZE_ERROR), late=True),
    Http2Attack(
        "HEADERS shorter than their priority",
        "RFC 9113 6.2",
        frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, bytes(4)),
        ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR),
    ),
    Http2Attack(
        "padded HEADERS without a payload",
        "RFC 9113 6.2",
        frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1),
        ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR),
    ),
    Http2Attack(
        "padded DATA without a payload",
        "RFC 9113 6.1",
        post() + frame(DATA, END_STREAM | PADDED, 1),
        ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR),
        late=True,
    ),
    Http2Attack(
        "DATA whose padding is longer than it", "RFC 9113 6.1", post() + padded(DATA, END_STREAM, 1, b"hello", 0, 6), _BAD, late=True
    ),
    Http2Attack("DATA whose padding is as long as it", "RFC 9113 6.1", post() + padded(DATA, END_STREAM, 1, b"", 0, 1), _BAD, late=True),
    Http2Attack(
        "HEADERS whose padding is longer than they",
        "RFC 9113 6.2",
        padded(HEADERS, END_STREAM | END_HEADERS, 1, block(*head()), 0, 255),
        _BAD,
    ),
)

STREAMS = (
    Http2Attack("HEADERS on stream 0", "RFC 9113 6.2", headers(0, head()), _BAD),
    Http2Attack("DATA on stream 0", "RFC 9113 6.1", data(b"hello", 0) + get(), _BAD),
    Http2Attack("PRIORITY on stream 0", "RFC 9113 6.3", priority(0, 1) + get(), _BAD),
    Http2Attack("RST_STREAM on stream 0", "RFC 9113 6.4", rst_stream(0) + get(), _BAD),
    Http2Attack("CONTINUATION on stream 0", "RFC 9113 6.10", frame(CONTINUATION, END_HEADERS, 0, block(*head())) + get(), _BAD),
    Http2Attack("SETTINGS on a stream", _SETTINGS, settings(stream=1) + get(), _BAD),
    Http2Attack("PING on a stream", "RFC 9113 6.7", ping(stream=1) + get(), _BAD),
    Http2Attack("GOAWAY on a stream", "RFC 9113 6.8", goaway(stream=1) + get(), _BAD),
    Http2Attack("DATA on an idle stream", _STATES, data(b"hello") + get(), ends(PROTOCOL_ERROR, STREAM_CLOSED)),
    Http2Attack("RST_STREAM on an idle stream", "RFC 9113 6.4", rst_stream(1) + get(), _BAD),
    Http2Attack("WINDOW_UPDATE on an idle stream", _STATES, window_update(1, 1) + get(), _BAD),
    Http2Attack("request on an even stream", _IDS, headers(2, head()), _BAD),
    Http2Attack("request on an earlier stream", _IDS, post(stream=5) + get(stream=3), ends(PROTOCOL_ERROR, STREAM_CLOSED), late=True),
    Http2Attack(
        "PUSH_PROMISE of a client",
        "RFC 9113 8.4",
        post() + frame(PUSH_PROMISE, END_HEADERS, 1, pack("!I", 2) + block(*head())),
        _BAD,
        late=True,
    ),
    Http2Attack(
        "DATA behind the end of its stream", _STATES, get() + data(b"hello"), resets(STREAM_CLOSED), before=(b"/",), unanswered=True
    ),
    Http2Attack(
        "HEADERS behind the end of their stream",
        _STATES,
        get() + get(),
        Verdict(ends=(STREAM_CLOSED, PROTOCOL_ERROR), resets=(STREAM_CLOSED,)),
        before=(b"/",),
        unanswered=True,
    ),
    Http2Attack(
        "DATA behind the client's own reset",
        _STATES,
        post() + rst_stream(1) + data(b"hello"),
        Verdict(ends=(STREAM_CLOSED,), resets=(STREAM_CLOSED,)),
        late=True,
    ),
    Http2Attack(
        "HEADERS behind the client's own reset",
        _STATES,
        post() + rst_stream(1) + get(),
        Verdict(ends=(STREAM_CLOSED, PROTOCOL_ERROR), resets=(STREAM_CLOSED,)),
        late=True,
    ),
    Http2Attack("second head of an open request", "RFC 9113 8.1", post() + post(), resets(PROTOCOL_ERROR), late=True),
    Http2Attack(
        "HEADERS that depend on themselves",
        "RFC 7540 5.3.1, h2spec",
        headers(1, pack("!IB", 1, 0) + block(*head()), END_STREAM | END_HEADERS | PRIORITIZED),
        resets(PROTOCOL_ERROR),
    ),
    Http2Attack("PRIORITY that depends on itself", "RFC 7540 5.3.1, h2spec", post() + priority(1, 1), resets(PROTOCOL_ERROR), late=True),
)

BLOCKS = (
    Http2Attack("CONTINUATION without HEADERS", _BLOCK, frame(CONTINUATION, END_HEADERS, 1, block(*head())) + get(), _BAD),
    Http2Attack(
        "CONTINUATION behind a whole block", _BLOCK, post() + frame(CONTINUATION, END_HEADERS, 1, block((b"x", b"y"))), _BAD, late=True
    ),
    Http2Attack("CONTINUATION of another stream", _BLOCK, _BEGUN + frame(CONTINUATION, END_HEADERS, 3, _REST), _BAD),
    Http2Attack("DATA inside a block", _BLOCK, headers(1, _FIRST, 0) + data(b"hello") + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD),
    Http2Attack("HEADERS inside a block", _BLOCK, _BEGUN + get(stream=3) + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD),
    Http2Attack("PING inside a block", _BLOCK, _BEGUN + ping() + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD),
    Http2Attack("SETTINGS inside a block", _BLOCK, _BEGUN + settings() + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD),
    Http2Attack("RST_STREAM inside a block", _BLOCK, _BEGUN + rst_stream(1) + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD),
    Http2Attack(
        "unknown frame inside a block", _BLOCK, _BEGUN + frame(0xFA, 0, 1, b"x") + frame(CONTINUATION, END_HEADERS, 1, _REST), _BAD
    ),
)

VALUES = (
    Http2Attack("ENABLE_PUSH of 2", "RFC 9113 6.5.2", settings((2, 2)) + get(), _BAD),
    Http2Attack("INITIAL_WINDOW_SIZE of 2^31", "RFC 9113 6.5.2", settings((4, LARGEST + 1)) + get(), ends(FLOW_CONTROL_ERROR)),
    Http2Attack("MAX_FRAME_SIZE of 16,383", "RFC 9113 6.5.2", settings((5, MOST_IN_A_FRAME - 1)) + get(), _BAD),
    Http2Attack("MAX_FRAME_SIZE of 2^24", "RFC 9113 6.5.2", settings((5, 1 << 24)) + get(), _BAD),
    Http2Attack("connection's window raised by 0", _WINDOW, window_update(0) + get(), _BAD),
    Http2Attack("stream's window raised by 0", _WINDOW, post() + window_update(0, 1), resets(PROTOCOL_ERROR), late=True),
    Http2Attack("connection's window over 2^31 - 1", "RFC 9113 6.9.1", window_update(LARGEST) + get(), ends(FLOW_CONTROL_ERROR)),
    Http2Attack(
        "stream's window over 2^31 - 1", "RFC 9113 6.9.1", post() + window_update(LARGEST, 1), resets(FLOW_CONTROL_ERROR), late=True
    ),
    Http2Attack(
        "stream's window over 2^31 - 1 by SETTINGS",
        "RFC 9113 6.9.2",
        post() + window_update(LARGEST - 65_535, 1) + settings((4, 65_536)),
        ends(FLOW_CONTROL_ERROR),
        late=True,
    ),
)

ATTACKS = PREFACES + SIZES + STREAMS + BLOCKS + VALUES
