"""Whether `tidegate explain` and a live request say the same: rule, reply, Location, backend, and the request that it got.

What is drawn at random is explained by possible endpoints with their shares; the live one must be among them. What a
backend does is nobody's to foresee: where no answer of it came through (UF, UC, UT, UPE), it must have been possible to ask it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.telemetry.statistics import RequestSeries
from tests.wire.backends import Received

OF_THE_PROXY = frozenset(
    (
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert", "x-request-id",
        "forwarded", "x-real-ip", "host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "traceparent", "tracestate",
        "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
    )
)  # fmt: skip
"""Fields that an explanation leaves out of the forwarded request."""
BY_THE_BACKEND = frozenset(("UF", "UC", "UT", "UPE"))
"""Flags of a reply that the proxy makes because of what the backend did."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened: the response, the request as an echo backend got it, and the series that counted the exchange, None where others
    ran beside it."""

    status: int
    headers: Mapping[str, str]
    received: Received | None
    counted: RequestSeries | None


def check(explanation: dict[str, Any], outcome: Outcome) -> None:
    """Fails unless the explanation holds for what happened."""
    assert not explanation["closed"], f"explain expected no answer: {explanation['closed']}"
    counted = outcome.counted
    if counted is not None:
        assert outcome.status == counted.code
        _check_rule(explanation, counted)
    if explanation["limits"] and counted is not None and (counted.flags == "RL" or outcome.status == 413):
        return  # how many requests came before, and how long a body is in the end, nobody can foresee
    if explanation["authorization"] is not None and _is_refused(outcome):
        return
    if explanation["reply"] is not None:
        _check_reply(explanation["reply"], outcome)
        return
    possible = [portion for portion in explanation["portions"] if portion["percent"] > 0]
    if counted is not None:
        possible = [portion for portion in possible if portion["backend"] == counted.backend]
    assert possible, f"explain did not expect this backend: {explanation['portions']}"
    asked = explanation["authorization"]
    faults = [fault for portion in possible if (fault := _portion_fault(portion, outcome, portion["authorization"] or asked))]
    assert len(faults) < len(possible), faults


def _check_rule(explanation: dict[str, Any], counted: RequestSeries) -> None:
    rule, listener = explanation["rule"], explanation["listener"]
    said = (rule["kind"], rule["route"], rule["rule"]) if rule is not None else ("", "", "")
    assert said == (counted.route_kind, counted.route, counted.rule)
    if listener is not None:
        assert (listener["gateway"], listener["name"]) == (counted.gateway, counted.listener)
    if rule is not None:
        taken = [row for row in explanation["considered"] if row["matched"]]
        assert (taken[0]["route"], taken[0]["rule"]) == (rule["route"], rule["rule"])


def _check_reply(reply: dict[str, Any], outcome: Outcome) -> None:
    assert reply["status"] == outcome.status, reply
    assert outcome.counted is None or (reply["flag"] or "-") == outcome.counted.flags, reply
    assert outcome.received is None, "explain expected the proxy's own answer"
    for name, value in reply["headers"]:
        if name == "x-tidegate-reason":
            assert value.startswith(outcome.headers[name])
        else:
            assert value in outcome.headers[name], name
    if "location" in outcome.headers:
        assert ("location", outcome.headers["location"]) in {tuple(pair) for pair in reply["headers"]}


def _is_refused(outcome: Outcome) -> bool:
    """Whether an authorization server said no, or nothing in time, which nobody can foresee."""
    return outcome.counted is None or outcome.counted.flags in {"UAEX", "UT"}


def _portion_fault(portion: dict[str, Any], outcome: Outcome, asked: dict[str, Any] | None) -> str:
    """Why this portion of the rule's traffic is not what happened; '' if it may be. `asked` is what an authorization server was asked."""
    if portion["authorization"] is not None and _is_refused(outcome):
        return ""
    if portion["reply"] is not None:
        try:
            _check_reply(portion["reply"], outcome)
        except AssertionError as wrong:
            return str(wrong) or "the proxy's own answer is another"
        return ""
    received = outcome.received
    if received is None:
        if outcome.counted is None or outcome.counted.flags == "-" or outcome.counted.flags in BY_THE_BACKEND:
            return ""  # a backend that is no echo, or one that failed
        return f"explain expected an answer of a backend, not {outcome.status} {outcome.counted.flags}"
    endpoints = [endpoint["address"] for endpoint in portion["endpoints"]]
    if not any(address.endswith(f":{received.port}") for address in endpoints):
        return f"{received.backend} (port {received.port}) is not among {endpoints}"
    return _forwarded_fault(portion["forwarded"], received, asked)


def _forwarded_fault(forwarded: dict[str, Any], received: Received, asked: dict[str, Any] | None) -> str:
    for name, got in (("method", received.method), ("target", received.target), ("host", received.value("host"))):
        if forwarded[name] != got:
            return f"explain says {name} {forwarded[name]!r}, the backend got {got!r}"
    said = Counter((name.lower(), value) for name, value in forwarded["headers"])
    got_fields = Counter(received.fields)
    if asked is not None and not asked["fields"]:
        return ""  # whatever the authorization server says may be set
    if missing := said - got_fields:
        return f"the backend did not get {missing}"
    set_by_server = OF_THE_PROXY.union(asked["fields"] if asked is not None else ())
    unsaid = [name for name, _ in got_fields - said if name not in set_by_server]
    return f"explain does not speak of {unsaid}" if unsaid else ""
