"""Host, path, header and query matching in the Gateway API's order of precedence. Pure: no I/O, no clock."""

from gateway.routing.entry import Entry
from gateway.routing.explain import Considered, explain, explain_in_steps
from gateway.routing.hosts import HostTable
from gateway.routing.streams import StreamTable, StreamTableEditor
from gateway.routing.table import RouteTable, RouteTableEditor

__all__ = [
    "Considered",
    "Entry",
    "HostTable",
    "RouteTable",
    "RouteTableEditor",
    "StreamTable",
    "StreamTableEditor",
    "explain",
    "explain_in_steps",
]
