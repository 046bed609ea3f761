"""ServiceEntry of networking.istio.io."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.service_entry import ServiceEntry
from tests.controller.api.objects import object_of, read, refused_fields


def entry(version: str = "v1", **spec: Any) -> dict[str, Any]:
    return object_of("ServiceEntry", f"networking.istio.io/{version}", spec={"hosts": ["a.example"], **spec})


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_version_is_read_the_same(version: str) -> None:
    """The versions differ in their name alone."""
    found = read(entry(version, ports=[{"number": 80, "name": "http", "protocol": "HTTP"}]))
    assert isinstance(found, ServiceEntry)
    assert found.spec.ports[0].number == 80


def test_what_is_not_said_is_as_istio_has_it() -> None:
    """Outside the mesh, where the call was going, for all."""
    found = read(entry())
    assert isinstance(found, ServiceEntry)
    assert (found.spec.location, found.spec.resolution, found.spec.export_to) == ("MESH_EXTERNAL", "NONE", ())


def test_what_is_not_known_is_kept_for_translation() -> None:
    """An entry with a newer field is read, so that its condition can name the field."""
    found = read(entry(newer=1, ports=[{"number": 80, "name": "a", "other": {}}], endpoints=[{"address": "10.0.0.1", "third": 3}]))
    assert isinstance(found, ServiceEntry)
    assert (found.spec.unknown, found.spec.ports[0].unknown, found.spec.endpoints[0].unknown) == (("newer",), ("other",), ("third",))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hosts": []}, "spec.hosts"),
        ({"ports": [{"number": 0, "name": "a"}]}, "spec.ports[0].number"),
        ({"ports": [{"number": 80}]}, "spec.ports[0].name"),
        ({"ports": [{"number": 80, "name": "a", "targetPort": 65536}]}, "spec.ports[0].targetPort"),
        ({"resolution": "GUESS"}, "spec.resolution"),
        ({"location": "MARS"}, "spec.location"),
        ({"endpoints": [{"weight": -1}]}, "spec.endpoints[0].weight"),
    ],
)
def test_what_has_not_the_form_is_refused(spec: dict[str, Any], field: str) -> None:
    """As the API server refuses it, with the field."""
    assert refused_fields(entry(**spec)) == [field]
