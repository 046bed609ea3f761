"""Golden tests of translation: objects in YAML in, resources and statuses in YAML out.

The input stands on the objects of base.yaml; the output shows only what differs from what base.yaml gives alone. A document
`options: {...}` sets Options, `options: cluster` takes those of a cluster, for base.yaml too, `options: mesh` and `options: registry`
those of a cluster with a mesh, in which sidecars let anything pass or not. For brevity apiVersion may be left out,
and "@name" stands for a file in certificates/, where ca.crt issued server.crt and client.crt (ECDSA P-256, valid until 2046).
Conditions that are True for their own reason are `true`, others "status reason: message".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from controller.api.kinds import MODELS, VERSIONS
from controller.api.metadata import Object
from controller.translate.conditions import Condition
from controller.translate.infrastructure import Infrastructure, Parameters
from controller.translate.names import deployed_name, own_labels
from controller.translate.objects import called
from controller.translate.options import IN_CLUSTER, Options
from controller.translate.statuses import (
    GatewayClassStatus,
    GatewayStatus,
    ListenerSetStatus,
    ListenerStatus,
    ObjectRef,
    PolicyStatus,
    RouteStatus,
    SelectingStatus,
    Status,
)
from controller.translator import Translator
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate, TrustBundle
from gateway.ir.rule import HttpRule, StreamRule

FOLDER = Path(__file__).parent
GOLDENS = FOLDER / "goldens"
BASE = FOLDER / "base.yaml"

CLUSTERS = {
    "cluster": IN_CLUSTER,
    "mesh": dataclasses.replace(IN_CLUSTER, mesh=True),
    "registry": dataclasses.replace(IN_CLUSTER, mesh=True, outbound="RegistryOnly"),
}

IN_THE_KEY = frozenset({"kind", "key", "source", "route", "index", "gateway", "name"})
"""Fields of a resource that its key says as well. Only rules have a name that it does not."""


def read(text: str) -> tuple[Options, list[Object]]:
    """The options and objects of a YAML text."""
    options, objects = Options(), []
    for document in yaml.safe_load_all(text):
        if document is None:
            continue
        if isinstance(named := document.get("options"), str):
            options = CLUSTERS[named]
        elif "options" in document:
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in document["options"].items()}
            options = msgspec.convert(given | {"class_names": given.get("class_names", options.class_names)}, Options)
        else:
            objects.append(parse(document))
    return options, objects


def parse(document: dict[str, Any]) -> Object:
    """An object of a document, apiVersion filled in and files put in place."""
    whole = {"apiVersion": VERSIONS[document["kind"]][0]} | document
    return MODELS[whole["apiVersion"], whole["kind"]].model_validate(_with_files(whole))


def _with_files(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_files(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_files(each) for each in value]
    if isinstance(value, str) and value.startswith("@"):
        return (FOLDER / "certificates" / value[1:]).read_text(encoding="utf-8")
    return value


def translate(options: Options, objects: Iterable[Object]) -> dict[str, Any]:
    """What objects give, in the form of the outputs."""
    translator = Translator(options)
    failures = translator.apply(objects).failures
    assert not failures, failures
    return {
        "resources": {" ".join(identity): _resource(resource) for identity, resource in sorted(translator.resources().items())},
        "statuses": {called(*key): _status(status) for key, status in sorted(translator.statuses().items())},
        "infrastructure": {called(*key): _infrastructure(wanted) for key, wanted in sorted(translator.infrastructure().items())},
        "ignored": [f"{called(*key)}: {reason}" for key, reason in translator.ignored()],
    }


def output(text: str) -> str:
    """The output that belongs to an input."""
    plain_options, base = read(BASE.read_text(encoding="utf-8"))
    options, objects = read(text)
    plain = translate(options if options.cluster else plain_options, base)
    keys = {obj.key for obj in objects}
    found = translate(options, [*(obj for obj in base if obj.key not in keys), *objects])
    shown: dict[str, Any] = {}
    for part in ("resources", "statuses", "infrastructure"):
        shown[part] = {name: value for name, value in found[part].items() if plain[part].get(name) != value}
        shown[f"{part} of the base that are gone"] = [name for name in plain[part] if name not in found[part]]
    shown["ignored"] = found["ignored"]
    return dump({name: value for name, value in shown.items() if value})


def dump(value: Any) -> str:
    """YAML in which small things stand on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        small = bool(mapping) and len(str(mapping)) < 110
        return super().represent_mapping(tag, mapping, flow_style=small)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=len(str(sequence)) < 110)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _resource(resource: AnyResource) -> dict[str, Any]:
    fields = _fields(resource)
    if isinstance(resource, HttpRule | StreamRule):
        fields["bindings"] = {binding.listener: list(binding.hostnames) for binding in resource.bindings}
        fields["rule"] = resource.name
    if isinstance(resource, Certificate):
        fields = {"chain": _counted(resource.chain), "private_key": "<redacted>"}
    if isinstance(resource, TrustBundle):
        fields["certificates"] = _counted(resource.certificates)
    return {name: value for name, value in fields.items() if name not in IN_THE_KEY and value != ""}


