"""Clients of HTTP/2 that are not ours: the h2 library stream by stream, httpx, curl, nghttp. All of them also speak to a backend directly.

A plain address is spoken to with prior knowledge; with a TLS context ALPN offers h2.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import httpx
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from tests.certificates import Authority
from tests.wire.backends import LIMIT

Address = tuple[str, int]
Fields = tuple[tuple[str, str], ...]

CURL = shutil.which("curl")
NGHTTP = shutil.which("nghttp")


def offering_h2(authority: Authority | None = None, *more: str) -> ssl.SSLContext:
    """A client's context that offers h2, and `more` behind it; it trusts the authority, or anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", *more])
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=authority.certificate)
    return context


def chosen_protocol(address: Address, context: ssl.SSLContext, server_name: str) -> str | None:
    """What a server chooses of the protocols that a context offers."""
    with (
        socket.create_connection(address, timeout=LIMIT) as connection,
        context.wrap_socket(connection, server_hostname=server_name) as secured,
    ):
        return secured.selected_alpn_protocol()


@dataclass(slots=True)
class Http2Response:
    """What has come on a stream so far. `resets` is the code of a RST_STREAM, None without one; `ends` is its regular end."""

    status: int = 0
    fields: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    informational: list[int] = field(default_factory=list)
    resets: int | None = None
    ends: bool = False

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]

    def value(self, name: str) -> str | None:
        """The only value of a field; None if it is absent."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None


class Http2Client:
    """One connection of the h2 library, in blocking calls; a context manager.

    `settings` are announced first. With `reads` off no window is opened again: what comes is kept, and no more than the windows allow.
    """

    def __init__(
        self,
        address: Address | socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        settings: Mapping[SettingCodes, int] | None = None,
        reads: bool = True,
    ) -> None:
        """In the place of an address there may be a connection."""
        self.socket = address if isinstance(address, socket.socket) else socket.create_connection(address, timeout=LIMIT)
        if tls is not None:
            try:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
            except BaseException:
                self.socket.close()
                raise
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(configuration)
        if settings:
            self.h2.local_settings = Settings(client=True, initial_values=dict(settings))
        self.h2.initiate_connection()
        self.reads = reads
        self.responses: dict[int, Http2Response] = {}
        self.goaway: int | None = None
        """The code of the GOAWAY that has come."""
        self.ended = False
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        authority: str = "example.com",
        fields: Fields = (),
        scheme: str = "http",
        ends: bool = True,
    ) -> int:
        """Opens a stream with a request's head; its number."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = ((":method", method), (":scheme", scheme), (":authority", authority), (":path", target))
        self.h2.send_headers(stream, [*pseudo, *fields], end_stream=ends)
        self.responses[stream] = Http2Response()
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """All of it, as the windows open."""
        while len(data) > (room := self.window(stream)):
            if room:
                self.h2.send_data(stream, data[:room])
                self._flush()
                data = data[room:]
            else:
                self.read()
        self.h2.send_data(stream, data, end_stream=ends)
        self._flush()

    def window(self, stream: int) -> int:
        """Bytes that one DATA frame may carry now."""
        return int(min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size))

    def send_trailers(self, stream: int, *fields: tuple[str, str]) -> None:
        self.h2.send_headers(stream, fields, end_stream=True)
        self._flush()

    def reset(self, stream: int, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        self.h2.reset_stream(stream, code)
        self._flush()

    def ping(self) -> None:
        """Waits for its acknowledgement: whatever was sent before has been read."""
        acknowledged = False
        self.h2.ping(b"settled?")
        self._flush()
        while not acknowledged:
            acknowledged = any(isinstance(event, h2.events.PingAckReceived) for event in self.read())

    def read(self) -> list[h2.events.Event]:
        """The events of what comes next, which are taken already; none at the end of the connection, which sets `ended`."""
        data = self.socket.recv(65_536)
        self.ended = not data
        events: list[h2.events.Event] = self.h2.receive_data(data) if data else []
        for event in events:
            self._take(event)
        self._flush()
        return events

    def read_until(self, true: Callable[[], bool]) -> None:
        """Raises AssertionError where the connection ends before."""
        while not true():
            assert not self.ended, f"the connection ended: GOAWAY {self.goaway}, {self.responses}"
            self.read()

    def answer(self, stream: int) -> Http2Response:
        """The response, once its stream has ended or was reset."""
        response = self.responses[stream]
        self.read_until(lambda: response.ends or response.resets is not None)
        return response

    def ask(self, target: str = "/", *, body: bytes | None = None, trailers: Fields = (), **head: Any) -> Http2Response:
        """One request and its response; `head` as `begin` takes it."""
        stream = self.begin(target, ends=body is None and not trailers, **head)
        if body is not None:
            self.send(stream, body, ends=not trailers)
        if trailers:
            self.send_trailers(stream, *trailers)
        return self.answer(stream)

    def rest(self) -> int | None:
        """Reads to the end of the connection; the code of the GOAWAY before it."""
        while not self.ended:
            self.read()
        return self.goaway

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                self.responses[event.stream_id].informational.append(int(dict(event.headers)[":status"]))
            case h2.events.ResponseReceived():
                response, head = self.responses[event.stream_id], tuple(event.headers)
                response.status = int(dict(head)[":status"])
                response.fields = tuple(pair for pair in head if not pair[0].startswith(":"))
            case h2.events.DataReceived():
                self.responses[event.stream_id].body += event.data
                if self.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                self.responses[event.stream_id].trailers = tuple(event.headers)
            case h2.events.StreamEnded():
                self.responses[event.stream_id].ends = True
            case h2.events.StreamReset():
                self.responses[event.stream_id].resets = int(event.error_code)
            case h2.events.ConnectionTerminated():
                self.goaway = int(event.error_code)

    def _flush(self) -> None:
        if data := self.h2.data_to_send():
            self.socket.sendall(data)


def httpx_client(address: Address, *, tls: ssl.SSLContext | None = None) -> httpx.Client:
    """httpx that speaks HTTP/2 alone. Give `Host` as a field, and `sni_hostname` as an extension where TLS wants a name."""
    scheme = "http" if tls is None else "https"
    verify = tls or offering_h2()
    return httpx.Client(
        base_url=f"{scheme}://{address[0]}:{address[1]}", http1=False, http2=True, verify=verify, trust_env=False, timeout=LIMIT
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """What a command printed. `version` is as curl says it: '2', '1.1'."""

    status: int
    version: str
    fields: Mapping[str, list[str]]
    body: bytes


def curl(address: Address, *arguments: str, data: bytes = b"", name: str = "example.com", tls: bool = False) -> Answered:
    """curl with these arguments, in which `@site` stands for the site; without `--http2` or `--http2-prior-knowledge` it is as it likes."""
    host, port = address
    scheme = "https" if tls else "http"
    command = [str(CURL), "--silent", "--show-error", "--insecure", "--max-time", str(LIMIT), "--resolve", f"{name}:{port}:{host}"]
    command += ["--write-out", "%{stderr}%{http_code} %{http_version} %{header_json}"]
    command += [argument.replace("@site", f"{scheme}://{name}:{port}") for argument in arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=True)
    status, version, fields = result.stderr.decode().split(" ", 2)
    return Answered(int(status), version, json.loads(fields), result.stdout)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as nghttp tells of it: `recv HEADERS` on a stream, with what follows in the same paragraph."""

    direction: str
    type: str
    stream: int
    text: str


_FRAME = re.compile(r"\[ *[0-9.]+\] (recv|send) ([A-Z_]+) frame <length=\d+, flags=\w+, stream_id=(\d+)>\n((?: .*\n)*)")
_HEADER = re.compile(r"\[ *[0-9.]+\] recv \(stream_id=(\d+)(?:, sensitive)?\) ([^\n]*)\n")


@dataclass(frozen=True, slots=True)
class Nghttp:
    """All that nghttp saw."""

    frames: tuple[Frame, ...]
    fields: tuple[tuple[str, str], ...]
    """Of all responses, with `:status`, in the order in which they came; trailers too."""

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]


def nghttp(address: Address, *arguments: str, path: str = "/", name: str = "example.com", tls: bool = False) -> Nghttp:
    """nghttp, verbose, body thrown away; `arguments` are more of its options."""
    scheme = "https" if tls else "http"
    command = [str(NGHTTP), "--verbose", "--null-out", "--no-dep", f"--timeout={LIMIT:g}", f"--header=:authority: {name}"]
    target = f"{scheme}://{address[0]}:{address[1]}{path}"
    said = subprocess.run([*command, *arguments, target], capture_output=True, check=True, text=True).stdout
    frames = tuple(Frame(found[1], found[2], int(found[3]), found[4]) for found in _FRAME.finditer(said))
    fields = []
    for found in _HEADER.finditer(said):
        field_name, _, value = found[2].lstrip(":").partition(": ")
        fields.append((":" * found[2].startswith(":") + field_name, value))
    return Nghttp(frames, tuple(fields))
