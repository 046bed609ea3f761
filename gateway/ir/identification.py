"""How a proxy gets the identity with which it subscribes: one question and one answer, on a connection of their own.

A connection to the controller without a client certificate may say Identify and nothing else. Over one with a certificate
Refused may come in the place of a Batch, and says why the stream ends, or Elsewhere, and says where it goes on.
"""

from __future__ import annotations

import msgspec

from gateway.ir.batch import Message


class Identify(Message, frozen=True, tag="identify"):
    """Proxy: this is my ServiceAccount's token; certify the key of this request (PKCS #10, PEM). The names in it count for nothing."""

    proxy: str
    token: str
    csr: str

    def __repr__(self) -> str:
        return f"Identify(proxy={self.proxy!r}, token=<redacted>)"


class Identity(Message, frozen=True, tag="identity"):
    """Controller: the certificates you present, leaf first, and the roots that you and your peers are judged by; both PEM."""

    chain: str
    roots: str


class Refused(Message, frozen=True, tag="refused"):
    """Controller: not you, or not this; the connection ends. The reason says what to mend, and is for whoever runs the proxy."""

    reason: str


class Elsewhere(Message, frozen=True, tag="elsewhere"):
    """Controller: another replica writes statuses, and must know what you have in place; subscribe there (HOST:PORT). If it cannot be
    reached, subscribe again with `anywhere`. Without an address: I am out of touch with the cluster, another replica may not be."""

    address: str


AnyIdentification = Identify | Identity | Refused | Elsewhere

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyIdentification)


def encode_identification(message: AnyIdentification) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_identification(line: bytes) -> AnyIdentification:
    """Raises msgspec.ValidationError or msgspec.DecodeError on a line that is none of them."""
    message: AnyIdentification = _decoder.decode(line)
    return message
