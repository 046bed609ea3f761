"""URLRewrite (HTTPURLRewriteFilter): another host or path towards the backend; the query stays.

The new Host is the name as given: the port of the client's Host belonged to the old name. `head.host` stays what was matched.
"""

from __future__ import annotations

from gateway.filters.checks import host_name
from gateway.filters.passage import Passage, RequestFilter
from gateway.filters.paths import NO_PREFIX, compile_path
from gateway.http.head import LocalReply, RequestHead
from gateway.ir.filters import UrlRewrite


def url_rewrite(rule: UrlRewrite) -> RequestFilter:
    """Raises ValueError."""
    hostname = host_name(rule.hostname) if rule.hostname is not None else None
    new_path = compile_path(rule.path) if rule.path is not None else None

    def rewrite(head: RequestHead, passage: Passage) -> LocalReply | None:
        if hostname is not None:
            head.authority = hostname
        if new_path is not None and head.path != b"*":
            path = new_path(head.path, passage.prefix)
            if path is None:
                return LocalReply(500, NO_PREFIX)
            head.path = path
        return None

    return rewrite
