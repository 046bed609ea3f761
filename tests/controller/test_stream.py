"""The configuration stream over real TLS: who gets an identity, who gets which configuration, and what everybody else is told."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controller.stream import Limits
from controller.stream_connection import FIRST_LINE_LIMIT, MESSAGE_LIMIT
from gateway.ir.batch import Ack, Batch, Subscribe, digest
from gateway.ir.identification import Elsewhere, Identify, Identity, Refused
from mesh.roots import Root
from mesh.signing_request import client_context
from tests import certificates
from tests.controller.streaming import Account, Cluster, controller, gateway, leaf_of, new_root, question
from tests.running import run

WEB = ("shop", "web-tidegate")


def test_a_stranger_may_ask_for_an_identity_and_gets_that_of_its_token() -> None:
    """The token decides whose certificate it is; the connection ends with the answer."""

    async def test() -> None:
        async with controller() as running:
            peer = await running.dial()
            peer.send(question())
            answer = await peer.answer()
            assert "spiffe://cluster.local/ns/shop/sa/web-tidegate" in str(leaf_of(answer).extensions)
            assert isinstance(answer, Identity)
            assert answer.roots == running.bundle
            assert await peer.ended()
            await peer.close()

    run(test)


def test_a_stranger_may_not_subscribe() -> None:
    """Without a client certificate only Identify is heard, and the configuration stays unread."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            for message in (Subscribe("pod", "shop/web"), Refused("no")):
                peer = await running.dial()
                peer.send(message)
                answer = await peer.answer()
                assert isinstance(answer, Refused)
                assert "Identify" in answer.reason
                assert await peer.ended()
                await peer.close()

    run(test)


@pytest.mark.parametrize(
    ("cluster", "token", "words"),
    [
        (Cluster(), "forged", "the token is not valid here: the API server says 'invalid bearer token'"),
        (Cluster(broken="the API server is away"), "good", "the API server is away"),
        (Cluster(tokens={"good": Account("shop", "a b", "pod-1")}), "good", "path segment"),
    ],
)
def test_a_token_that_does_not_count_is_refused_with_the_reason(cluster: Cluster, token: str, words: str) -> None:
    """Forged, expired or for another audience (all of which TokenReview says), or not to be reviewed: no identity, and both ends know
    why. The token itself is in no log."""

    async def test() -> None:
        async with controller(cluster) as running:
            peer = await running.dial()
            peer.send(question(token))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert words in answer.reason
            assert await peer.ended()
            assert [answer.reason in problem for problem in running.problems] == [True]
            assert token not in "".join(running.problems)
            await peer.close()

    run(test)


def test_a_proxy_gets_the_configuration_of_its_gateway_and_changes_of_it() -> None:
    """Snapshot first, then differences, of this Gateway alone."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"), gateway("shop/other"))
            peer = await running.dial(running.issue(WEB))
            assert await peer.subscribed("shop/web") == Batch(1, (gateway("shop/web"),), snapshot=True)
            running.publish(gateway("shop/third"))
            changed = gateway("shop/web", "shop/certificate")
            running.publish(changed)
            assert await peer.batch() == Batch(2, (changed,))
            await peer.close()

    run(test)


def test_a_proxy_that_asks_for_another_gateway_is_refused_with_both_names() -> None:
    """NGF CVE-2026-96615: no Pod may pose as another Gateway's proxy."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"), gateway("bank/vault"))
            peer = await running.dial(running.issue(WEB))
            peer.send(Subscribe("pod", "bank/vault"))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert "sa/web-tidegate may read the configuration of Gateway shop/web" in answer.reason
            assert "bank/vault" in answer.reason
            assert await peer.ended()
            await peer.close()

    run(test)


def test_a_replica_that_does_not_lead_sends_proxies_to_the_one_that_does() -> None:
    """Only who leads writes statuses, and it must know what every proxy has in place. Who may not read anything is told that first."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            running.leader = "10.0.0.2:15010"
            for account, expected in ((WEB, Elsewhere("10.0.0.2:15010")), (("shop", "default"), None)):
                peer = await running.dial(running.issue(account))
                peer.send(Subscribe("pod", "shop/web"))
                answer = await peer.answer()
                assert answer == expected or (expected is None and isinstance(answer, Refused))
                assert await peer.ended()
                await peer.close()

    run(test)


def test_a_replica_that_is_out_of_touch_serves_whom_no_other_does() -> None:
    """R10: who cannot reach the API server knows of no change, and whether another leads; configuration never stops all the same."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            running.leader = None
            for anywhere in (False, True):
                peer = await running.dial(running.issue(WEB))
                peer.send(Subscribe("pod", "shop/web", anywhere=anywhere))
                if anywhere:
                    assert (await peer.batch()).set == (gateway("shop/web"),)
                else:
                    assert await peer.answer() == Elsewhere("")
                await peer.close()

    run(test)


