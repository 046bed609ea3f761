"""Which endpoint gets a request (BackendPolicy.balancing), and that what is counted for it returns to zero."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.flights import CUT
from tests.wire.pools import OK, TO_POOL, answers, backend, look, policy, pool, until
from tests.wire.serving import Fields, Site


def user(name: str) -> Fields:
    return [("x-user", name)]


HASHED = pytest.mark.parametrize("kind", ["RingHash", "Maglev"])


def by_user(kind: str) -> str:
    return policy(balancing={"type": kind, "hashOn": [{"type": "Header", "name": "X-User"}]})


def settled(site: Site) -> None:
    """Waits until the table of hashes is built, which goes on while requests are served."""
    until(lambda: bool(look(site, lambda found: found.is_settled())), "the table of hashes")


def test_the_less_busy_endpoint_is_asked(serve: Serve, blue: Echo, green: Echo) -> None:
    """Of two endpoints the one that has a request under way gets no other while it lasts (BackendPolicy.balancing LeastRequest)."""
    site = serve(TO_POOL, pool(blue.port, green.port), policy(balancing={"type": "LeastRequest"}))
    held = [Planned(held=True), Planned(held=True)]
    blue.plan(held[0])
    green.plan(held[1])
    flight = site.begin("/long")
    until(lambda: bool(blue.requests or green.requests), "the first request")
    busy, idle = (blue, green) if blue.requests else (green, blue)
    idle.clear()
    assert {site.ask().backend for _ in range(8)} == {idle.name}
    held[0].release()
    held[1].release()
    assert flight.answer().backend == busy.name
    assert look(site, lambda found: found.active) == 0


@HASHED
def test_the_same_key_goes_to_the_same_endpoint(serve: Serve, blue: Echo, green: Echo, red: Echo, kind: str) -> None:
    """Requests of one user stay at one endpoint, and users are spread over all (BackendPolicy.balancing.hashOn)."""
    site = serve(TO_POOL, pool(blue.port, green.port, red.port), by_user(kind))
    settled(site)
    users = [f"user-{number}" for number in range(40)]
    homes = {name: site.ask(headers=user(name)).backend for name in users}
    assert set(homes.values()) == {"blue", "green", "red"}
    assert {name: site.ask("/other", headers=user(name)).backend for name in users} == homes


@HASHED
def test_only_the_users_of_an_endpoint_that_goes_move(serve: Serve, blue: Echo, green: Echo, red: Echo, kind: str) -> None:
    """And they come back with it (minimal disruption)."""
    site = serve(TO_POOL, pool(blue.port, green.port, red.port), by_user(kind))
    settled(site)
    users = [f"user-{number}" for number in range(40)]
    homes = {name: site.ask(headers=user(name)).backend for name in users}
    site.change(TO_POOL, pool(blue.port, green.port), by_user(kind))
    settled(site)
    moved = {name: site.ask(headers=user(name)).backend for name in users}
    assert sum(home != moved[name] for name, home in homes.items() if home != "red") <= 6
    assert "red" not in moved.values()
    site.change(TO_POOL, pool(blue.port, green.port, red.port), by_user(kind))
    settled(site)
    assert {name: site.ask(headers=user(name)).backend for name in users} == homes


def test_clients_are_told_apart_by_address_as_trusted(serve: Serve, blue: Echo, green: Echo, red: Echo) -> None:
    """By default the client's address counts: behind a trusted proxy the one that it names."""
    trust = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], trustedHops: 1, reasonHeader: true}"
    site = serve(TO_POOL, pool(blue.port, green.port, red.port), policy(balancing={"type": "Maglev"}), trust)
    settled(site)
    clients = [f"192.0.2.{number}" for number in range(40)]
    homes = {client: site.ask(headers=[("x-forwarded-for", client)]).backend for client in clients}
    assert len(set(homes.values())) == 3
    assert {client: site.ask(headers=[("x-forwarded-for", client)]).backend for client in clients} == homes


def test_a_retry_goes_on_from_the_endpoint_of_the_key(serve: Serve, blue: Echo, green: Echo) -> None:
    """When no connection comes about the next endpoint of the key is asked (HTTPRouteRetry)."""
    site = serve(TO_POOL, pool(blue.port, green.port, 1), by_user("RingHash"))
    flights = [site.begin(headers=user(f"user-{number}")) for number in range(12)]
    assert {flight.connection.response()[0] for flight in flights} == {200}


