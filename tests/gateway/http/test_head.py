"""Heads as filters and both codecs see them."""

from __future__ import annotations

from gateway.http.head import RequestHead, ResponseHead


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    made = RequestHead(b"GET", b"/a", None, b"A.example:80", b"a.example")
    made.fields = list(fields)
    return made


def test_the_target_is_path_and_query() -> None:
    """Origin form (RFC 9112 3.2.1): an empty query is not the same as none."""
    made = head()
    assert made.target == b"/a"
    made.query = b""
    assert made.target == b"/a?"
    made.query = b"b=c"
    assert made.target == b"/a?b=c"


def test_repeated_fields_are_one_list() -> None:
    """Joined by a comma, Cookie by a semicolon (RFC 9110 5.3, RFC 6265 5.4); names without case."""
    made = head((b"A", b"1"), (b"Cookie", b"x=1"), (b"a", b"2"), (b"cookie", b"y=2"), (b"B", b""))
    assert (made.get(b"a"), made.get(b"cookie"), made.get(b"b"), made.get(b"c")) == (b"1, 2", b"x=1; y=2", b"", None)


def test_host_is_the_authority() -> None:
    """Host is no field of `fields`; who asks for it gets what is forwarded."""
    assert head().get(b"host") == b"A.example:80"


def test_edits_are_seen_after_changed() -> None:
    """The index is made once, and anew after `changed`."""
    made = head((b"A", b"1"))
    assert made.get(b"a") == b"1"
    made.fields = [(b"A", b"2")]
    made.changed()
    assert made.get(b"a") == b"2"


def test_forwarded_fields_become_ordinary_when_filters_ask_for_them() -> None:
    """After `unfold` filters see, edit and remove what the proxy adds, once."""
    made = head((b"A", b"1"))
    assert made.get(b"x-forwarded-proto") is None
    made.forwarded = b"x-forwarded-proto: http\r\nx-forwarded-host: a: b\r\n"
    made.unfold()
    made.unfold()
    assert made.forwarded == b""
    assert made.fields == [(b"A", b"1"), (b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"a: b")]
    assert made.get(b"x-forwarded-proto") == b"http"


def test_edits_of_a_copy_do_not_reach_the_original() -> None:
    """A mirror or another attempt has a head of its own, with the same meaning."""
    made = head((b"A", b"1"))
    made.query, made.length, made.version, made.upgrade = b"q", None, b"1.0", b"websocket"
    made.expects = made.trailers = True
    made.forwarded = b"x: y\r\n"
    copy = made.copy()
    own = ("_index", "identity", "forwarded_for", "keep_alive")  # of the client's connection alone
    for name in set(RequestHead.__slots__).difference(own):
        assert getattr(copy, name) == getattr(made, name), name
    copy.fields.append((b"B", b"2"))
    copy.unfold()
    assert made.fields == [(b"A", b"1")]
    assert made.forwarded == b"x: y\r\n"


def test_a_response_gives_the_first_value_of_a_field() -> None:
    """Names without case (RFC 9110 5.1)."""
    made = ResponseHead(200, b"OK", [(b"A", b"1"), (b"a", b"2")], 0)
    assert (made.get(b"a"), made.get(b"b")) == (b"1", None)
