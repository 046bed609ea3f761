"""The definitions as the files of the chart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from controller.definitions.custom_resources import GROUP, definitions

_HEADING = "# Written by `make crds` from the models in controller/api: change those.\n"


class _Plain(yaml.SafeDumper):
    """Writes a value that stands at several places out at each of them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def texts(group: str = GROUP) -> Mapping[str, str]:
    """The text of the file of each kind of a group, by its name."""
    return {name: _HEADING + yaml.dump(each, Dumper=_Plain, sort_keys=False, width=120) for name, each in definitions(group).items()}


def write(folder: Path, group: str = GROUP) -> None:
    """Writes the files, and removes those of kinds that are no more. Raises OSError."""
    found = texts(group)
    for file in folder.glob("*.yaml"):
        if file.name not in found:
            file.unlink()
    for name, text in found.items():
        (folder / name).write_text(text, encoding="utf-8")
