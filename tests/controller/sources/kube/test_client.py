"""The client: what it sends, what it makes of answers, and how its errors read."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from controller.sources.kube.access import Access
from controller.sources.kube.client import Account, Client
from controller.sources.kube.errors import ApiError, Conflict, Gone, NotFound, Unreachable
from controller.sources.kube.resources import RESOURCES
from tests.controller.sources.kube.cluster import ROUTE, SERVICE, SOON, route, run, service, serving
from tests.kubernetes_api import CUT, SILENCE, Value

DEPLOYMENT = RESOURCES["Deployment"]


def test_a_list_is_read_page_by_page(tmp_path: Path) -> None:
    """Pages are joined, `limit` is asked for, the version is the list's (API concepts, "Retrieving large results sets in chunks")."""

    async def scenario() -> None:
        async with serving(tmp_path, replace(SOON, page=2)) as (api, client):
            for number in range(5):
                api.put(route(f"r{number}"))
            items, version = await client.list(ROUTE)
            assert [item["metadata"]["name"] for item in items] == ["r0", "r1", "r2", "r3", "r4"]
            assert int(version) >= int(items[-1]["metadata"]["resourceVersion"])
            assert [asked.query["limit"] for asked in api.asked] == ["2", "2", "2"]

    run(scenario())


def test_a_list_of_a_namespace_and_of_selectors(tmp_path: Path) -> None:
    """A namespace and selectors are for the server to apply."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            api.put(route("here", labels={"a": "x"}))
            api.put(route("other", labels={"a": "y"}))
            api.put(route("there", namespace="elsewhere", labels={"a": "x"}))
            items, _ = await client.list(ROUTE, "shop", labels="a=x")
            assert [item["metadata"]["name"] for item in items] == ["here"]

    run(scenario())


def test_a_list_whose_page_token_expires_is_begun_anew(tmp_path: Path) -> None:
    """410 on a later page: the whole list again, so that nothing is missing or double."""

    async def scenario() -> None:
        async with serving(tmp_path, replace(SOON, page=1)) as (api, client):
            api.put(route("a"))
            api.put(route("b"))
            api.fail("list", "httproutes", 410, only=lambda asked: "continue" in asked.query)
            items, _ = await client.list(ROUTE)
            assert [item["metadata"]["name"] for item in items] == ["a", "b"]
            api.fail("list", "httproutes", 410, times=9, only=lambda asked: "continue" in asked.query)
            with pytest.raises(Gone):
                await client.list(ROUTE)

    run(scenario())


def test_reading_and_writing_one_object(tmp_path: Path) -> None:
    """create, get, replace, patch and delete, each as the API concepts say; what is there or not there is told apart."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            made = await client.create(SERVICE, "shop", service("cart"))
            with pytest.raises(Conflict):
                await client.create(SERVICE, "shop", service("cart"))
            assert await client.get(SERVICE, "shop", "cart") == made
            made["spec"]["ports"][0]["port"] = 81
            newer = await client.replace(SERVICE, "shop", "cart", made)
            assert newer["spec"]["ports"][0]["port"] == 81
            with pytest.raises(Conflict):
                await client.replace(SERVICE, "shop", "cart", made)
            await client.delete(SERVICE, "shop", "cart", newer["metadata"]["uid"])
            with pytest.raises(NotFound):
                await client.get(SERVICE, "shop", "cart")
            await client.delete(SERVICE, "shop", "cart")
            assert api.asked[-1].body["propagationPolicy"] == "Background"

    run(scenario())


def test_only_the_object_with_the_uid_is_deleted(tmp_path: Path) -> None:
    """Deleting with the uid of an object that was replaced by another of its name is a conflict, and the other stays."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            api.put(service("cart"))
            with pytest.raises(Conflict):
                await client.delete(SERVICE, "shop", "cart", "another")
            assert await client.get(SERVICE, "shop", "cart")

    run(scenario())


def test_apply_is_server_side_apply_by_force(tmp_path: Path) -> None:
    """apply sends application/apply-patch+yaml as field manager tidegate, with force; fields given before and not now go."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            body: Value = {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "a"},
                "spec": {"replicas": 2, "paused": True},
            }
            await client.apply(DEPLOYMENT, "shop", "a", body)
            del body["spec"]["paused"]
            after = await client.apply(DEPLOYMENT, "shop", "a", body)
            assert after["spec"] == {"replicas": 2}
            asked = api.asked[-1]
            assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
            assert asked.query == {"fieldManager": "tidegate", "force": "true"}

    run(scenario())


