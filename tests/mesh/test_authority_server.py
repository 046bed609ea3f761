"""The authority's answers to Identify: bounded in time and in number, whatever the cluster does."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from gateway.ir.identification import Identify, Identity, Refused
from mesh import authority_server
from mesh.authority import Authority
from mesh.authority_server import AT_ONCE, AuthorityServer
from mesh.signing_request import KeyPair
from tests.controller.streaming import TRUST_DOMAIN, Account, new_root, question
from tests.running import run


def anyone(namespace: str, account: str) -> bool:
    """Every account is a Gateway's."""
    return True


def test_a_review_that_hangs_is_refused_when_its_time_is_over() -> None:
    """The proxy learns that the API server is slow, and tries again."""

    async def test() -> None:
        async def review(token: str) -> Account | str:
            await asyncio.Event().wait()
            return ""

        with patch.object(authority_server, "DEADLINE", 0.01):
            answer = await AuthorityServer(lambda: Authority(TRUST_DOMAIN, [new_root()]), review, anyone).identify(question())
        assert isinstance(answer, Refused)
        assert "could not be reviewed within" in answer.reason

    run(test)


def test_only_so_many_reviews_are_under_way() -> None:
    """200 proxies that start together do not become 200 requests to the API server at once."""

    async def test() -> None:
        under_way = most = 0

        async def review(token: str) -> Account | str:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return Account("shop", token)

        root = new_root()
        server = AuthorityServer(lambda: Authority(TRUST_DOMAIN, [root]), review, anyone)
        asked = question("web")
        answers = await asyncio.gather(*(server.identify(asked) for _ in range(AT_ONCE * 4)))
        assert all(isinstance(answer, Identity) for answer in answers)
        assert most == AT_ONCE

    run(test)


def test_a_request_that_proves_nothing_is_refused_with_the_reason() -> None:
    """A good token does not make up for a bad request."""

    async def test() -> None:
        async def review(token: str) -> Account | str:
            return Account("shop", "web")

        answer = await AuthorityServer(lambda: Authority(TRUST_DOMAIN, [new_root()]), review, anyone).identify(question(csr="nonsense"))
        assert isinstance(answer, Refused)
        assert "signing request cannot be read" in answer.reason

    run(test)


@pytest.mark.parametrize(
    ("account", "proxy", "words"),
    [
        (Account("shop", "cart", "cart-1"), "shop/cart-1", ""),
        (Account("shop", "cart", "cart-2"), "shop/cart-1", "is of the Pod shop/cart-2, and does not prove to be the Pod shop/cart-1"),
        (Account("bank", "cart", "cart-1"), "shop/cart-1", "the token of ServiceAccount bank/cart is of the Pod bank/cart-1"),
        (Account("shop", "cart"), "shop/cart-1", "is bound to no Pod, and does not prove to be the Pod shop/cart-1"),
        (Account("shop", "cart"), "cart-1", "is bound to no Pod, and that account is no Gateway's; mount a projected token"),
        (Account("shop", "web-tidegate"), "shop/cart-1", "does not prove to be the Pod shop/cart-1"),
        (Account("shop", "web-tidegate"), "web-1", ""),
        (Account("shop", "late-gateway", "late-1"), "late-1", ""),
    ],
)
def test_a_token_proves_the_pod_that_it_is_bound_to_and_no_other(account: Account, proxy: str, words: str) -> None:
    """TokenReviewStatus.user.extra authentication.kubernetes.io/pod-name: a sidecar is called as its Pod. Proxies of Gateways are called as
    they like, and may come before their Gateway is known."""

    async def test() -> None:
        async def review(token: str) -> Account | str:
            return account

        authority = Authority(TRUST_DOMAIN, [new_root()])
        server = AuthorityServer(lambda: authority, review, lambda namespace, name: name == "web-tidegate")
        answer = await server.identify(Identify(proxy, "good", KeyPair().request()))
        if words:
            assert isinstance(answer, Refused)
            assert words in answer.reason
        else:
            assert isinstance(answer, Identity)

    run(test)
