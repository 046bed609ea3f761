"""What can set rules on this machine, and which of it is taken."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from mesh.capture.errors import CaptureError
from mesh.capture.iptables import iptables_here
from mesh.capture.nftables import Nftables
from mesh.capture.rules import RuleSet

BackendChoice = Literal["auto", "nftables", "iptables"]
CHOICES: Final[tuple[BackendChoice, ...]] = ("auto", "nftables", "iptables")


class Backend(Protocol):
    """Sets rules in tables of the kernel that are ours, through programs of the machine. `set` and `remove` raise CaptureError."""

    @property
    def name(self) -> str:
        """For people."""

    def complaint(self, rules: RuleSet) -> str | None:
        """Why it cannot set these rules; None if it can. Changes nothing."""

    def is_set(self) -> bool:
        """Whether rules of ours are there."""

    def set(self, rules: RuleSet) -> None:
        """In the place of those that are there, and only good once they have been read back."""

    def remove(self) -> None:
        """Takes away what is ours, and nothing else."""


def backends_here() -> tuple[Backend, ...]:
    """All that this machine has the programs of, the ones to be preferred first."""
    nftables = Nftables()
    return (*((nftables,) if nftables.is_installed else ()), *iptables_here())


def choose(choice: BackendChoice, rules: RuleSet) -> Backend:
    """The first that can set these rules. Raises CaptureError with the complaints of all."""
    complaints = []
    for backend in backends_here():
        if choice == "auto" or backend.name.startswith(choice):
            complaint = backend.complaint(rules)
            if complaint is None:
                return backend
            complaints.append(f"{backend.name}: {complaint}")
    wanted = "neither nftables nor iptables is" if choice == "auto" else f"{choice} is not"
    said = "; ".join(complaints) or "no program for it is installed"
    raise CaptureError(
        f"{wanted} to be had here: {said}. Install nftables (or iptables) in the image, and see that the kernel has nf_tables, nft_redir "
        "and nf_nat (or ip_tables, iptable_nat, ip6table_nat, xt_REDIRECT and xt_owner): on the node, modprobe loads them"
    )
