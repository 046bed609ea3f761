"""`tidegate explain -f`: from files to the answer that a request would get, as a tree and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli import app

QUICKSTART = str(Path(__file__).parents[2] / "examples" / "quickstart")

MANY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: many}
spec:
  parentRefs: [{name: web}]
  rules:
""" + "".join(f"    - matches: [{{path: {{value: /path-{number}}}}}]\n" for number in range(16))


def explained(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_tree_names_every_decision() -> None:
    """Design 2: listener, every rule considered with the first predicate that failed, filters, backend choice."""
    assert explained("GET", "http://127.0.0.1:8080/catalog/shoes?size=42", "-H", "x-a: b", "-f", QUICKSTART) == (
        "GET http://127.0.0.1:8080/catalog/shoes?size=42, x-a: b\n"
        "├── listener http of Gateway default/web, HTTP on 127.0.0.1:8080\n"
        "│   └── port 8080 is bound at 127.0.0.1; the only listener there serves every host\n"
        "├── 4 matches considered, in order of precedence\n"
        "│   ├── HTTPRoute default/catalog, rule 1: path under /products: path /catalog/shoes is not under /products\n"
        "│   ├── HTTPRoute default/catalog, rule 0: path under /catalog: matches\n"
        "│   ├── HTTPRoute default/shop, rule try-next: path under /, header x-try is 'next': header x-try is absent\n"
        "│   └── HTTPRoute default/shop, rule split: path under /: not reached: an earlier one matched\n"
        "├── served by HTTPRoute default/catalog, rule 0\n"
        "│   └── rewrites the request: the matched prefix becomes /v2\n"
        "└── 100% to default/catalog:80\n"
        "    ├── as GET /v2/shoes?size=42, Host: 127.0.0.1:8080\n"
        "    └── 100% 127.0.0.1:19004\n"
    )


def test_a_split_is_given_in_percent() -> None:
    """HTTPBackendRef.weight: each backend with its share, each endpoint with its share of that."""
    lines = [line.strip("│├└─ ") for line in explained("GET", "http://127.0.0.1:8080/", "-f", QUICKSTART).splitlines()]
    shares = [line for line in lines if line.startswith(("90%", "10%", "50%", "100%"))]
    assert shares == [
        "90% to default/shop:80",
        "50% 127.0.0.1:19001",
        "50% 127.0.0.1:19002",
        "10% to default/shop-next:80",
        "100% 127.0.0.1:19003",
    ]


def test_a_redirect_is_shown_with_its_location() -> None:
    """HTTPRequestRedirectFilter: under --port-offset Location has the port that can be followed."""
    shown = explained("GET", "http://127.0.0.1:9080/products/a?b", "-f", QUICKSTART, "--port-offset", "1000")
    assert "answered 301 Moved Permanently: redirect" in shown
    assert "location: http://127.0.0.1:9080/catalog/a?b" in shown


def test_a_call_is_shown_with_its_status() -> None:
    """GRPCRoute: what its backend is spoken to in; an answer of ours is one of gRPC."""
    call = ("POST", "http://127.0.0.1:8081/hello.Greeter/SayHello", "-H", "content-type: application/grpc", "-f", QUICKSTART)
    assert "as POST /hello.Greeter/SayHello, Host: 127.0.0.1:8081, in HTTP/2\n" in explained(*call)
    assert "grpc-status: 12" in explained(*(part.replace("Greeter", "Other") for part in call))


def test_a_connection_is_shown_down_to_its_endpoint() -> None:
    """CONNECT tcp://HOST:PORT: the listener, the rules by age, what ends it, the backend."""
    assert explained("CONNECT", "tcp://127.0.0.1:9000", "-f", QUICKSTART) == (
        "CONNECT tcp://127.0.0.1:9000\n"
        "├── listener tcp of Gateway default/web, TCP on 127.0.0.1:9000\n"
        "│   └── port 9000 is bound at 127.0.0.1\n"
        "├── 1 match considered, in order of precedence\n"
        "│   └── TCPRoute default/echo, rule 0: any connection: matches\n"
        "├── served by TCPRoute default/echo, rule 0\n"
        "│   └── ends when nothing passes for 1 h\n"
        "└── 100% to default/echo:80\n"
        "    └── 100% 127.0.0.1:19006\n"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:81/", "no answer: nothing listens on port 81; what is bound: 127.0.0.1:8080, 127.0.0.1:8081, 127.0.0.1:9000"),
        (
            "http://127.0.0.1:9000/",
            "no answer: port 9000 passes connections on without looking for requests; write CONNECT tcp://127.0.0.1:9000",
        ),
        ("https://127.0.0.1:8080/", "no answer: port 8080 speaks plain HTTP"),
        ("http://127.0.0.1:8080/a/../..", "answered 400 Bad Request: the path climbs above the root [DPE]"),
    ],
)
def test_what_gets_no_further_says_why(url: str, said: str) -> None:
    """Design 8: every answer of ours says why."""
    assert said in explained("GET", url, "-f", QUICKSTART)


