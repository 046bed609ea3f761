"""How endpoints are protected, and clients from endpoints: ejection, active health checks, limits (BackendPolicy)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Boolean, Integer, Model, Text, expressions, refusal, text
from controller.api.durations import Duration

Count = Annotated[Integer, Field(ge=1, le=1_000)]
Limit = Annotated[Integer, Field(ge=1, le=1_000_000)]
SHORTEST_INTERVAL = 100
"""Milliseconds between two checks of an endpoint at least."""


class Ejection(Model):
    """When an endpoint is left out because of how it answered requests."""

    consecutive_errors: Annotated[Integer, Field(ge=0, le=1_000)] = Field(
        default=5,
        description="So many answers in a row that are 502, 503 or 504, a reset, a timeout or no HTTP make it be left out. 0: never.",
    )
    base_time: Duration = Field(default=1_000, description="How long it is left out the first time; doubles with each time that follows.")
    max_time: Duration = Field(default=2_000, description="How long at most.")
    connect_failures: Boolean = Field(
        default=True, description="Whether an endpoint to which no connection comes about is left out at once, until a probe connects."
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if not self.base_time:
            raise refusal("baseTime", "is zero", "Write a time such as 1s; consecutiveErrors: 0 turns ejection off.")
        if self.max_time < self.base_time:
            raise refusal("maxTime", "is shorter than baseTime", "Raise maxTime, or lower baseTime.")
        return self


Path = Annotated[Text, text(pattern=r"^/[!-~]*$", longest=1024)]
Host = Annotated[Text, text(pattern=r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$", longest=253)]
Status = Annotated[Integer, Field(ge=200, le=599)]


def _distinct(statuses: tuple[int, ...]) -> tuple[int, ...]:
    for index, status in enumerate(statuses):
        if status in statuses[:index]:
            raise refusal(f"[{index}]", f"{status} is given twice", "Remove one of the two.")
    return statuses


class HTTPCheck(Model):
    """What a check over HTTP asks for, with GET, and which answers are good."""

    path: Path = Field(default="/", description="The path, with its query if there is one.")
    host: Host | None = Field(
        default=None, description="The Host field; when absent the hostname of the BackendTLSPolicy, else the endpoint's address and port."
    )
    statuses: Annotated[tuple[Status, ...], AfterValidator(_distinct)] = Field(
        default=(200,), min_length=1, max_length=32, description="The statuses of a healthy endpoint."
    )


class GRPCCheck(Model):
    """What a check over gRPC asks grpc.health.v1.Health for."""

    service: Annotated[Text, text(pattern=r"^[!-~]*$", longest=253)] = Field(
        default="", description="The service; when absent the server as a whole."
    )


class HealthCheck(Model):
    """Checks that each worker makes by itself, of each endpoint, on connections of their own."""

    model_config = expressions(
        ("!has(self.http) || !has(self.type) || self.type == 'HTTP'", "http needs type HTTP"),
        ("!has(self.grpc) || (has(self.type) && self.type == 'GRPC')", "grpc needs type GRPC"),
    )

    type: Literal["HTTP", "GRPC", "TCP"] = Field(
        default="HTTP",
        description="HTTP: asks, and reads the status. GRPC: asks grpc.health.v1.Health, over HTTP/2. TCP: only connects. Over TLS if a "
        "BackendTLSPolicy says so.",
    )
    http: HTTPCheck | None = Field(default=None, description="What is asked for, of type HTTP.")
    grpc: GRPCCheck | None = Field(default=None, description="What is asked for, of type GRPC.")
    interval: Duration = Field(default=5_000, description="From one check to the next, at least 100ms.")
    timeout: Duration = Field(default=1_000, description="Time limit of a check, connect included.")
    healthy_threshold: Count = Field(default=1, description="Good checks in a row after which an unhealthy endpoint counts as healthy.")
    unhealthy_threshold: Count = Field(default=3, description="Bad checks in a row after which a healthy endpoint counts as unhealthy.")
    jitter: Annotated[Integer, Field(ge=0, le=100)] = Field(
        default=10, description="Percent of the interval by which each wait is longer or shorter at most."
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.type != "HTTP" and self.http is not None:
            raise refusal("http", f"type {self.type} asks for nothing over HTTP", "Remove http, or set type HTTP.")
        if self.type != "GRPC" and self.grpc is not None:
            raise refusal("grpc", f"type {self.type} asks for nothing over gRPC", "Remove grpc, or set type GRPC.")
        if self.interval < SHORTEST_INTERVAL:
            raise refusal("interval", "is shorter than 100ms", "Write a longer time, for example 5s.")
        if not self.timeout:
            raise refusal("timeout", "is zero", "Write a time such as 1s: a check that never ends says nothing.")
        return self


class Limits(Model):
    """How much one worker asks of all endpoints together."""

    connections: Limit = Field(default=10_000, description="Connections, idle ones and such that are being made included.")
    pending_requests: Annotated[Integer, Field(ge=0, le=1_000_000)] = Field(
        default=1_024, description="Requests that wait for a connection when that limit is reached; those beyond are answered 503."
    )
    requests: Limit | None = Field(default=None, description="Requests under way; those beyond are answered 503. No limit when absent.")
