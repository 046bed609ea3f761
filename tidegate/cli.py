"""The command line. Commands import what they need when they run, so that help comes at once and each role stays small."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from tidegate.data_plane import capture_line
from tidegate.data_plane.command_line import GATEWAY, SIDECAR, YES, Option
from tidegate.inherited import claim

if TYPE_CHECKING:
    from tidegate.options import RunOptions

Parsed = TypeVar("Parsed")

app = typer.Typer(
    name="tidegate",
    help="A Gateway-API-first ingress gateway: Gateway API files in, traffic served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NOT_GOOD = 1

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
StreamPlace = Annotated[
    str, typer.Option(metavar="ADDRESS:PORT", envvar="TIDEGATE_STREAM", help="Where proxies get their configuration.")
]
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
TrustDomain = Annotated[
    str, typer.Option(metavar="DOMAIN", envvar="TIDEGATE_TRUST_DOMAIN", help="Of the identities that are given out.")
]
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
SidecarMemoryLimit = Annotated[
    str, typer.Option(metavar="QUANTITY", envvar="TIDEGATE_SIDECAR_MEMORY_LIMIT", help="The same of memory.")
]
SidecarAccessLog = Annotated[
    Literal["json", "text", "off"], typer.Option(envvar="TIDEGATE_SIDECAR_ACCESS_LOG", help="Form of the access log of sidecars.")
]

DEFAULT_ADMIN = "127.0.0.1:15000"
DEFAULT_MESH_BLOCK = "127.1.0.0/16"


@app.command()
def run(
    paths: Paths,
    *,
    workers: Workers = None,
    admin: AdminPlace = DEFAULT_ADMIN,
    bind: Bind = "127.0.0.1",
    port_offset: PortOffset = 0,
    class_name: ClassName = "tidegate",
    root_namespace: RootNamespace = "istio-system",
    drain_delay: DrainDelay = "0s",
    drain_timeout: DrainTimeout = "30s",
    access_log: AccessLog = "json",
    otlp_endpoint: OtlpEndpoint = "",
    trace_sampling: TraceSampling = "1",
    snapshot: SnapshotFolder = None,
    memory_limit: MemoryLimit = None,
    demo_backends: DemoBackends = False,
    mesh: LocalMesh = False,
    mesh_block: MeshBlock = DEFAULT_MESH_BLOCK,
) -> None:
    """Serve Gateway API files.

    Every change of the files is followed while it runs. SIGTERM and Ctrl-C drain: what is under way is finished.
    """
    from tidegate.options import CORES, RunOptions

    options = RunOptions(
        paths=tuple(paths),
        workers=CORES if workers is None else workers,
        admin=_place("--admin", admin),
        bind=bind,
        port_offset=port_offset,
        class_name=class_name,
        root_namespace=root_namespace,
        drain_delay=_seconds("--drain-delay", drain_delay),
        drain_timeout=_seconds("--drain-timeout", drain_timeout),
        access_log=access_log,
        otlp_endpoint=_collector("--otlp-endpoint", otlp_endpoint), trace_sampling=_sampling("--trace-sampling", trace_sampling),
        demo_backends=demo_backends,
        snapshot=snapshot,
        mesh=mesh,
        mesh_block=mesh_block,
        memory_limit=0 if memory_limit is None else _size("--memory-limit", memory_limit),
    )
    raise typer.Exit(_serve(options))


def _serve(options: RunOptions) -> int:
    """Until the end; the exit status."""
    import uvloop

    from gateway.overload.descriptors import raise_limit
    from gateway.standard_streams import never_wait, settle
    from tidegate.display import Display
    from tidegate.forwarder import become
    from tidegate.run import run as serve

    raise_limit()
    never_wait()
    # With an access log, standard output holds nothing else.
    display = Display(sys.stdout if options.access_log == "off" else sys.stderr)

    async def serve_and_follow() -> int:
        ended = await serve(options, display)
        if isinstance(ended, int):
            return ended
        settle()
        await become(ended)

    return uvloop.run(serve_and_follow())


def _gateway(**values: str) -> None:
    """Serve one Gateway of a cluster.

    What it serves comes from the controller. SIGTERM drains: what is under way is finished.
    """
    from tidegate.data_plane.program import main as serve

    raise typer.Exit(serve(values))


def _sidecar(**values: str) -> None:
    """Serve the Pod that this is in, as a sidecar of the mesh.

    What it serves comes from the controller. SIGTERM drains, at once where nothing is left.
    """
    from tidegate.data_plane.program import main as serve

    raise typer.Exit(serve(values))


def _parameter(option: Option) -> Parameter:
    """What typer reads of a function's signature."""
    if not option.metavar:
        switch = typer.Option(option.name, envvar=option.environment, help=option.help)
        return Parameter(option.key, Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, switch])
    declared = typer.Option(option.name, metavar=option.metavar, envvar=option.environment, help=option.help)
    default = Parameter.empty if option.default is None else option.default
    return Parameter(option.key, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[str, declared])


