"""The definitions of our kinds are structural, current, and say what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.definitions.custom_resources import GROUP, ISTIO, definitions
from controller.definitions.files import texts, write

CHART = Path(__file__).parents[3] / "charts" / "tidegate"
FOLDERS = {GROUP: CHART / "crds", ISTIO: CHART / "istio-crds"}
DEFINITIONS = definitions()
ISTIOS = definitions(ISTIO)
KINDS = {each["spec"]["names"]["kind"]: each for each in DEFINITIONS.values()}
Schema = dict[str, Any]

# What a node of a structural schema may hold (apiextensions.k8s.io/v1, "Specifying a structural schema").
ALLOWED = {
    "type", "format", "description", "properties", "required", "items", "additionalProperties", "anyOf", "enum", "pattern", "minimum",
    "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "x-kubernetes-int-or-string",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def schema_of(each: dict[str, Any]) -> Schema:
    (version,) = each["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if below in schema:
            yield from nodes(schema[below], f"{path}[]")


OF_ISTIO = [
    (path, schema)
    for each in ISTIOS.values()
    for version in each["spec"]["versions"]
    for path, schema in nodes(version["schema"]["openAPIV3Schema"], each["spec"]["names"]["kind"])
]
NODES = [node for each in DEFINITIONS.values() for node in nodes(schema_of(each), each["spec"]["names"]["kind"])]


@pytest.mark.parametrize("group", FOLDERS)
def test_the_chart_has_the_current_definitions(group: str) -> None:
    """The files of the chart are those that the models give: `make crds` writes them anew."""
    for name, text in texts(group).items():
        assert (FOLDERS[group] / name).read_text(encoding="utf-8") == text, f"{name} is stale: run make crds"


@pytest.mark.parametrize("group", FOLDERS)
def test_the_chart_has_no_other_definitions(group: str) -> None:
    """No definition of a kind that is no more stays in the chart, and those of the Gateway API are not in it."""
    assert {file.name for file in FOLDERS[group].iterdir()} == set(definitions(group))


def test_istios_kinds_keep_what_is_not_known() -> None:
    """Every object of a spec keeps fields that our models do not know, which would else be lost without a word; helm keeps the definitions,
    and with them everybody's policies."""
    objects = [path for path, schema in OF_ISTIO if "properties" in schema and ".spec" in path]
    assert objects
    assert not [path for path, schema in OF_ISTIO if path in objects and not schema.get("x-kubernetes-preserve-unknown-fields")]
    assert all(each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for each in ISTIOS.values())
    versions = {
        each["spec"]["names"]["kind"]: [(version["name"], version["storage"]) for version in each["spec"]["versions"]]
        for each in ISTIOS.values()
    }
    assert versions.pop("ServiceEntry") == [("v1", True), ("v1beta1", False), ("v1alpha3", False)]
    assert all(each == [("v1", True), ("v1beta1", False)] for each in versions.values())


def test_files_are_written_anew(tmp_path: Path) -> None:
    """What is written reads back as the definitions; a file of a kind that is no more goes."""
    (tmp_path / "tidegate.dev_gone.yaml").write_text("", encoding="utf-8")
    write(tmp_path)
    assert {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()} == DEFINITIONS


def test_our_kinds_are_defined() -> None:
    """Group tidegate.dev has these kinds and no others."""
    assert {kind: each["metadata"]["name"] for kind, each in KINDS.items()} == {
        "BackendPolicy": "backendpolicies.tidegate.dev",
        "GatewayParameters": "gatewayparameters.tidegate.dev",
        "ListenerPolicy": "listenerpolicies.tidegate.dev",
    }


def test_schemas_are_structural() -> None:
    """Each node has one type, or is an int-or-string in its one form; nothing stands in it that the API server does not take."""
    wrong = []
    for path, schema in (*NODES, *OF_ISTIO):
        one_type = isinstance(schema.get("type"), str) and "anyOf" not in schema
        int_or_string = schema.get("x-kubernetes-int-or-string") is True and schema.get("anyOf") == INT_OR_STRING and "type" not in schema
        parts = {"properties", "additionalProperties"} <= schema.keys()
        if not (one_type or int_or_string) or schema.keys() - ALLOWED or parts:
            wrong.append(path)
    assert not wrong


def test_lists_and_mappings_are_bounded() -> None:
    """The API server judges what an expression may cost by these bounds; and no object grows without one."""
    arrays = [path for path, schema in NODES if schema.get("type") == "array" and "maxItems" not in schema]
    mappings = [path for path, schema in NODES if "additionalProperties" in schema and "maxProperties" not in schema]
    assert (arrays, mappings) == ([], [])


def test_every_field_of_a_spec_is_described() -> None:
    """`kubectl explain` has words for the fields at the top of every spec."""
    silent = [
        f"{kind}.{name}"
        for kind, each in KINDS.items()
        for name, schema in schema_of(each)["properties"]["spec"]["properties"].items()
        if not schema.get("description")
    ]
    assert not silent


@pytest.mark.parametrize("kind", ["BackendPolicy", "ListenerPolicy"])
def test_a_policy_has_a_status(kind: str) -> None:
    """GEP-713: status.ancestors with conditions, as a subresource, and a label that says how the policy is attached."""
    each = KINDS[kind]
    (version,) = each["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    ancestors = schema_of(each)["properties"]["status"]["properties"]["ancestors"]
    assert set(ancestors["items"]["properties"]) == {"ancestorRef", "controllerName", "conditions"}
    assert each["metadata"]["labels"]["gateway.networking.k8s.io/policy"] == "Direct"
    assert [column["name"] for column in version["additionalPrinterColumns"]] == ["Accepted", "Reason", "Age"]


def test_parameters_have_no_status() -> None:
    """GatewayParameters is no policy; what is wrong with one is said by the Gateways and classes that refer to it."""
    (version,) = KINDS["GatewayParameters"]["spec"]["versions"]
    assert "subresources" not in version
    assert "status" not in schema_of(KINDS["GatewayParameters"])["properties"]
