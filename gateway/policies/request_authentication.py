"""RequestAuthentications of one Gateway or workload, merged: what becomes of the tokens of a request.

Every token that stands where a rule looks has to be good for a rule of its issuer, of which there may be several; then the first of
them says who asks. Without a token a request passes, since it is for AuthorizationPolicies to demand one. Time and keys are given:
this module knows neither clock nor network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from msgspec.structs import replace

from gateway.http.head import RequestHead
from gateway.ir.policy import RequestAuthentication, TokenRule
from gateway.policies.authorization_policy import read_as
from gateway.policies.token import BadToken, Token, read_token
from gateway.policies.token_places import Place, find, places_of, take_away

if TYPE_CHECKING:
    from gateway.policies.token_keys import KeySet

LEEWAY: Final = 60
"""Seconds by which clocks may differ, as in Envoy."""
_is_field_value: Final = re.compile(rb"[!-~\x80-\xff](?:[ -~\t\x80-\xff]*[!-~\x80-\xff])?").fullmatch
MOST_KEPT: Final = 512
"""Tokens of a rule that are not verified again while they are good."""
LONGEST_KEPT: Final = 4 << 10
"""Bytes of such a token: the claims of a longer one take more memory than verifying it is worth."""


class Keys(Protocol):
    """Where the keys of a rule come from. To ask what there is changes nothing. `fault` says why there are none, or no newer ones."""

    fault: str

    def held(self) -> KeySet | None:
        """Those that there are; None where there are none and it is not known whether there will be. Raises BadToken without any."""

    def may_change(self) -> bool:
        """Whether it is worth waiting for a key that is not among them."""

    def wait(self, ready: Callable[[], None]) -> None:
        """Asks for them, if nobody has, and calls `ready` when they have come or cannot be had."""


class WaitingForKeys(Exception):
    """The request cannot be judged before keys have come."""

    def __init__(self, rule: str, keys: Keys, refusal: BadToken | None = None) -> None:
        """`rule` is the name of the one that needs them, `refusal` what becomes of the token without newer ones."""
        super().__init__(rule)
        self.rule, self.keys = rule, keys
        self._refusal = refusal

    @property
    def in_vain(self) -> BadToken:
        """The refusal of a request that has waited for them already."""
        return self._refusal or without_keys(self.keys.fault)


def without_keys(fault: str) -> BadToken:
    """The refusal of a token whose issuer has no keys, and why it has none."""
    return BadToken(f"the keys of the token's issuer are not there: {fault}")


class KeysAtHand:
    """Keys that stand in the policy itself. `fault` says what is wrong with them, '' for nothing."""

    __slots__ = ("_set", "fault")

    def __init__(self, text: str) -> None:
        from gateway.policies.token_keys import KeySet  # noqa: PLC0415  # see there

        self._set: KeySet | None = None
        self.fault = ""
        try:
            self._set = KeySet(text.encode())
        except ValueError as fault:
            self.fault = str(fault)

    def held(self) -> KeySet | None:
        if self._set is None:
            raise without_keys(self.fault)
        return self._set

    def may_change(self) -> bool:
        return False

    def wait(self, ready: Callable[[], None]) -> None:
        ready()


class Verified(NamedTuple):
    """A good token. `claims` are as policies see them, `told` the fields that backends get; `expires` None for never."""

    rule: str
    claims: Mapping[str, Any]
    told: tuple[tuple[bytes, bytes], ...]
    expires: float | None


class Found(NamedTuple):
    """One token of a request, and the rule that it is good for."""

    place: Place
    verified: Verified
    forwarded: bool


class Rule:
    """One rule, with the keys of its issuer and the tokens that were good before."""

    __slots__ = ("_kept", "_keys", "_last", "index", "issuer", "name", "places", "policy", "resource")

    def __init__(self, policy: str, index: int, resource: TokenRule, keys: Keys) -> None:
        """`policy` is the key of its policy, `index` its place there."""
        self.policy, self.index, self.name = policy, index, f"{policy}, jwtRules[{index}]"
        self.resource, self.issuer = resource, resource.issuer
        self.places = places_of(resource)
        self._keys = keys
        self._kept: dict[bytes, Verified] = {}
        self._last: KeySet | None = None
        """The keys that the kept tokens were verified with."""

    def recalled(self, digest: bytes, now: float) -> Verified | None:
        """A token that was good, by its digest, and still is: the issuer has the same keys, and it has not expired."""
        kept = self._kept.get(digest)
        if kept is None or (kept.expires is not None and now >= kept.expires) or self._keys.held() is not self._last:
            return None
        return kept

    def verified(self, written: bytes, digest: bytes, token: Token, now: float) -> Verified:
        """Raises BadToken, and WaitingForKeys where keys are on their way."""
        self._check_error()
        keys = self._keys.held()
        if keys is None:
            raise WaitingForKeys(self.name, self._keys)
        if keys is not self._last:
            self._kept.clear()
            self._last = keys
        self._kept.pop(digest, None)
        self._verify(keys, token)
        found = self.assumed(token, now)
        if len(written) <= LONGEST_KEPT:
            if len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[digest] = found
        return found

    def assumed(self, token: Token, now: float) -> Verified:
        """What a token says that is genuine. Raises BadToken."""
        self._check_error()
        return Verified(self.name, self._claims(token), _told(self.resource, token), check_claims(self.resource, token.claims, now))

    def _check_error(self) -> None:
        if self.resource.error:
            raise BadToken(f"no token of its issuer is believed: {self.resource.error}")

    def _verify(self, keys: KeySet, token: Token) -> None:
        from gateway.policies.token_keys import UnknownKey  # noqa: PLC0415  # see there; whoever has keys has it loaded

        try:
            keys.verify(token)
        except UnknownKey as refusal:
            if self._keys.may_change():
                raise WaitingForKeys(self.name, self._keys, refusal) from None
            raise

    def _claims(self, token: Token) -> Mapping[str, Any]:
        """With the words of claims that the rule says to be lists."""
        claims = token.claims
        words = {name: claim.split() for name in self.resource.spaced_claims if isinstance(claim := claims.get(name), str)}
        return {**claims, **words} if words else claims


class Authentications:
    """Those of one Gateway or workload."""

    __slots__ = ("_at", "_own", "rules")

    def __init__(self, policies: Iterable[RequestAuthentication], keys: Callable[[TokenRule], Keys]) -> None:
        """`keys` gives the keys of a rule."""
        ordered = sorted(policies, key=lambda policy: policy.key)
        self.rules = tuple(
            Rule(policy.key, index, rule, keys(rule)) for policy in ordered for index, rule in enumerate(policy.rules)
        )
        self._at: dict[Place, list[Rule]] = {}
        for rule in self.rules:
            for place in rule.places:
                self._at.setdefault(place, []).append(rule)
        resources = [rule.resource for rule in self.rules]
        names = {header.name for rule in resources for header in rule.claim_headers} | {rule.payload_header for rule in resources}
        self._own = frozenset(read_as(name.encode()) for name in names if name)
        """The fields that only we may write, as backends may read them."""

    def judge(self, head: RequestHead, now: float) -> tuple[Found, ...]:
        """The tokens, each good, in the order of the rules' places. `now` is in seconds since 1970. Raises BadToken and WaitingForKeys."""
        return tuple([_one(place, token, rules, now) for place, token, rules in self._tokens(head)])

    def assume(self, head: RequestHead, now: float) -> tuple[Found, ...]:
        """As `judge`, if the signatures of all tokens are their issuers'. Raises BadToken."""
        return tuple([_one(place, token, rules, now, assuming=True) for place, token, rules in self._tokens(head)])

    def _tokens(self, head: RequestHead) -> Iterator[tuple[Place, bytes, list[Rule]]]:
        for place, rules in self._at.items():
            written = find(head, place)
            if written is not None:
                yield place, written, rules

    def edit(self, head: RequestHead, found: Iterable[Found]) -> None:
        """What backends, and policies that are asked afterwards, get to see of a request whose tokens are good."""
        if self._own and any(read_as(name.lower()) in self._own for name, _ in head.fields):
            head.fields = [(name, value) for name, value in head.fields if read_as(name.lower()) not in self._own]
            head.changed()
        for each in found:
            if not each.forwarded:
                take_away(head, each.place)
            if each.verified.told:
                head.fields = [*head.fields, *each.verified.told]
                head.changed()


