"""What is wanted comes to stand, against an API server of plain values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.api.metadata import Key
from controller.deploy.deployer import Deployer, Reach
from controller.deploy.objects import DEPLOYED, ObjectKey
from controller.deploy.settings import Settings
from controller.sources.kube.errors import ApiError, Unreachable
from controller.translate.infrastructure import Autoscaling, DisruptionBudget, Parameters
from tests.controller.deploy.fake_cluster import FakeCluster, Stored, kinds
from tests.controller.deploy.gateways import HTTP, SETTINGS, infrastructure
from tests.running import run

OURS = "tidegate.dev/gateway-controller"
WEB: Key = ("Gateway", "shop", "web")
SCALED = Parameters(autoscaling=Autoscaling(2, 9, 70), disruption_budget=DisruptionBudget(max_unavailable=1))


class Told:
    """A deployer at a fake API server, with what it said."""

    def __init__(self, cluster: FakeCluster | None = None, settings: Settings = SETTINGS, **reach: int | tuple[str, ...]) -> None:
        self.cluster = cluster or FakeCluster()
        self.gateways: list[tuple[Key, str]] = []
        self.problems: list[str] = []
        # Without pauses: a failure is tried again at once.
        self.reach = replace(Reach(OURS, retry_first=0.0, retry_most=0.0), **reach)  # type: ignore[arg-type]  # fields of Reach
        self.deployer = Deployer(self.cluster, settings, self.reach, self._tell, self._problem)

    def _tell(self, gateway: Key, problem: str) -> None:
        self.gateways.append((gateway, problem))
        self.cluster.notice()

    def _problem(self, problem: str) -> None:
        self.problems.append(problem)
        self.cluster.notice()

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[Deployer]:
        """While this replica leads."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.deployer.run())
            try:
                yield self.deployer
            finally:
                task.cancel()

    async def quiet(self, marker: str = "marker") -> None:
        """Returns once everything that was due before is done: a Gateway that is asked for last stands, one at a time."""
        self.deployer.want([infrastructure(marker)])
        await self.cluster.until(lambda: ObjectKey("Deployment", "shop", f"{marker}-edge") in self.cluster.objects)


def one_by_one(cluster: FakeCluster | None = None) -> Told:
    return Told(cluster, concurrency=1)


def test_what_is_wanted_is_applied() -> None:
    """Every object of a Gateway is applied, in an order in which none refers to one that is not there yet."""

    async def test() -> None:
        told = Told()
        told.deployer.want([infrastructure(parameters=SCALED)])
        async with told.leading():
            await told.cluster.until(lambda: len(told.cluster.calls) == len(DEPLOYED))
        assert kinds(told.cluster.calls) == [("apply", kind) for kind in DEPLOYED]

    run(test)


def test_nothing_is_done_before_everything_is_known_nor_without_leading() -> None:
    """A replica that does not lead calls nobody, and one that leads waits for the first translation."""

    async def test() -> None:
        told = Told()
        told.deployer.want([infrastructure("early")])
        await asyncio.sleep(0)
        assert not told.cluster.calls
        waiting = Told()
        async with waiting.leading():
            await asyncio.sleep(0)
            assert not waiting.cluster.looks
            waiting.deployer.want([infrastructure()])
            await waiting.cluster.until(lambda: bool(waiting.cluster.calls))

    run(test)


def test_what_stands_is_not_applied_again() -> None:
    """The same Gateway once more costs no request; a change of one field applies the object that it is in."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
            looks, calls = len(told.cluster.looks), len(told.cluster.calls)
            deployer.want([infrastructure()])
            await told.quiet("second")
            assert {key.name for key in told.cluster.looks[looks:]} == {"second-edge", "second-edge-ca"}
            deployer.want([infrastructure(ports=(HTTP, replace(HTTP, port=81, name="p81-tcp")))])
            await told.quiet("third")
            changed = [(verb, key) for verb, key in told.cluster.calls[calls:] if key.name.startswith("web-")]
            assert changed == [("apply", ObjectKey("Service", "shop", "web-edge"))]

    run(test)


def test_other_authorities_change_the_config_maps_alone() -> None:
    """New settings are applied to every Gateway, as far as they change something there."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure("a"), infrastructure("b")])
            await told.quiet()
            calls = len(told.cluster.calls)
            deployer.configure(replace(SETTINGS, authorities="NEW"))
            deployer.configure(replace(SETTINGS, authorities="NEW"))
            await told.quiet("last")
            touched = [key.name for verb, key in told.cluster.calls[calls:] if not key.name.startswith("last")]
            assert touched == ["a-edge-ca", "b-edge-ca", "marker-edge-ca"]
            assert told.cluster.value("ConfigMap", "shop", "a-edge-ca")["data"] == {"ca.crt": "NEW"}

    run(test)


