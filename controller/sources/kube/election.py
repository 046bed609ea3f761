"""Holding a Lease: reads and writes it as lease.py wants, for as long as the process runs."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from controller.sources.kube.client import Client
from controller.sources.kube.errors import ApiError, Conflict, NotFound
from controller.sources.kube.lease import Candidate, Record, Terms
from controller.sources.kube.resources import RESOURCES

_LEASE = RESOURCES["Lease"]


@dataclass(frozen=True, slots=True)
class Seat:
    """Which Lease, and under what name it is held: one that no other replica has, the Pod's."""

    namespace: str
    name: str
    identity: str


class Election:
    """Whether this process leads. Run `run` as a task; when that is cancelled the Lease is given back.

    `changed` is called with True when it begins to lead and with False when it ends; `problem` is told in a line why the Lease cannot
    be read or written, once for each spell.
    """

    def __init__(
        self, client: Client, seat: Seat, changed: Callable[[bool], None], problem: Callable[[str], None], terms: Terms | None = None
    ) -> None:
        self._client = client
        self._seat = seat
        self._changed = changed
        self._problem = problem
        self._terms = terms or Terms()
        self._candidate = Candidate(seat.identity, self._terms)
        self._clock = asyncio.get_running_loop().time
        self._read_at = self._clock()
        self._led = False
        self._is_told = False
        self._is_contested = False

    @property
    def leading(self) -> bool:
        """Whether it leads at this moment: false by the clock alone, even while the loop was held up and nothing could run."""
        return self._candidate.leads(self._clock())

    @property
    def leader(self) -> str:
        """The identity of who leads, as far as is known here; "" if nobody does."""
        return self._candidate.leader(self._clock())

    @property
    def in_touch(self) -> bool:
        """Whether the Lease was read lately: otherwise another may lead, and the objects of the cluster may be others by now."""
        return self._clock() - self._read_at < self._terms.deadline

    async def run(self) -> NoReturn:
        """Tries for the Lease, and renews it, for ever."""
        try:
            while True:
                self._is_contested = False
                await self._try()
                self._tell()
                pause = self._terms.retry * random.uniform(1.0, 1.2)
                if self._is_contested:
                    # Another was faster: who it was, and whether it leads, is to be known at once.
                    pause /= 10
                if self.leading:
                    pause = min(pause, self._candidate.until - self._clock())
                await asyncio.sleep(pause)
        finally:
            # First it stops, and says so, then another may begin.
            led = self.leading
            self._candidate.stops()
            self._tell()
            if led:
                await self._give_back()

    async def _try(self) -> None:
        """One look at the Lease, and one write where it is wanted; given up when leading ends, or after the deadline."""
        now = self._clock()
        until = self._candidate.until if self._candidate.leads(now) else now + self._terms.deadline
        try:
            async with asyncio.timeout_at(until):
                self._candidate.observed(await self._read(), self._clock())
                begun = self._clock()
                wanted = self._candidate.wants(begun, _stamp())
                if wanted is not None:
                    self._candidate.wrote(await self._write(wanted), begun)
        except Conflict:
            self._is_contested = True
            return
        except TimeoutError:
            self._tell_problem(f"no answer within {until - now:.1f} s")
            return
        except ApiError as error:
            self._tell_problem(str(error))
            return
        self._is_told = False

    async def _read(self) -> Record:
        try:
            found = Record.of(await self._client.get(_LEASE, self._seat.namespace, self._seat.name))
        except NotFound:
            found = Record()
        self._read_at = self._clock()
        return found

    async def _write(self, record: Record) -> Record:
        seat = self._seat
        metadata = {"namespace": seat.namespace, "name": seat.name}
        if record.version:
            metadata["resourceVersion"] = record.version
        body = {"apiVersion": _LEASE.api_version, "kind": _LEASE.kind, "metadata": metadata, "spec": record.spec()}
        if not record.version:
            return Record.of(await self._client.create(_LEASE, seat.namespace, body))
        return Record.of(await self._client.replace(_LEASE, seat.namespace, seat.name, body))

    async def _give_back(self) -> None:
        """So that another may lead at once. The Lease is read once more, since the write that was broken off may have come through."""
        try:
            async with asyncio.timeout(self._terms.deadline / 2):
                self._candidate.observed(await self._read(), self._clock())
                if (wanted := self._candidate.resigns(_stamp())) is not None:
                    await self._write(wanted)
        except (ApiError, TimeoutError) as error:
            text = str(error) or "no answer"
            self._problem(f"the Lease {self._seat.namespace}/{self._seat.name} is not given back, it ends by itself: {text}")

    def _tell(self) -> None:
        leads = self.leading
        if leads != self._led:
            self._led = leads
            self._changed(leads)

    def _tell_problem(self, text: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._problem(f"the Lease {self._seat.namespace}/{self._seat.name} is neither taken nor renewed: {text}")


def _stamp() -> str:
    """metav1.MicroTime, for people."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
