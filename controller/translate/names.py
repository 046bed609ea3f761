"""What is deployed for a Gateway is called: names and labels that fit into 63 characters whatever the Gateway and its class are called.

The form is that of GEP-1762. Whoever deploys, translates or issues identities asks here, so that all mean the same object.
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 63
"""Characters of a DNS label (RFC 1035) and of the value of a label."""

GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS_NAME_LABEL = "gateway.networking.k8s.io/gateway-class-name"

_FOREIGN = re.compile(r"[^a-z0-9-]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def deployed_name(gateway: str, class_name: str) -> str:
    """The Deployment, the ServiceAccount and the rest for a Gateway: `<gateway>-<class>`, a DNS label (RFC 1035).

    Dots become dashes, and a first digit gets a letter in front. What is too long ends with 10 digits of its hash.
    """
    return _shortened(_as_label(f"{gateway}-{class_name}"), f"{gateway}-{class_name}")


def service_name(gateway: str, class_name: str, address: str = "") -> str:
    """The Service for a Gateway, or the one for a requested address: the deployed name, and 8 digits of the address's hash.

    Of a name that has no room for them the hash covers Gateway, class and address.
    """
    if not address:
        return deployed_name(gateway, class_name)
    name = f"{_as_label(f'{gateway}-{class_name}')}-{_hash(address, 8)}"
    return _shortened(name, f"{gateway}-{class_name}-{address}")


def label_value(text: str) -> str:
    """A name as the value of a label: itself where it is a valid one, else its beginning and 10 digits of its hash."""
    if len(text) <= LONGEST and _LABEL_VALUE.fullmatch(text):
        return text
    return _closed(re.sub(r"[^A-Za-z0-9_.-]", "-", text), text)


def own_labels(gateway: str, class_name: str) -> dict[str, str]:
    """The labels of everything that is deployed for a Gateway, its Pods included."""
    return {
        GATEWAY_NAME_LABEL: label_value(gateway),
        GATEWAY_CLASS_NAME_LABEL: label_value(class_name),
        "app.kubernetes.io/managed-by": "tidegate",
        "app.kubernetes.io/name": "tidegate-gateway",
    }


def _as_label(text: str) -> str:
    plain = _FOREIGN.sub("-", text.lower()).strip("-")
    return plain if plain[:1].isalpha() else f"gw-{plain}"


def _shortened(name: str, whole: str) -> str:
    return name if len(name) <= LONGEST else _closed(name, whole)


def _closed(text: str, whole: str) -> str:
    """The beginning of a text, closed with the hash of the whole."""
    return f"{text[: LONGEST - 11].strip('-_.')}-{_hash(whole, 10)}".removeprefix("-")


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
