"""From a server name to the rule that serves a connection: the rules of TLSRoutes, TCPRoutes and UDPRoutes at one listener.

The most specific hostname decides, in the order of `hosts`; TCP and UDP have no name, and their rules stand at the empty one. Of several
rules at one hostname the oldest serves, then the first by route and index: the others wait for it to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.ir.rule import StreamRule
from gateway.ir.value import Identity
from gateway.routing.hosts import HostTable

Payload = TypeVar("Payload")
Rank = tuple[bool, str, str, int, Identity]
"""Age, unknown ones last, then route, index and kind with key."""


class StreamEntry(NamedTuple, Generic[Payload]):
    """A rule at one hostname; the lowest rank serves."""

    rank: Rank
    payload: Payload


class StreamTable(Generic[Payload]):
    """Shared and never edited; `edit` makes the next one."""

    __slots__ = ("_hostnames", "_hosts", "names_servers")

    def __init__(self) -> None:
        self._hosts: HostTable[tuple[StreamEntry[Payload], ...]] = HostTable()
        self._hostnames: dict[Identity, tuple[bytes, ...]] = {}
        """Where each rule stands."""
        self.names_servers = False
        """Whether any rule is for a server name, so that it has to be known."""

    def choose(self, server_name: bytes) -> Payload | None:
        """The rule for a server name, b'' for none; None where no rule serves it."""
        entries = self._hosts.choose(server_name)
        return None if entries is None else entries[0].payload

    def considered(self, server_name: bytes) -> tuple[StreamEntry[Payload], ...]:
        """The rules whose hostnames cover the name, in the order in which they would serve it."""
        return tuple([entry for entries in self._hosts.levels(server_name) for entry in entries])

    def payloads(self) -> tuple[Payload, ...]:
        """Every rule, once for each of its hostnames, in no order."""
        return tuple([entry.payload for entries in self._hosts.values() for entry in entries])

    def edit(self) -> StreamTableEditor[Payload]:
        return StreamTableEditor(self)


class StreamTableEditor(Generic[Payload]):
    """Makes the table that comes after one; `finish` gives it, once."""

    __slots__ = ("_hostnames", "_hosts")

    def __init__(self, table: StreamTable[Payload]) -> None:
        self._hosts = table._hosts.copy()
        self._hostnames = table._hostnames.copy()

    def put(self, rule: StreamRule, hostnames: Sequence[str], payload: Payload) -> None:
        """In place of the version that is there, if there is one."""
        self.remove(rule.identity)
        entry = StreamEntry((not rule.created, rule.created, rule.route, rule.index, rule.identity), payload)
        names = tuple(dict.fromkeys([hostname.encode("ascii") for hostname in hostnames]))
        for name in names:
            self._hosts.put(name, tuple(sorted((*(self._hosts.get(name) or ()), entry), key=_rank)))
        self._hostnames[rule.identity] = names

    def remove(self, identity: Identity) -> None:
        """A rule that is not there is no error."""
        for name in self._hostnames.pop(identity, _NOWHERE):
            left = tuple([entry for entry in self._hosts.get(name) or () if entry.rank[-1] != identity])
            if left:
                self._hosts.put(name, left)
            else:
                self._hosts.remove(name)

    def finish(self) -> StreamTable[Payload]:
        table: StreamTable[Payload] = StreamTable()
        table._hosts, table._hostnames = self._hosts, self._hostnames
        table.names_servers = any(map(any, self._hostnames.values()))
        return table


_NOWHERE: Final[tuple[bytes, ...]] = ()


def _rank(entry: StreamEntry[Payload]) -> Rank:
    return entry.rank
