"""The pages of the admin server: health, metrics, configuration, explanation, status. Keys never stand on one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from gateway.admin import Page, Request, Serve
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.listener import Certificate, Gateway, Secret
from gateway.telemetry.exposition import OPENMETRICS, PROMETHEUS, Exposition
from gateway.telemetry.statistics import Statistics

_JSON: Final = "application/json"
_REDACTED: Final = Secret("<redacted>")


class Subject(Protocol):
    """The data plane that the pages tell about."""

    def not_ready(self) -> str:
        """Why no traffic should be sent here now; '' when it may."""

    async def statistics(self) -> Statistics:
        """Numbers of all workers there are and were."""

    def configuration(self) -> tuple[int, Iterable[AnyResource]]:
        """The last revision and its resources."""

    async def explain(self, argument: bytes) -> bytes | None:
        """A worker's answer to {"method", "url", "headers", "client", "caller"} in JSON, with the key "error" if it refuses; None if none
        answers."""

    def status(self) -> bytes:
        """Gateways and routes as JSON."""


def pages(subject: Subject) -> dict[str, Serve]:
    """What the admin server serves, by path."""
    exposition = Exposition()
    one_at_a_time = asyncio.Lock()
    """Of the threads that write metrics: an Exposition has one user."""

    async def live(_: Request) -> Page:
        return Page(b"live\n")

    async def ready(_: Request) -> Page:
        reason = subject.not_ready()
        return Page(f"not ready: {reason}\n".encode(), status=503) if reason else Page(b"ready\n")

    async def metrics(request: Request) -> Page:
        write, content_type = exposition.prometheus, PROMETHEUS
        if request.accepts("application/openmetrics-text"):
            write, content_type = exposition.openmetrics, OPENMETRICS
        statistics = await subject.statistics()
        async with one_at_a_time:  # a thousand series of each kind are megabytes of text, and the loop has other things to do
            return Page(await asyncio.to_thread(write, statistics), content_type)

    async def config(_: Request) -> Page:
        revision, resources = subject.configuration()
        shown = [_redacted(resource) for resource in in_order(tuple(resources))]
        return Page(msgspec.json.encode({"revision": revision, "resources": shown}) + b"\n", _JSON)

    async def explain(request: Request) -> Page:
        try:
            argument = msgspec.json.encode(_explained(request))
        except ValueError as error:
            return Page(msgspec.json.encode({"error": str(error)}) + b"\n", _JSON, 400)
        answer = await subject.explain(argument)
        if answer is None:
            return Page(b'{"error":"no worker answers: see /healthz/ready"}\n', _JSON, 503)
        refused = "error" in msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        return Page(answer + b"\n", _JSON, 400 if refused else 200)

    async def status(_: Request) -> Page:
        return Page(subject.status() + b"\n", _JSON)

    return {
        "/healthz/live": live,
        "/healthz/ready": ready,
        "/metrics": metrics,
        "/config": config,
        "/explain": explain,
        "/status": status,
    }


def _redacted(resource: AnyResource) -> AnyResource:
    if isinstance(resource, Certificate):
        return msgspec.structs.replace(resource, private_key=_REDACTED)
    if isinstance(resource, Gateway) and resource.session_key is not None:
        return msgspec.structs.replace(resource, session_key=_REDACTED)
    return resource


def _explained(request: Request) -> dict[str, object]:
    """The request to be explained: ?method=GET&url=http://host/path&header=name:%20value, the last as often as needed; client and caller
    say who asks."""
    unknown = {name for name, _ in request.query} - {"method", "url", "header", "client", "caller", "direction"}
    if unknown:
        raise ValueError(f"unknown parameters {', '.join(sorted(unknown))}: there are method, url, header, client, caller and direction")
    urls, methods = request.all("url"), request.all("method")
    if len(urls) != 1 or len(methods) > 1:
        raise ValueError("give url once (http://HOST/PATH), method at most once, and header ('NAME: VALUE') as often as needed")
    headers: list[tuple[str, str]] = []
    for header in request.all("header"):
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"header {header!r} is not of the form 'NAME: VALUE'")
        headers.append((name.strip(), value.strip()))
    who = {name: request.all(name)[0] for name in ("client", "caller", "direction") if request.all(name)}
    return {"method": methods[0] if methods else "GET", "url": urls[0], "headers": headers, **who}
