"""ListenerPolicy and BackendPolicy of tidegate.dev/v1alpha1."""

from typing import Any

import pytest

from controller.api.backend_policy import BackendPolicy, BackendPolicySpec
from controller.api.backend_protection import Ejection, HealthCheck, HTTPCheck, Limits
from controller.api.backend_traffic_policy import XBackendTrafficPolicy
from controller.api.balancing import Balancing, HashOn
from controller.api.listener_policy import ConnectionLimits, ListenerPolicy, ListenerPolicySpec, ListenerTimeouts, PathRules, ProxyProtocol
from tests.controller.api.objects import object_of, read, refused, refused_fields

TIDEGATE = "tidegate.dev/v1alpha1"


def listener_policy(**spec: Any) -> dict[str, Any]:
    """A ListenerPolicy of Gateway g."""
    return object_of("ListenerPolicy", TIDEGATE, spec={"targetRefs": [{"name": "g"}], **spec})


def backend_policy(**spec: Any) -> dict[str, Any]:
    """A BackendPolicy of Service s."""
    return object_of("BackendPolicy", TIDEGATE, spec={"targetRefs": [{"name": "s"}], **spec})


def test_listener_policy_defaults() -> None:
    """Trust in nobody, 10 s for a head, 60 s idle, 1 h for streams, 60 s for flows, slashes kept, no PROXY header, an access log."""
    found = read(listener_policy())
    assert isinstance(found, ListenerPolicy)
    spec = found.spec
    assert (spec.trusted_hops, spec.trusted_addresses, spec.reason_header, spec.access_log) == (None, (), False, True)
    assert (spec.timeouts.header, spec.timeouts.idle) == (10_000, 60_000)
    assert (spec.timeouts.body, spec.timeouts.send, spec.timeouts.tunnel_idle) == (30_000, 30_000, 3_600_000)
    assert (spec.minimum_rates.body, spec.minimum_rates.send, spec.minimum_rates.grace) == (240, 240, 10_000)
    assert spec.limits.connections is spec.limits.connections_per_client is spec.limits.requests_per_connection is None
    assert (spec.timeouts.stream_idle, spec.timeouts.flow_idle) == (3_600_000, 60_000)
    assert (spec.limits.flows, spec.limits.streams_per_connection) == (10_000, 100)
    assert (spec.proxy_protocol.mode, spec.proxy_protocol.addresses) == ("Off", ())
    assert (spec.paths.escaped_slashes, spec.paths.merge_slashes) == ("Keep", False)
    assert (spec.target_refs[0].group, spec.target_refs[0].kind) == ("gateway.networking.k8s.io", "Gateway")


