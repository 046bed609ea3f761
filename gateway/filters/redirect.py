"""RequestRedirect (HTTPRequestRedirectFilter): the client is sent elsewhere, and no backend is asked.

Location is always an absolute URI: a reference without a scheme could be read as another host's when the path begins with '//'.
"""

from __future__ import annotations

from typing import Final

from gateway.filters.checks import host_name
from gateway.filters.passage import Passage, RequestFilter
from gateway.filters.paths import NO_PREFIX, compile_path, escape_path, escape_query
from gateway.http.head import LocalReply, RequestHead
from gateway.ir.filters import RequestRedirect

_WELL_KNOWN: Final = {b"http": 80, b"https": 443}


def redirect(rule: RequestRedirect) -> RequestFilter:
    """Raises ValueError."""
    scheme = rule.scheme.encode() if rule.scheme is not None else None
    hostname = host_name(rule.hostname) if rule.hostname is not None else None
    port = rule.port if rule.port is not None else _WELL_KNOWN[scheme] if scheme is not None else None
    new_path = compile_path(rule.path) if rule.path is not None else None
    status = rule.status

    def answer(head: RequestHead, passage: Passage) -> LocalReply:
        host = hostname or head.host
        if not host:
            return LocalReply(400, "redirect of a request without Host")
        path = new_path(head.path, passage.prefix) if new_path is not None else head.path
        if path is None:
            return LocalReply(500, NO_PREFIX)
        target = scheme or passage.scheme
        location = target + b"://" + host + _port_suffix(target, port or passage.location_port)
        location += escape_path(path) if path != b"*" else b"/"
        if head.query is not None:
            location += b"?" + escape_query(head.query)
        return LocalReply(status, "redirect", [(b"location", location)])

    return answer


def _port_suffix(scheme: bytes, port: int) -> bytes:
    """Empty for the scheme's well-known port."""
    return b"" if _WELL_KNOWN[scheme] == port else b":%d" % port
