"""Keys that are fetched from their issuer over HTTPS: at once, again when a token names a new one, kept whatever becomes of the issuer."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy import issuer_keys
from gateway.proxy.key_folder import KeyFolder
from tests.certificates import Authority
from tests.gateway.policies.tokens import ISSUER, jwk, jwks, token
from tests.wire.backends import Echo, closed_port
from tests.wire.conftest import Serve
from tests.wire.issuers import Issuer, authentication
from tests.wire.pairings import every_pairing
from tests.wire.serving import TO_EXAMPLE, Site
from tests.wire.test_authorization_policies import TO_BLUE, explained
from tests.wire.test_request_authentications import OTHER, RULE, bearer

OLD, NEW = jwk("P-256", 0, kid="old"), jwk("P-256", 1, kid="new")
BY_OLD, BY_NEW = token({"iss": ISSUER}, kid="old"), token({"iss": ISSUER}, number=1, kid="new")


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """One whose certificate the system trusts."""
    authority = Authority()
    roots = tmp_path / "roots.pem"
    roots.write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    with contextlib.closing(Issuer(tmp_path, authority)) as running:
        yield running


def rule(url: str, **more: Any) -> str:
    return authentication({"issuer": ISSUER, "jwksUri": url, **more})


def ask(site: Site, written: bytes) -> tuple[int, str]:
    """A request by itself: what a token is worth whose keys are not there yet, `explain` cannot foresee."""
    url = f"http://127.0.0.1:{site.address()[1]}/"
    answer = site._client(None).get(url, headers=[TO_EXAMPLE[0], *bearer(written)])
    return answer.status_code, answer.headers.get("x-tidegate-reason", "")


def test_the_first_request_waits_for_the_keys(serve: Serve, issuer: Issuer, blue: Echo) -> None:
    """Keys are asked for at once, and once: no other request does it again, nor waits."""
    issuer.publish(jwks(OLD))
    issuer.held.clear()
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    with site.connect() as waiting:
        waiting.sendall(b"POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n" + field(BY_OLD) + b"\r\n3\r\nabc\r\n")
        assert site.ask().status == 200
        issuer.held.set()
        waiting.sendall(b"3\r\ndef\r\n0\r\n\r\n")
        assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert [site.ask(headers=bearer(BY_OLD)).status for _ in range(3)] == [200, 200, 200]
    assert issuer.asked == ["/keys"]
    assert [request.body for request in blue.requests[1:2]] == [b"abcdef"]


def field(written: bytes) -> bytes:
    return b"Authorization: Bearer " + written + b"\r\n"


def test_who_leaves_while_keys_come_is_forgotten(serve: Serve, issuer: Issuer, blue: Echo) -> None:
    """Its request reaches no backend."""
    issuer.publish(jwks(OLD))
    issuer.held.clear()
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    with site.connect() as leaving:
        leaving.sendall(b"GET /left HTTP/1.1\r\nHost: example.com\r\n" + field(BY_OLD) + b"\r\n")
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed with a reset
    assert [line["flags"] for line in site.log.wait_for(1)] == ["DC"]
    issuer.held.set()
    assert ask(site, BY_OLD)[0] == 200
    assert [request.target for request in blue.requests] == ["/"]


def test_an_issuer_says_itself_where_its_keys_are(serve: Serve, issuer: Issuer) -> None:
    """OpenID Connect Discovery 1.0, 4."""
    issuer.publish(json.dumps({"jwks_uri": f"{issuer.url}/certs"}), "/realm/.well-known/openid-configuration")
    issuer.publish(jwks(OLD), "/certs")
    name = f"{issuer.url}/realm"
    site = serve(TO_BLUE, authentication({"issuer": name}))
    assert ask(site, token({"iss": name}, kid="old")) == (200, "")
    assert issuer.asked == ["/realm/.well-known/openid-configuration", "/certs"]


@every_pairing
def test_a_new_key_is_fetched_when_a_token_names_it(serve: Serve, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request waits for it. What the old key signed is refused from then on, though it was good before."""
    monkeypatch.setattr(issuer_keys, "AGAIN", 0.0)
    issuer.publish(jwks(OLD))
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    assert ask(site, BY_OLD)[0] == 200
    issuer.publish(jwks(NEW))
    assert ask(site, BY_NEW)[0] == 200
    assert site.ask(headers=bearer(BY_NEW)).status == 200
    monkeypatch.setattr(issuer_keys, "AGAIN", 3600.0)
    refused = site.ask(headers=bearer(BY_OLD))
    assert (refused.status, refused.reason) == (401, "the token is signed with key 'old', which is none of the issuer's")


