"""When a status is final: after the proxies of its Gateway, or after a moment without them."""

from __future__ import annotations

from controller.settling import PATIENCE, Settling
from controller.store import Key
from controller.translate.conditions import met
from controller.translate.statuses import GatewayStatus, ListenerStatus, ObjectRef, ParentStatus, RouteStatus, Status
from gateway.ir.value import Identity

WEB: Key = ("Gateway", "shop", "web")
CART: Key = ("HTTPRoute", "shop", "cart")


class Scope:
    def __init__(self, revision: int = 1, applied: int = 0) -> None:
        self.revision = revision
        self.applied = applied
        self.rejected: dict[Identity, tuple[str, ...]] = {}

    def rejections(self) -> dict[Identity, tuple[str, ...]]:
        return dict(self.rejected)


def gateway(generation: int = 1, routes: int = 0) -> GatewayStatus:
    conditions = (met("Accepted", generation), met("ResolvedRefs", generation))
    listener = ListenerStatus("http", conditions, attached_routes=routes, key="shop/web/http")
    return GatewayStatus(WEB, generation, conditions, (listener,))


def route(rules: int = 1) -> RouteStatus:
    parents = (ParentStatus(ObjectRef("gateway.networking.k8s.io", "Gateway", "web"), (met("Accepted", 1),), "shop/web"),)
    return RouteStatus(CART, 1, parents, tuple(f"HTTPRoute/shop/cart/{number}" for number in range(rules)))


def condition(status: Status, name: str) -> str:
    assert isinstance(status, GatewayStatus)
    (found,) = (condition for condition in status.conditions if condition.type == name)
    return found.status if found.reason == name else f"{found.status} {found.reason}"


def settling(**scopes: Scope) -> Settling:
    return Settling(lambda name: scopes.get(name.rpartition("/")[2]))


def test_a_change_that_is_live_in_time_is_told_once() -> None:
    """The proxies acknowledge within the patience: one status, and it says Programmed."""
    web = Scope(revision=1)
    statuses = settling(web=web)
    statuses.note([gateway()], (), now=10)
    assert statuses.take(10) == ((), ())
    web.applied = 1
    statuses.moved("shop/web")
    (final,), _ = statuses.take(10.01)
    assert condition(final, "Programmed") == "True"
    assert statuses.next() is None


def test_a_change_that_is_not_live_in_time_is_pending_and_then_programmed() -> None:
    """The wait has an end, and what comes after it is told all the same."""
    web = Scope(revision=1)
    statuses = settling(web=web)
    statuses.note([gateway()], (), now=10)
    assert statuses.next() == 10 + PATIENCE
    (final,), _ = statuses.take(10 + PATIENCE)
    assert condition(final, "Programmed") == "False Pending"
    assert statuses.next() is None
    web.applied = 1
    statuses.moved("shop/web")
    (final,), _ = statuses.take(20)
    assert condition(final, "Programmed") == "True"


def test_what_is_programmed_stays_so_until_its_next_generation() -> None:
    """Proxies that leave, and changes of its routes, withdraw nothing; a new generation has to be acknowledged."""
    web = Scope(revision=1, applied=1)
    statuses = settling(web=web)
    statuses.note([gateway()], (), now=0)
    statuses.take(0)
    web.revision, web.applied = 2, 0
    statuses.note([gateway(routes=1)], (), now=1)
    statuses.moved("shop/web")
    (final,), _ = statuses.take(1 + PATIENCE)
    assert condition(final, "Programmed") == "True"
    statuses.note([gateway(generation=2)], (), now=2)
    (final,), _ = statuses.take(2 + PATIENCE)
    assert condition(final, "Programmed") == "False Pending"


def test_what_the_server_holds_as_programmed_stays_so_when_a_controller_starts() -> None:
    """A controller that comes anew has no proxies for a moment: that withdraws nothing; a generation that it had not seen does."""
    for generation, expected in ((1, "True"), (2, "False Pending")):
        statuses = Settling(lambda name: Scope(revision=1), programmed=lambda key: 1)
        statuses.note([gateway(generation)], (), now=0)
        (final,), _ = statuses.take(PATIENCE)
        assert condition(final, "Programmed") == expected


def test_a_route_waits_for_the_proxies_that_are_there() -> None:
    """Its change is acknowledged, or the patience ends: it is told once. Other Gateways, and later changes, are not waited for."""
    web = Scope(revision=5, applied=4)
    statuses = settling(web=web, other=Scope(revision=9, applied=1))
    statuses.note([route()], (), 0, {"shop/web": 5})
    assert statuses.take(0) == ((), ())
    web.revision, web.applied = 6, 5
    statuses.moved("shop/web")
    assert statuses.take(0.01) == ((route(),), ())
    statuses.note([route(rules=2)], (), 1, {"shop/web": 6})
    assert statuses.next() == 1 + PATIENCE
    assert statuses.take(1 + PATIENCE) == ((route(rules=2),), ())
    assert statuses.next() is None