@HASHED
def test_explain_knows_the_endpoint_of_a_key(serve: Serve, blue: Echo, green: Echo, red: Echo, kind: str) -> None:
    """The one that will be asked, and by what; without the key all of them, with their shares."""
    site = serve(TO_POOL, pool(blue.port, green.port, red.port), by_user(kind))
    settled(site)
    home = site.ask(headers=user("ann"))
    (portion,) = site.explain(headers=[("Host", "example.com"), *user("ann")])["portions"]
    assert [endpoint["address"] for endpoint in portion["endpoints"]] == [f"127.0.0.1:{home.request.port}"]
    assert portion["balancing"].endswith("of hashes of header x-user")
    (portion,) = site.explain()["portions"]
    assert len(portion["endpoints"]) == 3


def test_a_new_way_of_balancing_holds_without_a_new_backend(serve: Serve, blue: Echo, green: Echo) -> None:
    """A changed policy changes the live backend (by hash once the table is built); endpoints keep their connections (BackendPolicy)."""
    site = serve(TO_POOL, pool(blue.port, green.port))
    assert {site.ask().backend for _ in range(4)} == {"blue", "green"}
    before = look(site, lambda found: found.connections.count)
    site.change(TO_POOL, pool(blue.port, green.port), by_user("Maglev"))
    settled(site)
    assert len({site.ask(headers=user("ann")).backend for _ in range(6)}) == 1
    site.change(TO_POOL, pool(blue.port, green.port))
    assert {site.ask().backend for _ in range(4)} == {"blue", "green"}
    assert look(site, lambda found: found.connections.count) == before == 2


def test_weighted_endpoints_take_turns_by_weight(serve: Serve, blue: Echo, green: Echo) -> None:
    """Round robin honours the weights of endpoints (gateway.ir.backend.Endpoint.weight)."""
    site = serve(TO_POOL, pool(blue.port, green.port))

    def weigh(found: Any) -> None:
        for endpoint in found.endpoints.values():
            endpoint.weight = 3 if endpoint.port == blue.port else 1
        found.arrange()

    look(site, weigh)
    assert Counter(site.ask().backend for _ in range(12)) == {"blue": 9, "green": 3}


# what is counted returns to zero

TIMEOUTS = "  timeouts: {request: 400ms, backendRequest: 60ms}\n  retry: {codes: [503], attempts: 2}\n"


def resets(conversation: Conversation) -> None:
    conversation.read_head()
    conversation.reset()


def breaks_off(conversation: Conversation) -> None:
    conversation.read_head()
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def refuses(conversation: Conversation) -> None:
    while conversation.read_head():
        conversation.send(OK.replace(b"200 OK", b"503 Busy"))


def says_nonsense(conversation: Conversation) -> None:
    conversation.read_head()
    conversation.send(b"nonsense\r\n\r\n")


def says_nothing(conversation: Conversation) -> None:
    conversation.read_head()
    conversation.read_head()


def upgrades(conversation: Conversation) -> None:
    head = conversation.read_head()
    if b"pgrade" not in head:
        conversation.send(OK)
    conversation.read_head()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counts_return_to_zero_however_exchanges_end(serve: Serve, scripted: type[Scripted], seed: int) -> None:
    """Resets, cuts, nonsense, timeouts, retries, clients that leave: when all is over nothing is counted as under way."""
    random = Random(seed)
    ways = [answers, resets, breaks_off, refuses, says_nonsense, says_nothing, upgrades]
    first, second = (scripted(*random.choices(ways, k=40)) for _ in range(2))
    options = {"balancing": {"type": "LeastRequest"}, "limits": {"connections": 3, "pendingRequests": 2}, "connectTimeout": "100ms"}
    site = serve(TO_POOL + TIMEOUTS, pool(first.port, second.port, 1), policy(**options, ejection={"baseTime": "10ms", "maxTime": "20ms"}))
    for _ in range(12):
        flights = []
        for _ in range(random.randint(1, 6)):
            with suppress(BrokenPipeError):  # the answer was cut before the request's body was sent
                flights.append(site.begin(method=random.choice(["GET", "POST"]), body=random.choice([b"", b"x"])))
        for flight in flights:
            if random.random() < 0.3:
                flight.connection.reset()
            else:
                with suppress(*CUT, BrokenPipeError):
                    flight.connection.response()
                flight.connection.close()
    until(lambda: look(site, lambda found: found.active) == 0, "no exchange under way")
    assert look(site, lambda found: [endpoint.active for endpoint in found.endpoints.values()]) == [0, 0, 0]
    assert look(site, lambda found: found.connections.waiting) == 0
    count_connections(site)


def count_connections(site: Site) -> None:
    """Once the idle ones are closed no connection is counted either."""
    found = backend(site)
    look(site, lambda _: found.place(None))
    until(lambda: look(site, lambda found: found.connections.count) == 0, "no connection")
