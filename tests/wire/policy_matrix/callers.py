"""Who calls, and what is spoken: each call is made by a socket of the test's own, and what came back is one word."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from gateway.ir.workload import ALPN
from tests.certificates import Authority
from tests.wire.capturing import OTHER, OWN
from tests.wire.http2_clients import Http2Client
from tests.wire.meshes import spiffe_id
from tests.wire.policy_matrix.application import END, GREETING
from tests.wire.policy_matrix.pods import MARKS, SERVICE, connected

Caller = Literal["web", "api", "plain", "elsewhere", "own TLS", "stranger"]
"""Two sidecars of the mesh; no sidecar, from two addresses; TLS that is not the mesh's; the mesh's, with a certificate of a stranger."""
Spoken = Literal["http/1.1", "h2", "grpc", "websocket", "bytes", "greeting"]
Fields = tuple[tuple[str, str], ...]

_INBOUND: Final = 8
"""The mark of what the capture rules of the callee's Pod lead to its sidecar (tests.wire.capturing)."""
_GRPC: Final = (("content-type", "application/grpc"), ("te", "trailers"))
_WEBSOCKET: Final = (
    ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)  # fmt: skip


class Callers:
    """What they have in their hands."""

    def __init__(self, stranger: Authority, folder: Path) -> None:
        self._own = _anybody()
        self._stranger = _anybody()
        self._stranger.load_cert_chain(*stranger.issue(spiffe_id("web")).write(folder, "stranger"))
        self._stranger.set_alpn_protocols([ALPN])

    def connect(self, caller: Caller, port: int) -> socket.socket:
        """As this caller; of TLS the handshake is done. Raises OSError, as everything that comes after may."""
        if caller in MARKS:
            return connected(MARKS[caller], (SERVICE, port))
        connection = connected(_INBOUND, (OWN, port), OTHER if caller == "elsewhere" else OWN)
        if caller in ("plain", "elsewhere"):
            return connection
        try:
            return (self._own if caller == "own TLS" else self._stranger).wrap_socket(connection, server_hostname="db.shop")
        except BaseException:
            connection.close()
            raise


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def sent(spoken: Spoken, host: str, cell: str, fields: Fields) -> Fields:
    """The fields of a request."""
    besides = {"grpc": _GRPC, "websocket": _WEBSOCKET}.get(spoken, ())
    return (("Host", host), *besides, ("x-cell", cell), *fields)


def call(connection: socket.socket, spoken: Spoken, method: str, path: str, fields: Fields) -> str:
    """'200', '403' and the like for a request, '101' for a WebSocket through which a message came back, 'grpc 7' for a call; 'bytes' where
    those that were sent came back; '' where nothing came. The cell is in the fields."""
    try:
        return _SPEAKING[spoken](connection, method, path, fields)
    except OSError:
        return ""


def _http1(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := connection.recv(65_536)):
            return ""
        head += data
    return head.split()[1].decode()


def _websocket(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    status = _http1(connection, method, path, fields)
    if status == "101":
        message = b"\x81\x02hi"
        connection.sendall(message)
        assert _received(connection, len(message)) == message
        connection.sendall(b"\x88\x80\0\0\0\0")  # RFC 6455 5.5.1: a close, after which the server ends the connection
        assert connection.recv(65_536) == b""
    return status


def _h2(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    with Http2Client(connection) as client:
        stream = client.begin(path, method=method, authority=fields[0][1], fields=_lowered(fields[1:]))
        answer = client.responses[stream]
        while not (answer.ends or answer.resets is not None or client.ended):
            client.read()
    return str(answer.status) if answer.status else ""


def _grpc(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    with Http2Client(connection) as client:
        stream = client.begin(path, method=method, authority=fields[0][1], fields=_lowered(fields[1:]), ends=False)
        client.send(stream, b"\0\0\0\0\0", ends=True)
        answer = client.responses[stream]
        while not (answer.ends or answer.resets is not None or client.ended):
            client.read()
    status = dict((*answer.fields, *answer.trailers)).get("grpc-status")
    return f"grpc {status}" if status is not None else ""


def _lowered(fields: Fields) -> Fields:
    return tuple((name.lower(), value) for name, value in fields)


def _bytes(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    line = b"\0%b\n" % dict(fields)["x-cell"].encode()
    connection.sendall(line)
    came = _received(connection, len(line))
    if came != line:
        return came.decode("latin-1")
    connection.sendall(END)
    assert connection.recv(65_536) == b""
    return "bytes"


def _greeting(connection: socket.socket, method: str, path: str, fields: Fields) -> str:
    came = _received(connection, len(GREETING))
    return _bytes(connection, method, path, fields) if came == GREETING else came.decode("latin-1")


def _received(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or those before the end."""
    came = b""
    while len(came) < size and (data := connection.recv(size - len(came))):
        came += data
    return came


_SPEAKING: Final[dict[Spoken, Callable[[socket.socket, str, str, Fields], str]]] = {
    "http/1.1": _http1, "h2": _h2, "grpc": _grpc, "websocket": _websocket, "bytes": _bytes, "greeting": _greeting,
}  # fmt: skip
