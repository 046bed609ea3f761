"""How listeners of the mesh treat connections, where nobody has said otherwise: as if there were no proxy between the two ends.

Limits that protect a gateway from strangers would break applications that have done without them, so these are the limits that Envoy has in
a sidecar: none on how slowly a message may come, and an hour for what is idle.
"""

from __future__ import annotations

from typing import Final

from gateway.ir.listener import ListenerOptions

_HOUR: Final = 3_600_000

INBOUND: Final = ListenerOptions(
    # Whoever calls is a proxy of the mesh, or stands in the place of one: what it says of proto, host and port stays, and the client is the
    # address that it wrote last, as with Envoy's use_remote_address off.
    trusted_hops=1,
    # No limit on heads and bodies: an application that takes its time over a request, or streams events for hours, is none of ours to end.
    header_timeout=0,
    body_timeout=0,
    send_timeout=0,
    minimum_body_rate=0,
    minimum_send_rate=0,
    # An hour for what is silent, as Envoy has it: longer than the pools of applications keep connections, and what has vanished without a
    # word is gone some day.
    idle_timeout=_HOUR,
    tunnel_idle_timeout=_HOUR,
    stream_idle_timeout=_HOUR,
    # All calls of a caller's sidecar share one connection: 100, which is a browser's measure, would make them wait.
    most_streams_per_connection=1_024,
)
"""Of what comes to a workload."""

OUTBOUND: Final = INBOUND
"""Of what a workload sends: the same reasons hold. The one who calls is the application beside us, which is believed: it may be a proxy
that has written the fields (an ingress controller in the mesh)."""
