"""The proxy's end of the link to its controller: an identity, and encrypted connections on which the configuration stream runs.

The identity is asked for with the ServiceAccount's token on a connection of its own, and renewed at half life. Connections that
are there stay: a new identity is for new ones. One that cannot be renewed is used for as long as it is valid, and the log says until when;
so is one that was kept from the process before (kept_identity.py).
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from cryptography import x509

from gateway.ir.batch import AnyResource
from gateway.ir.identification import Elsewhere, Identify, Identity, Refused, decode_identification, encode_identification
from gateway.ir.listener import Certificate, TrustBundle
from gateway.ir.workload import called
from gateway.net.keepalive import notice_vanished_backend
from gateway.subscribe import LINE_LIMIT
from mesh.own_identity import identity_resources
from mesh.rotation import renew_at, wait_after
from mesh.signing_request import KeyPair, client_context

_DEADLINE: Final = 5.0
"""Seconds for a connection and its handshake, and for the answer to Identify."""
_REPLICA_DEADLINE: Final = 2.0
"""The same to a replica that is named: it is reached at once, or not at all."""
_ANSWER_LIMIT: Final = 256 << 10
"""Bytes of the answer to Identify: a chain and some roots."""
_SHORT_LIVED: Final = 5.0
"""Seconds: after a connection that ended sooner the identity is doubted, and renewed if that is possible. With TLS 1.3 a certificate that
the server does not take ends the connection only after our side of the handshake is done."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LinkError(ConnectionError):
    """The controller cannot be reached, is not who it should be, or refuses us; the message says which and what to mend."""


