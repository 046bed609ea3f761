"""Fixtures of the wire tests: echo backends that last for the run, and a factory of gateways that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wire.backends import Echo, Echoes, Script, Scripted
from tests.wire.captured_fixtures import network, server, spoken
from tests.wire.datagrams import answering
from tests.wire.http2_fixtures import grpc_client, grpc_echo, http2_client, http2_echo, nghttpd
from tests.wire.pairings import HTTP1, Pairing
from tests.wire.serving import Site

__all__ = [
    "Serve", "answering", "blue", "echoes", "green", "grpc_client", "grpc_echo", "http2_client", "http2_echo", "network", "nghttpd", "red",
    "running_echoes", "scripted", "serve", "server", "spoken",
]  # fmt: skip

Serve = Callable[..., Site]


@pytest.fixture(scope="session")
def running_echoes() -> Iterator[Echoes]:
    with Echoes("blue", "green", "red") as echoes:
        yield echoes


@pytest.fixture
def pairing() -> Pairing:
    """What clients and echo backends speak; `every_pairing` and `over_http2` give others."""
    return HTTP1


@pytest.fixture
def echoes(running_echoes: Echoes, pairing: Pairing) -> Iterator[dict[str, Echo]]:
    """The echo backends by name, with nothing received and nothing planned."""
    for echo in running_echoes.echoes.values():
        echo.port = echo.ports[pairing.backend]
    yield running_echoes.echoes
    for echo in running_echoes.echoes.values():
        echo.clear()


@pytest.fixture
def blue(echoes: dict[str, Echo]) -> Echo:
    return echoes["blue"]


@pytest.fixture
def green(echoes: dict[str, Echo]) -> Echo:
    return echoes["green"]


@pytest.fixture
def red(echoes: dict[str, Echo]) -> Echo:
    return echoes["red"]


@pytest.fixture
def serve(tmp_path: Path, echoes: dict[str, Echo], pairing: Pairing) -> Iterator[Serve]:
    """Makes a gateway that serves the given YAML texts over the base (see `serving.documents` for what may be left out)."""
    sites: list[Site] = []

    def make(*texts: str) -> Site:
        folder = tmp_path / f"site-{len(sites)}"
        folder.mkdir()
        site = Site(folder, echoes, pairing)
        sites.append(site)
        site.change(*texts)
        return site

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Makes backends that do on each connection what a script says."""
    backends: list[Scripted] = []

    def make(*scripts: Script) -> Scripted:
        backends.append(Scripted(*scripts))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()
