"""Gathers a worker's numbers into the value that goes to the parent.

10,000 rules with traffic have so many series that to gather and encode them takes a tenth of a second: it is done in steps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import msgspec

from gateway.telemetry.statistics import RequestSeries, Sample, Statistics, StreamSeries

if TYPE_CHECKING:
    from gateway.proxy.capture_port import CapturePort
    from gateway.proxy.core import Core
    from gateway.proxy.open_port import OpenPort
    from gateway.relay.udp_port import OpenUdpPort
    from gateway.telemetry.access_log import AccessLog
    from gateway.telemetry.pauses import Pauses


def collect(
    core: Core,
    ports: Sequence[OpenPort | OpenUdpPort | CapturePort],
    log: AccessLog | None,
    pauses: Pauses,
    overload: tuple[Sample, ...] = (),
) -> Statistics:
    """Counters and gauges of the process, without those of requests; `overload` are gauges of its Overload and of the process."""
    samples = [
        Sample("tidegate_access_log_dropped_lines_total", (), log.dropped if log is not None else 0),
        Sample("tidegate_gc_pauses_total", (), pauses.count),
        Sample("tidegate_gc_pause_seconds_total", (), pauses.seconds),
        *_by_reason("tidegate_requests_refused_total", core.refusals),
        *_by_reason("tidegate_mirrors_dropped_total", core.mirrors_dropped),
        *core.incidents.counters(),
        *_by("outcome", "tidegate_external_authorizations_total", core.authorizations),
        *[
            Sample("tidegate_rate_limited_total", (("gateway", gateway), ("listener", listener), ("limit", limit)), count)
            for (gateway, listener, limit), count in core.rate_limited.items()
        ],
        *[
            Sample("tidegate_authorization_denied_total", (("gateway", gateway), ("listener", listener), ("policy", policy)), count)
            for (gateway, listener, policy), count in core.denials.items()
        ],
        *[
            Sample("tidegate_tokens_refused_total", (("gateway", gateway), ("listener", listener)), count)
            for (gateway, listener), count in core.tokens_refused.items()
        ],
        *_by("url", "tidegate_key_fetches_failed_total", core.issuer_keys.failures),
        *_by_reason("tidegate_connections_refused_total", core.clients.refused),
        *_by_reason("tidegate_datagrams_dropped_total", core.datagrams_dropped),
        *_by_reason("tidegate_requests_shed_total", core.clients.shed),
        *_by_reason("tidegate_slow_clients_ended_total", core.clients.slow),
        *core.tracing.counters(),
    ]
    failures: dict[str, int] = {}
    for opened in ports:
        for reason, count in opened.handshake_failures.items():
            failures[reason] = failures.get(reason, 0) + count
    samples += _by_reason("tidegate_handshakes_failed_total", failures)
    occupied: dict[tuple[str, str], int] = {}
    for port in [port for opened in ports for port in opened.ports]:
        name = ("tidegate_flows" if port.kind == "udp" else "tidegate_connections", str(port.number))
        occupied[name] = occupied.get(name, 0) + port.occupancy
    gauges = [Sample(name, (("port", number),), count) for (name, number), count in occupied.items()]
    return Statistics((), tuple(samples), (*gauges, *core.incidents.gauges(), *overload))


def series_in_steps(core: Core) -> Generator[None, None, tuple[RequestSeries, ...]]:
    """The request series of all rules; yields after each rule."""
    found: list[RequestSeries] = []
    for counters in tuple(core.counters.values()):
        found += counters.collect()
        yield
    return tuple(found)


def requests_in_steps(core: Core) -> Generator[None, None, tuple[msgspec.Raw, ...]]:
    """The request series of all rules, each encoded; yields after each rule."""
    encoded: list[msgspec.Raw] = []
    for counters in tuple(core.counters.values()):
        encoded += [msgspec.Raw(msgspec.json.encode(series)) for series in counters.collect()]
        yield
    return tuple(encoded)


def streams_in_steps(core: Core, ports: Sequence[OpenPort | OpenUdpPort | CapturePort]) -> Generator[None, None, tuple[StreamSeries, ...]]:
    """The series of relayed connections and flows, those that are open included; yields after each."""
    for opened in ports:
        for stream in [stream for port in opened.ports for stream in port.relays]:
            stream.count()
            yield
    series: list[StreamSeries] = []
    for sums in tuple(core.streams.values()):
        series += sums.collect()
        yield
    return tuple(series)


def _by_reason(name: str, counts: dict[str, int]) -> list[Sample]:
    return _by("reason", name, counts)


def _by(label: str, name: str, counts: dict[str, int]) -> list[Sample]:
    return [Sample(name, ((label, value),), count) for value, count in counts.items()]
