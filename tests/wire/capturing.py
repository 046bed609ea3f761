"""A Pod with capture rules: a network namespace of its own in which connections that are marked are redirected by nftables, as those of an
application are by `tidegate init`; and a gateway with captured listeners in it.

The namespace has no name, and is gone when the thread that made it has left it and its sockets are closed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

import gateway.proxy.captured
import gateway.proxy.detecting
from gateway.descriptors import Place
from gateway.ir.backend import Backend
from gateway.ir.listener import Capture, ClientValidation, Listener, TrustBundle
from gateway.ir.value import Source
from gateway.ir.workload import ALPN, IDENTITY, INBOUND_PORT, OUTBOUND_PORT, ROOTS, MutualTls
from gateway.net.sockets import bind
from tests.certificates import Authority
from tests.wire.backends import LIMIT

OWN, OTHER, OWN_6, OTHER_6 = "10.77.0.1", "10.88.0.1", "fd77::1", "fd88::1"
"""Addresses of the Pod, and of somebody elsewhere."""
_MARKS = {"Outbound": 7, "Inbound": 8}
_NEW_NETWORK = 0x4000_0000
"""CLONE_NEWNET of sched.h."""
_RULES = f"""
table inet capture {{
  chain output {{
    type nat hook output priority -100;
    meta mark 7 meta l4proto tcp redirect to :{OUTBOUND_PORT}
    meta mark 8 meta l4proto tcp redirect to :{INBOUND_PORT}
  }}
}}
"""
Direction = Literal["Outbound", "Inbound"]
MESH = Source("Service", "shop", "cart")


def missing() -> str:
    """What keeps capture from being tested here; '' for nothing."""
    if os.geteuid():
        return "a network namespace can be made by root only"
    absent = [program for program in ("nft", "ip") if shutil.which(program) is None]
    return f"{' and '.join(absent)} is not installed (Debian: nftables, iproute2)" if absent else ""


@contextmanager
def pod(rules: str = "", *addresses: str) -> Iterator[None]:
    """This thread, and those that it starts, are in the Pod's network. `rules` of nftables and `addresses` are what it has besides."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "no network namespace could be made")
        try:
            _run("ip", "link", "set", "lo", "up")
            for address in (OWN, OTHER, OWN_6, OTHER_6, "::6", *addresses):
                _run("ip", "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
            _run("nft", "-f", "-", given=_RULES + rules)
            yield
        finally:
            assert libc.setns(before.fileno(), _NEW_NETWORK) == 0


def _run(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, text=True, capture_output=True, timeout=LIMIT, check=False)
    assert not done.returncode, f"{command}: {done.stderr}"


class PodSockets:
    """ListeningSockets at the very places that are asked for, as often as they are."""

    def take(self, place: Place) -> socket.socket:
        return bind(place.address, place.port)


def captured(address: str, port: int, direction: Direction = "Outbound") -> socket.socket:
    """A client's connection, which the rules capture."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _MARKS[direction])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(LIMIT)
    try:
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def refuses(address: str, port: int, direction: Direction = "Outbound", *said: bytes) -> bool:
    """Whether a connection ends with nothing before, may it be before the client knows that it is there."""
    try:
        with captured(address, port, direction) as client:
            for piece in said:
                client.sendall(piece)
            return client.recv(65_536) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence lasts longer than a test: no delay of this machine is taken for it."""
    for module in (gateway.proxy.detecting, gateway.proxy.captured):
        monkeypatch.setattr(module, "SILENCE", 6 * LIMIT)


def outbound(
    name: str, port: int, *addresses: str, protocol: Literal["HTTP", "TCP", "Detect"] = "Detect", consumer: bool = False, **fields: Any
) -> Listener:
    """Key default/web/NAME, as `streaming` makes rules for it."""
    return Listener(
        key=f"default/web/{name}", source=MESH, gateway="default/web", name=name, address="::", port=port, bind_port=OUTBOUND_PORT,
        location_port=port, protocol=protocol, capture=Capture("Outbound", addresses, consumer=consumer), **fields,
    )  # fmt: skip


def inbound(
    name: str, port: int, mutual_tls: MutualTls = "Disable", protocol: Literal["HTTP", "TCP", "Detect"] = "Detect", **fields: Any
) -> Listener:
    secured: dict[str, Any] = {}
    if mutual_tls != "Disable":
        secured = {"certificates": (IDENTITY,), "client_validation": ClientValidation((ROOTS,))}
    return Listener(
        key=f"default/web/{name}", source=MESH, gateway="default/web", name=name, address="::", port=port, bind_port=INBOUND_PORT,
        location_port=port, protocol=protocol, capture=Capture("Inbound", mutual_tls=mutual_tls), **secured, **fields,
    )  # fmt: skip


def going(kind: Literal["Elsewhere", "OwnPod"], protocol: Literal["tcp", "client", "http/1.1"] = "tcp", name: str = "") -> Backend:
    """Key default/NAME:80; the name is that of the kind unless it is given."""
    return Backend(f"default/{name or kind}:80", MESH, protocol=protocol, original_destination=kind)


def identity(authority: Authority, *names: str) -> tuple[Any, ...]:
    """What a proxy has of its own: its certificate, and whom it trusts."""
    certificate = authority.issue(*(names or ("spiffe://cluster.local/ns/shop/sa/cart",))).resource(IDENTITY)
    return certificate, TrustBundle(ROOTS, MESH, authority.certificate)


def offering_mesh(authority: Authority, folder: Path, *names: str, alpn: Sequence[str] = (ALPN,)) -> ssl.SSLContext:
    """A proxy of the mesh as a client, with these names in its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=authority.certificate)
    context.load_cert_chain(*authority.issue(*names, common_name="caller").write(folder, "caller"))
    context.set_alpn_protocols(alpn)
    return context
