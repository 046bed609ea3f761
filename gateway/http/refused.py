"""The one exception of the codecs: a message that is refused, with the status to answer and the reason to log."""

from __future__ import annotations


class Refused(Exception):
    """`status` is answered to whoever sent the message, `reason` is logged; nothing of the message reaches the other side."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
