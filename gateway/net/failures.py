"""Why TLS connections end before a listener serves them: a fixed set of reasons, to be counted, and what is known of each case."""

from __future__ import annotations

import ssl
from typing import NamedTuple

TIMEOUT = "timeout"
"""No ClientHello, or no end of the handshake, within the deadline."""
CLOSED = "closed"
"""The client left."""
PLAIN_HTTP = "plain_http"
NOT_TLS = "not_tls"
"""Neither TLS nor HTTP, or a malformed ClientHello."""
UNRECOGNIZED_NAME = "unrecognized_name"
"""No listener of the port is for the server name."""
NO_APPLICATION_PROTOCOL = "no_application_protocol"
NO_COMMON_VERSION = "no_common_version"
"""The client speaks no version of TLS, or none of the cipher suites, that we do."""
CERTIFICATE_MISSING = "certificate_missing"
CERTIFICATE_REFUSED = "certificate_refused"
"""The client's certificate does not verify."""
ALERTED = "alerted"
"""The client ended the handshake, most often because it does not trust our certificate."""
PROXY_HEADER = "proxy_header"
"""What should have been a PROXY header is none, or came from somebody who is not believed."""
OVERLOAD = "overload"
"""Dropped, as the oldest of too many, to make room."""
ABORTED = "aborted"
"""The acceptor was told to end."""
OTHER = "other"

REASONS = (
    TIMEOUT,
    CLOSED,
    PLAIN_HTTP,
    NOT_TLS,
    UNRECOGNIZED_NAME,
    NO_APPLICATION_PROTOCOL,
    NO_COMMON_VERSION,
    CERTIFICATE_MISSING,
    CERTIFICATE_REFUSED,
    ALERTED,
    PROXY_HEADER,
    OVERLOAD,
    ABORTED,
    OTHER,
)

_BY_OPENSSL_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": CERTIFICATE_MISSING,
    "CERTIFICATE_VERIFY_FAILED": CERTIFICATE_REFUSED,
    "UNSUPPORTED_PROTOCOL": NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": NO_COMMON_VERSION,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": NO_COMMON_VERSION,
    "NO_SUITABLE_KEY_SHARE": NO_COMMON_VERSION,
    "VERSION_TOO_LOW": NO_COMMON_VERSION,
    "NO_APPLICATION_PROTOCOL": NO_APPLICATION_PROTOCOL,
    "UNEXPECTED_EOF_WHILE_READING": CLOSED,
}


class Failure(NamedTuple):
    reason: str
    """One of REASONS."""
    detail: str
    address: str
    """The client's."""
    port: int
    server_name: bytes


def stranger(failure: Failure) -> tuple[str, str]:
    """Flag and reason in the access log for a caller that did not come into the mesh."""
    return "DPE", f"no caller of the mesh: {failure.reason}{f', {failure.detail}' if failure.detail else ''}"


def reason_of(error: OSError) -> str:
    """Of an error that ended a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATE_REFUSED
    if not isinstance(error, ssl.SSLError):
        return CLOSED
    reason = error.reason or ""
    return ALERTED if "_ALERT_" in reason else _BY_OPENSSL_REASON.get(reason, OTHER)
