"""The rules of capture as values, whatever sets them (pure).

They see each new TCP connection once: one from elsewhere before the routing decision, one of the Pod's own after it, also to itself.
All that a rule says has to hold; the first that holds and does not lead into another chain decides. A connection that no rule redirects
goes where it was going.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, Literal

from gateway.ir.workload import INBOUND_PORT, OUTBOUND_PORT
from mesh.capture.options import CaptureOptions, Network

OWN_PORTS: Final = (15_000, 15_020, 15_021, 15_090)
"""Of the proxy itself: admin, metrics and health. They are reached as they are."""
LOOPBACK: Final = "lo"
TOWARDS_APPLICATION: Final = (ip_network("127.0.0.6/32"), ip_network("::6/128"))
"""From there the proxy connects to the application beside it. In 127.0.0.0/8 every address is a Pod's own; the other has to be added."""
LOOPBACK_NETWORKS: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("::6/128"))

ChainName = Literal["prerouting", "inbound", "output"]
Hook = Literal["PREROUTING", "OUTPUT"]
Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class Redirect:
    """To this port of the Pod; the original destination stays known to the socket (SO_ORIGINAL_DST)."""

    port: int


@dataclass(frozen=True, slots=True)
class Jump:
    """To the rules of another chain, and back here if none of them decides."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class Return:
    """Out of this chain: of one that sees connections first, untouched."""


Verdict = Redirect | Jump | Return


@dataclass(frozen=True, slots=True)
class Rule:
    """What is None is not asked about. A network also says which family the rule is for."""

    verdict: Verdict
    source: Network | None = None
    destination: Network | None = None
    interface_out: str | None = None
    port: int | None = None
    """Of the destination."""
    user: int | None = None
    """Whose socket it is; of outbound connections alone, as is the group."""
    group: int | None = None

    @property
    def family(self) -> Family | None:
        """None for both."""
        network = self.source or self.destination
        return network.version if network else None


@dataclass(frozen=True, slots=True)
class Chain:
    """`seeing` says which connections come here first; None for a chain that only jumps lead to."""

    name: ChainName
    seeing: Hook | None
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All that is set: the chains, those that are jumped to first, and the families for which they are, which is IPv4 if IPv6 is off."""

    chains: tuple[Chain, ...]
    families: tuple[Family, ...]


def rules_of(options: CaptureOptions, *, ipv6: bool) -> RuleSet:
    """The rules that these options ask for."""
    families: tuple[Family, ...] = (4, 6) if ipv6 else (4,)

    def chain(name: ChainName, seeing: Hook | None, rules: Iterable[Rule]) -> Chain:
        return Chain(name, seeing, tuple(rule for rule in rules if rule.family in (None, *families)))

    return RuleSet(
        (
            chain("inbound", None, _inbound(options)),
            chain("prerouting", "PREROUTING", (Rule(Jump("inbound")),)),
            chain("output", "OUTPUT", _output(options)),
        ),
        families,
    )


def excluded_inbound(options: CaptureOptions) -> tuple[int, ...]:
    """The ports that are never captured inbound, sorted."""
    return tuple(sorted({*OWN_PORTS, *options.exclude_inbound_ports}))


def included_inbound(options: CaptureOptions) -> tuple[int, ...] | None:
    """The only ports that are captured inbound; None for all but the excluded ones."""
    if options.include_inbound_ports is None:
        return None
    excluded = excluded_inbound(options)
    return tuple(port for port in options.include_inbound_ports if port not in excluded)


def _inbound(options: CaptureOptions) -> Iterator[Rule]:
    included = included_inbound(options)
    if included is not None:
        yield from (Rule(Redirect(INBOUND_PORT), port=port) for port in included)
        return
    yield from (Rule(Return(), port=port) for port in excluded_inbound(options))
    yield Rule(Redirect(INBOUND_PORT))


def _output(options: CaptureOptions) -> Iterator[Rule]:
    """What the proxy sends over loopback to an address of its Pod is a workload calling its own Service: it comes in as any other call
    does. Towards the application it comes from an address of its own, which the first rules know."""
    yield from (Rule(Return(), source=address) for address in TOWARDS_APPLICATION)
    yield from (Rule(Return(), destination=network) for network in LOOPBACK_NETWORKS)
    yield Rule(Jump("inbound"), interface_out=LOOPBACK, user=options.user)
    yield Rule(Jump("inbound"), interface_out=LOOPBACK, group=options.user)
    yield Rule(Return(), interface_out=LOOPBACK)
    yield Rule(Return(), user=options.user)
    yield Rule(Return(), group=options.user)
    yield from (Rule(Return(), destination=network) for network in options.exclude_outbound_networks)
    yield from (Rule(Return(), port=port) for port in options.exclude_outbound_ports)
    yield Rule(Redirect(OUTBOUND_PORT))
