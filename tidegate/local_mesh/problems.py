"""What cannot be used of the Pods and Services of a mesh, as problems of the files that they stand in."""

from __future__ import annotations

from collections.abc import Callable

from controller.api.metadata import Key
from controller.sources.problems import Path, Place, Problem, field_path
from controller.translate.objects import called
from tidegate.local_mesh.objects import Fault, LocalObjects

PlaceOf = Callable[[Key, Path], Place | None]
"""Where an object, and a field of it, stands; FileSource.place."""


def problems_of(objects: LocalObjects, place: PlaceOf) -> tuple[Problem, ...]:
    """In the order of the files."""
    return tuple(sorted(_problem(fault, place) for fault in objects.faults))


def _problem(fault: Fault, place: PlaceOf) -> Problem:
    found = place(fault.key, fault.field) or Place("", 0)
    return Problem(found.file, found.line, called(*fault.key), field_path(fault.field), fault.message, fault.remedy)