def test_backend_policy_defaults() -> None:
    """Round robin, 5 s to connect, ejection after 5 errors, no checks, panic below a half, 10,000 connections."""
    found = read(backend_policy())
    assert isinstance(found, BackendPolicy)
    ejection, limits = found.spec.ejection, found.spec.limits
    assert (ejection.consecutive_errors, ejection.base_time, ejection.max_time, ejection.connect_failures) == (5, 1_000, 2_000, True)
    assert found.spec.proxy_protocol is None
    assert (found.spec.health_check, found.spec.panic_threshold) == (None, 50)
    assert (limits.connections, limits.pending_requests, limits.requests) == (10_000, 1_024, None)
    assert (found.spec.balancing.type, found.spec.connect_timeout, found.spec.send_timeout) == ("RoundRobin", 5_000, 60_000)
    assert (found.spec.target_refs[0].group, found.spec.target_refs[0].kind) == ("", "Service")


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"trustedHops": 2, "trustedAddresses": ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]}, []),
        ({"trustedHops": -1}, ["trustedHops"]),
        ({"trustedHops": "1"}, ["trustedHops"]),
        ({"trustedAddresses": ["10.0.0.1/8"]}, ["trustedAddresses[0]"]),
        ({"trustedAddresses": ["a"]}, ["trustedAddresses[0]"]),
        ({"timeouts": {"header": "0s", "idle": "1m"}}, []),
        ({"timeouts": {"header": 10}}, ["timeouts.header"]),
        ({"timeouts": {"body": "20s", "send": "1m", "tunnelIdle": "0s"}}, []),
        ({"timeouts": {"tunnelIdle": "1d"}}, ["timeouts.tunnelIdle"]),
        ({"minimumRates": {"body": 0, "send": 1000, "grace": "5s"}}, []),
        ({"minimumRates": {"body": -1, "send": "1k", "grace": 5}}, ["minimumRates.body", "minimumRates.send", "minimumRates.grace"]),
        ({"limits": {"connections": 1, "connectionsPerClient": 10, "requestsPerConnection": 1000}}, []),
        (
            {"limits": {"connections": 0, "connectionsPerClient": 1.5, "requestsPerConnection": True}},
            ["limits.connections", "limits.connectionsPerClient", "limits.requestsPerConnection"],
        ),
        ({"limits": {"connectionsPerClients": 10}}, ["limits.connectionsPerClients"]),
        ({"timeouts": {"streamIdle": "0s", "flowIdle": "1ms"}}, []),
        ({"timeouts": {"streamIdle": 5, "flowIdle": "0s"}}, ["timeouts.streamIdle", "timeouts.flowIdle"]),
        ({"limits": {"flows": 1, "streamsPerConnection": 1}}, []),
        ({"limits": {"flows": 0, "streamsPerConnection": 0}}, ["limits.streamsPerConnection", "limits.flows"]),
        ({"proxyProtocol": {"mode": "Accept", "addresses": ["10.0.0.0/8", "fd00::1"]}}, []),
        ({"proxyProtocol": {"mode": "Require"}}, []),
        ({"proxyProtocol": {"mode": "Require", "addresses": ["10.0.0.1/8"]}}, ["proxyProtocol.addresses[0]"]),
        ({"proxyProtocol": {"mode": "Accept"}}, ["proxyProtocol.addresses"]),
        ({"proxyProtocol": {"addresses": ["10.0.0.0/8"]}}, ["proxyProtocol.mode"]),
        ({"proxyProtocol": {"mode": "accept"}}, ["proxyProtocol.mode"]),
        ({"proxyProtocol": "Accept"}, ["proxyProtocol"]),
        ({"paths": {"escapedSlashes": "Unescape", "mergeSlashes": True}}, []),
        ({"paths": {"escapedSlashes": "keep"}}, ["paths.escapedSlashes"]),
        ({"reasonHeader": "yes"}, ["reasonHeader"]),
        ({"accessLog": False}, []),
        ({"tracing": {"collector": "https://collector:4318", "samplingPercent": 0.1}}, []),
        ({"tracing": {"samplingPercent": 100, "disabled": False}}, []),
        ({"tracing": {"collector": "collector:4317", "samplingPercent": 101}}, ["tracing.collector", "tracing.samplingPercent"]),
        ({"tracing": {"collector": "", "samplingPercent": "1"}}, ["tracing.collector", "tracing.samplingPercent"]),
        ({"tracing": {"samplingPercent": True, "enabled": True}}, ["tracing.samplingPercent", "tracing.enabled"]),
        ({"acessLog": False}, ["acessLog"]),
        ({"targetRefs": []}, ["targetRefs"]),
        ({"targetRefs": [{"name": "g", "kind": "Service"}]}, ["targetRefs[0].kind"]),
        ({"targetRefs": [{"name": "g"}, {"name": "g", "sectionName": "a"}]}, ["targetRefs[1].sectionName"]),
        ({"targetRefs": [{"name": "g", "sectionName": "b"}, {"name": "g", "sectionName": "a"}]}, []),
    ],
)
def test_listener_policies(spec: dict[str, Any], fields: list[str]) -> None:
    """Values outside their range, misspelt fields and other targets are refused by field."""
    assert refused_fields(listener_policy(**spec)) == [f"spec.{field}" for field in fields]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"balancing": {"type": "RoundRobin"}, "connectTimeout": "250ms"}, []),
        ({"balancing": {"type": "Magic"}}, ["balancing.type"]),
        ({"connectTimeout": "1"}, ["connectTimeout"]),
        ({"targetRefs": [{"name": "s", "group": "example.com"}]}, ["targetRefs[0].group"]),
        ({"balancing": {"type": "LeastRequest"}}, []),
        ({"balancing": {"type": "RingHash", "hashOn": [{"type": "Header", "name": "X-User"}, {"type": "Path"}], "tableSize": 4096}}, []),
        ({"balancing": {"type": "Maglev", "tableSize": 65537}}, []),
        ({"balancing": {"type": "Maglev", "tableSize": 65536}}, ["balancing.tableSize"]),
        ({"balancing": {"type": "RingHash", "tableSize": 65538}}, ["balancing.tableSize"]),
        ({"balancing": {"type": "RoundRobin", "tableSize": 1024}}, ["balancing.tableSize"]),
        ({"balancing": {"type": "LeastRequest", "hashOn": [{"type": "Path"}]}}, ["balancing.hashOn"]),
        ({"balancing": {"type": "Maglev", "hashOn": [{"type": "Cookie"}]}}, ["balancing.hashOn[0].name"]),
        ({"balancing": {"type": "Maglev", "hashOn": [{"type": "Path", "name": "a"}]}}, ["balancing.hashOn[0].name"]),
        ({"balancing": {"type": "Maglev", "hashOn": [{"type": "Path"}, {"type": "Path"}]}}, ["balancing.hashOn[1]"]),
        ({"balancing": {"type": "Maglev", "hashOn": [{"type": "Header", "name": "a b"}]}}, ["balancing.hashOn[0].name"]),
        ({"proxyProtocol": "V1"}, []),
        ({"proxyProtocol": "V2"}, []),
        ({"proxyProtocol": "V3"}, ["proxyProtocol"]),
        ({"ejection": {"consecutiveErrors": 0, "connectFailures": False}}, []),
        ({"ejection": {"consecutiveErrors": -1}}, ["ejection.consecutiveErrors"]),
        ({"ejection": {"baseTime": "0s"}}, ["ejection.baseTime"]),
        ({"ejection": {"baseTime": "1m"}}, ["ejection.maxTime"]),
        ({"panicThreshold": 0}, []),
        ({"panicThreshold": 101}, ["panicThreshold"]),
        ({"healthCheck": {}}, []),
        ({"healthCheck": {"http": {"path": "/a?b", "host": "a.test:80", "statuses": [200, 204]}, "jitter": 0}}, []),
        ({"healthCheck": {"type": "TCP", "http": {}}}, ["healthCheck.http"]),
        ({"healthCheck": {"type": "GRPC", "http": {}}}, ["healthCheck.http"]),
        ({"healthCheck": {"grpc": {}}}, ["healthCheck.grpc"]),
        ({"healthCheck": {"type": "GRPC", "grpc": {"service": "a b"}}}, ["healthCheck.grpc.service"]),
        ({"healthCheck": {"http": {"path": "a"}}}, ["healthCheck.http.path"]),
        ({"healthCheck": {"http": {"path": "/a b"}}}, ["healthCheck.http.path"]),
        ({"healthCheck": {"http": {"host": "a/b"}}}, ["healthCheck.http.host"]),
        ({"healthCheck": {"http": {"statuses": []}}}, ["healthCheck.http.statuses"]),
        ({"healthCheck": {"http": {"statuses": [199]}}}, ["healthCheck.http.statuses[0]"]),
        ({"healthCheck": {"http": {"statuses": [200, 200]}}}, ["healthCheck.http.statuses[1]"]),
        ({"healthCheck": {"interval": "99ms"}}, ["healthCheck.interval"]),
        ({"healthCheck": {"timeout": "0s"}}, ["healthCheck.timeout"]),
        ({"healthCheck": {"unhealthyThreshold": 0}}, ["healthCheck.unhealthyThreshold"]),
        ({"limits": {"connections": 1, "pendingRequests": 0, "requests": 1}}, []),
        ({"limits": {"connections": 0}}, ["limits.connections"]),
        ({"limits": {"pendingRequests": -1}}, ["limits.pendingRequests"]),
        ({"limits": {"requests": 0}}, ["limits.requests"]),
    ],
)
def test_backend_policies(spec: dict[str, Any], fields: list[str]) -> None:
    """Values outside their range and other targets are refused by field."""
    assert refused_fields(backend_policy(**spec)) == [f"spec.{field}" for field in fields]


