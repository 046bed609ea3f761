"""Runs an asynchronous test on a fresh uvloop, under a limit of time that no test reaches unless it hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

LIMIT = 30.0
"""Seconds."""


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await test()

    uvloop.run(limited())
