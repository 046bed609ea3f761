"""Policies of a namespace hold for the workloads that they select; while it is not known which, for none too few."""

from __future__ import annotations

from typing import Literal

import pytest

from gateway.ir.policy import AuthorizationPolicy, AuthorizationRule, SourceMatch
from gateway.ir.value import Source
from gateway.ir.workload import MutualTls, PeerAuthentication, Workload
from gateway.policies.authorization import Authorizations, closed
from gateway.policies.caller import Asked, Caller
from gateway.policies.selection import demands_in_words, selected, selection_in_words

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
    assert selected([each], workload(*labels)) == ([each] if holds else [])
    notes = selection_in_words([each], workload(*labels))
    assert [("does not hold" not in note) for note in notes] == ([holds] if selector else [])


@pytest.mark.parametrize("action", ["DENY", "AUDIT"])
def test_before_the_workload_is_known_what_denies_holds(action: Literal["DENY", "AUDIT"]) -> None:
    """It may be selected."""
    each = policy("p", WEB, action)
    assert selected([each], None) == [each]


def test_before_the_workload_is_known_what_allows_lets_nobody_in() -> None:
    """Another policy may keep out what this one allows, and this one may not hold."""
    other = policy("other", (), "ALLOW", namespace="elsewhere")
    holding = selected([policy("p", WEB, "ALLOW"), other], None)
    assert Authorizations(holding, streams=False).judge(ASKED).reason
    holding = selected([policy("p", WEB, "ALLOW"), other], workload(*WEB))
    assert not Authorizations(holding, streams=False).judge(ASKED).reason


def test_a_policy_that_cannot_be_built_denies_where_it_would_hold() -> None:
    """It keeps its selector: other workloads are none of its business."""
    assert closed(policy("p", WEB, "ALLOW")).selector == WEB


def demand(name: str, mode: MutualTls | None = "Strict", selector: Labels = ()) -> PeerAuthentication:
    return PeerAuthentication(name, mode, selector)


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ([demand("shop/a"), demand("root/z")], ["shop/a holds: it is for all workloads of namespace shop", "root/z does not hold"]),
        (
            [demand("shop/a", None), demand("root/z")],
            ["shop/a holds nothing: its mode is UNSET", "root/z holds: it is for all workloads of the mesh"],
        ),
        ([demand("shop/a"), demand("shop/b")], ["shop/a holds", "shop/b does not hold: PeerAuthentication shop/a, which is older"]),
        (
            [demand("shop/w", "Disable", WEB), demand("shop/v", "Strict", WEB), demand("shop/a")],
            ["shop/w holds: it is for workloads with app=web", "shop/v does not hold: PeerAuthentication shop/w", "shop/a does not"],
        ),
        ([demand("shop/w", None, WEB), demand("shop/a")], ["shop/w holds", "shop/a holds"]),
        (
            [demand("shop/d", "Strict", BOTH), demand("shop/a")],
            ["shop/d does not hold: it is for workloads with app=web, tier=front", "shop/a holds"],
        ),
    ],
)
def test_of_what_callers_must_prove_one_policy_is_told_to_hold(policies: list[PeerAuthentication], told: list[str]) -> None:
    """That which selects the workload before that of its namespace, and this before that of the mesh; UNSET leaves it to the next."""
    found = list(demands_in_words(policies, "shop", workload(*WEB)))
    assert len(found) == len(told)
    assert all(words.startswith(f"PeerAuthentication {start}") for words, start in zip(found, told, strict=True)), found
    assert "are not known yet" in next(demands_in_words([demand("shop/w", "Strict", WEB)], "shop", None))
