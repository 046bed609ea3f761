"""An HTTP/2 connection, either end of it: frames in order, control frames answered, windows kept, floods ended (RFC 9113).

What HEADERS mean is for the ends to say: `Http2ClientConnection` serves, `Http2BackendConnection` asks. A fault of one stream
resets that stream; a fault of the connection ends it with GOAWAY. What is to be sent is gathered and written once a callback, and
what many backends answer in one turn of the loop goes out together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from gateway.http import frames
from gateway.http.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    StreamFault,
)
from gateway.http.head import Fields
from gateway.http.hpack import HeaderDecoder, HpackError
from gateway.http.hpack_encoder import HeaderEncoder
from gateway.proxy.http2.field_blocks import FieldBlocks
from gateway.proxy.http2.floods import MOST_SETTINGS, MOST_UNTAKEN, REFUSED, UNKNOWN, Budgets
from gateway.proxy.http2.reset_streams import ResetStreams
from gateway.proxy.http2.stream import STREAM_WINDOW

if TYPE_CHECKING:
    from gateway.http.http2_request import Block
    from gateway.proxy.http2.stream import Http2Stream

MOST_FRAME: Final = 16_384
"""Bytes of a frame that we take: SETTINGS_MAX_FRAME_SIZE as it is without being said. Larger ones only delay each other."""
CONNECTION_WINDOW: Final = 16 * 1024 * 1024
"""Bytes that a peer may send on all streams before they were read; what is read and not taken is held back by streams alone, so that
a slow one harms no other."""
CONNECTION_CREDIT: Final = CONNECTION_WINDOW // 2
LARGEST_WINDOW: Final = (1 << 31) - 1
DEFAULT_WINDOW: Final = 65_535
LINGER: Final = 2.0
"""Seconds that an ended connection goes on reading, so that its peer sees the GOAWAY and not a reset."""
NO_TRAILERS: Final[Fields] = []
"""Never written to."""
AT_ONCE: Final = 400
"""Effort, in fields, that is spent on what one peer sends before the others have their turn: half a millisecond, or 16 small requests, so
that what an ordinary client sends at once is not torn apart."""
OF_A_BLOCK: Final = 15
"""Effort that a block of fields takes besides its fields."""
BYTES_AS_A_FIELD: Final = 64
"""Bytes of a block that take the effort of one more field."""
DATA_AS_A_FIELD: Final = 128
"""The same of a body."""
STREAMS_AS_A_FIELD: Final = 8
"""Streams whose windows are moved together for the effort of one more field; one that may go on takes one for itself."""
OF_A_CONNECTION: Final = 150
"""Effort of a request that a connection to a backend is opened for, or whose peer has no room for the answer; and of a stream that is
reset, which may cost one."""
MOST_AHEAD: Final = 64 * 1024
"""Bytes that wait for their turn while more is read."""


class Http2Connection:
    """The asyncio.Protocol of a connection, but for its making and its end (no subclass, which could not be compiled).

    `streams` holds those that have not ended on both sides, `waiting` those with data that the peer has given no room for, in turn.
    """

    __slots__ = (
        "_blocks", "_buffer", "_flushing", "_held", "_resting", "_settled", "at_once", "blocked", "budgets", "credit", "decoder", "effort",
        "encoder", "ended", "frame_limit", "grown", "initial_send_window", "last", "loop", "out", "peer_leaves", "reading_paused",
        "receive_window", "received", "reset_streams", "send_window", "streams", "transport", "untaken", "waiting", "write",
    )  # fmt: skip

    transport: asyncio.Transport
    write: Callable[[bytes], None]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.streams: dict[int, Http2Stream] = {}
        self.waiting: dict[Http2Stream, None] = {}
        self.decoder, self.encoder = HeaderDecoder(), HeaderEncoder()
        self.out: list[bytes | memoryview] = []
        self.initial_send_window = self.send_window = DEFAULT_WINDOW
        self.receive_window, self.credit = CONNECTION_WINDOW, 0
        self.grown = 0
        """Bytes that windows of streams are larger by than they began with."""
        self.frame_limit = MOST_FRAME
        """Bytes of DATA or of a block that one of our frames carries at most."""
        self.last = 0
        """The newest stream that the peer has begun; of an end that asks the newest of its own."""
        self.blocked = False
        """Whether the transport takes no more."""
        self.ended = False
        """Whether nothing is read or begun any more."""
        self.peer_leaves = False
        """Whether the peer has sent GOAWAY."""
        self.budgets = Budgets()
        self.received: dict[Http2Stream, None] = {}
        """Streams that something came for in this turn."""
        self.reading_paused = False
        """Whether the peer is not read because it does not read us."""
        self._buffer = b""
        self.at_once = AT_ONCE
        """Effort of a turn."""
        self.effort, self._resting = 0, False
        """What this turn has taken; whether the rest of what has come waits for the next."""
        self._held = False
        """Whether the peer is not read because so much waits already."""
        self._flushing = self._settled = False
        self._blocks = FieldBlocks()
        self.reset_streams = ResetStreams()
        self.untaken = 0
        """Answers that wait since the peer stopped reading."""

    # writing

    def flush(self) -> None:
        """One write for all that is gathered."""
        out = self.out
        if out:
            data = b"".join(out)
            out.clear()
            self.write(data)

    def flush_soon(self) -> None:
        """At the end of this turn of the loop, with what other streams have by then."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        if self.ended:
            self.out.clear()  # the last word was said
        elif not self.transport.is_closing():
            self.flush()

    def put_block(self, number: int, block: bytes, ended: bool) -> None:
        """HEADERS, and CONTINUATION where it is too long for one frame."""
        self.out.append(frames.header_frames(number, block, ended, self.frame_limit))

    def reset_stream(self, stream: Http2Stream, code: int) -> None:
        """Ends a stream from our side, whatever state it is in; one that has ended on both sides is only forgotten."""
        stream.drop_queue()
        if self.streams.pop(stream.number, None) is None:
            return
        stream.leave()
        if not (stream.sent_all and stream.received_all):
            stream.sent_all = stream.received_all = True
            self.reset_streams.add(stream.number, stream.receive_window)
            self.out.append(frames.rst_stream(stream.number, code))
            self.flush_soon()
        if not self.streams:
            self.all_ended()

    def forget(self, stream: Http2Stream) -> None:
        """The stream has ended on both sides."""
        if self.streams.pop(stream.number, None) is None:
            return
        stream.leave()
        if not self.streams:
            self.all_ended()

    # reading

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        if self._buffer:
            data = self._buffer + data
        if self._resting:
            self._buffer = data
            self._hold()
            return
        self.effort = 0
        try:
            used = self._read_frames(data)
        except ConnectionFault as fault:
            self.fail(fault)
            return
        self._buffer = data[used:] if used < len(data) and not self.ended else b""
        if self.effort >= self.at_once and self._buffer:
            self._rest()
        received = self.received
        while received:
            stream = received.popitem()[0]
            stream.flush_received()
            stream.give_room()
        self.flush()

    def _rest(self) -> None:
        """The others have their turn."""
        self._resting = True
        self.loop.call_soon(self._go_on)
        self._hold()

    def _hold(self) -> None:
        """A peer that is far ahead is not read any further."""
        if len(self._buffer) > MOST_AHEAD and not self._held:
            self._held = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        self._resting = False
        if self.transport.is_closing():
            return
        self.data_received(b"")
        if self._held and len(self._buffer) <= MOST_AHEAD:
            self._held = False
            self.read_again()

    def read_again(self) -> None:
        """After a pause, if there is no other reason for one."""
        if not (self._held or self.reading_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    @property
    def incomplete(self) -> int:
        """Bytes of a frame whose end has not come."""
        return len(self._buffer)

    @property
    def mid_block(self) -> bool:
        """Whether fields have begun whose end has not come."""
        buffer = self._buffer
        return self._blocks.open or (not self._resting and len(buffer) > 3 and buffer[3] == HEADERS)

    def _read_frames(self, data: bytes) -> int:
        """Every whole frame that there is time for; returns where the first that is not read begins. Raises ConnectionFault."""
        at, end = 0, len(data)
        blocks, at_once = self._blocks, self.at_once
        while end - at >= 9 and self.effort < at_once and not self.ended:
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if size > MOST_FRAME:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "frame too large")
            following = at + 9 + size
            if following > end:
                break
            kind, flags = data[at + 3], data[at + 4]
            number = int.from_bytes(data[at + 5 : at + 9], "big") & LARGEST_WINDOW
            payload = data[at + 9 : following]
            at = following
            if not self._settled:
                if kind != SETTINGS or flags & ACK:
                    raise ConnectionFault(frames.PROTOCOL_ERROR, "the first frame is not SETTINGS")
                self._settled = True
            if blocks.open and not blocks.expects(kind, number):
                raise ConnectionFault(frames.PROTOCOL_ERROR, "a block of fields was interrupted")
            try:
                if kind == DATA:
                    self._read_data(flags, number, payload)
                else:
                    self._read_frame(kind, flags, number, payload)
            except StreamFault as fault:
                self._stream_fault(number, fault)
        return at

    def _read_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Any but DATA. Raises ConnectionFault and StreamFault."""
        if kind == HEADERS:
            self._read_headers(flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self._read_window_update(number, payload)
        elif kind == SETTINGS:
            self._read_settings(flags, number, payload)
        elif kind == PING:
            self._read_ping(flags, number, payload)
        elif kind == RST_STREAM:
            self._read_reset(number, payload)
        elif kind == CONTINUATION:
            self._read_continuation(flags, payload)
        elif kind == PRIORITY:
            self._read_priority(number, payload)
        elif kind == GOAWAY:
            self._read_goaway(number, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "PUSH_PROMISE was not allowed")
        else:
            self.budgets.spend(UNKNOWN, "unknown frames")

    def _answer(self, answer: bytes) -> None:
        """Sends what a control frame asks for. Raises ConnectionFault when too many answers wait for a peer that does not read."""
        if self.blocked:
            self.untaken += 1
            if self.untaken > MOST_UNTAKEN:
                raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "answers to control frames are not read")
        self.out.append(answer)

    # the frames

    def _read_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self.effort += size // DATA_AS_A_FIELD
        self.receive_window -= size
        if self.receive_window < 0:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "more data than the connection has room for")
        self.credit += size
        if self.credit >= CONNECTION_CREDIT:
            self.out.append(frames.window_update(0, self.credit))
            self.receive_window += self.credit
            self.credit = 0
        stream = self.streams.get(number)
        if stream is None or stream.received_all:
            self._data_for_nobody(flags, number, payload)
            return
        data = frames.unpadded(payload) if flags & PADDED else payload
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "more data than the stream has room for")
        if data:
            stream.data(data)
            if stream.received_all:
                return  # it was reset over that
        elif not flags & END_STREAM:
            self.budgets.spend(DATA, "empty frames of DATA")
        if flags & END_STREAM:
            stream.received_all = True
            stream.data_end(NO_TRAILERS)
            if stream.sent_all:
                self.forget(stream)
        elif size:
            stream.took(size)

    def _data_for_nobody(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        if self.is_idle(number):
            raise ConnectionFault(frames.PROTOCOL_ERROR, "DATA on an idle stream")
        if not self.reset_streams.data(number, size):
            raise StreamFault(frames.STREAM_CLOSED, "DATA on a closed stream")
        if not size or (flags & PADDED and not frames.unpadded(payload)):
            self.budgets.spend(DATA, "empty frames of DATA")

    def _read_headers(self, flags: int, number: int, payload: bytes) -> None:
        block = self._blocks.begin(flags, number, payload)
        if block is not None:
            self._take_block(number, block, bool(flags & END_STREAM))

    def _read_continuation(self, flags: int, payload: bytes) -> None:
        blocks = self._blocks
        block = blocks.go_on(flags, payload)
        if block is not None:
            self._take_block(blocks.stream, block, blocks.ended)

    def _take_block(self, number: int, block: bytes, ended: bool) -> None:
        try:
            decoded = self.decoder.decode(block)
        except HpackError as error:
            raise ConnectionFault(frames.COMPRESSION_ERROR, str(error)) from None
        size = len(block)
        # one that is too large was read all the same, and a field takes a byte at least
        self.effort += OF_A_BLOCK + size // BYTES_AS_A_FIELD + (size if decoded is None else len(decoded))
        entries: Block = decoded
        if self._blocks.fault is not None:
            entries = self._blocks.take_fault()
        self.fields(number, entries, ended)

    def _read_window_update(self, number: int, payload: bytes) -> None:
        increment = frames.read_window_update(payload)
        self.budgets.spend(WINDOW_UPDATE, "frames WINDOW_UPDATE")
        if not number:
            if not increment:
                raise ConnectionFault(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self.send_window += increment
            if self.send_window > LARGEST_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "window of the connection too large")
            self._pump()
            return
        stream = self.streams.get(number)
        if stream is None:
            if self.is_idle(number):
                raise ConnectionFault(frames.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
            return
        if not increment:
            raise StreamFault(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.send_window += increment
        if stream.send_window > LARGEST_WINDOW:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "window of the stream too large")
        while stream.full and stream.pump():
            pass

    def _pump(self) -> None:
        """Whoever waits sends a frame in turn, as long as there is room."""
        waiting = self.waiting
        moved = True
        while moved and self.send_window > 0:
            moved = False
            for stream in list(waiting):
                if stream in waiting and stream.pump():
                    moved = True

    def _read_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "acknowledgement of SETTINGS with a payload")
            self.budgets.spend(SETTINGS, "acknowledgements of SETTINGS")
            return
        self.budgets.spend(SETTINGS, "frames SETTINGS")
        if len(payload) > MOST_SETTINGS * frames.SETTING_SIZE:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "too many settings in a frame")
        window = self.initial_send_window
        for setting, value in frames.read_settings(payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                window = value  # nothing is sent between the values of one frame (RFC 9113 6.5.3)
            elif setting == frames.HEADER_TABLE_SIZE:
                self.encoder.table_limit(value)
            elif setting == frames.MAX_FRAME_SIZE:
                self.frame_limit = min(value, MOST_FRAME)
            else:
                self.setting(setting, value)
        if window != self.initial_send_window:
            self._resize_windows(window)
        self._answer(frames.SETTINGS_ACK)
        self.settled()

    def _resize_windows(self, size: int) -> None:
        """Also of the streams there are, whose windows may become negative (RFC 9113 6.9.2)."""
        change = size - self.initial_send_window
        self.initial_send_window = size
        self.effort += len(self.streams) // STREAMS_AS_A_FIELD + (len(self.waiting) if change > 0 else 0)
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "window of a stream too large")
        if change > 0:
            self._pump()

    def _read_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "PING of another size than 8")
        self.budgets.spend(PING, "frames PING")
        if not flags & ACK:
            self._answer(frames.ping(payload, ack=True))

    def _read_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "RST_STREAM of another size than 4")
        if not number or self.is_idle(number):
            raise ConnectionFault(frames.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        self.budgets.spend(RST_STREAM, "reset streams")
        stream = self.streams.get(number)
        if stream is not None:
            self.effort += OF_A_CONNECTION
            stream.drop_queue()
            stream.sent_all = stream.received_all = True
            self.forget(stream)
            stream.reset_by_peer(int.from_bytes(payload, "big"))

    def _read_priority(self, number: int, payload: bytes) -> None:
        if not number:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self.budgets.spend(PRIORITY, "frames PRIORITY")
        frames.check_priority(payload, number)

    def _read_goaway(self, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "GOAWAY on a stream")
        last, code, _ = frames.read_goaway(payload)
        self.budgets.spend(GOAWAY, "frames GOAWAY")
        self.peer_leaves = True
        self.leaving(last, code)

    def _stream_fault(self, number: int, fault: StreamFault) -> None:
        """One stream has a fault; the others go on. Raises ConnectionFault when the peer makes us reset too many."""
        if fault.code == frames.REFUSED_STREAM:
            self.budgets.spend(REFUSED, "refused streams")
        else:
            self.budgets.spend(RST_STREAM, "reset streams")
        stream = self.streams.get(number)
        if stream is None:
            if number not in self.reset_streams:
                self.reset_streams.add(number)
                self.out.append(frames.rst_stream(number, fault.code))
            return
        self.effort += OF_A_CONNECTION
        self.reset_stream(stream, fault.code)
        stream.failed(fault.code, fault.reason)

    # ends

    def fail(self, fault: ConnectionFault) -> None:
        """A fault of the connection: GOAWAY, then all streams are gone."""
        self.out.append(frames.goaway(self.last, fault.code, fault.reason.encode()))
        self.end_streams(fault.code, fault.reason)
        self.faulted(fault)

    def end_streams(self, code: int, reason: str) -> None:
        """Nothing more comes or goes on any stream."""
        self.ended = True
        self._buffer = b""
        streams = list(self.streams.values())
        self.streams.clear()
        self.waiting.clear()
        self.received.clear()
        for stream in streams:
            stream.drop_queue()
            stream.sent_all = stream.received_all = True
        self.fail_streams(streams, code, reason)

    def fail_streams(self, streams: list[Http2Stream], code: int, reason: str) -> None:
        """Those that the connection had when it ended."""
        for stream in streams:
            stream.failed(code, reason)

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it
        self.write = self.transport.write

    def pause_writing(self) -> None:
        self.blocked = True
        for stream in list(self.streams.values()):
            stream.transport_full()

    def resume_writing(self) -> None:
        self.blocked = False
        self.untaken = 0
        for stream in list(self.streams.values()):
            stream.transport_ready()

    # what each end does in its own way

    def is_idle(self, number: int) -> bool:
        """Whether nobody has begun this stream."""
        raise NotImplementedError

    def fields(self, number: int, entries: Block, ended: bool) -> None:
        """A block of fields. Raises ConnectionFault and StreamFault."""
        raise NotImplementedError

    def setting(self, setting: int, value: int) -> None:
        """A setting of the peer's that is of one end only, or of none."""
        raise NotImplementedError

    def settled(self) -> None:
        """All settings of a frame are taken."""
        raise NotImplementedError

    def leaving(self, last: int, code: int) -> None:
        """The peer begins or takes no more streams after `last`."""
        raise NotImplementedError

    def all_ended(self) -> None:
        """The last stream is gone."""
        raise NotImplementedError

    def faulted(self, fault: ConnectionFault) -> None:
        """The peer broke the protocol or asked too much; GOAWAY is gathered, and the streams are gone."""
        raise NotImplementedError


def opening_settings(pairs: tuple[tuple[int, int], ...]) -> bytes:
    """The SETTINGS that either end begins with, `pairs` beside the windows, and the room of the connection."""
    settings = frames.settings_frame(((frames.INITIAL_WINDOW_SIZE, STREAM_WINDOW), *pairs))
    return settings + frames.window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
