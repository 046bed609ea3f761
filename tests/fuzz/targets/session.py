"""Cookies and fields of session persistence: only what was written here is believed, and nothing else is taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.http.head import RequestHead, ResponseHead
from gateway.ir.rule import Persistence
from gateway.policies.persistence import Sessions, Tokens

SECRET: Final = b"thirty-two bytes of a secret....."
ISSUED: Final = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Here:
    """An endpoint."""

    label: bytes


ENDPOINTS: Final = (Here(b"10.0.0.1:80"), Here(b"10.0.0.2:80"))
TOKENS: Final = Tokens(SECRET)
GENUINE: Final = TOKENS.write(ISSUED, TOKENS.mark(b"rule", ENDPOINTS[1].label))
"""Stands wherever an input says @."""
COOKIES: Final[Sessions[Here]] = Sessions.compile(Persistence(session_name="s", type="Cookie"), "rule", SECRET)
FIELDS: Final[Sessions[Here]] = Sessions.compile(Persistence(session_name="s", type="Header"), "rule", SECRET)


def run(data: bytes) -> None:
    """`data` is values of Cookie, or of the field, one a line; `@` is a genuine token."""
    values = [line.replace(b"@", GENUINE) for line in data.split(b"\n")]
    check(COOKIES, b"Cookie", values, [b"s=" + GENUINE in parts(value) for value in values])
    check(FIELDS, b"S", values, [value == GENUINE for value in values])
    for value in values:
        token = TOKENS.read(value)
        assert token is None or TOKENS.write(token.issued, token.mark) == value


def parts(value: bytes) -> list[bytes]:
    return [part.strip(b" \t") for part in value.split(b";")]


def check(sessions: Sessions[Here], name: bytes, values: list[bytes], genuine: list[bool]) -> None:
    head = RequestHead(b"GET", b"/", None, b"a", b"a")
    head.fields = [(name, value) for value in values] + [(b"X", GENUINE)]
    tokens = sessions.read(head)
    assert bool(tokens) == any(genuine)
    assert sessions.choose(tokens, ENDPOINTS, ISSUED) is (ENDPOINTS[1] if tokens else None)
    sessions.strip(head)
    assert not sessions.read(head), "a token reaches the backend"
    assert head.fields[-1] == (b"X", GENUINE)
    kept = [value for _, value in head.fields[:-1]]
    if sessions is COOKIES:
        assert [part for value in kept for part in parts(value)] == [
            part for value in values for part in parts(value) if part and part != b"s=" + GENUINE
        ]
    else:
        assert kept == [value for value in values if value != GENUINE]
    answer = ResponseHead(200, b"OK", [], 0)
    sessions.edit(answer, ENDPOINTS[0], ISSUED, secure=True)
    assert len(answer.fields) == 1
