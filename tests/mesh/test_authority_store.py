"""The authority in its store: made once by whoever is first, the same for all replicas, renewed with an overlap."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from mesh.authority_store import Stored, StoredAuthority
from mesh.roots import LEAF_LIFETIME, ROOT_LIFETIME, UnreadableRoot, read_roots, stored
from tests.controller.streaming import TRUST_DOMAIN, new_root
from tests.running import run


class Memory:
    """A store as a Secret is: created once, replaced at a version."""

    def __init__(self, data: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.version = 1
        self.broken = False
        self.rotation_asked = False

    def ask(self) -> None:
        """As `kubectl annotate` does: that is another version, too."""
        self.rotation_asked, self.version = True, self.version + 1

    async def load(self) -> Stored | None:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("the API server is away")
        return None if self.data is None else Stored(str(self.version), self.data, self.rotation_asked)

    async def create(self, data: Mapping[str, str]) -> bool:
        await asyncio.sleep(0)
        if self.data is not None:
            return False
        self.data = data
        return True

    async def replace(self, data: Mapping[str, str], version: str) -> bool:
        await asyncio.sleep(0)
        if version != str(self.version):
            return False
        self.data, self.version, self.rotation_asked = data, self.version + 1, False
        return True


def bundle(authority: StoredAuthority, now: datetime | None = None) -> str:
    return authority.current.bundle(now or datetime.now(UTC))


def opened(store: Memory) -> StoredAuthority:
    return StoredAuthority(store, TRUST_DOMAIN, lambda problem: None)


def test_two_replicas_that_start_together_have_one_root() -> None:
    """Whoever comes second finds the Secret made and reads it."""

    async def test() -> None:
        store = Memory()
        first, second = opened(store), opened(store)
        await asyncio.gather(first.open(), second.open())
        assert bundle(first) == bundle(second)
        assert store.data is not None
        assert store.data["tls.crt"] == bundle(first)

    run(test)


def test_a_root_that_nears_its_end_gets_a_successor_and_goes_when_that_has_settled() -> None:
    """One replica adds it, all others read it; both are trusted for the overlap, then the old one is dropped from the store."""

    async def test() -> None:
        now = datetime.now(UTC)
        old = new_root(now=now - ROOT_LIFETIME + timedelta(days=100))
        store = Memory(stored([old]))
        one, other = opened(store), opened(store)
        await one.open()
        await other.open()
        assert bundle(one) == old.pem
        await asyncio.gather(one.refresh(now), other.refresh(now))
        await one.refresh(now)
        await other.refresh(now)
        assert store.data is not None
        assert store.version == 2
        successor = read_roots(store.data)[1]
        assert bundle(one, now) == bundle(other, now) == old.pem + successor.pem
        await one.refresh(now + 4 * LEAF_LIFETIME)
        assert [root.certificate for root in read_roots(store.data)] == [successor.certificate]

    run(test)


def test_a_root_that_somebody_asks_for_follows_the_one_that_is_there() -> None:
    """Once for each wish, whichever replica sees it; one that comes while roots change waits until they have, and each step is told."""

    async def test() -> None:
        now = datetime.now(UTC)
        old = new_root(now=now - timedelta(days=30))
        store = Memory(stored([old]))
        told: list[str] = []
        one, other = StoredAuthority(store, TRUST_DOMAIN, told.append), opened(store)
        await one.open()
        await other.open()
        store.ask()
        await one.refresh(now)
        await other.refresh(now)
        assert store.version == 3
        second = read_roots(store.data or {})[1]
        assert bundle(one, now) == bundle(other, now) == old.pem + second.pem
        assert [line.partition(";")[0] for line in told] == ["a new root certificate is made, and trusted from now on"]
        store.ask()
        await one.refresh(now + LEAF_LIFETIME)
        assert store.version == 4
        over = now + 4 * LEAF_LIFETIME
        await one.refresh(over)
        third = read_roots(store.data or {})[1]
        assert bundle(one, over) == second.pem + third.pem
        assert told[1] == "the old root certificate is trusted no more: all that it had signed has ended"

    run(test)


def test_a_store_that_fails_leaves_the_authority_as_it_is() -> None:
    """Certificates are issued without it; it is needed only to start."""

    async def test() -> None:
        store = Memory()
        authority = opened(store)
        await authority.open()
        before = bundle(authority)
        store.broken = True
        with pytest.raises(OSError, match="API server is away"):
            await authority.refresh(datetime.now(UTC))
        assert bundle(authority) == before
        store.broken, store.data, store.version = False, {"tls.crt": "no"}, 9
        with pytest.raises(UnreadableRoot):
            await authority.refresh(datetime.now(UTC))
        assert bundle(authority) == before

    run(test)


def test_an_authority_that_somebody_replaced_is_taken_over() -> None:
    """A Secret that was deleted or restored is read at the next look."""

    async def test() -> None:
        store = Memory()
        authority = opened(store)
        await authority.open()
        root = new_root()
        store.data, store.version = stored([root]), 2
        await authority.refresh(datetime.now(UTC))
        assert bundle(authority) == root.pem

    run(test)
