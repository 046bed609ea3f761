"""Rate limits of listeners, and sizes in bytes (parts of ListenerPolicy)."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from controller.api.base import Boolean, Integer, Model, expressions, refusal, text
from controller.api.durations import Duration
from controller.api.names import HeaderName, NamespaceName, ObjectName

_QUANTITY = re.compile(r"([0-9]{1,15})(k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {None: 1} | {unit: 1000**power for power, unit in enumerate("kMGT", 1)}
_FACTORS |= {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)}
_LONGEST = (1 << 63) - 1


def _bytes(value: Any) -> Any:
    if isinstance(value, int) or not isinstance(value, str):
        return value
    matched = _QUANTITY.fullmatch(value)
    if matched is None:
        raise refusal("", f"{value!r} is no size", 'Write a whole number of bytes, or one with k, M, G, Ki, Mi or Gi, such as "10Mi".')
    return int(matched[1]) * _FACTORS[matched[2]]


_Written = Annotated[int, Field(ge=1)] | Annotated[str, text(pattern=r"^[0-9]{1,15}(k|M|G|T|Ki|Mi|Gi|Ti)?$")]

Size = Annotated[Integer, Field(ge=1, le=_LONGEST), BeforeValidator(_bytes, json_schema_input_type=_Written)]
"""Bytes, written as a whole number or as a Kubernetes quantity without fractions."""

LimitName = Annotated[str, text(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", shortest=1, longest=63)]
"""Letters, digits, '-', '_' and '.'."""


class RateLimitRoute(Model):
    """An HTTPRoute, of the policy's namespace unless another is named."""

    namespace: NamespaceName | None = None
    name: ObjectName


class RateLimit(Model):
    """How many requests are let through."""

    model_config = expressions(
        ("(has(self.by) && self.by == 'Header') == has(self.header)", "header goes with by Header, and with no other")
    )

    name: LimitName | None = Field(default=None, description="Stands in fields, reasons and metrics; the place in the list when absent.")
    requests: Annotated[Integer, Field(ge=1, le=1_000_000_000)] = Field(description="Requests each period.")
    period: Annotated[Duration, Field(ge=1, le=86_400_000)] = Field(description="From 1ms to 24h.")
    burst: Annotated[Integer, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="Requests that may come at once; as many as `requests` when absent."
    )
    by: Literal["ClientAddress", "Header", "Route", "Listener"] = Field(
        default="ClientAddress",
        description="What has a count of its own: each client, each value of a header field, each route, or only the listener.",
    )
    header: HeaderName | None = Field(default=None, description="The field; requests without it share a count.")
    ipv6_prefix_length: Annotated[Integer, Field(ge=32, le=128)] = Field(
        default=64, description="How many bits of an IPv6 address stand for one client."
    )
    routes: tuple[RateLimitRoute, ...] = Field(
        default=(), max_length=64, description="The routes whose requests count; without any all requests, also those that match no route."
    )
    announce: Boolean = Field(default=False, description="Whether responses to requests that are let through say what is left.")

    @model_validator(mode="after")
    def _header_by_header(self) -> Self:
        if self.by == "Header" and self.header is None:
            raise refusal("header", "by Header needs header", "Add the name of the header field.")
        if self.by != "Header" and self.header is not None:
            raise refusal("header", f"by {self.by} has no header", "Remove header, or set by: Header.")
        return self


def check_limits(limits: tuple[RateLimit, ...]) -> tuple[RateLimit, ...]:
    """Names are unique, places of unnamed ones among them."""
    seen: dict[str, int] = {}
    for index, limit in enumerate(limits):
        name = limit.name or str(index)
        if name in seen:
            raise refusal(f"[{index}].name", f"{name!r} is the name of rateLimits[{seen[name]}]", "Give each limit a name of its own.")
        seen[name] = index
    return limits
