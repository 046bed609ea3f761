"""What is wanted, and what a batch makes different in it."""

from __future__ import annotations

from gateway.following.desired import Desired, Difference
from gateway.ir.backend import Backend
from gateway.ir.batch import Batch
from gateway.ir.value import Source
from tests.running import run

SOURCE = Source("Service", "default", "s")


def backend(key: str, version: int = 0) -> Backend:
    return Backend(key=key, source=SOURCE, error=f"version {version}")


async def taken(desired: Desired, batch: Batch) -> Difference:
    difference = await desired.difference(batch)
    desired.take(difference)
    return difference


def test_a_snapshot_is_the_difference_that_it_makes() -> None:
    """Issue 6: after a reconnect nothing that is the same is built anew; what the snapshot does not have is gone."""

    async def test() -> None:
        desired = Desired()
        first = await taken(desired, Batch(1, (backend("b"), backend("a"), backend("c")), snapshot=True))
        assert first == Difference((backend("a"), backend("b"), backend("c")))
        second = await taken(desired, Batch(7, (backend("a"), backend("b", 2), backend("d")), snapshot=True))
        assert second == Difference((backend("b", 2), backend("d")), (("Backend", "c"),))
        assert await taken(desired, Batch(8, tuple(desired.resources.values()), snapshot=True)) == Difference()
        assert desired.kinds == {"Backend": 3}

    run(test)


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    """What is named and differs is set; what is removed and there is gone; a resource that is removed and set is set."""

    async def test() -> None:
        desired = Desired()
        await taken(desired, Batch(1, (backend("a"), backend("b"), backend("c"))))
        gone = (("Backend", "a"), ("Backend", "b"), ("Backend", "never"))
        assert await taken(desired, Batch(2, (backend("b", 2), backend("c")), gone)) == Difference((backend("b", 2),), (("Backend", "a"),))
        assert sorted(desired.resources) == [("Backend", "b"), ("Backend", "c")]
        assert desired.kinds == {"Backend": 2}

    run(test)


def test_what_cannot_be_read_stays_in_its_last_version() -> None:
    """A newer controller's version of a resource that this proxy cannot read takes nothing away, in a snapshot either."""

    async def test() -> None:
        desired = Desired()
        await taken(desired, Batch(1, (backend("a"), backend("b")), snapshot=True))
        assert await desired.difference(Batch(2, (), snapshot=True), {("Backend", "a")}) == Difference((), (("Backend", "b"),))

    run(test)


def test_asking_changes_nothing() -> None:
    """A difference that is not taken has not happened."""

    async def test() -> None:
        desired = Desired()
        await desired.difference(Batch(1, (backend("a"),)))
        assert not desired.resources

    run(test)