def test_what_is_no_longer_wanted_is_deleted() -> None:
    """An address, an autoscaler or a budget that the Gateway asks for no more goes, and only that."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure(addresses=("10.0.0.1", "10.0.0.2"), parameters=SCALED)])
            await told.quiet("first")
            calls = len(told.cluster.calls)
            deployer.want([infrastructure(addresses=("10.0.0.2",))])
            await told.quiet("second")
            deleted = [key for verb, key in told.cluster.calls[calls:] if verb == "delete"]
            assert sorted(key.kind for key in deleted) == ["HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"]
            (service,) = (key for key in told.cluster.keys("Service") if key.name.startswith("web-"))
            assert told.cluster.value(*service)["spec"]["loadBalancerIP"] == "10.0.0.2"

    run(test)


def test_a_service_outlives_a_time_without_listeners() -> None:
    """A Gateway whose listeners are all refused for a while keeps its Service, and with it its address."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
            deployer.want([infrastructure(ports=())])
            await told.quiet("second")
            assert ObjectKey("Service", "shop", "web-edge") in told.cluster.objects
            assert not [key for verb, key in told.cluster.calls if verb == "delete"]

    run(test)


def foreign_class(cluster: FakeCluster, controller: str = "acme.test/other") -> None:
    cluster.put("Gateway", "shop", "web", spec={"gatewayClassName": "edge"})
    cluster.put("GatewayClass", "", "edge", spec={"controllerName": controller})


def test_a_gateway_of_another_controller_leaves_nothing_behind() -> None:
    """When a Gateway's class becomes another controller's, all that we made for it is deleted."""

    async def test() -> None:
        told = one_by_one()
        foreign_class(told.cluster)
        async with told.leading() as deployer:
            deployer.want([infrastructure(parameters=SCALED)])
            await told.quiet("first")
            deployer.want([], [WEB])
            await told.quiet("second")
            assert not [key for key in told.cluster.keys(*DEPLOYED) if key.name.startswith("web-")]

    run(test)


def test_a_gateway_that_is_not_accepted_keeps_what_it_has() -> None:
    """A mistake in a Gateway or its parameters does not cost it its address: nothing is deleted while its class is ours, or not there."""

    async def test() -> None:
        for cluster in (FakeCluster(), FakeCluster()):
            foreign_class(cluster, OURS)
            told = one_by_one(cluster)
            async with told.leading() as deployer:
                deployer.want([infrastructure()])
                await told.quiet("first")
                deployer.want([], [WEB])
                await told.quiet("second")
                del cluster.objects[ObjectKey("GatewayClass", "", "edge")]
                deployer.want([infrastructure()])
                deployer.want([], [WEB])
                await told.quiet("third")
            assert "delete" not in {verb for verb, _ in cluster.calls}

    run(test)


