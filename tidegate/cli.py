"""The command line. Commands import what they need when they run, so that help comes at once and each role stays small."""

from __future__ import annotations

import sys
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tidegate import declared, parsed
from tidegate.data_plane import capture_line
from tidegate.data_plane.command_line import GATEWAY, SIDECAR, YES, Option
from tidegate.inherited import claim

if TYPE_CHECKING:
    from tidegate.control_plane.options import ControllerOptions
    from tidegate.options import RunOptions

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


@app.command()
def run(
    paths: declared.Paths,
    *,
    workers: declared.Workers = None,
    admin: declared.AdminPlace = declared.DEFAULT_ADMIN,
    bind: declared.Bind = "127.0.0.1",
    port_offset: declared.PortOffset = 0,
    class_name: declared.ClassName = "tidegate",
    root_namespace: declared.RootNamespace = "istio-system",
    drain_delay: declared.DrainDelay = "0s",
    drain_timeout: declared.DrainTimeout = "30s",
    access_log: declared.AccessLog = "json",
    otlp_endpoint: declared.OtlpEndpoint = "",
    trace_sampling: declared.TraceSampling = "1",
    snapshot: declared.SnapshotFolder = None,
    memory_limit: declared.MemoryLimit = None,
    demo_backends: declared.DemoBackends = False,
    mesh: declared.LocalMesh = False,
    mesh_block: declared.MeshBlock = declared.DEFAULT_MESH_BLOCK,
) -> None:
    """Serve Gateway API files.

    Every change of the files is followed while it runs. SIGTERM and Ctrl-C drain: what is under way is finished.
    """
    from tidegate.options import CORES, RunOptions

    options = RunOptions(
        paths=tuple(paths),
        workers=CORES if workers is None else workers,
        admin=parsed.place("--admin", admin),
        bind=bind,
        port_offset=port_offset,
        class_name=class_name,
        root_namespace=root_namespace,
        drain_delay=parsed.seconds("--drain-delay", drain_delay),
        drain_timeout=parsed.seconds("--drain-timeout", drain_timeout),
        access_log=access_log,
        otlp_endpoint=parsed.collector("--otlp-endpoint", otlp_endpoint),
        trace_sampling=parsed.sampling("--trace-sampling", trace_sampling),
        demo_backends=demo_backends,
        snapshot=snapshot,
        mesh=mesh,
        mesh_block=mesh_block,
        memory_limit=0 if memory_limit is None else parsed.size("--memory-limit", memory_limit),
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
    image_pull_policy: declared.ImagePullPolicy = "IfNotPresent",
    service: Annotated[str, typer.Option(metavar="HOST", envvar="TIDEGATE_SERVICE", help="The DNS name by which proxies come here.")] = "",
    watch_namespaces: declared.WatchNamespaces = "",
    trust_domain: declared.TrustDomain = "cluster.local",
    certificate_lifetime: declared.CertificateLifetime = "24h",
    root_namespace: declared.RootNamespace = "istio-system",
    mesh: declared.Mesh = False,
    mesh_outbound: declared.MeshOutbound = "AllowAny",
    drain_delay: declared.ProxyDrainDelay = "5s",
    drain_timeout: declared.ProxyDrainTimeout = "30s",
    otlp_endpoint: declared.ProxyOtlpEndpoint = "",
    trace_sampling: declared.ProxyTraceSampling = "",
    stream: declared.StreamPlace = "[::]:15010",
    metrics: declared.MetricsPlace = "[::]:15020",
    health: declared.HealthPlace = "[::]:15021",
    admin: declared.AdminPlace = declared.DEFAULT_ADMIN,
    webhook: declared.WebhookPlace = "[::]:15017",
    sidecar_cpu: declared.SidecarCpu = "100m",
    sidecar_memory: declared.SidecarMemory = "128Mi",
    sidecar_cpu_limit: declared.SidecarCpuLimit = "",
    sidecar_memory_limit: declared.SidecarMemoryLimit = "",
    sidecar_access_log: declared.SidecarAccessLog = "json",
    kubeconfig: declared.Kubeconfig = None,
) -> None:
    """Serve a cluster: be the control plane of its Gateways.

    Watches Gateways and routes, deploys proxies for them, sends these their configuration, and writes what became of it into statuses.
    """
    from tidegate.control_plane.options import ControllerOptions, SidecarOptions

    options = ControllerOptions(
        namespace, name, image, service,
        pod_address=pod_address,
        watch_namespaces=tuple(filter(None, watch_namespaces.split(","))),
        image_pull_policy=image_pull_policy,
        trust_domain=trust_domain,
        certificate_lifetime=parsed.seconds("--certificate-lifetime", certificate_lifetime),
        root_namespace=root_namespace,
        mesh=mesh,
        mesh_outbound=mesh_outbound,
        drain_delay=round(parsed.seconds("--drain-delay", drain_delay)),
        drain_timeout=round(parsed.seconds("--drain-timeout", drain_timeout)),
        otlp_endpoint=otlp_endpoint,
        trace_sampling=trace_sampling,
        stream=parsed.place("--stream", stream),
        metrics=parsed.place("--metrics", metrics),
        health=parsed.place("--health", health),
        admin=parsed.place("--admin", admin),
        webhook=parsed.place("--webhook", webhook),
        sidecar=SidecarOptions(sidecar_cpu, sidecar_memory, sidecar_cpu_limit, sidecar_memory_limit, sidecar_access_log),
        kubeconfig=kubeconfig,
    )
    raise typer.Exit(_control(options))