def _fields(value: Any) -> Any:
    """Builtin values, without fields that have their default."""
    if isinstance(value, tuple):
        return [_fields(each) for each in value]
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    fields = msgspec.structs.fields(value)
    return tag | {field.name: _fields(getattr(value, field.name)) for field in fields if getattr(value, field.name) != field.default}


def _counted(pem: str) -> str:
    return f"<certificates: {len(re.findall('BEGIN CERTIFICATE', pem))}>"


def _status(status: Status) -> dict[str, Any]:
    match status:
        case GatewayClassStatus():
            return _conditions(status.conditions) | {"features": len(status.supported_features)}
        case GatewayStatus():
            address = {"address": ", ".join(address.value for address in status.addresses)} if status.addresses else {}
            address |= {"unassigned": str(status.unassigned)} if status.unassigned is not None else {}
            sets = {"listener sets": len(status.listener_sets)} if status.listener_sets else {}
            return address | sets | _conditions(status.conditions) | _listeners(status.listeners)
        case ListenerSetStatus():
            return _conditions(status.conditions) | _listeners(status.listeners)
        case RouteStatus():
            return {_reference(parent.parent): _conditions(parent.conditions) for parent in status.parents}
        case PolicyStatus():
            return {_reference(ancestor.ancestor): _conditions(ancestor.conditions) for ancestor in status.ancestors}
        case SelectingStatus():
            return {"gateways": list(status.gateways)} | _conditions(status.conditions)


def _infrastructure(wanted: Infrastructure) -> dict[str, Any]:
    """What is to be deployed, without our own labels, which every Gateway has, and parameters that nobody sets."""
    ours = own_labels(wanted.gateway[2], wanted.class_name)
    written = {
        "labels": {name: value for name, value in wanted.labels if ours.get(name) != value},
        "annotations": dict(wanted.annotations),
        "addresses": list(wanted.addresses),
        "ports": {port.name: f"{port.port} to {port.target_port} {port.protocol}" for port in wanted.ports},
        "parameters": _differing(wanted.parameters, Parameters()),
    }
    return {"name": deployed_name(wanted.gateway[2], wanted.class_name)} | {name: value for name, value in written.items() if value}


def _differing(parameters: Parameters, plain: Parameters) -> dict[str, Any]:
    written, default = dataclasses.asdict(parameters), dataclasses.asdict(plain)
    return {name: _plain(value) for name, value in written.items() if value != default[name]}


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _listeners(listeners: tuple[ListenerStatus, ...]) -> dict[str, Any]:
    return {
        f"listener {listener.name}": {"routes": listener.attached_routes, "kinds": [kind.kind for kind in listener.supported_kinds]}
        | _conditions(listener.conditions)
        for listener in listeners
    }


def _conditions(conditions: tuple[Condition, ...]) -> dict[str, Any]:
    return {condition.type: _condition(condition) for condition in conditions}


def _condition(condition: Condition) -> Any:
    if (condition.status, condition.reason, condition.message) == ("True", condition.type, ""):
        return True
    return f"{condition.status} {condition.reason}: {condition.message}"


def _reference(reference: ObjectRef) -> str:
    section = f" {reference.section_name}" if reference.section_name is not None else ""
    port = f" port {reference.port}" if reference.port is not None else ""
    return f"{reference.kind} {f'{reference.namespace}/' if reference.namespace else ''}{reference.name}{section}{port}"
