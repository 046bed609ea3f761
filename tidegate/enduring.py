"""Work that goes on until it is cancelled, whatever becomes of it: in a program that serves, nothing but a signal may end anything."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

_PAUSE_AFTER_FAULT: Final = 1.0


async def endure(what: str, work: Callable[[], Awaitable[None]], message: Callable[[str], None]) -> NoReturn:
    """A fault of ours is told with its place, and the work begins anew."""
    while True:
        try:
            await work()
        except Exception as fault:
            error = fault
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            message(f"{what} failed, which is a fault of Tidegate, and goes on: {type(error).__name__}: {error} ({where})")
        await asyncio.sleep(_PAUSE_AFTER_FAULT)
