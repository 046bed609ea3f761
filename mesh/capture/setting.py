"""Sets a Pod's rules of capture, or takes them away, in the network namespace of this process."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mesh.capture.backends import Backend, BackendChoice, backends_here, choose
from mesh.capture.errors import CaptureError
from mesh.capture.loopback import add_address, has_ipv6, remove_address
from mesh.capture.options import CaptureOptions
from mesh.capture.rules import rules_of
from mesh.capture.summary import summary_of

_STATUS: Final = Path("/proc/thread-self/status")
_NET_ADMIN: Final = 1 << 12
"""capabilities(7)."""


def capture(options: CaptureOptions, choice: BackendChoice) -> str:
    """Sets the rules, in the place of what an earlier run set, and says in one line what is captured. Raises CaptureError.

    The address that the rules name is there before them, and what another backend holds of an earlier run goes after they are in place,
    so that at no time a connection is left out.
    """
    _demand_capability()
    ipv6 = has_ipv6()
    rules = rules_of(options, ipv6=ipv6)
    backend = choose(choice, rules)
    if ipv6:
        add_address()
    backend.set(rules)
    _remove(but=backend)
    return summary_of(options, backend.name, ipv6=ipv6)


def release() -> str:
    """Takes away all that any run has set, and says so in one line. Raises CaptureError."""
    _demand_capability()
    removed = _remove()
    remove_address()
    return f"Nothing is captured any more: removed the rules of {' and '.join(removed)}" if removed else "Nothing was captured"


def _remove(but: Backend | None = None) -> list[str]:
    """The names of the backends that had rules of ours."""
    kept = but.name if but else ""
    found = [backend for backend in backends_here() if backend.name != kept and backend.is_set()]
    for backend in found:
        backend.remove()
    return [backend.name for backend in found]


def _demand_capability() -> None:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("CapEff:"))
    if not int(line.split()[1], 16) & _NET_ADMIN:
        raise CaptureError(
            "the capability NET_ADMIN is missing, without which no rule can be set; give the init container runAsUser: 0 and "
            "securityContext.capabilities.add: [NET_ADMIN, NET_RAW], and let the namespace admit that (Pod Security: privileged)"
        )