def test_what_another_replica_made_programmed_stays_so_when_this_one_is_to_write() -> None:
    """R10: the proxies of the leader are not ours. What we took for pending meanwhile is judged anew by what the server holds by then."""
    held: dict[Key, int] = {}
    statuses = Settling(lambda name: Scope(revision=1), programmed=lambda key: held.get(key, 0))
    statuses.note([gateway()], (), now=0)
    (final,), _ = statuses.take(PATIENCE)
    assert condition(final, "Programmed") == "False Pending"
    held[WEB] = 1
    statuses.reconsider()
    (final,), _ = statuses.take(60)
    assert condition(final, "Programmed") == "True"
    assert statuses.next() is None


def test_a_route_waits_for_nobody_where_no_proxy_is() -> None:
    """Routes have no condition that says whether they are live."""
    statuses = settling(web=Scope(revision=5))
    statuses.note([route()], (), 0, {"shop/web": 5})
    assert statuses.take(0) == ((route(),), ())


def test_a_rule_that_is_refused_at_once_is_told_with_the_first_status() -> None:
    """The rejection comes with the acknowledgement, so the status is not written without it first."""
    web = Scope(revision=2, applied=1)
    statuses = settling(web=web)
    statuses.note([route(rules=2)], (), 0, {"shop/web": 2})
    assert statuses.take(0) == ((), ())
    web.applied, web.rejected = 2, {("HttpRule", "HTTPRoute/shop/cart/1"): ("too deep",)}
    statuses.moved("shop/web")
    (final,), _ = statuses.take(0.01)
    assert isinstance(final, RouteStatus)
    assert "PartiallyInvalid" in {found.type for found in final.parents[0].conditions}


def test_a_rule_that_proxies_refuse_shows_in_its_route_and_is_taken_back() -> None:
    """A rejection of any Gateway's proxies reaches the route; once it is over the route is well again."""
    web = Scope(revision=1, applied=1)
    statuses = settling(web=web)
    statuses.note([route(rules=2), gateway()], (), now=0)
    statuses.take(0)
    web.rejected["HttpRule", "HTTPRoute/shop/cart/1"] = ("too deep",)
    statuses.moved("shop/web")
    (final,), _ = statuses.take(1)
    assert isinstance(final, RouteStatus)
    assert [found.type for found in final.parents[0].conditions] == ["Accepted", "PartiallyInvalid"]
    web.rejected.clear()
    statuses.moved("shop/web")
    assert statuses.take(2) == ((route(rules=2),), ())


def test_what_cannot_be_deployed_is_not_programmed() -> None:
    """The Gateway says why, and is programmed once the obstacle is gone."""
    statuses = settling(web=Scope(revision=1, applied=1))
    statuses.note([gateway()], (), now=0)
    statuses.undeployed("shop/web", "quota")
    (final,), _ = statuses.take(0)
    assert condition(final, "Programmed") == "False NoResources"
    statuses.undeployed("shop/web", "")
    (final,), _ = statuses.take(0)
    assert condition(final, "Programmed") == "True"


def test_an_object_that_is_gone_is_told_once_and_forgotten() -> None:
    """Nothing is kept of it, and one that comes back at once is not gone."""
    statuses = settling()
    statuses.note([route()], (), now=0)
    statuses.take(0)
    statuses.note((), [CART], now=1)
    assert statuses.take(1) == ((), (CART,))
    assert not statuses.final
    statuses.note((), [CART], now=2)
    statuses.note([route()], (), now=2)
    assert statuses.take(2) == ((route(),), ())


def test_what_cannot_be_read_is_told_until_it_can() -> None:
    """A refusal stands in place of what translation says of the last readable version, which is told again afterwards."""
    statuses = settling()
    statuses.note([route()], (), now=0)
    statuses.take(0)
    said = RouteStatus(CART, 2, ())
    statuses.refuse([said], ())
    assert statuses.take(1) == ((said,), ())
    statuses.note([route(rules=2)], (), now=2)
    assert statuses.take(2) == ((), ())
    statuses.refuse((), [CART])
    assert statuses.take(3) == ((route(rules=2),), ())


def test_nobody_waits_for_sidecars() -> None:
    """A route that went to a Gateway and to a mesh is final when the Gateway's proxies have it."""
    web, mesh = Scope(revision=2, applied=2), Scope(revision=7, applied=6)
    statuses = Settling({"shop/web": web, "shop/@mesh": mesh}.get)
    statuses.note([route()], (), now=10, published={"shop/web": 2, "shop/@mesh": 7})
    (final,), _ = statuses.take(10)
    assert final.object == CART
