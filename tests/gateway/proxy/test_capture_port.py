"""What a captured listener cannot be, and who cannot stand beside one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ir.listener import Capture, Listener, ListenerOptions
from gateway.proxy.capture_port import check_capture
from tests.wire.capturing import inbound, outbound
from tests.wire.streaming import StreamSite, listener


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (replace(outbound("a", 80), capture=None), "protocol Detect needs capture"),
        (replace(outbound("a", 80), protocol="HTTPS"), "protocol HTTPS cannot be captured"),
        (replace(outbound("a", 80), hostname="cart.shop"), "chosen by destination alone"),
        (replace(outbound("a", 80), options=ListenerOptions(proxy_protocol="Accept")), "options.proxy_protocol must be Off"),
        (outbound("a", 0, "10.0.0.1"), "capture.addresses without a port"),
        (outbound("a", 80, "cart"), "'cart' is no IP address"),
        (outbound("a", 80, "10.0.0.0/33"), "'10.0.0.0/33' is no CIDR"),
        (replace(outbound("a", 80), capture=Capture("Outbound", mutual_tls="Strict")), "needs direction Inbound and client_validation"),
        (replace(inbound("a", 80, "Strict"), client_validation=None), "needs direction Inbound and client_validation"),
    ],
)
def test_what_a_captured_listener_cannot_be_is_said(resource: Listener, reason: str) -> None:
    """Listener.capture: the field and what to do, so that the listener is rejected and nothing else."""
    with pytest.raises(ValueError, match=reason):
        check_capture(resource)


def test_nobody_else_stands_on_a_capture_port() -> None:
    """A listener that is bound where captured ones are is rejected; they serve."""
    other: Any = replace(listener("other", 15001, "HTTP"), address="::")
    with StreamSite(other, outbound("cart", 80, "10.0.0.1")) as site:
        assert [(each.key, "port of captured listeners" in each.reason) for each in site.rejections] == [("default/web/other", True)]
