"""What the controller tells: metrics that parse, with their labels, and a status page that `tidegate status` renders."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from controller.change_times import ChangeTimes
from controller.publish import Publisher
from controller.sources.kube.changes import Refusal
from controller.sources.kube.reflector import Figures
from controller.sources.kube.source import Reading
from controller.store import Key
from controller.translate.conditions import met
from controller.translate.statuses import GatewayStatus, Ignored, ListenerStatus, Status
from gateway.admin import Page, Request, Serve
from gateway.ir.listener import Gateway
from gateway.ir.value import Source
from tests.running import run
from tidegate.control_plane import told
from tidegate.control_plane.outside import Outside
from tidegate.status import show

WEB: Key = ("Gateway", "shop", "web")
REFUSED = Refusal(("HTTPRoute", "shop", "bad"), 3, "spec.rules[0].weigth: the field is not known", {})


class Writer:
    writes, conflicts, pending = 5, 1, 2


class Plane:
    """See told.Subject."""

    writer: Any = Writer()

    def __init__(self, *, leading: bool = True, leader: str = "one", ready: str = "") -> None:
        self.leading, self.leader, self.ready = leading, leader, ready
        self.publisher = Publisher(lambda problem: None)
        self.publisher.publish((Gateway("shop/web", Source("Gateway", "shop", "web")),), ())
        self.times = ChangeTimes()
        self.times.published("shop/web", 1, came=0.0)
        self.times.applied("shop/web", 1, now=0.02)

    def readings(self) -> Iterable[Reading]:
        return (Reading("HTTPRoute", "", 1.5, 4, 1, Figures(0.0, lists=2, events=9)), Reading("Service", "shop", 0, 2, 0, Figures(0.0)))

    def publishers(self) -> Mapping[str, Publisher]:
        return {"shop/web": self.publisher}

    def statuses(self) -> Mapping[Key, Status]:
        conditions = (met("Accepted", 1), met("ResolvedRefs", 1), met("Programmed", 1))
        listener = ListenerStatus("http", conditions, key="shop/web/http")
        return {WEB: GatewayStatus(WEB, 1, conditions, (listener,), ())}

    def refusals(self) -> Iterable[Refusal]:
        return (REFUSED,)

    def ignored(self) -> Iterable[Ignored]:
        return ((("Gateway", "shop", "foreign"), "its class is another controller's"),)

    def complaints(self) -> Iterable[tuple[Key, str]]:
        return ((("ConfigMap", "shop", "tidegate-mesh-ca"), "it is kept by another installation"),)

    def outside(self) -> Iterable[Outside]:
        late = "it is older than label tidegate.dev/inject of its namespace, which was last written at 2026-11-30T18:00:00Z"
        restart = "restart it: kubectl -n shop rollout restart deployment/cart"
        yield from (Outside(("Pod", "shop", name), late, restart) for name in ("cart-1", "cart-2", "cart-3"))
        yield Outside(("Pod", "shop", "debug"), "its label says so")

    def resources(self) -> Iterable[tuple[str, str]]:
        return (("Gateway", "shop/web"), ("HttpRule", "a"), ("HttpRule", "b"))


class Meshed(Plane):
    def publishers(self) -> Mapping[str, Publisher]:
        return {**super().publishers(), "shop/@mesh": self.publisher}


def get(pages: Mapping[str, Serve], path: str) -> Page:
    async def serve() -> Page:
        return await pages[path](Request((), ()))

    return asyncio.run(serve())


def samples(plane: Plane) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and values by name, as Prometheus reads them."""
    page = get(told.metrics(plane), "/metrics")
    assert page.content_type.startswith("text/plain; version=0.0.4")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_metrics_parse_and_say_what_they_are_about() -> None:
    """Names and labels of docs/observing.md; of a kind that is watched whole the namespace is empty."""
    found = samples(Plane())
    assert found["tidegate_controller_ready"] == [({}, 1.0)]
    assert found["tidegate_controller_leading"] == [({}, 1.0)]
    everywhere, shop = {"kind": "HTTPRoute", "namespace": ""}, {"kind": "Service", "namespace": "shop"}
    assert found["tidegate_controller_objects"] == [(everywhere, 4.0), (shop, 2.0)]
    assert found["tidegate_controller_objects_refused"] == [(everywhere, 1.0), (shop, 0.0)]
    assert found["tidegate_controller_watch_silent_seconds"][0] == (everywhere, 1.5)
    assert found["tidegate_controller_watch_events_total"][0] == (everywhere, 9.0)
    assert found["tidegate_controller_lists_total"][0] == (everywhere, 2.0)
    assert found["tidegate_controller_proxies"] == [({"gateway": "shop/web"}, 0.0)]
    assert found["tidegate_controller_statuses_written_total"] == [({}, 5.0)]
    assert found["tidegate_controller_status_conflicts_total"] == [({}, 1.0)]
    assert found["tidegate_controller_statuses_pending"] == [({}, 2.0)]
    assert ({"le": "0.025"}, 1.0) in found["tidegate_controller_change_seconds_bucket"]
    assert ({"le": "0.01"}, 0.0) in found["tidegate_controller_change_seconds_bucket"]
    assert found["tidegate_controller_resources"] == [({"kind": "Gateway"}, 1.0), ({"kind": "HttpRule"}, 2.0)]
    assert samples(Plane(leading=False, ready="reading"))["tidegate_controller_ready"] == [({}, 0.0)]


