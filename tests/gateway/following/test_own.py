"""What a proxy has of its own goes with what its controller wants, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.following.data_plane import DataPlane
from gateway.following.desired import Difference
from gateway.following.own import Own
from gateway.following.snapshots import Snapshots
from gateway.ir.backend import Backend
from gateway.ir.batch import AnyResource, Batch, digest
from gateway.ir.listener import Certificate, Secret
from gateway.ir.value import Source
from tests.gateway.following.test_plane import OTHER, Fake
from tests.running import run


def certificate(fingerprint: str) -> Certificate:
    return Certificate("@mesh/identity", Source("Identity", "", "@mesh"), "chain", Secret("the private key"), fingerprint)


class Mirror:
    """One resource that follows from each Backend, once there is an identity."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}

    def follow(self, difference: Difference) -> None:
        for _, key in difference.remove:
            self.keys.pop(key, None)
        self.keys.update((resource.key, None) for resource in difference.set)

    def resources(self, *, identified: bool) -> Iterable[AnyResource]:
        return [Backend(f"own/{key}", OTHER.source) for key in self.keys] if identified else []


def made(own: Own) -> tuple[Fake, DataPlane]:
    fake = Fake()
    return fake, DataPlane(fake, fake.reported.append, own)


def test_an_identity_goes_with_the_first_batch_and_each_new_one_by_itself() -> None:
    """Before there is a configuration nothing is in place; a renewal sends what differs and no more."""

    async def test() -> None:
        fake, data_plane = made(Own())
        await data_plane.identify([certificate("one")])
        assert (fake.told, data_plane.configured) == ([], False)
        await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        await data_plane.identify([certificate("one")])
        await data_plane.identify([certificate("two")])
        assert fake.told == ["apply +@mesh/identity +default/s:80", "apply +@mesh/identity"]
        assert data_plane.revision == 1

    run(test)


def test_what_follows_from_the_controllers_words_goes_with_them() -> None:
    """In one step, and out again in one."""

    async def test() -> None:
        fake, data_plane = made(Own(Mirror()))
        await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        await data_plane.identify([certificate("one")])
        await data_plane.take(Batch(2, (), (OTHER.identity,)))
        assert fake.told == [
            "apply +default/s:80", "apply +@mesh/identity +own/default/s:80", "apply -own/default/s:80 -default/s:80",
        ]  # fmt: skip

    run(test)


def test_no_controller_replaces_or_removes_it() -> None:
    """A snapshot removes what it does not hold, but not this; nor does a resource of the same name come in its place."""

    async def test() -> None:
        fake, data_plane = made(Own())
        await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        await data_plane.identify([certificate("ours")])
        await data_plane.take(Batch(2, (certificate("theirs"),), snapshot=True))
        await data_plane.take(Batch(3, (), (("Certificate", "@mesh/identity"),)))
        assert fake.told[2:] == ["apply -default/s:80"]
        assert list(data_plane.resources())[-1] == certificate("ours")

    run(test)


def test_it_stands_in_no_digest_and_no_snapshot(tmp_path: Path) -> None:
    """A controller that wants the same is not asked for it anew, and the private key never lies on a disk."""

    async def test() -> None:
        fake, data_plane = made(Own())
        await data_plane.identify([certificate("one")])
        await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        assert await data_plane.digest() == digest((OTHER,))
        snapshots = Snapshots(tmp_path, "Workload shop/a", "a test", fake.told.append)
        await snapshots.write(data_plane)

    run(test)
    (written,) = tmp_path.iterdir()
    assert b"default/s:80" in written.read_bytes()
    assert b"private key" not in written.read_bytes()
