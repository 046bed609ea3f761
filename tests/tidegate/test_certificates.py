"""Certificates that expire are told of in time, once, and counted."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate, TrustBundle
from gateway.ir.value import Identity, Source
from tests.certificates import self_signed
from tidegate.certificates import MOST_SERIES, SOON, Expiries

DAY = 86_400.0


def certificate(key: str, days: float) -> Certificate:
    """One that expires so many days from now."""
    validity = (datetime.timedelta(days=-60), datetime.timedelta(days=days))
    return self_signed("example.com", validity=validity).resource(key)


def expiries(*resources: AnyResource) -> tuple[Expiries, dict[Identity, AnyResource], list[str]]:
    held: dict[Identity, AnyResource] = {resource.identity: resource for resource in resources}
    told: list[str] = []
    shown: Mapping[Identity, AnyResource] = held
    return Expiries(lambda: shown, told.append), held, told


def test_a_certificate_is_told_of_before_its_end_and_after_it() -> None:
    """Once each, with the Secret to renew; a renewed one is another certificate."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    watched, held, told = expiries(certificate("default/web", 30), TrustBundle("default/ca", Source("ConfigMap", "default", "ca"), ""))
    for later in (0.0, 30 * DAY - SOON - 60):
        watched.tell_due(now + later)
    assert told == []
    for later in (30 * DAY - SOON + 60, 25 * DAY, 31 * DAY, 32 * DAY):
        watched.tell_due(now + later)
    assert [line.partition(":")[0] for line in told] == [
        "certificate default/web expires soon",
        "certificate default/web expired, and clients refuse it",
    ]
    assert told[0].endswith("renew Secret default/web")
    renewed = certificate("default/web", 33)
    held[renewed.identity] = renewed
    watched.tell_due(now + 32 * DAY)
    assert len(told) == 3


def test_ends_are_a_metric() -> None:
    """One series a certificate, of many those that expire first; what is no certificate has none."""
    many = [certificate(f"default/c{number:03}", 300 - number) for number in range(MOST_SERIES + 5)]
    broken = Certificate("default/broken", Source("Secret", "default", "broken"), "no PEM", many[0].private_key, "x")
    watched, _, _ = expiries(*many, broken)
    samples = watched.samples()
    assert {sample.name for sample in samples} == {"tidegate_certificate_expiry_timestamp_seconds"}
    named = [dict(sample.labels)["certificate"] for sample in samples]
    assert named == [f"default/c{number:03}" for number in reversed(range(5, MOST_SERIES + 5))]
    assert [sample.value for sample in samples] == sorted(sample.value for sample in samples)
