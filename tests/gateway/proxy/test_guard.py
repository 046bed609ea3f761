"""What policies leave in the log."""

from __future__ import annotations

import json

import pytest

from gateway.proxy.guard import marked
from gateway.telemetry.access_log import LineFormat, client_fragment, fragment
from gateway.telemetry.counters import CounterLabels
from gateway.telemetry.streams import StreamAccount, StreamRecord, StreamSums


@pytest.mark.parametrize("peer", [b"", b"00ff"])
def test_a_mark_stands_in_both_forms(peer: bytes) -> None:
    """JSON has the field `audit`, text a last column; a line without a mark has neither."""
    labels, plain = CounterLabels("default/web", "db"), client_fragment(b"TLSv1.3", peer)
    account = StreamAccount(labels, "TCP", fragment(labels), StreamSums(labels, "TCP"))
    record = StreamRecord("TCP", 0.0, 1.0, "", "", 1, 2, b"192.0.2.1", b"", account, b"", plain)
    audited = record._replace(client_fragment=marked(plain, "default/a rule 0, default/b rule 1"))
    assert json.loads(LineFormat("json").line(audited))["audit"] == "default/a rule 0, default/b rule 1"
    assert "audit" not in json.loads(LineFormat("json").line(record))
    assert LineFormat("text").line(audited) == LineFormat("text").line(record)[:-1] + b' audit="default/a rule 0, default/b rule 1"\n'