def test_whoever_invents_keys_causes_one_fetch_in_a_while(serve: Serve, issuer: Issuer) -> None:
    """The others are refused at once."""
    issuer.publish(jwks(OLD))
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    assert ask(site, BY_OLD)[0] == 200
    for name in "abcdef":
        assert site.ask(headers=bearer(token({"iss": ISSUER}, kid=name))).status == 401
    assert issuer.asked == ["/keys"]


FAILING: dict[str, Callable[[Issuer], None]] = {
    "an error": lambda issuer: issuer.publish("no", status=500),
    "no answer": lambda issuer: issuer.answers.clear(),
    "no JWK Set": lambda issuer: issuer.publish("<html>"),
    "an empty set": lambda issuer: issuer.publish('{"keys": []}'),
    "too much": lambda issuer: issuer.publish(jwks(NEW) + " " * 300_000),
    "a redirect": lambda issuer: issuer.publish("", status=302, Location=f"{issuer.url}/new"),
    "a server that is gone": lambda issuer: issuer.close(),
}


@pytest.mark.parametrize("failure", FAILING)
def test_good_keys_stay_whatever_comes_later(serve: Serve, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, failure: str) -> None:
    """Reference 3.21: the last good keys are kept."""
    monkeypatch.setattr(issuer_keys, "AGAIN", 0.0)
    issuer.publish(jwks(OLD))
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    assert ask(site, BY_OLD)[0] == 200
    FAILING[failure](issuer)
    for _ in range(2):
        assert ask(site, BY_NEW) == (401, "the token is signed with key 'new', which is none of the issuer's")
        assert ask(site, BY_OLD)[0] == 200
    counted = {sample.name: sample.value for sample in site.statistics().counters}
    assert counted["tidegate_key_fetches_failed_total"] >= 1


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        ("an error", "answers with status 500"),
        ("no answer", "closed the connection without an answer"),
        ("no JWK Set", "it is no JWK Set: write a JSON object with the member 'keys'"),
        ("an empty set", "the JWK Set has no key that verifies signatures"),
        ("too much", "answers with more than 262144 bytes"),
        ("a redirect", "answers with status 302, to https://localhost:"),
        ("a server that is gone", "cannot be reached: "),
    ],
)
def test_an_issuer_that_fails_from_the_start_harms_only_its_tokens(
    serve: Serve, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failure: str, why: str
) -> None:
    """They are 401 and say why, as does standard error; those of another issuer, and requests without one, pass."""
    FAILING[failure](issuer)
    url = f"{issuer.url}/keys"
    site = serve(TO_BLUE, rule(url), authentication({**RULE, "issuer": OTHER}, name="other"))
    status, reason = ask(site, BY_OLD)
    assert (status, reason.startswith(f"the keys of the token's issuer are not there: {url}")) == (401, True)
    assert why in reason
    assert [site.ask().status, site.ask(headers=bearer(token({"iss": OTHER}))).status] == [200, 200]
    assert f"keys of an issuer: {url}" in capfd.readouterr().err
    ((kind, key, told),) = rejected(site)
    assert (kind, key, told.startswith("jwtRules[0]: "), why in told) == ("RequestAuthentication", "default/tokens", True, True)