def test_a_gateway_that_is_gone_is_left_to_the_garbage_collector() -> None:
    """What a deleted Gateway owned is deleted by the cluster; a new one of its name begins as any other."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
            deployer.want([], [WEB])
            await told.quiet("second")
            calls = len(told.cluster.calls)
            deployer.want([infrastructure()])
            await told.quiet("third")
            again = [key.kind for verb, key in told.cluster.calls[calls:] if key.name.startswith("web-")]
            assert again == ["ServiceAccount", "ConfigMap", "Service", "Deployment"]

    run(test)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": {"app.kubernetes.io/managed-by": "tidegate"}},
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "ownerReferences": "of web"},
        {"labels": {"app.kubernetes.io/managed-by": "tidegate"}, "ownerReferences": "of another Gateway"},
        {"labels": {"app.kubernetes.io/managed-by": "tidegate"}, "ownerReferences": "not controlling"},
        {"labels": {"app.kubernetes.io/managed-by": "tidegate"}, "ownerReferences": "of a ListenerSet"},
    ],
    ids=["of nobody", "without owner", "of Helm", "of another Gateway", "not controlled", "of another kind"],
)
def test_what_others_made_under_a_name_is_not_touched(metadata: dict[str, object]) -> None:
    """An object without our label, or not controlled by this Gateway, is neither applied nor deleted, and the Gateway is told."""
    owner = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "web", "uid": "u", "controller": True}
    owners = {
        "of web": owner,
        "of another Gateway": {**owner, "name": "web2"},
        "not controlling": {**owner, "controller": False},
        "of a ListenerSet": {**owner, "kind": "ListenerSet"},
    }
    if "ownerReferences" in metadata:
        metadata = {**metadata, "ownerReferences": [owners[str(metadata["ownerReferences"])]]}

    async def test() -> None:
        told = one_by_one()
        key = told.cluster.put("Service", "shop", "web-edge", metadata=metadata, spec={"ports": []})
        foreign_class(told.cluster)
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.cluster.until(lambda: bool(told.gateways))
            deployer.want([], [WEB])
            await told.cluster.until(lambda: len(told.gateways) > 1)
        ((gateway, problem), over) = told.gateways[:2]
        assert gateway == WEB
        assert "Service shop/web-edge is there already and was not made for this Gateway" in problem
        assert over == (WEB, "")
        assert key not in {key for _, key in told.cluster.calls}

    run(test)


def test_one_gateway_in_trouble_harms_no_other() -> None:
    """A quota that refuses one Gateway's Service is told of that Gateway; its other objects and all other Gateways stand."""

    async def test() -> None:
        told = one_by_one()
        full = ApiError(403, "Forbidden", 'exceeded quota: "services.loadbalancers"')
        told.cluster.failure = lambda verb, key: full if (verb, key.kind, key.name) == ("apply", "Service", "web-edge") else None
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet()
            assert told.gateways == [(WEB, 'exceeded quota: "services.loadbalancers"')]
            assert ObjectKey("Deployment", "shop", "web-edge") in told.cluster.objects
            told.cluster.failure = lambda verb, key: None
            await told.cluster.until(lambda: len(told.gateways) > 1)
            assert told.gateways[1:] == [(WEB, "")]
            assert ObjectKey("Service", "shop", "web-edge") in told.cluster.objects

    run(test)


def test_what_may_be_over_with_the_next_try_is_told_when_it_is_not() -> None:
    """An answer of 500 is told after the third in a row: a hiccup of the API server does not withdraw Programmed."""

    async def test() -> None:
        told = one_by_one()
        tries = 0

        def failing(verb: str, key: ObjectKey) -> ApiError | None:
            nonlocal tries
            if (verb, key.kind) != ("apply", "Service"):
                return None
            tries += 1
            return ApiError(500, "InternalError", "failed calling webhook") if tries < until else None

        told.cluster.failure = failing
        until = 3
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.cluster.until(lambda: ObjectKey("Service", "shop", "web-edge") in told.cluster.objects)
            assert told.gateways == []
            tries, until = 0, 5
            deployer.want([infrastructure(addresses=("10.0.0.1",))])
            await told.cluster.until(lambda: len(told.gateways) == 2)
            assert told.gateways == [(WEB, "failed calling webhook"), (WEB, "")]

    run(test)


def test_an_api_server_out_of_reach_says_nothing_of_a_gateway() -> None:
    """Without an answer nothing is told, the rest of the Gateway is not tried, and all is done once there is one."""

    async def test() -> None:
        told = one_by_one()
        away = True
        told.cluster.failure = lambda verb, key: Unreachable(0, "", "connection refused") if away else None
        told.deployer.want([infrastructure()])
        async with told.leading():
            await told.cluster.until(lambda: len(told.cluster.looks) > 10)
            assert {key.kind for key in told.cluster.looks} == {"ServiceAccount"}
            away = False
            await told.cluster.until(lambda: ObjectKey("Deployment", "shop", "web-edge") in told.cluster.objects)
        assert told.gateways == []
        assert "connection refused" in told.problems[0]

    run(test)


