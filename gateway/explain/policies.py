"""What policies say of a request, or of what is passed on, and whom they take for the caller (proxy.guard)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TypeAlias

from gateway.explain.explanation import Judged
from gateway.explain.question import Argument
from gateway.explain.tokens import judge_tokens
from gateway.http.head import LocalReply, RequestHead
from gateway.policies.authorization import Authorizations
from gateway.policies.caller import Asked, Caller, principal_of
from gateway.proxy.forwarded import constant_lines, forwarded_lines
from gateway.proxy.guard import denial
from gateway.proxy.port import LiveListener, Port

Selections: TypeAlias = Callable[[LiveListener], tuple[str, ...]]
"""Which policies hold at a listener for the workload beside us, and which do not, in words (gateway.guarding)."""
LOCAL = "127.0.0.1"
"""Where a client is unless the question says so."""
TRUST_DOMAIN = "cluster.local"
"""Of a caller that is named by namespace and account."""


def caller_in(asked: Argument, port: Port, server_name: bytes) -> Caller:
    """Who the question says that the client is. Raises ValueError for what is no address or no identity."""
    address = asked.client or LOCAL
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{address!r} is no IP address of a client") from None
    principal = namespace = b""
    if asked.caller:
        parts = asked.caller.split("/")
        whole = f"{TRUST_DOMAIN}/ns/{parts[0]}/sa/{parts[1]}" if len(parts) == 2 else asked.caller
        principal, namespace = principal_of((f"spiffe://{whole}",))
        if not principal:
            raise ValueError(f"{asked.caller!r} is no identity: write NAMESPACE/ACCOUNT, or TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT")
    destination = port.address if asked.destination is None else asked.destination[0]
    return Caller(principal, namespace, address.encode(), destination.encode(), server_name)


def port_in(asked: Argument, listener: LiveListener) -> int:
    """The listener's port, as the user wrote it, or the destination's where a listener serves every port."""
    return listener.resource.port or (0 if asked.destination is None else asked.destination[1])


def judge_request(
    listener: LiveListener, caller: Caller, head: RequestHead, port: int
) -> tuple[tuple[Judged, ...], LocalReply | None]:
    """What each policy says of a request to a port, and the answer to one that is denied. `head` is as it is matched, and afterwards as
    what tokens say makes it."""
    guard = listener.guard
    if guard is None:
        return (), None
    said, refusal, claims = judge_tokens(guard.tokens, head, listener.scheme) if guard.tokens is not None else ((), None, None)
    if refusal is not None:
        return said, refusal
    remote, seen = caller.address, head.copy()
    seen.forwarded = forwarded_lines(constant_lines(listener.scheme, port, None), head, remote, b"-")
    if listener.trust is not None and listener.trust.believes(remote):
        remote = listener.trust.client(remote, head.forwarded_for)
    asked = Asked(caller, remote, port, seen, claims)
    verdict = guard.requests.judge(asked)
    return (*said, *_said(guard.requests, asked)), denial(verdict) if verdict.reason else None


def judge_stream(listener: LiveListener, caller: Caller, port: int) -> tuple[tuple[Judged, ...], str]:
    """The same of what is passed on, and why it is not, '' if it is."""
    guard = listener.guard
    if guard is None:
        return (), ""
    asked = Asked(caller, caller.address, port)
    return _said(guard.streams, asked), guard.streams.judge(asked).reason


def none_selects(_: LiveListener) -> tuple[str, ...]:
    """See Selections: nothing is said where no workload is."""
    return ()


def _said(authorizations: Authorizations, asked: Asked) -> tuple[Judged, ...]:
    return tuple(Judged("AuthorizationPolicy", *each) for each in authorizations.considered(asked))