def test_a_replica_that_does_not_lead_serves_who_cannot_reach_the_leader_for_a_while() -> None:
    """R10: configuration never stops. After a while the proxy is to try again, and comes back with all that it has."""

    async def test() -> None:
        async with controller(limits=Limits(visit=0.05)) as running:
            running.publish(gateway("shop/web"))
            running.leader = "10.0.0.2:15010"
            peer = await running.dial(running.issue(WEB))
            peer.send(Subscribe("pod", "shop/web", anywhere=True))
            assert (await peer.batch()).set == (gateway("shop/web"),)
            assert await peer.ended()
            await peer.close()

    run(test)


def test_a_replica_that_no_longer_leads_sends_its_proxies_away() -> None:
    """They come again at once, and learn then who leads."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(WEB))
            await peer.subscribed("shop/web")
            running.publishers.send_away()
            assert await peer.ended()
            await peer.close()

    run(test)


def test_an_identity_of_no_gateway_reads_nothing() -> None:
    """A certificate of ours is not enough: the account must be a Gateway's."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(("shop", "default")))
            peer.send(Subscribe("pod", "shop/web"))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert "no Gateway" in answer.reason
            await peer.close()

    run(test)


def client_of(authority: certificates.Authority, bundle: str, *names: str, validity: certificates.Validity) -> ssl.SSLContext:
    from gateway.net.key_material import private_file

    pair = authority.issue(*names, common_name="", validity=validity)
    context = client_context(bundle)
    with private_file(pair.chain + pair.private_key) as path:
        context.load_cert_chain(path)
    return context


def test_the_certificate_of_a_foreign_authority_is_not_taken() -> None:
    """Whatever names it bears: the handshake fails, and nothing is answered."""

    async def test() -> None:
        stranger = certificates.Authority()
        async with controller() as running:
            running.publish(gateway("shop/web"))
            context = client_of(stranger, running.bundle, "spiffe://cluster.local/ns/shop/sa/web-tidegate", validity=certificates.CURRENT)
            peer = await running.dial(context)
            peer.send(Subscribe("pod", "shop/web"))
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await peer.answer()
            await peer.close()

    run(test)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def signed_by(root: Root, *names: x509.GeneralName) -> ssl.SSLContext:
    """A client with a certificate that our root has signed, with names that our authority never gives."""
    from gateway.net.key_material import private_file

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    above = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    leaf = (
        x509.CertificateBuilder(root.certificate.subject, x509.Name([]), key.public_key(), 5, now, now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
        .sign(root.key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    context = client_context(root.pem)
    with private_file(
        (leaf.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)).decode()
    ) as path:
        context.load_cert_chain(path)
    return context


WEBS_NAME = uri("spiffe://cluster.local/ns/shop/sa/web-tidegate")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((uri("spiffe://other.domain/ns/shop/sa/web-tidegate"),), "the trust domain here is cluster.local"),
        ((WEBS_NAME, uri("spiffe://cluster.local/ns/bank/sa/vault-tidegate")), "2 names"),
        ((WEBS_NAME, x509.DNSName("web")), "2 names"),
        ((x509.DNSName("localhost"),), "where one SPIFFE ID is due"),
        ((uri("spiffe://cluster.local/workload"),), "names no ServiceAccount"),
    ],
)
def test_a_certificate_that_is_nobodys_identity_is_refused_with_the_reason(names: tuple[x509.GeneralName, ...], words: str) -> None:
    """Exactly one URI name of our trust domain, of a ServiceAccount, whoever signed it."""

    async def test() -> None:
        root = new_root(now=datetime.now(UTC) - timedelta(days=30))
        async with controller(roots=[root]) as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(signed_by(root, *names))
            peer.send(Subscribe("pod", "shop/web"))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert words in answer.reason
            assert await peer.ended()
            assert [answer.reason in problem for problem in running.problems] == [True]
            await peer.close()

    run(test)


