"""The key with which all proxies of one Gateway, and of no other, seal the tokens of session persistence.

A client's session survives another replica of its Gateway only if that reads the token too. The key is derived from the authority's own
(Authority.derived), so every replica of the controller gives the same one, no Secret has to be made in the Gateway's namespace, and no
proxy learns that of another Gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Gateway, Secret

Derive = Callable[[str], bytes]
"""Authority.derived."""


class SessionKeys:
    """Owner of where keys come from. `derive` is set before the first resource comes."""

    def __init__(self) -> None:
        self._derive: Derive | None = None
        self._sample = b""

    def derive_by(self, derive: Derive) -> bool:
        """Keys come from here from now on; whether they are others than before."""
        before, self._sample = self._sample, derive("whether keys are others than before")
        self._derive = derive
        return self._sample != before

    def given(self, resources: Iterable[AnyResource]) -> Iterator[AnyResource]:
        """The same resources, with its key in each Gateway."""
        for resource in resources:
            yield replace(resource, session_key=self._key(resource.key)) if isinstance(resource, Gateway) else resource

    def _key(self, gateway: str) -> Secret:
        assert self._derive is not None
        return Secret(self._derive(f"session tokens of Gateway {gateway}").hex())
