"""What events and lists change, told once and only if it matters."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sources.kube.changes import Change, Waiting
from controller.sources.kube.resources import RESOURCES
from controller.sources.kube.shelf import Held, Shelf
from tests.controller.sources.kube.cluster import config_map, route, secret, service


class Kept:
    """A shelf of one kind and what waits to be told."""

    def __init__(self, kind: str = "HTTPRoute") -> None:
        self.waiting = Waiting()
        self.shelf = Shelf(RESOURCES[kind], self.waiting)

    def told(self) -> Change:
        return self.waiting.take()

    def names(self) -> tuple[list[str], list[str]]:
        change = self.told()
        return sorted(put.name for put in change.puts), sorted(name for _, _, name in change.removes)

    def list(self, *raws: dict[str, Any]) -> None:
        listing = self.shelf.listing()
        for raw in raws:
            listing.add(raw)
        listing.finish()


def broken(name: str) -> dict[str, Any]:
    raw = route(name, uid="u", resourceVersion="9", generation=4, managedFields=[{}])
    raw["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Guess"
    return raw | {"status": {"parents": []}}


def test_an_object_is_told_when_its_content_changes() -> None:
    """Added, changed, deleted: one put, one put, one remove."""
    kept = Kept()
    kept.shelf.take(route("a", "/"))
    assert kept.names() == (["a"], [])
    kept.shelf.take(route("a", "/b"))
    assert kept.names() == (["a"], [])
    kept.shelf.drop(route("a", "/b"))
    assert kept.names() == ([], ["a"])


def test_status_and_version_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that changes only these is recognised before validation; what the server holds follows all the same."""
    kept = Kept()
    kept.shelf.take(route("a", uid="u", resourceVersion="7", generation=2))
    kept.told()
    monkeypatch.setattr("controller.sources.kube.shelf.read", None)
    status = {"parents": [{"controllerName": "x"}]}
    kept.shelf.take(route("a", uid="u", resourceVersion="8", generation=2, managedFields=[{}]) | {"status": status})
    assert not kept.waiting
    assert kept.shelf.held(("HTTPRoute", "shop", "a")) == Held("u", "8", 2, status)


def test_held_is_kept_of_kinds_whose_status_is_written() -> None:
    """Of a Secret and the like nothing is held, nor of what is not there."""
    kept = Kept("Secret")
    kept.shelf.take(secret("a"))
    assert kept.shelf.held(("Secret", "shop", "a")) is None
    assert Kept().shelf.held(("HTTPRoute", "shop", "a")) is None


def test_a_list_tells_the_difference() -> None:
    """What a list has that is new or changed is put, what it lacks removed, and the rest not told."""
    kept = Kept()
    kept.list(route("same"), route("changed"), route("gone"))
    assert kept.names() == (["changed", "gone", "same"], [])
    kept.list(route("same"), route("changed", "/b"), route("new"))
    assert kept.names() == (["changed", "new"], ["gone"])


def test_a_list_that_is_not_finished_changes_nothing() -> None:
    """Until its last page a list takes no effect, of neither kind."""
    kept = Kept()
    kept.list(route("a"))
    kept.told()
    listing = kept.shelf.listing()
    listing.add(route("b"))
    listing.add(broken("c"))
    assert not kept.waiting
    assert (len(kept.shelf), kept.shelf.refused) == (1, 0)


def test_an_object_that_cannot_be_read_keeps_its_last_readable_version() -> None:
    """It is refused, with generation and the object as the server has it (without managedFields), and neither put nor removed."""
    kept = Kept()
    kept.shelf.take(route("a"))
    kept.told()
    kept.shelf.take(broken("a"))
    change = kept.told()
    assert (change.puts, change.removes, change.readable) == ((), (), ())
    (refusal,) = change.refusals
    assert (refusal.key, refusal.generation) == (("HTTPRoute", "shop", "a"), 4)
    assert refusal.problem.startswith("spec.rules[0].matches[0].path.type: 'Guess' is not one of ")
    expected = broken("a")
    del expected["metadata"]["managedFields"]
    assert refusal.raw == expected
    assert kept.shelf.refused == 1


