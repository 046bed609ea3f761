"""Loopback addresses in the place of Pods and capture rules: those of a workload of `tidegate run --mesh`, and what is served there (pure).

A mesh on one machine has a network of loopback, by default 127.1.0.0/16. Its first 256 addresses are the cluster's, and each workload has
256 more, a block whose number stands in the third place:

    127.1.0.K   the address of a Service (spec.clusterIP), which nothing listens at
    127.1.N.1   a Pod's address: its sidecar takes what comes for it, and is asked for its health and metrics
    127.1.N.2   where the application itself listens
    127.1.N.K   the same Service for this workload: its sidecar listens there, as if what was sent to 127.1.0.K had been captured
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from gateway.following.desired import Difference
from gateway.ir.backend import Backend
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Capture, Listener
from gateway.ir.value import Identity

POD: Final = 1
APPLICATION: Final = 2
FIRST_SERVICE: Final = 16
LAST: Final = 254

_BELOW: Final = (
    "ports below 1024 need a privilege: write a port of the Service, or a targetPort, of 1024 or more, or set the sysctl "
    "net.ipv4.ip_unprivileged_port_start to 80"
)
_REMEDIES: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EADDRINUSE: "`ss -lntp` shows what holds it: a program that listens on all addresses, which must listen on its Pod's alone "
        "($POD_IP, by a fieldRef of status.podIP), or another mesh, which must have another --mesh-block",
        errno.EACCES: _BELOW,
        errno.EPERM: _BELOW,
        errno.EADDRNOTAVAIL: "only Linux has all addresses of 127.0.0.0/8",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.ENFILE: "raise the limit of open files of this machine",
    }
)


def loopback_network(text: str, length: int, example: str) -> str:
    """The first address of a network of loopback addresses with a prefix of this length. Raises ValueError for anything else."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        network = None
    if network is None or network.prefixlen != length or not network.is_loopback:
        raise ValueError(f"{text!r} is no network of {1 << 32 - length:,} loopback addresses; write for example {example}")
    return str(network.network_address)


class WorkloadBlock(NamedTuple):
    """The addresses of one workload: the first three numbers of them."""

    prefix: str

    @classmethod
    def parse(cls, text: str) -> WorkloadBlock:
        """Of a network such as 127.1.3.0/24. Raises ValueError."""
        return cls(loopback_network(text, 24, "127.1.3.0/24").rpartition(".")[0])

    def address(self, number: int) -> str:
        """The one that ends with this number."""
        return f"{self.prefix}.{number}"

    @property
    def pod(self) -> str:
        """What others know the Pod by."""
        return self.address(POD)

    @property
    def application(self) -> str:
        """Where the application listens."""
        return self.address(APPLICATION)

    def of_service(self, cluster_address: str) -> str | None:
        """Where this workload reaches the Service that has this address; None for one that is of no mesh on this machine."""
        network, _, number = cluster_address.rpartition(".")
        same = network == f"{self.prefix.rpartition('.')[0]}.0"
        return self.address(int(number)) if same and FIRST_SERVICE <= int(number) <= LAST else None

    def __str__(self) -> str:
        return f"{self.prefix}.0/24"


class LoopbackPlacing:
    """Where the sidecar of a workload serves (gateway.following.placing.Placing): each port of each Service at an address of the block, and
    each port of the workload of which something is said at the Pod's. What is for all other destinations has no place and is not served."""

    __slots__ = ("_block",)

    remedies = _REMEDIES

    def __init__(self, block: WorkloadBlock) -> None:
        self._block = block

    def place(self, difference: Difference) -> Difference:
        """See Placing."""
        placed: list[AnyResource] = []
        nowhere: list[Identity] = []
        for resource in difference.set:
            found = self._placed(resource)
            if found is None:
                nowhere.append(resource.identity)
            else:
                placed.append(found)
        return Difference(tuple(placed), (*difference.remove, *nowhere))

    def _placed(self, resource: AnyResource) -> AnyResource | None:
        if isinstance(resource, Listener) and resource.capture is not None:
            return self._listener(resource, resource.capture)
        if isinstance(resource, Backend) and resource.original_destination == "OwnPod":
            # No rules have to know what has been through here: the application is one destination as others are.
            return replace(resource, original_destination="Elsewhere")
        return resource

    def _listener(self, listener: Listener, capture: Capture) -> Listener | None:
        if capture.direction == "Inbound":
            address, destination = (self._block.pod if listener.port else None), self._block.application
        else:
            destination = next((each for each in capture.addresses if self._block.of_service(each)), "")
            address = self._block.of_service(destination) if destination else None
        if address is None:
            return None
        return replace(listener, address=address, bind_port=listener.port, capture=replace(capture, destination=destination))
