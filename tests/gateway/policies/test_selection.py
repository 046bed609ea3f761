"""Policies of a namespace hold for the workloads that they select; while it is not known which, for none too few."""

from __future__ import annotations

from typing import Literal

import pytest

from gateway.ir.policy import AuthorizationPolicy, AuthorizationRule, SourceMatch
from gateway.ir.value import Source
from gateway.ir.workload import Workload
from gateway.policies.authorization import Authorizations, closed
from gateway.policies.caller import Asked, Caller
from gateway.policies.selection import selected

Labels = tuple[tuple[str, str], ...]
WEB: Labels = (("app", "web"),)
BOTH: Labels = (("app", "web"), ("tier", "front"))
ASKED = Asked(Caller(b"cluster.local/ns/shop/sa/api", b"shop"), b"192.0.2.1", 80)


def policy(name: str, selector: Labels, action: Literal["ALLOW", "DENY", "AUDIT"] = "DENY", namespace: str = "shop") -> AuthorizationPolicy:
    rule = AuthorizationRule("0", (SourceMatch(namespaces=(namespace,)),))
    return AuthorizationPolicy(f"shop/{name}", Source("AuthorizationPolicy", "shop", name), ("shop/@mesh",), action, (rule,), selector)


def workload(*labels: tuple[str, str]) -> Workload:
    return Workload(key="shop/web-0", source=Source("Pod", "shop", "web-0"), addresses=("10.0.0.1",), account="web", labels=labels)


@pytest.mark.parametrize(
    ("selector", "labels", "holds"),
    [
        ((), (), True),
        ((), WEB, True),
        (WEB, WEB, True),
        (WEB, BOTH, True),
        (BOTH, WEB, False),
        (WEB, (("app", "db"),), False),
        (WEB, (), False),
    ],
)
def test_a_policy_holds_where_all_of_its_labels_are(selector: Labels, labels: Labels, holds: bool) -> None:
    """WorkloadSelector.matchLabels (istio.io/api/type/v1beta1/selector.proto): all of them, and whatever others there are."""
    each = policy("p", selector)
    holding, notes = selected([each], workload(*labels))
    assert holding == ([each] if holds else [])
    assert [("does not hold" not in note) for note in notes] == ([holds] if selector else [])


@pytest.mark.parametrize("action", ["DENY", "AUDIT"])
def test_before_the_workload_is_known_what_denies_holds(action: Literal["DENY", "AUDIT"]) -> None:
    """It may be selected."""
    each = policy("p", WEB, action)
    assert selected([each], None)[0] == [each]


def test_before_the_workload_is_known_what_allows_lets_nobody_in() -> None:
    """Another policy may keep out what this one allows, and this one may not hold."""
    other = policy("other", (), "ALLOW", namespace="elsewhere")
    holding, _ = selected([policy("p", WEB, "ALLOW"), other], None)
    assert Authorizations(holding, streams=False).judge(ASKED).reason
    holding, _ = selected([policy("p", WEB, "ALLOW"), other], workload(*WEB))
    assert not Authorizations(holding, streams=False).judge(ASKED).reason


def test_a_policy_that_cannot_be_built_denies_where_it_would_hold() -> None:
    """It keeps its selector: other workloads are none of its business."""
    assert closed(policy("p", WEB, "ALLOW")).selector == WEB
