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


AnyPolicy = AuthorizationPolicy
