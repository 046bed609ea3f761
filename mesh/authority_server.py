"""The controller's end of Identify: the token says who asks, and the authority certifies their key for exactly that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from cryptography import x509

from gateway.ir.identification import Identify, Identity, Refused
from mesh.authority import Authority, UnacceptableRequest
from mesh.identity import InvalidSpiffeId

DEADLINE: Final = 10.0
"""Seconds for a review, waiting for its turn included."""
AT_ONCE: Final = 16
"""Reviews under way: each is a request to the API server."""


class Account(Protocol):
    """Whose token it is."""

    @property
    def namespace(self) -> str:
        """Of the ServiceAccount."""

    @property
    def service_account(self) -> str:
        """Its name."""

    @property
    def pod_name(self) -> str:
        """Of the Pod that the token is bound to, '' for none."""


Review = Callable[[str], Awaitable[Account | str]]
"""Asks the cluster about a token for our audience; why it is not valid if it is not. Raises OSError if it cannot be asked."""
IsGateway = Callable[[str, str], bool]
"""Whether a ServiceAccount (namespace, name) is that of a Gateway's proxies."""


class AuthorityServer:
    """Answers Identify."""

    def __init__(self, authority: Callable[[], Authority], review: Review, is_gateway: IsGateway) -> None:
        self._authority = authority
        self._review = review
        self._is_gateway = is_gateway
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def identify(self, question: Identify) -> Identity | Refused:
        """Never raises for what is asked, nor for a cluster that does not answer."""
        try:
            async with asyncio.timeout(DEADLINE), self._turns:
                account = await self._review(question.token)
        except TimeoutError:
            return Refused(f"the token could not be reviewed within {DEADLINE:.0f} s; the API server is slow or away")
        except OSError as error:
            return Refused(f"the token could not be reviewed: {error}")
        if isinstance(account, str):
            return Refused(f"the token is not valid here: {account}")
        if complaint := self._unfit(question.proxy, account):
            return Refused(complaint)
        authority, now = self._authority(), datetime.now(UTC)
        try:
            chain = authority.issue(question.csr, (account.namespace, account.service_account), now, x509.random_serial_number())
        except (UnacceptableRequest, InvalidSpiffeId) as error:
            return Refused(str(error))
        return Identity(chain, authority.bundle(now))

    def _unfit(self, proxy: str, account: Account) -> str:
        """Why a token does not do for who this says to be; '' if it does. A sidecar is called as its Pod, namespace/name."""
        place = f"ServiceAccount {account.namespace}/{account.service_account}"
        pod = account.pod_name and f"{account.namespace}/{account.pod_name}"
        if "/" in proxy and proxy != pod:
            whose = f"of the Pod {pod}" if pod else "bound to no Pod"
            return f"the token of {place} is {whose}, and does not prove to be the Pod {proxy[:320]}; mount that Pod's own"
        if not pod and not self._is_gateway(account.namespace, account.service_account):
            return f"the token of {place} is bound to no Pod, and that account is no Gateway's; mount a projected token"
        return ""
