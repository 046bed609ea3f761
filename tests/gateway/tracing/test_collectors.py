"""The URL that spans are posted to."""

from __future__ import annotations

import pytest

from gateway.ir.tracing import traces_url


@pytest.mark.parametrize(
    ("collector", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp", "https://collector/otlp/v1/traces"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
    ],
)
def test_the_path_for_traces_is_put_behind(collector: str, url: str) -> None:
    """As of OTEL_EXPORTER_OTLP_ENDPOINT; a URL that ends so already is taken as it is."""
    assert traces_url(collector) == url


@pytest.mark.parametrize(
    "collector",
    ["", "collector:4318", "ftp://c", "http://", "http://c:0", "http://c:99999", "http://c/ x", "http://c/\r\n", "http://a@c", "http://c/?x"],
)
def test_what_nothing_can_be_posted_to_is_refused(collector: str) -> None:
    """ValueError, with the remedy."""
    with pytest.raises(ValueError, match=r"write for example|credentials belong"):
        traces_url(collector)
