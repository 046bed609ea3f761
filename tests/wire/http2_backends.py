"""Backends of HTTP/2 that are not ours: the h2 library behind a plain port or behind TLS, and nghttpd.

An `Http2Echo` answers as `backends.Echo` does: 200 with `echo: NAME/NUMBER`, the number of the request among those it keeps, unless
another answer is planned. Join it to a site (`Site.join`) and `Site.ask` finds the requests that it got.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from tests.certificates import Pair
from tests.wire.backends import LIMIT, LoopThread, Received, closed_port

Fields = tuple[tuple[str, str], ...]

NGHTTPD = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin")


def http2_service(name: str, *ports: int, protocol: str | None = "kubernetes.io/h2c", number: int = 80) -> str:
    """A Service whose port says by its appProtocol that it speaks HTTP/2 with prior knowledge, and an endpoint for each port."""
    port = {"name": "http", "port": number} | ({"appProtocol": protocol} if protocol is not None else {})
    described = {"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [port]}}
    slices = [
        {
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{each}", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": each}],
            "endpoints": [{"addresses": ["127.0.0.1"]}],
        }
        for each in ports
    ]
    return "\n---\n".join(json.dumps(document) for document in (described, *slices))


def tls_of(pair: Pair, folder: Path, *protocols: str) -> ssl.SSLContext:
    """A server's context that offers these by ALPN, by default h2 alone; the pair is written to the folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(folder, "http2"))
    context.set_alpn_protocols(list(protocols or ("h2",)))
    return context


@dataclass(frozen=True, slots=True)
class Http2Received(Received):
    """A request as it came over HTTP/2. `fields` hold `host` in place of :authority, as Python's servers tell applications."""

    scheme: str
    trailers: Fields
    connection: int
    """Which of the backend's connections, counted from 1."""
    stream: int


@dataclass(frozen=True, slots=True)
class Http2Plan:
    """What is done about a request.

    informational  statuses of 1xx heads that go out first
    trailers       a section after the body
    early          the answer goes out with the head of the request, whatever of its body is still to come, and without `echo`
    resets         the stream is reset with this code where its end should be
    unfinished     head and body are all that comes of the answer
    silent         no answer at all; with `resets`, the reset is all there is
    held           the answer waits for `Http2Echo.release`
    """

    status: int = 200
    fields: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    informational: tuple[int, ...] = ()
    early: bool = False
    resets: ErrorCodes | None = None
    unfinished: bool = False
    silent: bool = False
    held: bool = False

    @property
    def ends(self) -> bool:
        """Whether nothing follows the body."""
        return not self.trailers and self.resets is None and not self.unfinished


@dataclass(slots=True)
class _Begun:
    """A request whose end has not come yet."""

    head: Fields
    plan: Http2Plan
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = ()
    answered: bool = False


