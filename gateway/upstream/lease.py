"""What an attempt holds of a backend, where that is counted or watched: a place among its exchanges, a trial, a place in line."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.upstream.health import State

if TYPE_CHECKING:
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Waiting
    from gateway.upstream.endpoint import Endpoint


class Lease:
    """Taken when an endpoint is chosen, released when the attempt ends, however it ends. Released once is released.

    waiting  the attempt's place in line for a connection, None while it has or makes one
    """

    __slots__ = ("_endpoint", "_held", "_trial", "backend", "began", "waiting")

    def __init__(self, backend: Backend, endpoint: Endpoint) -> None:
        self.backend, self._endpoint = backend, endpoint
        self._held = True
        self.waiting: Waiting | None = None
        backend.active += 1
        endpoint.active += 1
        self._trial = endpoint.protection.try_out(endpoint) if endpoint.health.state is State.DUE else 0.0
        self.began = monotonic()

    def answered_well(self) -> None:
        """The endpoint's answer says nothing against it."""
        self._endpoint.protection.answered_well(self._endpoint, self.began)

    def release(self) -> None:
        if not self._held:
            return
        self._held = False
        self.backend.active -= 1
        self._endpoint.active -= 1
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.leave()
        if self._trial:
            self._endpoint.protection.trial_ended(self._endpoint, self._trial)
