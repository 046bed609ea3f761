"""The program `tidegate`, and `python -m tidegate`. What a Pod spec starts never loads what the command line needs."""

from __future__ import annotations

import gc
import os
import sys

from gateway.allocator import begin_again_with_settings
from tidegate.data_plane.capture_line import COMMAND as CAPTURE
from tidegate.data_plane.capture_line import OPTIONS as CAPTURE_OPTIONS
from tidegate.data_plane.command_line import COMMANDS, read
from tidegate.inherited import claim


def main() -> None:
    """Ends the process."""
    command, arguments = sys.argv[1:2], sys.argv[2:]
    if command == [CAPTURE]:
        _capture(arguments)
    options = COMMANDS.get(command[0]) if command else None
    values = None if options is None else read(options, arguments, os.environ)
    if values is None:
        from tidegate.cli import main as command_line

        command_line()
        return
    begin_again_with_settings()
    gc.disable()  # what is made until it serves stays
    claim()
    from tidegate.data_plane.program import main as data_plane

    sys.exit(data_plane(values))


def _capture(arguments: list[str]) -> None:
    """Ends the process, if the quick reading understands the line."""
    values = read(CAPTURE_OPTIONS, arguments, os.environ)
    if values is not None:
        from tidegate.data_plane.capture import main as set_rules

        sys.exit(set_rules(values))


if __name__ == "__main__":
    main()
