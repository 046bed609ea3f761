"""The options of `tidegate gateway`: how a Pod's command line is read, and what is said of mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tidegate.program import ROOT
from tidegate.cli import app
from tidegate.data_plane.command_line import GATEWAY, SIDECAR, Option, read
from tidegate.data_plane.options import Complaint, DataPlaneOptions

NEEDED = ("--gateway", "default/web", "--controller", "c.svc:15010")


def options(*arguments: str, **environment: str) -> DataPlaneOptions:
    values = read(GATEWAY, (*NEEDED, *arguments), environment)
    assert values is not None
    return DataPlaneOptions.of(values)


def test_what_is_written_wins_over_the_environment_and_that_over_the_default() -> None:
    """The contract of the Pod: every option also by a variable; POD_NAME is the proxy's name."""
    found = options("--workers=3", "--drain-delay", "500ms", TIDEGATE_WORKERS="9", TIDEGATE_SNAPSHOT="/kept", POD_NAME="web-1")
    assert (found.gateway, found.controller, found.workers, found.name) == ("default/web", "c.svc:15010", 3, "web-1")
    assert (found.drain_delay, found.drain_timeout, found.snapshot) == (0.5, 30.0, Path("/kept"))
    assert (found.ca, found.token) == (Path("/var/run/tidegate/ca/ca.crt"), Path("/var/run/tidegate/token/token"))
    assert (found.admin, found.health, found.metrics) == (("127.0.0.1", 15000), ("::", 15021), ("::", 15020))
    assert (found.access_log, found.memory_limit, found.trust_domain) == ("json", 0, "cluster.local")
    assert (found.otlp_endpoint, found.trace_sampling) == ("", 1.0)


def test_all_of_it_can_come_from_the_environment() -> None:
    """As the Pod spec may write it."""
    environment = {option.environment: option.default or "" for option in GATEWAY}
    values = read(GATEWAY, (), {**environment, "TIDEGATE_GATEWAY": "a/b", "TIDEGATE_CONTROLLER": "[::1]:15010"})
    assert values is not None
    assert DataPlaneOptions.of(values).controller == "[::1]:15010"


