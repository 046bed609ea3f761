"""What a filter answers, and what a client sees of an answer that the proxy makes itself (Exchange.reply)."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.explain.explanation import Header, Reply
from gateway.filters.passage import Passage, RequestFilter
from gateway.http.head import Fields, LocalReply, RequestHead
from gateway.http.local_reply import written
from gateway.proxy.port import LiveListener


def filtered(filters: Iterable[RequestFilter], head: RequestHead, passage: Passage) -> LocalReply | None:
    """Edits the head; the first reply ends the request."""
    for request_filter in filters:
        reply = request_filter(head, passage)
        if reply is not None:
            return reply
    return None


def finished(reply: LocalReply, listener: LiveListener | None, passage: Passage | None, grpc: bytes = b"") -> Reply:
    """With the listener's reason header, and as the filters that ran edit it. `grpc` is that of the request's head."""
    response, _ = written(reply, grpc, listener is not None and listener.options.reason_header)
    for edit in passage.edits if passage is not None else ():
        edit(response)
    return Reply(response.status, reply.reason, reply.flag, shown_fields(response.fields))


def shown_fields(fields: Fields) -> tuple[Header, ...]:
    """As text; bytes that are not UTF-8 are escaped."""
    return tuple((shown(name), shown(value)) for name, value in fields)


def shown(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