def test_a_name_with_a_nul_fails_the_handshake() -> None:
    """CVE-2009-2408: whoever reads it only so far would take it for another."""

    async def test() -> None:
        root = new_root(now=datetime.now(UTC) - timedelta(days=30))
        async with controller(roots=[root]) as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(signed_by(root, uri("spiffe://cluster.local/ns/shop/sa/web-tidegate\0x")))
            peer.send(Subscribe("pod", "shop/web"))
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await peer.answer()
            await peer.close()
            assert "malformed" in "".join(running.problems)

    run(test)


def test_a_proxy_may_be_up_before_its_gateway_is_known() -> None:
    """It waits, and gets its snapshot when the Gateway appears."""

    async def test() -> None:
        async with controller() as running:
            peer = await running.dial(running.issue(WEB))
            subscribing = asyncio.create_task(peer.subscribed("shop/web"))
            early = await running.dial()
            early.send(question())
            await early.answer()
            assert not subscribing.done()
            running.publish(gateway("shop/web"))
            assert (await subscribing).snapshot
            await early.close()
            await peer.close()

    run(test)


def test_a_gateway_that_never_appears_is_refused() -> None:
    """The wait has an end."""

    async def test() -> None:
        async with controller(limits=Limits(patience=0.0)) as running:
            peer = await running.dial(running.issue(WEB))
            peer.send(Subscribe("pod", "shop/web"))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert "shop/web is not known here" in answer.reason
            await peer.close()

    run(test)


def test_a_gateway_that_is_gone_ends_the_streams_of_its_proxies() -> None:
    """And of no others."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"), gateway("shop/other"))
            peer, other = await running.dial(running.issue(WEB)), await running.dial(running.issue(("shop", "other-tidegate")))
            await peer.subscribed("shop/web")
            await other.subscribed("shop/other")
            running.publishers.publish((), [("Gateway", "shop/web")])
            assert await peer.ended()
            assert list(running.publishers) == ["shop/other"]
            changed = gateway("shop/other", "shop/certificate")
            running.publish(changed)
            assert (await other.batch()).set == (changed,)
            await other.close()
            await peer.close()

    run(test)


def test_the_last_proxies_of_a_gateway_that_is_gone_are_told_why_and_fill_no_log() -> None:
    """Its Pods take their time to end, and come back meanwhile; that is no problem. Another identity that asks for it is one."""

    async def test() -> None:
        async with controller(limits=Limits(patience=0.0)) as running:
            running.publish(gateway("shop/web"), gateway("shop/other"))
            running.publishers.publish((), [("Gateway", "shop/web")])
            for account, words in ((WEB, "Gateway shop/web is gone"), (("shop", "other-tidegate"), "may read the configuration of")):
                peer = await running.dial(running.issue(account))
                peer.send(Subscribe("pod", "shop/web"))
                answer = await peer.answer()
                assert isinstance(answer, Refused)
                assert words in answer.reason
                assert await peer.ended()
                await peer.close()
            assert len(running.problems) == 1
            assert "sa/other-tidegate may read the configuration of Gateway shop/other" in running.problems[0]

    run(test)


@pytest.mark.slow
def test_two_hundred_proxies_that_come_back_with_everything_get_no_snapshot() -> None:
    """A controller that restarts is not asked to send what nobody misses; the one proxy that has something else gets all of it."""

    async def test() -> None:
        held = gateway("shop/web")
        async with controller() as running:
            running.publish(held)
            context = running.issue(WEB)
            peers = [await running.dial(context, f"127.0.1.{number + 1}") for number in range(200)]
            batches = await asyncio.gather(*(peer.subscribed("shop/web", digest([held])) for peer in peers))
            assert set(batches) == {Batch(1)}
            publisher = running.publishers.publisher("shop/web")
            assert publisher is not None
            await publisher.acknowledged(1)
            assert len(publisher.subscribers) == 200
            behind = await running.dial(context, "127.0.2.1")
            assert await behind.subscribed("shop/web", digest([])) == Batch(1, (held,), snapshot=True)
            for peer in (behind, *peers):
                await peer.close()

    run(test)


def test_the_first_message_is_kept_small() -> None:
    """Unauthenticated bytes are at most 64 KiB (Istio CVE-2022-23635); the connection ends."""

    async def test() -> None:
        async with controller() as running:
            peer = await running.dial()
            peer.send(Identify("pod", "t" * FIRST_LINE_LIMIT * 2, ""))
            assert await peer.ended()
            assert running.cluster.reviews == 0
            await peer.close()

    run(test)


@pytest.mark.slow
def test_a_subscriber_that_says_too_much_is_cut_off_alone() -> None:
    """A message over the limit ends its connection; others go on."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            good, bad = await running.dial(running.issue(WEB)), await running.dial(running.issue(WEB))
            await good.subscribed("shop/web")
            await bad.subscribed("shop/web")
            bad.writer.write(b" " * (MESSAGE_LIMIT + 1))
            assert await bad.ended()
            changed = gateway("shop/web", "shop/certificate")
            running.publish(changed)
            assert (await good.batch()).set == (changed,)
            await bad.close()
            await good.close()

    run(test)


