"""Leaves out endpoints that fail, and lets them back in: what requests report, probes and timers (BackendPolicy.ejection).

One per backend and worker, so that all routes learn from each other's failures. `health` decides; this module keeps the time.
Nothing here runs while all goes well.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from gateway.ir.backend import Ejection
from gateway.upstream.health import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.proxy.core import Core
    from gateway.upstream.endpoint import Endpoint

PROBE_LIMIT: Final = 1.0
"""Seconds a probe may take to connect."""


class Protected(Protocol):
    """A backend, as far as it is told of its endpoints' health."""

    def arrange(self) -> None:
        """Who takes part may differ."""

    def guard(self) -> None:
        """There are suspects for the first time, or no longer."""


class Protection:
    """Owner of what endpoints are suspected of, and of the timers that end it.

    The backend, which may be gone by then, is told what follows.
    """

    __slots__ = ("_backend", "_core", "_key", "options", "suspects")

    def __init__(self, core: Core, key: str, backend: Callable[[], Protected | None]) -> None:
        """`key` is the backend's, for the statistics; `backend` gives it as long as it is there."""
        self._core, self._key, self._backend = core, key, backend
        self.options = Ejection()
        self.suspects: dict[Endpoint, asyncio.TimerHandle | asyncio.Task[None] | None] = {}
        """Endpoints of which a good answer would be news, with what is under way about them: a wait, or a probe."""

    # what exchanges report

    def connect_failed(self, endpoint: Endpoint, reason: str) -> None:
        """No connection came about."""
        if not self.options.connect_failures or endpoint.retired:
            return
        health = endpoint.health
        wait = health.connect_failed(reason, monotonic(), self._core.random.random())
        if wait is not None:
            self._leave_out(endpoint, "connect", wait, self._probe)

    def answered_badly(self, endpoint: Endpoint, reason: str, began: float) -> None:
        """A reset, a timeout, a malformed answer or one of 502, 503, 504, to an attempt that began at `began`."""
        health = endpoint.health
        if began < health.since or endpoint.retired:
            return
        wait = health.answered_badly(self.options, reason, monotonic(), self._core.random.random())
        if wait is not None:
            self._leave_out(endpoint, "answers", wait, self._end_ejection)
        elif health.suspect and endpoint not in self.suspects:
            self.suspects[endpoint] = None
            self._tell(changed=False)

    def answered_well(self, endpoint: Endpoint, began: float) -> None:
        health = endpoint.health
        if began >= health.since and health.suspect:
            before = health.state
            health.answered_well(monotonic())
            self.forget(endpoint)
            self._tell(changed=before is not State.IN)

    def try_out(self, endpoint: Endpoint) -> float:
        """A request begins that decides whether the endpoint is back; until then there is no other. Returns when that was."""
        endpoint.health.try_out(monotonic())
        self._tell()
        return endpoint.health.since

    def trial_ended(self, endpoint: Endpoint, began: float) -> None:
        """The request of the trial that began at `began` is over; unless its answer told something the next one is the trial."""
        health = endpoint.health
        if health.state is State.TRIAL and health.since == began and endpoint in self.suspects:
            health.trial_void(monotonic())
            self._tell()

    # time

    def _leave_out(self, endpoint: Endpoint, cause: str, wait: float, then: Callable[[Endpoint], None]) -> None:
        self._core.incidents.count("tidegate_endpoint_ejections_total", self._key, "cause", cause)
        self.forget(endpoint)
        self._after(endpoint, wait, then)
        self._tell()

    def _after(self, endpoint: Endpoint, wait: float, then: Callable[[Endpoint], None]) -> None:
        self.suspects[endpoint] = self._core.loop.call_later(wait, then, endpoint)

    def _end_ejection(self, endpoint: Endpoint) -> None:
        self.suspects[endpoint] = None
        endpoint.health.ejection_over(monotonic())
        self._tell()

    def _probe(self, endpoint: Endpoint) -> None:
        self.suspects[endpoint] = self._core.start(self._try_to_connect(endpoint))

    async def _try_to_connect(self, endpoint: Endpoint) -> None:
        reason = ""
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                address = await self._core.resolver.address(endpoint.address)
                if (address, endpoint.port) in self._core.forbidden:
                    raise OSError("an address of this proxy itself")
                transport, _ = await self._core.loop.create_connection(asyncio.Protocol, address, endpoint.port)
                transport.abort()
        except TimeoutError:
            reason = f"no connection within {PROBE_LIMIT:g} s"
        except OSError as error:
            reason = str(error)
        if reason:
            self._after(endpoint, endpoint.health.probe_failed(reason, self._core.random.random()), self._probe)
        else:
            self.suspects[endpoint] = None
            endpoint.health.probed(monotonic())
            self._tell()

    # ends

    def forget(self, endpoint: Endpoint) -> None:
        """Nothing is held against it any more, or it is gone."""
        under_way = self.suspects.pop(endpoint, None)
        if under_way is not None:
            under_way.cancel()

    def close(self) -> None:
        for endpoint in list(self.suspects):
            self.forget(endpoint)

    def _tell(self, *, changed: bool = True) -> None:
        """The backend, whether or not who takes part may differ."""
        backend = self._backend()
        if backend is not None:
            (backend.arrange if changed else backend.guard)()
