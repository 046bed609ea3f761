"""SPIFFE IDs: one spelling for one workload, and everything else refused (SPIFFE-ID 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import InvalidSpiffeId, SpiffeId


def test_the_identity_of_an_account() -> None:
    """The form that meshes share: spiffe://<trust domain>/ns/<namespace>/sa/<account>."""
    identity = SpiffeId.of_account("cluster.local", "shop", "web-tidegate")
    assert str(identity) == "spiffe://cluster.local/ns/shop/sa/web-tidegate"
    assert SpiffeId.parse(str(identity)) == identity
    assert identity.account == ("shop", "web-tidegate")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe:///path",
        "SPIFFE://td/a",
        "https://td/a",
        "spiffe://TD/a",
        "spiffe://td:80/a",
        "spiffe://user@td/a",
        "spiffe://td/a?b",
        "spiffe://td/a#b",
        "spiffe://td/a%2fb",
        "spiffe://td/",
        "spiffe://td/a/",
        "spiffe://td//a",
        "spiffe://td/./a",
        "spiffe://td/a/..",
        "spiffe://td/a b",
        "spiffe://td/a\0",
        "spiffe://td/a\n",
        "spiffe://td\n/a",
        "spiffe://td/\u00e4",
        "spiffe://t\u0131d/a",
        "spiffe://" + "t" * 256,
        "spiffe://td/" + "a" * 2_048,
    ],
)
def test_what_is_no_spiffe_id_is_refused(text: str) -> None:
    """SPIFFE-ID 2.1 to 2.3: scheme, trust domain, path, length; no other part of a URI, no encoding, no dot segment."""
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse(text)


@pytest.mark.parametrize("text", ["spiffe://td", "spiffe://td/a/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td/sa/a/ns/b"])
def test_not_every_workload_is_an_account(text: str) -> None:
    """A SPIFFE ID may be valid and still name no ServiceAccount."""
    with pytest.raises(InvalidSpiffeId, match="names no ServiceAccount"):
        _ = SpiffeId.parse(text).account


@given(st.text(max_size=20) | st.text("ab./-_%:A\0", max_size=20).map("spiffe://".__add__))
def test_what_is_read_is_written_back_unchanged(text: str) -> None:
    """Two spellings never mean one workload."""
    try:
        identity = SpiffeId.parse(text)
    except InvalidSpiffeId:
        return
    assert str(identity) == text
