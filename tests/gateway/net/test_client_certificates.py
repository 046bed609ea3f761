"""Listeners that ask for client certificates, in both modes (Gateway.spec.tls.frontend), and what can be resumed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.net import failures
from gateway.net.contexts import Mode, ServerContexts, server_contexts
from tests.certificates import EXPIRED, NOT_YET_VALID, Authority, Pair, self_signed
from tests.gateway.net.serving import Client, Site, ask, on_uvloop, output_of, serving, trusting

AUTHORITY = Authority()
CLIENTS = Authority("Client Authority", key_identifiers=False)
SERVER = AUTHORITY.issue("app.test").resource("default/app")
DEMANDING = server_contexts([SERVER], CLIENTS.certificate)
FALLBACK = server_contexts([SERVER], CLIENTS.certificate, "AllowInsecureFallback")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    pair: Pair | None
    reason: str = ""
    """Why it is refused where certificates must be valid."""


CASES = [
    Case("valid", CLIENTS.issue("client.test")),
    Case("valid for clients only", CLIENTS.issue("client.test", usage="client")),
    Case("valid, with an intermediate", CLIENTS.intermediate().issue("client.test")),
    Case("valid, RSA", CLIENTS.issue("client.test", key_type="rsa")),
    Case("none", None, failures.CERTIFICATE_MISSING),
    Case("wrong authority", Authority("Client Authority").issue("client.test"), failures.CERTIFICATE_REFUSED),
    Case("the server's authority", AUTHORITY.issue("client.test"), failures.CERTIFICATE_REFUSED),
    Case("expired", CLIENTS.issue("client.test", validity=EXPIRED), failures.CERTIFICATE_REFUSED),
    Case("not yet valid", CLIENTS.issue("client.test", validity=NOT_YET_VALID), failures.CERTIFICATE_REFUSED),
    Case("self-signed", self_signed("client.test"), failures.CERTIFICATE_REFUSED),
    Case("for servers only", CLIENTS.issue("client.test", usage="server"), failures.CERTIFICATE_REFUSED),
]
ENDED = "alert|reset|Broken pipe|EOF|closed"
"""A request on its way may meet the closed socket before the alert is read."""
ALERTS = {failures.CERTIFICATE_MISSING: ("certificate required", "handshake failure"), failures.CERTIFICATE_REFUSED: ("alert",)}


def client_context(pair: Pair | None, folder: Path, newest: ssl.TLSVersion) -> ssl.SSLContext:
    return trusting(AUTHORITY.certificate, certificate=None if pair is None else pair.write(folder), newest=newest)


@pytest.mark.parametrize("newest", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@on_uvloop
async def test_only_a_valid_certificate_passes_where_it_must(case: Case, newest: ssl.TLSVersion, tmp_path: Path) -> None:
    """AllowValidOnly: anything else ends the handshake, with an alert that says so (RFC 8446 4.4.2.4, 6.2)."""
    async with serving({b"app.test": DEMANDING}) as site:
        context = client_context(case.pair, tmp_path, newest)
        if not case.reason:
            assert case.pair is not None
            assert await ask(site.port, context, "app.test") == b"app.test"
            peer = await site.peers.get()
            assert peer.certificate is not None
            assert case.pair.chain.startswith(peer.certificate)
            assert peer.tls_version == newest.name.encode().replace(b"_", b".")
            return
        with pytest.raises(OSError, match=ENDED) as refused:
            await ask(site.port, context, "app.test")
        failure = await site.failure()
        assert failure.reason == case.reason
        assert failure.server_name == b"app.test"
        assert site.peers.empty()
        if "alert" in str(refused.value):
            assert any(alert in str(refused.value) for alert in ALERTS[case.reason])


@pytest.mark.parametrize("newest", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@on_uvloop
async def test_any_certificate_or_none_passes_in_the_fallback_and_only_a_valid_one_is_an_identity(
    case: Case, newest: ssl.TLSVersion, tmp_path: Path
) -> None:
    """AllowInsecureFallback: the connection is served, whatever came; what does not verify is not told further."""
    async with serving({b"app.test": FALLBACK}) as site:
        assert await ask(site.port, client_context(case.pair, tmp_path, newest), "app.test") == b"app.test"
        peer = await site.peers.get()
        assert (peer.certificate is not None) is (not case.reason)
        assert peer.address == b"127.0.0.1"
        assert peer.server_name == b"app.test"
        assert peer.tls_version == newest.name.encode().replace(b"_", b".")
        if peer.certificate is not None and case.pair is not None:
            assert case.pair.chain.startswith(peer.certificate)


@pytest.mark.parametrize("contexts", [DEMANDING, FALLBACK], ids=["AllowValidOnly", "AllowInsecureFallback"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@on_uvloop
async def test_a_certificate_is_asked_for(contexts: ServerContexts, version: str) -> None:
    """RFC 8446 4.3.2: in the fallback mode too, or no client would send one."""
    async with serving({b"app.test": contexts}) as site:
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "app.test", version, "-msg")
        _, output = await output_of(*command, stdin=b"Q\n")
        assert "CertificateRequest" in output


@on_uvloop
async def test_openssl_shows_the_alert_for_a_missing_certificate() -> None:
    """RFC 8446 6.2: certificate_required is 116; the event loop alone would only drop the connection."""
    async with serving({b"app.test": DEMANDING}) as site:
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "app.test", "-tls1_3", "-ign_eof")
        _, output = await output_of(*command)
        assert "alert number 116" in output
        assert (await site.failure()).reason == failures.CERTIFICATE_MISSING


@on_uvloop
async def test_a_name_that_asks_for_no_certificate_opens_no_way_to_one_that_does(tmp_path: Path) -> None:
    """The demand belongs to the listener that the name chose, not to the one a client met first."""
    both = {b"app.test": DEMANDING, b"open.test": server_contexts([AUTHORITY.issue("open.test").resource()])}
    async with serving(both) as site:
        assert await ask(site.port, trusting(AUTHORITY.certificate), "open.test") == b"open.test"
        with pytest.raises(OSError, match=ENDED):
            await ask(site.port, trusting(AUTHORITY.certificate), "app.test")
        assert (await site.failure()).reason == failures.CERTIFICATE_MISSING


@on_uvloop
async def test_a_certificate_with_a_malformed_name_is_refused_without_a_fault_of_ours(tmp_path: Path) -> None:
    """A DNS name that is no text: the interpreter's decoder raises what no loop expects of a handshake."""
    malformed = CLIENTS.issue("client.test", extension=b"\x30\x04\x82\x02\xff\xfe")
    async with serving({b"app.test": DEMANDING}) as site:
        with pytest.raises(OSError, match=ENDED):
            await ask(site.port, client_context(malformed, tmp_path, ssl.TLSVersion.TLSv1_3), "app.test")
        failure = await site.failure()
        assert failure.reason == failures.CERTIFICATE_REFUSED
        assert "malformed" in failure.detail


