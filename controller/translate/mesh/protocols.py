"""What is spoken at a port of a Service: by its appProtocol, or else its name, as Istio and Kubernetes have it (KEP-3726).

What says nothing is found out from each connection, but at the well-known ports of protocols whose server speaks first.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from controller.translate.destinations import H2C, WS, WSS, Variant, speaks_http2

PortProtocol = Literal["HTTP", "TCP", "Detect"]

_HTTP: Final = frozenset({"http", "grpc"})
_STREAMS: Final = frozenset({"tcp", "tls", "https", "mongo", "mysql", "redis"})
_SERVER_FIRST: Final = frozenset({25, 53, 3306, 27017})


class Spoken(NamedTuple):
    """How a port is listened to, and in which way its endpoints are spoken to."""

    protocol: PortProtocol
    variant: Variant = ""


def spoken(number: int, name: str, application: str | None) -> Spoken:
    """What is spoken at a TCP port of a Service with this number, name and appProtocol."""
    if application in (H2C, WS):
        return Spoken("HTTP")
    word = (application or name).lower()
    first = word.partition("-")[0]
    if word == WSS or first in _STREAMS:
        return Spoken("TCP")
    if speaks_http2(name, application):
        return Spoken("HTTP", "h2c")
    if first in _HTTP:
        return Spoken("HTTP", "client")
    return Spoken("TCP") if number in _SERVER_FIRST else Spoken("Detect", "client")
