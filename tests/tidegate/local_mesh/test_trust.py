"""Who is believed to be whom in a mesh on one machine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.ir.listener import Certificate, TrustBundle
from gateway.net.spiffe import own_spiffe_id
from mesh.authority import Authority
from mesh.authority_store import StoredAuthority
from mesh.roots import make_root
from tidegate.local_mesh.trust import Account, InMemory, Tokens, gateway_identity

CART = Account("shop", "cart", "cart-1")
STRANGER = "it is of no Pod of this run"


def test_a_token_is_its_pods_until_the_next_or_the_end() -> None:
    """It stands in a file that this user alone can read, and nobody else's token is believed."""
    tokens = Tokens()
    try:
        path = tokens.issue(CART)
        token = path.read_text()
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert asyncio.run(tokens.review(token)) == CART
        assert asyncio.run(tokens.review("")) == STRANGER
        renewed = tokens.issue(CART).read_text()
        assert (asyncio.run(tokens.review(token)), asyncio.run(tokens.review(renewed))) == (STRANGER, CART)
        tokens.revoke(CART)
        assert asyncio.run(tokens.review(renewed)) == STRANGER
        assert not path.exists()
    finally:
        tokens.close()
    assert not path.parent.exists()


def test_the_roots_stand_beside() -> None:
    """They are replaced in one step."""
    tokens = Tokens()
    try:
        tokens.trust("one")
        tokens.trust("two")
        assert tokens.roots.read_text() == "two"
    finally:
        tokens.close()


def test_the_authority_is_made_with_each_start() -> None:
    """Nothing of it is written anywhere; two starts trust different roots."""

    def opened() -> str:
        stored = StoredAuthority(InMemory(), "cluster.local", print)
        asyncio.run(stored.open())
        return stored.current.bundle(datetime.now(UTC))

    assert opened() != opened()


def test_gateways_have_an_identity_of_their_own() -> None:
    """The SPIFFE ID that the proxies of the Gateway would have in a cluster, with the roots of the mesh; renewed at half its life."""
    now = datetime.now(UTC)
    authority = Authority("cluster.local", (make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", now, 1),))
    found = gateway_identity(authority, ("shop", "web-tidegate"), now)
    certificate, roots = found.resources
    assert isinstance(certificate, Certificate)
    assert isinstance(roots, TrustBundle)
    assert str(own_spiffe_id(certificate.chain)) == "spiffe://cluster.local/ns/shop/sa/web-tidegate"
    assert roots.certificates == authority.bundle(now)
    assert 11 * 3600 < found.renew_at - now.timestamp() < 13 * 3600
