"""What a data plane process is told when it starts, as opposed to what it is told by resources while it runs."""

from __future__ import annotations

from typing import Final, Literal

from gateway.ir.value import Value

AccessLog = Literal["json", "text", "off"]


SESSION_KEY_VARIABLE: Final = "TIDEGATE_SESSION_KEY"
"""Environment variable whose text keys session tokens: the same in all workers, and where the user sets it, in all proxies and over
restarts. In the environment and not in an option, because other users of a machine can read arguments."""


class RuntimeOptions(Value, frozen=True):
    """Travels as JSON in the arguments of a worker process."""

    name: str = "worker-0"
    """Who this process is, in logs and on the configuration stream."""
    access_log: AccessLog = "json"
    log_descriptor: int = 1
    """Where the lines of the access log are written: standard output, unless whoever starts the process hands it another one."""
    admin: tuple[str, int] | None = None
    """Address and port of the admin server, which no backend may lead to."""
    drain_timeout: float = 30.0
    """Seconds that exchanges in flight get when the parent is gone and nobody says how long to wait."""
    shared_descriptor: int | None = None
    """Of the file in which all workers count for rate limits (shared_memory); None for memory of its own."""
    leaves_early: bool = False
    """Whether a drain's delay is over as soon as there is no connection: whoever would make one has ended before."""
    workload: str = ""
    """Key (namespace/Pod) of the Workload beside which this proxy is; '' for a Gateway's."""
    source: str = ""
    """Loopback address that connections to others on this host come from, so that those know them by it; '' for any."""
    workers: int = 1
    """How many processes like this one share the machine."""
    keys: str = ""
    """Folder in which fetched keys of issuers are kept for the next start; '' to keep none."""
    otlp_endpoint: str = ""
    """URL of the collector that gets spans of all listeners, unless a ListenerPolicy names another one; '' for none."""
    trace_sampling: float = 1.0
    """Percent of the requests whose callers decided nothing."""
    memory_limit: int = 0
    """Bytes that this process may have resident; 0 for the limit of its control group, or its part of the machine."""
