"""The proxy's end of the link, against the controller's own server: identity, renewal, rotation of roots, refusals."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.ir.batch import Ack, Batch, Rejection, Subscribe
from gateway.ir.listener import Certificate, TrustBundle
from gateway.ir.workload import IDENTITY, ROOTS
from gateway.net.key_material import load_pair
from gateway.subscribe import StreamError, Subscription
from mesh.authority import Authority
from mesh.link import Connection, Controller, Link, LinkError
from mesh.roots import LEAF_LIFETIME, Root
from tests.controller.streaming import TRUST_DOMAIN, Cluster, Peer, Running, controller, gateway, new_root
from tests.running import run

HOUR = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


class Astray(Authority):
    """One whose clock is wrong by some time."""

    def __init__(self, roots: Sequence[Root], by: timedelta) -> None:
        super().__init__(TRUST_DOMAIN, roots)
        self._by = by

    def issue(self, request: str, account: tuple[str, str], now: datetime, serial: int) -> str:
        return super().issue(request, account, now + self._by, serial)

    def issue_server(self, request: str, names: Sequence[str], now: datetime, serial: int) -> str:
        return super().issue_server(request, names, now + self._by, serial)


def serial_of(link: Link) -> int:
    assert link.identity is not None
    return x509.load_pem_x509_certificate(link.identity.chain.encode()).serial_number


def with_clock(running: Running, folder: Path, clock: Clock) -> Link:
    running.link(folder)
    return Link(Controller(f"localhost:{running.port}", folder / "ca.crt", folder / "token"), "pod-1", "shop/web", clock)


async def closed(*connections: Connection) -> None:
    for reader, writer in connections:
        await Peer(reader, writer).close()


def test_a_proxy_gets_its_identity_and_then_its_configuration(tmp_path: Path) -> None:
    """Token, certificate, subscription: the whole way, with the client that proxies use."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            link = running.link(tmp_path)
            reader, writer = await link.connect()
            applied = asyncio.Queue[Batch]()

            async def apply(batch: Batch) -> tuple[Rejection, ...]:
                applied.put_nowait(batch)
                return ()

            subscription = Subscription(reader, writer, apply, reply=lambda ask: asyncio.sleep(0, ask.argument))
            following = asyncio.create_task(subscription.run(Subscribe("pod-1", "shop/web")))
            assert await applied.get() == Batch(1, (gateway("shop/web"),), snapshot=True)
            publisher = running.publishers.publisher("shop/web")
            assert publisher is not None
            await publisher.acknowledged(1)
            running.publishers.publish((), [("Gateway", "shop/web")])
            await following

    run(test)


def test_a_proxy_of_another_gateway_learns_why_it_gets_nothing(tmp_path: Path) -> None:
    """The refusal reaches the log of whoever runs the proxy, with both names."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"), gateway("bank/vault"))
            reader, writer = await running.link(tmp_path).connect()

            async def apply(batch: Batch) -> tuple[Rejection, ...]:
                raise AssertionError(batch)

            subscription = Subscription(reader, writer, apply, reply=lambda ask: asyncio.sleep(0, ask.argument))
            with pytest.raises(StreamError, match="may read the configuration of Gateway shop/web, and asked for that of bank/vault"):
                await subscription.run(Subscribe("pod-1", "bank/vault"))

    run(test)


def test_an_identity_serves_many_connections(tmp_path: Path) -> None:
    """The token is reviewed once, not for each connection."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            first = await link.connect()
            clock.now += 60
            second = await link.connect()
            assert running.cluster.reviews == 1
            await closed(first, second)

    run(test)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_proxy_whose_clock_is_off_by_an_hour_has_its_identity(hours: int, tmp_path: Path) -> None:
    """When a certificate is good decides whoever is shown it; our own clock only says when to renew, at about half of 24 hours."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            clock.now += hours * 3_600
            link = with_clock(running, tmp_path, clock)
            first = await link.connect()
            clock.now += 10 * 3_600
            second = await link.connect()
            assert running.cluster.reviews == 1
            clock.now += 4 * 3_600
            third = await link.connect()
            assert running.cluster.reviews == 2
            await closed(first, second, third)

    run(test)


def test_renewal_at_half_life_leaves_the_running_connection_alone(tmp_path: Path) -> None:
    """24 h, renewed at 12 h +- 1 %: a new identity for new connections, while the stream goes on under the old one."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            peer = Peer(*await link.connect())
            await peer.subscribed("shop/web")
            before = serial_of(link)
            clock.now += 11 * HOUR
            await closed(await link.connect())
            assert serial_of(link) == before
            clock.now += 2 * HOUR
            await closed(await link.connect())
            assert serial_of(link) != before
            running.publish(gateway("shop/web", "shop/certificate"))
            assert (await peer.batch()).revision == 2
            peer.send(Ack(2))
            await peer.close()

    run(test)


