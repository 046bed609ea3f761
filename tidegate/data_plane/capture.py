"""`tidegate init`: sets the rules that bring a Pod's connections to the sidecar, and ends. It runs as an init container, so that they hold
before anything else of the Pod runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from mesh.capture.backends import CHOICES, BackendChoice
from mesh.capture.errors import CaptureError
from mesh.capture.options import CaptureOptions, read_included_ports, read_networks, read_ports, read_user
from mesh.capture.setting import capture, release
from tidegate.data_plane.capture_line import COMMAND, OPTIONS
from tidegate.data_plane.command_line import YES

_NAMES: Final = {option.key: f"{option.name} ({option.environment})" for option in OPTIONS}
_NO: Final = frozenset({"", "0", "false", "no"})
_YES: Final = frozenset({YES, "1", "yes"})

UNREADABLE = 2
"""Exit status for an option that cannot be understood, as everywhere on the command line."""
FAILED = 1


def main(values: Mapping[str, str]) -> int:
    """The exit status, after a line on standard output of what was done, or on standard error of what could not be."""
    try:
        options, backend = options_of(values), _backend(values["backend"])
        removing = _removing(values["remove"])
    except CaptureError as error:
        return _complain(error, UNREADABLE)
    try:
        print(release() if removing else capture(options, backend), flush=True)
    except CaptureError as error:
        return _complain(error, FAILED)
    return 0


def options_of(values: Mapping[str, str]) -> CaptureOptions:
    """Of the values that were read by the table. Raises CaptureError, which names the option and its variable."""
    return CaptureOptions(
        exclude_inbound_ports=read_ports(_NAMES["exclude_inbound_ports"], values["exclude_inbound_ports"]),
        exclude_outbound_ports=read_ports(_NAMES["exclude_outbound_ports"], values["exclude_outbound_ports"]),
        exclude_outbound_networks=read_networks(_NAMES["exclude_outbound_cidrs"], values["exclude_outbound_cidrs"]),
        include_inbound_ports=read_included_ports(_NAMES["include_inbound_ports"], values["include_inbound_ports"]),
        user=read_user(_NAMES["uid"], values["uid"]),
    )


def _backend(text: str) -> BackendChoice:
    for choice in CHOICES:
        if text == choice:
            return choice
    raise CaptureError(f"{_NAMES['backend']}: {text!r} is none of {', '.join(CHOICES)}")


def _removing(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise CaptureError(f"{_NAMES['remove']}: {text!r} is neither true nor false")
    return word in _YES


def _complain(error: CaptureError, status: int) -> int:
    print(f"tidegate {COMMAND}: {error}", file=sys.stderr, flush=True)
    return status
