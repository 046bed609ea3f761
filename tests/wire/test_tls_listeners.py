"""HTTPS listeners: which certificate a handshake shows, who is turned away before it, and what a change of Secrets does to whom."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import Authority, Pair
from tests.wire.backends import LIMIT
from tests.wire.conftest import Serve
from tests.wire.peers import Wire, get
from tests.wire.secure import careless, condition, first_of, gateway, https, shown, shown_on, trusting
from tests.wire.serving import Site, certificate

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
OPENSSL = shutil.which("openssl")
CURL = shutil.which("curl")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def example(authority: Authority) -> Pair:
    return authority.issue("example.com")


def openssl(site: Site, *arguments: str, sent: str = "") -> tuple[int, str]:
    """Exit status and output of `openssl s_client` on port 443."""
    host, port = site.address(443)
    command = [str(OPENSSL), "s_client", "-connect", f"{host}:{port}", *arguments]
    done = subprocess.run(command, input=sent.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
    return done.returncode, done.stdout.decode("latin-1")


# which certificate


def test_a_listener_terminates_tls(serve: Serve, authority: Authority, example: Pair) -> None:
    """TLS ends at the Gateway (Listener.tls.mode Terminate): the backend gets plain HTTP, and is told that it was https."""
    site = serve(gateway(https("https", "example")), certificate("example", example), TO_BLUE)
    answer = site.ask("/a", port=443, tls=trusting(authority))
    assert (answer.status, answer.backend) == (200, "blue")
    assert (answer.request.value("x-forwarded-proto"), answer.request.value("x-forwarded-port")) == ("https", "443")


def test_each_listener_shows_its_own_certificate(serve: Serve, authority: Authority) -> None:
    """Of the listeners on a port the one with the longest match for the server name serves (reference 5.3; Listener.hostname)."""
    pairs = {name: authority.issue(name) for name in ("a.example.com", "*.example.com", "*.b.example.com", "default.test")}
    secrets = [certificate(f"s{index}", pair) for index, pair in enumerate(pairs.values())]
    listeners = [https(f"l{index}", f"s{index}", hostname=name if name != "default.test" else "") for index, name in enumerate(pairs)]
    site = serve(gateway(*listeners), *secrets, TO_BLUE)
    expected = {
        "a.example.com": "a.example.com", "A.Example.COM": "a.example.com", "c.example.com": "*.example.com",
        "n.c.example.com": "*.example.com", "x.b.example.com": "*.b.example.com",
        "b.example.com": "*.example.com", "example.com": "default.test", None: "default.test",
    }  # fmt: skip
    assert {name: shown(site, name) for name in expected} == {name: first_of(pairs[shows]) for name, shows in expected.items()}


def test_a_listener_chooses_between_its_certificates(serve: Serve, authority: Authority) -> None:
    """Of several certificateRefs the one that stands for the server name is shown: exact, then wildcard for one label (RFC 9525 6.3),
    else the first."""
    pairs = [authority.issue(name) for name in ("first.test", "*.example.com", "a.example.com")]
    secrets = [certificate(f"s{index}", pair) for index, pair in enumerate(pairs)]
    site = serve(gateway(https("https", "s0", "s1", "s2")), *secrets, TO_BLUE)
    names = ["a.example.com", "b.example.com", "n.b.example.com", "other.test", None]
    assert [shown(site, name) for name in names] == [first_of(pairs[index]) for index in (2, 1, 0, 0, 0)]


def test_certificates_of_two_key_types_for_one_name(serve: Serve, authority: Authority) -> None:
    """Where a listener has RSA and ECDSA for one name, the client's abilities decide (RFC 8446 4.4.2.2)."""
    pairs = {key_type: authority.issue("example.com", key_type=key_type) for key_type in ("ecdsa", "rsa")}
    secrets = [certificate(name, pair) for name, pair in pairs.items()]
    site = serve(gateway(https("https", "ecdsa", "rsa")), *secrets, TO_BLUE)
    for key_type, pair in pairs.items():
        client = careless()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(f"ECDHE-{key_type.upper()}-AES128-GCM-SHA256")
        with Wire(site, 443, tls=client, server_name="example.com") as wire:
            assert shown_on(wire) == first_of(pair)


