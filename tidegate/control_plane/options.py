"""The options of `tidegate controller`, and what can be wrong with them before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from controller.deploy.settings import Settings
from controller.injection.callers import OwnWebhook
from controller.translate.options import IN_CLUSTER, Options, Outbound
from gateway.ir.tracing import parse_sampling
from gateway.net.sockets import readable
from mesh.injection.annotations import is_quantity
from mesh.injection.settings import AccessLog, SidecarSettings
from mesh.roots import LEAF_LIFETIME, LONGEST_LEAF, SHORTEST_LEAF
from tidegate.binding import Place
from tidegate.tracing import parse_collector

STREAM_PORT: Final = 15010
"""Of the Service."""
WEBHOOK_PORT: Final = 15017
"""Of the Service, too."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


@dataclass(frozen=True, slots=True)
class SidecarOptions:
    """What sidecars get unless a Pod's annotations say otherwise: quantities, "" for none, and the form of the access log."""

    cpu: str = "100m"
    memory: str = "128Mi"
    cpu_limit: str = ""
    memory_limit: str = ""
    access_log: AccessLog = "json"

    def joined(self, settings: SidecarSettings) -> SidecarSettings:
        """These settings with what is said here."""
        requests = replace(settings, cpu=self.cpu, memory=self.memory)
        return replace(requests, cpu_limit=self.cpu_limit, memory_limit=self.memory_limit, access_log=self.access_log)

    def complaints(self) -> Iterator[str]:
        """What is wrong, each with the option and the remedy."""
        quantities = {"cpu": self.cpu, "memory": self.memory, "cpu-limit": self.cpu_limit, "memory-limit": self.memory_limit}
        for name, value in quantities.items():
            if value and not is_quantity(value):
                yield f"--sidecar-{name} {value!r}: write a quantity, such as 500m for CPU or 128Mi for memory; nothing for none"


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """See `tidegate controller --help`."""

    namespace: str
    """Our own."""
    name: str
    """Who we are among the replicas: the name of the Pod."""
    image: str
    service: str
    """The DNS name under which proxies reach the replicas."""
    watch_namespaces: tuple[str, ...] = ()
    """Nothing outside of these is read or deployed; () for all."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    trust_domain: str = "cluster.local"
    certificate_lifetime: float = LEAF_LIFETIME.total_seconds()
    """Seconds, of what the authority issues."""
    root_namespace: str = "istio-system"
    mesh: bool = False
    """Whether sidecars are injected and served."""
    mesh_outbound: Outbound = "AllowAny"
    """What they do with what goes to a destination that the cluster does not know."""
    drain_delay: int = 5
    """Seconds, of the proxies."""
    drain_timeout: int = 30
    """Seconds, of the proxies."""
    otlp_endpoint: str = ""
    """Of the proxies: a collector of traces, "" for none."""
    trace_sampling: str = ""
    """Of the proxies, in percent; "" for what they do unasked."""
    pod_address: str = "127.0.0.1"
    """Where proxies reach this very replica."""
    stream: Place = ("::", STREAM_PORT)
    """Where the configuration stream is served; proxies come to this port of the Service all the same."""
    metrics: Place = ("::", 15020)
    health: Place = ("::", 15021)
    admin: Place = ("127.0.0.1", 15000)
    webhook: Place = ("::", WEBHOOK_PORT)
    sidecar: SidecarOptions = SidecarOptions()
    kubeconfig: Path | None = None
    """Outside of a cluster: which one it is."""

    @property
    def identity(self) -> str:
        """How we sign the Lease: our name, and where proxies find this replica."""
        return f"{self.name}_{readable(self.pod_address, self.stream[1])}"

    def settings(self) -> Settings:
        """What is said about every data plane; the roots by which it knows us come later."""
        controller = f"{self.service}:{STREAM_PORT}"
        drain, traces = (self.drain_delay, self.drain_timeout), (self.otlp_endpoint, self.trace_sampling)
        return Settings(self.image, controller, "", self.image_pull_policy, self.trust_domain, *drain, *traces)

    def sidecars(self) -> SidecarSettings:
        """What is said about every sidecar."""
        controller = f"{self.service}:{STREAM_PORT}"
        settings = SidecarSettings(self.image, controller, self.namespace, self.image_pull_policy, self.trust_domain)
        traced = replace(settings, otlp_endpoint=self.otlp_endpoint, trace_sampling=self.trace_sampling)
        return self.sidecar.joined(traced)

    def own_webhook(self) -> OwnWebhook:
        """The webhook as the chart installs it: its name is that of our namespace, its Service ours."""
        return OwnWebhook(f"tidegate-injection-{self.namespace}", self.service.partition(".")[0], self.namespace)

    def translation(self) -> Options:
        """What translation takes of them."""
        return replace(
            IN_CLUSTER,
            root_namespace=self.root_namespace,
            mesh=self.mesh,
            trust_domain=self.trust_domain,
            outbound=self.mesh_outbound,
        )

    def complaints(self) -> tuple[str, ...]:
        """What is wrong, each with the option and the remedy."""
        return tuple(self._complaints())

    def _complaints(self) -> Iterator[str]:
        watched = (("--watch-namespaces", each) for each in self.watch_namespaces)
        for option, value in (("--namespace", self.namespace), ("--root-namespace", self.root_namespace), *watched):
            if not _NAMESPACE.fullmatch(value):
                yield f"{option} {value!r}: this is no name of a namespace; in a Pod set it from metadata.namespace"
        if not self.name:
            yield "--name is empty: give a name that no other replica has; in a Pod set it from metadata.name"
        if not self.image:
            yield "--image is empty: name the image of the proxies, mostly this program's own"
        if not self.service:
            yield "--service is empty: name the Service of this controller, as in tidegate-controller.tidegate-system.svc"
        if not _TRUST_DOMAIN.fullmatch(self.trust_domain):
            yield f"--trust-domain {self.trust_domain!r}: use lower-case letters, digits and . - _ (SPIFFE ID, 2.1)"
        if not SHORTEST_LEAF.total_seconds() <= self.certificate_lifetime <= LONGEST_LEAF.total_seconds():
            yield f"--certificate-lifetime of {self.certificate_lifetime:g} s: give a time from 20s to 2160h, such as 24h"
        for option, seconds in (("--drain-delay", self.drain_delay), ("--drain-timeout", self.drain_timeout)):
            if seconds < 0:
                yield f"{option} {seconds}: give a number of seconds, 0 or more"
        yield from self.sidecar.complaints()
        yield from tracing_complaints(self.otlp_endpoint, self.trace_sampling)


def tracing_complaints(otlp_endpoint: str, trace_sampling: str) -> Iterator[str]:
    """What is wrong with what proxies are to be told about traces, each with the option and the remedy."""
    for option, value, parse in (("--otlp-endpoint", otlp_endpoint, parse_collector), ("--trace-sampling", trace_sampling, parse_sampling)):
        try:
            if value:
                parse(value)
        except ValueError as error:
            yield f"{option} {error}"
