"""BackendTLSPolicy (gateway.networking.k8s.io/v1, v1alpha3): TLS from the Gateway to a Service."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Model, refusal
from controller.api.metadata import Object
from controller.api.names import AbsoluteUri, AnnotationKey, AnnotationValue, Hostname, PreciseHostname
from controller.api.references import LocalObjectReference, LocalPolicyTargetReference, check_targets


class SubjectAltName(Model):
    """A name that the backend's certificate may carry; the field of the type is given, the other not."""

    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: AbsoluteUri | None = None

    @model_validator(mode="after")
    def _field_of_type(self) -> Self:
        fields = {"Hostname": ("hostname", self.hostname), "URI": ("uri", self.uri)}
        for kind, (field, value) in fields.items():
            if kind == self.type and value is None:
                raise refusal(field, f"type {self.type} needs {field}", f"Add {field}.")
            if kind != self.type and value is not None:
                raise refusal(field, f"type {self.type} has no {field}", f"Remove {field}, or set type {kind}.")
        return self


class BackendTLSPolicyValidation(Model):
    """Against what the backend's certificate is checked."""

    ca_certificate_refs: Annotated[tuple[LocalObjectReference, ...], Field(max_length=8)] = ()
    well_known_ca_certificates: Literal["System"] | None = Field(default=None, alias="wellKnownCACertificates")
    hostname: PreciseHostname
    subject_alt_names: Annotated[tuple[SubjectAltName, ...], Field(max_length=5)] = ()

    @model_validator(mode="after")
    def _one_source_of_authorities(self) -> Self:
        if self.ca_certificate_refs and self.well_known_ca_certificates:
            raise refusal(
                "wellKnownCACertificates", "caCertificateRefs and wellKnownCACertificates exclude each other", "Remove one of the two."
            )
        if not self.ca_certificate_refs and not self.well_known_ca_certificates:
            raise refusal(
                "caCertificateRefs",
                "caCertificateRefs or wellKnownCACertificates must be given",
                "Add a caCertificateRefs entry that names a ConfigMap with ca.crt, or `wellKnownCACertificates: System`.",
            )
        return self


class BackendTLSPolicySpec(Model):
    """The Services that are spoken to over TLS, and how their certificates are checked."""

    target_refs: Annotated[tuple[LocalPolicyTargetReference, ...], Field(min_length=1, max_length=16), AfterValidator(check_targets)]
    validation: BackendTLSPolicyValidation
    options: dict[AnnotationKey, AnnotationValue] = Field(default_factory=dict, max_length=16)


class BackendTLSPolicy(Object):
    """TLS towards backends."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3"]
    kind: Literal["BackendTLSPolicy"]
    spec: BackendTLSPolicySpec
