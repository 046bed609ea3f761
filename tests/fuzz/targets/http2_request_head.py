"""The head of an HTTP/2 request: refused, or nothing that h2 refuses, and the same request to backends of both versions."""

from __future__ import annotations

import re
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder

from gateway.http.frames import ERROR_NAMES, PREFACE, SETTINGS_ACK, StreamFault, header_frames, settings_frame
from gateway.http.head import Fields, RequestHead
from gateway.http.hpack import HeaderDecoder
from gateway.http.hpack_encoder import HeaderEncoder
from gateway.http.http2_fields import field_line
from gateway.http.http2_request import read_request, read_trailers
from gateway.http.refused import Refused
from gateway.http.request import FIELD_LIMIT, TARGET_LIMIT, parse_request
from tests.attacks.canonical import check_requests
from tests.fuzz.targets.request_head import normalise, serialise

STATUSES: Final = frozenset({400, 414, 417, 426, 431, 501})
_KEY: Final = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def run(data: bytes) -> None:
    """The first byte says whether the stream ends (E), the rest is `name=value`, a field a line; US stands for a line feed in one."""
    ended = data[:1] == b"E"
    sent: Fields = [(name, value) for name, _, value in [line.partition(b"=") for line in data[1:].split(b"\n")]]
    sent = [(name.replace(b"\x1f", b"\n"), value.replace(b"\x1f", b"\n")) for name, value in sent]
    entries = [field_line(*pair) for pair in sent]
    judge_trailers(sent)
    try:
        head = read_request(entries, ended)
    except Refused as refused:
        assert refused.status in STATUSES, refused.status
        return
    except StreamFault as fault:
        assert fault.code in ERROR_NAMES
        return
    check(head)
    assert not refused_by_h2(sent, ended), "h2 refuses what we take"
    try:
        normalise(head)
    except Refused as refused:
        assert refused.status in (400, 405), refused.status
        return
    read_back_from_http2(head)
    read_back_from_http1(head)


def check(head: RequestHead) -> None:
    assert len(head.lines) <= FIELD_LIMIT
    assert len(head.path) <= TARGET_LIMIT
    assert head.authority
    assert all(not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", name + value) and name == name.lower() for name, value in head.fields)


def judge_trailers(sent: Fields) -> None:
    try:
        trailers = read_trailers([field_line(*pair) for pair in sent])
    except StreamFault as fault:
        assert fault.code in ERROR_NAMES
        return
    written = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
    data = b"GET / HTTP/1.1\r\nhost: a\r\n%b\r\n" % written
    if len(trailers) < FIELD_LIMIT:
        assert parse_request(data, len(data) - 4).fields == trailers


def refused_by_h2(sent: Fields, ended: bool) -> bool:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=False))
    connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    connection.initiate_connection()
    connection.receive_data(PREFACE + settings_frame([]) + SETTINGS_ACK)
    try:
        connection.receive_data(header_frames(1, Encoder().encode(sent), ended, 1 << 14))
    except ProtocolError:
        return True
    return False


def read_back_from_http2(head: RequestHead) -> None:
    """An HTTP/2 backend that reads as we do gets the same request."""
    block = HeaderEncoder().request(head, b"http", head.authority)
    try:
        again = read_request(HeaderDecoder().decode(block), head.length == 0)
    except Refused as refused:
        assert refused.status in (414, 431), refused.reason  # a target with every byte escaped
        return
    assert meaning(again, again.path) == meaning(head, head.target)


def read_back_from_http1(head: RequestHead) -> None:
    """An HTTP/1.1 backend gets one request in our one form, and the same one."""
    if head.upgrade is not None:
        head.lines = [*head.written(), _KEY]
        head.edited = None
    written = serialise(head)
    body = b"0\r\n\r\n" if head.length is None else b"x" * min(head.length, 1000)
    if (head.length or 0) <= 1000:
        assert check_requests(written + body) == 1
    try:
        again = parse_request(written, len(written) - 4)
    except Refused as refused:
        assert refused.status in (414, 431), refused.reason
        return
    assert meaning(again, again.path) == meaning(head, head.target)


def meaning(head: RequestHead, target: bytes) -> tuple[bytes, bytes, bytes, int | None, bytes | None, bool, Fields]:
    return head.method, target, head.authority, head.length, head.upgrade, head.trailers, head.fields
