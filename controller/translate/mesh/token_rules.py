"""The rules of RequestAuthentications in the form of resources, and what is wrong with them.

A rule with anything wrong in it believes no token of its issuer: what it says may be meant for fewer tokens than we would take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, TypeVar
from urllib.parse import urlsplit

from controller.api.istio import OpenModel
from controller.api.request_authentication import JWTRule
from controller.translate.conditions import Problem
from controller.translate.mesh.problems import INVALID, UNSUPPORTED
from gateway.ir.policy import ClaimHeader, TokenHeader, TokenRule

Each = TypeVar("Each", bound=OpenModel)

INSECURE: Final = "Insecure"
_DISCOVERY: Final = "/.well-known/openid-configuration"
_LONGEST_TIMEOUT: Final = 60_000
_field_name: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms|us|µs|ns))+")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|µs|ns|m|s)")
_MILLISECONDS: Final = {"h": 3_600_000.0, "m": 60_000.0, "s": 1_000.0, "ms": 1.0, "us": 0.001, "µs": 0.001, "ns": 0.000001}
_OURS: Final = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade", "keep-alive", "proxy-connection",
        "proxy-authenticate", "proxy-authorization", "trailer", "http2-settings", "forwarded", "x-real-ip", "x-request-id",
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert",
    }
)  # fmt: skip
"""Fields that the proxy writes itself."""


class Reading:
    """One rule, what is wrong with it, and what deserves attention."""

    __slots__ = ("_place", "_rule", "problems", "warnings")

    def __init__(self, rule: JWTRule, place: str) -> None:
        """`place` is the field in which the rule stands."""
        self._rule, self._place = rule, place
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def rule(self) -> TokenRule:
        """The rule; with problems one that believes no token."""
        rule = self._rule
        self._unknown("", rule)
        keys, url, discovery = self._keys()
        headers = [
            TokenHeader(self._field(each.name, f".fromHeaders[{index}].name"), each.prefix)
            for index, each in self._open("fromHeaders", rule.from_headers)
        ]
        claims = [
            ClaimHeader(self._told(each.header, f".outputClaimToHeaders[{index}].header"), each.claim)
            for index, each in self._open("outputClaimToHeaders", rule.output_claim_to_headers)
        ]
        payload = self._told(rule.output_payload_to_header, ".outputPayloadToHeader") if rule.output_payload_to_header else ""
        places = (tuple(headers), rule.from_params, rule.from_cookies)
        found = TokenRule(
            rule.issuer, rule.audiences, keys, url, discovery, self._timeout(), *places, rule.forward_original_token, payload,
            tuple(claims), rule.space_delimited_claims,
        )  # fmt: skip
        if not self.problems:
            return found
        error = "; ".join(problem.message for problem in self.problems)
        return TokenRule(rule.issuer, headers=places[0], params=places[1], cookies=places[2], error=error)

    def _problem(self, place: str, message: str, reason: str = INVALID) -> None:
        self.problems.append(Problem(reason, f"{self._place}{place}: {message}"))

    def _unknown(self, place: str, value: OpenModel) -> None:
        for name in value.unknown:
            self._problem(f"{place}.{name}", "is not known", UNSUPPORTED)

    def _open(self, field: str, values: Iterable[Each]) -> Iterable[tuple[int, Each]]:
        for index, value in enumerate(values):
            self._unknown(f".{field}[{index}]", value)
            yield index, value

    # keys

    def _keys(self) -> tuple[str, str, bool]:
        """The set itself, or where it is, or where is said where it is."""
        rule = self._rule
        urls = [url for url in (rule.jwks_uri, rule.jwks_uri_alias) if url is not None]
        if len(urls) + bool(rule.jwks) > 1:
            self._problem(".jwks", "stands beside jwksUri; keep one of them")
        elif rule.jwks:
            self._judge_set(rule.jwks)
            return rule.jwks, "", False
        elif urls:
            return "", self._url(urls[0], ".jwksUri"), False
        elif not rule.issuer.startswith(("https://", "http://")):
            self._problem("", "has neither jwks nor jwksUri, and its issuer is no URL that says where the keys are; write one of the three")
        else:
            return "", self._url(rule.issuer.rstrip("/") + _DISCOVERY, ".issuer"), True
        return "", "", False

    def _judge_set(self, text: str) -> None:
        """What keys are worth is for those to say who verify with them."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
            self._problem(".jwks", "is no JWK Set; write a JSON object with a list `keys`")

    def _url(self, url: str, place: str) -> str:
        try:
            parts = urlsplit(url)
            fault = parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.port == 0
        except ValueError:
            fault = True
        if fault or not url.isascii() or not url.isprintable() or " " in url:
            self._problem(place, "is no URL of http or https, with a host and without user and password")
        elif parts.scheme == "http":
            message = f"{self._place}{place}: {url} is not encrypted, so that whoever is on the way can sign tokens; write https"
            self.warnings.append(Problem(INSECURE, message))
        return url

    # other values

    def _field(self, name: str, place: str) -> str:
        if not _field_name(name):
            self._problem(place, f"{name!r} is no name of a header field")
        return name.lower()

    def _told(self, name: str, place: str) -> str:
        if name.lower() in _OURS:
            self._problem(place, f"{name!r} is a field that the proxy writes itself")
        return self._field(name, place)

    def _timeout(self) -> int:
        """In milliseconds; as long as a request would wait at most."""
        written = self._rule.timeout
        total = 0.0
        if _DURATION.fullmatch(written):
            total = sum(float(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(written))
        if not 1 <= total <= _LONGEST_TIMEOUT:
            self._problem(".timeout", f'{written!r} is no duration from "1ms" to "60s"')
            return 0
        return int(total)
