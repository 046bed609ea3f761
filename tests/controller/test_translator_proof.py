"""Proof by random histories that translation is incremental by construction (design.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.metadata import Object
from controller.store import Key
from controller.translate.infrastructure import Infrastructure
from controller.translate.options import IN_CLUSTER, Options
from controller.translate.statuses import Status
from controller.translator import Translation, Translator
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity
from tests.controller.translate.histories import Step, histories

CLUSTER = replace(IN_CLUSTER, class_names=("tidegate",))
MESH = replace(CLUSTER, mesh=True, root_namespace="two")
STANDALONE = (Options(), Options(port_offset=8000), Options(bind_address="0.0.0.0", admin=("127.0.0.1", 81)))
OPTIONS = st.sampled_from((*STANDALONE, CLUSTER, MESH, MESH, replace(MESH, outbound="RegistryOnly")))


class Follower:
    """Someone who sees only the differences."""

    def __init__(self) -> None:
        self.resources: dict[Identity, AnyResource] = {}
        self.statuses: dict[Key, Status] = {}
        self.infrastructure: dict[Key, Infrastructure] = {}

    def take(self, translation: Translation) -> None:
        """Each difference must be one: nothing is set twice alike, nothing removed that was not there."""
        assert translation.failures == ()
        for resource in translation.set:
            assert self.resources.get(resource.identity) != resource
            self.resources[resource.identity] = resource
        for identity in translation.remove:
            del self.resources[identity]
        for status in translation.statuses:
            assert self.statuses.get(status.object) != status
            self.statuses[status.object] = status
        for key in translation.gone:
            del self.statuses[key]
        for wanted in translation.infrastructure:
            assert self.infrastructure.get(wanted.gateway) != wanted
            self.infrastructure[wanted.gateway] = wanted
        for key in translation.unwanted:
            del self.infrastructure[key]

    @property
    def found(self) -> tuple[Mapping[Any, Any], ...]:
        """All that the differences add up to."""
        return self.resources, self.statuses, self.infrastructure


def state(translator: Translator) -> tuple[Mapping[Any, Any], ...]:
    """All that a translator says now."""
    wanted = dict(translator.infrastructure())
    return dict(translator.resources()), dict(translator.statuses()), wanted, dict.fromkeys(translator.ignored())


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), OPTIONS)
def test_incremental_equals_from_nothing(history: list[Step], options: Options) -> None:
    """After any history the translation equals one from nothing, the differences add up to it, and without objects nothing is left."""
    translator, follower = Translator(options), Follower()
    there: dict[Key, Object] = {}
    for puts, removes in history:
        follower.take(translator.apply(puts, removes))
        there = {key: obj for key, obj in there.items() if key not in removes} | {obj.key: obj for obj in puts}
        assert follower.found == state(translator)[:3]
    anew = Translator(options)
    assert anew.apply(there.values()).failures == ()
    assert state(translator) == state(anew)
    follower.take(translator.apply(removes=tuple(there)))
    assert follower.found == ({}, {}, {})
    assert set(translator.sizes().values()) == {0}