def test_what_is_disturbed_is_restored() -> None:
    """A deleted or changed object is applied again; one that still is as it was placed costs a look and no write."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
            calls = len(told.cluster.calls)
            deployer.disturbed("Deployment", "shop", "web-edge")
            deployer.disturbed("Deployment", "shop", "never-heard-of")
            await told.quiet("second")
            assert [key for verb, key in told.cluster.calls[calls:] if key.name == "web-edge"] == []
            del told.cluster.objects[ObjectKey("Service", "shop", "web-edge")]
            told.cluster.objects[ObjectKey("Deployment", "shop", "web-edge")].applied["spec"]["strategy"] = {"type": "Recreate"}
            deployer.disturbed("Service", "shop", "web-edge")
            deployer.disturbed("Deployment", "shop", "web-edge")
            await told.quiet("third")
            assert told.cluster.value("Deployment", "shop", "web-edge")["spec"]["strategy"]["type"] == "RollingUpdate"
            assert ObjectKey("Service", "shop", "web-edge") in told.cluster.objects

    run(test)


def test_a_new_leader_compares_everything_once() -> None:
    """After another replica led, every object is applied anew, and what it left over for our Gateways is deleted."""

    async def test() -> None:
        cluster = FakeCluster()
        before = one_by_one(cluster)
        async with before.leading() as deployer:
            deployer.want([infrastructure(addresses=("10.0.0.1",), parameters=SCALED), infrastructure("same")])
            await before.quiet()
        calls = len(cluster.calls)
        after = one_by_one(cluster)
        async with after.leading() as deployer:
            deployer.want([infrastructure(), infrastructure("same"), infrastructure("marker")])
            await cluster.until(lambda: sum(verb == "delete" for verb, _ in cluster.calls) == 3)
            await after.quiet("last")
        assert {key.kind for verb, key in cluster.calls[calls:] if verb == "delete"} == {
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
            "Service",
        }
        assert ("apply", ObjectKey("Deployment", "shop", "same-edge")) in cluster.calls[calls:]

    run(test)


def test_the_same_replica_leads_again() -> None:
    """Leading is lost and won: what another changed meanwhile is put right."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
        told.cluster.objects[ObjectKey("Service", "shop", "web-edge")].applied["spec"]["type"] = "NodePort"
        async with told.leading():
            await told.cluster.until(lambda: told.cluster.value("Service", "shop", "web-edge")["spec"]["type"] == "LoadBalancer")

    run(test)


def test_leftovers_of_a_foreign_gateway_go_and_those_of_an_unreadable_one_stay() -> None:
    """After a restart nothing is known of Gateways that translation does not name: only those of other controllers lose what we made."""

    async def test() -> None:
        cluster = FakeCluster()
        before = one_by_one(cluster)
        async with before.leading() as deployer:
            deployer.want([infrastructure(), infrastructure("unread")])
            await before.quiet()
        foreign_class(cluster)
        cluster.put("Gateway", "shop", "unread", spec={"gatewayClassName": "mine"})
        cluster.put("GatewayClass", "", "mine", spec={"controllerName": OURS})
        after = one_by_one(cluster)
        async with after.leading() as deployer:
            deployer.want([infrastructure("marker")])
            await cluster.until(lambda: not [key for key in cluster.keys(*DEPLOYED) if key.name.startswith("web-")])
        assert len([key for key in cluster.keys(*DEPLOYED) if key.name.startswith("unread-")]) == 4

    run(test)


def test_leftovers_are_looked_for_where_the_controller_may_look() -> None:
    """Namespaced mode lists in its namespaces alone; a list that is refused is told, and tried again."""

    async def test() -> None:
        told = Told(namespaces=("shop", "desk"))
        listed: list[str] = []

        def refuse_first(verb: str, key: ObjectKey) -> ApiError | None:
            if verb == "list":
                listed.append(key.namespace)
            return ApiError(403, "Forbidden", "serviceaccounts is forbidden") if listed == ["shop"] and verb == "list" else None

        told.cluster.failure = refuse_first
        told.deployer.want([])
        async with told.leading():
            await told.cluster.until(lambda: len(listed) == 1 + 2 * len(DEPLOYED))
        assert set(listed) == {"shop", "desk"}
        assert "serviceaccounts is forbidden" in told.problems[0]

    run(test)


