"""Session persistence (SessionPersistence, GEP-1619): tokens, cookies and headers, and who is pinned where."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.ir.rule import Persistence
from gateway.policies.persistence import Sessions, Token, Tokens

SECRET = b"0123456789abcdef"
RULE = "HTTPRoute/ns/route/0"
NOW = 1_700_000_000


@dataclass(frozen=True, eq=False)
class Endpoint:
    label: bytes


A, B, C = Endpoint(b"10.0.0.1:80"), Endpoint(b"10.0.0.2:80"), Endpoint(b"10.0.0.2:81")
ALL = (A, B, C)


def sessions(rule: str = RULE, secret: bytes = SECRET, **settings: Any) -> Sessions[Endpoint]:
    settings.setdefault("type", "Cookie")
    settings.setdefault("session_name", "sid")
    return Sessions.compile(Persistence(**settings), rule, secret)


def request(*fields: tuple[bytes, bytes]) -> RequestHead:
    head = RequestHead(b"GET", b"/", None, b"a.example", b"a.example")
    head.fields = list(fields)
    return head


def pinned(which: Sessions[Endpoint], endpoint: Endpoint, now: int = NOW, secure: bool = False, fields: Fields | None = None) -> Fields:
    head = ResponseHead(200, b"OK", list(fields or []), 0)
    which.edit(head, endpoint, now, secure)
    return head.fields


def token_of(which: Sessions[Endpoint], endpoint: Endpoint, now: int = NOW) -> bytes:
    """The bare token, as a client would send it back."""
    name, value = pinned(which, endpoint, now)[-1]
    return value.partition(b";")[0].partition(b"=")[2] if name == b"set-cookie" else value


@pytest.mark.parametrize("kind", ["Cookie", "Header"])
def test_a_session_stays_with_its_endpoint(kind: str) -> None:
    """What edit() gives a client leads choose() back to the same endpoint, for either type."""
    which = sessions(type=kind, session_name="x-session")
    for endpoint in ALL:
        token = token_of(which, endpoint)
        head = request((b"X-Session", token) if kind == "Header" else (b"Cookie", b"x-session=" + token))
        tokens = which.read(head)
        assert len(tokens) == 1
        assert which.choose(tokens, ALL, NOW + 10**6) is endpoint


@pytest.mark.parametrize(
    ("settings", "secure", "attributes"),
    [
        ({}, False, b"Path=/; HttpOnly; SameSite=Strict"),
        ({}, True, b"Path=/; HttpOnly; SameSite=Strict; Secure"),
        ({"path": "/shop"}, True, b"Path=/shop; HttpOnly; SameSite=Strict; Secure"),
        ({"absolute_timeout": 60}, False, b"Path=/; HttpOnly; SameSite=Strict"),
        ({"absolute_timeout": 60, "permanent": True}, True, b"Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"),
    ],
)
def test_cookie_attributes(settings: dict[str, Any], secure: bool, attributes: bytes) -> None:
    """HttpOnly and SameSite=Strict always, Secure by TLS, Max-Age only for permanent cookies (CookieConfig.lifetimeType)."""
    ((name, value),) = pinned(sessions(**settings), A, secure=secure)
    cookie, _, rest = value.partition(b"; ")
    assert (name, cookie[:4], rest) == (b"set-cookie", b"sid=", attributes)


def test_backend_cookies_stay() -> None:
    """Set-Cookie fields of the backend are kept; ours is one more."""
    fields = pinned(sessions(), A, fields=[(b"Set-Cookie", b"app=1")])
    assert [name for name, _ in fields] == [b"Set-Cookie", b"set-cookie"]


def test_session_header_is_ours() -> None:
    """A header of the session's name that the backend sets is replaced, so that the client learns one value."""
    which = sessions(type="Header", session_name="X-Session")
    fields = pinned(which, A, fields=[(b"x-SESSION", b"backend"), (b"etag", b"1")])
    assert [name for name, _ in fields] == [b"etag", b"x-session"]


def test_rules_never_share_sessions() -> None:
    """A token of one rule is genuine for another, but leads nowhere there (GEP-1619: sessions are scoped to the rule)."""
    one, other = sessions(), sessions("HTTPRoute/ns/route/1")
    tokens = other.read(request((b"cookie", b"sid=" + token_of(one, A))))
    assert len(tokens) == 1
    assert other.choose(tokens, ALL, NOW) is None


def test_tokens_disclose_no_address() -> None:
    """Without the secret a token is time and noise: another secret gives another token for the same endpoint."""
    marks = {Tokens(secret).mark(b"rule", A.label) for secret in (SECRET, SECRET[::-1], b"x" * 100)}
    assert len(marks) == 3
    raw = base64.urlsafe_b64decode(token_of(sessions(), A))
    assert A.label not in raw
    assert b"10.0.0.1" not in raw


