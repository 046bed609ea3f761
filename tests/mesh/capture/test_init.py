"""`tidegate init` as a Pod runs it: what it sets, replaces, takes away and refuses, in a network of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from typer.testing import CliRunner

from mesh.capture.program import find
from tests.faults.seclusion import command, secluded
from tests.mesh.capture.pod import HERE_6, PORT, Pod
from tests.tidegate.program import ROOT
from tests.wire.backends import LIMIT
from tidegate.cli import app
from tidegate.data_plane.capture_line import OPTIONS

OTHERS: Final = """table inet others {
\tchain output {
\t\ttype nat hook output priority -90; policy accept;
\t\ttcp dport 9 redirect to :10
\t}
}
"""
OTHERS_IPTABLES: Final = """*nat
:MINE - [0:0]
-A OUTPUT -p tcp -m tcp --dport 9 -j MINE
COMMIT
"""
pytestmark = pytest.mark.skipif(find("nft") is None, reason="the program nft is needed: make test-peers installs it as root")


def init(
    *arguments: str, before: tuple[str, ...] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, "-m", "tidegate", "init", *arguments]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT, check=False, env={**os.environ, **environment})


def captured(*arguments: str, **environment: str) -> str:
    """The line that it prints."""
    done = init(*arguments, environment=environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    [line] = done.stdout.splitlines()
    return line


def printed(*words: str, text: str = "") -> str:
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def ours() -> str:
    return printed("nft", "list", "table", "inet", "tidegate")


def addresses() -> str:
    return printed("ip", "-6", "address", "show", "dev", "lo")


@secluded
def test_it_sets_the_rules_and_says_so() -> None:
    """Contract of `tidegate init`: one line, status 0; options by the command line and by the environment."""
    line = captured("--exclude-inbound-ports", "22,80", TIDEGATE_EXCLUDE_OUTBOUND_CIDRS="10.0.0.0/8")
    assert line.startswith("TCP of IPv4 and IPv6 is captured by nftables: outbound to 15001 but 10.0.0.0/8, ")
    assert "tcp dport 22 return" in ours()
    assert "ip daddr 10.0.0.0/8 return" in ours()


@secluded
def test_an_empty_list_of_included_ports_is_one_and_an_empty_variable_is_none() -> None:
    """An annotation that is there, and empty, asks for no inbound capture; a variable that is empty asks for nothing."""
    assert captured("--include-inbound-ports=").endswith("nothing inbound")
    assert captured(TIDEGATE_INCLUDE_INBOUND_PORTS="none").endswith("nothing inbound")
    assert "inbound to 15006 but" in captured(TIDEGATE_INCLUDE_INBOUND_PORTS="")


@secluded
def test_a_second_run_changes_nothing_and_another_wish_replaces_the_first() -> None:
    """Idempotent: an init container may run again; what is no longer asked for is gone, and the tables of others stay."""
    printed("nft", "-f", "-", text=OTHERS)
    captured("--exclude-outbound-ports", "3306")
    first = printed("nft", "list", "ruleset")
    captured("--exclude-outbound-ports", "3306")
    assert printed("nft", "list", "ruleset") == first
    captured("--exclude-outbound-ports", "5432")
    assert printed("nft", "list", "ruleset") == first.replace("3306", "5432")
    assert addresses().count("inet6 ::6/128") == 1


@secluded
def test_what_is_removed_is_ours_alone() -> None:
    """--remove: the rules and the address are gone, all else is as before; without any rules it is no error."""
    printed("nft", "-f", "-", text=OTHERS)
    before, known = printed("nft", "list", "ruleset"), addresses()
    captured()
    assert captured("--remove") == "Nothing is captured any more: removed the rules of nftables"
    assert (printed("nft", "list", "ruleset"), addresses()) == (before, known)
    assert captured(TIDEGATE_REMOVE="true") == "Nothing was captured"


@pytest.mark.parametrize("kind", ["-nft", "-legacy"])
@secluded
def test_iptables_keeps_the_rules_of_others(kind: str) -> None:
    """Our chains are replaced, led to once, and taken away; a rule of somebody else in the same table stays."""
    if find(f"iptables{kind}-restore") is None:
        pytest.skip("the program iptables is needed: make test-peers installs it as root")
    leave_one_kind(kind)
    printed(f"iptables{kind}-restore", "--noflush", text=OTHERS_IPTABLES)
    before = saved(kind)
    assert "captured by iptables" + kind in captured("--backend", "iptables")
    captured("--backend", "iptables", "--exclude-inbound-ports", "22")
    rules = saved(kind)
    assert rules.count("-j TIDEGATE_OUTPUT") == 1
    assert "-A TIDEGATE_INBOUND -p tcp -m tcp --dport 22 -j RETURN" in rules
    assert "-A OUTPUT -p tcp -m tcp --dport 9 -j MINE" in rules
    assert captured("--remove") == f"Nothing is captured any more: removed the rules of iptables{kind}"
    assert saved(kind) == before


def saved(kind: str) -> str:
    return "\n".join(line for line in printed(f"iptables{kind}-save", "-t", "nat").splitlines() if not line.startswith("#"))


def leave_one_kind(kind: str) -> None:
    """Hides the other kind's program, as on a machine that does not have it."""
    other = find({"-nft": "iptables-legacy-restore", "-legacy": "iptables-nft-restore"}[kind])
    hide(other or "")


def hide(path: str) -> None:
    """In this test's own view of the file system the program fails, as on a kernel without what it needs."""
    if path:
        command("mount", "--bind", "/bin/false", path)