def test_an_address_alone_is_a_block() -> None:
    """192.0.2.1 stands for 192.0.2.1/32."""
    found = read(listener_policy(trustedAddresses=["192.0.2.1", "::1"]))
    assert isinstance(found, ListenerPolicy)
    assert found.spec.trusted_addresses == ("192.0.2.1/32", "::1/128")
    assert refused(listener_policy(trustedAddresses=[])) == []


def traffic_policy(**spec: Any) -> dict[str, Any]:
    """An XBackendTrafficPolicy of Service s."""
    target = {"group": "", "kind": "Service", "name": "s"}
    return object_of("XBackendTrafficPolicy", "gateway.networking.x-k8s.io/v1alpha1", spec={"targetRefs": [target], **spec})


def test_traffic_policy_defaults() -> None:
    """A constraint without anything: a fifth of the requests of 10 s, at least 10 a second (BudgetDetails, RetryConstraint)."""
    found = read(traffic_policy(retryConstraint={}))
    assert isinstance(found, XBackendTrafficPolicy)
    constraint = found.spec.retry_constraint
    assert constraint is not None
    assert (constraint.budget.percent, constraint.budget.interval) == (20, 10_000)
    assert (constraint.min_retry_rate.count, constraint.min_retry_rate.interval) == (10, 1_000)
    assert found.spec.session_persistence is None


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"retryConstraint": {"budget": {"percent": 0, "interval": "1h"}, "minRetryRate": {"count": 1_000_000, "interval": "1ms"}}}, []),
        ({"retryConstraint": {"budget": {"percent": 101}}}, ["retryConstraint.budget.percent"]),
        ({"retryConstraint": {"budget": {"interval": "999ms"}}}, ["retryConstraint.budget.interval"]),
        ({"retryConstraint": {"budget": {"interval": "1h1ms"}}}, ["retryConstraint.budget.interval"]),
        ({"retryConstraint": {"minRetryRate": {"count": 0}}}, ["retryConstraint.minRetryRate.count"]),
        ({"retryConstraint": {"minRetryRate": {"interval": "0s"}}}, ["retryConstraint.minRetryRate.interval"]),
        ({"retryConstraint": {"minRetryRate": {"interval": "2h"}}}, ["retryConstraint.minRetryRate.interval"]),
        ({"sessionPersistence": {"type": "Header", "sessionName": "x-session"}}, []),
        ({"sessionPersistence": {"type": "Header", "cookieConfig": {}}}, ["sessionPersistence.cookieConfig"]),
        ({"targetRefs": []}, ["targetRefs"]),
        ({"targetRefs": [{"kind": "Service", "name": "s"}]}, ["targetRefs[0].group"]),
        ({"targetRefs": [{"group": "", "kind": "Service", "name": "s"}] * 2}, ["targetRefs[1]"]),
        ({"targetRefs": [{"group": "", "kind": "Service", "name": "s", "sectionName": "http"}]}, ["targetRefs[0].sectionName"]),
    ],
)
def test_traffic_policies(spec: dict[str, Any], fields: list[str]) -> None:
    """The CRD's limits and CEL rules; a target is a whole object (xbackendtrafficpolicy_types.go)."""
    assert refused_fields(traffic_policy(**spec)) == [f"spec.{field}" for field in fields]


@pytest.mark.parametrize(
    "model",
    [
        ListenerPolicySpec, BackendPolicySpec, ListenerTimeouts, ConnectionLimits, PathRules, ProxyProtocol, Balancing, HashOn, Ejection,
        HealthCheck, HTTPCheck, Limits,
    ],
)  # fmt: skip
def test_each_field_of_ours_is_described(model: type[ListenerPolicySpec]) -> None:
    """Options that no other project documents carry their description."""
    assert all(field.description for field in model.model_fields.values())
