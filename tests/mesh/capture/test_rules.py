"""The rules as values and as text; what they do is shown in test_capture.py."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from mesh.capture.errors import CaptureError
from mesh.capture.iptables import chain_text, difference, removal_text, restore_text
from mesh.capture.nftables import Nftables, rule_text, table_text
from mesh.capture.options import CaptureOptions
from mesh.capture.rules import Redirect, Return, Rule, included_inbound, rules_of
from mesh.capture.summary import summary_of

OPTIONS = CaptureOptions(
    exclude_inbound_ports=(22,),
    exclude_outbound_ports=(3306,),
    exclude_outbound_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
)
CHAINS = rules_of(OPTIONS, ipv6=True).chains
FIRST = "-A TIDEGATE_OUTPUT -s 127.0.0.6/32 -j RETURN"
SAVED = "\n".join(
    ["*nat", ":PREROUTING ACCEPT [0:0]", ":TIDEGATE_INBOUND - [0:0]", ":TIDEGATE_PREROUTING - [0:0]", ":TIDEGATE_OUTPUT - [0:0]"]
    + ["-A PREROUTING -p tcp -j TIDEGATE_PREROUTING", "-A OUTPUT -p udp -j OTHERS", "-A OUTPUT -p tcp -j TIDEGATE_OUTPUT"]
    + [line for chain in CHAINS for line in chain_text(chain, 4)]
    + ["COMMIT"]
)


def test_without_ipv6_there_is_no_rule_of_it() -> None:
    """A Pod without IPv6 gets the rules of IPv4 alone, and that is no error."""
    alone = rules_of(OPTIONS, ipv6=False)
    assert alone.families == (4,)
    assert "ip6" not in table_text(alone.chains)
    assert "ip daddr 10.0.0.0/8 return" in table_text(alone.chains)


def test_an_excluded_port_is_not_included() -> None:
    """The proxy's own ports are left out whatever is included."""
    assert included_inbound(CaptureOptions(include_inbound_ports=(80, 443, 15021), exclude_inbound_ports=(443,))) == (80,)
    assert included_inbound(OPTIONS) is None


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(Return(), source=ip_network("::6/128")), "ip6 saddr ::6 return"),
        (Rule(Return(), destination=ip_network("::1.2.3.0/120")), "ip6 daddr ::1.2.3.0/120 return"),
        (Rule(Return(), destination=ip_network("0.0.0.0/0")), "meta nfproto 2 return"),
        (Rule(Redirect(15006), port=80), "tcp dport 80 redirect to :15006"),
    ],
)
def test_rules_are_written_as_nft_prints_them(rule: Rule, text: str) -> None:
    """nft(8): a host without its prefix, the old dotted form of ::/96, a family for all of its addresses."""
    assert rule_text(rule) == text


def test_iptables_gets_a_family_at_a_time() -> None:
    """iptables(8): a rule with an address is for its own family; one without is for both."""
    output = CHAINS[-1]
    assert "-A TIDEGATE_OUTPUT -d 10.0.0.0/8 -j RETURN" in chain_text(output, 4)
    assert "-A TIDEGATE_OUTPUT -d fd00::/8 -j RETURN" in chain_text(output, 6)
    assert not [line for line in chain_text(output, 4) if "fd00" in line]
    for family in (4, 6):
        assert "-A TIDEGATE_OUTPUT -o lo -m owner --uid-owner 1337 -j TIDEGATE_INBOUND" in chain_text(output, family)


def test_our_chains_are_led_to_once() -> None:
    """A second run empties the chains and fills them again, but adds no second way to them."""
    assert [line for line in restore_text(CHAINS, 4, "").splitlines() if line.startswith("-I")] == [
        "-I PREROUTING -p tcp -j TIDEGATE_PREROUTING",
        "-I OUTPUT -p tcp -j TIDEGATE_OUTPUT",
    ]
    assert "-I" not in restore_text(CHAINS, 4, SAVED)


def test_what_is_taken_away_is_ours() -> None:
    """The way to the chains first, then what is in them, then they."""
    assert removal_text(SAVED).splitlines() == [
        "*nat",
        *("-D PREROUTING -p tcp -j TIDEGATE_PREROUTING", "-D OUTPUT -p tcp -j TIDEGATE_OUTPUT"),
        *(f"-F TIDEGATE_{name}" for name in ("INBOUND", "PREROUTING", "OUTPUT")),
        *(f"-X TIDEGATE_{name}" for name in ("INBOUND", "PREROUTING", "OUTPUT")),
        "COMMIT",
    ]


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (SAVED, None),
        (SAVED.replace("-A TIDEGATE_OUTPUT -o lo -j RETURN\n", ""), "missing are ['-A TIDEGATE_OUTPUT -o lo -j RETURN']"),
        (SAVED.replace("-p tcp -j REDIRECT --to-ports 15001", "-j RETURN"), "['-A TIDEGATE_OUTPUT -j RETURN'] are there"),
        (SAVED.replace("-A PREROUTING -p tcp -j TIDEGATE_PREROUTING\n", ""), "what leads to them is ['-A OUTPUT"),
        (SAVED.replace("-A OUTPUT -p tcp", "-A OUTPUT -p tcp -j TIDEGATE_OUTPUT\n-A OUTPUT -p tcp"), "what leads to them is"),
        (SAVED.replace(f"{FIRST}\n", "").replace("COMMIT", FIRST), "another order"),
    ],
)  # fmt: skip
def test_what_iptables_holds_otherwise_is_told(saved: str, said: str | None) -> None:
    """`tidegate init` succeeds only after it has read back what it set."""
    found = difference(CHAINS, 4, saved)
    assert found is None if said is None else said in (found or "")


def test_a_table_that_reads_otherwise_is_an_error(tmp_path: Path) -> None:
    """The same of nft, here one that sets all but a rule."""
    program = tmp_path / "nft"
    shown = tmp_path / "shown"
    shown.write_text(table_text(CHAINS).replace("tcp dport 22 return", "tcp dport 23 return"))
    program.write_text(f"#!/bin/sh\ncat {shown}\n")
    program.chmod(0o755)
    with pytest.raises(CaptureError, match="'tcp dport 23 return' where 'tcp dport 22 return' was asked for"):
        Nftables(str(program)).set(rules_of(OPTIONS, ipv6=True))
    shown.write_text(table_text(CHAINS))
    Nftables(str(program)).set(rules_of(OPTIONS, ipv6=True))


def test_one_line_says_what_is_captured() -> None:
    """It is all that the log of the init container has."""
    assert summary_of(OPTIONS, "nftables", ipv6=True) == (
        "TCP of IPv4 and IPv6 is captured by nftables: outbound to 15001 but port 3306, 10.0.0.0/8, fd00::/8, user and group 1337; "
        "inbound to 15006 but ports 22 15000 15020 15021 15090"
    )
    assert summary_of(CaptureOptions(include_inbound_ports=(80, 443)), "x", ipv6=False).endswith("inbound to 15006 only ports 80 443")
    assert "IPv4 (IPv6 is off)" in summary_of(CaptureOptions(include_inbound_ports=()), "x", ipv6=False)
    assert summary_of(CaptureOptions(include_inbound_ports=()), "x", ipv6=False).endswith("nothing inbound")
