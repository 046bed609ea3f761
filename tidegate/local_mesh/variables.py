"""Environment and command line of a container, as Kubernetes makes them (core/v1: EnvVar, EnvFromSource, Container.command) (pure)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.api.core import ServicePort
from controller.api.local_pod import KeySelector, LocalContainer, LocalPod, ObjectName, VariableSource

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^()]*)\))")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_HERE: Final = "localhost"
"""The node that Pods are on."""
_HERE_ADDRESS: Final = "127.0.0.1"


class NotRunnable(Exception):
    """A container cannot be started as things are; the text says the field, why, and the remedy."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """A Service as one workload reaches it: its name, the address, and its TCP ports."""

    name: str
    host: str
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a Pod's containers may ask for. `entries` gives those of a ConfigMap or Secret of its namespace, by kind and name; None where
    there is none. `address` is what status.podIP says."""

    pod: LocalPod
    address: str
    services: tuple[ServiceAddress, ...]
    entries: Callable[[str, str], Mapping[str, str] | None]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """$(NAME) becomes the variable's value, and stays where there is none; $$ is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else variables.get(name, found[0])

    return _REFERENCE.sub(value, text)


def command_line(container: LocalContainer, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The program and its arguments."""
    return tuple(expand(part, variables) for part in (*container.command, *container.args))


def environment(container: LocalContainer, surroundings: Surroundings) -> dict[str, str]:
    """What Kubernetes sets: Services first, then envFrom, then env, each of which may refer to those before. Raises NotRunnable."""
    found: dict[str, str] = {}
    if surroundings.pod.spec.enable_service_links:
        for service in surroundings.services:
            found.update(service_variables(service))
    for index, source in enumerate(container.env_from):
        where = f"envFrom[{index}]"
        for kind, reference in (("ConfigMap", source.config_map_ref), ("Secret", source.secret_ref)):
            if reference is not None:
                entries = _entries(surroundings, kind, reference, where) or {}
                found.update((f"{source.prefix}{name}", value) for name, value in entries.items() if "=" not in name)
    for index, variable in enumerate(container.env):
        value: str | None
        if variable.value_from is None:
            value = expand(variable.value, found)
        else:
            value = _value(surroundings, variable.value_from, f"env[{index}].valueFrom")
        if value is not None:
            found[variable.name] = value
    return found


def service_variables(service: ServiceAddress) -> Iterator[tuple[str, str]]:
    """{NAME}_SERVICE_HOST, {NAME}_SERVICE_PORT, and those that container links had."""
    if not service.ports:
        return
    name = service.name.upper().replace("-", "_")
    first = service.ports[0]
    yield f"{name}_SERVICE_HOST", service.host
    yield f"{name}_SERVICE_PORT", str(first.port)
    for port in service.ports:
        if port.name:
            yield f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}", str(port.port)
    yield f"{name}_PORT", f"tcp://{service.host}:{first.port}"
    for port in service.ports:
        prefix = f"{name}_PORT_{port.port}_TCP"
        yield prefix, f"tcp://{service.host}:{port.port}"
        yield f"{prefix}_PROTO", "tcp"
        yield f"{prefix}_PORT", str(port.port)
        yield f"{prefix}_ADDR", service.host


def inherited(outer: Mapping[str, str], ours: Iterable[str] = ("TIDEGATE_",)) -> dict[str, str]:
    """What a program has of our own environment, which is its image here: all but our own settings."""
    prefixes = tuple(ours)
    return {name: value for name, value in outer.items() if not name.startswith(prefixes)}


def _value(surroundings: Surroundings, source: VariableSource, where: str) -> str | None:
    """None for what is optional and not there."""
    if source.field_ref is not None:
        return field(surroundings, source.field_ref.field_path, f"{where}.fieldRef.fieldPath")
    for kind, key, name in (("ConfigMap", source.config_map_key_ref, "configMapKeyRef"), ("Secret", source.secret_key_ref, "secretKeyRef")):
        if key is not None:
            return _entry(surroundings, kind, key, f"{where}.{name}")
    raise NotRunnable(f"{where}: only fieldRef, configMapKeyRef and secretKeyRef are known here; write the value itself")


def _entry(surroundings: Surroundings, kind: str, key: KeySelector, where: str) -> str | None:
    entries = _entries(surroundings, kind, key, where)
    if entries is None:
        return None
    if key.key not in entries and not key.optional:
        raise NotRunnable(f"{where}.key: {kind} {surroundings.pod.namespace}/{key.name} has no entry {key.key}; add it")
    return entries.get(key.key)


def _entries(surroundings: Surroundings, kind: str, reference: KeySelector | ObjectName, where: str) -> Mapping[str, str] | None:
    entries = surroundings.entries(kind, reference.name)
    if entries is None and not reference.optional:
        raise NotRunnable(f"{where}.name: there is no {kind} {surroundings.pod.namespace}/{reference.name}; add it to the files")
    return entries


def field(surroundings: Surroundings, path: str, where: str) -> str:
    """A field of the Pod (ObjectFieldSelector.fieldPath). Raises NotRunnable for one that is not known."""
    pod = surroundings.pod
    known = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.metadata.uid or str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(pod.key))),
        "spec.nodeName": pod.spec.node_name or _HERE,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": _HERE_ADDRESS,
        "status.hostIPs": _HERE_ADDRESS,
        "status.podIP": surroundings.address,
        "status.podIPs": surroundings.address,
    }
    if path in known:
        return known[path]
    if subscript := _SUBSCRIPT.fullmatch(path):
        texts = pod.metadata.labels if subscript[1] == "labels" else pod.metadata.annotations
        return texts.get(subscript[2], "")
    others = "metadata.labels['KEY'], metadata.annotations['KEY']"
    raise NotRunnable(f"{where}: {path!r} is not known; write one of {', '.join(known)}, {others}")
