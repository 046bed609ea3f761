"""Files read once and translated: what `check` and `explain` look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.sources.files import Change, FileSource
from controller.translator import Translator
from tidegate.local_mesh.objects import LocalObjects
from tidegate.local_mesh.problems import problems_of
from tidegate.options import RunOptions


@dataclass(frozen=True, slots=True)
class Reading:
    """The files as they are now: `change` holds every object and every problem, `failures` are faults of Tidegate."""

    source: FileSource
    change: Change
    translator: Translator
    failures: tuple[str, ...]


def read_files(options: RunOptions) -> Reading:
    """Reads and translates everything, as `tidegate run` with these options would. Never raises for what the files say."""
    source = FileSource(options.paths)
    change = source.read()
    translator = Translator(options.translation(options.admin))
    if not options.mesh:
        return Reading(source, change, translator, translator.apply(change.puts).failures)
    objects = LocalObjects(options.block())
    translation = translator.apply(objects.take(change.puts, change.removes).puts)
    for key in objects.workloads:  # every application is taken to listen where Services lead
        translator.apply(objects.accept(key, objects.targets(key)).puts)
    problems = (*change.problems, *problems_of(objects, source.place))
    return Reading(source, replace(change, problems=problems), translator, translation.failures)