def _control(options: ControllerOptions) -> int:
    """Until the end; the exit status."""
    import uvloop

    from tidegate.control_plane.program import run as control

    return uvloop.run(control(options, partial(_tell, options.name or "tidegate controller")))


@app.command()
def check(
    paths: declared.Paths,
    *,
    bind: declared.Bind = "127.0.0.1",
    port_offset: declared.PortOffset = 0,
    class_name: declared.ClassName = "tidegate",
    root_namespace: declared.RootNamespace = "istio-system",
    mesh: declared.LocalMesh = False,
    output: declared.Output = "text",
) -> None:
    """Judge files without serving them.

    Shows every problem, and every condition that each object would get. The exit status is 1 if anything is wrong.
    """
    from tidegate.check import as_json, show
    from tidegate.check import check as judge
    from tidegate.options import RunOptions

    verdict = judge(
        _sound(
            RunOptions(tuple(paths), bind=bind, port_offset=port_offset, class_name=class_name, root_namespace=root_namespace, mesh=mesh)
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
    headers: declared.Headers = None,
    caller: declared.Caller = "",
    client: declared.ClientAddress = "",
    inbound: Annotated[bool, typer.Option("--inbound", help="Of a sidecar: what comes to its workload, not what that asks.")] = False,
    files: declared.Files = None,
    admin: declared.AdminUrl = f"http://{declared.DEFAULT_ADMIN}",
    bind: declared.Bind = "127.0.0.1",
    port_offset: declared.PortOffset = 0,
    class_name: declared.ClassName = "tidegate",
    root_namespace: declared.RootNamespace = "istio-system",
    output: declared.Output = "text",
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
            options = RunOptions(tuple(files), bind=bind, port_offset=port_offset, class_name=class_name, root_namespace=root_namespace)
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
def status(admin: declared.AdminUrl = f"http://{declared.DEFAULT_ADMIN}", output: declared.Output = "text") -> None:
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
    image_pull_policy: declared.ImagePullPolicy = "IfNotPresent",
    service: Annotated[
        str, typer.Option(metavar="HOST", envvar="TIDEGATE_SERVICE", help="The DNS name by which sidecars come to the controller.")
    ] = "tidegate-controller.tidegate-system.svc",
    trust_domain: Annotated[
        str, typer.Option(metavar="DOMAIN", envvar="TIDEGATE_TRUST_DOMAIN", help="Of the identities that the controller gives out.")
    ] = "cluster.local",
    sidecar_cpu: declared.SidecarCpu = "100m",
    sidecar_memory: declared.SidecarMemory = "128Mi",
    sidecar_cpu_limit: declared.SidecarCpuLimit = "",
    sidecar_memory_limit: declared.SidecarMemoryLimit = "",
    sidecar_access_log: declared.SidecarAccessLog = "json",
    otlp_endpoint: declared.ProxyOtlpEndpoint = "",
    trace_sampling: declared.ProxyTraceSampling = "",
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


def _write(body: bytes) -> None:
    sys.stdout.write(body.decode())


def _failed(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(NOT_GOOD)


def main() -> None:
    """The program `tidegate`."""
    claim()
    app()
