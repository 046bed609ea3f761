"""What is passed on over TLS has directions that end one by one, as in plain: close_notify is the end of one (RFC 8446 6.1)."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest

from gateway.ir.backend import BackendTls
from gateway.ir.listener import ClientValidation, TrustBundle
from gateway.ir.value import Source
from gateway.relay.relay import Relay
from tests.certificates import Authority
from tests.wire import meshes
from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.half_closing import PlainEnd, TlsEnd
from tests.wire.secure import trusting
from tests.wire.streaming import StreamSite, backend, is_reset, listener, reset, serving, tcp_rule, tls_rule

MakeScripted = Callable[..., Scripted]
LARGE = bytes(range(256)) * 16_384
"""4 MiB: more than connections hold."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


class Way(NamedTuple):
    """Which sides of a relay are over TLS, and which version they speak; `fallback` at a listener with AllowInsecureFallback."""

    client: bool
    backend: bool
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    fallback: bool = False

    def __str__(self) -> str:
        sides = [name for name, secure in (("client", self.client), ("backend", self.backend)) if secure]
        return "-".join((*sides, self.newest.name, *(["fallback"] if self.fallback else [])))


WAYS = [
    Way(client, server, version)
    for client, server in ((True, False), (False, True), (True, True))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
]
EVERY_WAY = pytest.mark.parametrize("way", [*WAYS, Way(client=True, backend=False, fallback=True)], ids=str)


class Relayed:
    """A site with one relay, and both ends of its connections."""

    def __init__(self, way: Way, authority: Authority, folder: Path, script: Callable[[PlainEnd], None], scripted: MakeScripted) -> None:
        self._way, self._authority = way, authority
        context = serving(authority, "db.test", folder)
        context.maximum_version = way.newest

        def converse(conversation: Conversation) -> None:
            raw = conversation.connection
            script(TlsEnd(raw, context) if way.backend else PlainEnd(raw))

        port = scripted(converse).port
        bundle = TrustBundle(key="default/ca", source=Source("ConfigMap", "default", "ca"), certificates=authority.certificate)
        described = backend("db", port, tls=BackendTls("db.test", ("default/ca",)) if way.backend else None)
        fields: dict[str, Any] = {"certificates": ("default/certificate",)} if way.client else {}
        if way.fallback:
            fields["client_validation"] = ClientValidation(("default/ca",), "AllowInsecureFallback")
        listening = listener("db", 5432, "TLS" if way.client else "TCP", **fields)
        rule = tls_rule("db", "db") if way.client else tcp_rule("db", "db")
        self.site = StreamSite(authority.issue("a.test").resource(), bundle, listening, described, rule)
        assert self.site.rejections == ()

    def __enter__(self) -> Relayed:
        self.site.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self.site.__exit__(*what)

    @contextmanager
    def client(self) -> Iterator[PlainEnd]:
        with self.site.connect(5432) as raw:
            if not self._way.client:
                yield PlainEnd(raw)
                return
            context = trusting(self._authority)
            context.maximum_version = self._way.newest
            yield TlsEnd(raw, context, "a.test")


