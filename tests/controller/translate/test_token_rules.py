"""Values of rules about tokens."""

from __future__ import annotations

import pytest

from controller.api.request_authentication import JWTRule
from controller.translate.mesh.token_rules import Reading


def read(**fields: object) -> Reading:
    return Reading(JWTRule.model_validate({"issuer": "https://a.test", **fields}), "r")


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("5s", 5000), ("1ms", 1), ("1.5s", 1500), ("1m", 60_000), ("0.5m20s", 50_000), ("2000us", 2), ("1s500ms", 1500)],
)
def test_a_timeout(written: str, milliseconds: int) -> None:
    """A duration as Go writes it (google.protobuf.Duration in Istio's definition)."""
    reading = read(timeout=written)
    assert (reading.rule().timeout, reading.problems) == (milliseconds, [])


@pytest.mark.parametrize("written", ["", "5", "0s", "0.5ms", "61s", "1h", "-1s", "1 s", "1d", "s", "1e3s", "٣s"])
def test_what_is_no_timeout(written: str) -> None:
    """Longer than a minute nothing waits."""
    reading = read(timeout=written)
    assert reading.rule().error == f'r.timeout: {written!r} is no duration from "1ms" to "60s"'


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.test", "https://", "https:///keys", "https://a:b@a.test", "https://a.test:0", "https://a.test:99999", "//a.test", "a",
        "https://a b", "https://ä.test", "https://a.test/\n", "https://[::1",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    """Nothing is fetched there, and the message does not repeat what may hold a password."""
    rule = read(jwksUri=url).rule()
    assert (rule.url, rule.error) == ("", "r.jwksUri: is no URL of http or https, with a host and without user and password")


@pytest.mark.parametrize("url", ["https://a.test", "https://a.test:8443/a?b=c", "https://[::1]/keys", "https://A.test/%20"])
def test_a_url(url: str) -> None:
    """As it is written."""
    rule = read(jwksUri=url).rule()
    assert (rule.url, rule.error, rule.discovery) == (url, "", False)
