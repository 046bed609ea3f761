"""The numbered changes: whatever a proxy has missed, one batch brings it to the present, and nothing is kept for nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.ledger import Ledger
from gateway.ir.backend import Backend, EndpointSet
from gateway.ir.batch import AnyResource, Batch, decode
from gateway.ir.rule import HttpRule
from gateway.ir.value import Identity, Source

SOURCE = Source("Service", "default", "s")


def backend(key: str, version: int = 0) -> Backend:
    return Backend(key=key, source=SOURCE, error=f"version {version}")


def applied(held: dict[Identity, AnyResource], batch: Batch) -> dict[Identity, AnyResource]:
    after = {} if batch.snapshot else dict(held)
    for identity in batch.remove:
        after.pop(identity, None)
    after.update((resource.identity, resource) for resource in batch.set)
    return after


def test_nothing_is_known_before_the_first_change_and_an_empty_one_counts() -> None:
    """Revision 0 is "unknown"; the first change, even of nothing, makes it 1, so that a proxy without a listener becomes ready."""
    ledger = Ledger()
    assert ledger.revision == 0
    assert ledger.change((), ()) == 1
    assert ledger.change((), ()) == 1
    assert ledger.since(None) == Batch(1, snapshot=True)


def test_a_base_gets_only_what_differs() -> None:
    """Design 4: one changed object is a batch of one or two resources, whatever the number of resources."""
    ledger = Ledger()
    ledger.change([backend(str(number)) for number in range(100)], ())
    ledger.change([backend("7", 2)], [("Backend", "8")])
    assert ledger.since(1) == Batch(2, (backend("7", 2),), (("Backend", "8"),))


def test_changes_of_one_identity_coalesce_to_the_last() -> None:
    """Design 4: while one batch is unacknowledged the next changes coalesce; the later of set and remove wins."""
    ledger = Ledger()
    ledger.change([backend("a"), backend("b"), backend("c")], ())
    ledger.change([backend("a", 2)], [("Backend", "b")])
    ledger.change([backend("b", 3)], [("Backend", "a")])
    assert ledger.since(1) == Batch(3, (backend("b", 3),), (("Backend", "a"),))


def test_within_one_change_a_set_wins_over_a_removal() -> None:
    """A resource that moved from one unit to another is removed and set in one change: it is there."""
    ledger = Ledger()
    ledger.change([backend("a")], [("Backend", "a")])
    assert ledger.since(None).set == (backend("a"),)


def test_a_difference_larger_than_everything_becomes_a_snapshot() -> None:
    """A proxy that is far behind starts from nothing, which costs less."""
    ledger = Ledger()
    ledger.change([backend(str(number)) for number in range(10)], ())
    ledger.change((), [("Backend", str(number)) for number in range(9)])
    assert ledger.since(1) == Batch(2, (backend("9"),), snapshot=True)


def test_named_stands_before_naming() -> None:
    """Design 4: endpoints before the rules that use them (ir.batch.ORDER)."""
    ledger = Ledger()
    rule = HttpRule(key="HTTPRoute/default/r/0", source=SOURCE, route="default/r", index=0, bindings=())
    ledger.change([rule, backend("a"), EndpointSet(key="a", source=SOURCE)], ())
    assert [type(resource).__name__ for resource in ledger.since(None).set] == ["EndpointSet", "Backend", "HttpRule"]


def test_equal_bytes_are_encoded_once() -> None:
    """Design 4: proxies that stand at one revision get the same object, not only equal bytes."""
    ledger = Ledger()
    ledger.change([backend("a"), backend("b")], ())
    ledger.change([backend("a", 2)], ())
    assert ledger.lines(1) is ledger.lines(1)
    assert ledger.lines(None) is ledger.lines(None)
    (line,) = ledger.lines(1)
    assert decode(line) == ledger.since(1)


def test_what_everyone_has_is_forgotten() -> None:
    """Nothing of a change is kept once every proxy stands beyond it; who asks for it then gets a snapshot."""
    ledger = Ledger()
    ledger.change([backend("a"), backend("b")], ())
    ledger.change([backend("a", 2)], ())
    ledger.lines(None)
    ledger.settle(2)
    assert ledger.since(1).snapshot
    assert ledger.since(2) == Batch(2)
    assert ledger.sizes() == {"resources": 2, "changed": 0, "lines": 0}


def test_names_that_come_and_go_do_not_pile_up_for_a_proxy_that_hangs() -> None:
    """Memory for a slow reader is bounded by the number of resources, not by the number of changes."""
    ledger = Ledger()
    ledger.change([backend("stays")], ())
    for number in range(5_000):
        ledger.change([backend(str(number))], [("Backend", str(number - 1))])
    assert ledger.sizes()["changed"] < 1_100
    assert ledger.since(1).snapshot


KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
CHANGES = st.tuples(st.just("change"), st.frozensets(KEYS, max_size=3), st.frozensets(KEYS, max_size=3))
STEPS = st.one_of(CHANGES, CHANGES, st.tuples(st.sampled_from(["send", "swap", "join", "leave", "crash", "settle"]), st.integers(0, 3)))


class Proxy:
    """What a subscriber holds, what is on its way, and the base that the server knows of it."""

    def __init__(self) -> None:
        self.held: dict[Identity, AnyResource] = {}
        self.flight: Batch | None = None
        self.base: int | None = None

    def send(self, ledger: Ledger) -> None:
        if self.flight is None and self.base != ledger.revision:
            (line,) = ledger.lines(self.base)
            message = decode(line)
            assert isinstance(message, Batch)
            self.flight, self.base = message, ledger.revision

    def swap(self) -> None:
        if self.flight is not None:
            self.held, self.flight = applied(self.held, self.flight), None


def play(step: tuple[object, ...], version: int, ledger: Ledger, proxies: list[Proxy]) -> None:
    match step:
        case ("change", frozenset() as put, frozenset() as removed):
            ledger.change([backend(str(key), version) for key in put], [("Backend", str(key)) for key in removed])
        case ("join", _):
            proxies.append(Proxy())
        case ("settle", _):
            ledger.settle(min((proxy.base for proxy in proxies if proxy.base is not None), default=ledger.revision))
        case (str() as what, int() as number) if proxies:
            proxy = proxies[number % len(proxies)]
            if what == "send":
                proxy.send(ledger)
            elif what == "swap":
                proxy.swap()
            elif what == "leave":
                proxies.remove(proxy)
            elif what == "crash" and proxy.flight is not None:
                proxy.flight, proxy.base = None, None


@given(st.lists(STEPS, max_size=60))
def test_every_proxy_ends_with_exactly_what_is_current(steps: list[tuple[object, ...]]) -> None:
    """After any sequence of changes with any interleaving of sending, swapping, crashing, joining and leaving, all agree."""
    ledger, proxies = Ledger(), [Proxy()]
    ledger.change((), ())
    for version, step in enumerate(steps):
        play(step, version, ledger, proxies)
    for proxy in proxies:
        proxy.swap()
        proxy.send(ledger)
        proxy.swap()
        assert proxy.held == dict(ledger.resources)
