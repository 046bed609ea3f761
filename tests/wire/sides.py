"""The two sides of a gateway in every protocol, each with one interface: what a client asks and gets, what a backend gets and answers.

Clients speak HTTP/1.1, HTTP/2 with prior knowledge and HTTP/2 by ALPN; backends HTTP/1.1 and h2c, and over TLS whichever ALPN chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import h11

from tests.certificates import Authority
from tests.wire.backends import Scripted
from tests.wire.http2_backends import Http2Echo, Http2Plan, http2_service, tls_of
from tests.wire.http2_clients import Http2Client, offering_h2
from tests.wire.peers import Recorder, Wire, chunked
from tests.wire.secure import TlsBackend, backend_policy, gateway, https, trust
from tests.wire.serving import Site, certificate, service

Fields = tuple[tuple[str, str], ...]
ClientName = Literal["HTTP/1.1", "HTTP/2", "HTTP/2 by ALPN"]
BackendName = Literal["HTTP/1.1", "h2c", "TLS http/1.1", "TLS h2"]
CLIENTS: tuple[ClientName, ...] = ("HTTP/1.1", "HTTP/2", "HTTP/2 by ALPN")
BACKENDS: tuple[BackendName, ...] = ("HTTP/1.1", "h2c", "TLS http/1.1", "TLS h2")
AUTHORITY = Authority()


@dataclass(frozen=True, slots=True)
class Got:
    """A message as a peer got it."""

    status: int
    """0 for a request."""
    method: str
    fields: Fields
    body: bytes
    trailers: Fields
    informational: tuple[int, ...] = ()

    def value(self, name: str) -> str | None:
        """The only value of a field; None if it is absent."""
        values = [value for other, value in self.fields if other == name]
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be sent: a request, or a response if it has a status. Without `counted` its length is not said beforehand."""

    method: str = "GET"
    status: int = 0
    fields: Fields = ()
    body: bytes = b""
    counted: bool = True
    trailers: Fields = ()


class Asking(Protocol):
    def ask(self, message: Message) -> Got:
        """One request and its response; the connection is kept."""


class Answering(Protocol):
    port: int

    def plan(self, message: Message) -> None:
        """The answer to the next request."""

    def requests(self) -> list[Got]:
        """So far."""


@dataclass(slots=True)
class Http1Client:
    wire: Wire

    def ask(self, message: Message) -> Got:
        self.wire.send(_http1(f"{message.method} / HTTP/1.1\r\nHost: example.com\r\n", message, not message.body))
        response = self.wire.response(message.method)
        return Got(response.status, "", response.fields, response.body, response.trailers, response.informational)


def _http1(begin: str, message: Message, bare: bool = False) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in message.fields]
    if message.trailers or not message.counted:
        lines.append("transfer-encoding: chunked\r\n")
    elif not bare:
        lines.append(f"content-length: {len(message.body)}\r\n")
    head = (begin + "".join(lines) + "\r\n").encode("latin-1")
    if not message.trailers and message.counted:
        return head + message.body
    trailers = "".join(f"{name}: {value}\r\n" for name, value in message.trailers).encode("latin-1")
    size = 100_000
    return head + chunked(*[message.body[at : at + size] for at in range(0, len(message.body), size)], trailers=trailers)


@dataclass(slots=True)
class Http2Asking:
    client: Http2Client
    scheme: str

    def ask(self, message: Message) -> Got:
        length = (("content-length", str(len(message.body))),) if message.body and message.counted else ()
        empty = not message.body and message.counted and not message.trailers
        answer = self.client.ask(
            method=message.method,
            scheme=self.scheme,
            fields=(*message.fields, *length),
            body=None if empty else message.body,
            trailers=message.trailers,
        )
        return Got(answer.status, "", answer.fields, answer.body, answer.trailers, tuple(answer.informational))


class Http1Answering:
    """A Recorder on a plain port or behind TLS."""

    def __init__(self, recorder: Recorder, port: int) -> None:
        self._recorder, self.port = recorder, port

    def plan(self, message: Message) -> None:
        self._recorder._answers.append(_http1(f"HTTP/1.1 {message.status} x\r\n", message, message.status in (204, 304)))

    def requests(self) -> list[Got]:
        return [self._read(request.head + request.body) for request in self._recorder.requests]

    def _read(self, data: bytes) -> Got:
        """As h11 reads it."""
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(data)
        head, body = reader.next_event(), b""
        assert isinstance(head, h11.Request)
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            body += event.data
        return Got(0, head.method.decode(), _text(head.headers), body, _text(event.headers))


def _text(headers: h11._headers.Headers | list[tuple[bytes, bytes]]) -> Fields:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


class Http2Answering:
    def __init__(self, echo: Http2Echo) -> None:
        self._echo, self.port = echo, echo.port

    def plan(self, message: Message) -> None:
        length = (("content-length", str(len(message.body))),) if message.counted and message.status not in (204, 304) else ()
        self._echo.plan(Http2Plan(message.status, (*message.fields, *length), message.body, message.trailers))

    def requests(self) -> list[Got]:
        return [Got(0, got.method, got.fields, got.body, getattr(got, "trailers", ())) for got in self._echo.requests]


@contextmanager
def backend(name: BackendName, folder: Path) -> Iterator[tuple[Answering, str]]:
    """A backend, and the objects of a Service `pool` that leads to it."""
    pair = AUTHORITY.issue("backend.example")
    policy = "\n---\n".join((backend_policy("pool", "backend.example", "trusted"), trust("trusted", AUTHORITY)))
    with ExitStack() as stack:
        answering: Answering
        match name:
            case "HTTP/1.1":
                recorder = Recorder()
                answering = Http1Answering(recorder, stack.enter_context(closing(Scripted(recorder))).port)
                yield answering, service("pool", answering.port)
            case "TLS http/1.1":
                secure = stack.enter_context(closing(TlsBackend(folder, pair)))
                yield Http1Answering(secure.recorder, secure.port), "\n---\n".join((service("pool", secure.port), policy))
            case "h2c":
                answering = Http2Answering(stack.enter_context(closing(Http2Echo("pool"))))
                yield answering, http2_service("pool", answering.port)
            case "TLS h2":
                answering = Http2Answering(stack.enter_context(closing(Http2Echo("pool", tls=tls_of(pair, folder)))))
                yield answering, "\n---\n".join((service("pool", answering.port), policy))


LISTENERS = "\n---\n".join(
    (
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}, https("https", "pair")),
        certificate("pair", AUTHORITY.issue("example.com")),
    )
)
"""What each client finds a port in."""


@contextmanager
def client(name: ClientName, site: Site) -> Iterator[Asking]:
    """A client on one connection."""
    if name == "HTTP/1.1":
        with Wire(site) as wire:
            yield Http1Client(wire)
    elif name == "HTTP/2":
        with Http2Client(site.address()) as plain:
            yield Http2Asking(plain, "http")
    else:
        with Http2Client(site.address(443), tls=offering_h2(AUTHORITY), server_name="example.com") as secure:
            yield Http2Asking(secure, "https")


Serve = Callable[..., Site]
