"""Frames: what is written, read back by hyperframe, and every payload that breaks a rule of its type."""

from __future__ import annotations

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import frames
from gateway.http.frames import ConnectionFault, StreamFault


def read(data: bytes) -> list[Frame]:
    """Whole frames and nothing else, as hyperframe reads them."""
    found = []
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        assert len(data) >= 9 + size
        frame.parse_body(memoryview(data[9 : 9 + size]))
        found.append(frame)
        data = data[9 + size :]
    return found


STREAMS = st.integers(1, 2**31 - 1)


@given(stream=STREAMS, size=st.integers(0, 2**24 - 1), ended=st.booleans())
def test_the_header_of_data_says_its_size_and_its_stream(stream: int, size: int, ended: bool) -> None:
    """RFC 9113 4.1."""
    frame, length = Frame.parse_frame_header(memoryview(frames.data_header(size, frames.END_STREAM if ended else 0, stream)))
    assert isinstance(frame, DataFrame)
    assert (length, frame.stream_id, set(frame.flags)) == (size, stream, {"END_STREAM"} if ended else set())


@given(stream=STREAMS, block=st.binary(max_size=200), ended=st.booleans(), most=st.integers(1, 220))
def test_a_block_beyond_the_frame_size_goes_on_in_continuations(stream: int, block: bytes, ended: bool, most: int) -> None:
    """The first frame ends the stream, the last the block, and none is empty but that of an empty block (RFC 9113 6.2, 6.10)."""
    first, *others = read(frames.header_frames(stream, block, ended, most))
    assert isinstance(first, HeadersFrame)
    assert all(isinstance(frame, ContinuationFrame) for frame in others)
    assert ("END_STREAM" in first.flags) is ended
    every = [first, *others]
    assert ["END_HEADERS" in frame.flags for frame in every] == [False] * len(others) + [True]
    assert b"".join([frame.data for frame in every]) == block
    assert all(0 < len(frame.data) <= most for frame in every) or block == b""
    assert {frame.stream_id for frame in every} == {stream}


def test_the_frames_of_a_connection_are_read_as_what_they_are() -> None:
    """RFC 9113 6.4 to 6.9."""
    written = (
        frames.settings_frame([(frames.MAX_CONCURRENT_STREAMS, 100), (frames.ENABLE_CONNECT_PROTOCOL, 1)]) + frames.SETTINGS_ACK
        + frames.window_update(0, 2**31 - 1) + frames.rst_stream(5, frames.CANCEL) + frames.goaway(7, frames.ENHANCE_YOUR_CALM, b"why")
        + frames.ping(b"12345678") + frames.ping(b"12345678", ack=True)
    )  # fmt: skip
    settings, ack, window, reset, goaway, ping, pong = read(written)
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {3: 100, 8: 1}
    assert isinstance(ack, SettingsFrame)
    assert "ACK" in ack.flags
    assert isinstance(window, WindowUpdateFrame)
    assert (window.stream_id, window.window_increment) == (0, 2**31 - 1)
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (5, 8)
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (7, 11, b"why")
    assert isinstance(ping, PingFrame)
    assert isinstance(pong, PingFrame)
    assert ("ACK" in ping.flags, "ACK" in pong.flags, pong.opaque_data) == (False, True, b"12345678")


def test_every_error_code_has_its_name() -> None:
    """RFC 9113 7."""
    assert list(frames.ERROR_NAMES) == list(range(14))
    assert all(getattr(frames, name) == code for code, name in frames.ERROR_NAMES.items())


@given(pairs=st.lists(st.tuples(st.sampled_from((1, 3, 6, 7, 9, 0xFFFF)), st.integers(0, 2**32 - 1)), max_size=8))
def test_settings_are_read_in_order_and_unknown_ones_too(pairs: list[tuple[int, int]]) -> None:
    """RFC 9113 6.5.3: in the order in which they appear; a later value replaces an earlier one."""
    assert frames.read_settings(frames.settings_frame(pairs)[9:]) == pairs


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        (frames.ENABLE_PUSH, 2, frames.PROTOCOL_ERROR),
        (frames.INITIAL_WINDOW_SIZE, 2**31, frames.FLOW_CONTROL_ERROR),
        (frames.MAX_FRAME_SIZE, 2**14 - 1, frames.PROTOCOL_ERROR),
        (frames.MAX_FRAME_SIZE, 2**24, frames.PROTOCOL_ERROR),
        (frames.ENABLE_CONNECT_PROTOCOL, 2, frames.PROTOCOL_ERROR),
    ],
)
def test_a_setting_out_of_its_bounds_ends_the_connection(setting: int, value: int, code: int) -> None:
    """RFC 9113 6.5.2, RFC 8441 3; the nearest value inside passes."""
    inside = value - 1 if value != 2**14 - 1 else value + 1
    assert frames.read_settings(frames.settings_frame([(setting, inside)])[9:]) == [(setting, inside)]
    with pytest.raises(ConnectionFault) as fault:
        frames.read_settings(frames.settings_frame([(setting, value)])[9:])
    assert fault.value.code == code


