"""What a data plane has of its own beside the controller's configuration, as its composition hands it over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from gateway.admin import Serve
from gateway.following.follower import Connect
from gateway.following.own import Following
from gateway.following.placing import AS_MEANT, Placing
from gateway.ir.batch import AnyResource
from gateway.telemetry.statistics import Sample

Work: TypeAlias = tuple[str, Callable[[], Awaitable[None]]]
"""What goes on beside serving: its name in messages, and what is begun anew should it end."""

_NO_PAGES: Final[Mapping[str, Serve]] = MappingProxyType({})


class Belongings(NamedTuple):
    """All but the connection may be missing, as where there is no TLS on the way to the controller."""

    connect: Connect
    identities: Callable[[], AsyncGenerator[tuple[AnyResource, ...], None]] | None = None
    """See mesh.link.Link."""
    beside: Sequence[Work] = ()
    pod: Following | None = None
    """What follows from what the controller says of a sidecar's Pod."""
    placing: Placing = AS_MEANT
    """Where it serves."""
    waiting: Callable[[], str] = lambda: ""
    """What is missing, besides a configuration, before traffic may come; '' for nothing."""
    samples: Callable[[], Iterable[Sample]] = lambda: ()
    pages: Mapping[str, Serve] = _NO_PAGES
    """Of the health port."""
