"""What gRPC says in fields (PROTOCOL-HTTP2 and http-grpc-status-mapping of gRPC)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import fields as kinds
from gateway.http.fields import is_grpc, read_line
from gateway.http.grpc import encode_message, ending, read_status, read_status_in_lines, read_timeout, status_of, trailers_only
from gateway.http.head import LocalReply
from gateway.http.http2_fields import field_line
from gateway.http.http2_request import read_request
from gateway.http.local_reply import written
from gateway.http.request import parse_request


@pytest.mark.parametrize(
    "content_type",
    [b"application/grpc", b"application/grpc+proto", b"Application/gRPC+json", b"application/grpc;a=b", b"application/grpc ; a=b",
     b"application/grpc-web", b"application/grpc-web+proto", b"application/grpc-web-text", b"application/grpc-web-text+proto"],
)  # fmt: skip
def test_a_call_is_told_by_its_content_type(content_type: bytes) -> None:
    """PROTOCOL-HTTP2, Content-Type: application/grpc with or without what it holds, in HTTP/1.1 and HTTP/2; the field is passed on."""
    shown = content_type.partition(b";")[0].strip().lower()
    text = b"POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: %b\r\nContent-Length: 0\r\n\r\n" % content_type
    head = parse_request(text, len(text) - 4)
    assert (head.grpc, head.get(b"content-type"), head.copy().grpc) == (shown, content_type, shown)
    pairs = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m"), (b":authority", b"a"), (b"content-type", content_type))
    head = read_request([field_line(name, value) for name, value in pairs], ended=False)
    assert (head.grpc, head.get(b"content-type"), head.trailers) == (shown, content_type, True)


@pytest.mark.parametrize("content_type", [b"application/grpcs", b"application/grpc-webs", b"application/json", b"text/grpc"])
def test_other_content_types_are_no_calls(content_type: bytes) -> None:
    """Neither one that only begins like it."""
    assert is_grpc(content_type) is None
    assert field_line(b"content-type", content_type)[0] == 0
    assert read_line(b"Content-Type: %b\r" % content_type)[0] == 0


def test_only_content_type_tells() -> None:
    """The same value in another field is nothing special."""
    assert field_line(b"accept", b"application/grpc")[0] == 0
    assert read_line(b"Accept: application/grpc\r")[0] == 0
    assert field_line(b"content-type", b"application/grpc")[0] == kinds.GRPC


@pytest.mark.parametrize(
    ("status", "flag", "expected"),
    [(400, "DPE", 13), (401, "", 16), (403, "UAEX", 7), (404, "NR", 12), (429, "RL", 14), (502, "UPE", 14), (503, "UF", 14), (504, "", 14),
     (504, "UT", 4), (413, "DPE", 8), (431, "DPE", 8), (500, "NC", 14), (500, "", 2), (301, "", 2), (421, "NR", 2), (408, "SI", 2)],
)  # fmt: skip
def test_statuses_of_answers(status: int, flag: str, expected: int) -> None:
    """http-grpc-status-mapping; a time limit is DEADLINE_EXCEEDED, backends that are not valid UNAVAILABLE (GRPCRouteRule.backendRefs), and
    what is too large RESOURCE_EXHAUSTED."""
    assert status_of(status, flag) == expected


def test_an_answer_of_ours_is_trailers_only() -> None:
    """PROTOCOL-HTTP2, Trailers-Only: HTTP status 200, the content type and the trailers in the head, no body. Fields of the answer stay,
    but for those of a body."""
    reply = LocalReply(404, "no route matches", [(b"Content-Type", b"text/plain"), (b"x-a", b"b")], flag="NR")
    answer = trailers_only(reply, b"application/grpc+proto", True)
    assert (answer.status, answer.reason, answer.flag, answer.body, answer.length) == (200, "no route matches", "NR", b"", 0)
    assert answer.fields == [
        (b"content-type", b"application/grpc+proto"),
        (b"grpc-status", b"12"),
        (b"grpc-message", b"no route matches"),
        (b"x-a", b"b"),
    ]


@pytest.mark.parametrize(
    ("reply", "told", "message"),
    [
        (LocalReply(503, "no connection to 10.0.0.1:80"), True, b"no connection to 10.0.0.1:80"),
        (LocalReply(503, "no connection to 10.0.0.1:80"), False, b"Service Unavailable"),
        (LocalReply(403, "the authorization server said no", body=b"not you\n"), False, b"not you%0A"),
        (LocalReply(599, "odd"), False, None),
    ],
)
def test_the_message_tells_no_more_than_other_answers_do(reply: LocalReply, told: bool, message: bytes | None) -> None:
    """The reason only where a listener says its reasons (ListenerPolicy.reasonHeader); what another server said it may know."""
    assert dict(trailers_only(reply, b"application/grpc", told).fields).get(b"grpc-message") == message


@given(st.binary(max_size=200))
def test_messages_are_percent_encoded(message: bytes) -> None:
    """PROTOCOL-HTTP2, Status-Message: printable ASCII without the percent sign as it is, everything else encoded; decoding undoes it."""
    encoded = encode_message(message)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert unquote_to_bytes(encoded) == message


def test_messages_that_need_no_encoding_stay() -> None:
    """A percent sign does need it."""
    assert encode_message(b"a b~!") == b"a b~!"
    assert encode_message("50% ü".encode()) == b"50%25 %C3%BC"


@pytest.mark.parametrize(("flag", "status"), [("UT", b"4"), ("UC", b"14"), ("DPE", b"13"), ("UPE", b"14")])
def test_an_answer_that_is_cut_ends_with_a_status(flag: str, status: bytes) -> None:
    """Which is never 0, whatever had come."""
    assert dict(ending(flag, "because", True)) == {b"grpc-status": status, b"grpc-message": b"because"}
    assert dict(ending(flag, "because", False))[b"grpc-message"] == b"the answer was cut off"


@pytest.mark.parametrize(
    ("fields", "status"),
    [([(b"grpc-status", b"0")], "0"), ([(b"a", b"b"), (b"Grpc-Status", b"14")], "14"), ([(b"grpc-status", b"x\"")], ""),
     ([(b"grpc-status", b"1234")], ""), ([(b"grpc-status", b"")], ""), ([], "")],
)  # fmt: skip
def test_the_status_is_read(fields: list[tuple[bytes, bytes]], status: str) -> None:
    """A number; what is none counts as none, so that nothing of a server's breaks a label or a line of the log."""
    assert read_status(fields) == status
    assert read_status_in_lines([b"%b: %b\r\n" % pair for pair in fields]) == status


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"1500m", 1.5), (b"250000u", 0.25), (b"5000000n", 0.005), (b"0S", 0),
     (b"99999999H", 99999999 * 3600), (b"1", None), (b"S", None), (b"-1S", None), (b"1.5S", None), (b"123456789S", None), (b"1s", None),
     (b"1 S", None), (b"", None)],
)  # fmt: skip
def test_timeouts_are_read(value: bytes, seconds: float | None) -> None:
    """PROTOCOL-HTTP2, Timeout: at most eight digits and a unit; what is malformed is no limit of ours, the server judges it."""
    assert read_timeout([b"a: b\r\n", b"grpc-timeout: %b\r\n" % value]) == (seconds if seconds is None else pytest.approx(seconds))


def test_no_timeout_is_no_limit() -> None:
    """PROTOCOL-HTTP2: without Timeout it is infinite."""
    assert read_timeout([b"x-grpc-timeout: 1S\r\n"]) is None
    assert read_timeout([]) is None


def test_other_requests_get_other_answers() -> None:
    """Those that are no calls are answered as ever."""
    head, body = written(LocalReply(503, "why", [(b"a", b"b")], b"text"), b"", True)
    assert (head.status, body, head.length) == (503, b"text", 4)
    assert head.fields == [(b"a", b"b"), (b"x-tidegate-reason", b"why")]
    head, body = written(LocalReply(503, "why", [(b"a", b"b")], b"text"), b"application/grpc", False)
    assert (head.status, body, head.length) == (200, b"", 0)
