"""What the control plane asks the cluster about trust: its own authority's key, kept in a Secret, and whose a token is."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from controller.sources.kube.client import Account, Client
from controller.sources.kube.errors import ApiError, Conflict, NotFound
from controller.sources.kube.resources import RESOURCES
from mesh.authority_store import Stored

SECRET: Final = "tidegate-ca"  # noqa: S105  # its name
ROTATE: Final = "tidegate.dev/rotate-root"
"""The annotation of that Secret by which a user asks for a new root; it goes once there is one."""
AUDIENCE: Final = "tidegate"
"""Of the tokens with which proxies identify themselves."""


class AuthoritySecret:
    """See mesh.authority_store.Store: a Secret in our own namespace, made by whichever replica is first."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def load(self) -> Stored | None:
        """None if it is not there yet. Raises ConnectionError."""
        try:
            found = await self._client.get(RESOURCES["Secret"], self._namespace, SECRET)
        except NotFound:
            return None
        except ApiError as error:
            raise ConnectionError(str(error)) from error
        data = {name: base64.b64decode(value).decode() for name, value in (found.get("data") or {}).items()}
        return Stored(found["metadata"]["resourceVersion"], data, ROTATE in (found["metadata"].get("annotations") or {}))

    async def create(self, data: Mapping[str, str]) -> bool:
        """False if another replica was faster. Raises ConnectionError."""
        try:
            await self._client.create(RESOURCES["Secret"], self._namespace, self._secret(data))
        except Conflict:
            return False
        except ApiError as error:
            raise ConnectionError(str(error)) from error
        return True

    async def replace(self, data: Mapping[str, str], version: str) -> bool:
        """False if another replica was faster. Raises ConnectionError."""
        try:
            await self._client.replace(RESOURCES["Secret"], self._namespace, SECRET, self._secret(data, resourceVersion=version))
        except Conflict:
            return False
        except ApiError as error:
            raise ConnectionError(str(error)) from error
        return True

    def _secret(self, data: Mapping[str, str], **metadata: str) -> dict[str, Any]:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
        labels = {"app.kubernetes.io/managed-by": "tidegate"}
        place = {"namespace": self._namespace, "name": SECRET, "labels": labels, **metadata}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": place, "data": encoded}


class TokenReviews:
    """See mesh.authority_server.Review."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def review(self, token: str) -> Account | str:
        """Raises ConnectionError if the cluster cannot be asked."""
        try:
            return await self._client.review_token(token, AUDIENCE)
        except ApiError as error:
            raise ConnectionError(str(error)) from error