def test_the_manual_names_every_metric_and_no_other() -> None:
    """docs/observing.md."""
    manual = (Path(__file__).parents[3] / "docs/observing.md").read_text(encoding="utf-8")
    part = manual.partition("### Of the controller")[2].partition("\n## ")[0]
    named = {word for word in part.split("`") if word.startswith("tidegate_")}
    parts = re.compile("_(bucket|sum|count)$")
    assert named == {parts.sub("", name) for name in samples(Plane()) if name.startswith("tidegate_")}


def test_health_is_live_always_and_ready_once_configuration_is_served() -> None:
    """503 with the reason before."""
    assert get(told.health(Plane()), "/healthz/ready").status == 200
    waiting = told.health(Plane(ready="the objects of the cluster are being read"))
    assert get(waiting, "/healthz/live").status == 200
    page = get(waiting, "/healthz/ready")
    assert (page.status, page.body) == (503, b"not ready: the objects of the cluster are being read\n")


def shown(plane: Plane) -> list[str]:
    output = io.StringIO()
    show(json.loads(get(told.status(plane), "/status").body), output)
    return output.getvalue().splitlines()


def test_status_shows_gateways_with_their_conditions_and_where_they_are_live() -> None:
    """Design 2: accepted, resolved, programmed, live at N of M proxies, with the revision; then what is outside of the mesh, that of one
    reason together, what is ignored and what cannot be read or kept."""
    assert shown(Plane()) == [
        "ok      this replica leads: what stands here is written to the objects",
        "ok      Gateway shop/web",
        "        Accepted True, ResolvedRefs True, Programmed True",
        "        listener http: Accepted True, ResolvedRefs True, Programmed True; 0 routes",
        "        revision 1: live at 0 of 0 proxies",
        "note    Pod shop/cart-1 and 2 more: not in the mesh",
        "        it is older than label tidegate.dev/inject of its namespace, which was last written at 2026-11-30T18:00:00Z",
        "        restart it: kubectl -n shop rollout restart deployment/cart",
        "note    Pod shop/debug: not in the mesh",
        "        its label says so",
        "ignored Gateway shop/foreign",
        "        its class is another controller's",
        "problem ConfigMap shop/tidegate-mesh-ca: it is kept by another installation",
        "problem HTTPRoute shop/bad: spec.rules[0].weigth: the field is not known",
    ]


