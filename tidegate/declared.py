"""The options of the commands as the command line takes them: their names, variables of the environment and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, and folders with all below them: *.yaml, *.yml, *.json.")]
Bind = Annotated[
    str, typer.Option(metavar="ADDRESS", envvar="TIDEGATE_BIND", help="Where Gateways without spec.addresses listen; 0.0.0.0 for all.")
]
PortOffset = Annotated[
    int, typer.Option(metavar="N", envvar="TIDEGATE_PORT_OFFSET", help="Bind each listener at its port plus N: 80 becomes 8080 with 8000.")
]
ClassName = Annotated[
    str,
    typer.Option(
        "--class", metavar="NAME", envvar="TIDEGATE_CLASS", help="Serve also Gateways of this class, if no object says whose it is."
    ),
]
RootNamespace = Annotated[
    str,
    typer.Option(metavar="NAMESPACE", envvar="TIDEGATE_ROOT_NAMESPACE", help="AuthorizationPolicies in it hold for all namespaces."),
]
AdminPlace = Annotated[str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_ADMIN", help="Where the admin server listens.")]
StreamPlace = Annotated[str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_STREAM", help="Where proxies get their configuration.")]
MetricsPlace = Annotated[str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_METRICS", help="Where /metrics is.")]
HealthPlace = Annotated[
    str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_HEALTH", help="Where /healthz/live and /healthz/ready are.")
]
AdminUrl = Annotated[str, typer.Option("--admin", metavar="URL", envvar="TIDEGATE_ADMIN", help="The admin server of a running Tidegate.")]
Output = Annotated[Literal["text", "json"], typer.Option("--output", "-o", envvar="TIDEGATE_OUTPUT", help="For people or for programs.")]
Workers = Annotated[
    int | None, typer.Option(metavar="N", envvar="TIDEGATE_WORKERS", help="Processes that serve; as many as cores by default.")
]
DrainDelay = Annotated[
    str, typer.Option(metavar="TIME", envvar="TIDEGATE_DRAIN_DELAY", help="At the end: how long new connections are still taken.")
]
DrainTimeout = Annotated[
    str, typer.Option(metavar="TIME", envvar="TIDEGATE_DRAIN_TIMEOUT", help="At the end: how long requests under way may take.")
]
AccessLog = Annotated[
    Literal["json", "text", "off"], typer.Option(envvar="TIDEGATE_ACCESS_LOG", help="Form of the access log on standard output.")
]
OtlpEndpoint = Annotated[
    str, typer.Option(metavar="URL", envvar="OTEL_EXPORTER_OTLP_ENDPOINT", help="Collector that gets traces (OTLP over HTTP).")
]
TraceSampling = Annotated[
    str, typer.Option(metavar="PERCENT", envvar="TIDEGATE_TRACE_SAMPLING", help="Of the requests whose callers have not decided.")
]
ProxyOtlpEndpoint = Annotated[
    str,
    typer.Option("--otlp-endpoint", metavar="URL", envvar="TIDEGATE_OTLP_ENDPOINT", help="Collector that gets traces of the proxies."),
]
ProxyTraceSampling = Annotated[
    str,
    typer.Option("--trace-sampling", metavar="PERCENT", envvar="TIDEGATE_TRACE_SAMPLING", help="Of the proxies: see gateway."),
]
SnapshotFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", envvar="TIDEGATE_SNAPSHOT", help="Keep what is served there, and start from it at once.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(metavar="SIZE", envvar="TIDEGATE_MEMORY_LIMIT", help="For all workers together; that of the container by default."),
]
DemoBackends = Annotated[
    bool,
    typer.Option("--demo-backends", envvar="TIDEGATE_DEMO_BACKENDS", help="Answer at the loopback addresses that EndpointSlices name."),
]
Caller = Annotated[
    str, typer.Option("--from", metavar="NAMESPACE/ACCOUNT", envvar="TIDEGATE_FROM", help="The client's identity; none by default.")
]
ClientAddress = Annotated[
    str, typer.Option("--client", metavar="ADDRESS", envvar="TIDEGATE_CLIENT", help="Where the client is; on this machine by default.")
]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A field of the request.")]
Files = Annotated[
    list[Path] | None, typer.Option("--file", "-f", metavar="PATH", help="Ask these files and folders, not a running Tidegate.")
]
ImagePullPolicy = Annotated[
    Literal["Always", "IfNotPresent", "Never"], typer.Option(envvar="TIDEGATE_IMAGE_PULL_POLICY", help="When it is pulled.")
]
WatchNamespaces = Annotated[
    str, typer.Option(metavar="A,B", envvar="TIDEGATE_WATCH_NAMESPACES", help="Read and deploy nowhere else; everywhere by default.")
]
TrustDomain = Annotated[str, typer.Option(metavar="DOMAIN", envvar="TIDEGATE_TRUST_DOMAIN", help="Of the identities that are given out.")]
CertificateLifetime = Annotated[
    str, typer.Option(metavar="TIME", envvar="TIDEGATE_CERTIFICATE_LIFETIME", help="Of the certificates that are issued, from 20s on.")
]
ProxyDrainDelay = Annotated[str, typer.Option(metavar="TIME", envvar="TIDEGATE_DRAIN_DELAY", help="Of the proxies: see gateway.")]
ProxyDrainTimeout = Annotated[str, typer.Option(metavar="TIME", envvar="TIDEGATE_DRAIN_TIMEOUT", help="Of the proxies: see gateway.")]
WebhookPlace = Annotated[
    str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_WEBHOOK", help="Where the API server has Pods injected.")
]
Mesh = Annotated[bool, typer.Option("--mesh/--no-mesh", envvar="TIDEGATE_MESH", help="Serve sidecars, and routes on Services.")]
MeshOutbound = Annotated[
    Literal["AllowAny", "RegistryOnly"],
    typer.Option(envvar="TIDEGATE_MESH_OUTBOUND", help="Whether sidecars let pass what goes to nothing in the cluster."),
]
LocalMesh = Annotated[
    bool, typer.Option("--mesh", envvar="TIDEGATE_MESH", help="Run the Pods of the files on this machine, each with a sidecar.")
]
MeshBlock = Annotated[str, typer.Option(metavar="NETWORK", envvar="TIDEGATE_MESH_BLOCK", help="The loopback addresses of --mesh.")]
Kubeconfig = Annotated[
    Path | None, typer.Option(metavar="FILE", envvar="TIDEGATE_KUBECONFIG", help="Outside of a cluster: which one it is.")
]

SidecarCpu = Annotated[
    str, typer.Option(metavar="QUANTITY", envvar="TIDEGATE_SIDECAR_CPU", help="What a sidecar requests; '' for nothing.")
]
SidecarMemory = Annotated[str, typer.Option(metavar="QUANTITY", envvar="TIDEGATE_SIDECAR_MEMORY", help="The same of memory.")]
SidecarCpuLimit = Annotated[
    str, typer.Option(metavar="QUANTITY", envvar="TIDEGATE_SIDECAR_CPU_LIMIT", help="What a sidecar may use at most; no limit by default.")
]
SidecarMemoryLimit = Annotated[str, typer.Option(metavar="QUANTITY", envvar="TIDEGATE_SIDECAR_MEMORY_LIMIT", help="The same of memory.")]
SidecarAccessLog = Annotated[
    Literal["json", "text", "off"], typer.Option(envvar="TIDEGATE_SIDECAR_ACCESS_LOG", help="Form of the access log of sidecars.")
]

DEFAULT_ADMIN: Final = "127.0.0.1:15000"
DEFAULT_MESH_BLOCK: Final = "127.1.0.0/16"
