"""`tidegate gateway`: options in, a data plane that serves; the only place where its parts are chosen."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import uvloop

from gateway import collector
from gateway.following.bound_sockets import BoundSockets
from gateway.following.follower import Connect
from gateway.following.one_process import OneProcess
from gateway.following.serving import Serving
from gateway.net.sockets import BindError
from gateway.options import SESSION_KEY_VARIABLE, RuntimeOptions
from gateway.overload.descriptors import raise_limit
from gateway.policies.rate_limit import BYTES
from gateway.shared_memory import make_shared_file
from gateway.standard_streams import never_wait
from tidegate.binding import Place
from tidegate.data_plane.life import Life, Message, Work
from tidegate.data_plane.options import Complaint, DataPlaneOptions
from tidegate.data_plane.servers import listen

BAD_OPTIONS: Final = 2

_SWITCH_INTERVAL: Final = 0.0005
"""Seconds that a thread may keep the interpreter from the loop, which serves: metrics are written by one, and 5 ms is the usual."""


def main(values: Mapping[str, str]) -> int:
    """The whole program, from options by the keys of the table to the exit status."""
    try:
        options = DataPlaneOptions.of(values)
    except Complaint as complaint:
        print(f"tidegate gateway: {complaint}", file=sys.stderr)
        return BAD_OPTIONS
    raise_limit()
    never_wait()
    collector.freeze()
    return uvloop.run(_follow(options))


async def _follow(options: DataPlaneOptions) -> int:
    from mesh.link import Controller, Link

    link = Link(Controller(options.controller, options.ca, options.token), options.name, options.gateway)
    return await serve(options, link.connect, [("renewing the identity", link.keep)])


async def serve(options: DataPlaneOptions, connect: Connect, beside: Sequence[Work] = ()) -> int:
    """Serves what comes over the connections that `connect` makes, with what goes on beside it, until a signal; returns the exit
    status."""

    def message(text: str) -> None:
        print(f"{options.name}: {text}", file=sys.stderr, flush=True)

    try:
        listening = listen(options)
    except BindError as error:
        message(str(error))
        return BAD_OPTIONS
    os.environ.setdefault(SESSION_KEY_VARIABLE, secrets.token_hex())
    make = _one_process if options.workers == 1 else _worker_processes

    def make_serving(moved: Callable[[], None]) -> Serving:
        return make(options, listening.admin_place, message, moved)

    life = Life(options, connect, make_serving, message)
    message(f"Gateway {options.gateway}: {listening.sentence()}")
    return await life.run(listening, beside)


def _one_process(options: DataPlaneOptions, admin: Place, message: Message, moved: Callable[[], None]) -> Serving:
    """Nobody but `apply` moves it, and whoever calls that knows."""
    from gateway.runtime import Runtime

    sys.setswitchinterval(_SWITCH_INTERVAL)
    sockets = BoundSockets()
    runtime = Runtime(asyncio.get_running_loop(), sockets, _runtime_options(options, admin))
    return OneProcess(options.name, runtime, sockets)


def _worker_processes(options: DataPlaneOptions, admin: Place, message: Message, moved: Callable[[], None]) -> Serving:
    from tidegate.data_plane.worker_processes import WorkerProcesses

    return WorkerProcesses(_runtime_options(options, admin, make_shared_file(BYTES)), message, moved)


def _runtime_options(options: DataPlaneOptions, admin: Place, shared: int | None = None) -> RuntimeOptions:
    return RuntimeOptions(
        name=options.name,
        access_log=options.access_log,
        admin=admin,
        drain_timeout=options.drain_timeout,
        shared_descriptor=shared,
        workers=options.workers,
        memory_limit=options.memory_limit // options.workers,
    )
