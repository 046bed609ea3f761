"""AuthorizationPolicy (security.istio.io/v1): who may ask for what (istio.io/api/security/v1beta1/authorization_policy.proto).

Only the form is judged here. What values mean, and what is wrong with them, is for translate/mesh/authorization_policies.py, since a
policy that is not understood must still hold.
"""

from typing import Literal

from pydantic import Field

from controller.api.base import Text
from controller.api.istio import OpenModel, SelectingSpec
from controller.api.metadata import Object

Texts = tuple[Text, ...]


class Source(OpenModel):
    """Who asks. All fields that are given must hold, each by one of its values; those that begin with not by none."""

    principals: Texts = Field(default=(), description="TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, from the client's certificate.")
    not_principals: Texts = Field(default=(), description="None of these.")
    request_principals: Texts = Field(default=(), description="ISSUER/SUBJECT, from the request's token.")
    not_request_principals: Texts = Field(default=(), description="None of these.")
    namespaces: Texts = Field(default=(), description="Of the principal.")
    not_namespaces: Texts = Field(default=(), description="None of these.")
    service_accounts: Texts = Field(default=(), description="NAMESPACE/ACCOUNT, or ACCOUNT of the policy's namespace, of the principal.")
    not_service_accounts: Texts = Field(default=(), description="None of these.")
    ip_blocks: Texts = Field(default=(), description="Addresses or CIDRs of the connection's other end.")
    not_ip_blocks: Texts = Field(default=(), description="None of these.")
    remote_ip_blocks: Texts = Field(default=(), description="Addresses or CIDRs of the client, as trusted proxies name it.")
    not_remote_ip_blocks: Texts = Field(default=(), description="None of these.")


class From(OpenModel):
    """One alternative of a rule's sources."""

    source: Source = Field(default=Source(), description="Who asks.")


class Operation(OpenModel):
    """What is asked for. All fields that are given must hold, each by one of its values; those that begin with not by none."""

    hosts: Texts = Field(default=(), description="Of the request, in any case, with or without its port.")
    not_hosts: Texts = Field(default=(), description="None of these.")
    ports: Texts = Field(default=(), description="Of the listener.")
    not_ports: Texts = Field(default=(), description="None of these.")
    methods: Texts = Field(default=(), description="Of the request.")
    not_methods: Texts = Field(default=(), description="None of these.")
    paths: Texts = Field(default=(), description="Of the request, without its query; also templates with {*} and {**}.")
    not_paths: Texts = Field(default=(), description="None of these.")


class To(OpenModel):
    """One alternative of a rule's operations."""

    operation: Operation = Field(default=Operation(), description="What is asked for.")


class When(OpenModel):
    """A condition on an attribute."""

    key: Text = Field(min_length=1, description="The attribute, as in request.headers[x-team], source.ip or request.auth.claims[groups].")
    values: Texts = Field(default=(), description="It has one of these.")
    not_values: Texts = Field(default=(), description="It has none of these.")


class Rule(OpenModel):
    """A request matches if one source, one operation and all conditions do; whatever is not given always does."""

    from_: tuple[From, ...] | None = Field(default=None, alias="from", description="Sources; any when absent.")
    to: tuple[To, ...] | None = Field(default=None, description="Operations; any when absent.")
    when: tuple[When, ...] = Field(default=(), description="Conditions.")


class ExtensionProvider(OpenModel):
    """Of action CUSTOM."""

    name: Text = Field(default="", description="The provider's.")


class AuthorizationPolicySpec(SelectingSpec):
    """Rules and what they do. Without rules ALLOW allows nothing, and the others do nothing."""

    rules: tuple[Rule, ...] = Field(default=(), description="The policy matches a request if one of them does.")
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = Field(
        default="ALLOW", description="What becomes of a request that matches. CUSTOM is not supported, and denies."
    )
    provider: ExtensionProvider | None = Field(default=None, description="Of action CUSTOM.")


class AuthorizationPolicy(Object):
    """Who may ask for what."""

    api_version: Literal["security.istio.io/v1", "security.istio.io/v1beta1"]
    kind: Literal["AuthorizationPolicy"]
    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()
