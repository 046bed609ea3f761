"""Listeners of the mesh with places of their own: a connection there is treated as one that rules had captured on its way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.descriptors import Place
from gateway.ir.listener import Listener
from gateway.options import RuntimeOptions
from gateway.runtime import Runtime
from tests.tidegate.program import free_port
from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.capturing import PodSockets, going, inbound, outbound, patience
from tests.wire.streaming import StreamSite, backend, read_all, tcp_rule

SERVICE, HERE, POD, APPLICATION = "127.77.0.16", "127.77.3.16", "127.77.3.1", "127.77.3.2"


@pytest.fixture(autouse=True)
def spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clients send counts, however late it comes."""
    patience(monkeypatch)


@pytest.fixture
def server() -> Iterator[Callable[..., Scripted]]:
    made: list[Scripted] = []

    def make(*scripts: Callable[[Conversation], None], address: str = "127.0.0.1") -> Scripted:
        made.append(Scripted(*scripts, address=address))
        return made[-1]

    yield make
    for each in made:
        each.close()


def at(listener: Listener, address: str, destination: str) -> Listener:
    capture = listener.capture
    assert capture is not None
    return replace(listener, address=address, bind_port=listener.port, capture=replace(capture, destination=destination))


def site(*resources: Any) -> StreamSite:
    made = StreamSite(*resources, sockets=PodSockets())
    assert made.rejections == ()
    return made


def test_a_connection_to_its_own_place_goes_where_it_stands_for(server: Callable[..., Scripted]) -> None:
    """Capture.destination: routes of that destination are asked, and nobody has to have captured anything."""
    made = server(lambda conversation: conversation.send(b"cart"))
    listener = at(outbound("cart", free_port(), SERVICE, protocol="TCP"), HERE, SERVICE)
    with site(listener, *backend("cart", made.port), tcp_rule("cart", "cart")) as mesh:
        assert read(HERE, listener.port) == b"cart"
        assert mesh.log.wait_for(1)[0]["listener"] == "cart"


def test_what_comes_in_reaches_the_application_at_its_own_address(server: Callable[..., Scripted]) -> None:
    """Backend.original_destination Elsewhere, at the port that was asked for: the Pod's address is not the application's."""
    made = server(lambda conversation: conversation.send(b"application"), address=APPLICATION)
    listener = at(inbound("in", made.port, protocol="TCP"), POD, APPLICATION)
    with site(listener, going("Elsewhere"), tcp_rule("in", "Elsewhere")) as mesh:
        assert read(POD, made.port) == b"application"
        assert mesh.runtime._open[Place(POD, made.port)].kind == "captured"


def test_a_workload_that_calls_its_own_service_comes_in_again(server: Callable[..., Scripted]) -> None:
    """The place that stands for the workload is no circle, as the one of a Service would be."""
    made = server(lambda conversation: conversation.send(b"myself"), address=APPLICATION)
    own = at(inbound("in", made.port, protocol="TCP"), POD, APPLICATION)
    service = at(outbound("cart", free_port(), SERVICE, protocol="TCP"), HERE, SERVICE)
    behind = backend("cart", made.port, address=POD)
    with site(own, service, going("Elsewhere"), tcp_rule("in", "Elsewhere"), *behind, tcp_rule("cart", "cart", name="cart")):
        assert read(HERE, service.port) == b"myself"


def test_a_service_that_leads_to_itself_is_refused() -> None:
    """It would be a circle."""
    service = at(outbound("cart", free_port(), SERVICE, protocol="TCP"), HERE, SERVICE)
    with site(service, *backend("cart", service.port, address=HERE), tcp_rule("cart", "cart")) as mesh:
        with pytest.raises(ConnectionResetError):
            read(HERE, service.port)
        assert "is an address of this proxy itself" in mesh.log.wait_for(1)[0]["reason"]


def test_connections_to_others_come_from_the_address_that_they_know(server: Callable[..., Scripted]) -> None:
    """RuntimeOptions.source: metrics and policies of who is called find the workload by it."""
    made = server(lambda conversation: conversation.send(conversation.connection.getpeername()[0].encode()), address=APPLICATION)

    class FromPod(StreamSite):
        def _make_runtime(self) -> Runtime:
            return Runtime(self._thread.loop, self._sockets, RuntimeOptions(log_descriptor=self.log.descriptor, source=POD))

    service = at(outbound("cart", free_port(), SERVICE, protocol="TCP"), HERE, SERVICE)
    with FromPod(service, *backend("cart", made.port, address=APPLICATION), tcp_rule("cart", "cart"), sockets=PodSockets()):
        assert read(HERE, service.port) == POD.encode()


@pytest.mark.parametrize(("port", "destination", "problem"), [(0, SERVICE, "without a port"), (80, "cart.shop", "is no IP address")])
def test_a_place_that_stands_for_nothing_is_rejected(port: int, destination: str, problem: str) -> None:
    """With the field and the remedy."""
    wrong = replace(at(outbound("cart", port, protocol="TCP"), HERE, destination), bind_port=free_port())
    with StreamSite(wrong, sockets=PodSockets()) as mesh:
        (rejection,) = mesh.rejections
        assert problem in rejection.reason


def read(address: str, port: int) -> bytes:
    """All that comes of a connection."""
    with socket.create_connection((address, port), timeout=LIMIT) as client:
        return read_all(client)
