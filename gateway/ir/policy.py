"""Policies that say who may ask for what: sent once, whatever they hold for, and merged in the proxy."""

from __future__ import annotations

from typing import Literal

from gateway.ir.value import Resource, Value

Texts = tuple[str, ...]
Action = Literal["ALLOW", "DENY", "AUDIT"]


class Policy(Resource, frozen=True):
    """Base. Key namespace/name."""

    targets: Texts
    """Keys of the Gateways it holds for, at all of their listeners; of namespaces of the mesh (`workload.mesh_scope`), at what comes in."""


class SourceMatch(Value, frozen=True):
    """All that is given must hold: one value of each, none of each `not_`. Values are exact, or end or begin with '*', or are '*' alone for
    whatever is not empty; blocks are CIDRs."""

    principals: Texts = ()
    """trust domain/ns/namespace/sa/account"""
    not_principals: Texts = ()
    request_principals: Texts = ()
    """issuer/subject"""
    not_request_principals: Texts = ()
    namespaces: Texts = ()
    not_namespaces: Texts = ()
    ip_blocks: Texts = ()
    """Of the connection's other end."""
    not_ip_blocks: Texts = ()
    remote_ip_blocks: Texts = ()
    """Of the client as trusted proxies name it."""
    not_remote_ip_blocks: Texts = ()


class OperationMatch(Value, frozen=True):
    """As SourceMatch."""

    hosts: Texts = ()
    """Lower case."""
    not_hosts: Texts = ()
    ports: tuple[int, ...] = ()
    """Of the listener."""
    not_ports: tuple[int, ...] = ()
    methods: Texts = ()
    not_methods: Texts = ()
    paths: Texts = ()
    """Besides wildcards at either end templates: {*} stands for one segment, {**}, the last of them, for any number."""
    not_paths: Texts = ()


Attribute = Literal[
    "request.headers",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims",
    "destination.ip",
    "destination.port",
    "connection.sni",
]


class AttributeMatch(Value, frozen=True):
    """One of the values and none of `not_values`. Addresses are CIDRs, ports numbers, others as in SourceMatch."""

    attribute: Attribute
    names: Texts = ()
    """The field of request.headers, in lower case; the claim of request.auth.claims and what it is nested in, outermost first."""
    values: Texts = ()
    not_values: Texts = ()


class AuthorizationRule(Value, frozen=True):
    """A request matches if one of the sources, one of the operations and all conditions do; any source or operation where none is given."""

    name: str
    """Its place in the object."""
    sources: tuple[SourceMatch, ...] = ()
    operations: tuple[OperationMatch, ...] = ()
    conditions: tuple[AttributeMatch, ...] = ()


class AuthorizationPolicy(Policy, frozen=True, tag="AuthorizationPolicy"):
    """A request that a DENY policy matches is denied; if there is an ALLOW policy, so is one that none of them matches. AUDIT leaves a
    mark in the log (istio.io/api/security/v1beta1/authorization_policy.proto)."""

    action: Action = "ALLOW"
    rules: tuple[AuthorizationRule, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    """Labels that the workloads of a namespace of the mesh must have."""


class TokenHeader(Value, frozen=True):
    """A field in which a token stands, behind a prefix."""

    name: str
    """Lower case."""
    prefix: str = ""


class ClaimHeader(Value, frozen=True):
    """A field that tells backends a claim."""

    name: str
    """Lower case."""
    claim: str
    """Its name; where there is none of that name, names with dots between, outermost first."""


class TokenRule(Value, frozen=True):
    """The tokens of one issuer: where they stand, what verifies them, and what becomes of them (JWTRule)."""

    issuer: str
    audiences: Texts = ()
    """One of these must be among those of the token; any where none is given."""
    keys: str = ""
    """A JWK Set (RFC 7517 5), as text."""
    url: str = ""
    """Where the set is fetched, in place of `keys`."""
    discovery: bool = False
    """Whether `url` leads to the OpenID configuration that names where the set is (OpenID Connect Discovery 1.0, 4)."""
    timeout: int = 5000
    """Milliseconds that fetching may take."""
    headers: tuple[TokenHeader, ...] = ()
    params: Texts = ()
    """Of the query."""
    cookies: Texts = ()
    forward: bool = False
    """Whether backends see the token."""
    payload_header: str = ""
    """The field, in lower case, that tells backends the payload, base64url-encoded as it was signed."""
    claim_headers: tuple[ClaimHeader, ...] = ()
    spaced_claims: Texts = ()
    """Claims whose words, with spaces between, are values each, besides scope and permission."""
    error: str = ""
    """Why no token of this issuer can be believed."""


class RequestAuthentication(Policy, frozen=True, tag="RequestAuthentication"):
    """A request with a token that does not verify is refused, one without passes
    (istio.io/api/security/v1beta1/request_authentication.proto)."""

    rules: tuple[TokenRule, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    """Labels that the workloads of a namespace of the mesh must have."""


AnyPolicy = AuthorizationPolicy | RequestAuthentication