@every_pairing
def test_keys_that_come_later_work_at_once(serve: Serve, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time of the next attempt has come the request waits for it."""
    monkeypatch.setattr(issuer_keys, "_PATIENCE", (0.0,))
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    changed: list[int] = []
    site._thread.call(lambda: site.runtime.watch(lambda: changed.append(len(site.runtime.rejections()))))
    assert ask(site, BY_OLD)[0] == 401
    assert len(rejected(site)) == 1
    issuer.publish(jwks(OLD))
    assert ask(site, BY_OLD)[0] == 200
    assert rejected(site) == []
    assert changed[-1:] == [0]


def rejected(site: Site) -> list[tuple[str, str, str]]:
    """What the object's status is made of."""
    return [(each.kind, each.key, each.reason) for each in site._thread.call(site.runtime.rejections)]


def test_an_issuer_that_is_too_slow(serve: Serve, issuer: Issuer) -> None:
    """Its requests wait as long as the rule says, and no longer."""
    issuer.publish(jwks(OLD))
    issuer.held.clear()
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys", timeout="50ms"))
    assert ask(site, BY_OLD) == (401, f"the keys of the token's issuer are not there: {issuer.url}/keys has not answered within 0.05 s")


def test_the_issuer_must_be_who_it_says(serve: Serve, tmp_path: Path, issuer: Issuer) -> None:
    """A certificate that the system does not trust, and one of another name, give no keys."""
    stranger = Issuer(tmp_path, Authority("Stranger"))
    try:
        stranger.publish(jwks(OLD))
        site = serve(TO_BLUE, rule(f"{stranger.url}/keys"))
        status, reason = ask(site, BY_OLD)
        assert (status, "certificate verify failed" in reason) == (401, True)
        issuer.publish(jwks(OLD))
        site.change(TO_BLUE, rule(issuer.url.replace("localhost", "127.0.0.1") + "/keys"))
        assert ask(site, BY_OLD)[0] == 401
    finally:
        stranger.close()


def test_keys_can_come_over_plain_http(serve: Serve, tmp_path: Path) -> None:
    """As Istio allows it; the policy's condition warns of it."""
    plain = Issuer(tmp_path, Authority(), tls=False)
    try:
        plain.publish(jwks(OLD))
        site = serve(TO_BLUE, rule(f"{plain.url}/keys"))
        assert ask(site, BY_OLD)[0] == 200
        assert "Insecure" in site.conditions("RequestAuthentication", "tokens")
    finally:
        plain.close()


def test_an_encrypted_configuration_leads_to_no_plain_keys(serve: Serve, issuer: Issuer) -> None:
    """Whoever is on the way could sign tokens."""
    issuer.publish(json.dumps({"jwks_uri": f"http://localhost:{closed_port()}/certs"}), "/.well-known/openid-configuration")
    site = serve(TO_BLUE, authentication({"issuer": issuer.url}))
    status, reason = ask(site, token({"iss": issuer.url}))
    assert (status, reason.endswith("which is not encrypted")) == (401, True)


def test_kept_keys_serve_a_start_without_the_issuer(serve: Serve, issuer: Issuer, tmp_path: Path) -> None:
    """They are on disk once they were fetched, and used from the first request on; a file that others may write is not."""
    folder = tmp_path / "kept"
    issuer.publish(jwks(OLD))
    url = f"{issuer.url}/keys"
    first = keeping(serve, folder)
    first.change(TO_BLUE, rule(url))
    assert ask(first, BY_OLD)[0] == 200
    kept = KeyFolder(folder).load(url)
    assert kept == jwks(OLD).encode()
    issuer.close()
    second = keeping(serve, folder)
    second.change(TO_BLUE, rule(url))
    assert ask(second, BY_OLD)[0] == 200
    (file,) = folder.glob("*.jwks")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o666)
    third = keeping(serve, folder)
    third.change(TO_BLUE, rule(url))
    assert ask(third, BY_OLD)[0] == 401


def keeping(serve: Serve, folder: Path) -> Site:
    site = serve(TO_BLUE)
    site.runtime._core.issuer_keys.folder = KeyFolder(folder)
    return site


def test_explain_fetches_nothing(serve: Serve, issuer: Issuer) -> None:
    """It says that it does not know whether the token is genuine; everything else it judges."""
    issuer.held.clear()
    issuer.publish(jwks(OLD))
    site = serve(TO_BLUE, rule(f"{issuer.url}/keys"))
    (judged,) = explained(site, headers=bearer(BY_OLD))["policies"]  # type: ignore[arg-type]
    assert judged["outcome"].endswith("whether the token is genuine is not known; taken for genuine")
    expired = explained(site, headers=bearer(token({"iss": ISSUER, "exp": 1})))  # type: ignore[arg-type]
    assert expired["reply"]["reason"] == "the token has expired"
