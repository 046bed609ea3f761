"""RequestAuthentication of security.istio.io."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.request_authentication import RequestAuthentication
from tests.controller.api.objects import object_of, read, refused_fields


def written(*rules: dict[str, Any], version: str = "v1", **spec: Any) -> dict[str, Any]:
    return object_of("RequestAuthentication", f"security.istio.io/{version}", spec={"jwtRules": list(rules), **spec})


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_defaults(version: str) -> None:
    """Tokens are not passed on, and keys are waited for five seconds."""
    found = read(written({"issuer": "a"}, version=version))
    assert isinstance(found, RequestAuthentication)
    (rule,) = found.spec.jwt_rules
    assert (rule.forward_original_token, rule.timeout, rule.jwks, rule.jwks_uri, rule.audiences) == (False, "5s", "", None, ())


def test_a_url_of_keys_has_two_spellings() -> None:
    """Istio's definition has both."""
    found = read(written({"issuer": "a", "jwksUri": "https://a"}, {"issuer": "b", "jwks_uri": "https://b"}))
    assert isinstance(found, RequestAuthentication)
    assert [(rule.jwks_uri, rule.jwks_uri_alias) for rule in found.spec.jwt_rules] == [("https://a", None), (None, "https://b")]


def test_fields_that_are_not_known_are_kept() -> None:
    """Translation decides what becomes of them."""
    found = read(written({"issuer": "a", "new": 1, "fromHeaders": [{"name": "x", "newer": 2}]}))
    assert isinstance(found, RequestAuthentication)
    (rule,) = found.spec.jwt_rules
    assert (rule.unknown, rule.from_headers[0].unknown) == (("new",), ("newer",))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "a", "audiences": [""]}, "audiences[0]"),
        ({"issuer": "a", "jwksUri": ""}, "jwksUri"),
        ({"issuer": "a", "jwksUri": "https://" + "a" * 2048}, "jwksUri"),
        ({"issuer": "a", "fromHeaders": [{}]}, "fromHeaders[0].name"),
        ({"issuer": "a", "fromParams": [""]}, "fromParams[0]"),
        ({"issuer": "a", "fromCookies": [1]}, "fromCookies[0]"),
        ({"issuer": "a", "outputClaimToHeaders": [{"header": "x y", "claim": "sub"}]}, "outputClaimToHeaders[0].header"),
        ({"issuer": "a", "forwardOriginalToken": "true"}, "forwardOriginalToken"),
    ],
)
def test_what_has_not_the_form(rule: dict[str, Any], field: str) -> None:
    """As Istio's definition has it."""
    assert refused_fields(written(rule)) == [f"spec.jwtRules[0].{field}"]
