"""What a worker does when memory, descriptors or time run short: less and less, in a fixed order, so that it never stops altogether.

`ladder` says which stage readings lead to, `monitor` takes them from the system, `overload` acts.
"""

from gateway.overload.ladder import Readings, Stage
from gateway.overload.monitor import Monitor, SystemMonitor
from gateway.overload.overload import Overload

__all__ = ["Monitor", "Overload", "Readings", "Stage", "SystemMonitor"]
