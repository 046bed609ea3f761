"""ServiceEntries as the sidecars of namespace default get them: objects in YAML, translated for a cluster with a mesh."""

from __future__ import annotations

import dataclasses

from controller.scopes import Scopes
from controller.translate.options import IN_CLUSTER, Outbound
from controller.translator import Translator
from gateway.ir.batch import AnyResource
from gateway.ir.workload import mesh_scope
from tests.controller.translate.golden import read

_INJECTED = "{kind: Namespace, metadata: {name: default, labels: {tidegate.dev/inject: enabled}}}"


def entry(name: str, spec: str) -> str:
    """A document of its own."""
    return f"\n---\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}"


def shown(*documents: str, outbound: Outbound = "AllowAny") -> tuple[AnyResource, ...]:
    """The resources of the namespace's scope."""
    translator = Translator(dataclasses.replace(IN_CLUSTER, mesh=True, outbound=outbound))
    failures = translator.apply(read(_INJECTED + "".join(documents))[1]).failures
    assert not failures, failures
    scopes = Scopes()
    scopes.change(translator.resources().values(), ())
    return tuple(scopes.content(mesh_scope("default")))
