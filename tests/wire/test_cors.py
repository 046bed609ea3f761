"""CORS (HTTPCORSFilter, reference 5.9; Fetch standard 3.3). Every case of the suite's HTTPRouteCORS, and those it leaves out."""

from __future__ import annotations

import httpx
import pytest

from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.serving import Answer, Site

pytestmark = every_pairing

ALLOWED = tuple(f"access-control-allow-{what}" for what in ("origin", "credentials", "methods", "headers"))


def policy(fields: str) -> str:
    return f"- filters: [{{type: CORS, cors: {fields}}}]\n  backendRefs: [{{name: blue, port: 80}}]\n"


def preflight(site: Site, origin: str, method: str = "GET", headers: str | None = None) -> Answer:
    asked = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if headers is not None:
        asked.append(("Access-Control-Request-Headers", headers))
    return site.ask(method="OPTIONS", headers=asked)


def actual(site: Site, origin: str) -> Answer:
    return site.ask(headers=[("Origin", origin)])


def allows_nothing(headers: httpx.Headers) -> bool:
    return not any(name in headers for name in ALLOWED)


def members(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def test_a_preflight_is_answered_by_the_proxy(serve: Serve, blue: Echo) -> None:
    """OPTIONS with Origin and Access-Control-Request-Method is answered with what is allowed; the backend is not asked (HTTPRouteCORS)."""
    site = serve(
        policy(
            "{allowOrigins: ['https://www.foo.com'], allowMethods: [GET, OPTIONS], allowHeaders: [x-one, x-two],"
            " exposeHeaders: [x-three, x-four], maxAge: 3600, allowCredentials: true}"
        )
    )
    answer = preflight(site, "https://www.foo.com", "GET", "x-one, x-two")
    assert answer.status in (200, 204)
    headers = answer.headers
    assert headers["access-control-allow-origin"] == "https://www.foo.com"
    assert set(members(headers["access-control-allow-methods"])) >= {"GET", "OPTIONS"}
    assert set(members(headers["access-control-allow-headers"])) == {"x-one", "x-two"}
    assert set(members(headers["access-control-expose-headers"])) == {"x-three", "x-four"}
    assert (headers["access-control-max-age"], headers["access-control-allow-credentials"]) == ("3600", "true")
    assert blue.requests == []


def test_an_actual_request_reaches_the_backend(serve: Serve) -> None:
    """A request with an allowed Origin is forwarded with it, and its answer says whom it is for (HTTPRouteCORS)."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com'], exposeHeaders: [x-three], allowCredentials: true}"))
    answer = actual(site, "https://www.foo.com")
    assert answer.request.value("origin") == "https://www.foo.com"
    assert answer.headers["access-control-allow-origin"] == "https://www.foo.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "x-three"
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-max-age" not in answer.headers


def test_a_foreign_origin_gets_no_permission(serve: Serve) -> None:
    """A preflight of a foreign origin gets no CORS fields; the actual request still reaches the backend (HTTPRouteCORS)."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com'], allowCredentials: true}"))
    answer = preflight(site, "https://www.bar.com")
    assert answer.status in (200, 204, 403)
    assert allows_nothing(answer.headers)
    answer = actual(site, "https://www.bar.com")
    assert answer.backend == "blue"
    assert allows_nothing(answer.headers)


@pytest.mark.parametrize(
    ("allowed", "origin", "permitted"),
    [
        ("https://www.foo.com", "https://www.foo.com", True),
        ("https://www.foo.com", "http://www.foo.com", False),
        ("https://www.foo.com", "https://www.foo.com:8443", False),
        ("https://www.foo.com", "https://www.foo.com:443", True),
        ("https://www.foo.com:443", "https://www.foo.com", True),
        ("http://www.foo.com:8080", "http://www.foo.com:8080", True),
        ("http://www.foo.com:8080", "http://www.foo.com", False),
        ("https://www.foo.com", "https://foo.com", False),
        ("https://*.bar.com", "https://www.bar.com", True),
        ("https://*.bar.com", "https://a.b.bar.com", True),
        ("https://*.bar.com", "https://bar.com", False),
        ("https://*.bar.com", "https://evilbar.com", False),
        ("https://*.bar.com", "https://www.bar.com.evil.com", False),
        ("https://*.bar.com", "http://www.bar.com", False),
        ("https://*.bar.com", "https://www.bar.com:8443", False),
        ("http://*.bar.com:8080", "http://www.bar.com:8080", True),
        ("'*'", "https://anything.example:1", True),
        ("'*'", "null", True),
    ],
)
def test_origins(serve: Serve, allowed: str, origin: str, permitted: bool) -> None:
    """Origins are compared whole; the scheme's own port is implied, and `*` covers one or more labels to the left
    (HTTPCORSFilter.allowOrigins)."""
    site = serve(policy(f"{{allowOrigins: [{allowed}], allowCredentials: true}}"))
    for answer in (preflight(site, origin), actual(site, origin)):
        assert answer.headers.get("access-control-allow-origin") == (origin if permitted else None)


def test_all_origins_without_credentials(serve: Serve) -> None:
    """A lone `*` without credentials is answered with `*` (HTTPCORSFilter.allowOrigins)."""
    site = serve(policy("{allowOrigins: ['*']}"))
    for answer in (preflight(site, "https://www.foo.com"), actual(site, "https://www.foo.com")):
        assert answer.headers["access-control-allow-origin"] in ("*", "https://www.foo.com")
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("credentials", ["true", "false"])
def test_credentials_are_true_or_absent(serve: Serve, credentials: str) -> None:
    """Access-Control-Allow-Credentials is `true` or absent, never `false` (Fetch 3.3.3)."""
    site = serve(policy(f"{{allowOrigins: ['https://www.foo.com'], allowCredentials: {credentials}}}"))
    for answer in (preflight(site, "https://www.foo.com"), actual(site, "https://www.foo.com")):
        assert answer.headers.get("access-control-allow-credentials") == ("true" if credentials == "true" else None)