def test_a_replica_that_does_not_lead_says_so_and_who_does() -> None:
    """Only the leader knows what is written."""
    first, second, *_ = shown(Plane(leading=False))
    assert first == "note    this replica does not lead, one does: what stands here is what it would write"
    assert second == "        proxies are counted where they are connected: ask the one that leads"
    assert "nor any other for now" in shown(Plane(leading=False, leader=""))[0]
    assert shown(Plane(leading=False, ready="the objects are being read"))[0].startswith("fault   no configuration is served yet")


def test_proxies_that_are_behind_silent_or_reject_something_are_named() -> None:
    """Design 4: silence beyond 5 s shows in `tidegate status`."""
    proxies = [{"name": "a", "revision": 3, "silent": False, "certificate_ends": ""}]
    proxies.append({"name": "b", "revision": 2, "silent": True, "certificate_ends": ""})
    rejected = [{"kind": "Listener", "key": "shop/web/http", "reasons": ["the port is in use"]}]
    page = json.loads(get(told.status(Plane()), "/status").body)
    page["gateways"] = [{"name": "shop/web", "revision": 3, "proxies": proxies, "rejected": rejected}]
    output = io.StringIO()
    show(page, output)
    lines = output.getvalue().splitlines()
    at = lines.index("        revision 3: live at 1 of 2 proxies")
    assert lines[at + 1 : at + 3] == ["          b is at revision 2", "          b is silent"]
    at = lines.index("fault   Listener shop/web/http could not be built at proxies of Gateway shop/web")
    assert lines[at + 1] == "        the port is in use"


def test_sidecars_are_shown_by_namespace() -> None:
    """Each by name with its revision and the end of its certificate; they are nobody's proxies."""
    sidecars = [
        {"name": "shop/cart-2", "revision": 4, "silent": True, "certificate_ends": ""},
        {"name": "shop/cart-1", "revision": 5, "silent": False, "certificate_ends": "2026-12-01T10:00:00Z"},
    ]
    rejected = [{"kind": "Listener", "key": "shop/@mesh/inbound/0", "reasons": ["the port is in use"]}]
    page = json.loads(get(told.status(Plane()), "/status").body)
    page["mesh"] = [
        {"name": "bank", "revision": 5, "proxies": [], "rejected": []},
        {"name": "shop", "revision": 5, "proxies": sidecars, "rejected": rejected},
    ]
    output = io.StringIO()
    show(page, output)
    lines = output.getvalue().splitlines()
    at = lines.index("note    sidecars of namespace shop, revision 5: live at 1 of 2")
    assert lines[at + 1 : at + 3] == [
        "        shop/cart-1, certificate until 2026-12-01T10:00:00Z", "        shop/cart-2 is at revision 4 and silent",
    ]  # fmt: skip
    assert "fault   Listener shop/@mesh/inbound/0 could not be built at sidecars of namespace shop" in lines
    assert "bank" not in output.getvalue()


def test_the_scope_of_a_mesh_is_no_gateway() -> None:
    """It stands under its namespace."""
    page = json.loads(get(told.status(Meshed()), "/status").body)
    assert [gateway["name"] for gateway in page["gateways"]] == ["shop/web"]
    assert page["mesh"] == [{"name": "shop", "revision": 1, "proxies": [], "rejected": []}]


def test_the_page_is_plain_json() -> None:
    """`-o json` shows it as it is; proxies stand under their Gateway by name and revision."""

    async def test() -> None:
        page = json.loads((await told.status(Plane())["/status"](Request((), ()))).body)
        assert page["gateways"] == [{"name": "shop/web", "revision": 1, "proxies": [], "rejected": []}]
        assert page["mesh"] == []
        assert page["outside"][3] == {"kind": "Pod", "namespace": "shop", "name": "debug", "reason": "its label says so", "remedy": ""}
        assert (page["leading"], page["leader"], page["ready"]) == (True, "one", "")
        assert page["problems"] == [
            {"kind": "ConfigMap", "namespace": "shop", "name": "tidegate-mesh-ca", "message": "it is kept by another installation"},
            {"kind": "HTTPRoute", "namespace": "shop", "name": "bad", "message": "spec.rules[0].weigth: the field is not known"}
        ]

    run(test)
