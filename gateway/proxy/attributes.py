"""What an authorization server is told of a request besides its head: both ends of the client's connection, and when it came."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.net.peer import address_of, identity_of, peer_of
from gateway.policies.check_messages import Attributes, Party

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream


def attributes_of(exchange: Exchange, size: int) -> Attributes:
    """`size` is how much of the body has come. The client is the one that the log names, which need not be the peer; a port belongs to the
    peer alone."""
    client, listener, head = exchange.client, exchange.listener, exchange.head
    assert client is not None
    assert listener is not None
    peer = peer_of(client.transport)
    is_peer = peer.address == exchange.client_address
    source = Party(exchange.client_address, peer.port if is_peer else 0, identity_of(client.transport))
    known = size if exchange.request_ended else head.length
    moment = time() - (monotonic() - exchange.began)
    size = -1 if known is None else known
    return Attributes(source, _own(client, exchange), moment, listener.scheme, exchange.request_id, size)


def _own(client: ClientStream, exchange: Exchange) -> Party:
    """Our end, with the port that the user wrote; of a captured connection where it was going."""
    origin, port = client.origin, exchange.port
    if port.captured and origin.named is not None:
        return Party(origin.named.destination, origin.named.destination_port)
    return Party(address_of(client.transport.get_extra_info("sockname")), port.public_number)
