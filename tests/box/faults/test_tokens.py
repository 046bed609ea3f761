"""What a proxy may read is decided by the ServiceAccount whose token it has: real tokens of a real API server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box.cluster import Box, condition
from tests.box.faults.standing import SYSTEM, Shop

OTHER = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other}
spec:
  gatewayClassName: tidegate
  infrastructure: {parametersRef: {group: tidegate.dev, kind: GatewayParameters, name: one}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: tidegate.dev/v1alpha1
kind: GatewayParameters
metadata: {name: one}
spec: {replicas: 0}
"""
OWN, ANOTHER = "shop/web", "shop/other"
REMEMBERED = 15.0
"""Seconds after which the API server has forgotten that a token was good: ten (its TokenSuccessCacheTTL), and what asking takes."""


@pytest.fixture
def neighbour(shop: Shop) -> Iterator[Shop]:
    """The shop, with a second Gateway in its namespace that has a ServiceAccount of its own."""
    shop.box.apply(OTHER, shop.namespace)
    shop.box.wait("serviceaccount", "other-tidegate", lambda it: True, shop.namespace)
    yield shop
    shop.box.delete("gateway", "other", shop.namespace)


def asked(box: Box, scope: str, token: str, folder: Path) -> dict[str, str]:
    """What the controller answers to somebody with a token who asks for the configuration of a Gateway (knocking.py)."""
    service = box.get("service", "tidegate-controller", SYSTEM)["spec"]["clusterIP"]
    authorities = box.get("configmap", "web-tidegate-ca", "shop")["data"]["ca.crt"]
    (folder / "token").write_text(token, encoding="ascii")
    (folder / "ca.crt").write_text(authorities, encoding="ascii")
    script = str(Path(__file__).with_name("knocking.py"))
    found: dict[str, str] = json.loads(box.run(sys.executable, script, service, str(folder), scope).stdout)
    return found


def token(box: Box, account: str, *options: str, namespace: str = "shop") -> str:
    return box.kubectl("create", "token", account, "--namespace", namespace, *options).strip()


def test_a_token_opens_its_own_gateway_and_no_other(neighbour: Shop, tmp_path: Path) -> None:
    """The token of a Gateway's ServiceAccount gets the configuration of that Gateway; asked for another's, also of the same namespace,
    the controller refuses and says why."""
    given = token(neighbour.box, "web-tidegate", "--audience", "tidegate")
    assert "batch" in asked(neighbour.box, OWN, given, tmp_path)
    refused = asked(neighbour.box, ANOTHER, given, tmp_path)
    assert "batch" not in refused
    assert f"may read the configuration of Gateway {OWN}" in refused["refused"]
    back = token(neighbour.box, "other-tidegate", "--audience", "tidegate")
    assert "batch" not in asked(neighbour.box, OWN, back, tmp_path)


@pytest.mark.parametrize("audience", [(), ("--audience", "https://kubernetes.default.svc"), ("--audience", "tidegat")])
def test_a_token_for_others_is_no_identity(shop: Shop, audience: tuple[str, ...], tmp_path: Path) -> None:
    """A token that was made for another audience, that of the API server among them, gets no identity."""
    refused = asked(shop.box, OWN, token(shop.box, "web-tidegate", *audience), tmp_path)
    assert "batch" not in refused
    assert "refuses to identify" in refused["refused"]


def test_an_account_of_no_gateway_reads_nothing(shop: Shop, tmp_path: Path) -> None:
    """A ServiceAccount that runs no data plane, whoever may make tokens of it, reads nothing."""
    refused = asked(shop.box, OWN, token(shop.box, "default", "--audience", "tidegate"), tmp_path)
    assert "batch" not in refused
    assert "that account is no Gateway's" in refused["refused"]


def test_what_has_ended_or_was_never_signed_is_no_identity(shop: Shop, tmp_path: Path) -> None:
    """A token that was bound to a Pod that is gone, one with a byte changed, and none at all are refused; the first as soon as the API
    server does not remember any more that it was good."""
    pod = shop.proxies()[0]["metadata"]
    whole = token(shop.box, "web-tidegate", "--audience", "tidegate")
    head, body, signature = whole.split(".")
    changed = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod["name"], "--bound-object-uid", pod["uid"])
    ending = token(shop.box, "web-tidegate", "--audience", "tidegate", *bound)
    assert "batch" in asked(shop.box, OWN, ending, tmp_path)
    shop.box.delete("pod", pod["name"], shop.namespace)
    remembered = time.monotonic() + REMEMBERED
    for none in (changed, "x"):
        refused = asked(shop.box, OWN, none, tmp_path)
        assert refused.get("refused"), (none, refused)
    while "batch" in (found := asked(shop.box, OWN, ending, tmp_path)):
        assert time.monotonic() < remembered, "a token of a Pod that is gone is still good"
    assert found["refused"]
    assert condition(shop.box.get("gateway", "web", shop.namespace), "Programmed") == "True"
