"""Files read once and translated: what `check` and `explain` look at."""

from __future__ import annotations

from dataclasses import dataclass

from controller.sources.files import Change, FileSource
from controller.translator import Translator
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
    translation = translator.apply(change.puts)
    return Reading(source, change, translator, translation.failures)
