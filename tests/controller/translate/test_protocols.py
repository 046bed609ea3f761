"""What is told of a port by its number, name and appProtocol."""

from __future__ import annotations

import pytest

from controller.translate.mesh.protocols import Spoken, spoken

HTTP, STREAM, UNKNOWN = Spoken("HTTP", "client"), Spoken("TCP"), Spoken("Detect", "client")


@pytest.mark.parametrize(
    ("number", "name", "application", "expected"),
    [
        (80, "http", None, HTTP),
        (80, "http-admin", None, HTTP),
        (80, "HTTP", None, HTTP),
        (80, "httpx", None, UNKNOWN),
        (80, "grpc-web", None, HTTP),
        (80, "grpc-web-a", None, HTTP),
        (80, "grpc", None, Spoken("HTTP", "h2c")),
        (80, "tcp", "http2", Spoken("HTTP", "h2c")),
        (80, "http", "kubernetes.io/h2c", Spoken("HTTP")),
        (80, "tcp", "kubernetes.io/ws", Spoken("HTTP")),
        (80, "http", "kubernetes.io/wss", STREAM),
        (80, "http", "example.test/own", UNKNOWN),
        (443, "https", None, STREAM),
        (6379, "redis-main", None, STREAM),
        (27017, "", None, STREAM),
        (25, "http", None, HTTP),
        (80, "", None, UNKNOWN),
    ],
)
def test_what_a_port_speaks(number: int, name: str, application: str | None, expected: Spoken) -> None:
    """appProtocol comes before the name, of which what stands before a hyphen counts; then the ports whose server speaks first (Istio)."""
    assert spoken(number, name, application) == expected