def test_a_merge_patch_of_status_is_safe_against_conflicts(tmp_path: Path) -> None:
    """A patch that names an older resourceVersion changes nothing; status is a subresource and leaves the generation alone."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            stored = api.put(route("cart"))
            old = stored["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": old}, "status": {"parents": [{"controllerName": "tidegate.dev/gateway-controller"}]}}
            after = await client.patch(ROUTE, "shop", "cart", body, "status")
            assert after["status"] == body["status"]
            assert after["metadata"]["generation"] == 1
            with pytest.raises(Conflict):
                await client.patch(ROUTE, "shop", "cart", body, "status")
            assert api.asked[-1].subresource == "status"
            assert api.asked[-1].headers["Content-Type"] == "application/merge-patch+json"

    run(scenario())


REVIEW = {
    "authenticated": True,
    "audiences": ["tidegate"],
    "user": {
        "username": "system:serviceaccount:shop:gw-tidegate",
        "extra": {"authentication.kubernetes.io/pod-name": ["gw-1"], "authentication.kubernetes.io/pod-uid": ["u-1"]},
    },
}


@pytest.mark.parametrize(
    ("status", "account"),
    [
        (REVIEW, Account("shop", "gw-tidegate", "gw-1", "u-1")),
        (REVIEW | {"user": {"username": "system:serviceaccount:shop:gw"}}, Account("shop", "gw", "", "")),
        (REVIEW | {"authenticated": False}, "the API server does not vouch for it, and does not say why"),
        (
            {"authenticated": False, "error": "[invalid bearer token,\nservice account token has expired]"},
            "the API server says '[invalid bearer token, service account token has expired]'",
        ),
        (
            REVIEW | {"audiences": ["https://kubernetes.default.svc"]},
            "it is for 'https://kubernetes.default.svc', and not for 'tidegate'",
        ),
        (
            {name: value for name, value in REVIEW.items() if name != "audiences"},
            "it is for no audience that the API server names, and not for 'tidegate'",
        ),
        (REVIEW | {"user": {"username": "system:node:w\n1"}}, "it is that of 'system:node:w\\n1', which is no ServiceAccount"),
        (
            REVIEW | {"user": {"username": "system:serviceaccount:a:b:c"}},
            "it is that of 'system:serviceaccount:a:b:c', which is no ServiceAccount",
        ),
        (REVIEW | {"user": {}}, "it is nobody's"),
    ],
)
def test_a_token_is_an_account_only_for_our_audience(tmp_path: Path, status: Value, account: Account | str) -> None:
    """review_token believes an authenticated ServiceAccount whose token is for the audience asked about, and nothing else, and says why
    (TokenReviewStatus: a server that names no audiences has not checked them)."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            api.tokens["secret-token"] = status
            assert await client.review_token("secret-token", "tidegate") == account
            assert api.asked[-1].body["spec"] == {"token": "secret-token", "audiences": ["tidegate"]}
            assert await client.review_token("another", "tidegate") == "the API server says 'invalid bearer token'"

    run(scenario())


def test_errors_name_what_was_asked_and_the_missing_rule(tmp_path: Path) -> None:
    """A 403 says verb, object, the server's words, and which RBAC rule to add, for a subresource that one."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            body = {"kind": "Status", "reason": "Forbidden", "message": 'User "x" cannot patch'}
            api.fail("patch", "httproutes", 403, body=body)
            with pytest.raises(ApiError) as caught:
                await client.patch(ROUTE, "shop", "cart", {}, "status")
            assert str(caught.value) == (
                'patch status of HTTPRoute shop/cart: 403 Forbidden: User "x" cannot patch. Allow verb "patch" on resource '
                '"httproutes/status" of apiGroup "gateway.networking.k8s.io" in a Role or ClusterRole of this ServiceAccount'
            )
            api.fail("list", "namespaces", 403, body=body)
            with pytest.raises(
                ApiError, match=r'list Namespace: all: .*verb "list" on resource "namespaces" of apiGroup "" in a ClusterRole'
            ):
                await client.list(RESOURCES["Namespace"])

    run(scenario())


@pytest.mark.parametrize(
    ("field", "seconds"), [("3", 3.0), ("86400", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)]
)
def test_how_long_the_server_asks_to_wait(tmp_path: Path, field: str, seconds: float | None) -> None:
    """retry_after of a 429 is its Retry-After in seconds, a minute at most; None for what is no number of seconds."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            api.fail("get", "services", 429, headers={"Retry-After": field})
            with pytest.raises(ApiError) as caught:
                await client.get(SERVICE, "shop", "cart")
            assert (caught.value.status, caught.value.retry_after) == (429, seconds)

    run(scenario())


def test_a_server_that_cuts_off_or_says_nothing_is_unreachable(tmp_path: Path) -> None:
    """No answer is an error of its own with the address in it, not a wait for ever and not an exception of a library."""

    async def scenario() -> None:
        async with serving(tmp_path, replace(SOON, read=0.05)) as (api, client):
            for fault in (CUT, SILENCE):
                # A request that a kept connection loses is sent once more by the transport: so two are lost.
                api.fail("get", "services", fault, times=2)
                with pytest.raises(Unreachable, match=f"get Service shop/cart: the API server at {api.url} is not reached: "):
                    await client.get(SERVICE, "shop", "cart")
                api.heal()

    run(scenario())


def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    """A refused connection is Unreachable."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, _):
            access = Access(api.kubeconfig(tmp_path))
        async with Client(access, SOON) as client:
            with pytest.raises(Unreachable):
                await client.get(SERVICE, "shop", "cart")

    run(scenario())


def test_answers_that_are_no_json_are_errors(tmp_path: Path) -> None:
    """A page of a proxy that stands in between is neither an object nor a crash."""

    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n<html")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        async with server, serving(tmp_path) as (api, _):
            api.url = f"http://{host}:{port}"
            async with Client(Access(api.kubeconfig(tmp_path)), SOON) as client:
                for asking in (client.get(SERVICE, "shop", "cart"), client.list(SERVICE), client.served("apps", "v1")):
                    with pytest.raises(ApiError, match="not JSON"):
                        await asking

    run(scenario())


def test_which_resources_a_version_holds(tmp_path: Path) -> None:
    """served gives the plurals of a group's version, and None for one that is not served."""

    async def scenario() -> None:
        async with serving(tmp_path) as (_, client):
            assert await client.served("discovery.k8s.io", "v1") == {"endpointslices"}
            assert await client.served("gateway.networking.k8s.io", "v9") is None

    run(scenario())