async def visits(site: Site, context: ssl.SSLContext, names: Sequence[str]) -> list[bool | None]:
    """Connects to each name in turn, offers the session of the visit before, and tells whether it was resumed."""

    def run() -> list[bool | None]:
        resumed: list[bool | None] = []
        session: ssl.SSLSession | None = None
        for name in names:
            client = Client(site.port, context, name, session)
            assert client.exchange()
            resumed.append(client.tls.session_reused)
            session = client.tls.session
            client.tls.unwrap()
            client.close()
        return resumed

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("newest", VERSIONS, ids=lambda version: version.name)
@on_uvloop
async def test_a_session_is_resumed_under_its_own_name_and_under_no_other(newest: ssl.TLSVersion) -> None:
    """RFC 6066 3, RFC 8446 4.6.1: contexts of different listeners know nothing of each other's sessions."""
    names = AUTHORITY.issue("a.test", "b.test").resource()
    async with serving({b"a.test": server_contexts([names]), b"b.test": server_contexts([names])}) as site:
        context = trusting(AUTHORITY.certificate, newest=newest)
        assert await visits(site, context, ["a.test", "a.test", "b.test", "b.test"]) == [False, True, False, True]


@pytest.mark.parametrize("newest", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("mode", ["AllowValidOnly", "AllowInsecureFallback"])
@pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])
@on_uvloop
async def test_nothing_is_resumed_where_a_certificate_is_asked_for(
    mode: Mode, newest: ssl.TLSVersion, tickets: bool, tmp_path: Path
) -> None:
    """A resumed session would skip the check of the certificate, which may have expired, or its authority been removed."""
    async with serving({b"app.test": server_contexts([SERVER], CLIENTS.certificate, mode)}) as site:
        context = client_context(CASES[0].pair, tmp_path, newest)
        if not tickets:
            context.options |= ssl.OP_NO_TICKET
        assert await visits(site, context, ["app.test"] * 4) == [False] * 4


@on_uvloop
async def test_a_session_from_an_open_listener_does_not_serve_for_a_demanding_one(tmp_path: Path) -> None:
    """Under TLS 1.2 and 1.3, by ticket or id: the demanding listener asks for the certificate all the same."""
    names = AUTHORITY.issue("app.test", "open.test").resource()
    demanding = server_contexts([names], CLIENTS.certificate)
    async with serving({b"app.test": demanding, b"open.test": server_contexts([names])}) as site:
        for newest in VERSIONS:
            context = client_context(CASES[0].pair, tmp_path, newest)
            assert await visits(site, context, ["open.test", "app.test"]) == [False, False]