@pytest.mark.parametrize(
    "read_payload",
    [
        lambda: frames.read_settings(bytes(5)),
        lambda: frames.read_settings(bytes(7)),
        lambda: frames.read_window_update(bytes(3)),
        lambda: frames.read_window_update(bytes(5)),
        lambda: frames.read_goaway(bytes(7)),
        lambda: frames.unpadded(b""),
        lambda: frames.unprioritized(bytes(4), 1),
        lambda: frames.unprioritized(frames.unpadded(b"\x01" + bytes(5)), 1),
    ],
)
def test_a_payload_of_the_wrong_size_ends_the_connection(read_payload) -> None:  # type: ignore[no-untyped-def]  # any of the readers
    """FRAME_SIZE_ERROR (RFC 9113 4.2, 6.5, 6.8, 6.9)."""
    with pytest.raises(ConnectionFault) as fault:
        read_payload()
    assert fault.value.code == frames.FRAME_SIZE_ERROR


def test_the_reserved_bit_is_ignored() -> None:
    """RFC 9113 6.8, 6.9."""
    assert frames.read_window_update(b"\x80\x00\x00\x01") == 1
    assert frames.read_window_update(b"\x80\x00\x00\x00") == 0
    assert frames.read_goaway(b"\x80\x00\x00\x05\x00\x00\x00\x0bwhy") == (5, 11, b"why")


@given(data=st.binary(max_size=40), padding=st.integers(0, 255), prioritized=st.booleans())
def test_padding_and_priority_are_taken_away(data: bytes, padding: int, prioritized: bool) -> None:
    """RFC 9113 6.1, 6.2."""
    frame = HeadersFrame(3, data, pad_length=padding, depends_on=1, stream_weight=9)
    frame.flags.add("PADDED")
    if prioritized:
        frame.flags.add("PRIORITY")
    payload = frames.unpadded(frame.serialize_body())
    assert (frames.unprioritized(payload, 3) if prioritized else (payload, None)) == (data, None)


@pytest.mark.parametrize("payload", [b"\x01", b"\x05aaaa", b"\xff" + bytes(254)])
def test_padding_as_long_as_the_payload_ends_the_connection(payload: bytes) -> None:
    """RFC 9113 6.1, 6.2: PROTOCOL_ERROR; one byte less is padding and no data."""
    with pytest.raises(ConnectionFault) as fault:
        frames.unpadded(payload)
    assert fault.value.code == frames.PROTOCOL_ERROR
    assert frames.unpadded(payload + b"\x00") == b""


def test_a_stream_that_depends_on_itself_is_reset_though_its_block_is_read() -> None:
    """RFC 7540 5.3.1, as h2spec demands it; a block that is not read would be missing in the tables (RFC 9113 4.3)."""
    headers = HeadersFrame(3, b"block", depends_on=3, flags=("PRIORITY",))
    block, itself = frames.unprioritized(headers.serialize_body(), 3)
    assert block == b"block"
    assert itself is not None
    assert itself.code == frames.PROTOCOL_ERROR
    with pytest.raises(StreamFault) as fault:
        frames.check_priority(PriorityFrame(3, depends_on=3, exclusive=True).serialize_body(), 3)
    assert fault.value.code == frames.PROTOCOL_ERROR
    frames.check_priority(PriorityFrame(3, depends_on=1).serialize_body(), 3)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_a_priority_of_another_size_ends_its_stream(size: int) -> None:
    """RFC 9113 6.3."""
    with pytest.raises(StreamFault) as fault:
        frames.check_priority(bytes(size), 3)
    assert fault.value.code == frames.FRAME_SIZE_ERROR
