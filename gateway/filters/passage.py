"""The two shapes of a filter, and what a filter may know of a request besides its head.

A request filter edits the head in place, or answers in the backend's stead. A response filter edits a response's head, whether it
came from a backend or is a local reply.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.http.head import LocalReply, RequestHead, ResponseHead


class Passage:
    """One request on its way through the filters of one rule.

    scheme         b'http' or b'https', as the client sees it
    location_port  the listener's port as the client sees it
    prefix         path prefix of the match that hit, None if that was no PathPrefix match
    edits          response filters for the answer to come; request filters append to it
    """

    __slots__ = ("edits", "location_port", "prefix", "scheme")

    def __init__(self, scheme: bytes, location_port: int, prefix: bytes | None = None) -> None:
        self.scheme, self.location_port, self.prefix = scheme, location_port, prefix
        self.edits: list[ResponseFilter] = []


RequestFilter = Callable[[RequestHead, Passage], LocalReply | None]
ResponseFilter = Callable[[ResponseHead], None]
