"""Tokens that are believed, and a table of those that are not, each with its reason (RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ir.policy import TokenRule
from gateway.policies.request_authentication import LEEWAY, check_claims
from gateway.policies.token import LONGEST, BadToken, Token, read_token
from gateway.policies.token_keys import LONGEST_SET, MOST_KEYS, KeySet, UnknownKey
from tests.gateway.policies.tokens import ALGORITHMS, ISSUER, NOW, OF, claims, encoded, hmac_token, jwk, jwks, private, token


def verified(written: bytes, keys: str = "", **rule: Any) -> Token:
    """A token that is believed. Raises BadToken."""
    read = read_token(written)
    KeySet((keys or jwks()).encode()).verify(read)
    check_claims(TokenRule(ISSUER, **rule), read.claims, NOW)
    return read


@pytest.mark.parametrize("algorithm", OF)
def test_each_algorithm_is_verified(algorithm: str) -> None:
    """RFC 7518 3.1 without its symmetric ones, and RFC 8037; with the key's name, and without it, when all that fit are tried."""
    for written in (token(algorithm=algorithm, kid=OF[algorithm]), token(algorithm=algorithm)):
        assert verified(written).claims["sub"] == "alice"


def pem(kind: str) -> bytes:
    public = private(kind).public_key()
    return bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def unsigned(**header: Any) -> bytes:
    return encoded({"alg": "none", **header}) + b"." + encoded(claims()) + b"."


def half(text: str) -> str:
    """An object that says a name twice."""
    return text[:-1] + ', "iss": "https://other.test"}'


GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(b".")
FORM = "the token is not in the form HEADER.PAYLOAD.SIGNATURE"
HEADER = "the token's header is not a JSON object whose names stand once"
PAYLOAD = "the token's payload is not a JSON object whose names stand once"
FORGED = "the token's signature is not the issuer's"
UNSUPPORTED = "is not supported; ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512 are"
BAD: dict[str, tuple[bytes, str]] = {
    "empty parts": (b"..", FORM),
    "one part": (HEAD, FORM),
    "two parts": (HEAD + b"." + BODY, FORM),
    "four parts": (GOOD + b".a", FORM),
    "five parts, which is an encrypted one": (b"a.b.c.d.e", FORM),
    "padding": (HEAD + b"=." + BODY + b"." + SIGNATURE, FORM),
    "base64 of the other alphabet": (HEAD + b"." + BODY + b"." + SIGNATURE[:-1] + b"+", FORM),
    "white space inside": (HEAD + b". " + BODY + b"." + SIGNATURE, FORM),
    "a line break at the end": (GOOD + b"\n", FORM),
    "two tokens in one field": (GOOD + b", " + GOOD, FORM),
    "no signature": (HEAD + b"." + BODY + b".", FORM),
    "too long": (HEAD + b"." + b"a" * LONGEST + b"." + SIGNATURE, f"the token is longer than {LONGEST} bytes"),
    "a length that base64url cannot have": (HEAD + b"." + BODY + b".aaaaa", "the token's signature is not base64url"),
    "bits that nobody reads": (HEAD + b"." + BODY + b".AB", "the token's signature is not base64url"),
    "a header that is no JSON": (encoded("{") + b"." + BODY + b"." + SIGNATURE, HEADER),
    "a header that is a list": (encoded("[]") + b"." + BODY + b"." + SIGNATURE, HEADER),
    "a header with a name twice": (encoded('{"alg": "ES256", "alg": "none"}') + b"." + BODY + b"." + SIGNATURE, HEADER),
    "a header that is no UTF-8": (encoded(b'{"alg": "\xff"}') + b"." + BODY + b"." + SIGNATURE, HEADER),
    "claims that are a text": (token('"alice"'), PAYLOAD),
    "claims with a name twice": (token(half(json.dumps(claims()))), PAYLOAD),
    "claims with a name twice deeper": (token('{"a": {"b": 1, "b": 2}}'), PAYLOAD),
    "claims with a number that is none": (token('{"exp": NaN}'), PAYLOAD),
    "claims without end": (token('{"exp": ' + "[" * 5000), PAYLOAD),
    "a number without end": (token('{"exp": ' + "9" * 5000 + "}"), PAYLOAD),
    "no algorithm": (token(alg=None), "the token's header has no 'alg', or a 'kid', that is a string"),
    "a list of algorithms": (token(alg=["ES256"]), "the token's header has no 'alg', or a 'kid', that is a string"),
    "a key's name that is a number": (token(kid=1), "the token's header has no 'alg', or a 'kid', that is a string"),
    "an extension that must be understood": (token(crit=["exp"]), "the token's header has 'crit', which is not supported"),
    "an empty list of extensions": (token(crit=[]), "the token's header has 'crit', which is not supported"),
    "a payload that is not encoded": (token(b64=False), "the token's header has 'b64', which is not supported"),
    "algorithm none": (unsigned() + b"AA", f"the token's algorithm 'none' {UNSUPPORTED}"),
    "algorithm None": (unsigned(alg="None") + b"AA", f"the token's algorithm 'None' {UNSUPPORTED}"),
    "algorithm none with a good signature": (token(alg="none"), f"the token's algorithm 'none' {UNSUPPORTED}"),
    "a public key as the secret": (hmac_token(pem("rsa")), f"the token's algorithm 'HS256' {UNSUPPORTED}"),
    "a public key as the secret, by name": (hmac_token(pem("rsa"), kid="rsa"), f"the token's algorithm 'HS256' {UNSUPPORTED}"),
    "a curve that is not supported": (token(alg="ES256K"), f"the token's algorithm 'ES256K' {UNSUPPORTED}"),
    "an algorithm in small letters": (token(alg="es256"), f"the token's algorithm 'es256' {UNSUPPORTED}"),
    "an algorithm of another curve": (token(alg="ES384"), FORGED),
    "an algorithm of another type": (token(alg="RS256"), FORGED),
    "the padding of another algorithm": (token(algorithm="RS256", alg="PS256"), FORGED),
    "the hash of another algorithm": (token(algorithm="RS256", alg="RS512"), FORGED),
    "the key of another type by name": (token(kid="rsa"), "the issuer's key is not for algorithm ES256"),
    "the key of another curve by name": (token(kid="P-384"), "the issuer's key is not for algorithm ES256"),
    "a key that the issuer has not": (token(number=1), FORGED),
    "a name that the issuer's keys have not": (token(kid="x"), "the token is signed with key 'x', which is none of the issuer's"),
    "a key in the header": (token(number=1, jwk=jwk("P-256", 1)), FORGED),
    "a key in the header by name": (token(number=1, kid="P-256", jwk=jwk("P-256", 1)), FORGED),
    "a URL of keys in the header": (token(number=1, jku="https://evil.test/keys"), FORGED),
    "a URL of certificates in the header": (token(number=1, x5u="https://evil.test/chain"), FORGED),
    "certificates in the header": (token(number=1, x5c=["MIIB"]), FORGED),
    "a signature of zeros": (HEAD + b"." + BODY + b"." + encoded(bytes(64)), FORGED),
    "a signature in DER": (HEAD + b"." + BODY + b"." + encoded(b"\x30\x06\x02\x01\x01\x02\x01\x01"), FORGED),
    "the claims of another token": (HEAD + b"." + encoded(claims(sub="root")) + b"." + SIGNATURE, FORGED),
    "expired": (token(claims(exp=NOW - LEEWAY)), "the token has expired"),
    "not begun": (token(claims(nbf=NOW + LEEWAY + 1)), "the token is not valid yet"),
    "an expiry that is a text": (token(claims(exp="9999999999")), "the token's 'exp' is no number of seconds since 1970"),
    "an expiry that is true": (token(claims(exp=True)), "the token's 'exp' is no number of seconds since 1970"),
    "an expiry beyond all": (token('{"exp": 1e999}'), "the token's 'exp' is no number of seconds since 1970"),
    "an expiry that is null": (token('{"exp": null}'), "the token's 'exp' is no number of seconds since 1970"),
    "a beginning that is a list": (token(claims(nbf=[1])), "the token's 'nbf' is no number of seconds since 1970"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_believed(name: str) -> None:
    """Each is refused, with the reason that stands beside it."""
    written, reason = BAD[name]
    with pytest.raises(BadToken) as refusal:
        verified(written)
    assert (str(refusal.value), refusal.value.status) == (reason, 401)


def test_clocks_may_differ_by_a_minute() -> None:
    """As in Envoy: an expiry a moment less than the leeway ago, and a beginning just the leeway ahead, are good; so is neither."""
    for changed in ({"exp": NOW - LEEWAY + 1}, {"nbf": NOW + LEEWAY}, {"exp": None, "nbf": None}, {"exp": NOW + 0.5}):
        verified(token(claims(**changed)))


@pytest.mark.parametrize("audience", ["a", ["x", "b"]])
def test_one_of_the_audiences_is_enough(audience: object) -> None:
    """RFC 7519 4.1.3: a text, or a list of them."""
    verified(token(claims(aud=audience)), audiences=("a", "b"))


@pytest.mark.parametrize("audience", [None, "x", "A", ["x"], [], {"a": 1}, [["a"]], 1])
def test_another_audience_is_403(audience: object) -> None:
    """As Envoy has it: the token is genuine, and for somebody else."""
    with pytest.raises(BadToken) as refusal:
        verified(token(claims(aud=audience)), audiences=("a", "b"))
    assert (refusal.value.status, str(refusal.value)) == (403, "the token is for none of the audiences that are allowed")


WRITTEN = {algorithm: token(algorithm=algorithm, kid=OF[algorithm]) for algorithm in OF}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_token_altered_at_any_byte_is_refused(data: st.DataObject) -> None:
    """Whichever byte becomes whichever other one."""
    written = WRITTEN[data.draw(st.sampled_from(sorted(WRITTEN)))]
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != written[place]))
    with pytest.raises(BadToken):
        verified(written[:place] + bytes((other,)) + written[place + 1 :])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "keys[0]: type 'oct' with curve None is not supported; RSA, EC and OKP (Ed25519) are"),
        ({"kty": "RSA"}, "keys[0]: a key of type RSA has the members n, e, each a string"),
        (jwk("rsa-1024"), "keys[0]: its 1024 bits are not between 2048 and 16384"),
        (jwk("K"), "keys[0]: type 'EC' with curve 'secp256k1' is not supported; RSA, EC and OKP (Ed25519) are"),
        (jwk("P-256", crv="Ed25519"), "keys[0]: type 'EC' with curve 'Ed25519' is not supported; RSA, EC and OKP (Ed25519) are"),
        (jwk("rsa", use="enc"), "keys[0]: it is not for signatures, by its 'use' or 'key_ops'"),
        (jwk("rsa", key_ops=["sign"]), "keys[0]: it is not for signatures, by its 'use' or 'key_ops'"),
        (jwk("rsa", alg="ES256"), "keys[0]: algorithm 'ES256' does not fit its type"),
        (jwk("rsa", alg="HS256"), "keys[0]: algorithm 'HS256' does not fit its type"),
        (jwk("rsa", kid=7), "keys[0]: its 'kid' is no string"),
        ("rsa", "keys[0]: it is no JSON object"),
    ],
)  # fmt: skip
def test_a_key_that_is_of_no_use(members: Any, why: str) -> None:
    """It is left out, with the reason; the others of its set go on, and a set of none is refused."""
    with pytest.raises(ValueError, match="has no key that verifies signatures") as refusal:
        KeySet(jwks(members).encode())
    assert why in str(refusal.value)
    rest = KeySet(jwks(members, jwk("P-256")).encode())
    rest.verify(read_token(token()))
    assert rest.skipped == (why,)


