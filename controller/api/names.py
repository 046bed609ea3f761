"""The string types that the fields of the Gateway API share (apis/v1/shared_types.go): patterns and lengths."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from controller.api.base import refusal, text

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
QUALIFIED_NAME = rf"^({_SUBDOMAIN}/)?([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]$"

ObjectName = Annotated[str, text(shortest=1, longest=253)]
"""Name of a referenced object."""

SubdomainName = Annotated[str, text(pattern=rf"^{_SUBDOMAIN}$", shortest=1, longest=253)]
"""Name of an object of most kinds: a DNS subdomain (RFC 1123)."""

NamespaceName = Annotated[str, text(pattern=rf"^{_LABEL}$", shortest=1, longest=63)]
"""Name of a namespace: a DNS label (RFC 1123)."""

SectionName = SubdomainName
"""Name of a listener, a rule or a Service port."""

Group = Annotated[str, text(pattern=rf"^$|^{_SUBDOMAIN}$", longest=253)]
"""API group, "" for the core group."""

Kind = Annotated[str, text(pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", shortest=1, longest=63)]
"""Kind of an object."""

PortNumber = Annotated[int, Strict(), Field(ge=1, le=65535)]
"""A port, 1 to 65535."""

HeaderName = Annotated[str, text(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", shortest=1, longest=256)]
"""Name of a header field (RFC 9110 token) or of a query parameter."""

HeaderValue = Annotated[str, text(pattern=r"^[!-~]+([\t ]?[!-~]+)*$", shortest=1, longest=4096)]
"""Value of a header field: printable US-ASCII, separated by single tabs or spaces."""

AnnotationKey = Annotated[str, text(pattern=QUALIFIED_NAME, shortest=1, longest=253)]
AnnotationValue = Annotated[str, text(longest=4096)]
LabelKey = AnnotationKey
LabelValue = Annotated[str, text(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", longest=63)]

AbsoluteUri = Annotated[str, text(pattern=r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?", shortest=1, longest=253)]
"""A URI with its scheme (RFC 3986)."""

ControllerName = Annotated[str, text(pattern=rf"^{_SUBDOMAIN}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$", shortest=1, longest=253)]
"""A domain-prefixed path such as tidegate.dev/gateway-controller."""


def _not_an_address(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    raise refusal("", f"{host!r} is an IP address", "Write a host name: the Gateway API allows no IP address here.")


PreciseHostname = Annotated[str, text(pattern=rf"^{_SUBDOMAIN}$", shortest=1, longest=253), AfterValidator(_not_an_address)]
"""A host name in lower case without wildcard; no IP address."""

Hostname = Annotated[str, text(pattern=rf"^(\*\.)?{_SUBDOMAIN}$", shortest=1, longest=253), AfterValidator(_not_an_address)]
"""A host name in lower case, or `*.` and a host name; no IP address."""
