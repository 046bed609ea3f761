"""The program `tidegate`, and `python -m tidegate`. A data plane that a Pod spec starts never loads what the command line needs."""

from __future__ import annotations

import gc
import os
import sys

from gateway.allocator import begin_again_with_settings
from tidegate.data_plane.command_line import COMMAND, read
from tidegate.inherited import claim


def main() -> None:
    """Ends the process."""
    values = read(sys.argv[2:], os.environ) if sys.argv[1:2] == [COMMAND] else None
    if values is None:
        from tidegate.cli import main as command_line

        command_line()
        return
    begin_again_with_settings()
    gc.disable()  # what is made until it serves stays
    claim()
    from tidegate.data_plane.program import main as data_plane

    sys.exit(data_plane(values))


if __name__ == "__main__":
    main()
