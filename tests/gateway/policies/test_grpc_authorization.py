"""External authorization over gRPC as values (HTTPExternalAuthFilter; envoy.service.auth.v3): messages, and what an answer does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.compile import compile_filters
from gateway.http.grpc import message_frame
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.http.protobuf import Malformed, message_field, number_field, text_field
from gateway.ir.filters import ExternalAuth
from gateway.policies.authorization_policy import Permission, Unusable
from gateway.policies.check_messages import Action, Answer, Attributes, Edit, Party, read_response, write_request
from gateway.policies.grpc_authorization import GrpcAuthorization

OURS = b"x-forwarded-for: 192.0.2.1\r\nx-request-id: 7\r\n"
ATTRIBUTES = Attributes(
    Party(b"192.0.2.1", 4711, "spiffe://a/b"), Party(b"2001:db8::1", 0), 1700000000.25, b"https", b"7f", -1
)  # fmt: skip
CALL = ResponseHead(200, b"OK", [(b"content-type", b"application/grpc")], None)
WELL: Fields = [(b"grpc-status", b"0")]


def asking(**fields: object) -> GrpcAuthorization:
    return GrpcAuthorization.compile(ExternalAuth("default/auth:80", protocol="GRPC", **fields))  # type: ignore[arg-type]  # by name


def request(*fields: tuple[bytes, bytes]) -> RequestHead:
    head = RequestHead(b"GET", b"/inside", b"q=1", b"inside.example", b"inside.example")
    head.fields, head.forwarded = list(fields), OURS
    return head


def option(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return message_field(1, text_field(1, name) + text_field(2, value)) + more


def allowing(*options: bytes, removed: tuple[bytes, ...] = (), answered: tuple[bytes, ...] = ()) -> bytes:
    """A CheckResponse whose status is OK."""
    parts = [message_field(2, each) for each in options]
    parts += [message_field(5, name) for name in removed] + [message_field(6, each) for each in answered]
    return message_field(1, b"") + message_field(3, b"".join(parts))


def judged(response: bytes, trailers: Fields = WELL, answer: ResponseHead = CALL) -> Permission | LocalReply | Unusable:
    return asking().verdict(answer, message_frame(response), trailers)


def permitted(response: bytes, *fields: tuple[bytes, bytes]) -> Fields:
    """The fields of a request with these, once the answer has let it pass."""
    permission, head = judged(response), request(*fields)
    assert isinstance(permission, Permission)
    permission.permit(head)
    return head.fields


# messages


def test_a_request_is_written_as_protobuf_reads_it() -> None:
    """These bytes were read back by the library of Protocol Buffers as the CheckRequest that is meant."""
    head = RequestHead(b"POST", b"/a", b"b=c", b"example.com:80", b"example.com")
    head.version = b"2"
    fields = {b":path": b"/a?b=c", b"x-a": b"1, 2", b"x-odd": b"\xff\xc3\xbc", b"x-empty": b""}
    assert write_request(ATTRIBUTES, head, fields, b"hello").hex() == (
        "0ac5010a200a100a0e12093139322e302e322e3118e724220c7370696666653a2f2f612f6212130a110a0f120b323030313a6462383a3a311800228b010a0b0880e2"
        "cfaa061080e59a77127c0a0237661204504f53541a0f0a053a7061746812062f613f623d631a0b0a03782d611204312c20321a0e0a05782d6f64641205efbfbdc3bc"
        "1a090a07782d656d70747922062f613f623d632a0e6578616d706c652e636f6d3a38303205687474707348ffffffffffffffffff015206485454502f325a0568656c"
        "6c6f"
    )


def test_a_body_that_is_no_text_goes_as_bytes() -> None:
    """raw_body (12) in place of body (11): a string that is not UTF-8 would spoil the whole message."""
    head = request()
    assert text_field(11, "ü".encode()) in write_request(ATTRIBUTES, head, {}, "ü".encode())
    assert text_field(12, b"\xff\x00") in write_request(ATTRIBUTES, head, {}, b"\xff\x00")


def test_an_allowing_answer_is_read_as_protobuf_writes_it() -> None:
    """These bytes were written by the library of Protocol Buffers: every way to set a field, and what nobody here looks at."""
    response = bytes.fromhex(
        "0a001a73120e0a0c0a06582d5573657212026d65120e0a080a03782d6212013112020801120c0a080a03782d631201321200120c0a080a03782d641201331801120c"
        "0a080a03782d651201341802120c0a080a03782d6612013518032a0d417574686f72697a6174696f6e320a0a080a03782d72120136220a0a080a016112031a0162"
    )
    assert read_response(response) == Answer(
        True,
        (
            Edit(b"x-user", b"me", Action.SET),
            Edit(b"x-b", b"1", Action.ADD),
            Edit(b"x-c", b"2", Action.SET),
            Edit(b"x-d", b"3", Action.ADD_IF_ABSENT),
            Edit(b"x-e", b"4", Action.SET),
            Edit(b"x-f", b"5", Action.SET_IF_PRESENT),
        ),
        (b"authorization",),
        (Edit(b"x-r", b"6", Action.SET),),
    )


def test_a_denying_answer_is_read_as_protobuf_writes_it() -> None:
    """Status, fields and body of DeniedHttpResponse."""
    response = "0a06080712026e6f12300a03089103121b0a190a105757572d41757468656e746963617465120542617369631a0c77686f2061726520796f753f"
    expected = Answer(False, (Edit(b"www-authenticate", b"Basic", Action.SET),), status=401, body=b"who are you?")
    assert read_response(bytes.fromhex(response)) == expected


@pytest.mark.parametrize(
    ("response", "allowed"),
    [("0a00", True), ("0a020800", True), ("", True), ("1a00", True), ("0a020810", False), ("0a0b08ffffffffffffffffff01", False),
     ("1200", False), ("0a001200", False)],
)  # fmt: skip
def test_only_ok_allows(response: str, allowed: bool) -> None:
    """CheckResponse.status: OK, which an absent status is too, allows; any other denies, and so does a denied response, whatever the
    status beside it."""
    assert read_response(bytes.fromhex(response)).allowed is allowed


def test_a_raw_value_is_a_value() -> None:
    """HeaderValue.raw_value, where there is no value."""
    [edit] = read_response(bytes.fromhex("1a0e120c0a0a0a05782d7261771a01ff")).edits
    assert (edit.name, edit.value) == (b"x-raw", b"\xff")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_malformed(data: bytes) -> None:
    """Nothing else is raised, so that whatever a server says the filter fails closed."""
    try:
        read_response(data)
    except Malformed:
        pass
    assert isinstance(asking().verdict(CALL, data, WELL), Permission | LocalReply | Unusable)


# the question


def test_the_server_sees_what_was_matched_and_all_fields() -> None:
    """GRPCAuthConfig.allowedHeaders: all fields if none are listed, in lower case and joined; ours besides, and pseudo-header fields."""
    policy, head = asking(), request((b"X-A", b"1"), (b"x-a", b"2"), (b"Cookie", b"c"))
    asked = policy.asked(head, b"/matched", b"example.com")
    question, [framed] = policy.question(asked, lambda: ATTRIBUTES, [b"body"])
    assert (question.method, question.target, question.trailers) == (b"POST", b"/envoy.service.auth.v3.Authorization/Check", True)
    assert question.get(b"content-type") == b"application/grpc"
    for name, value in ((b"x-a", b"1, 2"), (b"cookie", b"c"), (b"x-forwarded-for", b"192.0.2.1"), (b":path", b"/matched?q=1"),
                        (b":authority", b"example.com"), (b":method", b"GET"), (b":scheme", b"https")):  # fmt: skip
        assert message_field(3, text_field(1, name) + text_field(2, value)) in framed
    assert b"body" not in framed


def test_listed_fields_are_all_that_is_shown() -> None:
    """Of the client's; what we say of it goes along."""
    head = request((b"X-A", b"1"), (b"Cookie", b"c"), (b"Authorization", b"a"))
    asked = asking(allowed_headers=("x-a",)).asked(head, b"/a", b"h")
    assert sorted(asked.index()) == [b"x-a", b"x-forwarded-for", b"x-request-id"]


