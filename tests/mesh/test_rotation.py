"""When certificates are renewed and how long the refused wait, as numbers."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mesh.authority import Authority
from mesh.rotation import LONGEST_WAIT, renew_at, wait_after
from mesh.server_certificate import ServerCertificate
from tests.controller.streaming import TRUST_DOMAIN, new_root

CHANCE = st.floats(0, 1, exclude_max=True)


@given(CHANCE)
def test_half_life_give_or_take_a_hundredth(chance: float) -> None:
    """12 h +- 1 % of the 24 h, so that proxies that came together do not come back together."""
    assert 0.49 * 86_400 <= renew_at(0, 86_400, chance) <= 0.51 * 86_400


@given(st.integers(1, 500), CHANCE)
def test_waits_grow_to_half_a_minute(failures: int, chance: float) -> None:
    """At least half, at most all of a time that doubles with each failure."""
    whole = min(LONGEST_WAIT, 0.5 * 2 ** (failures - 1))
    assert whole / 2 <= wait_after(failures, chance) <= whole


def test_a_server_s_certificate_of_a_short_life_is_renewed_at_half_of_it() -> None:
    """Of that which is left when it comes: it bears a begin of a minute before, three lives ago."""
    now = datetime.now(UTC)
    authority = Authority(TRUST_DOMAIN, [new_root(now=now - timedelta(days=30))], timedelta(seconds=20))
    certificate = ServerCertificate(lambda: authority, ("localhost",))
    first = certificate.context_at(now)
    assert certificate.context_at(now + timedelta(seconds=9)) is first
    assert certificate.context_at(now + timedelta(seconds=11)) is not first


def test_a_server_renews_at_half_life_and_when_other_roots_are_trusted() -> None:
    """A new context for new connections; those that are there keep theirs."""
    now = datetime.now(UTC)
    roots = [new_root(now=now - timedelta(days=30))]
    certificate = ServerCertificate(lambda: Authority(TRUST_DOMAIN, roots), ("localhost",))
    first = certificate.context_at(now)
    assert first.verify_mode == ssl.CERT_OPTIONAL
    assert first.minimum_version == ssl.TLSVersion.TLSv1_3
    assert first.verify_flags & ssl.VERIFY_X509_STRICT
    assert certificate.context_at(now + timedelta(hours=11)) is first
    second = certificate.context_at(now + timedelta(hours=13))
    assert second is not first
    roots.append(new_root(now=now))
    third = certificate.context_at(now + timedelta(hours=13))
    assert third is not second
    assert len(third.get_ca_certs()) == 2