def test_files_with_problems_are_explained_as_they_would_be_served(tmp_path: Path) -> None:
    """Bad input harms itself alone: what is readable answers, here with 500 for a Service that is not there."""
    (tmp_path / "a.yaml").write_text((Path(QUICKSTART) / "gateway.yaml").read_text())
    (tmp_path / "b.yaml").write_text((Path(QUICKSTART) / "shop.yaml").read_text())
    (tmp_path / "c.yaml").write_text("kind: [")
    shown = explained("GET", "http://127.0.0.1:8080/", "-f", str(tmp_path))
    assert "90% answered 500 Internal Server Error: " in shown
    assert "Service default/shop does not exist" in shown


def test_a_long_list_of_matches_is_cut_for_people_only(tmp_path: Path) -> None:
    """What serves is always shown; JSON has everything."""
    (tmp_path / "many.yaml").write_text(MANY)
    shown = explained("GET", "http://127.0.0.1:8080/", "-f", QUICKSTART, "-f", str(tmp_path))
    assert "20 matches considered" in shown
    assert "rule split: path under /: matches" in shown
    assert "and 7 more, see -o json" in shown
    whole = json.loads(explained("GET", "http://127.0.0.1:8080/", "-f", QUICKSTART, "-f", str(tmp_path), "-o", "json"))
    assert len(whole["considered"]) == 20


GUARDED = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: guarded}
spec:
  parentRefs: [{name: web}]
  rules:
  - matches: [{path: {value: /guarded}}]
    filters:
    - type: ExternalAuth
      externalAuth:
        protocol: HTTP
        backendRef: {name: catalog, port: 80}
        http: {path: /check, allowedHeaders: [X-Tenant], allowedResponseHeaders: [X-User]}
    backendRefs: [{name: catalog, port: 80}]
---
apiVersion: tidegate.dev/v1alpha1
kind: ListenerPolicy
metadata: {name: limits}
spec:
  targetRefs: [{name: web}]
  limits: {requestBody: 1Ki}
  rateLimits: [{name: clients, requests: 10, period: 1m}]
"""


def test_limits_and_an_authorization_server_are_shown(tmp_path: Path) -> None:
    """What a listener takes, whom it would ask and what, and what the request is if the answer is 200."""
    (tmp_path / "guarded.yaml").write_text(GUARDED)
    headers = ("-H", "X-Tenant: 7", "-H", "X-User: mallory")
    shown = explained("GET", "http://127.0.0.1:8080/guarded/a", *headers, "-f", QUICKSTART, "-f", str(tmp_path))
    for words in (
        "request bodies of at most 1024 bytes",
        "rate limit clients: 10 requests each 60 s, by client address",
        "would ask default/catalog:80: GET /check/guarded/a, Host: 127.0.0.1",
        "X-Tenant: 7",
        "200 lets the request pass, and the answer may set x-user; any other answer goes to the client",
    ):
        assert words in shown
    assert "mallory" not in shown.partition("would ask")[2]


def test_json_always_has_every_field() -> None:
    """-o json is stable: fields are there also when they say nothing."""
    found = json.loads(explained("GET", "http://127.0.0.1:81/", "-f", QUICKSTART, "-o", "json"))
    assert list(found) == [
        "request", "host", "path", "listener", "policies", "considered", "rule", "limits", "authorization", "closed", "reply", "session",
        "mirrors", "portions", "notes",
    ]  # fmt: skip
