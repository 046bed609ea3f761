"""What is counted and logged of relayed connections and flows, which know bytes and no requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from gateway.telemetry.statistics import StreamSeries

if TYPE_CHECKING:
    from gateway.telemetry.counters import CounterLabels

StreamProtocol = Literal["TCP", "TLS", "UDP"]


class StreamSums:
    """Sums over the streams of one listener, rule and backend."""

    __slots__ = ("closed", "labels", "opened", "protocol", "received", "sent")

    def __init__(self, labels: CounterLabels, protocol: StreamProtocol) -> None:
        self.labels, self.protocol = labels, protocol
        self.opened = 0
        self.closed: dict[str, int] = {}
        """By flag, '' for none."""
        self.received = self.sent = 0
        """Bytes from clients and to clients, of those that are open too."""

    def close(self, flag: str) -> None:
        """A stream has ended."""
        self.closed[flag] = self.closed.get(flag, 0) + 1

    def collect(self) -> list[StreamSeries]:
        return [self._series("", self.opened), *[self._series(flag, 0) for flag in self.closed if flag]]

    def _series(self, flag: str, opened: int) -> StreamSeries:
        labels = self.labels
        return StreamSeries(
            gateway=labels.gateway,
            listener=labels.listener,
            route_kind=labels.route_kind,
            route=labels.route,
            rule=labels.rule,
            backend=labels.backend,
            protocol=self.protocol.lower(),
            flags=flag or "-",
            opened=opened,
            closed=self.closed.get(flag, 0),
            received_bytes=0 if flag else self.received,
            sent_bytes=0 if flag else self.sent,
            parties=labels.parties,
        )


class StreamAccount:
    """Where streams are counted, and the part of the log line that is the same for all of them. `labels` are those of the log."""

    __slots__ = ("fragment", "labels", "protocol", "sums")

    def __init__(self, labels: CounterLabels, protocol: StreamProtocol, fragment: bytes, sums: StreamSums) -> None:
        self.labels, self.protocol, self.fragment, self.sums = labels, protocol, fragment, sums


class StreamRecord(NamedTuple):
    """A stream that has ended, as its line in the access log needs it. Times are those of the monotonic clock."""

    protocol: StreamProtocol
    began: float
    ended: float
    flag: str
    reason: str
    received: int
    sent: int
    client: bytes
    server_name: bytes
    account: StreamAccount
    endpoint: bytes
    """ADDRESS:PORT, b'' where none was reached."""
    client_fragment: bytes
    """The end of a JSON line, see access_log.client_fragment."""
