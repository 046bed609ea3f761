"""How a client keeps up while somebody waits for it: with the body it sends, the response it takes, the tunnel it keeps open.

A Pace is made when a request's body does not come with its head, when the transport takes no more, when a client has ended
its side, for a tunnel, and for a connection that closes before all of it is taken. From then on the sweeper looks every few
moments at what has come and gone since; the bytes themselves pass without a clock. Time in which the proxy did not read is
not the client's.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from gateway.net.deadlines import NEVER
from gateway.proxy.limits import PaceLimits

HALF_CLOSED: Final = 30.0
"""Seconds that a client which has ended its side may wait for the next byte of what it asked for before."""
STALLED: Final = 30.0
"""Seconds in which a client whose connection closes must take something of what is left for it, where its limit is none."""


class Waits(NamedTuple):
    """What a connection waits for its client with."""

    blocked: bool = False
    """The client has not taken what was sent."""
    closing: bool = False
    """Nothing more will be asked or sent."""
    body: bool = False
    """The request's body is under way."""
    held: bool = False
    """It is not the client's turn to send: it is not read, or has not been asked for (Expect)."""
    tunnel: bool = False
    ended: bool = False
    """The client has ended its side."""
    backend: float = 0.0
    """Seconds in which the backend must take something of the body that waits for it; 0.0 while none does."""


class Amounts(NamedTuple):
    """Bytes since the exchange began; `taken` and `passed` any numbers that grow as the client or the backend takes what was sent."""

    received: int = 0
    sent: int = 0
    taken: int = 0
    passed: int = 0


class Fault(NamedTuple):
    """A client, or backend, that did not keep up."""

    kind: Literal["body", "response", "tunnel", "backend", "gone"]
    """What with. `gone` is no slowness: a client that ended its side, and for which nothing came for long, is taken to have left."""
    reason: str
    """For the counter: one of a few."""
    text: str
    """For the log."""


class Progress:
    """One thing that a client is waited for, in bytes and seconds."""

    __slots__ = ("amount", "first", "idle", "looked", "waited")

    def __init__(self, now: float, amount: int) -> None:
        self.first = self.amount = amount
        self.looked = now
        self.waited = 0.0
        """Seconds that the client was waited for in all."""
        self.idle = 0.0
        """Seconds of them since something came."""

    def look(self, now: float, amount: int) -> None:
        """It was the client's turn since the last look."""
        elapsed = now - self.looked
        self.looked = now
        self.waited += elapsed
        if amount > self.amount:
            self.amount, self.idle = amount, 0.0
        else:
            self.idle += elapsed

    def skip(self, now: float) -> None:
        """It was not."""
        self.looked = now

    def slower(self, rate: int, grace: float) -> bool:
        """Than so many bytes a second, on average. Judged when something has come: a pause is the timeout's business."""
        return not self.idle and self.waited > grace and self.amount - self.first < rate * self.waited


class Pace:
    """Of one client, from the first look at it. `look` and `next_look` are called in turn, with what there is to see."""

    __slots__ = ("_backend", "_behind", "_body", "_ended", "_held", "_limits", "_tunnel")

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self._behind: Progress | None = None
        """What of the response the client takes, while it is behind."""
        self._body: Progress | None = None
        self._tunnel: Progress | None = None
        self._ended: Progress | None = None
        """What of the response there was for a client that has ended its side."""
        self._backend: Progress | None = None
        """What of the body the backend takes, while it is behind."""
        self._held = False

    @property
    def behind(self) -> bool:
        """Whether the client was behind with the response at the last look."""
        return self._behind is not None

    def look(self, waits: Waits, amounts: Amounts, now: float) -> Fault | None:
        """What the client is guilty of by now."""
        fault = None
        if waits.blocked:
            fault = self._look_at_response(waits.closing, amounts.taken, now)
        else:
            self._behind = None
        if fault is not None:
            return fault
        if waits.tunnel:
            return self._look_at_tunnel(amounts, now)
        if waits.body:
            return self._look_at_backend(waits.backend, amounts.passed, now) or self._look_at_body(waits.held, amounts.received, now)
        if waits.ended and not waits.blocked:
            return self._look_at_ended(amounts.sent, now)
        return None

    def next_look(self, waits: Waits, now: float) -> float:
        """When to look again; NEVER when the client is not waited for."""
        if waits.blocked or waits.closing or waits.body or (waits.ended and not waits.tunnel):
            return now + self._limits.step
        return now + self._limits.tunnel_idle / 4 if waits.tunnel else NEVER

    def _look_at_response(self, closing: bool, taken: int, now: float) -> Fault | None:
        limits, progress = self._limits, self._behind
        if progress is None:
            self._behind = Progress(now, taken)
            return None
        progress.look(now, taken)
        timeout = STALLED if closing and limits.send_timeout == NEVER else limits.send_timeout
        if progress.idle >= timeout:
            return Fault("response", "response stalled", f"client took nothing of the response for {timeout:g} s")
        if progress.slower(limits.send_rate, limits.grace):
            return Fault("response", "response too slow", f"client takes the response slower than {limits.send_rate} bytes a second")
        return None

    def _look_at_body(self, held: bool, received: int, now: float) -> Fault | None:
        limits, progress = self._limits, self._body
        was_held, self._held = self._held, held
        if progress is None:
            self._body = Progress(now, received)
            return None
        if held or was_held:
            progress.skip(now)
            return None
        progress.look(now, received)
        if progress.idle >= limits.body_timeout:
            return Fault("body", "body stalled", f"nothing of the request's body came for {limits.body_timeout:g} s")
        if progress.slower(limits.body_rate, limits.grace):
            return Fault("body", "body too slow", f"request's body comes slower than {limits.body_rate} bytes a second")
        return None

    def _look_at_backend(self, timeout: float, passed: int, now: float) -> Fault | None:
        progress = self._backend
        if not timeout:
            self._backend = None
        elif progress is None:
            self._backend = Progress(now, passed)
        else:
            progress.look(now, passed)
            if progress.idle >= timeout:
                return Fault("backend", "backend stalled", f"backend took nothing of the request's body for {timeout:g} s")
        return None

    def _look_at_tunnel(self, amounts: Amounts, now: float) -> Fault | None:
        timeout, amount, progress = self._limits.tunnel_idle, amounts.received + amounts.sent, self._tunnel
        if progress is None:
            self._tunnel = Progress(now, amount)
            return None
        progress.look(now, amount)
        return Fault("tunnel", "tunnel idle", f"nothing came through the tunnel for {timeout:g} s") if progress.idle >= timeout else None

    def _look_at_ended(self, sent: int, now: float) -> Fault | None:
        progress = self._ended
        if progress is None:
            self._ended = Progress(now, sent)
            return None
        progress.look(now, sent)
        return Fault("gone", "gone", "client ended its side and is taken to be gone") if progress.idle >= HALF_CLOSED else None
