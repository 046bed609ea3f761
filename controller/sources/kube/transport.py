"""Requests to the API server: one answer, or the lines of a watch. Owner of the HTTP connections.

Nothing waits for ever: connecting, the head of an answer, and each silence within it have their limits. Whatever goes wrong is an ApiError.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.client.rest import RESTClientObject

from controller.sources.kube.access import Access, NoAccess
from controller.sources.kube.errors import ApiError, Unreachable, asked, pause_of, refused, remedy_of
from controller.sources.kube.resources import Resource
from controller.sources.kube.timing import Timing

LONGEST_LINE: Final = 16 << 20
"""Bytes of one event of a watch; etcd holds no object of more than 1.5 MiB unless told to."""

_READ_AHEAD: Final = 2 << 20
"""Bytes of an answer that are read before they are taken."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
"""Server-side apply reads YAML, of which JSON is a part."""

_METHODS: Mapping[str, str] = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""ValueError is what aiohttp raises for an address or a proxy that cannot be one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a verb of RBAC, of which resource, and with it a body (as JSON) or query."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

    def __str__(self) -> str:
        return asked(self.verb, self.resource, self.namespace, self.name, self.subresource)

    def refused(self, status: int, body: Any, retry_after: float | None = None) -> ApiError:
        """The error that an answer of this status is."""
        return refused(status, body, retry_after, str(self), remedy_of(status, self.verb, self.resource, self.subresource))


class Transport:
    """Connections to one API server; use it with `async with`."""

    def __init__(self, access: Access, timing: Timing) -> None:
        self._access = access
        self._timing = timing
        self._made_from = b""
        self._connections: list[_Connections] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in self._connections:
            await each.close()
        self._connections.clear()

    async def send(self, request: Request) -> Any:
        """The JSON value that answers. Raises ApiError."""
        timing = self._timing
        try:
            async with await self._open(request, timing.read) as answer:
                body = await answer.read()
        except _FAULTS as error:
            raise self._unreachable(request, error, timing.read) from error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            text = "the answer is not JSON; look whether a proxy stands before the API server"
            raise Unreachable(0, "", text, None, str(request)) from error

    async def lines(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The lines of the answer as they come. Raises ApiError, also when nothing comes for too long."""
        silence = self._timing.watch_silence
        rest = b""
        try:
            async with await self._open(request, silence) as answer:
                async for chunk in answer.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        if line:
                            yield line
                    if len(rest) > LONGEST_LINE:
                        raise Unreachable(0, "", f"an event is larger than {LONGEST_LINE >> 20} MiB", None, str(request))
        except _FAULTS as error:
            raise self._unreachable(request, error, silence) from error

    async def _open(self, request: Request, silence: float) -> aiohttp.ClientResponse:
        session, proxy = await self._session(request)
        headers = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "tidegate"}
        if (authorization := await self._access.authorization()) is not None:
            headers["Authorization"] = authorization
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        path = request.resource.path(request.namespace, request.name, request.subresource)
        configuration = self._access.configuration
        answer = await session.request(
            _METHODS[request.verb],
            f"{str(configuration.host).rstrip('/')}{path}",
            params=request.query,
            data=orjson.dumps(request.body) if request.body is not None else None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(sock_connect=self._timing.connect, sock_read=silence),
            allow_redirects=False,
            proxy=proxy,
            server_hostname=configuration.tls_server_name,
        )
        if 200 <= answer.status <= 299:
            return answer
        async with answer:
            if answer.status == 401:
                self._access.expire()
            raise request.refused(answer.status, await answer.read(), pause_of(answer.headers.get("Retry-After")))

    async def _session(self, request: Request) -> tuple[aiohttp.ClientSession, str | None]:
        """The session of the files as they are now, and the proxy to go through. What runs on an earlier one, a watch at most, ends there
        within its minute."""
        try:
            await self._access.refresh()
        except NoAccess as error:
            raise Unreachable(0, "", str(error), None, str(request)) from error
        if not self._connections or self._made_from != self._access.fingerprint:
            self._connections.append(_Connections(self._access.configuration))
            self._made_from = self._access.fingerprint
            while len(self._connections) > 2:
                await self._connections.pop(0).close()
        found = self._connections[-1]
        return found.session, found.proxy

    def _unreachable(self, request: Request, error: Exception, silence: float) -> ApiError:
        if isinstance(error, asyncio.TimeoutError):
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            seconds = self._timing.connect if connecting else silence
            what = f"{'no connection' if connecting else 'no word'} within {seconds:g} s"
        else:
            what = str(error) or type(error).__name__
        host = self._access.configuration.host
        return Unreachable(0, "", f"the API server at {host} is not reached: {what}", None, str(request))


class _Connections:
    """Connections as kubernetes_asyncio makes them, in a session of ours: its own looks into the environment and for ~/.netrc before
    every request, each in another thread, which takes longer than all the rest of a request."""

    def __init__(self, configuration: Configuration) -> None:
        self._made = RESTClientObject(configuration)
        self.proxy: str | None = configuration.proxy or _proxy_of_environment(str(configuration.host))
        self.session = aiohttp.ClientSession(
            connector=self._made.pool_manager.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_AHEAD,
        )

    async def close(self) -> None:
        await self.session.close()
        await self._made.close()


def _proxy_of_environment(address: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of an address."""
    scheme, host = urlsplit(address).scheme, urlsplit(address).netloc
    return None if proxy_bypass(host) else getproxies().get(scheme)
