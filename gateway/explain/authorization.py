"""What an authorization server would be asked, and what it is sure not to be asked (proxy.authorization). Nobody asks it."""

from __future__ import annotations

from gateway.explain.explanation import Authorization, Forwarded
from gateway.explain.replies import shown, shown_fields
from gateway.http.head import LocalReply, RequestHead
from gateway.proxy.authorization import Server
from gateway.proxy.port import LiveListener


def question_of(server: Server, head: RequestHead, path: bytes, authority: bytes) -> Authorization:
    """`path` and `authority` are those of the request as it was matched."""
    policy = server[0]
    asked = policy.asked(head, path, authority)
    request = Forwarded(shown(asked.method), shown(asked.authority), shown(asked.target), shown_fields(asked.fields))
    return Authorization(policy.backend, request, tuple(sorted(map(shown, policy.taken))), policy.max_body, policy.protocol)


def refusal_of(server: Server, head: RequestHead, listener: LiveListener) -> LocalReply | None:
    """Why the server will not be asked."""
    policy, backend = server
    if policy.max_body and head.length is not None and head.length > policy.max_body:
        return policy.too_large()
    if backend.error is not None:
        return policy.failure(f"cannot be used: {backend.error}", 500)
    if not backend.balancer.candidates:
        return policy.failure("has no ready endpoint")
    try:
        backend.settings(listener.client_certificate)
    except ValueError as refusal:
        return policy.failure(f"cannot be used: {refusal}", 500)
    return None


def permit(server: Server, head: RequestHead) -> None:
    """What is sure of the request if the server allows it."""
    server[0].foreseen(head)