def test_what_comes_together_with_the_first_message_is_not_lost() -> None:
    """A proxy need not wait between Subscribe and what follows it."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            peer = await running.dial(running.issue(WEB))
            peer.send(Subscribe("first", "shop/web"), Ack(1))
            assert await peer.ended()
            assert any("acknowledged revision 1" in problem for problem in running.problems)
            await peer.close()

    run(test)


def test_many_at_one_address_keep_nobody_else_out() -> None:
    """Connections that have not said what they want are counted by address, from accept on."""

    async def test() -> None:
        async with controller(limits=Limits(unknown_per_address=2)) as running:
            crowd = [await running.dial(local="127.0.0.7") for _ in range(2)]
            with pytest.raises(ConnectionError):
                await running.dial(local="127.0.0.7")
            peer = await running.dial()
            peer.send(question())
            assert isinstance(await peer.answer(), Identity)
            for member in (*crowd, peer):
                await member.close()

    run(test)


def test_somebody_who_says_nothing_is_not_waited_for() -> None:
    """Handshake and first message have a deadline each."""

    async def test() -> None:
        async with controller(limits=Limits(deadline=0.05)) as running:
            peer = await running.dial()
            assert await peer.ended()
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            assert await reader.read() == b""
            writer.close()
            await peer.close()

    run(test)


def test_tls_is_1_3_alone() -> None:
    """Both ends are ours: nothing older has to be spoken."""

    async def test() -> None:
        async with controller() as running:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=running.bundle)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await running.dial(context)

    run(test)


CART = ("shop", "cart")


def test_an_account_reads_the_mesh_of_its_namespace_beside_the_gateway_that_is_its() -> None:
    """Whatever runs under it, a sidecar among them; of other namespaces nothing, and it is told so."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/@mesh"), gateway("bank/@mesh"), gateway("shop/web"))
            for account, scope in ((CART, "shop/@mesh"), (WEB, "shop/@mesh"), (WEB, "shop/web")):
                peer = await running.dial(running.issue(account))
                peer.send(Subscribe("shop/pod", scope))
                assert (await peer.batch()).set == (gateway(scope),)
                await peer.close()
            for account, scope, words in (
                (CART, "bank/@mesh", "is of another namespace, and may not read the configuration of the mesh in namespace bank"),
                (CART, "shop/web", "is the identity of no Gateway"),
            ):
                peer = await running.dial(running.issue(account))
                peer.send(Subscribe("shop/pod", scope))
                answer = await peer.answer()
                assert isinstance(answer, Refused)
                assert words in answer.reason
                await peer.close()
            assert "may not read the configuration of the mesh in namespace bank" in running.problems[0]

    run(test)


def test_a_sidecar_is_called_as_a_pod_of_its_namespace() -> None:
    """What the status shows is no other namespace's Pod."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/@mesh"))
            for name in ("cart-1", "bank/cart-1"):
                peer = await running.dial(running.issue(CART))
                peer.send(Subscribe(name, "shop/@mesh"))
                answer = await peer.answer()
                assert isinstance(answer, Refused)
                assert "a sidecar there is shop/POD" in answer.reason
                await peer.close()

    run(test)


def test_a_namespace_without_a_mesh_is_refused() -> None:
    """After a wait, since a Pod may be up before this replica has seen its namespace."""

    async def test() -> None:
        async with controller(limits=Limits(patience=0.0)) as running:
            peer = await running.dial(running.issue(CART))
            peer.send(Subscribe("shop/cart-1", "shop/@mesh"))
            answer = await peer.answer()
            assert isinstance(answer, Refused)
            assert answer.reason == "the mesh in namespace shop is not known here, or not served by this controller"
            await peer.close()

    run(test)
