"""Active health checks: each endpoint is asked at regular intervals whether it is well (BackendPolicy.healthCheck).

Every worker checks by itself, each time on a connection of its own, over TLS and in HTTP/2 if the backend's requests go so. An endpoint
is healthy until checks say otherwise.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from gateway.ir.backend import HealthCheck
from gateway.net.backend_context import BackendIdentityError
from gateway.net.preface import whereto
from gateway.upstream.check_question import CheckQuestion, Unwell, question_of
from gateway.upstream.connect import Undecided, greeted, open_connection, outside
from gateway.upstream.connections import Connections
from gateway.upstream.endpoint import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.ir.backend import BackendProtocol
    from gateway.net.backend_context import TlsSettings
    from gateway.proxy.core import Core
    from gateway.upstream.endpoint import Endpoint

FIRST_WITHIN: Final = 1.0
"""Seconds within which a new endpoint is checked for the first time, if the interval is not shorter."""


class _Endpoint:
    """What checks know of one endpoint: how many in a row said otherwise than `Health.checked`, and what comes next."""

    __slots__ = ("against", "task", "timer")

    def __init__(self) -> None:
        self.against = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


class Checked(Protocol):
    """A backend, as far as its checks ask it and tell it."""

    def arrange(self) -> None:
        """An endpoint became healthy or unhealthy."""

    def settings_of_checks(self) -> TlsSettings | None:
        """Those of its connections, None for plain ones. Raises ValueError when there are settings that cannot be used."""


class Checks:
    """Owner of the checks of one backend, which may be gone by then."""

    __slots__ = ("_backend", "_checked", "_core", "_key", "_options", "_preface", "_protocol")

    def __init__(self, core: Core, key: str, backend: Callable[[], Checked | None]) -> None:
        """`key` is the backend's; `backend` gives it as long as it is there."""
        self._core, self._key, self._backend = core, key, backend
        self._options: HealthCheck | None = None
        self._protocol: BackendProtocol = "http/1.1"
        self._preface = b""
        self._checked: dict[Endpoint, _Endpoint] = {}

    def follow(
        self, options: HealthCheck | None, endpoints: Iterable[Endpoint], protocol: BackendProtocol, preface: bytes = b""
    ) -> None:
        """Checks just these endpoints from now on, none of them without options. New options begin with what is known so far; `protocol` is
        the backend's, and `preface` what each check sends first."""
        self._protocol, self._preface = protocol, preface
        if options != self._options:
            self.close()
            self._options = options
        wanted = set(endpoints) if options is not None else set()
        for endpoint in self._checked.keys() - wanted:
            self._checked.pop(endpoint).cancel()
        if options is None:
            for endpoint in endpoints:
                endpoint.health.checked, endpoint.health.check_reason = True, ""
            return
        for endpoint in wanted - self._checked.keys():
            state = self._checked[endpoint] = _Endpoint()
            self._after(endpoint, state, min(options.interval / 1000, FIRST_WITHIN) * self._core.random.random())

    def close(self) -> None:
        for state in self._checked.values():
            state.cancel()
        self._checked.clear()

    def _after(self, endpoint: Endpoint, state: _Endpoint, wait: float) -> None:
        state.task = None
        state.timer = self._core.loop.call_later(wait, self._begin, endpoint, state)

    def _begin(self, endpoint: Endpoint, state: _Endpoint) -> None:
        state.timer = None
        state.task = self._core.start(self._check(endpoint, state))

    async def _check(self, endpoint: Endpoint, state: _Endpoint) -> None:
        options = self._options
        assert options is not None
        began = monotonic()
        reason = ""
        try:
            async with asyncio.timeout(options.timeout / 1000):
                await self._ask(endpoint, options)
        except TimeoutError:
            reason = f"no answer within {options.timeout / 1000:g} s"
        except (Unwell, BackendIdentityError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        self._judge(endpoint, state, options, reason)
        spread = 1 + options.jitter / 100 * (2 * self._core.random.random() - 1)
        self._after(endpoint, state, max(options.interval / 1000 * spread - (monotonic() - began), 0.0))

    def _judge(self, endpoint: Endpoint, state: _Endpoint, options: HealthCheck, reason: str) -> None:
        health = endpoint.health
        if reason:
            self._core.incidents.count("tidegate_health_check_failures_total", self._key)
        if health.checked == (not reason):
            state.against = 0
            health.check_reason = reason
            return
        state.against += 1
        if state.against >= (options.unhealthy_threshold if reason else options.healthy_threshold):
            state.against = 0
            health.checked = not reason
            health.check_reason = reason
            backend = self._backend()
            if backend is not None:
                backend.arrange()

    async def _ask(self, endpoint: Endpoint, options: HealthCheck) -> None:
        """Returns if the endpoint is well. Raises Unwell, OSError and what else `_check` expects."""
        core, backend = self._core, self._backend()
        settings = (backend.settings_of_checks() if backend is not None else None) or endpoint.plain.settings
        address = await core.resolver.address(endpoint.address)
        if (address, endpoint.port) in core.forbidden:
            raise Unwell("an address of this proxy itself")
        alone = Connections(tuple, 1, 0)  # it is none of the backend's connections, and rests nowhere
        alone.reserve()
        alone.protocol = "h2c" if options.grpc is not None and self._protocol == "http/1.1" else self._protocol
        undecided = Undecided(core, endpoint, Pool(settings, alone, preface=self._preface))
        reached = await whereto(core.loop, address, endpoint.port, outside(self._preface, settings))
        transport = await open_connection(core.loop, undecided, reached, settings, None)
        try:
            host = settings.server_hostname.encode() if settings is not None and not settings.inside else endpoint.label
            question = question_of(options, host)
            if question is not None:
                await put(question, undecided, core.loop)
        finally:
            transport.abort()


async def put(question: CheckQuestion, undecided: Undecided, loop: asyncio.AbstractEventLoop) -> None:
    """Puts a question on a connection that was just made, and waits for the answer. Raises Unwell and OSError."""
    if undecided.made is not None:
        await greeted(undecided.made)
    heard = question.listen(loop)
    stream = undecided.stream
    assert stream is not None
    stream.exchange = question
    if question.body:
        stream.send_head(question.head)
        stream.send_data(question.body)
        stream.send_end()
    else:
        stream.send_whole(question.head)
    await heard
