"""RequestAuthentication (security.istio.io/v1): whose tokens are believed (istio.io/api/security/v1beta1/request_authentication.proto).

Only the form is judged here. What values mean, and what is wrong with them, is for translate/mesh/token_rules.py, since a policy that is
not understood must still hold.
"""

from typing import Annotated, Literal

from pydantic import Field

from controller.api.base import Boolean, Text, expressions, text
from controller.api.istio import OpenModel, SelectingSpec
from controller.api.metadata import Object

Name = Annotated[str, text(shortest=1)]


class JWTHeader(OpenModel):
    """A field of a request."""

    name: Name = Field(description="Of the field.")
    prefix: Text = Field(default="", description="What stands before the token, its space included.")


class ClaimToHeader(OpenModel):
    """A claim for backends."""

    header: Annotated[str, text(pattern=r"^[-_A-Za-z0-9]+$", shortest=1)] = Field(description="The field that they get.")
    claim: Name = Field(description="Its name; names with dots between for what is nested.")


class JWTRule(OpenModel):
    """The tokens of one issuer."""

    model_config = expressions(
        (
            "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
            "only one of jwks or jwksUri can be set",
        )
    )

    issuer: Name = Field(description="The token's `iss`, exactly.")
    audiences: tuple[Name, ...] = Field(default=(), description="The token's `aud` has one of these; any when absent.")
    jwks_uri: Annotated[str, text(shortest=1, longest=2048)] | None = Field(
        default=None, description="Where the keys are. Without keys the OpenID configuration of the issuer says where."
    )
    jwks_uri_alias: Annotated[str, text(shortest=1, longest=2048)] | None = Field(
        default=None, alias="jwks_uri", description="The same as jwksUri."
    )
    jwks: Text = Field(default="", description="The keys themselves, a JWK Set in JSON.")
    from_headers: tuple[JWTHeader, ...] = Field(default=(), description="Fields in which the token may stand.")
    from_params: tuple[Name, ...] = Field(default=(), description="Parameters of the query in which it may stand.")
    from_cookies: tuple[Name, ...] = Field(default=(), description="Cookies in which it may stand.")
    output_payload_to_header: Text = Field(default="", description="The field in which backends get the payload, base64url-encoded.")
    forward_original_token: Boolean = Field(default=False, description="Whether backends get the token.")
    output_claim_to_headers: tuple[ClaimToHeader, ...] = Field(default=(), description="Claims that backends get as fields.")
    timeout: Text = Field(default="5s", description="How long fetching the keys may take.")
    space_delimited_claims: tuple[Name, ...] = Field(
        default=(), description="Claims whose words are values each, besides scope and permission."
    )


class RequestAuthenticationSpec(SelectingSpec):
    """Whose tokens are believed. A request with another one is refused; one without passes."""

    jwt_rules: tuple[JWTRule, ...] = Field(default=(), max_length=4096, description="The issuers.")


class RequestAuthentication(Object):
    """Whose tokens are believed."""

    api_version: Literal["security.istio.io/v1", "security.istio.io/v1beta1"]
    kind: Literal["RequestAuthentication"]
    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()
