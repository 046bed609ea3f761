"""What the controllers have timed themselves: from the event of a change that they received until their proxies had it in place.

The bare watch gets its event on another connection, a little sooner or later than a controller does; by that much it errs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.request import urlopen

from cluster.api import Api
from cluster.objects import TIDEGATE

_BUCKET = re.compile(r'^tidegate_controller_change_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Timed:
    """How many changes there were, and how many took no longer than so many seconds, by that as Prometheus writes it."""

    within: dict[str, int]

    @property
    def changes(self) -> int:
        """All of them."""
        return self.within.get("+Inf", 0)

    def over(self, bound: str) -> float:
        """The share that took longer, in percent, where there were any."""
        return 100 * (1 - self.within[bound] / self.changes)

    def since(self, before: Timed) -> Timed:
        """What came in between."""
        return Timed({bound: count - before.within.get(bound, 0) for bound, count in self.within.items()})


async def timed(api: Api) -> Timed:
    """Of all replicas since they started."""
    within: dict[str, int] = {}
    for pod in await api.list("Pod", TIDEGATE):
        if pod["metadata"]["name"].startswith("tidegate-controller-"):
            text = await asyncio.to_thread(_page, pod["status"]["podIP"])
            for bound, count in _BUCKET.findall(text):
                within[bound] = within.get(bound, 0) + round(float(count))
    return Timed(within)


def _page(address: str) -> str:
    with urlopen(f"http://{address}:15020/metrics", timeout=10) as page:
        content: bytes = page.read()
    return content.decode("utf-8")
