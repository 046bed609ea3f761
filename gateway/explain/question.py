"""A request as somebody asks about it: method, URL and fields become the bytes that a client would send.

So the proxy's own codec judges it, and what it refuses on the wire it refuses here. A client sends the URL's host and port as
Host (without the scheme's own port), as server name of TLS a host that is no address, and never the fragment.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final, Literal

import msgspec

from gateway.http.refused import Refused
from gateway.http.target import parse_authority

STREAMS: Final = ("tcp", "tls", "udp")
"""Schemes of what is passed on without looking for requests."""
PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]+)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL).fullmatch
_LINE_BREAK: Final = re.compile(r"[\r\n]").search


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `/explain` and `tidegate explain` take. A Host among the headers replaces that of the URL."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    client: str = ""
    """The address that the connection comes from; a local one unless it is given."""
    caller: str = ""
    """The verified identity of the client, namespace/account or a SPIFFE ID without its scheme; none unless it is given."""
    destination: tuple[str, int] | None = None
    """Address and port where a captured connection was going. Without it the URL's port is asked about."""
    direction: Literal["Outbound", "Inbound"] = "Outbound"
    """Of that connection."""


class Question(msgspec.Struct, frozen=True):
    """`host` is the URL's, in normal form; `server_name` what a client says in its ClientHello; `head` a whole HTTP/1.1 request head."""

    argument: Argument
    tls: bool
    host: bytes
    port: int
    server_name: bytes
    head: bytes


class StreamQuestion(msgspec.Struct, frozen=True):
    """A connection or datagram to `host`, in normal form; `server_name` is what a client of tls:// says in its ClientHello."""

    argument: Argument
    scheme: str
    host: bytes
    port: int
    server_name: bytes


def read_question(argument: Any) -> Question | StreamQuestion:
    """Raises ValueError, with what to write instead, for what no client could send."""
    try:
        asked = msgspec.convert(argument, Argument)
    except msgspec.ValidationError as error:
        raise ValueError(f"the question is not understood: {error}") from None
    parts = _URL(asked.url)
    scheme = "" if parts is None else (parts[1] or "http").lower()
    if parts is not None and scheme in STREAMS:
        return _read_stream_question(asked, scheme, parts[2], parts[3])
    if parts is None or scheme not in PORTS:
        raise ValueError(f"{asked.url!r} is not a URL of HTTP: write http:// or https://, a host, and a path; or CONNECT tcp://HOST:PORT")
    authority, target = parts[2], parts[3]
    if _LINE_BREAK(asked.method + target + "".join(name + value for name, value in asked.headers)):
        raise ValueError("a line break stands in the method, the target or a header: no client can send that as one request")
    host, port = _place(authority, asked.url)
    sent = authority.removesuffix(f":{port}") if port in (None, PORTS[scheme]) else authority
    server_name = b"" if _is_address(host) else host
    return Question(asked, scheme == "https", host, port or PORTS[scheme], server_name, _head(asked, target, sent.removesuffix(":")))


def _read_stream_question(asked: Argument, scheme: str, authority: str, path: str) -> StreamQuestion:
    if asked.method != "CONNECT" or asked.headers or path not in ("", "/"):
        raise ValueError(f"{asked.url!r}: what is passed on has no method, path or headers; write CONNECT {scheme}://{authority}")
    host, port = _place(authority, asked.url)
    if port is None:
        raise ValueError(f"{asked.url!r}: write the port, as in {scheme}://{authority}:PORT")
    return StreamQuestion(asked, scheme, host, port, b"" if scheme != "tls" or _is_address(host) else host)


def _place(authority: str, url: str) -> tuple[bytes, int | None]:
    """Host and port of a URL's authority; None for a port that is not written."""
    if "@" in authority:
        raise ValueError(f"{url!r}: write the host without user and password")
    try:
        host, written = parse_authority(authority.encode())
    except Refused as refused:
        raise ValueError(f"{url!r}: {refused.reason}") from None
    _, _, port = written.rpartition(b"]")[2].partition(b":")
    return host, int(port) if port else None


def _is_address(host: bytes) -> bool:
    try:
        ipaddress.ip_address(host.decode("latin-1").strip("[]"))
    except ValueError:
        return False
    return True


def _head(asked: Argument, target: str, authority: str) -> bytes:
    if not target and asked.method == "OPTIONS":
        target = "*"  # RFC 9112 3.2.4
    elif not target.startswith("/"):
        target = f"/{target}"
    fields = [f"{name}: {value}" for name, value in asked.headers]
    if not any(name.lower() == "host" for name, _ in asked.headers):
        fields.insert(0, f"Host: {authority}")
    return "\r\n".join((f"{asked.method} {target} HTTP/1.1", *fields, "", "")).encode("utf-8", "surrogateescape")
