"""An identity over the end of the proxy's process: who is started next goes on under it, and takes up nothing that is no good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate
from mesh.kept_identity import KeptIdentity
from mesh.link import Link, LinkError
from tests.controller.streaming import Running, controller
from tests.gateway.net.serving import until
from tests.mesh.test_link import HOUR, Clock, closed, serial_of, with_clock
from tests.running import run

SCOPE = "Workload shop/cart-1"


def kept(folder: Path, log: list[str] | None = None, scope: str = SCOPE) -> KeptIdentity:
    return KeptIdentity(folder / "identity", scope, "tidegate sidecar", (log if log is not None else []).append)


async def first_life(running: Running, folder: Path, clock: Clock) -> Link:
    """A proxy that has an identity and has kept it."""
    link = with_clock(running, folder, clock)
    await closed(await link.connect())
    keeping = asyncio.create_task(kept(folder).keep(link))
    await until((folder / "identity" / "current.snapshot").exists)
    keeping.cancel()
    return link


def next_life(running: Running, folder: Path, clock: Clock, log: list[str] | None = None, scope: str = SCOPE) -> Link:
    """The proxy that is started in its place, before its first connection."""
    link = with_clock(running, folder, clock)
    kept(folder, log, scope).resume(link)
    return link


async def told(link: Link) -> tuple[AnyResource, ...]:
    identities = link.identities()
    try:
        return await anext(identities)
    finally:
        await identities.aclose()


def test_the_next_process_goes_on_under_the_identity_of_the_one_before(tmp_path: Path) -> None:
    """Key, chain and roots are the same, and there at once, though the authority has nothing to say; connections are made under it."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            before = await first_life(running, tmp_path, clock)
            running.cluster.broken = "the API server is away"
            after = next_life(running, tmp_path, clock)
            assert await told(after) == await told(before)
            await closed(await after.connect())
            assert serial_of(after) == serial_of(before)

    run(test)


def test_the_next_identity_is_asked_for_with_the_first_connection(tmp_path: Path) -> None:
    """Whoever was refused a new one in the meantime does not live on the old one for longer than has to be."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            before = await first_life(running, tmp_path, clock)
            after = next_life(running, tmp_path, clock)
            await closed(await after.connect())
            assert serial_of(after) != serial_of(before)

    run(test)


def test_an_identity_that_is_over_is_left_aside(tmp_path: Path) -> None:
    """The log says until when it was good."""

    async def test() -> None:
        async with controller() as running:
            clock, log = Clock(), list[str]()
            await first_life(running, tmp_path, clock)
            clock.now += 25 * HOUR
            running.cluster.broken = "the API server is away"
            after = next_life(running, tmp_path, clock, log)
            assert after.identity is None
            assert "is left aside: it was good until 20" in log[0]
            with pytest.raises(LinkError):
                await after.connect()

    run(test)


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty"])
def test_what_is_damaged_is_refused_aloud(harm: str, tmp_path: Path) -> None:
    """Then there is no identity, as at a first start."""

    async def test() -> None:
        async with controller() as running:
            clock, log = Clock(), list[str]()
            await first_life(running, tmp_path, clock)
            file = tmp_path / "identity" / "current.snapshot"
            content = file.read_bytes()
            flipped = content[:500] + bytes([content[500] ^ 1]) + content[501:]
            file.write_bytes({"cut": content[:-1], "flipped": flipped, "empty": b""}[harm])
            after = next_life(running, tmp_path, clock, log)
            assert after.identity is None
            assert f"{file} is refused" in log[0]

    run(test)


def test_nobody_takes_up_the_identity_of_another(tmp_path: Path) -> None:
    """A folder that was left to another workload."""

    async def test() -> None:
        async with controller() as running:
            clock, log = Clock(), list[str]()
            await first_life(running, tmp_path, clock)
            after = next_life(running, tmp_path, clock, log, "Workload shop/cart-2")
            assert after.identity is None
            assert "it is of another configuration (the identity of Workload shop/cart-1)" in log[0]

    run(test)


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    """As of every private key that we write."""

    async def test() -> None:
        async with controller() as running:
            link = await first_life(running, tmp_path, Clock())
            certificate, _ = await told(link)
            assert isinstance(certificate, Certificate)
            folder = tmp_path / "identity"
            assert folder.stat().st_mode & 0o777 == 0o700
            files = list(folder.iterdir())
            assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * len(files)

    run(test)
