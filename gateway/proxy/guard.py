"""The policies that hold for a Gateway, where its listeners ask them: before routing, for each request, connection and flow anew.

What tokens say comes first, since AuthorizationPolicies ask for it.

A listener for which no policy holds has no Guard, and its requests pay for one look at an attribute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, Final

from gateway.http.head import LocalReply, RequestHead
from gateway.ir.policy import AuthorizationPolicy, Policy, RequestAuthentication, TokenRule
from gateway.net.peer import uris_of
from gateway.policies.authorization import FLAG, Authorizations, Verdict
from gateway.policies.caller import Asked, Caller, principal_of
from gateway.policies.request_authentication import Authentications, Keys, WaitingForKeys
from gateway.policies.token import BadToken

if TYPE_CHECKING:
    import asyncio

    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.port import LiveListener
    from gateway.proxy.stream import ClientStream
    from gateway.relay.relay import Relay

DENIED: Final = 403

Proceed = Callable[["Exchange", "ClientStream", "LiveListener"], None]
"""How an exchange goes on that a guard has let pass."""


class Guard:
    """Replaced as a whole when a policy changes. `tokens` is None where no RequestAuthentication holds; `merges_slashes`: an
    AuthorizationPolicy does."""

    __slots__ = ("merges_slashes", "requests", "streams", "tokens")

    def __init__(self, policies: Iterable[Policy], keys: Callable[[TokenRule], Keys]) -> None:
        """Raises ValueError for a policy that cannot be built (policies.authorization.fault_of)."""
        held = tuple(policies)
        authorizations = [policy for policy in held if isinstance(policy, AuthorizationPolicy)]
        authentications = [policy for policy in held if isinstance(policy, RequestAuthentication)]
        self.requests = Authorizations(authorizations, streams=False)
        self.streams = Authorizations(authorizations, streams=True)
        self.tokens = Authentications(authentications, keys) if authentications else None
        self.merges_slashes = bool(authorizations)


def caller_of(origin: Origin, transport: asyncio.BaseTransport) -> Caller:
    """Who is at the other end of a connection; found out once for each."""
    caller = origin.caller
    if caller is None:
        destination = origin.ends(transport).destination
        caller = origin.caller = Caller(*principal_of(uris_of(transport)), origin.peer, destination, origin.server_name)
    return caller


def admit(
    exchange: Exchange, client: ClientStream, listener: LiveListener, proceed: Proceed, waited: tuple[Keys, ...] = ()
) -> None:
    """Lets the exchange proceed, now or when the keys of its token have come, or has it get its answer. It waits but once for those of
    one issuer; `waited` are the keys that it has waited for."""
    guard = listener.guard
    claims = None
    if guard is not None and guard.tokens is not None:
        try:
            claims = authenticate(guard.tokens, exchange.head)
        except WaitingForKeys as waiting:
            if waiting.keys in waited:
                _refuse_token(exchange, listener, waiting.in_vain)
            else:
                waiting.keys.wait(partial(_again, exchange, listener, proceed, (*waited, waiting.keys)))
            return
        except BadToken as refusal:
            _refuse_token(exchange, listener, refusal)
            return
    if guard is None or not _refuses(exchange, client, listener, guard, claims):
        proceed(exchange, client, listener)


def _refuse_token(exchange: Exchange, listener: LiveListener, refusal: BadToken) -> None:
    place, counts = (listener.resource.gateway, listener.resource.name), exchange.core.tokens_refused
    counts[place] = counts.get(place, 0) + 1
    exchange.reply(unauthenticated(refusal, exchange.head, listener.scheme))


def _again(exchange: Exchange, listener: LiveListener, proceed: Proceed, waited: tuple[Keys, ...]) -> None:
    """Unless the exchange has ended meanwhile."""
    client = exchange.client
    if client is not None and not exchange.responded:
        admit(exchange, client, listener, proceed, waited)
        exchange.flush_request()


def authenticate(tokens: Authentications, head: RequestHead) -> Mapping[str, Any] | None:
    """The claims of the one who asks, None without a token; the head is then as backends are to see it. Raises BadToken and
    WaitingForKeys."""
    found = () if is_preflight(head) else tokens.judge(head, time())
    tokens.edit(head, found)
    return found[0].verified.claims if found else None


def is_preflight(head: RequestHead) -> bool:
    """A CORS preflight cannot have a token (Fetch, "CORS protocol and credentials")."""
    return head.method == b"OPTIONS" and None not in (head.get(b"origin"), head.get(b"access-control-request-method"))


def unauthenticated(refusal: BadToken, head: RequestHead, scheme: bytes) -> LocalReply:
    """The answer to a request whose token is not believed (RFC 6750 3)."""
    realm = b"%b://%b%b" % (scheme, head.authority, head.path.replace(b'"', b"%22").replace(b"\\", b"%5C"))
    told = b'Bearer realm="%b", error="invalid_token"' % realm
    return LocalReply(refusal.status, str(refusal), [(b"www-authenticate", told)])


def _refuses(
    exchange: Exchange, client: ClientStream, listener: LiveListener, guard: Guard, claims: Mapping[str, Any] | None
) -> bool:
    """Whether the request got its answer: it is denied."""
    origin = client.origin
    caller, port = caller_of(origin, client.transport), origin.port(listener.resource.port)
    asked = Asked(caller, exchange.client_address, port, exchange.head, claims)
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
    asked = Asked(caller_of(relay.origin, relay.client.transport), relay.address, relay.origin.port(listener.resource.port))
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