def test_other_workers_understand_each_other() -> None:
    """Two compilations with one secret read each other's tokens: nothing is kept in a table."""
    tokens = sessions().read(request((b"cookie", b"sid=" + token_of(sessions(), B))))
    assert sessions().choose(tokens, ALL, NOW) is B


def test_absolute_timeout() -> None:
    """A session ends absoluteTimeout after it began, whatever the client keeps."""
    which = sessions(absolute_timeout=60)
    tokens = which.read(request((b"cookie", b"sid=" + token_of(which, A))))
    assert which.choose(tokens, ALL, NOW + 59) is A
    assert which.choose(tokens, ALL, NOW + 60) is None


def test_an_endpoint_that_is_gone_is_pinned_anew() -> None:
    """Without the endpoint there is no choice; when it returns, the session finds it again."""
    which = sessions()
    tokens = which.read(request((b"cookie", b"sid=" + token_of(which, A))))
    assert which.choose(tokens, (B, C), NOW) is None
    assert which.choose(tokens, (C, B, A), NOW) is A
    assert which.choose(tokens, (), NOW) is None


def test_several_cookies_of_one_name() -> None:
    """A client may send several cookies of one name, in one field or more (RFC 6265 5.4): the first that leads somewhere counts."""
    which, gone = sessions(), Endpoint(b"10.0.0.9:80")
    head = request(
        (b"cookie", b"a=1; sid=app-value; sid=" + token_of(which, gone)),
        (b"Cookie", b"sid=" + token_of(which, B) + b";sid=" + token_of(which, A) + b" ; =; x"),
    )
    tokens = which.read(head)
    assert len(tokens) == 3
    assert which.choose(tokens, ALL, NOW) is B


def test_strip_takes_only_what_is_ours() -> None:
    """The backend does not see our cookies, and keeps all others, even of the same name; an emptied Cookie field is left out."""
    which = sessions()
    ours = b"sid=" + token_of(which, A)
    head = request((b"Cookie", b"a=1; " + ours + b"; sid=theirs; b=2"), (b"cookie", ours), (b"x", ours))
    assert head.get(b"cookie") is not None
    which.strip(head)
    assert head.fields == [(b"Cookie", b"a=1; sid=theirs; b=2"), (b"x", ours)]
    assert head.get(b"cookie") == b"a=1; sid=theirs; b=2"


def test_strip_of_a_header() -> None:
    """A header with our token is taken out, one with the backend's own value stays."""
    which = sessions(type="Header", session_name="x-session")
    head = request((b"X-Session", token_of(which, A)), (b"x-session", b"theirs"), (b"cookie", b"x-session=1"))
    which.strip(head)
    assert head.fields == [(b"x-session", b"theirs"), (b"cookie", b"x-session=1")]


_tokens = Tokens(SECRET)


@given(st.integers(0, 2**40 - 1), st.binary(max_size=40))
def test_round_trip(issued: int, label: bytes) -> None:
    """Time and mark come back as they went in, as 32 characters that a cookie may hold."""
    mark = _tokens.mark(b"rule", label)
    text = _tokens.write(issued, mark)
    assert len(text) == 32
    assert _tokens.read(text) == Token(issued, mark)


@given(st.binary(max_size=80))
@example(base64.urlsafe_b64encode(bytes(24)))
@example(base64.urlsafe_b64encode(b"\x01" + bytes(23)))
@example(b"A" * 31 + b"\n")
@example(b"\xff" * 32)
def test_random_bytes_are_no_token(noise: bytes) -> None:
    """What the proxy did not write is no token, and never an error."""
    assert _tokens.read(noise) is None
    assert sessions().read(request((b"cookie", noise), (b"cookie", b"sid=" + noise), (noise, noise))) == []


@given(st.integers(0, 31), st.integers(0, 63))
def test_forgery(position: int, replacement: int) -> None:
    """A token with any character changed is refused: neither the time nor the endpoint can be chosen by the client."""
    text = _tokens.write(NOW, _tokens.mark(b"rule", A.label))
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    forged = text[:position] + alphabet[replacement : replacement + 1] + text[position + 1 :]
    assert forged == text or _tokens.read(forged) is None
    assert Tokens(SECRET + b"!").read(text) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"session_name": ""},
        {"session_name": "a b"},
        {"session_name": "a=b"},
        {"type": "Header", "session_name": "Content-Length"},
        {"path": "shop"},
        {"path": "/a;b"},
        {"path": "/a\r\n"},
        {"path": ""},
        {"permanent": True},
        {"secret": b"short"},
    ],
)
def test_refused_settings(settings: dict[str, Any]) -> None:
    """Names are tokens, paths can stand in a cookie, permanent cookies have an end, secrets cannot be guessed."""
    with pytest.raises(ValueError, match="sessionPersistence: "):
        sessions(**settings)
