"""A ListenerSet: the resources of its listeners that are served, and its status.

Its listeners become listeners of its Gateway, in all but three things: their references need grants for ListenerSets of its own
namespace, routes are attached to it by its own name, and policies for it stand in place of those for the Gateway.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.graph import View
from controller.store import Key
from controller.translate.acceptance import gateway_problem
from controller.translate.conditions import Problem, met
from controller.translate.judging import Scene, accepted_by_entries, judge_listeners, with_attached_routes
from controller.translate.objects import called
from controller.translate.options import Options
from controller.translate.parents import Adoption
from controller.translate.relations import Relations
from controller.translate.statuses import Emission, ListenerSetStatus


@dataclass(frozen=True, slots=True)
class ListenerSetEmission(Emission):
    """Besides resources the status without the numbers of attached routes, and the Gateway."""

    draft: ListenerSetStatus | None = None
    gateway: Key = ("", "", "")


def translate_listener_set(options: Options, key: Key, view: View) -> ListenerSetEmission | None:
    """Unit "listener set": the resources of a ListenerSet whose Gateway is ours, and its status but for attached routes."""
    found: ListenerSet | None = view.get(*key)
    if found is None:
        return None
    adoption: Adoption = view.result("adoption", key)
    gateway: Gateway | None = view.get(*adoption.gateway)
    if adoption.foreign or gateway is None:
        return ListenerSetEmission(ignored=((key, f"spec.parentRef: {adoption.foreign}"),))
    generation = found.metadata.generation
    draft = ListenerSetStatus(key, generation, (met("Accepted", generation, adoption.refusal),), (), "/".join(gateway.key[1:]))
    if adoption.refusal is not None:
        return ListenerSetEmission(draft=draft, gateway=gateway.key)
    problem = gateway_problem(view, gateway)
    relations: Relations = view.result("relations", (gateway.key, key))
    judged = judge_listeners(Scene(options, view, gateway, found, relations, problem is None))
    accepted = accepted_by_entries(generation, judged.statuses)
    if problem is not None:
        accepted = met("Accepted", generation, Problem("ParentNotAccepted", f"{called(*gateway.key)} is not accepted: {problem.message}"))
    draft = msgspec.structs.replace(draft, conditions=(accepted,), listeners=judged.statuses)
    return ListenerSetEmission(judged.resources, draft=draft, gateway=gateway.key)


def translate_listener_set_status(key: Key, view: View) -> Emission | None:
    """Unit "listener set status": the status of a ListenerSet with the numbers of attached routes."""
    emission: ListenerSetEmission | None = view.result("listener set", key)
    if emission is None or emission.draft is None:
        return None
    listeners = with_attached_routes(view, emission.gateway, key, emission.draft.listeners)
    return Emission(statuses=(msgspec.structs.replace(emission.draft, listeners=listeners),))
