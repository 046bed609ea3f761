"""The options of `tidegate init` as a table, which is read as that of `tidegate gateway` is."""

from __future__ import annotations

from typing import Final

from tidegate.data_plane.command_line import Option

COMMAND: Final = "init"
OPTIONS: Final = (
    Option("--exclude-inbound-ports", "A,B", "TIDEGATE_EXCLUDE_INBOUND_PORTS", "", "Ports at which calls reach the application itself."),
    Option("--include-inbound-ports", "A,B", "TIDEGATE_INCLUDE_INBOUND_PORTS", "*", "The only ones captured; * for all, none for no port."),
    Option("--exclude-outbound-ports", "A,B", "TIDEGATE_EXCLUDE_OUTBOUND_PORTS", "", "Ports of destinations reached as they are."),
    Option("--exclude-outbound-cidrs", "A,B", "TIDEGATE_EXCLUDE_OUTBOUND_CIDRS", "", "Networks, such as 10.0.0.0/8, reached as they are."),
    Option("--uid", "NUMBER", "TIDEGATE_UID", "1337", "User and group of the sidecar, which is not captured itself."),
    Option("--backend", "[auto|nftables|iptables]", "TIDEGATE_BACKEND", "auto", "What sets the rules; auto prefers nftables."),
    Option("--remove", "", "TIDEGATE_REMOVE", "", "Take the rules away instead."),
)  # fmt: skip
