"""One gateway for all rows of a module: for plain connections, or for TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.certificates import AUTHORITY, server
from tests.attacks.stage import Stage
from tests.attacks.tls_row import ANY_NAME, ASKING, DEMANDING
from tests.wire.secure import gateway, https, trust, validation
from tests.wire.serving import certificate


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("site"))
    yield stage
    stage.close()


@pytest.fixture
def stage(running_stage: Stage) -> Stage:
    """The gateway, with nothing planned and nothing received."""
    running_stage.begin()
    return running_stage


@pytest.fixture(scope="module")
def running_tls_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    listeners = [
        {"name": "http", "port": 80, "protocol": "HTTP"},
        https("a", "server", hostname="a.example"),
        https("wild", "server", hostname="*.wild.example"),
        https("deep", "server", hostname="deep.wild.example"),
        https("any", "server", port=ANY_NAME),
        https("demanding", "server", port=DEMANDING),
        https("asking", "server", port=ASKING),
    ]
    modes = {DEMANDING: validation("ca"), ASKING: validation("ca", mode="AllowInsecureFallback")}
    frontend = {"default": {}, "perPort": [{"port": port, "tls": tls} for port, tls in modes.items()]}
    texts = (gateway(*listeners, tls={"frontend": frontend}), certificate("server", server()), trust("ca", AUTHORITY))
    stage = Stage(tmp_path_factory.mktemp("site"), *texts, "- backendRefs: [{name: backend, port: 80}]")
    yield stage
    stage.close()


@pytest.fixture
def tls_stage(running_tls_stage: Stage) -> Stage:
    """The gateway with listeners for TLS, with nothing planned and nothing received."""
    running_tls_stage.begin()
    return running_tls_stage
