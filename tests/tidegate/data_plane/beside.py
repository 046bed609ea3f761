"""`tidegate sidecar` whose inbound port the kernel chooses, around a runtime that lists what it is told: traffic is proved elsewhere."""

from __future__ import annotations

import os
import sys

import gateway.runtime
import mesh.inbound
from gateway.telemetry.statistics import Statistics
from tests.gateway.fake_runtime import FakeRuntime
from tidegate.data_plane.command_line import SIDECAR, read
from tidegate.data_plane.program import main


class Listing(FakeRuntime):
    async def numbers(self) -> Statistics:
        return Statistics()


if __name__ == "__main__":
    values = read(SIDECAR, sys.argv[1:], os.environ)
    assert values is not None
    gateway.runtime.Runtime = Listing  # type: ignore[assignment,misc]  # it does what is needed of one
    mesh.inbound.INBOUND_PORT = 0  # type: ignore[attr-defined]  # a test may not choose
    sys.exit(main(values))
