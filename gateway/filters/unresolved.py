"""A filter that could not be resolved: an ExtensionRef to nothing must fail the request, never be skipped (HTTPRouteFilter)."""

from __future__ import annotations

from gateway.filters.passage import Passage, RequestFilter
from gateway.http.head import LocalReply, RequestHead
from gateway.ir.filters import Unresolved


def unresolved(rule: Unresolved) -> RequestFilter:
    """Answers 500 with the reason that translation found."""
    reason = rule.reason

    def refuse(head: RequestHead, passage: Passage) -> LocalReply:
        return LocalReply(500, reason)

    return refuse