def test_a_body_is_shown_up_to_its_limit() -> None:
    """forwardBody: what may be longer is refused before anybody is asked."""
    policy = asking(max_body=10)
    _, [framed] = policy.question(policy.asked(request(), b"/a", b"h"), lambda: ATTRIBUTES, [b"bo", b"dy"])
    assert text_field(11, b"body") in framed
    assert policy.too_large().status == 413


@pytest.mark.parametrize("fields", [{"path": "/a"}, {"allowed_response_headers": ("x",)}, {"max_body": -1}, {"allowed_headers": ("a b",)}])
def test_what_cannot_be_asked_is_refused(fields: dict[str, object]) -> None:
    """With the place of the filter."""
    with pytest.raises(ValueError, match=r"filters\[0\] \(ExternalAuth\)"):
        compile_filters((ExternalAuth("default/auth:80", protocol="GRPC", **fields),))  # type: ignore[arg-type]  # fields by name


# the answer


def test_fields_are_set_added_and_removed() -> None:
    """OkHttpResponse: headers set or append, headers_to_remove remove; however the client has spelled them."""
    add, absent, present = message_field(2, number_field(1, 1)), number_field(3, 1), number_field(3, 3)
    client = ((b"X_User", b"liar"), (b"x-role", b"guest"), (b"Authorization", b"a"), (b"x-d", b"old"))
    fields = permitted(
        allowing(
            option(b"X-User", b"me"), option(b"x-role", b"admin", add), option(b"x-d", b"new", absent), option(b"x-e", b"new", absent),
            option(b"x-f", b"new", present), option(b"x-request-id", b"9"), removed=(b"authorization", b"host", b":path"),
        ),
        *client,
    )  # fmt: skip
    assert fields == [
        (b"x-role", b"guest"),
        (b"x-d", b"old"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-user", b"me"),
        (b"x-role", b"admin"),
        (b"x-e", b"new"),
        (b"x-request-id", b"9"),
    ]


def test_framing_and_host_stay_ours() -> None:
    """They are left out, whatever the server says."""
    names = (b"content-length", b"transfer-encoding", b"connection", b"host", b"x-forwarded-for", b"te", b"upgrade", b"keep-alive")
    assert permitted(allowing(*[option(name, b"x") for name in names], removed=names)) == []


@pytest.mark.parametrize(
    "edit", [option(b"x y", b"1"), option(b"", b"1"), option(b":path", b"/"), option(b"x-a", b"1\r\nx-b: 2"), option(b"x-a", b"\0")]
)
def test_what_must_not_go_on_the_wire_spoils_the_answer(edit: bytes) -> None:
    """Fails closed: a request must not pass without what the server meant to set, and nothing may be smuggled in a value."""
    for response in (allowing(edit), allowing(answered=(edit,)), message_field(2, message_field(2, edit))):
        assert isinstance(judged(response), Unusable)


def test_fields_of_the_backends_answer_are_set() -> None:
    """response_headers_to_add."""
    permission = judged(allowing(answered=(option(b"x-r", b"1"),)))
    assert isinstance(permission, Permission)
    assert permission.edit is not None
    head = ResponseHead(200, b"OK", [(b"X-R", b"0"), (b"a", b"b")], 0)
    permission.edit(head)
    assert head.fields == [(b"a", b"b"), (b"x-r", b"1")]


@pytest.mark.parametrize(("status", "expected"), [(401, 401), (302, 302), (200, 200), (0, 403), (100, 403), (999, 403)])
def test_a_denial_is_the_clients(status: int, expected: int) -> None:
    """DeniedHttpResponse: status, 403 without a usable one, fields and body."""
    denied = message_field(1, number_field(1, status)) + message_field(2, option(b"Location", b"/login")) + text_field(3, b"who?")
    reply = judged(message_field(1, number_field(1, 16)) + message_field(2, denied))
    assert isinstance(reply, LocalReply)
    assert (reply.status, reply.body, reply.flag) == (expected, b"who?", "UAEX")
    assert reply.fields == [(b"location", b"/login"), (b"content-type", b"text/plain")]


@pytest.mark.parametrize(
    ("answer", "body", "trailers"),
    [
        (ResponseHead(404, b"", [], None), message_frame(allowing()), WELL),
        (CALL, message_frame(allowing()), [(b"grpc-status", b"14")]),
        (CALL, message_frame(allowing()), []),
        (CALL, b"", WELL),
        (CALL, b"\1" + message_frame(allowing())[1:], WELL),
        (CALL, message_frame(allowing())[:-1], WELL),
        (CALL, message_frame(allowing()) * 2, WELL),
        (CALL, message_frame(b"\x0b"), WELL),
    ],
    ids=["status", "gRPC status", "no gRPC status", "nothing", "compressed", "cut", "two messages", "malformed"],
)
def test_what_is_no_answer_allows_nothing(answer: ResponseHead, body: bytes, trailers: Fields) -> None:
    """HTTPRouteFilter.externalAuth fails closed."""
    assert isinstance(asking().verdict(answer, body, trailers), Unusable)


def test_a_status_in_the_head_counts_too() -> None:
    """Trailers-Only; UNAVAILABLE speaks against the server's endpoint."""
    answer = ResponseHead(200, b"OK", [(b"grpc-status", b"14")], None)
    assert isinstance(asking().verdict(answer, b"", []), Unusable)
    assert asking().fault(answer, []) == "answered UNAVAILABLE"
    assert asking().fault(CALL, WELL) == ""