def disbelieving(policy: RequestAuthentication, why: str) -> RequestAuthentication:
    """What stands in the place of a policy that may not hold here: what it would believe is refused."""
    rules = tuple([replace(rule, keys="", url="", discovery=False, error=why) for rule in policy.rules])
    return replace(policy, rules=rules)


def _one(place: Place, written: bytes, rules: list[Rule], now: float, *, assuming: bool = False) -> Found:
    digest = sha256(written).digest()
    for rule in rules:
        kept = rule.recalled(digest, now)
        if kept is not None:
            return Found(place, kept, rule.resource.forward)
    token = read_token(written)
    issuer = token.claims.get("iss")
    fault = BadToken("the token's issuer is none of those that are configured")
    for rule in rules:
        if rule.issuer == issuer:
            try:
                verified = rule.assumed(token, now) if assuming else rule.verified(written, digest, token, now)
                return Found(place, verified, rule.resource.forward)
            except BadToken as refusal:
                fault = refusal
    raise fault


def check_claims(rule: TokenRule, claims: Mapping[str, Any], now: float) -> float | None:
    """Until when a token of the rule's issuer is good, None for ever. Raises BadToken (RFC 7519 4.1)."""
    expires, begins = _moment(claims, "exp"), _moment(claims, "nbf")
    if expires is not None and now >= expires + LEEWAY:
        raise BadToken("the token has expired")
    if begins is not None and now + LEEWAY < begins:
        raise BadToken("the token is not valid yet")
    if rule.audiences:
        audiences = claims.get("aud")
        if not any(each in rule.audiences for each in (audiences if isinstance(audiences, list) else [audiences])):
            raise BadToken("the token is for none of the audiences that are allowed", 403)
    return None if expires is None else expires + LEEWAY


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise BadToken(f"the token's {name!r} is no number of seconds since 1970")
    return float(value)


def _told(rule: TokenRule, token: Token) -> tuple[tuple[bytes, bytes], ...]:
    """Translation lets no field pass that the codec writes itself (token_rules)."""
    told = [(rule.payload_header.encode(), token.payload)] if rule.payload_header else []
    for header in rule.claim_headers:
        text = _text(_claim(token.claims, header.claim))
        if text is not None:
            told.append((header.name.encode(), text))
    return tuple(told)


def _claim(claims: Mapping[str, Any], named: str) -> Any:
    if named in claims:
        return claims[named]
    found: Any = claims
    for name in named.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> bytes | None:
    """A claim as a field's value; of what cannot stand in a field, and of lists and objects, none (RFC 9110 5.5)."""
    match value:
        case bool():
            return b"true" if value else b"false"
        case str() | int():
            try:
                text = str(value).encode()
            except ValueError:  # a lone surrogate, or digits without end
                return None
            return text if _is_field_value(text) else None
        case _:
            return None