def test_a_refusal_ends_when_the_object_is_readable_or_gone() -> None:
    """Readable again: put, and its key told; deleted: its key told, and removed only if it had ever been put."""
    kept = Kept()
    kept.list(broken("a"), broken("b"), broken("c"))
    assert len(kept.told().refusals) == 3
    kept.shelf.take(route("a"))
    kept.shelf.drop(broken("b"))
    change = kept.told()
    assert [put.name for put in change.puts] == ["a"]
    assert change.readable == (("HTTPRoute", "shop", "a"), ("HTTPRoute", "shop", "b"))
    assert change.removes == ()
    kept.shelf.take(broken("a"))
    kept.list()
    change = kept.told()
    assert sorted(change.readable) == [("HTTPRoute", "shop", "a"), ("HTTPRoute", "shop", "c")]
    assert change.removes == (("HTTPRoute", "shop", "a"),)
    assert kept.shelf.refused == 0


def test_a_refusal_whose_content_is_as_before_is_told_once() -> None:
    """A status written on a refused object does not refuse it again."""
    kept = Kept()
    kept.shelf.take(broken("a"))
    kept.told()
    kept.shelf.take(broken("a") | {"status": {"parents": [{"controllerName": "x"}]}})
    assert not kept.waiting
    assert kept.shelf.refused == 1


def test_a_refused_secret_is_told_without_its_entries() -> None:
    """The raw object of a refusal holds no key."""
    kept = Kept("Secret")
    kept.shelf.take(secret("a") | {"data": {"tls.key": "not base64"}, "stringData": {"x": "y"}})
    (refusal,) = kept.told().refusals
    assert "data" not in refusal.raw
    assert "stringData" not in refusal.raw


def test_changes_that_wait_become_one() -> None:
    """Of several changes of one object the last is told: changed twice, deleted and made again, refused and readable."""
    kept = Kept()
    kept.shelf.take(route("a", "/1"))
    kept.shelf.take(route("a", "/2"))
    kept.shelf.take(broken("b"))
    kept.shelf.take(route("b"))
    kept.shelf.take(route("c"))
    kept.shelf.drop(route("c"))
    kept.shelf.take(route("c", "/new"))
    change = kept.told()
    assert sorted(put.name for put in change.puts) == ["a", "b", "c"]
    assert (change.removes, change.refusals) == ((), ())
    assert not kept.waiting


def test_a_config_map_without_certificates_leaves_nothing() -> None:
    """It is not even remembered; one that loses its certificates is removed."""
    kept = Kept("ConfigMap")
    kept.list(config_map("other", x="y"), config_map("ca", ca_crt="x"))
    assert kept.names() == (["ca"], [])
    assert len(kept.shelf) == 1
    kept.shelf.take(config_map("ca", x="y"))
    assert kept.names() == ([], ["ca"])
    kept.shelf.take(config_map("ca", ca_crt="x", other="1"))
    kept.told()
    kept.shelf.take(config_map("ca", ca_crt="x", other="2"))
    assert not kept.waiting


def test_deleting_what_is_not_there_does_no_harm() -> None:
    """A late or doubled deletion changes nothing."""
    kept = Kept()
    kept.shelf.drop(route("a"))
    assert not kept.waiting


def test_a_kind_that_goes_takes_its_objects_along() -> None:
    """A CRD that is deleted: all objects removed, all refusals over."""
    kept = Kept("Service")
    kept.list(service("a"), service("b") | {"spec": {"ports": [{"port": 0}]}})
    assert len(kept.told().refusals) == 1
    kept.shelf.clear()
    change = kept.told()
    assert change.removes == (("Service", "shop", "a"),)
    assert change.readable == (("Service", "shop", "b"),)
