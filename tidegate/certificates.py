"""When the certificates that are served expire: a metric for whoever watches, and a word while there is time and when it is over.

An expired certificate is served all the same, since clients are the judges of it; but nobody should have to learn it from them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate
from gateway.ir.value import Identity
from gateway.ir.workload import IDENTITY
from gateway.net.certificate_names import MalformedCertificate, read_certificate_names
from gateway.telemetry.statistics import Sample

SOON: Final = 7 * 86_400
"""Seconds before its end at which a certificate is told of."""
MOST_SERIES: Final = 100
"""Certificates with a series of their own: those that expire first."""
_LOOK: Final = 60.0
"""Seconds between two looks at the clock."""
_FIRST_LOOK: Final = 1.0
"""Seconds between two looks while there is no configuration yet."""

Resources = Callable[[], Mapping[Identity, AnyResource]]


class Expiries:
    """Owner of what was told, and of the ends that were read."""

    def __init__(self, resources: Resources, tell: Callable[[str], None]) -> None:
        self._resources, self._tell = resources, tell
        self._ends: dict[str, float] = {}
        self._told: set[tuple[str, bool]] = set()

    def samples(self) -> tuple[Sample, ...]:
        """The moment of the end of each certificate, of many the next ones."""
        ends = heapq.nsmallest(MOST_SERIES, ((end, certificate.key) for certificate, end in self._each()))
        return tuple(Sample("tidegate_certificate_expiry_timestamp_seconds", (("certificate", key),), end) for end, key in sorted(ends))

    async def watch(self) -> None:
        """Tells of each certificate once when it is about to expire, and once when it has."""
        while True:
            self.tell_due(time.time())
            await asyncio.sleep(_LOOK if self._resources() else _FIRST_LOOK)

    def tell_due(self, now: float) -> None:
        """`now` in seconds since the epoch."""
        for certificate, end in self._each():
            over = end <= now
            told = (certificate.fingerprint, over)
            if end > now + SOON or told in self._told:
                continue
            self._told.add(told)
            moment = datetime.fromtimestamp(end, UTC)
            what = "expired, and clients refuse it" if over else "expires soon"
            self._tell(f"certificate {certificate.key} {what}: {moment:%Y-%m-%d %H:%M:%SZ}; renew {certificate.source}")

    def _each(self) -> Iterator[tuple[Certificate, float]]:
        """Certificates with their ends, without the proxy's own identity, which nobody has to renew; what cannot be read is refused
        elsewhere."""
        ends: dict[str, float] = {}
        for resource in self._resources().values():
            if not isinstance(resource, Certificate) or resource.key == IDENTITY:
                continue
            end = self._ends.get(resource.fingerprint)
            if end is None:
                try:
                    end = read_certificate_names(resource.chain).not_after.timestamp()
                except MalformedCertificate:
                    continue
            ends[resource.fingerprint] = end
            yield resource, end
        self._ends = ends
        self._told = {told for told in self._told if told[0] in ends}
