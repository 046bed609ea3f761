"""A worker with the real runtime, which also tells what it has imported. Run as a program by test_worker.py."""

from __future__ import annotations

import sys
from typing import Any

from gateway.runtime import Runtime
from gateway.worker import main


class ListingRuntime(Runtime):
    def explain(self, argument: dict[str, Any]) -> dict[str, Any]:
        if argument == {"what": "modules"}:
            return {"modules": sorted(sys.modules), "path": sys.path}
        return super().explain(argument)


if __name__ == "__main__":
    main(ListingRuntime)
