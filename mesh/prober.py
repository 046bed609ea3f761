"""The pages at which kubelet asks for the application beside a sidecar: each asks the application, and says what it said.

The application may listen on the Pod's address alone, since that is where kubelet asks. So it is asked there, from an address by which the
capture rules know that the question is the sidecar's and is not to come in again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import Any, Final

from gateway.admin import Page, Request, Serve
from gateway.upstream.check_question import Unwell
from mesh import http_probe
from mesh.grpc_probe import GrpcProber
from mesh.http_probe import ProbeFailed
from mesh.probes import Grpc, Probe, Probes, TcpSocket, timeout_of

_SOURCES: Final = {4: "127.0.0.6", 6: "::6"}
_REFUSED: Final = 503
_LATE: Final = 504


class Prober:
    """Asks the application at `address`, an IP address of the Pod."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._grpc: GrpcProber | None = None

    def pages(self, probes: Probes) -> dict[str, Serve]:
        """By path."""
        return {path: self._page(path, probe) for path, probe in probes}

    def _page(self, path: str, probe: Probe) -> Serve:
        limit = timeout_of(path, probe)

        async def serve(_: Request) -> Page:
            try:
                async with asyncio.timeout(limit):
                    return await self._ask(probe)
            except TimeoutError:
                return _told(_LATE, f"did not answer within {limit:g} s")
            except (ProbeFailed, OSError, ValueError) as error:
                return _told(_REFUSED, f"failed its probe: {error or type(error).__name__}")

        return serve

    async def _ask(self, probe: Probe) -> Page:
        """Raises ProbeFailed, OSError and ValueError."""
        match probe:
            case Probe(http_get=get) if get is not None:
                answer = await http_probe.ask(get, self._address, self._connect)
                return Page(answer.body, answer.content_type, answer.status)
            case Probe(tcp_socket=TcpSocket(port=port, host=host)):
                _, writer = await self._connect(host, port, None)
                writer.transport.abort()
                return Page(b"connected\n")
            case Probe(grpc=Grpc(port=port, service=service)):
                await self._call(port, service or "")
                return Page(b"serving\n")
            case _:
                raise ProbeFailed("there is nothing to ask")

    async def _call(self, port: int, service: str) -> None:
        if self._grpc is None:
            self._grpc = GrpcProber(asyncio.get_running_loop())
        try:
            await self._grpc.ask(service, (self._address, port), self._arguments(self._address, port))
        except Unwell as error:
            raise ProbeFailed(str(error)) from None

    async def _connect(self, host: str, port: int, secure: ssl.SSLContext | None) -> http_probe.Streams:
        """Raises OSError."""
        return await asyncio.open_connection(**self._arguments(host or self._address, port), ssl=secure)

    def _arguments(self, host: str, port: int) -> dict[str, Any]:
        """Of `create_connection`. Only to the Pod itself is it a matter of where a connection comes from."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return {"host": host, "port": port}
        own = address.is_loopback or host == self._address
        return {"host": host, "port": port, **({"local_addr": (_SOURCES[address.version], 0)} if own else {})}


def _told(status: int, what: str) -> Page:
    return Page(f"the application {what}\n".encode(), status=status)
