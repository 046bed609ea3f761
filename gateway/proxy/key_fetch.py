"""Fetches a document of an issuer: its JWK Set, or the OpenID configuration that names where the set is.

One GET on a connection of its own, without redirects, of bounded size, and within a time that whoever asks has set. TLS is verified by
the roots of the system. Imported where keys are fetched and nowhere else.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from gateway.policies.token import read_object
from gateway.policies.token_keys import LONGEST_SET

_READ: Final = 16 << 10
_HEAD_LIMIT: Final = 32 << 10
_PORTS: Final = {"http": 80, "https": 443}


class FetchFailed(Exception):
    """Why there are no keys, with the URL."""


async def fetch_keys(url: str, *, discovery: bool, timeout: float) -> bytes:
    """The text of a JWK Set, not read yet. With `discovery` the URL is that of the OpenID configuration. Raises FetchFailed; `timeout`
    is for all of it, in seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await _get(await _discovered(url) if discovery else url)
    except TimeoutError:
        raise FetchFailed(f"{url} has not answered within {timeout:g} s") from None


async def _discovered(url: str) -> str:
    """Where the set is (OpenID Connect Discovery 1.0, 3). Encrypted in transit, if the configuration was."""
    try:
        found = read_object(await _get(url)).get("jwks_uri")
    except ValueError as fault:
        raise FetchFailed(f"{url} is no OpenID configuration: {fault}") from None
    if not isinstance(found, str) or not found.startswith(("https://", "http://")):
        raise FetchFailed(f"{url} is no OpenID configuration: it has no 'jwks_uri'")
    if url.startswith("https:") and not found.startswith("https:"):
        raise FetchFailed(f"{url} leads to {found}, which is not encrypted")
    return found


async def _get(url: str) -> bytes:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        if not parts.hostname or parts.username is not None:
            raise ValueError
    except (KeyError, ValueError):
        raise FetchFailed(f"{url} is no URL of http or https without user and password") from None
    try:
        context = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "https" else None
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    except (OSError, UnicodeError) as fault:
        raise FetchFailed(f"{url} cannot be reached: {fault}") from None
    try:
        return await _Question(url, parts).ask(reader, writer)
    except (OSError, h11.RemoteProtocolError) as fault:
        raise FetchFailed(f"{url} has not answered: {fault}") from None
    finally:
        writer.transport.abort()  # nothing more is expected, and nobody waits for an orderly end


class _Question:
    """One exchange."""

    __slots__ = ("_body", "_connection", "_parts", "_url")

    def __init__(self, url: str, parts: SplitResult) -> None:
        self._url, self._parts = url, parts
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        self._body = bytearray()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        parts, connection = self._parts, self._connection
        host = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
        headers = [(b"host", host), (b"accept", b"application/json"), (b"user-agent", b"tidegate"), (b"connection", b"close")]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            sent = connection.send(h11.Request(method="GET", target=target, headers=headers)) or b""
        except (h11.LocalProtocolError, UnicodeError):
            raise FetchFailed(f"{self._url} cannot be asked for: escape what is no character of a URL") from None
        writer.write(sent + (connection.send(h11.EndOfMessage()) or b""))
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(_READ)
                if not data and connection.their_state is h11.SEND_RESPONSE:
                    raise FetchFailed(f"{self._url} closed the connection without an answer")
                connection.receive_data(data)
            elif isinstance(event, h11.Response):
                self._judge(event)
            elif isinstance(event, h11.Data):
                self._take(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return bytes(self._body)
            elif not isinstance(event, h11.InformationalResponse):
                raise FetchFailed(f"{self._url} closed the connection before the end of its answer")

    def _judge(self, answer: h11.Response) -> None:
        if answer.status_code == 200:
            return
        target = dict(answer.headers).get(b"location", b"").decode("latin-1")
        led = f", to {target}; write that URL" if target else ""
        raise FetchFailed(f"{self._url} answers with status {answer.status_code}{led}")

    def _take(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > LONGEST_SET:
            raise FetchFailed(f"{self._url} answers with more than {LONGEST_SET} bytes")
