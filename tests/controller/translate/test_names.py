"""Names and labels of what is deployed for a Gateway."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.translate.names import deployed_name, label_value, own_labels, service_name

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
SUBDOMAINS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?){0,5}", fullmatch=True)
ADDRESSES = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("gateway", "class_name", "expected"),
    [
        ("web", "tidegate", "web-tidegate"),
        ("shop.example", "edge.v1", "shop-example-edge-v1"),
        ("1", "tidegate", "gw-1-tidegate"),
        ("a" * 253, "tidegate", "a" * 52 + "-915ffb36f6"),
    ],
)
def test_a_deployed_name_is_gateway_and_class(gateway: str, class_name: str, expected: str) -> None:
    """`<gateway>-<class>` (GEP-1762) as a DNS label, cut and hashed where it is longer than 63 characters."""
    assert deployed_name(gateway, class_name) == expected


def test_a_service_of_a_requested_address_has_a_name_of_its_own() -> None:
    """Each address has its Service; without one it is called like everything else."""
    assert service_name("web", "tidegate") == "web-tidegate"
    assert service_name("web", "tidegate", "192.0.2.1") == "web-tidegate-37fcff24"
    assert service_name("web", "tidegate", "192.0.2.2") != service_name("web", "tidegate", "192.0.2.1")


@given(SUBDOMAINS, SUBDOMAINS, ADDRESSES)
def test_names_fit_whatever_gateways_are_called(gateway: str, class_name: str, address: str) -> None:
    """Names are DNS labels (RFC 1035) and labels have valid values, of at most 63 characters each."""
    for name in (deployed_name(gateway, class_name), service_name(gateway, class_name, address)):
        assert len(name) <= 63
        assert DNS_LABEL.fullmatch(name)
    for value in own_labels(gateway, class_name).values():
        assert len(value) <= 63
        assert LABEL_VALUE.fullmatch(value)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_has_a_label_value(text: str) -> None:
    """A label value is made of whatever text, and a valid one stays as it is."""
    value = label_value(text)
    assert len(value) <= 63
    assert LABEL_VALUE.fullmatch(value)
    assert label_value(value) == value


def test_long_names_of_one_beginning_stay_apart() -> None:
    """What is cut off is in the hash, that of the address included."""
    names = [f"{'a' * 80}{last}" for last in "xy"]
    assert len({deployed_name(name, "tidegate") for name in names}) == 2
    assert len({service_name(name, "tidegate", address) for name in names for address in ("192.0.2.1", "192.0.2.2")}) == 4
    assert len({label_value(name) for name in names}) == 2
