"""Preparation: the next tables are made beside the live ones, in steps, and are those that a start from nothing would make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import draft, preparation
from gateway.http.head import RequestHead, ResponseHead
from gateway.ir.backend import Backend, BackendOptions, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource, Batch
from gateway.ir.filters import ExternalAuth, RequestHeaderModifier, RequestMirror
from gateway.ir.listener import Gateway, Listener, Secret
from gateway.ir.rule import BackendRef, Binding, HttpRule, Match, PathMatch, Persistence, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity, Source
from gateway.live import Live
from gateway.preparation import Preparation
from gateway.proxy.core import Core
from gateway.upstream.backend import Backend as LiveBackend

SOURCE = Source("HTTPRoute", "default", "r")
LISTENERS = ("g/a", "g/b", "g/c")


def listener(key: str, hostname: str = "", port: int = 80, namespaces: tuple[str, ...] | None = None) -> Listener:
    gateway, _, name = key.partition("/")
    return Listener(
        key=key, source=SOURCE, gateway=gateway, name=name, address="127.0.0.1", port=port, bind_port=port, location_port=port,
        protocol="HTTP", hostname=hostname, namespaces=namespaces,
    )  # fmt: skip


def rule(name: str, path: PathMatch, bindings: tuple[Binding, ...], backend: str = "b", filtered: str = "x") -> HttpRule:
    return HttpRule(
        key=f"HTTPRoute/default/{name}/0", source=SOURCE, route=f"default/{name}", index=0, bindings=bindings, matches=(Match(path),),
        filters=(RequestHeaderModifier(set=((filtered, "1"),)),), backends=(BackendRef(backend),),
    )  # fmt: skip


@dataclass(frozen=True)
class LiveEndpoint:
    label: bytes


StreamKind = type[TcpRule | TlsRule | UdpRule]


def stream_rule(kind: StreamKind, name: str, bindings: tuple[Binding, ...], weight: int, created: str) -> AnyResource:
    return kind(
        key=f"Route/default/{name}/0", source=SOURCE, route=f"default/{name}", index=0, bindings=bindings, created=created,
        backends=(BackendRef("b", weight), BackendRef(error="no such Service")),
    )  # fmt: skip


expressions = (PathMatch("RegularExpression", "/a.*"), PathMatch("RegularExpression", "("))
paths = st.sampled_from((PathMatch(), PathMatch("Exact", "/a"), PathMatch("PathPrefix", "/a"), *expressions))
hostnames = st.lists(st.sampled_from(("", "a.test", "*.test")), min_size=1, max_size=2, unique=True).map(tuple)
bindings = st.lists(st.builds(Binding, st.sampled_from(LISTENERS), hostnames), max_size=3, unique_by=lambda binding: binding.listener)
resources: st.SearchStrategy[AnyResource] = st.one_of(
    st.builds(
        listener, st.sampled_from(LISTENERS), st.sampled_from(("", "a.test", "*.test")), st.just(80),
        st.sampled_from((None, (), ("default",), ("default", "shop"))),
    ),
    st.builds(rule, st.sampled_from("pqrs"), paths, bindings.map(tuple), st.sampled_from("bc"), st.sampled_from(("x", "bad name"))),
    st.builds(
        stream_rule, st.sampled_from((TcpRule, TlsRule, UdpRule)), st.sampled_from("xyz"), bindings.map(tuple), st.sampled_from((1, -1)),
        st.sampled_from(("", "2024-01-01T00:00:00Z")),
    ),
    st.builds(lambda key, error: Backend(key=key, source=SOURCE, error=error), st.sampled_from("bc"), st.sampled_from((None, "no"))),
    st.builds(
        lambda key, port: EndpointSet(key=key, source=SOURCE, endpoints=(Endpoint("127.0.0.1", port),)),
        st.sampled_from("bc"),
        st.integers(1, 3),
    ),
)
removals: st.SearchStrategy[Identity] = st.one_of(
    st.tuples(st.just("Listener"), st.sampled_from(LISTENERS)),
    st.tuples(st.sampled_from(("TcpRule", "TlsRule", "UdpRule")), st.sampled_from([f"Route/default/{name}/0" for name in "xyz"])),
    st.tuples(st.just("HttpRule"), st.sampled_from([f"HTTPRoute/default/{name}/0" for name in "pqrs"])),
    st.tuples(st.sampled_from(("Backend", "EndpointSet")), st.sampled_from("bc")),
)
batches = st.builds(
    lambda put, gone, snapshot: Batch(1, tuple({resource.identity: resource for resource in put}.values()), tuple(gone), snapshot),
    st.lists(resources, max_size=8),
    st.lists(removals, max_size=3),
    st.sampled_from((False, False, False, True)),
)


@contextmanager
def live_tables() -> Iterator[Live]:
    loop = asyncio.new_event_loop()
    try:
        yield Live(Core(loop))
    finally:
        loop.close()


def take(live: Live, batch: Batch) -> Preparation:
    prepared = Preparation(live, batch)
    for _ in prepared.steps():
        pass
    prepared.commit()
    for _ in prepared.release():
        pass
    return prepared


def tables(live: Live) -> dict[str, Any]:
    """Everything that decides how a request is served."""
    routes = {}
    for key, each in live.listeners.items():
        placed = [
            (entry.rule, found.hostnames, entry.index, entry.kind, entry.path, entry.payload.resource)
            for found in each.routes.placed()
            for entry in found.entries
        ]
        routes[key] = (each.resource, each.routes.hostname, each.routes.namespaces, sorted(placed, key=lambda row: row[:3]))
    names = (b"", b"a.test", b"b.test")
    streams = {
        (key, name): [(entry.rank, entry.payload.resource) for entry in each.streams.considered(name)]
        for key, each in live.listeners.items()
        for name in names
    }
    return {
        "routes": routes,
        "streams": streams,
        "stream rules": {key: each.resource for key, each in live.streams.items()},
        "resources": live.resources,
        "rejections": live.rejections,
        "rules": {key: each.resource for key, each in live.rules.items()},
        "backends": {key: (each.error, sorted(each.endpoints)) for key, each in live.described.items()},
    }


@given(st.lists(batches, max_size=8), st.sampled_from((0, 2, draft.IN_PLACE)))
def test_after_any_history_the_tables_are_those_of_a_start_from_nothing(history: list[Batch], in_place: int) -> None:
    """Whatever was set and removed before, in small changes or large ones, only what is wanted now counts (design 4)."""
    limits = (patch.object(draft, "IN_PLACE", in_place), patch.object(preparation, "IN_PLACE", in_place))
    with live_tables() as live, live_tables() as anew, limits[0], limits[1]:
        wanted: dict[Identity, AnyResource] = {}
        for batch in history:
            take(live, batch)
            if batch.snapshot:
                wanted.clear()
            for identity in batch.remove:
                wanted.pop(identity, None)
            wanted.update((resource.identity, resource) for resource in batch.set)
        take(anew, Batch(1, tuple(wanted.values()), snapshot=True))
        assert live.resources == wanted
        assert tables(live) == tables(anew)


def test_nothing_is_live_before_the_commit() -> None:
    """Design 6.8: prepared beside the live tables, put in place in one callback."""
    with live_tables() as live:
        many = [rule(str(number), PathMatch("Exact", f"/{number}"), (Binding("g/a", ("",)),)) for number in range(1_000)]
        take(live, Batch(1, (listener("g/a"), *many)))
        before = tables(live)
        changed = [rule(str(number), PathMatch("Exact", f"/{number}/new"), (Binding("g/a", ("",)),)) for number in range(1_000)]
        prepared = Preparation(live, Batch(2, tuple(changed)))
        steps = 0
        for _ in prepared.steps():
            steps += 1
        assert steps > 3_000
        assert tables(live) == before
        prepared.commit()
        assert len(live.listeners["g/a"].routes) == 1_000
        assert live.rules["HTTPRoute/default/7/0"].resource == changed[7]


@pytest.mark.parametrize("awake", [False, True])
def test_many_sets_of_endpoints_change_around_the_commit(awake: bool) -> None:
    """Before it a backend has the new endpoints beside the old, after it the new alone: no request misses what its rule names, and the
    commit is no work for each of them."""

    def sets(address: str) -> tuple[EndpointSet, ...]:
        return tuple(EndpointSet(key=str(number), source=SOURCE, endpoints=(Endpoint(address, 80),)) for number in range(1_000))

    with live_tables() as live:
        take(live, Batch(1, sets("10.0.0.1")))
        backend = live.described["7"]
        assert not awake or backend.usable
        prepared = Preparation(live, Batch(2, sets("10.0.0.2")))
        assert sum(1 for _ in prepared.steps()) >= 3_000
        assert sorted(backend.endpoints) == [("10.0.0.1", 80), ("10.0.0.2", 80)]
        with patch.object(LiveBackend, "place", side_effect=AssertionError("work inside the commit")):
            prepared.commit()
        assert sum(1 for _ in prepared.release()) >= 1_000
        assert list(backend.endpoints) == [("10.0.0.2", 80)]
        take(live, Batch(3, remove=tuple(("EndpointSet", str(number)) for number in range(1_000))))
        assert (live.described, backend.endpoints) == ({}, {})


def test_what_was_replaced_is_let_go_of_bit_by_bit() -> None:
    """To free 10,000 rules takes tens of milliseconds: not one of them goes with the commit itself."""
    with live_tables() as live:
        many = [rule(str(number), PathMatch("Exact", f"/{number}"), (Binding("g/a", ("",)),)) for number in range(1_000)]
        take(live, Batch(1, (listener("g/a"), *many)))
        prepared = Preparation(live, Batch(2, snapshot=True))
        for _ in prepared.steps():
            pass
        prepared.commit()
        assert live.rules == {}
        assert sum(1 for _ in prepared.release()) >= 3_000


def placed_entries(live: Live) -> set[int]:
    """The identities of all entries of a listener."""
    return {id(entry) for found in live.listeners["g/a"].routes.placed() for entry in found.entries}


def served(live: Live, host: str, path: str) -> str | None:
    """The rule that serves a request at a listener, by its backend."""
    head = RequestHead(b"GET", path.encode(), None, host.encode(), host.encode())
    entry = live.listeners["g/a"].routes.match(head)
    return entry.payload.resource.backends[0].backend if entry is not None else None


def test_a_listener_that_is_refused_keeps_nobody_in() -> None:
    """Its last version goes on serving, but no rules of namespaces that the new one does not take, with whatever else it is."""
    everything = rule("wide", PathMatch(), (Binding("g/a", ("",)),), "wide")
    with live_tables() as live:
        take(live, Batch(1, (listener("g/a", "a.test", namespaces=("default",)), everything)))
        assert served(live, "a.test", "/7") == "wide"
        bad = msgspec.structs.replace(listener("g/a", "b.test", namespaces=()), protocol="HTTPS", certificates=("default/none",))
        take(live, Batch(2, (bad,)))
        assert list(live.rejections) == [bad.identity]
        assert served(live, "a.test", "/7") is None
        assert (live.listeners["g/a"].resource.protocol, live.listeners["g/a"].resource.hostname) == ("HTTP", "a.test")
        take(live, Batch(3, (msgspec.structs.replace(bad, namespaces=("default",)),)))
        assert served(live, "a.test", "/7") == "wide"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (listener("g/a"), listener("g/a", "a.test"), ("wide", "many")),
        (listener("g/a", "*.test"), listener("g/a"), ("many", "wide")),
        (listener("g/a", namespaces=("other",)), listener("g/a", namespaces=("default", "other")), (None, "wide")),
        (listener("g/a"), listener("g/a", namespaces=()), ("wide", None)),
    ],
    ids=["a hostname", "no hostname any more", "one namespace more", "no namespace any more"],
)
def test_what_a_listener_says_of_its_routes_edits_no_rule(before: Listener, after: Listener, expected: tuple[str | None, ...]) -> None:
    """A change of its hostname or its namespaces takes no steps but its own among 1,000 rules, and moves no connection; requests are judged
    by the new ones."""
    many = [rule(str(number), PathMatch("Exact", f"/{number}"), (Binding("g/a", ("",)),), "many") for number in range(1_000)]
    wide = rule("wide", PathMatch(), (Binding("g/a", ("*.test",)),), "wide")
    with live_tables() as live:
        take(live, Batch(1, (before, *many, wide)))
        entries, found = placed_entries(live), [served(live, "a.test", "/7")]
        prepared = Preparation(live, Batch(2, (after,)))
        assert sum(1 for _ in prepared.steps()) < 20
        prepared.commit()
        assert sum(1 for _ in prepared.release()) < 20
        assert placed_entries(live) == entries
        assert (prepared.arranged, prepared.replaced) == (False, [])
        assert (*found, served(live, "a.test", "/7")) == expected


def test_a_rule_without_its_listener_waits_for_it() -> None:
    """Children name their parents, and may come first."""
    with live_tables() as live:
        take(live, Batch(1, (rule("r", PathMatch("Exact", "/a"), (Binding("g/a", ("a.test",)),)),)))
        take(live, Batch(2, (listener("g/a"),)))
        assert len(live.listeners["g/a"].routes) == 1


def keyed(key: str) -> Gateway:
    return Gateway("default/web", SOURCE, session_key=Secret(key))


def kept() -> tuple[AnyResource, ...]:
    """A rule and a backend that keep sessions."""
    persistence = Persistence("sid", "Header")
    backend = Backend("b", SOURCE, options=BackendOptions(persistence=persistence))
    return msgspec.structs.replace(rule("r", PathMatch(), ()), persistence=persistence), backend


def seals(live: Live) -> tuple[bytes, ...]:
    """What the tokens of an endpoint are, by the rule and by the backend."""
    head = ResponseHead(200, b"OK", [], 0)
    kept = live.rules["HTTPRoute/default/r/0"]
    if not kept.awake:
        kept.wake()
    for sessions in (kept.sessions, live.backends["b"].sessions):
        assert sessions is not None
        sessions.edit(head, LiveEndpoint(b"10.0.0.1:80"), 1_700_000_000, False)
    return tuple(value for _, value in head.fields)


def test_proxies_with_one_session_key_seal_alike_and_others_do_not() -> None:
    """Gateway.session_key: each proxy of a Gateway reads what another sealed; without a key each process has its own."""
    with live_tables() as one, live_tables() as same, live_tables() as other, live_tables() as alone:
        for live, gateways in ((one, (keyed("a"),)), (same, (keyed("a"),)), (other, (keyed("b"),)), (alone, ())):
            take(live, Batch(1, (*gateways, *kept()), snapshot=True))
        assert seals(one) == seals(same)
        assert len({seals(one), seals(other), seals(alone)}) == 3


@pytest.mark.parametrize("awake", [False, True], ids=["asleep", "awake"])
def test_another_session_key_reaches_what_is_there_already(awake: bool) -> None:
    """A key that comes alone seals the sessions of rules and backends anew, though neither has changed."""
    with live_tables() as live, live_tables() as fresh:
        take(live, Batch(1, (keyed("a"), *kept()), snapshot=True))
        before = seals(live) if awake else ()
        take(live, Batch(2, (keyed("b"),)))
        take(fresh, Batch(1, (keyed("b"), *kept()), snapshot=True))
        assert seals(live) == seals(fresh) != before


def test_a_rule_that_nobody_asks_is_not_compiled() -> None:
    """Of 10,000 rules few are asked at one time; one that cannot be compiled is rejected all the same."""
    with live_tables() as live:
        place = (Binding("g/a", ("",)),)
        good, bad = rule("p", PathMatch(), place), rule("q", PathMatch(), place, filtered="bad name")
        take(live, Batch(1, (listener("g/a"), good, bad)))
        assert not any(each.awake for each in live.rules.values())
        assert list(live.rejections) == [bad.identity]


def test_a_negative_weight_is_rejected_before_a_request_draws_by_it() -> None:
    """What a rule without filters can be refused for is found when it comes, before the batch is acknowledged."""
    with live_tables() as live:
        plain = msgspec.structs.replace(rule("r", PathMatch(), ()), filters=(), backends=(BackendRef("b", -1),))
        take(live, Batch(1, (plain,)))
        assert live.rejections == {plain.identity: "a weight is negative: write 0 or more"}


@pytest.mark.parametrize(
    "asked",
    [
        {"backends": (BackendRef("b"),)},
        {"filters": (RequestMirror("b"),)},
        {"filters": (ExternalAuth("b"),)},
        {"backends": (BackendRef(error="no such Service", filters=(ExternalAuth("b"),)),)},
    ],
    ids=["backend", "mirror", "authorization", "authorization of a backend"],
)
def test_a_rule_that_wakes_while_a_batch_is_prepared_sees_nothing_of_it(asked: dict[str, Any]) -> None:
    """A request may be the first of its rule at any moment: what the rule asks is what was there when the rule came."""
    with live_tables() as live:
        take(live, Batch(1, (msgspec.structs.replace(rule("r", PathMatch(), ()), **{"filters": (), "backends": ()} | asked),)))
        prepared = Preparation(live, Batch(2, (Backend("b", SOURCE),)))
        for _ in prepared.steps():
            pass
        waking = live.rules["HTTPRoute/default/r/0"]
        waking.wake()
        servers = [server for each in (waking, *waking.shares) if (server := each.authorization) is not None]
        found = [*(share.backend for share in waking.shares), *(backend for _, backend in (*waking.mirrors, *servers))]
        backend = next(each for each in found if each is not None)
        assert backend.error == "backend b is not known to the proxy"
        prepared.commit()
        assert backend.error is None
