"""ListenerPolicy (tidegate.dev/v1alpha1): options of listeners that the Gateway API has no field for."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.api.base import Boolean, Integer, Model, Text, refusal
from controller.api.durations import Duration
from controller.api.metadata import Object
from controller.api.names import SectionName
from controller.api.references import LocalPolicyTargetReference, check_targets


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise refusal("", f"{value!r} is not an address block: {error}", "Write an address block such as 10.0.0.0/8 or fd00::/8.") from None


AddressBlock = Annotated[Text, AfterValidator(_network)]
"""An IPv4 or IPv6 address block in CIDR form; an address alone stands for itself."""


class ListenerPolicyTarget(LocalPolicyTargetReference):
    """A Gateway of the policy's namespace, or one listener of it."""

    group: Literal["gateway.networking.k8s.io"] = "gateway.networking.k8s.io"
    kind: Literal["Gateway"] = "Gateway"
    section_name: SectionName | None = Field(default=None, description="The listener; all listeners when absent.")


class ListenerTimeouts(Model):
    """Time limits of connections from clients; zero disables."""

    header: Duration = Field(
        default=10_000, description="From the start of a connection, or the first byte of a later request, to the end of the head."
    )
    idle: Duration = Field(default=60_000, description="Between two requests on a connection.")


class PathRules(Model):
    """How the paths of requests are treated before they are matched."""

    escaped_slashes: Literal["Keep", "Reject", "Redirect", "Unescape"] = Field(
        default="Keep",
        description=(
            "What happens to %2f and %5c: kept as ordinary characters, refused with 400, answered with a redirect to the unescaped path,"
            " or unescaped before matching."
        ),
    )
    merge_slashes: Boolean = Field(default=False, description="Whether a run of slashes counts, and is forwarded, as one.")


class ListenerPolicySpec(Model):
    """Options of listeners."""

    target_refs: Annotated[tuple[ListenerPolicyTarget, ...], AfterValidator(check_targets)] = Field(
        min_length=1, max_length=16, description="The Gateways or listeners it holds for."
    )
    trusted_hops: Annotated[Integer, Field(ge=0, le=32)] | None = Field(
        default=None, description="How many proxies in front are trusted to have written x-forwarded-for; none when absent."
    )
    trusted_addresses: tuple[AddressBlock, ...] = Field(
        default=(), max_length=256, description="Address blocks of proxies whose x-forwarded-* fields are trusted."
    )
    timeouts: ListenerTimeouts = Field(default=ListenerTimeouts(), description="Time limits of connections from clients.")
    paths: PathRules = Field(default=PathRules(), description="How the paths of requests are treated.")
    reason_header: Boolean = Field(default=False, description="Whether answers that the proxy makes itself carry x-tidegate-reason.")
    access_log: Boolean = Field(default=True, description="Whether exchanges are written to the access log.")


class ListenerPolicy(Object):
    """Options of a Gateway or one of its listeners."""

    api_version: Literal["tidegate.dev/v1alpha1"]
    kind: Literal["ListenerPolicy"]
    spec: ListenerPolicySpec
