"""The names of what Pods say about their sidecar, and of what an injected Pod has (annotations, containers, volumes, ports).

Those by which sidecars are asked for and known stand in controller.api.injection, since the controller needs them too.
"""

from __future__ import annotations

from typing import Final

STATE: Final = "tidegate.dev/sidecar"
"""Annotation of an injected Pod."""
INJECTED: Final = "injected"
"""The value of STATE."""

EXCLUDE_INBOUND_PORTS: Final = "tidegate.dev/exclude-inbound-ports"
INCLUDE_INBOUND_PORTS: Final = "tidegate.dev/include-inbound-ports"
EXCLUDE_OUTBOUND_PORTS: Final = "tidegate.dev/exclude-outbound-ports"
EXCLUDE_OUTBOUND_CIDRS: Final = "tidegate.dev/exclude-outbound-cidrs"
REWRITE_PROBES: Final = "tidegate.dev/rewrite-probes"
ACCESS_LOG: Final = "tidegate.dev/access-log"
TRACE_SAMPLING: Final = "tidegate.dev/trace-sampling"
CPU: Final = "tidegate.dev/sidecar-cpu"
MEMORY: Final = "tidegate.dev/sidecar-memory"
CPU_LIMIT: Final = "tidegate.dev/sidecar-cpu-limit"
MEMORY_LIMIT: Final = "tidegate.dev/sidecar-memory-limit"

OF_ISTIO: Final = {
    EXCLUDE_INBOUND_PORTS: "traffic.sidecar.istio.io/excludeInboundPorts",
    INCLUDE_INBOUND_PORTS: "traffic.sidecar.istio.io/includeInboundPorts",
    EXCLUDE_OUTBOUND_PORTS: "traffic.sidecar.istio.io/excludeOutboundPorts",
    EXCLUDE_OUTBOUND_CIDRS: "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    REWRITE_PROBES: "sidecar.istio.io/rewriteAppHTTPProbers",
    CPU: "sidecar.istio.io/proxyCPU",
    MEMORY: "sidecar.istio.io/proxyMemory",
    CPU_LIMIT: "sidecar.istio.io/proxyCPULimit",
    MEMORY_LIMIT: "sidecar.istio.io/proxyMemoryLimit",
}
"""Our annotations that Istio has, too, in its spelling; ours wins where a Pod has both."""

ISTIO_CONFIG: Final = "proxy.istio.io/config"
"""Istio's annotation with many settings of a proxy in one, as YAML."""

OURS: Final = frozenset((*OF_ISTIO, ACCESS_LOG, TRACE_SAMPLING, STATE))
"""The annotations of a Pod that mean something to us."""

WITHOUT_EFFECT: Final = frozenset(
    {
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        "traffic.sidecar.istio.io/includeOutboundPorts",
        "traffic.sidecar.istio.io/excludeInterfaces",
        "traffic.sidecar.istio.io/kubevirtInterfaces",
        "istio.io/reroute-virtual-interfaces",
        "sidecar.istio.io/interceptionMode",
    }
)
"""Annotations of Istio about capture that we have nothing for."""

INIT_CONTAINER: Final = "tidegate-init"

AUTHORITIES: Final = "tidegate-mesh-ca"
"""The ConfigMap that each namespace of the mesh has; its key is ca.crt."""

AUTHORITIES_VOLUME: Final = "tidegate-authorities"
TOKEN_VOLUME: Final = "tidegate-token"  # noqa: S105  # its name
SNAPSHOT_VOLUME: Final = "tidegate-snapshot"
TEMPORARY_VOLUME: Final = "tidegate-temporary"
VOLUMES: Final = (AUTHORITIES_VOLUME, TOKEN_VOLUME, SNAPSHOT_VOLUME, TEMPORARY_VOLUME)

HEALTH_PORT: Final = 15021
RESERVED_PORTS: Final = frozenset({15000, 15001, 15006, 15020, HEALTH_PORT})
"""Of the sidecar, in the network namespace that it shares with the application."""
USER: Final = 1337
"""User and group of the sidecar: what they send is not captured."""
APP_PROBES: Final = "TIDEGATE_APP_PROBES"
APP_HEALTH: Final = "/app-health/"
"""The path below which the sidecar answers probes of the application."""
