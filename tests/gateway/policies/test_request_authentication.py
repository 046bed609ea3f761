"""What becomes of the tokens of a request, with keys and time as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.http.head import RequestHead
from gateway.ir.policy import RequestAuthentication, TokenHeader, TokenRule
from gateway.ir.value import Source
from gateway.policies import request_authentication
from gateway.policies.request_authentication import (
    LEEWAY,
    MOST_KEPT,
    Authentications,
    Keys,
    KeysAtHand,
    WaitingForKeys,
    disbelieving,
)
from gateway.policies.token import BadToken, Token
from gateway.policies.token_keys import KeySet
from tests.gateway.policies.tokens import ISSUER, NOW, claims, jwk, jwks, token

SOURCE = Source("RequestAuthentication", "default", "p")


class Counted(KeySet):
    """Keys that count how often they verified."""

    def __init__(self, text: str) -> None:
        super().__init__(text.encode())
        self.count = 0

    def verify(self, token: Token) -> None:
        self.count += 1
        super().verify(token)


class Changing:
    """Keys that a test replaces."""

    fault = "the test has none"

    def __init__(self, held: KeySet | None, *, open_to_change: bool = False) -> None:
        self.now, self.open_to_change = held, open_to_change

    def held(self) -> KeySet | None:
        return self.now

    def may_change(self) -> bool:
        return self.open_to_change

    def wait(self, ready: Callable[[], None]) -> None:
        raise AssertionError("nobody waits here")


def policy(*rules: TokenRule) -> RequestAuthentication:
    return RequestAuthentication("default/p", SOURCE, ("default/web",), rules)


def rules(keys: Keys, **rule: Any) -> Authentications:
    return Authentications([policy(TokenRule(ISSUER, **rule))], lambda _: keys)


def head(*fields: tuple[bytes, bytes], query: bytes | None = None) -> RequestHead:
    found = RequestHead(b"GET", b"/", query, b"a.test", b"a.test")
    found.fields = list(fields)
    return found


def bearer(written: bytes) -> RequestHead:
    return head((b"Authorization", b"Bearer " + written))


def test_a_good_token_is_verified_once() -> None:
    """Until it has expired, and until its issuer has other keys."""
    keys = Counted(jwks())
    holder = Changing(keys)
    held = rules(holder)
    written = token()
    for _ in range(3):
        (found,) = held.judge(bearer(written), NOW)
        assert found.verified.claims["sub"] == "alice"
    assert keys.count == 1
    with pytest.raises(BadToken, match="has expired"):
        held.judge(bearer(written), NOW + 600 + LEEWAY)
    holder.now = Counted(jwks(jwk("P-256", 1)))
    with pytest.raises(BadToken, match="the token's signature is not the issuer's"):
        held.judge(bearer(written), NOW)


def test_a_bad_token_is_never_kept() -> None:
    """It is refused each time anew, and takes no place of a good one."""
    keys = Counted(jwks())
    held = rules(Changing(keys))
    for _ in range(2):
        with pytest.raises(BadToken):
            held.judge(bearer(token(number=1)), NOW)
    assert (keys.count, held.rules[0]._kept) == (2, {})


def test_as_many_tokens_are_kept_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes; it is verified again when it comes again."""
    assert MOST_KEPT == 512
    monkeypatch.setattr(request_authentication, "MOST_KEPT", 2)
    keys = Counted(jwks())
    held = rules(Changing(keys))
    written = [token(claims(sub=str(number))) for number in range(3)]
    for each in (*written, written[2], written[1], written[0]):
        held.judge(bearer(each), NOW)
    assert (keys.count, len(held.rules[0]._kept)) == (4, 2)


def test_a_long_token_is_not_kept() -> None:
    """Its claims would take memory that nobody has set aside."""
    keys = Counted(jwks())
    held = rules(Changing(keys))
    written = token(claims(groups=["g" * 10] * 500))
    for _ in range(2):
        assert len(held.judge(bearer(written), NOW)) == 1
    assert (keys.count, held.rules[0]._kept) == (2, {})