@EVERY_WAY
def test_a_client_that_has_sent_all_gets_a_large_answer(way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """The backend is told of the end at once, and answers only then."""

    def answer(end: PlainEnd) -> None:
        question = end.recv_all()
        end.send(question + LARGE)
        end.end()

    with Relayed(way, authority, tmp_path, answer, scripted) as relayed:
        with relayed.client() as client:
            client.send(b"question")
            client.end()
            assert client.recv_all() == b"question" + LARGE
        [line] = relayed.site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("-", None)
        assert (line["bytes_received"], line["bytes_sent"]) == (8, 8 + len(LARGE))


@EVERY_WAY
def test_a_client_goes_on_after_its_backend_has_ended(way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """The client is told of the end at once, and sends its own only then."""
    received: list[bytes] = []

    def greet(end: PlainEnd) -> None:
        end.send(LARGE)
        end.end()
        received.append(end.recv_all())

    with Relayed(way, authority, tmp_path, greet, scripted) as relayed:
        with relayed.client() as client:
            assert client.recv_all() == LARGE
            client.send(LARGE)
            client.end()
            [line] = relayed.site.log.wait_for(1)
        assert received == [LARGE]
        assert (line["flags"], line["reason"]) == ("-", None)


@EVERY_WAY
def test_a_client_that_ends_without_close_notify_is_noted(
    way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path
) -> None:
    """Its backend gets what came and an end, as with other proxies; the log says of a TLS client that it may have been cut off."""

    def answer(end: PlainEnd) -> None:
        end.send(end.recv_all())
        end.end()

    with Relayed(way, authority, tmp_path, answer, scripted) as relayed:
        with relayed.client() as client:
            client.send(b"question")
            client.raw.shutdown(socket.SHUT_WR)
            assert client.recv_all() == b"question"
        [line] = relayed.site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("-", "the client ended without close_notify" if way.client else None)


@pytest.mark.parametrize("way", [way for way in WAYS if way.backend], ids=str)
def test_a_backend_that_ends_without_close_notify_is_noted(
    way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path
) -> None:
    """As a client that does."""

    def leave(end: PlainEnd) -> None:
        end.send(b"all of it?")
        end.raw.shutdown(socket.SHUT_WR)
        end.recv_all()

    with Relayed(way, authority, tmp_path, leave, scripted) as relayed:
        with relayed.client() as client:
            assert client.recv_all() == b"all of it?"
            client.end()
        [line] = relayed.site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("-", "the backend ended without close_notify")


@EVERY_WAY
def test_a_reset_of_a_client_is_passed_on(way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """After its backend has ended its own direction, too."""
    found: list[bool] = []
    done = Event()

    def wait(end: PlainEnd) -> None:
        end.recv()
        end.end()
        end.raw.settimeout(LIMIT)
        found.append(is_reset(end.raw))
        done.set()

    with Relayed(way, authority, tmp_path, wait, scripted) as relayed, relayed.client() as client:
        client.send(b"question")
        assert client.recv() == b""
        reset(client.raw)
        [line] = relayed.site.log.wait_for(1)
        assert line["flags"] == "DC"
        assert done.wait(LIMIT)
        assert found == [True]


@EVERY_WAY
def test_a_reset_of_a_backend_is_passed_on(way: Way, scripted: MakeScripted, authority: Authority, tmp_path: Path) -> None:
    """After its client has ended its own direction, too."""

    def leave(end: PlainEnd) -> None:
        end.recv_all()
        reset(end.raw)

    with Relayed(way, authority, tmp_path, leave, scripted) as relayed, relayed.client() as client:
        client.send(b"question")
        client.end()
        with pytest.raises(ConnectionResetError):
            client.recv()
        [line] = relayed.site.log.wait_for(1)
        assert line["flags"] == "UC"


# through two proxies of the mesh


@contextmanager
def two_proxies(
    authority: Authority, script: Callable[[PlainEnd], None], scripted: MakeScripted
) -> Iterator[tuple[StreamSite, StreamSite]]:
    """One that calls, at port 5432, and one that is called."""
    app = scripted(lambda conversation: script(PlainEnd(conversation.connection)))
    callee = StreamSite(*meshes.proof(authority, "db"), meshes.inbound("in", 443, "TLS"), backend("app", app.port), tls_rule("in", "app"))
    port = callee.address(443)[1]
    caller = StreamSite(
        *meshes.proof(authority), meshes.only_at(port), listener("out", 5432), backend("db", port), tcp_rule("out", "db")
    )
    with callee, caller:
        assert (callee.rejections, caller.rejections) == ((), ())
        yield caller, callee


def test_both_directions_end_one_by_one_between_proxies(scripted: MakeScripted, authority: Authority) -> None:
    """As if there were no proxies, with what is large after either end."""
    received: list[bytes] = []

    def answer(end: PlainEnd) -> None:
        question = end.recv_all()
        received.append(question)
        end.send(LARGE)
        end.end()

    with two_proxies(authority, answer, scripted) as (caller, callee):
        with caller.connect(5432) as raw:
            client = PlainEnd(raw)
            client.send(LARGE[:-1])
            client.end()
            assert client.recv_all() == LARGE
        assert received == [LARGE[:-1]]
        for site in (caller, callee):
            [line] = site.log.wait_for(1)
            assert (line["flags"], line["reason"]) == ("-", None)


def test_an_application_that_ends_first_still_hears_its_caller(scripted: MakeScripted, authority: Authority) -> None:
    """The other way round."""
    received: list[bytes] = []
    heard = Event()

    def greet(end: PlainEnd) -> None:
        end.send(b"hello")
        end.end()
        received.append(end.recv_all())
        heard.set()

    with two_proxies(authority, greet, scripted) as (caller, _), caller.connect(5432) as raw:
        client = PlainEnd(raw)
        assert client.recv_all() == b"hello"
        client.send(LARGE)
        client.end()
        assert heard.wait(LIMIT)
        assert received == [LARGE]


def test_a_reset_stays_one_between_proxies(scripted: MakeScripted, authority: Authority) -> None:
    """In both directions; an application must not take a break for an end."""
    found: list[bool] = []
    done = Event()

    def wait(end: PlainEnd) -> None:
        if end.recv() == b"reset me":
            reset(end.raw)
        else:
            found.append(is_reset(end.raw))
            done.set()

    with two_proxies(authority, wait, scripted) as (caller, _):
        with caller.connect(5432) as raw:
            raw.sendall(b"reset me")
            assert is_reset(raw)
        with caller.connect(5432) as raw:
            raw.sendall(b"hello")
            while not caller.streams("db")["-"].received_bytes:  # so that it reaches the application before the reset
                pass
            reset(raw)
            assert done.wait(LIMIT)
            assert found == [True]


def test_a_proxy_that_dies_is_a_break_and_no_end(scripted: MakeScripted, authority: Authority) -> None:
    """The kernel ends the connections of a process that is killed, but says no close_notify; nor does somebody in between."""
    found: list[bool] = []
    done, came = Event(), Event()

    def wait(end: PlainEnd) -> None:
        end.recv()
        came.set()
        found.append(is_reset(end.raw))
        done.set()

    with two_proxies(authority, wait, scripted) as (caller, callee), caller.connect(5432) as raw:
        raw.sendall(b"hello")
        assert came.wait(LIMIT)

        def die() -> None:
            [port] = [port for opened in caller.runtime._open.values() for port in opened.ports]
            [relay] = port.relays
            assert isinstance(relay, Relay)
            assert relay.backend is not None
            with socket.socket(fileno=os.dup(relay.backend.transport.get_extra_info("socket").fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)

        caller.run(die)
        assert done.wait(LIMIT)
        assert found == [True]
        [line] = callee.log.wait_for(1)
        assert line["flags"] == "DC"
        assert "without close_notify" in line["reason"]
