"""A worker with the real runtime, which also tells what it has imported. Run as a program by test_worker.py."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from gateway.runtime import Runtime
from gateway.worker import main


class ListingRuntime(Runtime):
    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw:
        if argument == {"what": "modules"}:
            return msgspec.Raw(msgspec.json.encode({"modules": sorted(sys.modules), "path": sys.path}))
        return await super().explain(argument)


if __name__ == "__main__":
    main(ListingRuntime)
