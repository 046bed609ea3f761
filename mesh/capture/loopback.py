"""The address ::6 of the loopback interface, from which the proxy connects to the application beside it over IPv6.

127.0.0.6 is every Pod's own already; of IPv6 only ::1 is. The address is added as one that no program gets unless it asks for it
(deprecated: RFC 4862 2, RFC 6724 5 rule 3), through rtnetlink(7), since an image need not have ip(8).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Final

from mesh.capture.errors import CaptureError
from mesh.capture.rules import LOOPBACK, TOWARDS_APPLICATION

_ADDRESS: Final = TOWARDS_APPLICATION[1].network_address
_SETTINGS: Final = Path("/proc/sys/net/ipv6/conf")
_NOT_INTERFACES: Final = frozenset({"all", "default"})

_NEW_ADDRESS, _DELETE_ADDRESS, _ERROR = 20, 21, 2
_REQUEST, _ACKNOWLEDGE, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ATTRIBUTE_ADDRESS, _ATTRIBUTE_TIMES = 1, 6
_WITHOUT_DETECTION: Final = 0x02
"""Of duplicates: on loopback there are none."""
_FOR_EVER: Final = 0xFFFFFFFF
_ROUTE: Final = 0
_NOT_THERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENXIO, errno.EOPNOTSUPP, errno.EAFNOSUPPORT})
"""No such address, no IPv6 on the interface, none in the kernel."""


def has_ipv6() -> bool:
    """Whether any interface here has IPv6. Raises CaptureError if one has, but not loopback: the proxy could not reach the application."""
    on = {folder.name for folder in _interfaces() if (folder / "disable_ipv6").read_text().strip() == "0"}
    if on and LOOPBACK not in on:
        raise CaptureError(
            f"IPv6 is on at {', '.join(sorted(on))}, but off at {LOOPBACK}, where the proxy needs {_ADDRESS} to reach the application; set "
            f"the sysctl net.ipv6.conf.{LOOPBACK}.disable_ipv6=0, or net.ipv6.conf.all.disable_ipv6=1 to do without IPv6"
        )
    return bool(on)


def add_address() -> None:
    """Adds it, if it is not there. Raises CaptureError."""
    failed = _ask(_NEW_ADDRESS, _CREATE | _REPLACE)
    if failed:
        raise CaptureError(f"the address {_ADDRESS} cannot be added to {LOOPBACK}: {os.strerror(failed)}")


def remove_address() -> None:
    """Takes it away, if it is there. Raises CaptureError."""
    failed = _ask(_DELETE_ADDRESS, 0)
    if failed and failed not in _NOT_THERE:
        raise CaptureError(f"the address {_ADDRESS} cannot be removed from {LOOPBACK}: {os.strerror(failed)}")


def _interfaces() -> list[Path]:
    try:
        return [folder for folder in _SETTINGS.iterdir() if folder.name not in _NOT_INTERFACES]
    except FileNotFoundError:  # a kernel without IPv6
        return []


def _ask(kind: int, flags: int) -> int:
    """One request about the address, and the number of the error in the answer; 0 for none."""
    message = struct.pack("=BBBBI", socket.AF_INET6, 128, _WITHOUT_DETECTION, 0, socket.if_nametoindex(LOOPBACK))
    message += _attribute(_ATTRIBUTE_ADDRESS, _ADDRESS.packed)
    message += _attribute(_ATTRIBUTE_TIMES, struct.pack("=IIII", 0, _FOR_EVER, 0, 0))  # preferred for no time, valid for ever
    header = struct.pack("=IHHII", 16 + len(message), kind, _REQUEST | _ACKNOWLEDGE | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE) as kernel:
        kernel.send(header + message)
        answer = kernel.recv(4096)
    answered, negated = struct.unpack_from("=4xH10xi", answer)
    return -int(negated) if answered == _ERROR else errno.EBADMSG


def _attribute(kind: int, value: bytes) -> bytes:
    """All values here are multiples of four bytes, so none is padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value
