"""The path of a change: what a batch makes different, which of its listeners have a port, what serves it, and what could not be done.

    batch ─> Desired (the difference) ─> Own (what is ours) ─> Placing ─> Ports (may it be bound?) ─> Serving (in place) ─> rejections

A listener whose port cannot be bound is a rejection. It is tried again with every change and every two seconds, and who follows is told
when that, or anything else of what could not be done, becomes otherwise.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final, NoReturn

from gateway.following.desired import Desired, Difference
from gateway.following.own import Own
from gateway.following.placing import AS_MEANT, CHOOSE, Placing
from gateway.following.serving import Serving
from gateway.ir.batch import AnyResource, Batch, Rejection, digest
from gateway.ir.listener import Listener
from gateway.ir.value import Identity
from gateway.net.sockets import BindError, readable
from gateway.ports import Ports

RETRY: Final = 2.0
"""Seconds between two tries of a port that could not be bound."""

def refusal(error: BindError, remedies: Mapping[int, str]) -> str:
    """Why a place cannot be bound, in the system's words too, and what to do where nobody has a command line."""
    number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
    system = f" ({os.strerror(number)})" if number else ""
    return f"cannot listen on {readable(error.address, error.port)}: {error.reason}{system}; {remedies.get(number or 0, CHOOSE)}"


class DataPlane:
    """Owner of what is wanted and of the answer to which ports are open; what serves, what is the proxy's own and where it is served are
    their owners'.

    revision   of the controller's last batch that is in place; 0 before the first
    configured whether anything is in place, even nothing at all
    changed    set whenever something has come in place; whoever waits for it clears it
    """

    def __init__(
        self,
        serving: Serving,
        report: Callable[[tuple[Rejection, ...]], None],
        own: Own | None = None,
        placing: Placing = AS_MEANT,
    ) -> None:
        self._serving = serving
        self._placing = placing
        self._own = own or Own()
        self._report = report
        self._ports = Ports(serving.open, serving.close)
        self._one_at_a_time = asyncio.Lock()
        self._reported: tuple[Rejection, ...] = ()
        self.desired = Desired()
        self.revision = 0
        self.configured = False
        self.changed = asyncio.Event()

    async def take(self, batch: Batch, unreadable: Container[Identity] = ()) -> tuple[Rejection, ...]:
        """Puts a batch in place; returns every rejection that stands afterwards. Raises what a fault of ours raises.

        `unreadable` is what the controller has in a version that no batch could bring here.
        """
        async with self._one_at_a_time:
            difference = await self.desired.difference(batch, unreadable)
            self.desired.take(difference)
            await self._put(self._own.join(difference))
            self.revision = batch.revision
            self.configured = True
            self.changed.set()
            self._reported = self.rejections()
            return self._reported

    async def identify(self, identity: Iterable[AnyResource]) -> None:
        """Puts an identity in place, in the stead of the one before; with the first batch where there has been none yet."""
        async with self._one_at_a_time:
            self._own.give(identity)
            if self.configured:
                await self._put(self._own.join())
        self.reconsider()

    def resources(self) -> Iterable[AnyResource]:
        """All that is wanted, what is the proxy's own included."""
        return (*self.desired.resources.values(), *self._own.resources.values())

    @property
    def own_refusal(self) -> str:
        """Why a listener that is the proxy's own has no port; '' if all have theirs."""
        own = self._own.resources
        return next((self._refusal(error) for key, error in self._ports.failures.items() if ("Listener", key) in own), "")

    def rejections(self) -> tuple[Rejection, ...]:
        """What could not be built or bound, each once, in order."""
        unbound = {("Listener", key): self._refusal(error) for key, error in self._ports.failures.items()}
        others = [one for one in self._serving.rejections() if (one.kind, one.key) not in unbound]
        return tuple(sorted((*others, *(Rejection(*identity, why) for identity, why in unbound.items())), key=_order))

    def _refusal(self, error: BindError) -> str:
        return refusal(error, self._placing.remedies)

    async def digest(self) -> str:
        """Of what is wanted, so that whoever wants the same need not send it; '' while nothing is in place."""
        async with self._one_at_a_time:
            resources = tuple(self.desired.resources.values())
            return await asyncio.to_thread(digest, resources) if self.configured else ""

    def listeners(self) -> tuple[Listener, ...]:
        """Those whose port is bound, by key."""
        return tuple(listener for _, listener in sorted(self._ports.listeners.items()))

    def reconsider(self) -> None:
        """Somebody who serves stands elsewhere than before. While a batch is put in place its acknowledgement will tell."""
        if self.configured and not self._one_at_a_time.locked():
            rejected = self.rejections()
            if rejected != self._reported:
                self._reported = rejected
                self._report(rejected)

    async def retry(self) -> NoReturn:
        """Tries ports again that could not be bound, until cancelled."""
        while True:
            await asyncio.sleep(RETRY)
            if self._ports.failures:
                async with self._one_at_a_time:
                    await self._serve(Difference(self._ports.retry()))
                self.reconsider()

    async def _put(self, difference: Difference) -> None:
        placed = self._placing.place(difference)
        admitted = self._ports.admit(placed.set, placed.remove)
        await self._serve(Difference(admitted.set, admitted.remove))
        while admitted.listeners and self._ports.release():
            await self._serving.let_go()
            await self._serve(Difference(self._ports.retry()))

    async def _serve(self, difference: Difference) -> None:
        if difference.set or difference.remove or not self._serving.revision:
            await self._serving.apply(difference)


def _order(rejection: Rejection) -> tuple[str, str, str]:
    return rejection.kind, rejection.key, rejection.reason
