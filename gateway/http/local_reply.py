"""A local reply as it is written: with the reason for those who may know it, and to a gRPC call in the form of gRPC."""

from __future__ import annotations

from typing import Final

from gateway.http.grpc import trailers_only
from gateway.http.head import LocalReply, ResponseHead
from gateway.http.phrases import phrase

_REASON: Final = b"x-tidegate-reason"


def written(reply: LocalReply, grpc: bytes, told: bool) -> tuple[ResponseHead, bytes]:
    """Head and body. `grpc` is that of the request's head; `told` whether the listener says its reasons."""
    answer = trailers_only(reply, grpc, told) if grpc else reply
    fields = list(answer.fields)
    if told and reply.status >= 400:
        fields.append((_REASON, reply.reason.encode("latin-1", "replace")))
    return ResponseHead(answer.status, phrase(answer.status), fields, answer.length), answer.body
