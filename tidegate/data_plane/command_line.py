"""The options of `tidegate gateway` and `tidegate sidecar` as tables, and the quick reading of a command line by them.

A data plane must not carry the libraries of the command line, which are a tenth of its memory. So what it is started with, which a Pod
spec writes and nobody types, is read here. What is not understood here, and every question for help, is typer's (tidegate.cli), which is
given the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

YES: Final = "true"


class Option(NamedTuple):
    """`default` None for one that must be given, '' for one that may be left out. One without `metavar` takes no value: YES stands for it,
    and '' for its absence."""

    name: str
    metavar: str
    environment: str
    default: str | None
    help: str

    @property
    def key(self) -> str:
        """As a Python name."""
        return self.name.removeprefix("--").replace("-", "_")


_GATEWAY: Final = (
    Option("--gateway", "NAMESPACE/NAME", "TIDEGATE_GATEWAY", None, "The Gateway to serve."),
    Option("--name", "NAME", "POD_NAME", "", "What this proxy is called; that of the host by default."),
)
_SIDECAR: Final = (
    Option("--workload", "NAMESPACE/POD", "TIDEGATE_WORKLOAD", None, "The Pod that this is in, and the name of this proxy."),
    Option("--pod-address", "ADDRESS", "POD_IP", "127.0.0.1", "Of this Pod: where the application is asked for its health."),
    Option("--loopback", "NETWORK", "TIDEGATE_LOOPBACK", "", "Of `tidegate run --mesh`: addresses that stand in for capture rules."),
    Option("--app-probes", "JSON", "TIDEGATE_APP_PROBES", "", "How it is asked, by the path at which kubelet asks us."),
)
_COMMON: Final = (
    Option("--controller", "HOST:PORT", "TIDEGATE_CONTROLLER", None, "Where the controller is; its certificate bears this name."),
    Option("--ca", "FILE", "TIDEGATE_CA", "/var/run/tidegate/ca/ca.crt", "Certificates of who vouches for the controller."),
    Option("--token", "FILE", "TIDEGATE_TOKEN", "/var/run/tidegate/token/token", "Token that says to the controller who this is."),
    Option("--trust-domain", "DOMAIN", "TIDEGATE_TRUST_DOMAIN", "cluster.local", "Of the identities of controller and proxies."),
    Option("--workers", "N", "TIDEGATE_WORKERS", "1", "Processes that serve; with more than one there is a parent beside them."),
    Option("--snapshot", "DIR", "TIDEGATE_SNAPSHOT", "", "Keep what is served there, and start from it while the controller is away."),
    Option("--admin", "ADDRESS:PORT", "TIDEGATE_ADMIN", "127.0.0.1:15000", "Where the admin server listens."),
    Option("--health", "ADDRESS:PORT", "TIDEGATE_HEALTH", "[::]:15021", "Where /healthz/live and /healthz/ready are; [::] is everywhere."),
    Option("--metrics", "ADDRESS:PORT", "TIDEGATE_METRICS", "[::]:15020", "Where /metrics is; [::] is everywhere."),
    Option("--drain-delay", "TIME", "TIDEGATE_DRAIN_DELAY", "5s", "At the end: how long new connections are still taken."),
    Option("--drain-timeout", "TIME", "TIDEGATE_DRAIN_TIMEOUT", "30s", "At the end: how long requests under way may take."),
    Option("--access-log", "[json|text|off]", "TIDEGATE_ACCESS_LOG", "json", "Form of the access log on standard output."),
    Option("--otlp-endpoint", "URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "Collector that gets traces (OTLP over HTTP); none by default."),
    Option("--trace-sampling", "PERCENT", "TIDEGATE_TRACE_SAMPLING", "1", "Of the requests whose callers have not decided."),
    Option("--memory-limit", "SIZE", "TIDEGATE_MEMORY_LIMIT", "", "For all workers together; that of the container by default."),
)  # fmt: skip
GATEWAY: Final = (*_GATEWAY, *_COMMON)
SIDECAR: Final = (*_SIDECAR, *_COMMON)
COMMANDS: Final = {"gateway": GATEWAY, "sidecar": SIDECAR}
"""The options of each command that this reads."""


def read(options: Sequence[Option], arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str] | None:
    """The values of these options by key: what is written, else what the environment says, else the default. None if it takes more than
    this to understand the line, or to say what is wrong with it."""
    values = {option.key: environment.get(option.environment) or option.default for option in options}
    by_name = {option.name: option for option in options}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        option = by_name.get(name)
        if option is None or (equals and not option.metavar):
            return None
        if not option.metavar:
            value = YES
        elif not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                return None
        values[option.key] = value
    found = {key: value for key, value in values.items() if value is not None}
    return found if len(found) == len(options) else None