def test_a_chain_is_sent_whole(serve: Serve, authority: Authority) -> None:
    """A client that knows the root only can verify: the intermediate of tls.crt comes along (RFC 8446 4.4.2)."""
    pair = authority.intermediate().issue("example.com")
    site = serve(gateway(https("https", "chained")), certificate("chained", pair), TO_BLUE)
    assert site.ask(port=443, tls=trusting(authority)).status == 200


@pytest.mark.skipif(CURL is None, reason="curl is not installed: make test-peers installs it")
def test_curl_verifies_a_listener(serve: Serve, authority: Authority, example: Pair, tmp_path: Path) -> None:
    """curl, which offers h2 and http/1.1 (RFC 7301), agrees on h2 and takes the certificate."""
    site = serve(gateway(https("https", "example", hostname="example.com")), certificate("example", example), TO_BLUE)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    host, port = site.address(443)
    command = [str(CURL), "--silent", "--show-error", "--max-time", str(LIMIT), "--cacert", str(tmp_path / "ca.crt")]
    command += ["--connect-to", f"example.com:443:{host}:{port}", "--write-out", "%{http_version} %{http_code}", "https://example.com/"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"2 200"


# who is turned away


def test_an_unknown_server_name_is_refused(serve: Serve, authority: Authority, example: Pair) -> None:
    """Without a listener for the server name the alert is unrecognized_name (RFC 6066 3), and no certificate is shown."""
    site = serve(gateway(https("https", "example", hostname="example.com")), certificate("example", example), TO_BLUE)
    for name in ("other.test", "n.example.com", None):
        with pytest.raises(ssl.SSLError) as refusal:
            Wire(site, 443, tls=careless(), server_name=name)
        assert refusal.value.reason == "TLSV1_UNRECOGNIZED_NAME"
    assert site.ask(port=443, tls=trusting(authority)).status == 200


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: make test-peers installs it")
def test_openssl_sees_the_certificate_or_the_alert(serve: Serve, example: Pair) -> None:
    """`openssl s_client` sees what the ssl module does: alert 112 (RFC 6066 3), alert 120 for foreign protocols (RFC 7301 3.2)."""
    site = serve(gateway(https("https", "example", hostname="example.com")), certificate("example", example), TO_BLUE)
    status, output = openssl(site, "-servername", "example.com", "-alpn", "http/1.1")
    assert status == 0
    assert "CN = example.com" in output
    assert "ALPN protocol: http/1.1" in output
    status, output = openssl(site, "-servername", "other.test")
    assert (status, "alert number 112" in output, "no peer certificate available" in output) == (1, True, True)
    status, output = openssl(site, "-servername", "example.com", "-alpn", "imap")
    assert (status, "alert number 120" in output) == (1, True)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: make test-peers installs it")
def test_versions_that_are_deprecated_are_refused(serve: Serve, example: Pair, version: str) -> None:
    """TLS 1.0 and 1.1 must not be negotiated (RFC 8996 4, 5)."""
    site = serve(gateway(https("https", "example")), certificate("example", example), TO_BLUE)
    status, output = openssl(site, version, "-cipher", "ALL:@SECLEVEL=0", "-servername", "example.com")
    assert status == 1
    assert "alert protocol version" in output


def test_plain_http_on_a_tls_port_is_400(serve: Serve, authority: Authority, example: Pair) -> None:
    """A client that forgot the s is told so in its own protocol, and the port serves on."""
    site = serve(gateway(https("https", "example")), certificate("example", example), TO_BLUE)
    with Wire(site, 443) as wire:
        response = wire.ask(get())
        assert (response.status, b"HTTPS" in response.body, wire.is_ended()) == (400, True, True)
    assert site.ask(port=443, tls=trusting(authority)).status == 200


def test_a_plain_port_takes_no_handshake(serve: Serve) -> None:
    """What is no HTTP on a plain port ends the connection, and the port serves on."""
    site = serve(TO_BLUE)
    with pytest.raises(OSError, match=r"WRONG_VERSION|record layer|EOF|reset"):
        Wire(site, 80, tls=careless(), server_name="example.com")
    assert site.ask().status == 200


# changes of Secrets


def test_a_renewed_certificate_is_shown_to_new_handshakes(serve: Serve, authority: Authority, example: Pair) -> None:
    """Rotation: handshakes after the change show the new pair, and an open connection goes on under the old one."""
    renewed = authority.issue("example.com")
    base = gateway(https("https", "example"))
    site = serve(base, certificate("example", example), TO_BLUE)
    with Wire(site, 443, tls=trusting(authority), server_name="example.com") as wire:
        assert wire.ask(get()).status == 200
        site.change(base, certificate("example", renewed), TO_BLUE)
        assert shown(site, "example.com") == first_of(renewed)
        assert wire.ask(get()).status == 200
        assert shown_on(wire) == first_of(example)


def test_a_pair_that_does_not_match_leaves_the_old_one(serve: Serve, authority: Authority, example: Pair) -> None:
    """A Secret whose certificate and key do not match keeps the old pair serving, ResolvedRefs False (issue 3, Bad input); one that
    does match is taken again."""
    renewed = authority.issue("example.com")
    mismatched = Pair(renewed.chain, example.private_key)
    base = gateway(https("https", "example"))
    site = serve(base, certificate("example", example), TO_BLUE)
    assert condition(site, "ResolvedRefs", "https") == ("True", "ResolvedRefs")
    site.change(base, certificate("example", mismatched), TO_BLUE, refused=True)
    assert condition(site, "ResolvedRefs", "https") == ("False", "InvalidCertificateRef")
    assert shown(site, "example.com") == first_of(example)
    assert site.ask(port=443, tls=trusting(authority)).status == 200
    site.change(base, certificate("example", renewed), TO_BLUE)
    assert condition(site, "ResolvedRefs", "https") == ("True", "ResolvedRefs")
    assert shown(site, "example.com") == first_of(renewed)


def test_a_listener_without_its_secret_is_closed_until_it_comes(serve: Serve, authority: Authority) -> None:
    """A missing Secret: TLS is refused for that listener alone (InvalidCertificateRef), until the Secret is there."""
    one, other = authority.issue("one.test"), authority.issue("other.test")
    base = gateway(https("one", "one", hostname="one.test"), https("other", "other", hostname="other.test"))
    site = serve(base, certificate("one", one), TO_BLUE)
    assert condition(site, "ResolvedRefs", "other") == ("False", "InvalidCertificateRef")
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        shown(site, "other.test")
    assert site.ask(host="one.test", port=443, tls=trusting(authority)).status == 200
    site.change(base, certificate("one", one), certificate("other", other), TO_BLUE)
    assert condition(site, "ResolvedRefs", "other") == ("True", "ResolvedRefs")
    site.forget_connections()
    assert site.ask(host="other.test", port=443, tls=trusting(authority)).status == 200


def test_a_port_is_closed_while_no_secret_is_there(serve: Serve, example: Pair) -> None:
    """When the only listener of a port loses its Secret nothing listens there; when it comes back the port opens."""
    base = gateway(https("https", "example"))
    site = serve(base, certificate("example", example), TO_BLUE)
    assert shown(site, "example.com") == first_of(example)
    site.change(base, TO_BLUE)
    with pytest.raises(ConnectionRefusedError):
        site.connect(443)
    site.change(base, certificate("example", example), TO_BLUE)
    assert shown(site, "example.com") == first_of(example)
