"""The head of a request: refused, or read in the one way in which h11 reads it too, and written so that it reads the same again."""

from __future__ import annotations

import re
from typing import Final

import h11

from gateway.http.head import Fields, RequestHead
from gateway.http.refused import Refused
from gateway.http.request import FIELD_LIMIT, HEAD_LIMIT, TARGET_LIMIT, parse_request, refuse_early
from gateway.http.target import PathRules, parse_authority, parse_target
from gateway.proxy.backend_connection import BackendConnection
from tests.attacks.canonical import check_requests
from tests.fuzz.endpoint import lone_endpoint

STATUSES: Final = frozenset({400, 414, 417, 426, 431, 501, 505})
_ENDPOINT: Final = lone_endpoint()
_RULES: Final = PathRules()
_high = re.compile(rb"[\x80-\xff]").sub
_NOT_PASSED_ON: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"te", b"expect", b"upgrade"})


def run(data: bytes) -> None:
    """`data` is what a client sends: up to the first empty line it is a head, without one the beginning of one."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        judge_early(data)
        return
    try:
        head = parse_request(data, end)
    except Refused as refused:
        assert refused.status in STATUSES, refused.status
        return
    for cut in {0, 1, end // 3, end // 2, end - 1, end, end + 3}:
        judge_early(data[: max(cut, 0)], must_pass=True)
    check_sizes(data, end, head)
    compare_with_h11(data[: end + 4], head)
    try:
        normalise(head)
    except Refused as refused:
        assert refused.status in (400, 405), refused.status
        return
    read_back(head)


def judge_early(begun: bytes, *, must_pass: bool = False) -> None:
    """What is accepted whole is never refused before it is whole."""
    try:
        refuse_early(begun)
    except Refused as refused:
        assert refused.status in STATUSES, refused.status
        assert not must_pass, f"{refused.reason}: {begun!r}"


def check_sizes(data: bytes, end: int, head: RequestHead) -> None:
    assert end <= HEAD_LIMIT
    assert len(head.path) <= TARGET_LIMIT
    assert data.count(b"\n", 0, end) <= FIELD_LIMIT + 1
    assert all(not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", name + value) for name, value in head.fields)


def compare_with_h11(sent: bytes, head: RequestHead) -> None:
    """Method, target, fields and framing. Of the two of us h11 is the lenient one, but for bytes above ASCII in a target."""
    line, mark, rest = sent.partition(b"\r\n")
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(_high(b"x", line) + mark + rest)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError as refusal:
        raise AssertionError(f"h11 refuses what we take: {refusal}") from None
    assert isinstance(event, h11.Request), event
    assert (event.method, event.target) == (head.method, _high(b"x", head.path))
    named: dict[bytes, list[bytes]] = {}
    for name, value in event.headers:
        named.setdefault(name, []).append(value)
    coded = b"transfer-encoding" in named
    assert coded == (head.length is None)
    assert coded or head.length == int(named.get(b"content-length", [b"0"])[0])
    assert len(named.get(b"host", [])) <= 1
    for name in {name.lower() for name, _ in head.fields}:
        assert name not in _NOT_PASSED_ON, name
        assert [value for field, value in head.fields if field.lower() == name] == named[name], name


def normalise(head: RequestHead) -> None:
    """As admission does, which leaves out what reading the head has shown already. Raises Refused."""
    _RULES.cache.clear()
    target = parse_target(head.method, head.path, _RULES, head.plain_target)
    _RULES.cache.clear()
    assert parse_target(head.method, head.path, _RULES) == target, "a target is called plain that is not"
    head.path, head.query = target.path, target.query
    head.host, head.authority = parse_authority(target.authority or head.authority or b"a.example")


def read_back(head: RequestHead) -> None:
    """What a backend gets is one request in our one form, and means what was read."""
    written = serialise(head)
    body = b"0\r\n\r\n" if head.length is None else b"x" * min(head.length, 1000)
    if (head.length or 0) <= 1000:
        assert check_requests(written + body) == 1
    try:
        again = parse_request(written, len(written) - 4)
    except Refused as refused:
        assert refused.status in (414, 431), refused.reason  # framing added to 100 fields, or a target with every byte escaped
        return
    assert meaning(again) == (head.method, head.target, head.authority, head.length, head.upgrade, head.fields)
    assert serialise_again(again) == written


def meaning(head: RequestHead) -> tuple[bytes, bytes, bytes, int | None, bytes | None, Fields]:
    return head.method, head.path, head.authority, head.length, head.upgrade, head.fields


def serialise(head: RequestHead) -> bytes:
    connection = BackendConnection(_ENDPOINT, _ENDPOINT.plain, memoryview(bytearray()))
    connection._one_of_many = head.version == b"2"  # as after another client of its kind, since there is no transport
    connection.send_head(head)
    return b"".join(connection._out)


def serialise_again(head: RequestHead) -> bytes:
    normalise(head)
    return serialise(head)
