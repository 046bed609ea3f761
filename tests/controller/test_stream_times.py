"""When certificates of proxies are good at the controller's stream, over real TLS: their time, and clocks that differ."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.ir.batch import Subscribe
from mesh.roots import BACKDATED
from tests.controller.streaming import controller, gateway
from tests.running import run

WEB = ("shop", "web-tidegate")


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        pytest.param(timedelta(hours=25), "certificate has expired", id="expired"),
        pytest.param(timedelta(hours=-1), "certificate is not yet valid", id="from a clock that is an hour ahead"),
    ],
)
def test_a_certificate_out_of_its_time_is_not_taken(ago: timedelta, words: str) -> None:
    """The handshake fails (RFC 5280 6.1.3), and the log says by which end of the time."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(WEB, now=datetime.now(UTC) - ago))
            peer.send(Subscribe("pod", "shop/web"))
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await peer.answer()
            await peer.close()
            assert words in "".join(running.problems)

    run(test)


def test_clocks_may_differ_by_a_little() -> None:
    """A replica whose clock is ahead certifies, and one with the right time takes it (mesh.roots.BACKDATED)."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(WEB, now=datetime.now(UTC) + BACKDATED - timedelta(seconds=20)))
            await peer.subscribed("shop/web")
            await peer.close()

    run(test)


def test_a_connection_ends_with_its_certificate() -> None:
    """Whoever does not renew is cut off when its time is over, though the handshake was in time."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(WEB, now=datetime.now(UTC) - timedelta(hours=24, seconds=-1)))
            await peer.subscribed("shop/web")
            assert await peer.ended()
            await peer.close()

    run(test)
