"""What all spans of a process say of it (OpenTelemetry, semantic conventions for resources)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import unquote

from gateway.tracing.otlp import Attributes, text_attribute

SERVICE_NAME_VARIABLE: Final = "OTEL_SERVICE_NAME"
POD_VARIABLE: Final = "POD_NAME"
RESOURCE_VARIABLE: Final = "OTEL_RESOURCE_ATTRIBUTES"


@lru_cache(maxsize=1)
def own_version() -> bytes:
    """Of Tidegate, b'' where it is not installed as a package."""
    try:
        return version("tidegate").encode()
    except PackageNotFoundError:
        return b""


def resource_of(gateway: str, service: str, instance: str, environment: Mapping[str, str]) -> Attributes:
    """`service` is what the spans are of, by default the name of the Gateway (namespace/name); what the environment says counts more.

    In the mesh, where no object stands behind the key, `service` is that of the workload.
    """
    namespace, _, name = gateway.partition("/")
    pod = environment.get(POD_VARIABLE, "")
    if pod and pod != instance:
        instance = f"{pod}/{instance}"  # one of several workers
    found = {
        "service.name": service or name,
        "service.namespace": namespace,
        "service.instance.id": instance,
        "service.version": own_version().decode(),
        "telemetry.sdk.name": "tidegate",
        "telemetry.sdk.language": "python",
    }
    for part in environment.get(RESOURCE_VARIABLE, "").split(","):
        key, equals, value = part.partition("=")
        if equals and key.strip():
            found[key.strip()] = unquote(value.strip())
    found["service.name"] = environment.get(SERVICE_NAME_VARIABLE) or found["service.name"]
    return b"".join([text_attribute(key.encode(), value.encode(), 1) for key, value in found.items() if value])
