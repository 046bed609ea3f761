"""The rules as a table of nftables of our own, `inet tidegate`, which holds both families and is replaced in one transaction.

The text is written as `nft --numeric list` prints it, so that what the kernel holds can be compared with what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from socket import AF_INET6, inet_ntop, inet_pton
from typing import Final, assert_never

from mesh.capture.errors import CaptureError
from mesh.capture.options import Network
from mesh.capture.program import find, run
from mesh.capture.rules import Chain, Jump, Redirect, Return, Rule, RuleSet, Verdict

TABLE: Final = "inet tidegate"
_PRIORITY: Final = -100
"""Where destinations are translated (NF_IP_PRI_NAT_DST)."""
_FAMILY: Final = {4: "2", 6: "10"}
_READ_BACK: Final = ("--numeric", "--numeric-priority", "--stateless", "list", "table", *TABLE.split())


def table_text(chains: Sequence[Chain]) -> str:
    """The table as nft reads and prints it."""
    lines = [f"table {TABLE} {{"]
    for chain in chains:
        lines.append(f"\tchain {chain.name} {{")
        if chain.seeing:
            lines.append(f"\t\ttype nat hook {chain.seeing.lower()} priority {_PRIORITY}; policy accept;")
            lines.append("\t\tmeta l4proto != 6 return")
        lines += [f"\t\t{rule_text(rule)}" for rule in chain.rules]
        lines.append("\t}")
    return "\n".join([*lines, "}", ""])


def rule_text(rule: Rule) -> str:
    """One rule."""
    return " ".join([*_matches(rule), _verdict(rule)])


class Nftables:
    """The kernel's tables through nft(8)."""

    name: Final = "nftables"

    def __init__(self, program: str | None = None) -> None:
        self._program = program or find("nft")

    @property
    def is_installed(self) -> bool:
        """Whether there is a program to do it with."""
        return self._program is not None

    def complaint(self, rules: RuleSet) -> str | None:
        """Why these rules cannot be set so; the kernel is asked without a change."""
        try:
            self._run("--check", "--file", "-", text=_replacement(rules.chains))
        except CaptureError as error:
            return str(error)
        return None

    def is_set(self) -> bool:
        """Whether our table is there. A kernel that cannot be asked has none."""
        try:
            return f"table {TABLE}" in self._run("list", "tables").splitlines()
        except CaptureError:
            return False

    def set(self, rules: RuleSet) -> None:
        """Puts these rules in the place of those that are there, and reads them back. Raises CaptureError."""
        self._run("--file", "-", text=_replacement(rules.chains))
        asked, found = _lines(table_text(rules.chains)), _lines(self._run(*_READ_BACK))
        if asked != found:
            differing = next((pair for pair in zip(asked, found, strict=False) if pair[0] != pair[1]), ("an end", "more or less"))
            raise CaptureError(
                f"table {TABLE} was set, but reads otherwise: {differing[1]!r} where {differing[0]!r} was asked for; see that nothing else "
                "changes this table, and that nft is version 1.0 or newer"
            )

    def remove(self) -> None:
        """Takes our table away. Raises CaptureError."""
        self._run("delete", "table", *TABLE.split())

    def _run(self, *arguments: str, text: str = "") -> str:
        if self._program is None:
            raise CaptureError("the program nft is not there")
        return run(self._program, *arguments, text=text)


def _replacement(chains: Sequence[Chain]) -> str:
    """That the table may be deleted, it must exist: all three are one transaction."""
    return f"table {TABLE}\ndelete table {TABLE}\n{table_text(chains)}"


def _lines(text: str) -> list[str]:
    return [line for line in (line.strip() for line in text.splitlines()) if line]


def _matches(rule: Rule) -> Iterator[str]:
    if rule.interface_out:
        yield f'oifname "{rule.interface_out}"'
    for network, field in ((rule.source, "saddr"), (rule.destination, "daddr")):
        if network:
            yield _network(network, field)
    if rule.user is not None:
        yield f"meta skuid {rule.user}"
    if rule.group is not None:
        yield f"meta skgid {rule.group}"
    if rule.port is not None:
        yield f"tcp dport {rule.port}"
    elif isinstance(rule.verdict, Redirect):
        yield "meta l4proto 6"  # nft refuses to redirect to a port what might have none


def _network(network: Network, field: str) -> str:
    if network.prefixlen == 0:
        return f"meta nfproto {_FAMILY[network.version]}"
    if isinstance(network, IPv4Network):
        protocol, address = "ip", str(network.network_address)
    else:
        protocol, address = "ip6", inet_ntop(AF_INET6, inet_pton(AF_INET6, str(network.network_address)))
    prefix = "" if network.prefixlen == network.max_prefixlen else f"/{network.prefixlen}"
    return f"{protocol} {field} {address}{prefix}"


def _verdict(rule: Rule) -> str:
    verdict: Verdict = rule.verdict
    match verdict:
        case Redirect(port):
            return f"redirect to :{port}"
        case Jump(chain):
            return f"jump {chain}"
        case Return():
            return "return"
        case _:
            assert_never(verdict)