class Controller(NamedTuple):
    """Where the controller is, and the files that prove each to the other; both are read again whenever they are needed."""

    address: str
    """HOST:PORT; the host is the DNS name that its certificate must bear."""
    trust: Path
    """PEM of the roots that vouch for it (ca.crt)."""
    token: Path
    """Our ServiceAccount's token for it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """An identity in use. Times are seconds of the clock."""

    identity: Identity
    keys: KeyPair
    trust: str
    renew_at: float
    not_after: float


class Link:
    """Owner of a proxy's identity. `proxy` and `scope` (see gateway.ir.batch.Subscribe) are what it is called in messages and logs.

    failed_at  when a renewal failed last (seconds of the clock), 0 for never
    """

    def __init__(
        self,
        controller: Controller,
        proxy: str,
        scope: str,
        clock: Callable[[], float] = time.time,
        message: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._controller = controller
        self._host = controller.address.rpartition(":")[0]
        self._proxy, self._scope = proxy, scope
        self._clock = clock
        self._message = message
        self.failed_at = 0.0
        self._held: _Held | None = None
        self._renewing = asyncio.Lock()
        self._failures = 0
        self._try_at = 0.0
        self._connected_at: float | None = None
        self._news = asyncio.Event()
        self._told: bool | None = None
        """What the log says of an identity that could not be renewed: whether it is over; None if nothing."""
        self._renewed = asyncio.Event()
        """Of the next identity; each has an event of its own."""

    @property
    def identity(self) -> Identity | None:
        """What was issued last, None before the first."""
        return None if self._held is None else self._held.identity

    @property
    def not_after(self) -> float:
        """When the identity ends (seconds of the clock), 0 while there is none."""
        return 0.0 if self._held is None else self._held.not_after

    def resume(self, certificate: Certificate, roots: TrustBundle) -> None:
        """Goes on under an identity that was this proxy's before it was started anew, until there is the next, which is asked for with the
        first connection. To be called before anything else. Raises LinkError for one that is over or was never one."""
        try:
            keys = KeyPair.of(certificate.private_key.pem)
            held = self._hold(Identity(certificate.chain, roots.certificates), keys, trust="")
        except ValueError as error:
            raise LinkError(f"it cannot be read: {error}") from error
        if held.not_after <= self._clock():
            raise LinkError(f"it was good until {_utc(held.not_after)}")
        self._held = held

    async def identities(self) -> AsyncGenerator[tuple[AnyResource, ...], None]:
        """The identity, with its key and the roots, as the resources to serve with: that of now, and each new one. Whoever is slow gets
        the newest alone."""
        last: Identity | None = None
        while True:
            renewed, held = self._renewed, self._held
            if held is not None and held.identity is not last:
                last = held.identity
                yield identity_resources(last.chain, held.keys.private_key(), last.roots)
            else:
                await renewed.wait()

    async def connect(self, address: str = "") -> Connection:
        """A new connection under the present identity, which is got or renewed first where that is due; to the replica at `address`
        (HOST:PORT) if there is one named, whose certificate bears the controller's name all the same.

        Waits where the controller has refused before, longer each time. Raises LinkError; whoever calls tries again.
        """
        if not address and self._connected_at is not None and self._clock() - self._connected_at < _SHORT_LIVED and self._held is not None:
            self._held = replace(self._held, renew_at=0.0)
        self._connected_at = None
        trust = self._read(self._controller.trust)
        held = await self._current(trust)
        try:
            context = client_context(self._vouching(trust))
            held.keys.load_into(context, held.identity.chain)
        except (ssl.SSLError, ValueError) as error:
            self._held = None
            raise LinkError(f"the identity that {self._controller.address} issued cannot be used: {error}") from error
        connection = await self._open(context, LINE_LIMIT, address)
        self._connected_at = self._clock()
        return connection

    async def keep(self) -> None:
        """Renews the identity when it is due, for as long as it runs; without it only `connect` does."""
        while True:
            held = self._held
            if held is None:
                self._news.clear()
                await self._news.wait()
                continue
            await asyncio.sleep(max(held.renew_at - self._clock(), 1.0))
            try:
                await self._current(self._read(self._controller.trust))
            except LinkError:
                pass  # `connect` meets the same, and says it

    async def _current(self, trust: str) -> _Held:
        """The identity, renewed where it is due or was issued under other roots. One that is valid does for as long as that fails."""
        async with self._renewing:
            held, now = self._held, self._clock()
            if held is not None and now < held.renew_at and held.trust == trust:
                return held
            usable = held if held is not None and now < held.not_after else None
            wait = self._try_at - asyncio.get_running_loop().time()
            if usable is not None and wait > 0:
                return usable
            await asyncio.sleep(max(wait, 0.0))
            try:
                self._held = await self._identify(trust)
            except LinkError as error:
                self._failures += 1
                self._try_at = asyncio.get_running_loop().time() + wait_after(self._failures, random.random())
                self.failed_at = self._clock()
                if held is not None:
                    self._tell_end(held, error)
                if usable is None:
                    raise
                return usable
            self._take_up()
            return self._held

    def _take_up(self) -> None:
        if self._told is not None:
            self._message("the identity is renewed")
        self._failures, self._try_at, self._told = 0, 0.0, None
        self._news.set()
        self._renewed.set()
        self._renewed = asyncio.Event()

    def _tell_end(self, held: _Held, error: LinkError) -> None:
        """Once when a renewal fails, and once when it is too late; that it goes on failing is no news."""
        is_over = self.failed_at >= held.not_after
        if self._told != is_over:
            self._told = is_over
            what = "was good" if is_over else "is good"
            self._message(f"the identity could not be renewed; the one of before {what} until {_utc(held.not_after)}: {error}")

    def _vouching(self, trust: str) -> str:
        """The roots that vouch for the controller: those of the file, and what it has itself told of since with an identity issued under
        these. The kubelet takes its time to change a file, a minute or two, and where lives are short that is too long."""
        held = self._held
        return trust if held is None or held.trust != trust else f"{trust}\n{held.identity.roots}"

    async def _identify(self, trust: str) -> _Held:
        keys = KeyPair()
        question = Identify(self._proxy, self._read(self._controller.token).strip(), keys.request())
        try:
            context = client_context(self._vouching(trust))
        except (ssl.SSLError, ValueError) as error:
            raise LinkError(f"{self._controller.trust} holds no readable CERTIFICATE in PEM: {error}") from error
        reader, writer = await self._open(context, _ANSWER_LIMIT)
        try:
            async with asyncio.timeout(_DEADLINE):
                writer.write(encode_identification(question))
                answer = decode_identification(await reader.readline())
        except (TimeoutError, ValueError, msgspec.MsgspecError) as error:
            raise LinkError(f"{self._controller.address} gave no proper answer to Identify: {error or 'it took too long'}") from error
        finally:
            writer.close()
        match answer:
            case Identity():
                return self._hold(answer, keys, trust)
            case Refused():
                raise LinkError(f"{self._controller.address} refuses to identify {self._proxy} of {called(self._scope)}: {answer.reason}")
            case Identify() | Elsewhere():
                raise LinkError(f"{self._controller.address} answered Identify with what is no answer to it")

    def _hold(self, answer: Identity, keys: KeyPair, trust: str) -> _Held:
        try:
            leaf = x509.load_pem_x509_certificate(answer.chain.encode())
        except ValueError as error:
            raise LinkError(f"{self._controller.address} issued what is no certificate: {error}") from error
        end = leaf.not_valid_after_utc.timestamp()
        return _Held(answer, keys, trust, renew_at(self._clock(), end, random.random()), end)

    async def _open(self, context: ssl.SSLContext, limit: int, address: str = "") -> Connection:
        host, _, port = (address or self._controller.address).rpartition(":")
        try:
            async with asyncio.timeout(_REPLICA_DEADLINE if address else _DEADLINE):
                reader, writer = await asyncio.open_connection(
                    host.strip("[]"), int(port), ssl=context, server_hostname=self._host, limit=limit, ssl_shutdown_timeout=1.0
                )
        except TimeoutError as error:
            raise LinkError(f"{address or self._controller.address} did not answer in time") from error
        except ssl.SSLCertVerificationError as error:
            raise LinkError(
                f"{self._controller.address} is not vouched for by {self._controller.trust}, or for another name: {error.verify_message}"
            ) from error
        except OSError as error:
            raise LinkError(f"{self._controller.address} cannot be reached: {error}") from error
        notice_vanished_backend(writer.get_extra_info("socket"))
        return reader, writer

    def _read(self, file: Path) -> str:
        try:
            return file.read_text(encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise LinkError(f"cannot read {file}, which the Pod mounts: {error}") from error


def _utc(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%SZ}"
