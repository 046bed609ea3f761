"""PeerAuthentication (security.istio.io/v1): whether callers of a workload must prove an identity of the mesh
(istio.io/api/security/v1beta1/peer_authentication.proto).

Only the form is judged here; what is not known of it is for translate/mesh/mutual_tls.py, which then demands an identity.
"""

from typing import Literal

from pydantic import Field

from controller.api.base import Text
from controller.api.istio import OpenModel, WorkloadSelector
from controller.api.metadata import Object

Mode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]


class MutualTLS(OpenModel):
    """What callers may or must do."""

    mode: Mode = Field(
        default="UNSET", description="STRICT demands an identity, PERMISSIVE does not, DISABLE takes none; UNSET inherits."
    )


class PeerAuthenticationSpec(OpenModel):
    """Holds for the workloads that the selector names, or else for the namespace, of the root namespace for the whole mesh."""

    selector: WorkloadSelector | None = Field(default=None, description="The workloads it holds for, by label.")
    mtls: MutualTLS = Field(default=MutualTLS(), description="Of all ports.")
    port_level_mtls: dict[Text, MutualTLS] = Field(
        default_factory=dict, description="Of ports of the workload, by number; needs a selector."
    )


class PeerAuthentication(Object):
    """Whether callers must prove an identity."""

    api_version: Literal["security.istio.io/v1", "security.istio.io/v1beta1"]
    kind: Literal["PeerAuthentication"]
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()

    @property
    def labels(self) -> dict[str, str]:
        """What the workloads that it holds for must have; nothing where it holds for a namespace or the mesh."""
        return self.spec.selector.match_labels if self.spec.selector is not None else {}
