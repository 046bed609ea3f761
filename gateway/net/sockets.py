"""Listening sockets, bound so that a mistake is told and not hidden.

Workers share a port through SO_REUSEPORT, one socket each. The same option would let another program that uses it
share the port silently and take half of the connections, so the first bind of a port is tried without it, which fails
if anyone listens there. Between that trial and the real bind lies a moment in which another program may still come;
after the real bind only programs of the same user that also ask for SO_REUSEPORT can.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Final

from gateway.net.keepalive import notice_vanished_clients

Address = tuple[str, int] | tuple[str, int, int, int]
"""What the socket module calls the address of an IPv4 or IPv6 socket."""

UNSENT: Final = 128 * 1024
"""Bytes that the kernel takes for a client beyond what is on its way to it. Connections inherit it from the socket that they came on.
Without it a client that does not read costs up to 4 MiB of the kernel's memory (tcp_wmem), and a thousand of them all there is for TCP."""

WAITING: Final = 4 << 20
"""Bytes of datagrams that may wait for a worker, as far as the system allows (net.core.rmem_max)."""

_NOT_SENT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class BindError(Exception):
    """An address and port that cannot be listened on: why, and what the user can do."""

    def __init__(self, address: str, port: int, reason: str, remedy: str) -> None:
        super().__init__(f"cannot listen on {readable(address, port)}: {reason}; {remedy}")
        self.address, self.port, self.reason, self.remedy = address, port, reason, remedy


def bind(address: str, port: int, backlog: int = 4096, *, dual_stack: bool = True) -> socket.socket:
    """A listening, non-blocking socket with SO_REUSEADDR and SO_REUSEPORT, on a port that nobody listens on yet.

    `address` is an IPv4 or IPv6 address. '::' takes IPv4 as well, with IPv4-mapped peer addresses, unless `dual_stack`
    is off, as it must be where 0.0.0.0 is bound on the same port. Port 0 lets the system choose. Raises BindError.
    """
    where = _resolve(address, port)
    try:
        if port:
            _open(where, shared=False, dual_stack=dual_stack).close()
        listening = _open(where, shared=True, dual_stack=dual_stack)
    except OSError as error:
        raise _explain(address, port, error) from error
    return _listen(listening, backlog)


def bind_datagrams(address: str, port: int) -> socket.socket:
    """A non-blocking UDP socket with SO_REUSEPORT on a port that nobody has bound yet; otherwise as `bind`."""
    where = _resolve(address, port)
    try:
        if port:
            _open(where, shared=False, dual_stack=True, kind=socket.SOCK_DGRAM).close()
        return _take_datagrams(_open(where, shared=True, dual_stack=True, kind=socket.SOCK_DGRAM))
    except OSError as error:
        raise _explain(address, port, error) from error


def bind_again(bound: socket.socket, backlog: int = 4096) -> socket.socket:
    """One more socket on the address and port of one of ours, for the next worker. Raises BindError."""
    where = bound.getsockname()
    dual_stack = bound.family == socket.AF_INET6 and not bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    try:
        opened = _open(where, shared=True, dual_stack=dual_stack, kind=bound.type)
        return _take_datagrams(opened) if bound.type == socket.SOCK_DGRAM else _listen(opened, backlog)
    except OSError as error:
        raise _explain(where[0], where[1], error) from error


def readable(address: str, port: int) -> str:
    """ADDRESS:PORT as users write it, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _resolve(address: str, port: int) -> Address:
    if not 0 <= port <= 65_535:
        raise BindError(address, port, "a port is a number from 1 to 65535", "choose another port")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise BindError(address, port, f"{address!r} is not an IP address", "give --bind an IPv4 or IPv6 address") from None
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError as error:  # an IPv6 scope that names no interface of this host
        raise BindError(address, port, str(error.strerror), "give --bind an address of this host") from error
    return found[0][4]  # type: ignore[return-value]  # the (int, bytes) form is of builds without IPv6, for an IPv6 address


def _open(where: Address, *, shared: bool, dual_stack: bool, kind: int = socket.SOCK_STREAM) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if len(where) == 4 else socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:  # of UDP it would let others share the port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual_stack and where[0] == "::"))
        opened.bind(where)
    except BaseException:
        opened.close()
        raise
    return opened


def _listen(listening: socket.socket, backlog: int) -> socket.socket:
    listening.setblocking(False)
    notice_vanished_clients(listening)
    if _NOT_SENT is not None:
        listening.setsockopt(socket.IPPROTO_TCP, _NOT_SENT, UNSENT)
    try:
        listening.listen(backlog)
    except OSError as error:
        address, port = listening.getsockname()[:2]
        listening.close()
        raise _explain(address, port, error) from error
    return listening


def _take_datagrams(bound: socket.socket) -> socket.socket:
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WAITING)
    return bound


def _explain(address: str, port: int, error: OSError) -> BindError:
    match error.errno:
        case errno.EADDRINUSE:
            reason = "the port is in use, by another program or by a listener of ours on an address that covers this one"
            remedy = f"`ss -lntup 'sport = :{port}'` shows who holds it: stop that, or choose another port (--port-offset moves all)"
        case errno.EACCES | errno.EPERM:
            reason = f"ports below {_lowest_unprivileged_port()} need a privilege this process does not have"
            remedy = (
                "use --port-offset (8000 turns port 80 into 8080), or set the sysctl net.ipv4.ip_unprivileged_port_start "
                f"to {port} or lower"
            )
        case errno.EADDRNOTAVAIL:
            reason = "the address is not one of this host's"
            remedy = "give --bind an address of this host, or 0.0.0.0 for all"
        case errno.EAFNOSUPPORT:
            reason = "this host has no IPv6"
            remedy = "give --bind an IPv4 address, 0.0.0.0 for all"
        case errno.EMFILE | errno.ENFILE:
            reason = "too many files are open"
            remedy = "raise the limit of open files (ulimit -n, LimitNOFILE)"
        case _:
            reason = os.strerror(error.errno) if error.errno else str(error)
            remedy = "choose another address with --bind or another port"
    return BindError(address, port, reason, remedy)


def _lowest_unprivileged_port() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as setting:
            return int(setting.read())
    except (OSError, ValueError):
        return 1024