def test_a_request_waits_for_keys_that_may_come() -> None:
    """For the first ones, and for one that is not among them; with others nothing is to be waited for."""
    with pytest.raises(WaitingForKeys) as waiting:
        rules(Changing(None)).judge(bearer(token()), NOW)
    assert str(waiting.value.in_vain) == "the keys of the token's issuer are not there: the test has none"
    old = KeySet(jwks(jwk("P-256", kid="old")).encode())
    with pytest.raises(WaitingForKeys) as waiting:
        rules(Changing(old, open_to_change=True)).judge(bearer(token(kid="new")), NOW)
    assert str(waiting.value.in_vain) == "the token is signed with key 'new', which is none of the issuer's"
    with pytest.raises(BadToken, match="key 'new'"):
        rules(Changing(old)).judge(bearer(token(kid="new")), NOW)
    with pytest.raises(BadToken, match="has expired"):
        rules(Changing(None)).assume(bearer(token(claims(exp=1))), NOW)


def test_keys_of_one_issuer_do_not_verify_tokens_of_another() -> None:
    """Though both are believed."""
    mine, other = TokenRule("mine", keys=jwks(jwk("P-256"))), TokenRule("other", keys=jwks(jwk("P-256", 1)))
    held = Authentications([policy(mine, other)], lambda rule: KeysAtHand(rule.keys))
    held.judge(bearer(token(claims(iss="mine"))), NOW)
    for issuer in ("other", "", "Mine", "mine ", None, 1, ["mine"]):
        with pytest.raises(BadToken):
            held.judge(bearer(token(claims(iss=issuer))), NOW)


def test_a_rule_with_an_error_believes_nothing() -> None:
    """Whatever keys there are; so do all rules of a policy that may not be meant."""
    keys = Changing(KeySet(jwks().encode()))
    for held in (
        rules(keys, error="it is not understood"),
        Authentications([disbelieving(policy(TokenRule(ISSUER, keys=jwks())), "it is not understood")], lambda _: keys),
    ):
        for judge in (held.judge, held.assume):
            with pytest.raises(BadToken, match="no token of its issuer is believed: it is not understood"):
                judge(bearer(token()), NOW)


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", b"Bearer\t", b"Basic eDp5", b"Token a.b.c", b"", b"a.b.c"])
def test_what_is_no_token(value: bytes) -> None:
    """Another scheme, and a scheme with nothing behind it, is nobody's token: the request passes as one without."""
    held, asked = rules(Changing(None)), head((b"authorization", value))
    assert held.judge(asked, NOW) == ()
    held.edit(asked, ())
    assert asked.fields == [(b"authorization", value)]


def test_only_the_token_is_taken_away() -> None:
    """From a query and from cookies, whatever else stands there, as it stands there."""
    written = token()
    for query, left in (
        (b"a=b&t=" + written, b"a=b"),
        (b"t=" + written + b"&%74&t", b"&".join(())),
        (b"%74=" + written + b"&A=%zz&", b"A=%zz&"),
    ):
        held, asked = rules(Changing(KeySet(jwks().encode())), params=("t",)), head(query=query)
        held.edit(asked, held.judge(asked, NOW))
        assert asked.query == (left or None)
    held = rules(Changing(KeySet(jwks().encode())), cookies=("s",))
    asked = head((b"Cookie", b"a=b;s=" + written + b"; c"), (b"cookie", b"d=e"))
    held.edit(asked, held.judge(asked, NOW))
    assert asked.fields == [(b"Cookie", b"a=b; c"), (b"cookie", b"d=e")]


def test_a_prefix_is_exact() -> None:
    """But for the scheme of Authorization, which is in any case (RFC 9110 11.1)."""
    keys = Changing(KeySet(jwks().encode()))
    held = rules(keys, headers=(TokenHeader("x-token", "T:"),))
    assert len(held.judge(head((b"X-Token", b"T:" + token())), NOW)) == 1
    assert held.judge(head((b"X-Token", b"t:" + token())), NOW) == ()
    assert len(rules(keys).judge(head((b"AUTHORIZATION", b"bEARER  " + token())), NOW)) == 1