def test_an_identity_that_is_valid_does_while_the_authority_does_not_answer(tmp_path: Path) -> None:
    """Renewal that fails costs nothing until the certificate ends; then it is an error that says why."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            await closed(await link.connect())
            before = serial_of(link)
            running.cluster.broken = "the API server is away"
            clock.now += 13 * HOUR
            await closed(await link.connect())
            assert serial_of(link) == before
            clock.now += 12 * HOUR
            with pytest.raises(LinkError, match=r"refuses to identify pod-1 of Gateway shop/web.*API server is away"):
                await link.connect()

    run(test)


def test_keep_renews_without_a_connection(tmp_path: Path) -> None:
    """Whoever runs it beside the stream has a fresh identity when the connection ends."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            await closed(await link.connect())
            before = serial_of(link)
            clock.now += 13 * HOUR
            link._news.clear()
            keeping = asyncio.create_task(link.keep())
            await link._news.wait()
            keeping.cancel()
            assert serial_of(link) != before

    run(test)


def test_each_new_identity_is_told_with_its_key(tmp_path: Path) -> None:
    """Whoever serves with it gets chain, key and roots as resources: the present one at once, and each that is issued."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            told = link.identities()
            first = asyncio.ensure_future(anext(told))
            await closed(await link.connect())
            certificate, roots = await first
            assert isinstance(certificate, Certificate)
            assert roots == TrustBundle(ROOTS, certificate.source, running.bundle)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            load_pair(context.load_cert_chain, certificate)
            assert certificate.key == IDENTITY
            second = asyncio.ensure_future(anext(told))
            clock.now += 60
            await closed(await link.connect())
            assert not second.done()
            clock.now += 13 * HOUR
            await closed(await link.connect())
            renewed, _ = await second
            assert isinstance(renewed, Certificate)
            assert renewed.fingerprint != certificate.fingerprint
            assert link.not_after > clock.now
            await told.aclose()

    run(test)


def test_the_log_says_until_when_an_identity_serves_that_cannot_be_renewed(tmp_path: Path) -> None:
    """Once when renewal begins to fail, once when it is too late, and once when it is over; the moment of the last failure is kept."""

    async def test() -> None:
        async with controller() as running:
            clock = Clock()
            running.link(tmp_path)
            place = Controller(f"localhost:{running.port}", tmp_path / "ca.crt", tmp_path / "token")
            log: list[str] = []
            link = Link(place, "pod-1", "shop/web", clock, log.append)
            await closed(await link.connect())
            end = f"{datetime.fromtimestamp(link.not_after, UTC):%Y-%m-%d %H:%M:%SZ}"
            assert (log, link.failed_at) == ([], 0.0)
            running.cluster.broken = "the API server is away"
            clock.now += 13 * HOUR
            for _ in range(2):
                await closed(await link.connect())
            assert link.failed_at == clock.now
            clock.now += 12 * HOUR
            with pytest.raises(LinkError):
                await link.connect()
            running.cluster.broken = ""
            await closed(await link.connect())
            assert [words in line for words, line in zip(
                (f"the one of before is good until {end}: ", f"the one of before was good until {end}: ", "the identity is renewed"), log,
                strict=True,
            )] == [True] * 3  # fmt: skip
            assert "the API server is away" in log[0]

    run(test)


def test_a_token_is_read_anew_each_time(tmp_path: Path) -> None:
    """Projected tokens are replaced in their file every hour; the reason of a refusal is in the error."""

    async def test() -> None:
        async with controller() as running:
            link = running.link(tmp_path, token="expired")
            with pytest.raises(LinkError, match="not valid here"):
                await link.connect()
            (tmp_path / "token").write_text("good")
            await closed(await link.connect())
            another = running.link(tmp_path)
            (tmp_path / "token").unlink()
            with pytest.raises(LinkError, match=r"cannot read .*token"):
                await another.connect()

    run(test)


def test_roots_change_with_an_overlap_and_nobody_is_cut_off(tmp_path: Path) -> None:
    """The bundle first, then the signatures, then the old root goes: connections are there at every step."""

    async def test() -> None:
        now = datetime.now(UTC)
        old, new = new_root(now=now - timedelta(days=30)), new_root(now=now - 2 * LEAF_LIFETIME)
        async with controller(roots=[old]) as running:
            running.publish(gateway("shop/web"))
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            peer = Peer(*await link.connect())
            await peer.subscribed("shop/web")
            for roots in ((old, new_root(now=now)), (old, new), (new,)):
                running.authority = Authority(TRUST_DOMAIN, roots)
                if roots != (new,):
                    (tmp_path / "ca.crt").write_text(old.pem + new.pem if new in roots else running.bundle)
                clock.now += 60
                again = Peer(*await link.connect())
                await again.subscribed("shop/web")
                await again.close()
            running.publish(gateway("shop/web", "shop/certificate"))
            assert (await peer.batch()).revision == 2
            await peer.close()

    run(test)


def test_a_root_that_an_identity_came_with_vouches_before_the_file_has_it(tmp_path: Path) -> None:
    """The kubelet changes a mounted file a minute or two after its ConfigMap; the controller may be signed for by the new root before."""

    async def test() -> None:
        now = datetime.now(UTC)
        old, new = new_root(now=now - timedelta(days=30)), new_root(now=now)
        settled = new_root(now=now - 2 * LEAF_LIFETIME)
        async with controller(roots=[old, new]) as running:
            running.publish(gateway("shop/web"))
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            (tmp_path / "ca.crt").write_text(old.pem)
            await closed(await link.connect())
            clock.now += 60
            running.authority = Authority(TRUST_DOMAIN, [settled])
            with pytest.raises(LinkError, match="not vouched for"):
                await link.connect()
            running.authority = Authority(TRUST_DOMAIN, [new])
            await closed(await link.connect())

    run(test)


@pytest.mark.parametrize(("ahead", "words"), [(HOUR, "certificate is not yet valid"), (-25 * HOUR, "certificate has expired")])
def test_a_controller_whose_clock_is_wrong_is_told_and_what_there_is_serves(tmp_path: Path, ahead: float, words: str) -> None:
    """An hour ahead, or more than a life behind: what it issues would be good to nobody. The identity of before is used on."""

    async def test() -> None:
        root = new_root(now=datetime.now(UTC) - timedelta(days=30))
        async with controller(roots=[root]) as running:
            said: list[str] = []
            running.link(tmp_path)
            clock = Clock()
            controller_at = Controller(f"localhost:{running.port}", tmp_path / "ca.crt", tmp_path / "token")
            link = Link(controller_at, "pod-1", "shop/web", clock, said.append)
            await closed(await link.connect())
            before = serial_of(link)
            running.authority = Astray([root, new_root()], timedelta(seconds=ahead))  # a root more has its own certificate made anew
            clock.now += 13 * HOUR
            with pytest.raises(LinkError, match=words):
                await link.connect()
            assert serial_of(link) == before
            assert "the one of before is good until" in said[0]
            assert words in said[0]

    run(test)


def test_an_authority_made_anew_is_taken_up_from_the_file(tmp_path: Path) -> None:
    """Somebody deleted the Secret: the file with the roots changes, and the identity of the old ones is no more used."""

    async def test() -> None:
        async with controller() as running:
            running.publish(gateway("shop/web"))
            clock = Clock()
            link = with_clock(running, tmp_path, clock)
            await closed(await link.connect())
            running.authority = Authority(TRUST_DOMAIN, [new_root()])
            clock.now += 60
            with pytest.raises(LinkError, match="not vouched for"):
                await link.connect()
            (tmp_path / "ca.crt").write_text(running.bundle)
            peer = Peer(*await link.connect())
            assert (await peer.subscribed("shop/web")).snapshot
            await peer.close()

    run(test)


def test_an_identity_is_doubted_after_a_connection_that_ended_at_once(tmp_path: Path) -> None:
    """With TLS 1.3 the client learns only by the end of the connection that its certificate was not taken. While another cannot be had,
    from a replica that does not reach the API server for one, it does."""

    async def test() -> None:
        async with controller() as running:
            link = running.link(tmp_path)
            await closed(await link.connect())
            before = serial_of(link)
            await closed(await link.connect())
            renewed = serial_of(link)
            assert renewed != before
            (tmp_path / "token").write_text("expired")
            await closed(await link.connect())
            assert serial_of(link) == renewed

    run(test)


def test_another_server_is_not_talked_to(tmp_path: Path) -> None:
    """Neither one of another authority nor one of ours under another name; it never sees the token."""

    async def test() -> None:
        async with controller() as running, controller(Cluster()) as stranger:
            link = running.link(tmp_path)
            (tmp_path / "ca.crt").write_text(stranger.bundle)
            with pytest.raises(LinkError, match=r"not vouched for by .*ca\.crt"):
                await link.connect()
            (tmp_path / "ca.crt").write_text("nothing")
            with pytest.raises(LinkError, match="no readable CERTIFICATE"):
                await link.connect()
            (tmp_path / "ca.crt").write_text(running.bundle)
            other = Link(Controller(f"127.0.0.1:{running.port}", tmp_path / "ca.crt", tmp_path / "token"), "pod-1", "shop/web")
            with pytest.raises(LinkError, match="or for another name"):
                await other.connect()
            assert running.cluster.reviews == 0

    run(test)


def test_a_controller_that_is_away_is_an_error_that_says_where(tmp_path: Path) -> None:
    """Whoever calls tries again."""

    async def test() -> None:
        async with controller() as running:
            link = running.link(tmp_path)
        with pytest.raises(OSError, match="localhost"):
            await link.connect()

    run(test)
