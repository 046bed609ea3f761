"""An endpoint as a proxy makes it from resources; nobody connects to it."""

from __future__ import annotations

import asyncio

from gateway.ir.backend import Backend, Endpoint, EndpointSet
from gateway.ir.batch import Batch
from gateway.ir.value import Source
from gateway.live import Live
from gateway.preparation import Preparation
from gateway.proxy.core import Core
from gateway.upstream.endpoint import Endpoint as LiveEndpoint


def lone_endpoint() -> LiveEndpoint:
    source = Source("Service", "default", "backend")
    key = "default/backend:80"
    loop = asyncio.new_event_loop()
    try:
        live = Live(Core(loop))
        resources = (EndpointSet(key, source, (Endpoint("10.0.0.1", 80),)), Backend(key, source))
        preparation = Preparation(live, Batch(1, set=resources, snapshot=True))
        for _ in preparation.steps():
            pass
        preparation.commit()
        [endpoint] = live.backends[key].endpoints.values()
        return endpoint
    finally:
        loop.close()
