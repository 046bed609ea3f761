"""The policies that hold for a Gateway, where its listeners ask them: before routing, for each request, connection and flow anew.

A listener for which no policy holds has no Guard, and its requests pay for one look at an attribute.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.http.head import LocalReply
from gateway.ir.policy import AuthorizationPolicy, Policy
from gateway.net.peer import uris_of
from gateway.policies.authorization import FLAG, Authorizations, Verdict
from gateway.policies.caller import Asked, Caller, principal_of

if TYPE_CHECKING:
    import asyncio

    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.port import LiveListener
    from gateway.proxy.stream import ClientStream
    from gateway.relay.relay import Relay

DENIED: Final = 403


class Guard:
    """Replaced as a whole when a policy changes."""

    __slots__ = ("requests", "streams")

    def __init__(self, policies: Iterable[Policy]) -> None:
        """Raises ValueError for a policy that cannot be built (policies.authorization.fault_of)."""
        authorizations = [policy for policy in policies if isinstance(policy, AuthorizationPolicy)]
        self.requests = Authorizations(authorizations, streams=False)
        self.streams = Authorizations(authorizations, streams=True)


def caller_of(origin: Origin, transport: asyncio.BaseTransport) -> Caller:
    """Who is at the other end of a connection; found out once for each."""
    caller = origin.caller
    if caller is None:
        destination = origin.ends(transport).destination
        caller = origin.caller = Caller(*principal_of(uris_of(transport)), origin.peer, destination, origin.server_name)
    return caller


def refuses(exchange: Exchange, client: ClientStream, listener: LiveListener, guard: Guard) -> bool:
    """Whether the request got its answer: it is denied."""
    asked = Asked(caller_of(client.origin, client.transport), exchange.client_address, listener.resource.port, exchange.head)
    verdict = guard.requests.judge(asked)
    if verdict.marks:
        exchange.client_fragment = marked(exchange.client_fragment, verdict.marks)
    if not verdict.reason:
        return False
    count_denied(exchange.core, listener, verdict)
    exchange.reply(denial(verdict))
    return True


def denial(verdict: Verdict) -> LocalReply:
    """The answer to a request that is denied."""
    return LocalReply(DENIED, verdict.reason, flag=FLAG)


def forbids(relay: Relay, listener: LiveListener, guard: Guard) -> str:
    """Why a connection must not be passed on, '' if it may."""
    asked = Asked(caller_of(relay.origin, relay.client.transport), relay.address, listener.resource.port)
    verdict = guard.streams.judge(asked)
    if verdict.marks:
        relay.fragment = marked(relay.fragment, verdict.marks)
    if verdict.reason:
        count_denied(relay.core, listener, verdict)
    return verdict.reason


def forbids_flow(core: Core, listener: LiveListener, guard: Guard, client: bytes, destination: bytes) -> bool:
    """Whether no flow may begin between these addresses."""
    verdict = guard.streams.judge(Asked(Caller(address=client, destination=destination), client, listener.resource.port))
    if verdict.reason:
        count_denied(core, listener, verdict)
    return verdict.reason != ""


def marked(fragment: bytes, marks: str) -> bytes:
    """The end of a line of the access log, with what AUDIT policies have to say."""
    return b'"audit":%b,%b' % (json.dumps(marks).encode("ascii"), fragment)


def count_denied(core: Core, listener: LiveListener, verdict: Verdict) -> None:
    key = (listener.resource.gateway, listener.resource.name, verdict.policy)
    core.denials[key] = core.denials.get(key, 0) + 1