class Http2Echo:
    """One backend. Used by the thread of the test; its connections live in a loop of its own.

    `settings` are announced first on each connection; with `reads` off no window is ever opened again.
    """

    def __init__(
        self,
        name: str,
        *,
        tls: ssl.SSLContext | None = None,
        settings: Mapping[SettingCodes, int] | None = None,
        reads: bool = True,
        address: str = "127.0.0.1",
    ) -> None:
        self.name, self._address = name, address
        self.requests: list[Received] = []
        self.resets: list[tuple[int, int]] = []
        """Stream and code of the streams that the proxy has reset."""
        self.connections = 0
        self.settings, self.reads = dict(settings or {}), reads
        self._links: list[_Link] = []
        self._held: list[Callable[[], None]] = []
        self._planned: deque[Http2Plan] = deque()
        self._always = Http2Plan()
        self._changed = Condition()
        self.thread = LoopThread(name)
        self._server = self.thread.run(self._serve(tls))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(lambda: _Link(self), self._address, 0, ssl=tls)

    def plan(self, *answers: Http2Plan) -> None:
        """The answers to the next requests, in order; after them the usual one."""
        self._planned.extend(answers)

    def always(self, answer: Http2Plan) -> None:
        """The answer to every request for which none is planned."""
        self._always = answer

    def release(self) -> None:
        """Lets the answers go that are held."""
        self.thread.call(self._release)

    def goaway(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Takes no more streams on the connections there are; what runs goes on."""
        self.thread.call(lambda: [link.goaway(code) for link in self._links])

    def abort(self) -> None:
        """Cuts the connections there are."""
        self.thread.call(lambda: [link.transport.abort() for link in self._links])

    def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are that many."""
        return self.wait_until(lambda: len(self.requests) >= count)

    def wait_until(self, enough: Callable[[], bool]) -> list[Received]:
        """The requests, once something is true of this backend."""
        with self._changed:
            assert self._changed.wait_for(enough, LIMIT), f"{self.name}: {self.requests}, resets {self.resets}"
            return list(self.requests)

    def close(self) -> None:
        self.thread.call(self._close)
        self.thread.close()
        assert not self.thread.faults, self.thread.faults

    # in its loop

    def _close(self) -> None:
        self._server.close()
        for link in self._links:
            link.transport.abort()

    def _release(self) -> None:
        for go_on in self._held:
            go_on()
        self._held.clear()

    def next_plan(self) -> Http2Plan:
        return self._planned.popleft() if self._planned else self._always

    def hold(self, go_on: Callable[[], None]) -> None:
        self._held.append(go_on)

    def join(self, link: _Link) -> int:
        with self._changed:
            self._links.append(link)
            self.connections += 1
            self._changed.notify_all()
            return self.connections

    def leave(self, link: _Link) -> None:
        with self._changed:
            self._links.remove(link)
            self._changed.notify_all()

    def keep(self, received: Http2Received) -> None:
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()

    def reset(self, stream: int, code: int) -> None:
        with self._changed:
            self.resets.append((stream, code))
            self._changed.notify_all()


class _Link(asyncio.Protocol):
    """One connection of an echo."""

    transport: asyncio.Transport

    def __init__(self, echo: Http2Echo) -> None:
        self._echo = echo
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self._begun: dict[int, _Begun] = {}
        self._waiting: dict[int, tuple[bytes, Http2Plan]] = {}
        """Bodies, or the rest of them, for which the window has no room."""
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclasses of it
        self._number = self._echo.join(self)
        if self._echo.settings:
            self._h2.local_settings = Settings(client=False, initial_values=self._echo.settings)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._echo.leave(self)

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.connection.ProtocolError:  # what the proxy sent is no HTTP/2: it hears why
            self._flush()
            self.transport.close()
            return
        for event in events:
            self._take(event)
        self._flush()

    def goaway(self, code: ErrorCodes) -> None:
        """By hand: the library lets no stream go on behind it."""
        self.transport.write(GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id, error_code=code).serialize())

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self.transport.write(data)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event.stream_id, tuple(event.headers))
            case h2.events.DataReceived():
                self._begun[event.stream_id].body += event.data
                if self._echo.reads and event.flow_controlled_length:
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                self._begun[event.stream_id].trailers = tuple(event.headers)
            case h2.events.StreamEnded():
                self._end(event.stream_id)
            case h2.events.StreamReset():
                self._begun.pop(event.stream_id, None)
                self._waiting.pop(event.stream_id, None)
                self._echo.reset(event.stream_id, int(event.error_code))
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in list(self._waiting):
                    self._send(stream)

    def _begin(self, stream: int, head: Fields) -> None:
        plan = self._echo.next_plan()
        begun = self._begun[stream] = _Begun(head, replace(plan, body=b"") if (":method", "HEAD") in head else plan)
        if begun.plan.early:
            begun.answered = True
            self._answer(stream, begun.plan, None)

    def _end(self, stream: int) -> None:
        begun = self._begun.pop(stream)
        number = len(self._echo.requests)
        self._echo.keep(self._received(stream, begun))
        if begun.answered:
            return
        if begun.plan.held:
            self._echo.hold(lambda: self._answer_held(stream, begun.plan, number))
        else:
            self._answer(stream, begun.plan, number)

    def _answer_held(self, stream: int, plan: Http2Plan, number: int) -> None:
        if not self.transport.is_closing():
            self._answer(stream, plan, number)
            self._flush()

    def _received(self, stream: int, begun: _Begun) -> Http2Received:
        pseudo = {name: value for name, value in begun.head if name.startswith(":")}
        fields = tuple(pair for pair in begun.head if not pair[0].startswith(":"))
        if ":authority" in pseudo:
            fields = (("host", pseudo[":authority"]), *fields)
        return Http2Received(
            self._echo.name, pseudo[":method"], pseudo.get(":path", ""), fields, bytes(begun.body), self._echo.port,
            pseudo.get(":scheme", ""), begun.trailers, self._number, stream,
        )  # fmt: skip

    def _answer(self, stream: int, plan: Http2Plan, number: int | None) -> None:
        try:
            for status in plan.informational:
                self._h2.send_headers(stream, [(":status", str(status))])
            if not plan.silent:
                ends = not plan.body and plan.ends
                mark = [("echo", f"{self._echo.name}/{number}")] if number is not None else []
                head = [(":status", str(plan.status)), *mark, *plan.fields]
                self._h2.send_headers(stream, head, end_stream=ends)
                if ends:
                    return
                self._waiting[stream] = (plan.body, plan)
                self._send(stream)
            elif plan.resets is not None:
                self._h2.reset_stream(stream, plan.resets)
        except (h2.connection.ProtocolError, KeyError):
            pass  # the proxy has reset the stream meanwhile

    def _send(self, stream: int) -> None:
        body, plan = self._waiting[stream]
        while body and (room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)) > 0:
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream, piece, end_stream=not body and plan.ends)
        self._waiting[stream] = (body, plan)
        if body:
            return
        del self._waiting[stream]
        if plan.resets is not None:
            self._h2.reset_stream(stream, plan.resets)
        elif plan.trailers:
            self._h2.send_headers(stream, plan.trailers, end_stream=True)


class Nghttpd:
    """nghttpd, which serves the files of a folder; over TLS with a pair."""

    def __init__(self, folder: Path, pair: Pair | None = None) -> None:
        assert NGHTTPD is not None
        self.folder = folder
        self.port = closed_port()
        plain = [] if pair else ["--no-tls"]
        files = [str(file) for file in reversed(pair.write(folder.parent, "nghttpd"))] if pair else []
        command = [NGHTTPD, "--address=127.0.0.1", f"--htdocs={folder}", "--echo-upload", *plain, str(self.port), *files]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        """Until it takes connections; it says so nowhere."""
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT).close()
            except ConnectionRefusedError:
                continue
            return
        raise AssertionError(f"nghttpd ended with status {self._process.returncode}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT)
