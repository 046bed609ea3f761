"""Lines of the access log: whatever a client wrote, each is one line of ASCII, one JSON object, and says what the client wrote."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Final, cast

from gateway.http.head import RequestHead
from gateway.http.refused import Refused
from gateway.http.target import parse_authority
from gateway.net.peer import NOBODY
from gateway.proxy.client_connection import ClientConnection
from gateway.proxy.exchange import Exchange
from gateway.proxy.rule import Account
from gateway.telemetry.access_log import LineFormat, client_fragment
from gateway.telemetry.counters import CounterLabels, Counters
from tests.fuzz.endpoint import lone_endpoint

_ENDPOINT: Final = lone_endpoint()
_JSON: Final = LineFormat("json")
_TEXT: Final = LineFormat("text")
_columns = re.compile(r'"(?:[^"]*)"|[^ "\n]+').findall
_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


def run(data: bytes) -> None:
    """`data` is a method, a target, an authority and a path, one a line; the last may hold anything."""
    method, target, authority, path = (*data.split(b"\n", 3), b"", b"", b"", b"")[:4]
    method = method if _token(method) else b"-"
    exchange = exchange_of(method, target, authority, path)
    line = _JSON.line(exchange)
    said = json.loads(line)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert (said["method"], said["target" if "target" in said else "path"]) == (method.decode(), target.decode("latin-1"))
    assert said["authority"] == authority.decode("latin-1")
    assert said["reason"] == reason_of(authority)
    text = _TEXT.line(exchange)
    assert text.isascii()
    assert text.count(b"\n") == 1
    assert text.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in text[:-1])
    plain = _TEXT.line(exchange_of(method, b"/", b"a", b""))
    assert len(_columns(text.decode())) == len(_columns(plain.decode())), text


def reason_of(authority: bytes) -> str:
    """A reason that repeats what a client sent."""
    try:
        parse_authority(authority)
    except Refused as refused:
        return refused.reason
    return "no reason"


def exchange_of(method: bytes, target: bytes, authority: bytes, path: bytes) -> Exchange:
    """One that a client of 10.0.0.9 had, and that has ended."""
    fragment, address = client_fragment(b"TLSv1.3", b"00ff"), b"10.0.0.9"
    client = SimpleNamespace(core=None, port=None, listener=None, address=address, fragment=fragment, origin=NOBODY)
    exchange = Exchange(cast(ClientConnection, client), RequestHead(method, path, None, authority, b""))
    exchange.asked = target, authority
    exchange.matched_path = b"/normal"
    labels = CounterLabels("default/web", "http")
    exchange.account = Account(Counters(labels), labels)
    exchange.endpoint = _ENDPOINT
    exchange.ended = exchange.began
    exchange.status, exchange.flag, exchange.reason, exchange.request_id = 400, "DPE", reason_of(authority), b"0123"
    return exchange
