"""What serves in a data plane: the process itself, or worker processes of which it is the parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.descriptors import Place
from gateway.following.desired import Difference
from gateway.ir.batch import Rejection
from gateway.net.sockets import BindError
from gateway.telemetry.statistics import Statistics


class Standing(Protocol):
    """Where a serving process stands, in revisions of the data plane's own."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> int: ...


class Serving(Protocol):
    """Changed by one caller, one `apply` after another."""

    @property
    def revision(self) -> int:
        """Of the last change, counted by what serves; 0 before the first."""

    @property
    def processes(self) -> Sequence[Standing]:
        """Everyone who serves."""

    def open(self, place: Place) -> BindError | None:
        """Binds a place, before the listener that needs it; says why if it cannot be bound."""

    def close(self, place: Place) -> None:
        """Gives up a place, which no listener uses any more."""

    async def let_go(self) -> None:
        """Returns when what was closed can be bound by others."""

    async def apply(self, difference: Difference) -> None:
        """Returns when it serves everywhere. The first counts even when empty. Raises what a fault of ours raises; what did not come in
        place comes with the next change."""

    def rejections(self) -> tuple[Rejection, ...]:
        """What stands now of what could not be built."""

    async def statistics(self) -> Sequence[Statistics]:
        """Numbers of all serving processes there are and were."""

    async def explain(self, argument: bytes) -> bytes | None:
        """See gateway.pages.Subject."""

    async def run(self) -> None:
        """Keeps it going until `drain` or `stop` has ended it."""

    async def drain(self, delay: float, timeout: float) -> bool:
        """Accepts for `delay` seconds more and finishes within `timeout`; whether it ended as it should."""

    def stop(self) -> None:
        """Ends it at once."""
