"""What a Pod's rules do to its connections, in the kernel: each backend and each family the same."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

import pytest

from mesh.capture.backends import Backend
from mesh.capture.iptables import Iptables
from mesh.capture.loopback import add_address
from mesh.capture.nftables import Nftables
from mesh.capture.options import CaptureOptions
from mesh.capture.program import find
from mesh.capture.rules import rules_of
from tests.faults.seclusion import secluded
from tests.mesh.capture.pod import APPLICATION, FAMILIES, HEALTH_PORT, OTHER_PORT, PORT, PROXY, Arrival, Family, Pod
from tests.wire.backends import LIMIT

BACKENDS: Final[dict[str, tuple[str, Callable[[], Backend]]]] = {
    "nftables": ("nft", Nftables),
    "iptables-nft": ("iptables-nft-restore", lambda: Iptables("-nft")),
    "iptables-legacy": ("iptables-legacy-restore", lambda: Iptables("-legacy")),
}

pytestmark = [
    pytest.mark.parametrize("backend", BACKENDS),
    pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family.number}"),
]


EVERYTHING: Final = CaptureOptions()


def capture(backend: str, options: CaptureOptions = EVERYTHING) -> None:
    """Sets the rules; skips the test where the kernel or a program is missing."""
    program, make = BACKENDS[backend]
    if find(program) is None:
        pytest.skip(f"the program {program} is needed: make test-peers installs it as root")
    rules, chosen = rules_of(options, ipv6=True), make()
    complaint = chosen.complaint(rules)
    if complaint is not None:
        pytest.skip(f"this kernel has no {backend}: {complaint}")
    add_address()
    chosen.set(rules)


@secluded
def test_what_the_application_sends_anywhere_comes_to_the_outbound_port(backend: str, family: Family) -> None:
    """Mesh: outbound TCP goes to 15001, and its original destination is known, on whatever port and in whatever network it is."""
    with Pod() as pod:
        capture(backend)
        for address, port in ((family.far, PORT), (family.elsewhere, OTHER_PORT), (family.elsewhere, 443), (family.far, HEALTH_PORT)):
            assert pod.reaches(address, port) == Arrival("outbound", (address, port), family.here)


@secluded
def test_what_the_proxy_sends_goes_where_it_is_going(backend: str, family: Family) -> None:
    """Mesh: the proxy, by user or by group, is not captured outbound, or it would be its own client for ever."""
    with Pod() as pod:
        capture(backend)
        for user, group in ((PROXY, PROXY), (PROXY, 0), (APPLICATION, PROXY)):
            arrival = pod.reaches(family.elsewhere, PORT, user, group)
            assert arrival == Arrival(f"far {PORT}", (family.elsewhere, PORT), family.here)


@secluded
def test_what_comes_in_goes_to_the_inbound_port_with_the_address_of_its_client(backend: str, family: Family) -> None:
    """Mesh: inbound TCP goes to 15006; the original destination is the Pod's own address, and the client stays who it is."""
    with Pod() as pod:
        capture(backend)
        for port in (PORT, 443):
            assert pod.reached_from_far(family.here, port) == Arrival("inbound", (family.here, port), family.far)


@secluded
def test_the_proxys_own_ports_and_the_excluded_ones_are_reached_as_they_are(backend: str, family: Family) -> None:
    """--exclude-inbound-ports, and 15020, 15021 and 15090 in any case: probes and scrapes do not depend on the mesh."""
    with Pod() as pod:
        capture(backend, CaptureOptions(exclude_inbound_ports=(OTHER_PORT,)))
        assert pod.reached_from_far(family.here, HEALTH_PORT).at == "health"
        assert pod.reached_from_far(family.here, OTHER_PORT).at == "other"
        assert pod.reached_from_far(family.here, PORT).at == "inbound"


@secluded
def test_where_ports_are_included_nothing_else_is_captured_inbound(backend: str, family: Family) -> None:
    """--include-inbound-ports; what is excluded wins over it, and outbound connections are not its concern."""
    with Pod() as pod:
        capture(backend, CaptureOptions(include_inbound_ports=(PORT, HEALTH_PORT)))
        assert pod.reached_from_far(family.here, PORT).at == "inbound"
        assert pod.reached_from_far(family.here, OTHER_PORT).at == "other"
        assert pod.reached_from_far(family.here, HEALTH_PORT).at == "health"
        assert pod.reaches(family.far, OTHER_PORT).at == "outbound"


