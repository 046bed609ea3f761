"""Whether a try that failed is made again, and when (HTTPRouteRetry, RFC 9110 9.2.2).

A rule with a retry repeats what it names: status codes, and also connection errors and timeouts of a try. A rule without one repeats
once, and in a sidecar for its own workload twice, what the client cannot be blamed for: a connection that did not come about, a kept-alive
one that had ended meanwhile, a stream that the backend refused unseen, or a request that the sidecar of the callee had nobody to give to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.ir.rule import Retry

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes of a request's body kept for another try; a longer body is not sent twice."""
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
"""RFC 9110 9.2.2."""
FIRST_WAIT: Final = 0.025
MOST_GROWTH: Final = 10
"""The longest wait, in shortest ones."""


class Failure(Enum):
    """How a try failed before any byte of a response.

    CONNECT  no connection came about: refused, reset, unreachable, too slow, TLS failed
    REFUSED  the backend says that it has not looked at the request (RFC 9113 8.7)
    STALE    a kept-alive connection that served before was reset or closed
    RESET    a fresh connection was reset or closed
    TIMEOUT  the rule's backendRequest timeout passed
    """

    CONNECT = "connect"
    REFUSED = "refused"
    STALE = "stale"
    RESET = "reset"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that ended badly, nothing of its response passed on yet.

    outcome     a response's status, or how it failed
    retries     tries before this one
    sent        bytes of head and body written to the backend
    replayable  whether all that was taken of the body is still at hand
    """

    outcome: int | Failure
    retries: int
    method: bytes
    sent: int
    replayable: bool

    @property
    def harmless(self) -> bool:
        """Whether to repeat it cannot do more than to do it once: the backend saw nothing, or the method is idempotent."""
        return self.sent == 0 or self.method in IDEMPOTENT


class RetryPolicy:
    """A rule's retry. `codes` are the statuses worth asking `decide` about; `attempts` is the number of retries."""

    __slots__ = ("_longest", "_shortest", "attempts", "codes", "explicit")

    def __init__(self, codes: frozenset[int], attempts: int, shortest: float, explicit: bool) -> None:
        self.codes, self.attempts, self.explicit = codes, attempts, explicit
        self._shortest = shortest
        self._longest = (shortest or FIRST_WAIT) * MOST_GROWTH

    @classmethod
    def compile(cls, retry: Retry | None) -> RetryPolicy:
        """Raises ValueError for codes that are no errors and for negative numbers."""
        if retry is None:
            return DEFAULT
        for code in retry.codes:
            if not 400 <= code <= 599:
                raise ValueError(f"retry code {code} is not an error: write statuses from 400 to 599")
        if retry.attempts < 0 or (retry.backoff or 0) < 0:
            raise ValueError("retry attempts and backoff must not be negative")
        return cls(frozenset(retry.codes), retry.attempts, (retry.backoff or 0) / 1000, explicit=True)

    def decide(self, attempt: Attempt, draw: float) -> float | None:
        """Seconds to wait before the next try, 0.0 for at once; None if there is none. `draw` is uniform in [0, 1)."""
        if attempt.retries >= self.attempts or not attempt.replayable or not self._repeats(attempt):
            return None
        return self._wait(attempt.retries, draw)

    def _repeats(self, attempt: Attempt) -> bool:
        match attempt.outcome:
            case Failure.CONNECT | Failure.REFUSED:
                return True
            case Failure.STALE:
                return attempt.harmless or bool(self.codes)
            case Failure.RESET | Failure.TIMEOUT:
                # Whoever lists codes wants a request repeated that a backend has answered, so one without an answer is no worse.
                return self.explicit and (attempt.harmless or bool(self.codes))
            case status:
                return status in self.codes

    def _wait(self, retries: int, draw: float) -> float:
        """Doubles with each retry, up to a limit, and adds up to half, so that clients do not come back together. Never less than the
        rule's backoff; without one the first retry goes at once."""
        if not self._shortest and not retries:
            return 0.0
        doublings = retries if self._shortest else retries - 1
        wait = (self._shortest or FIRST_WAIT) * (1 << min(doublings, MOST_GROWTH))
        return min(wait * (1 + draw / 2), self._longest)


DEFAULT: Final = RetryPolicy(frozenset(), 1, 0.0, explicit=False)
"""Of a rule without a retry."""
IN_MESH: Final = RetryPolicy(frozenset(), 2, 0.0, explicit=False)
"""The same for what a workload of the mesh sends: as often as Istio does where nothing is said."""
