"""What a row about TLS says. Two kinds: bytes where a ClientHello should be, and a handshake with what is asked after it.

An alert is named as in RFC 8446 6, with spaces; its number is looked up in the ssl module.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final, Literal

from tests.attacks.row import get

Alert = Literal[
    "",
    "bad certificate",
    "certificate expired",
    "certificate required",
    "certificate unknown",
    "decode error",
    "handshake failure",
    "inappropriate fallback",
    "no application protocol",
    "protocol version",
    "unknown ca",
    "unrecognized name",
    "unsupported certificate",
]
DEMANDING: Final = 8443
"""The port whose listener demands client certificates, and the one that asks for them and takes any."""
ASKING: Final = 9443
ANY_NAME: Final = 444
"""The port whose listener has no hostname."""
SHOWN: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


_UNNAMED: Final = {"inappropriate fallback": 86, "no application protocol": 120}
"""Alerts that the ssl module does not name."""


def number(alert: Alert) -> int:
    return _UNNAMED.get(alert) or int(ssl.AlertDescription[f"ALERT_DESCRIPTION_{alert.upper().replace(' ', '_')}"])


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client sends first to port 443. It gets the alert, or else `answer` in plain (b'' for silence), and the end.

    `ends`: the client ends its side after the bytes.
    """

    name: str
    source: str
    sent: bytes
    alert: Alert = ""
    answer: bytes = b""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """A handshake, and a request in it.

    server_name  None for a client that sends none
    shows        the certificate of the client, one of `certificates.CLIENTS`, '' for none
    version      the only one that the client speaks, '' for both
    plain        bytes that are sent past TLS once the handshake is done
    alert        what the client gets in place of an answer; then `status` is 0
    status       of the answer; 0 for the end of the connection
    identity     whether a backend that is asked is told of a verified certificate
    """

    name: str
    source: str
    server_name: str | None = "a.example"
    sent: bytes = get()
    port: int = 443
    shows: str = ""
    version: Literal["", "TLSv1.2", "TLSv1.3"] = ""
    alpn: tuple[str, ...] = ("http/1.1",)
    plain: bytes = b""
    alert: Alert = ""
    status: int = 0
    identity: bool = False
