"""HTTPRoute (gateway.networking.k8s.io/v1, v1beta1), experimental fields included (apis/v1/httproute_types.go)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from controller.api.base import Model, refusal
from controller.api.common_route import CommonRouteSpec, check_rules
from controller.api.durations import Duration
from controller.api.http_filters import HTTPRouteFilter, check_filters
from controller.api.http_matches import HTTPRouteMatch
from controller.api.metadata import Object
from controller.api.names import Hostname, SectionName
from controller.api.references import BackendRef
from controller.api.session_persistence import SessionPersistence

Filters = Annotated[tuple[HTTPRouteFilter, ...], Field(max_length=16), AfterValidator(check_filters)]


class HTTPBackendRef(BackendRef):
    """A backend, its share, and the filters of requests that go to it."""

    filters: Filters = ()


class HTTPRouteTimeouts(Model):
    """Time limits in milliseconds, zero for none: of the whole exchange, and of each attempt at a backend."""

    request: Duration | None = None
    backend_request: Duration | None = None

    @model_validator(mode="after")
    def _attempt_within_whole(self) -> Self:
        if self.request and self.backend_request is not None and self.backend_request > self.request:
            raise refusal("backendRequest", "backendRequest is longer than request", "Lower backendRequest, or raise request.")
        return self


def _check_codes(codes: tuple[int, ...]) -> tuple[int, ...]:
    for index, code in enumerate(codes):
        if code in codes[:index]:
            raise refusal(f"[{index}]", f"{code} is given twice", "Remove one of the two.")
    return codes


class HTTPRouteRetry(Model):
    """When and how often a request is tried again; `backoff` is the least wait in milliseconds."""

    codes: Annotated[tuple[Annotated[int, Strict(), Field(ge=400, le=599)], ...], AfterValidator(_check_codes)] = ()
    attempts: Annotated[int, Strict(), Field(ge=1)] | None = None
    backoff: Duration | None = None


class HTTPRouteRule(Model):
    """Matches of which one must hold, filters, and backends."""

    name: SectionName | None = None
    matches: Annotated[tuple[HTTPRouteMatch, ...], Field(max_length=64)] = (HTTPRouteMatch(),)
    filters: Filters = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Field(max_length=16)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: SessionPersistence | None = None

    @model_validator(mode="after")
    def _redirect_without_backends(self) -> Self:
        for index, entry in enumerate(self.filters):
            if entry.type == "RequestRedirect" and self.backend_refs:
                raise refusal(f"filters[{index}]", "RequestRedirect excludes backendRefs", "Remove backendRefs, or the filter.")
        return self

    @model_validator(mode="after")
    def _prefix_to_replace(self) -> Self:
        if len(self.matches) == 1 and self.matches[0].path.type == "PathPrefix":
            return self
        places = [("filters", self.filters)]
        places += [(f"backendRefs[{index}].filters", backend.filters) for index, backend in enumerate(self.backend_refs)]
        for place, filters in places:
            for index, entry in enumerate(filters):
                if entry.path_modifier is not None and entry.path_modifier.type == "ReplacePrefixMatch":
                    raise refusal(
                        f"{place}[{index}]",
                        "ReplacePrefixMatch needs a rule with exactly one match, of path type PathPrefix",
                        "Split the rule so that each has one PathPrefix match, or use ReplaceFullPath.",
                    )
        return self


def _check_rules(rules: tuple[HTTPRouteRule, ...]) -> tuple[HTTPRouteRule, ...]:
    check_rules(rules)
    return rules


class HTTPRouteSpec(CommonRouteSpec):
    """Parents, hostnames and rules of a route."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Field(min_length=1, max_length=16), AfterValidator(_check_rules)] = (HTTPRouteRule(),)


class HTTPRoute(Object):
    """Rules for HTTP requests."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    kind: Literal["HTTPRoute"]
    spec: HTTPRouteSpec
