"""RequestAuthentications at a Gateway, through real sockets: tokens that pass, tokens that do not, and what backends get to see."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.policies.tokens import ISSUER, hmac_token, jwk, jwks, token
from tests.wire.backends import Echo
from tests.wire.conftest import Serve
from tests.wire.grpc_peers import GrpcClient, GrpcEcho
from tests.wire.issuers import authentication
from tests.wire.pairings import any_client, every_pairing
from tests.wire.serving import Site, service
from tests.wire.test_authorization_policies import TO_BLUE, explained, operation, policy, source, when

OTHER = "https://other.test"
RULE: dict[str, Any] = {"issuer": ISSUER, "jwks": jwks()}


def good(**changed: Any) -> bytes:
    """A token that is good for ever."""
    return token({"iss": ISSUER, "sub": "alice", **changed})


def bearer(written: bytes) -> list[tuple[str, str]]:
    return [("Authorization", "Bearer " + written.decode())]


def told(answer: Any, name: str) -> str | None:
    """A field of the request as the backend got it."""
    value: str | None = answer.request.value(name)
    return value


@every_pairing
def test_a_request_with_a_bad_token_is_401(serve: Serve, blue: Echo) -> None:
    """RFC 6750 3: with the challenge, and the reason in the log; no backend sees it. One without a token passes, as does one with a good
    one, which backends do not see."""
    site = serve(TO_BLUE, authentication(RULE))
    answer = site.ask("/a?b=c", headers=bearer(hmac_token(b"secret")))
    assert (answer.status, answer.counted.flags) == (401, "-")
    assert answer.headers["www-authenticate"] == 'Bearer realm="http://example.com/a", error="invalid_token"'
    assert answer.reason is not None
    assert answer.reason.startswith("the token's algorithm 'HS256' is not supported")
    assert site.ask().status == 200
    passed = site.ask(headers=bearer(good()))
    assert (passed.status, told(passed, "authorization")) == (200, None)
    assert [request.target for request in blue.requests] == ["/", "/"]
    first = site.log.wait_for(3)[0]
    assert (first["status"], first["reason"], first["route"]) == (401, answer.reason, None)


@any_client
def test_a_token_for_somebody_else_is_403(serve: Serve) -> None:
    """As Envoy has it."""
    site = serve(TO_BLUE, authentication({**RULE, "audiences": ["shop"]}))
    assert [site.ask(headers=bearer(good(aud=audience))).status for audience in ("shop", "desk")] == [200, 403]


@every_pairing
def test_a_policy_can_demand_a_token(serve: Serve) -> None:
    """requestPrincipals: without a token 403, with one of another principal too; any principal is *."""
    site = serve(TO_BLUE, authentication(RULE), policy("p", "ALLOW", source(requestPrincipals=[f"{ISSUER}/alice"])))
    assert site.ask().status == 403
    assert site.ask(headers=bearer(good())).status == 200
    assert site.ask(headers=bearer(good(sub="bob"))).status == 403
    site.change(TO_BLUE, authentication(RULE), policy("p", "DENY", source(notRequestPrincipals=["*"])))
    assert [site.ask().status, site.ask(headers=bearer(good(sub="bob"))).status] == [403, 200]


@pytest.mark.parametrize(
    ("key", "value", "claims"),
    [
        ("request.auth.principal", f"{ISSUER}/alice", {}),
        ("request.auth.audiences", "shop", {"aud": ["desk", "shop"]}),
        ("request.auth.presenter", "web", {"azp": "web"}),
        ("request.auth.claims[groups]", "admin", {"groups": ["staff", "admin"]}),
        ("request.auth.claims[realm][roles]", "admin", {"realm": {"roles": ["admin"]}}),
        ("request.auth.claims[scope]", "write", {"scope": "read write"}),
        ("request.auth.claims[teams]", "blue", {"teams": "red blue"}),
        ("request.auth.claims[level]", "3", {"level": 3}),
        ("request.auth.claims[vip]", "true", {"vip": True}),
    ],
)  # fmt: skip
def test_what_policies_ask_of_a_token(serve: Serve, key: str, value: str, claims: dict[str, Any]) -> None:
    """Each attribute of request.auth; spaceDelimitedClaims makes a list of words."""
    rule = {**RULE, "spaceDelimitedClaims": ["teams"]}
    site = serve(TO_BLUE, authentication(rule), policy("p", "ALLOW", when(key, value)))
    assert site.ask(headers=bearer(good(**claims))).status == 200
    assert site.ask(headers=bearer(good(sub="bob"))).status == 403


@every_pairing
def test_where_tokens_stand(serve: Serve) -> None:
    """Authorization and access_token by default; else where the rule says, and nowhere else. Each is taken away, and nothing beside."""
    demanding = policy("p", "ALLOW", source(requestPrincipals=["*"]))
    site, written = serve(TO_BLUE, authentication(RULE), demanding), good().decode()
    assert site.ask(headers=[("authorization", f"bearer {written}")]).status == 200
    asked = site.ask(f"/a?x=1&access_token={written}&y=%20")
    assert (asked.status, asked.request.target) == (200, "/a?x=1&y=%20")
    assert site.ask(f"/a?access_token={written}").request.target == "/a"
    places = {"fromHeaders": [{"name": "X-Token", "prefix": "T "}], "fromParams": ["t"], "fromCookies": ["session"]}
    site.change(TO_BLUE, authentication({**RULE, **places}), demanding)
    assert site.ask(headers=bearer(good())).status == 403
    asked = site.ask(headers=[("X-Token", f"T {written}"), ("Authorization", "Basic eDp5")])
    assert (asked.status, told(asked, "x-token"), told(asked, "authorization")) == (200, None, "Basic eDp5")
    assert site.ask(headers=[("X-Token", f"t {written}")]).status == 403
    assert site.ask(f"/?t={written}").status == 200
    asked = site.ask(headers=[("Cookie", f"a=b; session={written}; c=d")])
    assert (asked.status, told(asked, "cookie")) == (200, "a=b; c=d")
    assert told(site.ask(headers=[("Cookie", f"session={written}")]), "cookie") is None


@every_pairing
def test_a_token_can_be_passed_on(serve: Serve) -> None:
    """forwardOriginalToken."""
    site, written = serve(TO_BLUE, authentication({**RULE, "forwardOriginalToken": True})), good().decode()
    assert told(site.ask(headers=bearer(written.encode())), "authorization") == f"Bearer {written}"
    assert site.ask(f"/?access_token={written}").request.target == f"/?access_token={written}"


@every_pairing
def test_backends_are_told_what_a_token_says(serve: Serve) -> None:
    """outputPayloadToHeader and outputClaimToHeaders, of texts, numbers and truths; what a client sends in their place never arrives,
    whether there is a token or not, nor what a backend would read as the same name."""
    claims = {"X-User": "sub", "X-Level": "a.level", "X-Vip": "vip", "X-No": "list"}
    headers = [{"header": name, "claim": claim} for name, claim in claims.items()]
    site = serve(TO_BLUE, authentication({**RULE, "outputPayloadToHeader": "X-Payload", "outputClaimToHeaders": headers}))
    forged = [("X-User", "root"), ("x_user", "root"), ("X-LEVEL", "9"), ("x-no", "1"), ("x-payload", "e30"), ("X-Mine", "1")]
    answer = site.ask(headers=[*bearer(good(a={"level": 3}, vip=False, list=["x"])), *forged])
    seen = [told(answer, name) for name in ("x-user", "x_user", "x-level", "x-vip", "x-no", "x-mine")]
    assert seen == ["alice", None, "3", "false", None, "1"]
    payload = told(answer, "x-payload") or ""
    assert json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"] == "alice"
    bare = site.ask(headers=forged)
    assert [told(bare, name) for name in ("x-user", "x_user", "x-level", "x-no", "x-payload", "x-mine")] == [None] * 5 + ["1"]
    split = site.ask(headers=bearer(good(sub="a\r\nX-Evil: 1")))
    assert (told(split, "x-user"), told(split, "x-evil")) == (None, None)


def test_more_than_one_token(serve: Serve) -> None:
    """Every token has to be good, each for a rule of its issuer; the first place says who asks. Twice in one place is refused."""
    other = {"issuer": OTHER, "jwks": jwks(jwk("P-256", 1)), "fromHeaders": [{"name": "x-other"}]}
    allowed = policy("p", "ALLOW", source(requestPrincipals=["*/alice", "https://other*"]))
    site = serve(TO_BLUE, authentication(RULE), authentication(other, name="zzz"), allowed)
    second = token({"iss": OTHER, "sub": "bob"}, number=1).decode()
    assert site.ask(headers=[("x-other", second)]).status == 200
    assert site.ask(headers=[*bearer(good()), ("x-other", second)]).status == 200
    assert site.ask(headers=[*bearer(good()), ("x-other", "garbage")]).status == 401
    assert site.ask(headers=[("x-other", good().decode())]).reason == "the token's issuer is none of those that are configured"
    assert site.ask(headers=bearer(second.encode())).status == 401
    assert site.ask(headers=bearer(good()) * 2).reason == "header authorization stands in the request 2 times"
    twice = good().decode()
    assert site.ask(f"/?access_token={twice}&access_token={twice}").status == 401


def test_all_policies_of_a_gateway_hold(serve: Serve) -> None:
    """Two rules of one issuer: a token that is good for one of them is good."""
    first, second = {**RULE, "audiences": ["a"]}, {**RULE, "audiences": ["b"]}
    site = serve(TO_BLUE, authentication(first, name="a"), authentication(second, name="b"))
    assert [site.ask(headers=bearer(good(aud=audience))).status for audience in ("a", "b", "c")] == [200, 200, 403]
    site.change(TO_BLUE)
    assert site.ask(headers=bearer(b"garbage")).status == 200


def test_a_preflight_passes_without_a_look_at_its_token(serve: Serve) -> None:
    """Browsers send none with it; any other OPTIONS is like every request."""
    site = serve(TO_BLUE, authentication(RULE))
    preflight = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "GET")]
    assert site.ask(method="OPTIONS", headers=[*preflight, *bearer(b"garbage")]).status == 200
    assert site.ask(method="OPTIONS", headers=[preflight[0], *bearer(b"garbage")]).status == 401


def test_tokens_come_before_policies_and_routes(serve: Serve) -> None:
    """A bad token is told as such even where everything is denied and no route is."""
    site = serve("- matches: [{path: {value: /shop}}]\n  backendRefs: [{name: blue, port: 80}]\n", authentication(RULE), policy("none"))
    assert [site.ask("/nowhere", headers=headers).status for headers in (bearer(b"x.y.z"), bearer(good()))] == [401, 403]


def test_only_authorization_policies_merge_slashes(serve: Serve) -> None:
    """A policy about tokens looks at no path."""
    site = serve(TO_BLUE, authentication(RULE))
    assert site.ask("//shop").request.target == "//shop"
    site.change(TO_BLUE, authentication(RULE), policy("p", "DENY", operation(paths=["/no"])))
    assert site.ask("//shop").request.target == "/shop"


def test_a_call_with_a_bad_token_is_unauthenticated(
    serve: Serve, grpc_echo: Callable[..., GrpcEcho], grpc_client: Callable[..., GrpcClient]
) -> None:
    """A gRPC call has status 16, which is what 401 is there."""
    one = grpc_echo("one")
    route = 'kind: GRPCRoute\nmetadata: {name: route}\nspec: {rules: [{backendRefs: [{name: one, port: 80}]}]}'
    site = serve(service("one", one.port), route, authentication(RULE))
    client = grpc_client(site.address())
    metadata = [(("authorization", f"Bearer {written.decode()}"),) for written in (b"x.y.z", good())]
    assert [client.unary(b"", each).status for each in metadata] == [16, 0]


def test_keys_that_are_of_no_use_refuse_their_tokens_alone(serve: Serve, blue: Echo) -> None:
    """The status says why, and tokens of another rule go on."""
    bad = {"issuer": OTHER, "jwks": '{"keys": []}'}
    site = serve(TO_BLUE)
    site.change(TO_BLUE, authentication(RULE, bad), refused=True)
    assert [(found.kind, found.reason) for found in site.rejections] == [
        ("RequestAuthentication", "jwtRules[1].jwks: the JWK Set has no key that verifies signatures")
    ]
    assert site.ask(headers=bearer(good())).status == 200
    refused = site.ask(headers=bearer(token({"iss": OTHER})))
    assert (refused.status, refused.reason) == (
        401, "the keys of the token's issuer are not there: the JWK Set has no key that verifies signatures"
    )  # fmt: skip


def said(site: Site, headers: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    return [(each["outcome"], each["matched"]) for each in explained(site, headers=headers)["policies"]]  # type: ignore[arg-type]


def test_explain_judges_a_token(serve: Serve) -> None:
    """What the rule asks for, and what becomes of the token that the question has."""
    site = serve(TO_BLUE, authentication(RULE))
    asks = f"jwtRules[0] asks for tokens of {ISSUER} in header authorization, parameter access_token"
    assert said(site, []) == [(f"{asks}: there is none, which passes", False)]
    assert said(site, bearer(good())) == [(f"{asks}: that in header authorization is good, of {ISSUER}/alice", True)]
    bad = f"{asks}: the token is not in the form HEADER.PAYLOAD.SIGNATURE"
    assert said(site, bearer(b"x")) == [(bad, True)]