def test_any_method_with_credentials_is_echoed(serve: Serve) -> None:
    """allowMethods `*` means itself with credentials, so the method asked for is answered (HTTPCORSFilter.allowMethods)."""
    site = serve(policy("{allowOrigins: ['*'], allowMethods: ['*'], allowCredentials: true}"))
    answer = preflight(site, "https://www.foo.com", "PUT")
    assert answer.headers["access-control-allow-methods"] == "PUT"
    assert answer.headers["access-control-allow-origin"] == "https://www.foo.com"


def test_any_method_without_credentials(serve: Serve) -> None:
    """allowMethods `*` without credentials: `*`, or the method asked for (HTTPCORSFilter.allowMethods)."""
    answer = preflight(serve(policy("{allowOrigins: ['*'], allowMethods: ['*']}")), "https://www.foo.com", "PUT")
    assert answer.headers["access-control-allow-methods"] in ("*", "PUT")


def test_any_header_is_echoed(serve: Serve) -> None:
    """allowHeaders `*` answers with those asked for, with credentials always, and with none when none is asked for
    (HTTPCORSFilter.allowHeaders)."""
    with_credentials = serve(policy("{allowOrigins: ['https://www.foo.com'], allowHeaders: ['*'], allowCredentials: true}"))
    asked = preflight(with_credentials, "https://www.foo.com", "GET", "x-one, x-two").headers
    assert members(asked["access-control-allow-headers"]) == ["x-one", "x-two"]
    assert "access-control-allow-headers" not in preflight(with_credentials, "https://www.foo.com").headers
    without_credentials = serve(policy("{allowOrigins: ['https://www.foo.com'], allowHeaders: ['*']}"))
    asked = preflight(without_credentials, "https://www.foo.com", "GET", "x-one").headers
    assert asked["access-control-allow-headers"] in ("*", "x-one")


def test_headers_that_are_not_allowed_are_not_listed(serve: Serve) -> None:
    """What is asked for beyond the list is not permitted; the browser then refuses (HTTPCORSFilter.allowHeaders)."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com'], allowHeaders: [x-one], allowMethods: [GET]}"))
    headers = preflight(site, "https://www.foo.com", "DELETE", "x-one, x-secret").headers
    assert "x-secret" not in headers["access-control-allow-headers"]
    assert "DELETE" not in headers["access-control-allow-methods"]


def test_max_age_is_5_by_default(serve: Serve) -> None:
    """A preflight always says how long it may be kept (HTTPCORSFilter.maxAge default 5)."""
    answer = preflight(serve(policy("{allowOrigins: ['https://www.foo.com']}")), "https://www.foo.com")
    assert answer.headers["access-control-max-age"] == "5"


def test_any_exposed_header_with_credentials_lists_what_is_there(serve: Serve, blue: Echo) -> None:
    """exposeHeaders `*` means itself with credentials, so the names of the response are listed (Fetch 3.3.3)."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com'], exposeHeaders: ['*'], allowCredentials: true}"))
    blue.plan(Planned(200, ("x-shown", "1"), ("set-cookie", "a=b")))
    exposed = members(actual(site, "https://www.foo.com").headers["access-control-expose-headers"])
    assert "x-shown" in exposed
    assert "set-cookie" not in exposed
    assert "*" not in exposed


def test_options_without_a_method_asked_for_is_no_preflight(serve: Serve) -> None:
    """OPTIONS without Access-Control-Request-Method goes to the backend like any request (Fetch 3.2.2)."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com']}"))
    answer = site.ask(method="OPTIONS", headers=[("Origin", "https://www.foo.com")])
    assert answer.backend == "blue"
    assert answer.headers["access-control-allow-origin"] == "https://www.foo.com"


def test_cors_fields_of_the_backend_are_replaced(serve: Serve, blue: Echo) -> None:
    """The filter is the rule's whole policy: what the backend says of CORS does not add to it."""
    site = serve(policy("{allowOrigins: ['https://www.foo.com']}"))
    blue.always(Planned(200, ("Access-Control-Allow-Origin", "*"), ("Vary", "Accept-Encoding")))
    headers = actual(site, "https://www.foo.com").headers
    assert headers.get_list("access-control-allow-origin") == ["https://www.foo.com"]
    assert {part.lower() for value in headers.get_list("vary") for part in members(value)} == {"accept-encoding", "origin"}
    assert allows_nothing(actual(site, "https://www.bar.com").headers)


def test_answers_of_the_proxy_carry_cors_fields(serve: Serve) -> None:
    """An error that the proxy answers itself is readable to the page that asked, as the backend's would be."""
    text = policy("{allowOrigins: ['https://www.foo.com']}").replace("blue", "missing")
    answer = actual(serve(text), "https://www.foo.com")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "https://www.foo.com")


def test_a_request_without_origin_passes(serve: Serve) -> None:
    """Without Origin there is nothing to permit, but caches must know that the answer depends on it (RFC 9110 12.5.5)."""
    answer = serve(policy("{allowOrigins: ['https://www.foo.com']}")).ask()
    assert answer.backend == "blue"
    assert allows_nothing(answer.headers)
    assert "origin" in answer.headers["vary"].lower()
