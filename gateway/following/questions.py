"""What a controller may ask a data plane, over the stream that brings it the configuration."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.ir.batch import Ask
from gateway.pages import Subject

_NOBODY: object = {"error": "no worker answers"}


class Questions:
    """The answers. What belongs between a parent and its workers, such as an order to drain, is no question of a controller."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def reply(self, ask: Ask) -> msgspec.Raw:
        """See subscribe.Reply."""
        answer: object
        match ask.what:
            case "statistics":
                answer = await self._subject.statistics()
            case "explain":
                found = await self._subject.explain(bytes(ask.argument))
                answer = _NOBODY if found is None else msgspec.Raw(found)
            case "time":
                answer = asyncio.get_running_loop().time()
            case _:
                answer = {"error": f"a data plane does not know the question {ask.what!r}"}
        return msgspec.Raw(msgspec.json.encode(answer))
