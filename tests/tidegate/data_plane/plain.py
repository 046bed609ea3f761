"""`tidegate gateway` without TLS on its way to the controller, which only a test can have: a program with the same options."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from gateway.standard_streams import never_wait
from gateway.subscribe import LINE_LIMIT
from tidegate.data_plane.belongings import Belongings
from tidegate.data_plane.command_line import GATEWAY, read
from tidegate.data_plane.options import DataPlaneOptions
from tidegate.data_plane.program import serve


async def _serve(options: DataPlaneOptions) -> int:
    host, _, port = options.controller.rpartition(":")
    return await serve(options, Belongings(lambda _: asyncio.open_connection(host, int(port), limit=LINE_LIMIT)))


if __name__ == "__main__":
    values = read(GATEWAY, sys.argv[1:], os.environ)
    assert values is not None
    never_wait()
    sys.exit(uvloop.run(_serve(DataPlaneOptions.of(values))))
