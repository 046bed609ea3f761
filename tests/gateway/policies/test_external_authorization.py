"""External authorization as values: what is asked, and what an answer does to a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.compile import compile_filters
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.ir.filters import AnyFilter, ExternalAuth, RequestHeaderModifier
from gateway.policies.external_authorization import ExternalAuthorization

OURS = b"x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\nx-request-id: 7\r\n"
NAMES = st.from_regex(r"[xX]-[a-cA-C_.-]{1,3}", fullmatch=True).map(str.encode)


def asking(**fields: object) -> ExternalAuthorization:
    return ExternalAuthorization.compile(ExternalAuth("default/auth:80", **fields))  # type: ignore[arg-type]  # fields by name


def request(*fields: tuple[bytes, bytes], path: bytes = b"/a") -> RequestHead:
    head = RequestHead(b"GET", path, b"q=1", b"example.com", b"example.com")
    head.fields, head.forwarded = list(fields), OURS
    return head


def answer(*fields: tuple[bytes, bytes]) -> ResponseHead:
    return ResponseHead(200, b"OK", list(fields), 0)


def test_a_question_carries_no_secrets_that_are_not_listed() -> None:
    """Authorization always (HTTPAuthConfig), a cookie or anything else only by name."""
    head = request((b"AUTHORIZATION", b"x"), (b"Cookie", b"y"), (b"X-Other", b"z"))
    assert asking().asked(head, b"/a", b"example.com").fields == [(b"AUTHORIZATION", b"x")]
    assert asking(allowed_headers=("cookie",)).asked(head, b"/a", b"h").fields == [(b"AUTHORIZATION", b"x"), (b"Cookie", b"y")]


def test_our_fields_go_along_folded_or_not() -> None:
    """What we say of the client is in the question once, whether a filter has unfolded the head or not."""
    folded, unfolded = request(), request()
    unfolded.unfold()
    one, other = (asking().asked(head, b"/a", b"h") for head in (folded, unfolded))
    assert (one.fields, one.forwarded) == ([], OURS)
    assert (len(other.fields), other.forwarded) == (3, b"")


@pytest.mark.parametrize(
    ("prefix", "path", "asked"),
    [("", b"/a", b"/a"), ("/p", b"/a", b"/p/a"), ("/p/q", b"//a", b"/p/q//a"), ("", b"*", b"*"), ("/p", b"*", b"/p")],
)
def test_the_prefix_stands_before_the_path(prefix: str, path: bytes, asked: bytes) -> None:
    """`http.path`; an asterisk has no path to stand before."""
    assert asking(path=prefix).asked(request(), path, b"h").path == asked


@given(st.lists(st.tuples(NAMES, st.just(b"client"))), st.lists(st.tuples(NAMES, st.just(b"server"))), st.sets(NAMES, min_size=1))
def test_a_listed_field_is_the_servers_in_every_spelling(client: Fields, server: Fields, listed: set[bytes]) -> None:
    """However a client spells a listed name, in any case and with '_' or '.' for '-', its value does not reach the backend."""
    names = tuple(sorted({name.lower().decode() for name in listed}))
    head = request(*client)
    asking(allowed_response_headers=names).permit(head, answer(*server))
    alike = {name.replace("_", "-").replace(".", "-").encode() for name in names}
    for name, value in head.fields:
        if value == b"client":
            assert name.lower().replace(b"_", b"-").replace(b".", b"-") not in alike
        else:
            assert name.lower().decode() in names
    assert [pair for pair in head.fields if pair[1] == b"server"] == [pair for pair in server if pair[0].lower().decode() in names]


def test_without_a_list_the_clients_other_fields_stay() -> None:
    """All fields of the answer count but those of its own content; fields that it does not have are the client's."""
    head = request((b"X-User", b"c"), (b"X-Own", b"c"), (b"Content-Type", b"c"))
    asking().permit(head, answer((b"x-user", b"s"), (b"content-type", b"s"), (b"x-real-ip", b"s"), (b"Set-Cookie", b"s")))
    assert head.fields == [(b"X-Own", b"c"), (b"Content-Type", b"c"), (b"x-user", b"s"), (b"Set-Cookie", b"s")]
    assert head.forwarded == OURS


def test_a_listed_field_of_ours_is_replaced() -> None:
    """The head is unfolded, so that there are not two of them; and an index made before does not survive."""
    head = request()
    assert head.get(b"x-request-id") == b"7"
    asking(allowed_response_headers=("x-request-id",)).permit(head, answer((b"X-Request-Id", b"8")))
    assert (head.get(b"x-request-id"), head.forwarded) == (b"8", b"")


@pytest.mark.parametrize(
    "bad",
    [{"path": "a"}, {"path": "/a/"}, {"path": "/a//b"}, {"path": "/a b"}, {"path": "/a\r\nb"}, {"path": "/a?b"}, {"max_body": -1}]
    + [{"allowed_headers": (name,)} for name in ("", "a b", "a:", "a\r\n", "ä")],
    ids=str,
)
def test_what_must_not_go_on_the_wire_is_refused(bad: dict[str, object]) -> None:
    """Resources may come from elsewhere than our translation: the rule is then rejected with a reason."""
    with pytest.raises(ValueError, match=r"prefix|negative|no name"):
        asking(**bad)


def test_framing_is_never_listed() -> None:
    """Names that the codec writes anew change nothing in a list, and an answer cannot set them."""
    head = request()
    listed = asking(allowed_headers=("host", "content-length", "connection"), allowed_response_headers=("host", "transfer-encoding", "x-a"))
    listed.permit(head, answer((b"host", b"evil"), (b"transfer-encoding", b"chunked"), (b"x-a", b"1")))
    assert (head.fields, head.authority) == ([(b"x-a", b"1")], b"example.com")


def test_filters_are_split_where_the_question_is() -> None:
    """Filters listed before it run before, those after it only after the permission; there is one question in a list."""
    edit = RequestHeaderModifier(set=(("a", "b"),))
    question = ExternalAuth("default/auth:80")
    filters = compile_filters((edit, question, edit, edit))
    assert (len(filters.request), len(filters.authorized), filters.edits_request) == (1, 2, True)
    twice: tuple[AnyFilter, ...] = (question, question)
    with pytest.raises(ValueError, match="second"):
        compile_filters(twice)
