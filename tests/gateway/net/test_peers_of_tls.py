"""The acceptor before clients that are not ours: curl and openssl s_client."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.net import failures
from gateway.net.contexts import server_contexts
from tests.certificates import Authority
from tests.gateway.net.serving import on_uvloop, output_of, serving

AUTHORITY = Authority()
APP = server_contexts([AUTHORITY.issue("app.test").resource("default/app")])
WILD = server_contexts([AUTHORITY.issue("*.wild.test", key_type="rsa").resource("default/wild")])
LISTENERS = {b"app.test": APP, b"a.wild.test": WILD}


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """A file with the authority's certificate."""
    path = tmp_path / "ca.crt"
    path.write_text(AUTHORITY.certificate)
    return path


def curl(trusted: Path, port: int, url: str, *more: str) -> tuple[str | Path, ...]:
    return ("curl", "-sS", "--http1.1", "--max-time", "20", "--cacert", trusted, "--connect-to", f"::127.0.0.1:{port}", *more, url)


def s_client(port: int, *more: str | Path) -> tuple[str | Path, ...]:
    return ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *more)


@pytest.mark.parametrize("name", ["app.test", "a.wild.test"])
@on_uvloop
async def test_curl_is_served_by_each_listener(trusted: Path, name: str) -> None:
    """RFC 6066 3, RFC 9525 6.3: the certificate is the one for the name, or curl would refuse it."""
    async with serving(LISTENERS) as site:
        assert await output_of(*curl(trusted, site.port, f"https://{name}/")) == (0, name)


@on_uvloop
async def test_curl_is_served_over_tls_1_2(trusted: Path) -> None:
    """Both versions are offered."""
    async with serving(LISTENERS) as site:
        assert await output_of(*curl(trusted, site.port, "https://app.test/", "--tls-max", "1.2")) == (0, "app.test")
        assert (await site.peers.get()).tls_version == b"TLSv1.2"


@on_uvloop
async def test_curl_shows_the_alert_for_an_unknown_name(trusted: Path) -> None:
    """RFC 6066 3: the user sees what was wrong."""
    async with serving(LISTENERS) as site:
        status, output = await output_of(*curl(trusted, site.port, "https://other.test/"))
        assert status == 35
        assert "unrecognized name" in output
        assert (await site.failure()).server_name == b"other.test"


@on_uvloop
async def test_curl_shows_the_answer_to_plain_http(trusted: Path) -> None:
    """As nginx has it."""
    async with serving(LISTENERS) as site:
        status, output = await output_of(*curl(trusted, site.port, "http://app.test/", "--data-binary", "x" * 100_000))
        assert status == 0
        assert output == "This port speaks HTTPS, and the request was sent in plain HTTP.\n"


@on_uvloop
async def test_a_client_that_does_not_trust_us_is_counted_as_such(tmp_path: Path) -> None:
    """Its alert, unknown_ca, ends the handshake."""
    other = tmp_path / "other.crt"
    other.write_text(Authority("Other").certificate)
    async with serving(LISTENERS) as site:
        status, _ = await output_of(*curl(other, site.port, "https://app.test/", "--tls-max", "1.2"))
        assert status == 60
        failure = await site.failure()
        assert (failure.reason, failure.server_name) == (failures.ALERTED, b"app.test")
        assert "unknown ca" in failure.detail


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
@on_uvloop
async def test_old_versions_are_refused_with_an_alert(version: str) -> None:
    """RFC 8996: TLS 1.0 and 1.1 must not be negotiated; alert protocol_version is 70."""
    async with serving(LISTENERS) as site:
        _, output = await output_of(*s_client(site.port, version, "-cipher", "ALL:@SECLEVEL=0", "-servername", "app.test"))
        assert "alert number 70" in output
        assert (await site.failure()).reason == failures.NO_COMMON_VERSION


@pytest.mark.parametrize("suites", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA"])
@on_uvloop
async def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(suites: str) -> None:
    """RFC 9325 4.2; alert handshake_failure is 40."""
    async with serving(LISTENERS) as site:
        _, output = await output_of(*s_client(site.port, "-tls1_2", "-cipher", suites, "-servername", "app.test"))
        assert "alert number 40" in output
        assert (await site.failure()).reason == failures.NO_COMMON_VERSION


@on_uvloop
async def test_neither_compression_nor_renegotiation_is_on_offer() -> None:
    """CRIME; CVE-2009-3555 and the cost of renegotiations that a client asks for without end."""
    async with serving(LISTENERS) as site:
        _, output = await output_of(*s_client(site.port, "-tls1_2", "-servername", "app.test", "-comp"), stdin=b"Q\n")
        assert "Compression: NONE" in output
        _, output = await output_of(*s_client(site.port, "-tls1_2", "-servername", "app.test"), stdin=b"R\n")
        assert "no renegotiation" in output


@on_uvloop
async def test_a_client_of_each_key_type_gets_a_certificate_it_can_check() -> None:
    """Two certificates for one name, ECDSA and RSA: the client's signature algorithms decide."""
    pairs = [AUTHORITY.issue("app.test"), AUTHORITY.issue("app.test", key_type="rsa")]
    both = server_contexts([pair.resource(f"default/{place}") for place, pair in enumerate(pairs)])
    async with serving({b"app.test": both}) as site:
        for suites, signed_with in (("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA"), ("ECDHE-RSA-AES128-GCM-SHA256", "RSA")):
            _, output = await output_of(*s_client(site.port, "-tls1_2", "-cipher", suites, "-servername", "app.test"), stdin=b"Q\n")
            assert f"Peer signature type: {signed_with}" in output


@on_uvloop
async def test_the_chain_is_sent_down_to_the_root(trusted: Path) -> None:
    """RFC 8446 4.4.2: a client that knows the root alone must be able to verify."""
    pair = AUTHORITY.intermediate().intermediate("Below").issue("deep.test")
    async with serving({b"deep.test": server_contexts([pair.resource()])}) as site:
        assert await output_of(*curl(trusted, site.port, "https://deep.test/")) == (0, "deep.test")
