"""Rate limits and sizes of a ListenerPolicy."""

from typing import Any

import pytest

from controller.api.listener_policy import ListenerPolicy
from tests.controller.api.objects import object_of, read, refused, refused_fields


def policy(*limits: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A ListenerPolicy of Gateway g with rate limits."""
    fields = {"targetRefs": [{"name": "g"}], "rateLimits": list(limits), **spec}
    return object_of("ListenerPolicy", "tidegate.dev/v1alpha1", spec=fields)


def limit(**fields: Any) -> dict[str, Any]:
    return {"requests": 1, "period": "1s", **fields}


def test_defaults() -> None:
    """By client address with an IPv6 /64, for all routes, announced to nobody; no limit of bodies."""
    found = read(policy(limit()))
    assert isinstance(found, ListenerPolicy)
    [only] = found.spec.rate_limits
    assert (only.name, only.requests, only.period, only.burst, only.by) == (None, 1, 1000, None, "ClientAddress")
    assert (only.header, only.ipv6_prefix_length, only.routes, only.announce) == (None, 64, (), False)
    assert found.spec.limits.request_body is None


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"name": "a-b.c_1", "burst": 5, "announce": True}, []),
        ({"routes": [{"name": "r"}, {"name": "r", "namespace": "n"}]}, []),
        ({"by": "Header", "header": "X-Key"}, []),
        ({"requests": 0}, ["requests"]),
        ({"requests": "1"}, ["requests"]),
        ({"period": "0s"}, ["period"]),
        ({"period": "25h"}, ["period"]),
        ({"period": 1}, ["period"]),
        ({"burst": 0}, ["burst"]),
        ({"by": "User"}, ["by"]),
        ({"by": "Header"}, ["header"]),
        ({"header": "X-Key"}, ["header"]),
        ({"by": "Header", "header": "a b"}, ["header"]),
        ({"name": ""}, ["name"]),
        ({"name": 'a"b'}, ["name"]),
        ({"name": "ä"}, ["name"]),
        ({"ipv6PrefixLength": 31}, ["ipv6PrefixLength"]),
        ({"routes": [{"namespace": "n"}]}, ["routes[0].name"]),
        ({"perMinute": 5}, ["perMinute"]),
    ],
)
def test_limits(fields: dict[str, Any], bad: list[str]) -> None:
    """Values that make no limit are refused by field."""
    assert refused_fields(policy(limit(**fields))) == [f"spec.rateLimits[0].{field}" for field in bad]


def test_both_numbers_are_needed() -> None:
    """There is no default for how many, nor for how often."""
    assert refused_fields(policy({})) == ["spec.rateLimits[0].requests", "spec.rateLimits[0].period"]


@pytest.mark.parametrize(("names", "second"), [(("a", "b", "a"), 2), (("2", "b", None), 2), ((None, "0", None), 1)])
def test_names_are_unique(names: tuple[str | None, ...], second: int) -> None:
    """A name stands in metrics and fields, as does the place of a limit without one, so no two limits may share it."""
    [(field, message)] = refused(policy(*(limit() if name is None else limit(name=name) for name in names)))
    assert field == f"spec.rateLimits[{second}].name"
    assert "is the name of rateLimits[0]" in message


@pytest.mark.parametrize(
    ("written", "size"),
    [(1, 1), ("1", 1), ("10k", 10_000), ("1Ki", 1024), ("10Mi", 10 << 20), ("2Gi", 2 << 30), ("5M", 5_000_000), ("1T", 10**12)],
)
def test_sizes(written: object, size: int) -> None:
    """A whole number of bytes, or a Kubernetes quantity."""
    found = read(policy(limits={"requestBody": written}))
    assert isinstance(found, ListenerPolicy)
    assert found.spec.limits.request_body == size


@pytest.mark.parametrize("written", [0, -1, "0", "-1", "1.5Mi", "1 Mi", "Mi", "1mi", "1e3", True, 1.5, "9999999Ti", []])
def test_what_is_no_size(written: object) -> None:
    """Zero, fractions and other units are refused with what to write."""
    assert refused_fields(policy(limits={"requestBody": written})) == ["spec.limits.requestBody"]