@secluded
def test_excluded_destinations_are_reached_as_they_are(backend: str, family: Family) -> None:
    """--exclude-outbound-ports and --exclude-outbound-cidrs; each by itself, and nothing beside them."""
    network = ip_network("198.51.100.0/24" if family.number == 4 else "2001:db8:7::/48")
    with Pod() as pod:
        capture(backend, CaptureOptions(exclude_outbound_ports=(OTHER_PORT,), exclude_outbound_networks=(network,)))
        assert pod.reaches(family.far, OTHER_PORT).at == f"far {OTHER_PORT}"
        assert pod.reaches(family.elsewhere, PORT).at == f"far {PORT}"
        assert pod.reaches(family.far, PORT).at == "outbound"


@secluded
def test_a_network_of_all_addresses_leaves_out_its_family_alone(backend: str, family: Family) -> None:
    """--exclude-outbound-cidrs 0.0.0.0/0, or ::/0: the other family stays captured."""
    other = next(other for other in FAMILIES if other != family)
    everything = ip_network("0.0.0.0/0" if family.number == 4 else "::/0")
    with Pod() as pod:
        capture(backend, CaptureOptions(exclude_outbound_networks=(everything,)))
        assert pod.reaches(family.elsewhere, PORT).at == f"far {PORT}"
        assert pod.reaches(other.elsewhere, PORT).at == "outbound"


@secluded
def test_what_the_application_says_to_itself_stays_in_the_pod(backend: str, family: Family) -> None:
    """Mesh: over loopback, and to its own Pod's address, it reaches itself without the proxy."""
    with Pod() as pod:
        capture(backend)
        assert pod.reaches(family.loopback, PORT) == Arrival("application", (family.loopback, PORT), family.loopback)
        assert pod.reaches(family.here, PORT) == Arrival("application", (family.here, PORT), family.here)
        assert pod.reaches(family.loopback, PORT, PROXY, PROXY).at == "application"


@secluded
def test_a_workload_that_calls_its_own_service_comes_in_as_others_do(backend: str, family: Family) -> None:
    """Mesh: what the proxy sends to its Pod's own address goes to 15006; a port that is not captured inbound is not here either."""
    with Pod() as pod:
        capture(backend, CaptureOptions(exclude_inbound_ports=(OTHER_PORT,)))
        for user, group in ((PROXY, PROXY), (PROXY, APPLICATION), (APPLICATION, PROXY)):
            assert pod.reaches(family.here, PORT, user, group) == Arrival("inbound", (family.here, PORT), family.here)
        assert pod.reaches(family.here, OTHER_PORT, PROXY, PROXY).at == "other"


@secluded
def test_the_proxy_reaches_the_application_from_an_address_of_its_own(backend: str, family: Family) -> None:
    """Mesh: from 127.0.0.6 and ::6, which exists for it alone, a connection to the Pod's address is left as it is."""
    with Pod() as pod:
        capture(backend)
        for address in (family.here, family.loopback):
            arrival = pod.reaches(address, PORT, PROXY, PROXY, family.towards_application)
            assert arrival == Arrival("application", (address, PORT), family.towards_application)


@secluded
def test_datagrams_pass_in_both_directions(backend: str, family: Family) -> None:
    """Mesh: UDP, DNS above all, is untouched: a question out and its answer, and the other way."""
    kind = socket.AF_INET if family.number == 4 else socket.AF_INET6
    with Pod() as pod:
        capture(backend)
        with socket.socket(kind, socket.SOCK_DGRAM) as here, pod.far.call(lambda: socket.socket(kind, socket.SOCK_DGRAM)) as far:
            here.bind((family.here, 53))
            far.bind((family.far, 53))
            for asking, answering in ((here, far), (far, here)):
                asking.settimeout(LIMIT)
                answering.settimeout(LIMIT)
                asking.sendto(b"who?", answering.getsockname())
                question, client = answering.recvfrom(16)
                answering.sendto(question + b" me", client)
                assert asking.recvfrom(16)[0] == b"who? me"
