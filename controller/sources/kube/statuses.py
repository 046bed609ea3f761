"""The server's side of writing statuses (controller.status_writer.Statuses)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.api.metadata import Key
from controller.sources.kube.client import Client, Value
from controller.sources.kube.errors import ApiError, Conflict, NotFound
from controller.sources.kube.resources import RESOURCES
from controller.sources.kube.shelf import Held
from controller.sources.kube.source import KubeSource
from controller.status_writer import Outdated, Unwritable

_PASSING: Final = frozenset({0, 408, 429})
"""Of the refusals below 500 those that are over after a while; 0 is no answer at all."""


class ServerStatuses:
    """Statuses as a source has seen them, and as a client writes them."""

    def __init__(self, client: Client, source: KubeSource) -> None:
        self._client = client
        self._source = source

    def held(self, key: Key) -> Held | None:
        """See controller.status_writer.Statuses."""
        return self._source.held(key)

    async def read(self, key: Key) -> Held | None:
        """See controller.status_writer.Statuses."""
        kind, namespace, name = key
        try:
            return _held(await self._client.get(RESOURCES[kind], namespace, name))
        except NotFound:
            return None
        except ApiError as error:
            raise _judged(error) from error

    async def write(self, key: Key, held: Any, status: Mapping[str, Any]) -> Held:
        """See controller.status_writer.Statuses."""
        kind, namespace, name = key
        body = {"metadata": {"resourceVersion": held.resource_version, "uid": held.uid}, "status": status}
        try:
            return _held(await self._client.patch(RESOURCES[kind], namespace, name, body, "status"))
        except (Conflict, NotFound) as error:
            raise Outdated from error
        except ApiError as error:
            raise _judged(error) from error


def _judged(error: ApiError) -> Exception:
    if 400 <= error.status < 500 and error.status not in _PASSING:
        return Unwritable(str(error))
    return ConnectionError(str(error))


def _held(raw: Value) -> Held:
    metadata = raw["metadata"]
    status = raw.get("status")
    return Held(metadata["uid"], metadata["resourceVersion"], metadata.get("generation", 1), status if isinstance(status, dict) else {})