_gateway.__signature__ = Signature([_parameter(option) for option in GATEWAY])  # type: ignore[attr-defined]  # what `inspect` asks for
_sidecar.__signature__ = Signature([_parameter(option) for option in SIDECAR])  # type: ignore[attr-defined]  # likewise
app.command("gateway")(_gateway)
app.command("sidecar")(_sidecar)


def _init(*, remove: bool, **values: str) -> None:
    """Set the rules that bring a Pod's connections to its sidecar.

    It runs as an init container, as root and with the capabilities NET_ADMIN and NET_RAW. Done again with other options, these hold.
    """
    from tidegate.data_plane.capture import main as set_rules

    raise typer.Exit(set_rules({**values, "remove": YES if remove else ""}))


_init.__signature__ = Signature([_parameter(option) for option in capture_line.OPTIONS])  # type: ignore[attr-defined]  # what `inspect` asks for
app.command(capture_line.COMMAND)(_init)


@app.command()
def controller(
    *,
    namespace: Annotated[str, typer.Option(metavar="NAME", envvar="POD_NAMESPACE", help="The namespace that this runs in.")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", envvar="POD_NAME", help="Who this is among the replicas.")] = "",
    pod_address: Annotated[str, typer.Option(metavar="ADDRESS", envvar="POD_IP", help="Where proxies reach this replica.")] = "127.0.0.1",
    image: Annotated[str, typer.Option(metavar="IMAGE", envvar="TIDEGATE_IMAGE", help="The image of the proxies that are deployed.")] = "",
    image_pull_policy: ImagePullPolicy = "IfNotPresent",
    service: Annotated[str, typer.Option(metavar="HOST", envvar="TIDEGATE_SERVICE", help="The DNS name by which proxies come here.")] = "",
    watch_namespaces: WatchNamespaces = "",
    trust_domain: TrustDomain = "cluster.local",
    certificate_lifetime: CertificateLifetime = "24h",
    root_namespace: RootNamespace = "istio-system",
    mesh: Mesh = False,
    mesh_outbound: MeshOutbound = "AllowAny",
    drain_delay: ProxyDrainDelay = "5s",
    drain_timeout: ProxyDrainTimeout = "30s",
    otlp_endpoint: ProxyOtlpEndpoint = "",
    trace_sampling: ProxyTraceSampling = "",
    stream: StreamPlace = "[::]:15010",
    metrics: MetricsPlace = "[::]:15020",
    health: HealthPlace = "[::]:15021",
    admin: AdminPlace = DEFAULT_ADMIN,
    webhook: WebhookPlace = "[::]:15017",
    sidecar_cpu: SidecarCpu = "100m",
    sidecar_memory: SidecarMemory = "128Mi",
    sidecar_cpu_limit: SidecarCpuLimit = "",
    sidecar_memory_limit: SidecarMemoryLimit = "",
    sidecar_access_log: SidecarAccessLog = "json",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Serve a cluster: be the control plane of its Gateways.

    Watches Gateways and routes, deploys proxies for them, sends these their configuration, and writes what became of it into statuses.
    """
    import uvloop

    from tidegate.control_plane.options import ControllerOptions, SidecarOptions
    from tidegate.control_plane.program import run as control
    options = ControllerOptions(
        namespace=namespace, name=name, image=image, service=service,
        pod_address=pod_address,
        watch_namespaces=tuple(filter(None, watch_namespaces.split(","))),
        image_pull_policy=image_pull_policy,
        trust_domain=trust_domain,
        certificate_lifetime=_seconds("--certificate-lifetime", certificate_lifetime),
        root_namespace=root_namespace,
        mesh=mesh,
        mesh_outbound=mesh_outbound,
        drain_delay=round(_seconds("--drain-delay", drain_delay)),
        drain_timeout=round(_seconds("--drain-timeout", drain_timeout)),
        otlp_endpoint=otlp_endpoint, trace_sampling=trace_sampling,
        stream=_place("--stream", stream),
        metrics=_place("--metrics", metrics),
        health=_place("--health", health),
        admin=_place("--admin", admin),
        webhook=_place("--webhook", webhook),
        sidecar=SidecarOptions(sidecar_cpu, sidecar_memory, sidecar_cpu_limit, sidecar_memory_limit, sidecar_access_log),
        kubeconfig=kubeconfig,
    )
    raise typer.Exit(uvloop.run(control(options, partial(_tell, name or "tidegate controller"))))


@app.command()
def check(
    paths: Paths,
    *,
    bind: Bind = "127.0.0.1",
    port_offset: PortOffset = 0,
    class_name: ClassName = "tidegate",
    root_namespace: RootNamespace = "istio-system",
    mesh: LocalMesh = False,
    output: Output = "text",
) -> None:
    """Judge files without serving them.

    Shows every problem, and every condition that each object would get. The exit status is 1 if anything is wrong.
    """
    from tidegate.check import as_json, show
    from tidegate.check import check as judge
    from tidegate.options import RunOptions

    verdict = judge(
        _sound(
            RunOptions(
                tuple(paths), bind=bind, port_offset=port_offset, class_name=class_name, root_namespace=root_namespace, mesh=mesh
            )
        )
    )
    if output == "json":
        _write(as_json(verdict))
    else:
        show(verdict, sys.stdout)
    raise typer.Exit(0 if verdict.good else NOT_GOOD)


@app.command()
def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST ...; CONNECT for tcp://, tls:// and udp://")],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="As a client would write it, or tcp://HOST:PORT, tls://NAME:PORT, udp://HOST:PORT; its port chooses the listener.",
        ),
    ],
    *,
    headers: Headers = None,
    caller: Caller = "",
    client: ClientAddress = "",
    inbound: Annotated[bool, typer.Option("--inbound", help="Of a sidecar: what comes to its workload, not what that asks.")] = False,
    files: Files = None,
    admin: AdminUrl = f"http://{DEFAULT_ADMIN}",
    bind: Bind = "127.0.0.1",
    port_offset: PortOffset = 0,
    class_name: ClassName = "tidegate",
    root_namespace: RootNamespace = "istio-system",
    output: Output = "text",
) -> None:
    """Say what would happen to a request, or to a connection or datagram that is passed on.

    And why: the listener, every match considered and the first thing that failed, the filters, the answer or the backends.
    """
    from tidegate.admin_client import AdminError
    from tidegate.explain import as_json, explain_files, explain_live, question_of, show
    from tidegate.options import RunOptions

    try:
        question = question_of(method, url, headers or (), client, caller, inbound=inbound)
        if files:
            options = RunOptions(
                tuple(files), bind=bind, port_offset=port_offset, class_name=class_name, root_namespace=root_namespace
            )
            answer = explain_files(_sound(options), question)
        else:
            answer = explain_live(admin, question)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except AdminError as error:
        raise _failed(error) from None
    if output == "json":
        _write(as_json(answer))
    else:
        show(answer, sys.stdout)


@app.command()
def status(admin: AdminUrl = f"http://{DEFAULT_ADMIN}", output: Output = "text") -> None:
    """Show what a running Tidegate serves.

    Gateways and routes with their conditions, at how many proxies the last revision is live, and what is ignored or wrong. In a cluster ask
    the controller: kubectl exec deploy/tidegate-controller -n tidegate-system -- tidegate status.
    """
    from tidegate.admin_client import AdminError
    from tidegate.status import as_json, show
    from tidegate.status import status as ask_status

    try:
        found = ask_status(admin)
    except AdminError as error:
        raise _failed(error) from None
    if output == "json":
        _write(as_json(found))
    else:
        show(found, sys.stdout)


@app.command()
def inject(
    files: Annotated[list[Path], typer.Option("--file", "-f", metavar="FILE", help="What to read; - for standard input.")],
    *,
    output: Annotated[Literal["yaml"], typer.Option("--output", "-o", help="Form of what is written.")] = "yaml",
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Of objects that name none.")] = "",
    image: Annotated[
        str, typer.Option(metavar="IMAGE", envvar="TIDEGATE_IMAGE", help="Of the sidecar; that of this version by default.")
    ] = "",
    image_pull_policy: ImagePullPolicy = "IfNotPresent",
    service: Annotated[
        str, typer.Option(metavar="HOST", envvar="TIDEGATE_SERVICE", help="The DNS name by which sidecars come to the controller.")
    ] = "tidegate-controller.tidegate-system.svc",
    trust_domain: Annotated[
        str, typer.Option(metavar="DOMAIN", envvar="TIDEGATE_TRUST_DOMAIN", help="Of the identities that the controller gives out.")
    ] = "cluster.local",
    sidecar_cpu: SidecarCpu = "100m",
    sidecar_memory: SidecarMemory = "128Mi",
    sidecar_cpu_limit: SidecarCpuLimit = "",
    sidecar_memory_limit: SidecarMemoryLimit = "",
    sidecar_access_log: SidecarAccessLog = "json",
    otlp_endpoint: ProxyOtlpEndpoint = "",
    trace_sampling: ProxyTraceSampling = "",
) -> None:
    """Write files with sidecars in their Pods.

    What the webhook does in a cluster, done to Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs in YAML;
    everything else passes through. Nothing is written if anything is wrong.
    """
    from mesh.injection.settings import SidecarSettings
    from tidegate.control_plane.options import STREAM_PORT, SidecarOptions, tracing_complaints
    from tidegate.injecting import inject_files

    sidecar = SidecarOptions(sidecar_cpu, sidecar_memory, sidecar_cpu_limit, sidecar_memory_limit, sidecar_access_log)
    for complaint in (*sidecar.complaints(), *tracing_complaints(otlp_endpoint, trace_sampling)):
        raise typer.BadParameter(complaint)
    of_controller = service.split(".")[1] if "." in service else ""
    settings = SidecarSettings(
        image or _own_image(),
        f"{service}:{STREAM_PORT}",
        of_controller,
        image_pull_policy,
        trust_domain,
        otlp_endpoint=otlp_endpoint,
        trace_sampling=trace_sampling,
    )
    done = inject_files(files, namespace, sidecar.joined(settings))
    for line in (*done.notes, *done.problems):
        typer.echo(line, err=True)
    _write(done.text.encode())
    raise typer.Exit(NOT_GOOD if done.problems else 0)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        typer.echo(f"tidegate {version_of('tidegate')}")
    except PackageNotFoundError:
        typer.echo("tidegate, from a checkout that is not installed")


def _own_image() -> str:
    """The image that the chart of this version installs."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return f"tidegate/tidegate:{version_of('tidegate')}"
    except PackageNotFoundError:
        raise typer.BadParameter("this is a checkout that is not installed: name the image of the sidecar", param_hint="--image") from None


def _sound(options: RunOptions) -> RunOptions:
    for complaint in options.complaints():
        raise typer.BadParameter(complaint)
    return options


def _tell(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr, flush=True)


def _place(option: str, text: str) -> tuple[str, int]:
    from tidegate.addresses import parse_place

    return _parsed(option, text, parse_place)


def _seconds(option: str, text: str) -> float:
    from tidegate.durations import parse_seconds

    return _parsed(option, text, parse_seconds, "; write for example 10s, 500ms or 1m30s")


def _size(option: str, text: str) -> int:
    from tidegate.sizes import parse_size

    return _parsed(option, text, parse_size, "; write for example 512Mi or 2G")


def _collector(option: str, text: str) -> str:
    from tidegate.tracing import parse_collector

    return _parsed(option, text, parse_collector)


def _sampling(option: str, text: str) -> float:
    from gateway.ir.tracing import parse_sampling

    return _parsed(option, text, parse_sampling)


def _parsed(option: str, text: str, parse: Callable[[str], Parsed], remedy: str = "") -> Parsed:
    """What stands in an option's text. Raises BadParameter, with the option and the remedy, for what cannot be read."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}{remedy}", param_hint=option) from None


def _write(body: bytes) -> None:
    sys.stdout.write(body.decode())


def _failed(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(NOT_GOOD)


def main() -> None:
    """The program `tidegate`."""
    claim()
    app()