def test_replicas_stay_when_an_autoscaler_takes_over() -> None:
    """Turning autoscaling on does not fall back to one Pod; what the autoscaler writes later is left alone."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure(parameters=Parameters(replicas=5))])
            await told.quiet("first")
            deployer.want([infrastructure(parameters=SCALED)])
            await told.quiet("second")
            assert told.cluster.value("Deployment", "shop", "web-edge")["spec"]["replicas"] == 5
            stored = told.cluster.objects[ObjectKey("Deployment", "shop", "web-edge")]
            stored.others = {"spec": {"replicas": stored.applied["spec"].pop("replicas") + 2}}
            deployer.want([infrastructure(parameters=replace(SCALED, workers=2))])
            await told.quiet("third")
            assert told.cluster.value("Deployment", "shop", "web-edge")["spec"]["replicas"] == 7

    run(test)


def test_an_object_on_its_way_out_is_waited_for() -> None:
    """An object that is being deleted is not applied; once it is gone a new one is."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet("first")
            key = ObjectKey("Service", "shop", "web-edge")
            told.cluster.objects[key].others = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
            uid = told.cluster.objects[key].uid
            deployer.disturbed(*key)
            looks = len(told.cluster.looks)
            await told.cluster.until(lambda: told.cluster.looks[looks:].count(key) > 2)
            del told.cluster.objects[key]
            await told.cluster.until(lambda: key in told.cluster.objects and told.cluster.objects[key].uid != uid)

    run(test)


def test_two_gateways_of_one_deployed_name() -> None:
    """Gateway `a-b` of class `c` and Gateway `a` of class `b-c` would both be called a-b-c: the second is told, the first unharmed."""

    async def test() -> None:
        told = one_by_one()
        async with told.leading() as deployer:
            deployer.want([infrastructure("a-b", class_name="c"), infrastructure("a", class_name="b-c")])
            await told.cluster.until(lambda: bool(told.gateways))
        gateway, problem = told.gateways[0]
        assert gateway == ("Gateway", "shop", "a")
        assert "ServiceAccount shop/a-b-c is there already" in problem
        assert told.cluster.value("Deployment", "shop", "a-b-c")["metadata"]["ownerReferences"][0]["name"] == "a-b"

    run(test)


def test_few_gateways_are_worked_on_at_once() -> None:
    """A hundred Gateways are a hundred, but never more than eight requests at a time."""

    async def test() -> None:
        told = Told()
        told.deployer.want([infrastructure(f"g{number}") for number in range(100)])
        async with told.leading():
            await told.cluster.until(lambda: len(told.cluster.keys("Deployment")) == 100)
        assert told.cluster.most_running <= told.reach.concurrency + 1  # and the look for what is left over

    run(test)


def test_a_gateway_is_never_worked_on_twice_at_once() -> None:
    """A change while a Gateway is being worked on is taken up after that, and the last one stands."""

    async def test() -> None:
        told = Told()
        told.cluster.gate = asyncio.Event()
        told.deployer.want([infrastructure()])
        async with told.leading() as deployer:
            key = ObjectKey("ServiceAccount", "shop", "web-edge")
            await told.cluster.until(lambda: key in told.cluster.looks)
            deployer.want([infrastructure(labels=(("v", "2"),)), infrastructure("after", labels=(("v", "2"),))])
            await told.cluster.until(lambda: ObjectKey("ServiceAccount", "shop", "after-edge") in told.cluster.looks)
            assert told.cluster.looks.count(key) == 1
            told.cluster.gate.set()
            await told.cluster.until(
                lambda: (
                    all(stored.applied["metadata"]["labels"].get("v") == "2" for stored in told.cluster.objects.values())
                    and len(told.cluster.objects) == 8
                )
            )

    run(test)


def test_an_object_made_anew_behind_our_back_is_not_overwritten() -> None:
    """An object is applied with the uid that was looked at: another of the same name is a conflict, and looked at again."""

    async def test() -> None:
        told = one_by_one()
        key = ObjectKey("Service", "shop", "web-edge")

        def exchange(verb: str, found: ObjectKey) -> ApiError | None:
            if verb == "apply" and found == key and key in told.cluster.objects and not told.gateways:
                told.cluster.objects[key] = Stored("another", others={"spec": {"ports": []}})
            return None

        async with told.leading() as deployer:
            deployer.want([infrastructure()])
            await told.quiet()
            told.cluster.failure = exchange
            deployer.want([infrastructure(labels=(("v", "2"),))])
            await told.cluster.until(lambda: bool(told.gateways))
        assert "was not made for this Gateway" in told.gateways[0][1]
        assert told.cluster.objects[key].applied == {}

    run(test)
