"""The authority's Secret and token reviews at a real API server's manners: two replicas at once, and one that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from controller.sources.kube.client import Client
from mesh.authority_store import Stored, StoredAuthority
from tests.controller.sources.kube.cluster import serving
from tests.kubernetes_api import CUT
from tests.running import run
from tidegate.control_plane.trust import AuthoritySecret, TokenReviews

SYSTEM = "tidegate-system"


class Racing(AuthoritySecret):
    """Goes on from its first look at the Secret when the others have had theirs."""

    def __init__(self, client: Client, together: asyncio.Barrier) -> None:
        super().__init__(client, SYSTEM)
        self._together: asyncio.Barrier | None = together

    async def load(self) -> Stored | None:
        found = await super().load()
        together, self._together = self._together, None
        if together is not None:
            await together.wait()
        return found


def test_of_two_replicas_that_start_at_once_both_have_one_authority(tmp_path: Path) -> None:
    """Both find no Secret; whoever comes second with its own reads the first's."""

    async def test() -> None:
        async with serving(tmp_path) as (api, client):
            store = AuthoritySecret(client, SYSTEM)
            assert await store.load() is None
            together = asyncio.Barrier(3)
            replicas = [StoredAuthority(Racing(client, together), "cluster.local", lambda _: None) for _ in range(3)]
            await asyncio.gather(*(each.open() for each in replicas))
            assert api.count("create", "secrets") == 3
            assert len({each.current.derived("it") for each in replicas}) == 1
            secret = api.objects["", "secrets"][SYSTEM, "tidegate-ca"]
            assert secret["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "tidegate"}

    run(test)


def test_a_change_that_comes_second_does_not_win(tmp_path: Path) -> None:
    """By resourceVersion: the Secret stays as the other replica has written it."""

    async def test() -> None:
        async with serving(tmp_path) as (_, client):
            store = AuthoritySecret(client, SYSTEM)
            assert await store.create({"tls.crt": "a"})
            assert not await store.create({"tls.crt": "b"})
            found = await store.load()
            assert found is not None
            assert await store.replace({"tls.crt": "c"}, found.version)
            assert not await store.replace({"tls.crt": "d"}, found.version)
            changed = await store.load()
            assert changed is not None
            assert changed.data == {"tls.crt": "c"}

    run(test)


def test_a_wish_for_a_new_root_is_an_annotation_that_goes_with_the_next_write(tmp_path: Path) -> None:
    """tidegate.dev/rotate-root, whatever its value."""

    async def test() -> None:
        async with serving(tmp_path) as (api, client):
            store = AuthoritySecret(client, SYSTEM)
            await store.create({"tls.crt": "a"})
            found = await store.load()
            assert found is not None
            assert not found.rotation_asked
            api.objects["", "secrets"][SYSTEM, "tidegate-ca"]["metadata"]["annotations"] = {"tidegate.dev/rotate-root": "now"}
            asked = await store.load()
            assert asked is not None
            assert asked.rotation_asked
            assert await store.replace({"tls.crt": "b"}, asked.version)
            written = await store.load()
            assert written is not None
            assert not written.rotation_asked

    run(test)


def test_an_api_server_that_refuses_or_is_away_is_a_connection_error(tmp_path: Path) -> None:
    """Whoever asks tries again: nothing is taken for an answer that is none."""

    async def test() -> None:
        async with serving(tmp_path) as (api, client):
            store = AuthoritySecret(client, SYSTEM)
            attempts: tuple[tuple[str, int | str, Callable[[], Awaitable[object]]], ...] = (
                ("get", 403, store.load),
                ("get", CUT, store.load),
                ("create", 500, lambda: store.create({})),
                ("update", 503, lambda: store.replace({}, "1")),
            )
            for verb, answer, attempt in attempts:
                api.fail(verb, "secrets", answer, times=2)  # a connection that was kept and is cut is tried once more
                with pytest.raises(ConnectionError, match=f"{verb} Secret"):
                    await attempt()
                api.heal()
            api.fail("create", "tokenreviews", 500)
            with pytest.raises(ConnectionError, match="TokenReview"):
                await TokenReviews(client).review("a-token")

    run(test)


def test_a_token_is_of_an_account_only_for_our_audience(tmp_path: Path) -> None:
    """TokenReviewStatus.audiences: a token for the API server is no word to us."""

    async def test() -> None:
        async with serving(tmp_path) as (api, client):
            user = {"username": "system:serviceaccount:shop:web-tidegate"}
            api.tokens["ours"] = {"authenticated": True, "audiences": ["tidegate"], "user": user}
            api.tokens["other"] = {"authenticated": True, "audiences": ["https://kubernetes.default.svc"], "user": user}
            reviews = TokenReviews(client)
            account = await reviews.review("ours")
            assert not isinstance(account, str)
            assert (account.namespace, account.service_account) == ("shop", "web-tidegate")
            assert await reviews.review("other") == "it is for 'https://kubernetes.default.svc', and not for 'tidegate'"
            assert await reviews.review("unknown") == "the API server says 'invalid bearer token'"

    run(test)
