"""The sockets of a program's small servers, bound where its options say."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import Final

from gateway.net.sockets import BindError, bind

Place = tuple[str, int]
"""Address and port; port 0 for any that is free."""

_EVERYWHERE: Final = "::"


def bind_all(places: Iterable[tuple[str, Place]]) -> list[socket.socket]:
    """A socket for each option and what it says, or none at all. Raises BindError, whose remedy names the option."""
    bound: list[socket.socket] = []
    try:
        for option, place in places:
            bound.append(_bind(place, option))
    except BindError:
        for opened in bound:
            opened.close()
        raise
    return bound


def _bind(place: Place, option: str) -> socket.socket:
    """Every address is that of IPv6, which takes IPv4 too, unless the host has none."""
    try:
        return bind(*place)
    except BindError as error:
        cause = error.__cause__
        if place[0] == _EVERYWHERE and isinstance(cause, OSError) and cause.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            return _bind(("0.0.0.0", place[1]), option)  # noqa: S104  # asked for: kubelet and Prometheus come from elsewhere
        raise BindError(*place, error.reason, f"{option} chooses another address or port") from cause