@pytest.mark.parametrize(
    "arguments",
    [(), NEEDED[:2], *((*NEEDED, *more) for more in (("--help",), ("-h",), ("--sing", "x"), ("--workers",), ("x",)))],
    ids=str,
)
def test_what_is_not_understood_is_left_to_the_full_command_line(arguments: tuple[str, ...]) -> None:
    """Whoever asks for help, or writes what is no option, gets what typer says."""
    assert read(GATEWAY, arguments, {}) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gateway", "web"), "--gateway (TIDEGATE_GATEWAY): 'web' is not NAMESPACE/NAME of a Gateway; write for example default/web"),
        (("--gateway", "a/b/c"), "is not NAMESPACE/NAME"),
        (("--controller", "c.svc"), "--controller (TIDEGATE_CONTROLLER): 'c.svc' is not HOST:PORT"),
        (("--controller", "c.svc:0"), "is not HOST:PORT"),
        (("--workers", "0"), "--workers (TIDEGATE_WORKERS): '0' is not a number of processes; give 1 or more"),
        (("--workers", "two"), "give 1 or more"),
        (("--admin", "15000"), "--admin (TIDEGATE_ADMIN): '15000' is not ADDRESS:PORT"),
        (("--health", "here:1"), "--health (TIDEGATE_HEALTH): 'here' is not an IP address"),
        (("--drain-delay", "soon"), "'soon' is not a duration; write for example 10s, 500ms or 1m30s"),
        (("--access-log", "xml"), "--access-log (TIDEGATE_ACCESS_LOG): 'xml' is none of json, text, off"),
        (("--otlp-endpoint", "ftp://c"), "--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): 'ftp://c' is not the URL of a collector; write"),
        (("--otlp-endpoint", "http://me:pw@c"), "credentials belong into OTEL_EXPORTER_OTLP_HEADERS"),
        (("--trace-sampling", "most"), "--trace-sampling (TIDEGATE_TRACE_SAMPLING): 'most' is not a percentage; write"),
        (("--memory-limit", "lots"), "write for example 512Mi or 2G"),
        (("--memory-limit", "64Mi", "--workers", "2"), "--memory-limit 64Mi: 2 workers need more"),
        (("--trust-domain", "UPPER"), "'UPPER' is not a trust domain"),
        (("--token", ""), "--token (TIDEGATE_TOKEN): name a file"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(arguments: tuple[str, ...], said: str) -> None:
    """Design 8: the option, its variable, what is wrong, what to write."""
    with pytest.raises(Complaint) as complaint:
        options(*arguments)
    assert said in str(complaint.value)


def test_a_sidecar_is_called_as_its_pod_and_subscribes_to_its_namespace() -> None:
    """The contract of an injected Pod: the Pod's name, its address and its application's probes, by variables."""
    probes = '{"/app-health/cart/livez": {"tcpSocket": {"port": 5432}}}'
    environment = {
        "TIDEGATE_WORKLOAD": "shop/cart-1", "TIDEGATE_CONTROLLER": "c.svc:15010", "TIDEGATE_APP_PROBES": probes, "POD_IP": "10.0.0.7",
        "POD_NAME": "cart-1",
    }  # fmt: skip
    values = read(SIDECAR, (), environment)
    assert values is not None
    found = DataPlaneOptions.of(values)
    assert (found.name, found.scope, found.served, found.command) == (
        "shop/cart-1", "shop/@mesh", "Workload shop/cart-1", "tidegate sidecar",
    )  # fmt: skip
    assert (found.gateway, found.pod_address, found.workers) == ("", "10.0.0.7", 1)
    assert [path for path, _ in found.app_probes] == ["/app-health/cart/livez"]
    gateway = options()
    assert (gateway.scope, gateway.served, gateway.workload, gateway.app_probes) == ("default/web", "Gateway default/web", "", ())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--workload", "cart-1"), "--workload (TIDEGATE_WORKLOAD): 'cart-1' is not NAMESPACE/NAME of a Pod; write for example "),
        (("--app-probes", "{"), "--app-probes (TIDEGATE_APP_PROBES): is not a JSON object of probes by path: "),
        (("--pod-address", "cart"), "--pod-address (POD_IP): 'cart' is not an IP address"),
    ],
)
def test_mistakes_in_the_options_of_a_sidecar_are_named(arguments: tuple[str, ...], said: str) -> None:
    """As those of a gateway."""
    values = read(SIDECAR, ("--workload", "shop/cart-1", "--controller", "c.svc:15010", *arguments), {})
    assert values is not None
    with pytest.raises(Complaint) as complaint:
        DataPlaneOptions.of(values)
    assert said in str(complaint.value)


@pytest.mark.parametrize(("command", "table"), [("gateway", GATEWAY), ("sidecar", SIDECAR)])
def test_help_tells_every_option(command: str, table: tuple[Option, ...]) -> None:
    """`tidegate gateway --help` is made from the same table."""
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "250", "TERMINAL_WIDTH": "250"}).output
    for option in table:
        assert option.name in shown
        assert option.environment in shown


def test_the_full_command_line_reads_the_same_values() -> None:
    """What both understand means the same to both, mistakes too; exit status 2."""
    result = CliRunner().invoke(app, ["gateway", *NEEDED, "--workers", "0"])
    assert result.exit_code == 2
    assert "'0' is not a number of processes" in result.output


def test_reading_options_loads_no_library_of_the_command_line() -> None:
    """Design 3: what a data plane loads is half of its memory."""
    heavy = ["click", "kubernetes_asyncio", "prometheus_client", "pydantic", "rich", "typer", "yaml"]
    program = (
        "import sys, tidegate.__main__, tidegate.data_plane.program, tidegate.data_plane.worker_processes, gateway.runtime\n"
        "import mesh.link, mesh.own_pod, mesh.prober\n"
        f"print(sorted({heavy} & sys.modules.keys()))"
    ).replace(str(heavy), "set(" + str(heavy) + ")")
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=ROOT)
    assert answer.stdout == "[]\n"
