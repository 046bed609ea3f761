"""The health of an endpoint as this worker sees it: what real requests say of it, and what active checks say (pure).

From answers: IN while it serves. A connect that fails puts it OUT until a probe connects. Bad answers in a row eject it for a while;
then it is DUE, takes part for one request as a TRIAL, and the answer to that one decides. What requests say that began before
the present state did is out of date and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol, TypeVar

from gateway.ir.backend import Ejection

FIRST_PROBE: Final = 0.1
"""Seconds from a failed connect to the first probe; each that follows waits twice as long."""
LAST_PROBE: Final = 1.0
JITTER: Final = 0.2
"""Every wait is shorter by up to this part, so that workers do not march in step."""


class State(Enum):
    IN = "in"
    PROBED = "no connection"
    EJECTED = "bad answers"
    DUE = "due"
    TRIAL = "on trial"


class Health:
    """Changed by the backend's `Protection` and `Checks` alone.

    checked  whether active checks find it healthy, or none are made yet
    reason   what happened last, in words; '' for an endpoint that nothing is known against
    since    seconds of the clock at which the present state began
    """

    __slots__ = ("_ejections", "_errors", "_probes", "_returned", "check_reason", "checked", "reason", "since", "state")

    def __init__(self) -> None:
        self.state = State.IN
        self.since = 0.0
        self.reason = self.check_reason = ""
        self.checked = True
        self._errors = 0
        self._ejections = 0
        """One after another, without MAX_TIME of health between them."""
        self._returned = 0.0
        self._probes = 0
        """Since it last answered."""

    @property
    def healthy(self) -> bool:
        """Whether it takes part."""
        return self.checked and (self.state is State.IN or self.state is State.DUE)

    @property
    def suspect(self) -> bool:
        """Whether a good answer would change anything."""
        return self.state is not State.IN or bool(self._errors or self._probes)

    def connect_failed(self, reason: str, now: float, draw: float) -> float | None:
        """Seconds until it is to be probed; None if it is out already. `draw` is uniform in [0, 1), as everywhere here."""
        if self.state in (State.PROBED, State.EJECTED):
            return None
        self._enter(State.PROBED, reason, now)
        return self._probe_wait(draw)

    def probe_failed(self, reason: str, draw: float) -> float:
        """Seconds until the next probe."""
        self.reason = reason
        return self._probe_wait(draw)

    def probed(self, now: float) -> None:
        """A probe connected. One that was ejected before has to stand its trial."""
        self._enter(State.DUE if self._ejections and self._errors else State.IN, self.reason, now)

    def _probe_wait(self, draw: float) -> float:
        wait = min(FIRST_PROBE * (1 << min(self._probes, 10)), LAST_PROBE)
        self._probes += 1
        return wait * (1 - JITTER * draw)

    def answered_badly(self, options: Ejection, reason: str, now: float, draw: float) -> float | None:
        """Seconds for which it is ejected now, None if it is not."""
        if not options.consecutive_errors or self.state not in (State.IN, State.TRIAL):
            return None
        self._errors += 1
        self.reason = reason
        if self.state is State.IN and self._errors < options.consecutive_errors:
            return None
        if self.state is State.IN and now - self._returned > options.max_time / 1000:
            self._ejections = 0
        wait = min(options.base_time << min(self._ejections, 20), options.max_time) / 1000
        self._ejections += 1
        self._enter(State.EJECTED, f"{self._errors} bad answers in a row, the last: {reason}", now)
        return wait * (1 - JITTER * draw)

    def ejection_over(self, now: float) -> None:
        self._enter(State.DUE, self.reason, now)

    def try_out(self, now: float) -> None:
        """The request on which it is judged begins."""
        self._enter(State.TRIAL, self.reason, now)

    def trial_void(self, now: float) -> None:
        """That request ended without telling anything; another is to."""
        self._enter(State.DUE, self.reason, now)

    def answered_well(self, now: float) -> None:
        if self.state is not State.IN:
            self._enter(State.IN, "", now)
            self._returned = now
        self._errors = self._probes = 0
        self.reason = ""

    def _enter(self, state: State, reason: str, now: float) -> None:
        self.state, self.reason, self.since = state, reason, now


class Described(Protocol):
    """An endpoint as its EndpointSet describes it, and its health."""

    ready: bool
    terminating: bool
    weight: int

    @property
    def health(self) -> Health: ...


D = TypeVar("D", bound=Described)


def members_of(endpoints: Sequence[D]) -> tuple[D, ...]:
    """Endpoints that would take part if all were healthy: those that are ready; if there are none, those that terminate and still serve."""
    ready = tuple(endpoint for endpoint in endpoints if endpoint.ready and not endpoint.terminating and endpoint.weight > 0)
    return ready or tuple(endpoint for endpoint in endpoints if endpoint.terminating and endpoint.weight > 0)


def candidates_of(members: tuple[D, ...], panic_threshold: int) -> tuple[D, ...]:
    """The healthy ones; all of them when fewer than `panic_threshold` percent are healthy, since so many at once are more likely
    misjudged, or would bury the rest under their load."""
    healthy = tuple(endpoint for endpoint in members if endpoint.health.healthy)
    return members if len(healthy) * 100 < panic_threshold * len(members) else healthy
