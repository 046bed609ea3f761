"""What RequestAuthentications say of the tokens of a request (policies.request_authentication). No key is fetched for it."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from gateway.explain.explanation import Judged
from gateway.http.head import LocalReply, RequestHead
from gateway.policies.request_authentication import Authentications, Found, Rule, WaitingForKeys
from gateway.policies.token import BadToken
from gateway.proxy.guard import is_preflight, unauthenticated

_KIND = "RequestAuthentication"
_ACTION = "VERIFY"
_UNKNOWN = "its keys are fetched only by a running proxy, which has none yet: whether the token is genuine is not known; taken for genuine"


def judge_tokens(
    tokens: Authentications, head: RequestHead, scheme: bytes
) -> tuple[tuple[Judged, ...], LocalReply | None, Mapping[str, Any] | None]:
    """What each rule says, the answer to a request whose token is not believed, and the claims of the one who asks. The head is then as
    backends are to see it."""
    if is_preflight(head):
        tokens.edit(head, ())
        return tuple(Judged(_KIND, rule.policy, _ACTION, "a CORS preflight has no token", False) for rule in tokens.rules), None, None
    try:
        found, assumed = _judged_or_assumed(tokens, head)
    except BadToken as refusal:
        said = tuple(Judged(_KIND, rule.policy, _ACTION, f"{_asks(rule)}: {refusal}", True) for rule in tokens.rules)
        return said, unauthenticated(refusal, head, scheme), None
    said = tuple(_judged(rule, found, assumed) for rule in tokens.rules)
    tokens.edit(head, found)
    return said, None, found[0].verified.claims if found else None


def _judged_or_assumed(tokens: Authentications, head: RequestHead) -> tuple[tuple[Found, ...], str]:
    """The tokens, and the name of the rule that would need other keys than there are. Raises BadToken."""
    try:
        return tokens.judge(head, time()), ""
    except WaitingForKeys as waiting:
        return tokens.assume(head, time()), waiting.rule


def _asks(rule: Rule) -> str:
    return f"jwtRules[{rule.index}] asks for tokens of {rule.issuer} in {', '.join(map(str, rule.places))}"


def _judged(rule: Rule, found: tuple[Found, ...], assumed: str) -> Judged:
    good = next((each for each in found if each.verified.rule == rule.name), None)
    if good is None:
        return Judged(_KIND, rule.policy, _ACTION, f"{_asks(rule)}: there is none, which passes", False)
    claims = good.verified.claims
    outcome = f"{_asks(rule)}: that in {good.place} is good, of {claims.get('iss')}/{claims.get('sub', '')}"
    return Judged(_KIND, rule.policy, _ACTION, f"{outcome}; {_UNKNOWN}" if assumed == rule.name else outcome, True)
