"""`tidegate gateway` and `tidegate sidecar`: options in, a data plane that serves; the only place where its parts are chosen."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import uvloop

from gateway import collector
from gateway.admin import Serve
from gateway.following.bound_sockets import BoundSockets
from gateway.following.one_process import OneProcess
from gateway.following.placing import AS_MEANT
from gateway.following.serving import Serving
from gateway.net.sockets import BindError
from gateway.options import SESSION_KEY_VARIABLE, RuntimeOptions
from gateway.overload.descriptors import raise_limit
from gateway.policies.rate_limit import BYTES
from gateway.shared_memory import make_shared_file
from gateway.standard_streams import never_wait
from gateway.telemetry.statistics import Sample
from tidegate.binding import Place
from tidegate.data_plane.belongings import Belongings, Work
from tidegate.data_plane.life import Life, Message
from tidegate.data_plane.options import Complaint, DataPlaneOptions
from tidegate.data_plane.servers import listen

if TYPE_CHECKING:
    from mesh.link import Link

BAD_OPTIONS: Final = 2

_SWITCH_INTERVAL: Final = 0.0005
"""Seconds that a thread may keep the interpreter from the loop, which serves: metrics are written by one, and 5 ms is the usual."""


def main(values: Mapping[str, str]) -> int:
    """The whole program, from options by the keys of the table to the exit status."""
    try:
        options = DataPlaneOptions.of(values)
    except Complaint as complaint:
        print(f"tidegate {'sidecar' if 'workload' in values else 'gateway'}: {complaint}", file=sys.stderr)
        return BAD_OPTIONS
    raise_limit()
    never_wait()
    collector.freeze()
    return uvloop.run(_follow(options))


async def _follow(options: DataPlaneOptions) -> int:
    from mesh.link import Controller, Link

    message = _messages(options)
    link = Link(Controller(options.controller, options.ca, options.token), options.name, options.scope, message=message)
    beside: list[Work] = [("renewing the identity", link.keep)]
    if options.snapshot is not None:
        from mesh.kept_identity import KeptIdentity

        kept = KeptIdentity(options.snapshot / "identity", options.served, options.command, message)
        kept.resume(link)
        beside.append(("keeping the identity", lambda: kept.keep(link)))

    def samples() -> Iterable[Sample]:
        yield Sample("tidegate_identity_not_after_seconds", (), link.not_after)
        yield Sample("tidegate_identity_renewal_failed_seconds", (), link.failed_at)

    belongings = Belongings(link.connect, link.identities, beside, samples=samples)
    return await serve(options, _beside_workload(options, belongings, link) if options.workload else belongings)


def _beside_workload(options: DataPlaneOptions, belongings: Belongings, link: Link) -> Belongings:
    """With what a sidecar has besides."""
    from mesh.loopback import LoopbackPlacing
    from mesh.own_pod import OwnPod

    placing = AS_MEANT if options.loopback is None else LoopbackPlacing(options.loopback)
    pod = OwnPod(options.workload)

    def waiting() -> str:
        if link.identity is None:
            return "there is no identity yet: the controller has not been reached"
        return "" if pod.workload is not None else f"the controller does not know the Pod {options.workload} yet, or not that it runs"

    return belongings._replace(pod=pod, placing=placing, waiting=waiting, pages=_probe_pages(options))


def _probe_pages(options: DataPlaneOptions) -> Mapping[str, Serve]:
    if not options.app_probes:
        return {}
    from mesh.prober import Prober

    return Prober(options.pod_address).pages(options.app_probes)


def _messages(options: DataPlaneOptions) -> Message:
    def message(text: str) -> None:
        print(f"{options.name}: {text}", file=sys.stderr, flush=True)

    return message


async def serve(options: DataPlaneOptions, belongings: Belongings) -> int:
    """Serves what comes over the connections that are made, until a signal; returns the exit status."""
    message = _messages(options)
    try:
        listening = listen(options)
    except BindError as error:
        message(str(error))
        return BAD_OPTIONS
    os.environ.setdefault(SESSION_KEY_VARIABLE, secrets.token_hex())
    make = _one_process if options.workers == 1 else _worker_processes

    def make_serving(moved: Callable[[], None]) -> Serving:
        return make(options, listening.admin_place, message, moved)

    life = Life(options, belongings, make_serving, message)
    message(f"{options.served}: {listening.sentence()}")
    return await life.run(listening)


def _one_process(options: DataPlaneOptions, admin: Place, message: Message, moved: Callable[[], None]) -> Serving:
    """Nobody but `apply` moves it, and whoever calls that knows."""
    from gateway.runtime import Runtime

    sys.setswitchinterval(_SWITCH_INTERVAL)
    sockets = BoundSockets()
    runtime = Runtime(asyncio.get_running_loop(), sockets, _runtime_options(options, admin))
    runtime.watch(moved)
    return OneProcess(options.name, runtime, sockets)


def _worker_processes(options: DataPlaneOptions, admin: Place, message: Message, moved: Callable[[], None]) -> Serving:
    from tidegate.data_plane.worker_processes import WorkerProcesses

    return WorkerProcesses(_runtime_options(options, admin, make_shared_file(BYTES)), message, moved)


def _runtime_options(options: DataPlaneOptions, admin: Place, shared: int | None = None) -> RuntimeOptions:
    return RuntimeOptions(
        name=options.name,
        access_log=options.access_log,
        otlp_endpoint=options.otlp_endpoint,
        trace_sampling=options.trace_sampling,
        admin=admin,
        drain_timeout=options.drain_timeout,
        shared_descriptor=shared,
        leaves_early=bool(options.workload),
        workload=options.workload,
        source="" if options.loopback is None else options.loopback.pod,
        workers=options.workers,
        memory_limit=options.memory_limit // options.workers,
        keys="" if options.snapshot is None else str(options.snapshot / "keys"),
    )
