"""SPIFFE IDs: names of workloads as URIs, parsed strictly, so that two spellings never mean one workload (pure).

SPIFFE-ID 2: `spiffe://<trust domain>/<path>`, nothing else of a URI: no port, user, query, fragment or percent-encoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 2_048
"""Of a whole SPIFFE ID (SPIFFE-ID 2.3)."""
MOST_TRUST_DOMAIN_BYTES: Final = 255

_SCHEME: Final = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class InvalidSpiffeId(ValueError):
    """Text that is no SPIFFE ID, or none of a workload; the message says which part is wrong."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A trust domain and path segments. `str` gives the URI, which `parse` reads back to an equal value. Raises InvalidSpiffeId."""

    trust_domain: str
    segments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """SPIFFE-ID 2.1 and 2.2."""
        if not _TRUST_DOMAIN.fullmatch(self.trust_domain) or len(self.trust_domain) > MOST_TRUST_DOMAIN_BYTES:
            raise InvalidSpiffeId(
                f"trust domain {self.trust_domain[:80]!r}: 1 to {MOST_TRUST_DOMAIN_BYTES} lower-case letters, digits, dots, dashes and "
                "underscores are allowed"
            )
        for segment in self.segments:
            if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
                raise InvalidSpiffeId(
                    f"path segment {segment[:80]!r}: letters, digits, dots, dashes and underscores are allowed, and neither '.' nor '..'"
                )
        if len(str(self)) > MOST_BYTES:
            raise InvalidSpiffeId(f"longer than {MOST_BYTES} bytes")

    @classmethod
    def parse(cls, uri: str) -> SpiffeId:
        """Raises InvalidSpiffeId for anything but the one canonical form."""
        if len(uri) > MOST_BYTES:
            raise InvalidSpiffeId(f"longer than {MOST_BYTES} bytes")
        if not uri.startswith(_SCHEME):
            raise InvalidSpiffeId(f"{uri[:80]!r} does not begin with {_SCHEME}")
        trust_domain, *segments = uri.removeprefix(_SCHEME).split("/")
        return cls(trust_domain, tuple(segments))

    @classmethod
    def of_account(cls, trust_domain: str, namespace: str, account: str) -> SpiffeId:
        """Of the Pods that run under a Kubernetes ServiceAccount."""
        return cls(trust_domain, ("ns", namespace, "sa", account))

    @property
    def account(self) -> tuple[str, str]:
        """(namespace, ServiceAccount). Raises InvalidSpiffeId where the path is not /ns/<namespace>/sa/<account>."""
        match self.segments:
            case ("ns", namespace, "sa", account):
                return namespace, account
            case _:
                raise InvalidSpiffeId(f"{self} names no ServiceAccount: its path is not /ns/<namespace>/sa/<account>")

    def __str__(self) -> str:
        return _SCHEME + "/".join((self.trust_domain, *self.segments))