@secluded
def test_rules_move_from_one_backend_to_another() -> None:
    """The new ones are set before the old ones go, and never both stay."""
    if find("iptables-nft-restore") is None:
        pytest.skip("the program iptables is needed: make test-peers installs it as root")
    captured("--backend", "iptables")
    assert "captured by nftables" in captured()
    assert "TIDEGATE" not in printed("iptables-nft-save")
    captured("--backend", "iptables")
    assert "table inet tidegate" not in printed("nft", "list", "tables")


@secluded
def test_without_nftables_iptables_is_taken() -> None:
    """--backend auto: a kernel, or an image, in which nft does not work."""
    if find("iptables-nft-restore") is None:
        pytest.skip("the program iptables is needed: make test-peers installs it as root")
    hide(find("nft") or "")
    assert "is captured by iptables-nft: " in captured()


@secluded
def test_where_nothing_can_set_rules_the_reasons_are_told() -> None:
    """Status 1, with every complaint and the remedy."""
    for name in ("nft", "iptables-nft-restore", "iptables-legacy-restore", "iptables-restore"):
        hide(find(name) or "")
    done = init()
    assert (done.returncode, done.stdout) == (1, "")
    assert "tidegate init: neither nftables nor iptables is to be had here: nftables: nft --check --file - failed" in done.stderr
    assert "Install nftables (or iptables) in the image" in done.stderr
    for path in {str(Path(find(name) or "").parent) for name in ("nft", "ip")}:
        command("mount", "-t", "tmpfs", "none", path)
    done = init("--backend", "nftables")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nftables is not to be had here: no program for it is installed" in done.stderr


@secluded
def test_a_missing_capability_is_told() -> None:
    """A Pod's security context that does not give NET_ADMIN: status 1, and what to write."""
    setpriv = ("setpriv", "--bounding-set=-net_admin")
    done = init(before=setpriv)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the capability NET_ADMIN is missing" in done.stderr
    assert "capabilities.add: [NET_ADMIN, NET_RAW]" in done.stderr


@secluded
def test_without_ipv6_only_ipv4_is_set() -> None:
    """A Pod with IPv6 switched off: no error, no address, no rule of it."""
    for interface in ("all", "default", "lo"):
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
    assert "TCP of IPv4 (IPv6 is off) is captured" in captured()
    assert "ip6" not in ours()
    captured("--remove")


@secluded
def test_ipv6_everywhere_but_on_loopback_is_an_error() -> None:
    """The proxy could not reach the application: status 1 and the sysctl to set, before a rule is there."""
    command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("1")
    done = init()
    assert (done.returncode, done.stdout) == (1, "")
    assert "IPv6 is on at far, near, but off at lo" in done.stderr
    assert "net.ipv6.conf.lo.disable_ipv6=0" in done.stderr
    assert printed("nft", "list", "tables") == ""
    assert captured("--remove") == "Nothing was captured"


@secluded
def test_a_pod_with_ipv6_alone_is_captured() -> None:
    """A cluster of IPv6: no address of IPv4 is needed for anything."""
    with Pod() as pod:
        command("ip", "-4", "address", "flush", "dev", "near")
        captured()
        assert pod.reaches("2001:db8:7::7", PORT).at == "outbound"
        assert pod.reached_from_far(HERE_6, PORT).at == "inbound"


@secluded
def test_the_proxys_address_is_nobody_elses_source() -> None:
    """RFC 6724 5 rule 3: ::6 is there for who asks for it, and chosen for nobody, not even where it is the only one of its scope."""
    captured()
    command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
    for end in ("near", "far"):
        command("ip", "link", "set", end, "up")
    command("ip", "address", "add", "2001:db8::1/64", "dev", "lo", "nodad")
    command("ip", "-6", "route", "add", "2001:db8:7::/48", "dev", "near")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as chosen:
        chosen.connect(("2001:db8:7::7", 9))
        assert chosen.getsockname()[0] == "2001:db8::1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--exclude-inbound-ports", "http"), "--exclude-inbound-ports (TIDEGATE_EXCLUDE_INBOUND_PORTS): 'http' is no port"),
        (("--exclude-outbound-cidrs=shop",), "--exclude-outbound-cidrs (TIDEGATE_EXCLUDE_OUTBOUND_CIDRS): 'shop' is no network"),
        (("--backend", "ebpf"), "--backend (TIDEGATE_BACKEND): 'ebpf' is none of auto, nftables, iptables"),
        (("--uid", "root"), "--uid (TIDEGATE_UID): 'root' is no number of a user"),
    ],
)
def test_what_cannot_be_understood_sets_nothing(arguments: tuple[str, ...], said: str) -> None:
    """Status 2, as of every command, from the quick reading and from the full one."""
    done = init(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert CliRunner().invoke(app, ["init", *arguments]).exit_code == 2


def test_a_word_of_the_environment_that_is_no_answer_is_told() -> None:
    """TIDEGATE_REMOVE is true or false."""
    done = init(environment={"TIDEGATE_REMOVE": "perhaps"})
    assert done.returncode == 2
    assert "--remove (TIDEGATE_REMOVE): 'perhaps' is neither true nor false" in done.stderr


def test_help_tells_every_option() -> None:
    """`tidegate init --help` is made from the same table."""
    shown = CliRunner().invoke(app, ["init", "--help"], env={"COLUMNS": "250", "TERMINAL_WIDTH": "250"}).output
    for option in OPTIONS:
        assert option.name in shown
        assert option.environment in shown


def test_it_loads_no_library_of_the_command_line() -> None:
    """An init container is the first thing that a Pod waits for."""
    heavy = {"asyncio", "click", "typer", "yaml"}
    program = f"import sys, tidegate.__main__, tidegate.data_plane.capture; print(*sorted({heavy} & set(sys.modules)))"
    assert printed(sys.executable, "-c", program) == "\n"
