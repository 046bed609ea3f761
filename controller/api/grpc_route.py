"""GRPCRoute (gateway.networking.k8s.io/v1), experimental fields included (apis/v1/grpcroute_types.go).

Regular expressions are read as they are: whether RE2 takes them is for the translation to say.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Model, refusal, text
from controller.api.common_route import CommonRouteSpec, check_rules
from controller.api.http_filters import GRPCRouteFilter, check_filters
from controller.api.http_matches import check_names
from controller.api.metadata import Object
from controller.api.names import HeaderName, Hostname, SectionName
from controller.api.references import BackendRef
from controller.api.session_persistence import SessionPersistence

_SERVICE = re.compile(r"\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*", re.IGNORECASE | re.ASCII)
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")

Filters = Annotated[tuple[GRPCRouteFilter, ...], Field(max_length=16), AfterValidator(check_filters)]


class GRPCMethodMatch(Model):
    """A service, a method, or both, as they stand in the path /service/method."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    service: Annotated[str, text(longest=1024)] | None = None
    method: Annotated[str, text(longest=1024)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.service is None and self.method is None:
            raise refusal("", "one of service and method must be given", "Add service or method, or remove the match of a method.")
        if self.type == "RegularExpression":
            return self
        if self.service is not None and _SERVICE.fullmatch(self.service) is None:
            message = f"{self.service!r} is no name of a service"
            raise refusal("service", message, "Write package and service such as shop.v1.Orders, or set type RegularExpression.")
        if self.method is not None and _METHOD.fullmatch(self.method) is None:
            message = f"{self.method!r} is no name of a method"
            raise refusal("method", message, "Write letters, digits and underscores such as GetOrder, or set type RegularExpression.")
        return self


class GRPCHeaderMatch(Model):
    """A header field and its value; of several entries with one name only the first counts."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: Annotated[str, text(shortest=1, longest=4096)]


class GRPCRouteMatch(Model):
    """Predicates of which all must hold."""

    method: GRPCMethodMatch | None = None
    headers: Annotated[tuple[GRPCHeaderMatch, ...], Field(max_length=16), AfterValidator(check_names)] = ()


class GRPCBackendRef(BackendRef):
    """A backend, its share, and the filters of requests that go to it."""

    filters: Filters = ()


class GRPCRouteRule(Model):
    """Matches of which one must hold, filters, and backends."""

    name: SectionName | None = None
    matches: Annotated[tuple[GRPCRouteMatch, ...], Field(max_length=64)] = ()
    filters: Filters = ()
    backend_refs: Annotated[tuple[GRPCBackendRef, ...], Field(max_length=16)] = ()
    session_persistence: SessionPersistence | None = None


def _check_rules(rules: tuple[GRPCRouteRule, ...]) -> tuple[GRPCRouteRule, ...]:
    check_rules(rules)
    return rules


class GRPCRouteSpec(CommonRouteSpec):
    """Parents, hostnames and rules of a route; without rules it serves nothing."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[GRPCRouteRule, ...], Field(max_length=16), AfterValidator(_check_rules)] = ()


class GRPCRoute(Object):
    """Rules for gRPC requests."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["GRPCRoute"]
    spec: GRPCRouteSpec
