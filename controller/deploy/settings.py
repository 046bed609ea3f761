"""What the controller says about every data plane that it deploys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Settings:
    """Of all data planes.

    `controller` is "host:port" of the configuration stream, `authorities` the certificates (PEM) that it is known by. The times of
    a drain are whole seconds. Traces go to `otlp_endpoint`, "" for none, as far as `trace_sampling` says: percent as they are written,
    "" for what a data plane does unasked. Any change but that of `authorities` replaces the Pods of every Gateway, one after the other.
    """

    image: str
    controller: str
    authorities: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    trust_domain: str = "cluster.local"
    drain_delay: int = 5
    drain_timeout: int = 30
    otlp_endpoint: str = ""
    trace_sampling: str = ""
