"""A data plane of several processes: this one is the parent, binds the ports, and publishes to its workers what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from controller.publish import Publisher
from controller.publish import Standing as Subscribed
from gateway.descriptors import Place
from gateway.following.desired import Difference
from gateway.ir.batch import Rejection
from gateway.net.sockets import BindError
from gateway.options import RuntimeOptions
from gateway.parent import Workers
from gateway.telemetry.statistics import Sample, Statistics, Totals
from tidegate.gathering import gather

_EXPLAIN_TIMEOUT: Final = 5.0


class WorkerProcesses:
    """See gateway.following.serving.Serving. `moved` is told that a worker stands elsewhere than before, or is gone."""

    def __init__(self, options: RuntimeOptions, message: Callable[[str], None], moved: Callable[[], None]) -> None:
        self._message = message
        self._publisher = Publisher(message, moved)
        self._workers = Workers(options.workers, self._publisher, self, options)
        self._totals = Totals()
        self._ended = 0

    def message(self, text: str) -> None:
        """See gateway.parent.Observer."""
        self._message(text)

    def ended(self, worker: str) -> None:
        """See gateway.parent.Observer: what it counted stays counted."""
        self._totals.ended(worker)
        self._ended += 1

    @property
    def revision(self) -> int:
        return self._publisher.revision

    @property
    def processes(self) -> Sequence[Subscribed]:
        return self._publisher.subscribers

    def open(self, place: Place) -> BindError | None:
        return self._workers.open(place)

    def close(self, place: Place) -> None:
        self._workers.close(place)

    async def let_go(self) -> None:
        await self._workers.let_go()

    async def apply(self, difference: Difference) -> None:
        await self._publisher.acknowledged(self._publisher.publish(difference.set, difference.remove))

    def rejections(self) -> tuple[Rejection, ...]:
        """What workers could not build, with each reason that one has."""
        found = self._publisher.rejections().items()
        return tuple([Rejection(kind, key, "; ".join(reasons)) for (kind, key), reasons in sorted(found)])

    async def statistics(self) -> tuple[Statistics, ...]:
        own = Statistics(
            counters=(
                Sample("tidegate_connections_handed_over_total", (), self._workers.handed),
                Sample("tidegate_worker_ends_total", (), self._ended),
            ),
            gauges=(Sample("tidegate_workers", (), self._workers.running),),
        )
        return *await gather(self._publisher, self._totals), own

    async def explain(self, argument: bytes) -> bytes | None:
        """The first answer is as good as any: all workers have the same tables."""
        answers = await self._publisher.ask("explain", argument, _EXPLAIN_TIMEOUT, first=True)
        return next((bytes(answer) for answer in answers.values()), None)

    async def run(self) -> None:
        await self._workers.run()

    async def drain(self, delay: float, timeout: float) -> bool:
        return await self._workers.drain(delay, timeout)

    def stop(self) -> None:
        self._workers.stop()
