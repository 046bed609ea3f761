"""The keys of session tokens: one for each Gateway, the same by every replica of the controller."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Gateway, TrustBundle
from gateway.ir.value import Source
from mesh.authority import Authority
from mesh.roots import make_root
from tidegate.control_plane.session_keys import SessionKeys

SOURCE = Source("Gateway", "default", "web")
BUNDLE = TrustBundle("default/ca", SOURCE, "PEM")


def authority() -> Authority:
    return Authority("cluster.local", [make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", datetime.now(UTC), 7)])


def keys_of(keys: SessionKeys, *gateways: str) -> list[str]:
    given = keys.given(Gateway(name, SOURCE) for name in gateways)
    return [found.session_key.pem for found in given if isinstance(found, Gateway) and found.session_key is not None]


def test_every_replica_gives_a_gateway_the_same_key_and_no_two_gateways_one() -> None:
    """The key follows from the authority, which all replicas share, and the Gateway's name: 256 bits, in hex."""
    shared = authority()
    one, other = SessionKeys(), SessionKeys()
    for keys in (one, other):
        assert keys.derive_by(shared.derived)
    found = keys_of(one, "default/web", "default/api", "team/web")
    assert found == keys_of(other, "default/web", "default/api", "team/web")
    assert len(set(found)) == 3
    assert all(len(bytes.fromhex(key)) == 32 for key in found)


def test_only_gateways_get_one_and_everything_else_passes() -> None:
    """Order and the rest of a Gateway are as they were."""
    keys = SessionKeys()
    keys.derive_by(authority().derived)
    resources: list[AnyResource] = [BUNDLE, Gateway("default/web", SOURCE, "default/client")]
    bundle, gateway = keys.given(resources)
    assert bundle is BUNDLE
    assert isinstance(gateway, Gateway)
    assert gateway.client_certificate == "default/client"
    assert gateway.session_key is not None


def test_only_another_authority_makes_other_keys() -> None:
    """What is derived anew by the same authority is no reason to send anything."""
    keys, shared = SessionKeys(), authority()
    assert keys.derive_by(shared.derived)
    assert not keys.derive_by(shared.derived)
    before = keys_of(keys, "default/web")
    assert keys.derive_by(authority().derived)
    assert keys_of(keys, "default/web") != before