def test_a_key_is_used_for_its_algorithm_alone() -> None:
    """RFC 7517 4.4: an RSA key for RS256 verifies no PS256."""
    with pytest.raises(BadToken, match="the issuer's key is not for algorithm PS256"):
        verified(token(algorithm="PS256"), jwks(jwk("rsa", alg="RS256")))
    verified(token(algorithm="RS256"), jwks(jwk("rsa", alg="RS256", use="sig", key_ops=["verify"])))


def test_a_key_without_a_name_is_tried_for_every_name() -> None:
    """As in Envoy; with a name another one is not."""
    verified(token(kid="whatever"), jwks(jwk("P-256")))
    with pytest.raises(UnknownKey):
        verified(token(kid="whatever"), jwks(jwk("P-256", kid="other")))


def test_a_private_key_that_was_published_is_taken_for_its_public_one() -> None:
    """What else stands in a set is nobody's to use."""
    whole = json.loads(ALGORITHMS["RS256"].to_jwk(private("rsa")))
    verified(token(algorithm="RS256"), jwks({**whole, "key_ops": ["sign", "verify"]}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {}}', "no", '{"keys": []}', '{"keys": [], "keys": []}', "\ud800"])
def test_what_is_no_set(text: str) -> None:
    """Raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="JWK Set"):
        KeySet(text.encode("utf-8", "surrogatepass"))


def test_a_set_is_bounded() -> None:
    """In its keys and in its bytes."""
    with pytest.raises(ValueError, match="at most"):
        KeySet(jwks(*[jwk("P-256")] * (MOST_KEYS + 1)).encode())
    with pytest.raises(ValueError, match="longer than"):
        KeySet(b" " * (LONGEST_SET + 1))
