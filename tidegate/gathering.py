"""The numbers of worker processes, asked for over the configuration stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from controller.publish import Publisher
from gateway.telemetry.statistics import Statistics, Totals

_TIMEOUT: Final = 2.0


async def gather(publisher: Publisher, totals: Totals) -> tuple[Statistics, ...]:
    """Of all workers there are and were. One that does not answer counts with what it told last.

    10,000 series of a worker are milliseconds of work each time they are gone through, so the loop has its turn in between.
    """
    for name, answer in (await publisher.ask("statistics", timeout=_TIMEOUT)).items():
        with contextlib.suppress(msgspec.MsgspecError):  # a worker that failed to count answers with its failure
            totals.told(name, msgspec.json.decode(answer, type=Statistics))
        await asyncio.sleep(0)
    return totals.parts()
