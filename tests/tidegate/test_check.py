"""`tidegate check`: what `tidegate run` would make of files, with file, line and field of everything that is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.certificates import Authority
from tidegate.check import check, field_in, show
from tidegate.cli import app
from tidegate.options import RunOptions

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
    - {name: http, port: 8080, protocol: HTTP}
"""

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  rules:
    - backendRefs:
        - {name: shop, port: 80}
"""

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  ports: [{port: 80}]
"""

SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{port: 8080}]
"""


class Files:
    """A folder of files, and what `check` says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def judged(self, *documents: str) -> tuple[bool, str]:
        """Whether all is well, and the lines for people, with the folder left out of them."""
        (self.folder / "all.yaml").write_text("---\n".join(documents))
        verdict = check(RunOptions((self.folder,)))
        shown = io.StringIO()
        show(verdict, shown)
        return verdict.good, shown.getvalue().replace(f"{self.folder}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_the_quick_start_is_good() -> None:
    """Exit status 0 where nothing is wrong, and every object with a status is listed with every condition."""
    result = CliRunner().invoke(app, ["check", str(QUICKSTART)])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("ok")] == [
        ["ok", "GatewayClass", "tidegate"],
        ["ok", "Gateway", "default/web"],
        ["ok", "HTTPRoute", "default/catalog"],
        ["ok", "HTTPRoute", "default/shop"],
        ["ok", "GRPCRoute", "default/greeter"],
        ["ok", "TCPRoute", "default/echo"],
    ]
    assert "        listener http: Accepted True, ResolvedRefs True, Programmed True; 2 routes" in lines


def test_a_false_condition_makes_the_exit_status_1(files: Files) -> None:
    """Design 2: exit 1 if any condition is False; the message names file, line and field."""
    good, lines = files.judged(GATEWAY, ROUTE)
    assert not good
    assert "fault   HTTPRoute default/shop  all.yaml:9\n" in lines
    assert "all.yaml:16 BackendNotFound: spec.rules[0].backendRefs[0]: Service default/shop does not exist" in lines
    assert CliRunner().invoke(app, ["check", str(files.folder)]).exit_code == 1


def test_an_unknown_field_is_named_with_the_one_that_was_meant(files: Files) -> None:
    """Issue 3, bad input: file, line, object, field and remedy."""
    good, lines = files.judged(GATEWAY, ROUTE.replace("parentRefs", "parentRef"))
    assert not good
    expected = "problem all.yaml:13: HTTPRoute default/shop: spec.parentRef: the field is not known here. Did you mean parentRefs?"
    assert expected in lines


def test_an_expression_that_re2_refuses_is_found_at_its_line(files: Files) -> None:
    """PartiallyInvalid is wrong when it is True; the line is that of the match."""
    broken = "    - matches:\n        - path: {type: RegularExpression, value: '/a(?=b)'}\n"
    good, lines = files.judged(GATEWAY, ROUTE + broken, SERVICE, SLICE)
    assert not good
    assert "PartiallyInvalid True" in lines
    assert "all.yaml:18 UnsupportedValue: Dropped Rule 1: matches[0].path.value: RE2 refuses '/a(?=b)'" in lines


def test_a_fault_inside_a_listener_is_found_at_its_line(files: Files) -> None:
    """ListenerStatus.conditions: the field is looked for in that listener."""
    secure = "    - {name: tls, port: 8443, protocol: HTTPS,\n       tls: {certificateRefs: [{name: missing}]}}\n"
    good, lines = files.judged(GATEWAY + secure)
    assert not good
    assert "all.yaml:9 InvalidCertificateRef: tls.certificateRefs[0]: Secret default/missing does not exist" in lines


def test_what_several_conditions_say_is_told_once(files: Files) -> None:
    """Accepted, Conflicted and Programmed of a listener have one cause: the message and its place stand below them once."""
    good, lines = files.judged(GATEWAY + "    - {name: raw, port: 8080, protocol: TCP}\n")
    assert not good
    assert "listener raw: Accepted False, ResolvedRefs True, Conflicted True, Programmed False" in lines
    assert lines.count("ProtocolConflict: port 8080 cannot serve TCP") == 1


def test_what_only_a_proxy_would_refuse_is_found(files: Files) -> None:
    """A certificate that does not fit its key: ResolvedRefs False before anything is started."""
    authority = Authority()
    chain, key = authority.issue("a.example").chain, authority.issue("a.example").private_key
    secret = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "pair"},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": chain, "tls.key": key},
        }
    )
    secure = "    - {name: tls, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}\n"
    good, lines = files.judged(GATEWAY + secure, secret + "\n")
    assert not good
    assert "listener tls: Accepted True, ResolvedRefs False, Programmed False" in lines
    assert key.splitlines()[1] not in lines


def test_a_service_without_endpoint_gets_a_note(files: Files) -> None:
    """Issue 3, bad input: it answers 503, which no condition says; it is not an error, since endpoints come and go."""
    good, lines = files.judged(GATEWAY, ROUTE, SERVICE)
    assert good
    assert "note    Service default/shop  all.yaml:18\n        port 80 has no endpoint: requests get 503; add an EndpointSlice" in lines


@pytest.mark.parametrize(
    ("kind", "protocol", "outcome"),
    [
        ("GRPCRoute", "HTTP", "requests get 503"),
        ("TCPRoute", "TCP", "connections are closed"),
        ("UDPRoute", "UDP", "datagrams are dropped"),
    ],
)
def test_a_route_of_any_kind_is_judged(kind: str, protocol: str, outcome: str, files: Files) -> None:
    """Its conditions are shown after those of its Gateway, and what becomes of traffic to a Service without endpoint."""
    port = "{name: a, port: 80, protocol: UDP}" if protocol == "UDP" else "{name: a, port: 80}"
    gateway, route = GATEWAY.replace("protocol: HTTP", f"protocol: {protocol}"), ROUTE.replace("HTTPRoute", kind)
    good, lines = files.judged(route, SERVICE.replace("{port: 80}", port), gateway)
    assert good
    assert lines.index("ok      Gateway default/web") < lines.index(f"ok      {kind} default/shop") < lines.index("note ")
    assert f"port 80 has no endpoint: {outcome}; add an EndpointSlice with the label kubernetes.io/service-name: shop" in lines


def test_a_stream_route_to_a_gateway_that_is_nowhere_is_a_problem(files: Files) -> None:
    """As for an HTTPRoute."""
    good, lines = files.judged(ROUTE.replace("HTTPRoute", "UDPRoute"))
    assert not good
    assert "problem UDPRoute default/shop  all.yaml:1\n        spec.parentRefs[0]: Gateway default/web does not exist" in lines


def test_a_route_to_a_gateway_that_is_nowhere_is_a_problem(files: Files) -> None:
    """The API gives such a route no status; in files it is a mistake, and the exit status says so."""
    good, lines = files.judged(ROUTE, SERVICE, SLICE)
    assert not good
    assert "problem HTTPRoute default/shop  all.yaml:1\n        spec.parentRefs[0]: Gateway default/web does not exist" in lines


LISTENER_SET = """\
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {name: web}
  listeners:
    - {name: extra, port: 8081, protocol: HTTP}
    - {name: tls, port: 8443, protocol: HTTPS,
       tls: {certificateRefs: [{name: missing}]}}
"""


def test_a_listener_set_is_judged_with_its_listeners(files: Files) -> None:
    """ListenerEntryStatus.conditions: a fault inside an entry is found at its line; the Gateway counts what is attached."""
    allowing = GATEWAY.replace("spec:\n", "spec:\n  allowedListeners: {namespaces: {from: Same}}\n", 1)
    good, lines = files.judged(allowing, LISTENER_SET, ROUTE.replace("{name: web}", "{kind: ListenerSet, name: more}"), SERVICE, SLICE)
    assert not good
    assert "fault   ListenerSet default/more  all.yaml:10\n" in lines
    assert "listener extra: Accepted True, ResolvedRefs True, Programmed True; 1 route" in lines
    assert "all.yaml:18 InvalidCertificateRef: tls.certificateRefs[0]: Secret default/missing does not exist" in lines


def test_a_listener_set_of_no_gateway_is_a_problem(files: Files) -> None:
    """As with a route whose parent is nowhere; and a route whose ListenerSet is nowhere is one too."""
    good, lines = files.judged(LISTENER_SET)
    assert not good
    assert "problem ListenerSet default/more  all.yaml:1\n        spec.parentRef: Gateway default/web does not exist" in lines
    good, lines = files.judged(ROUTE.replace("{name: web}", "{kind: ListenerSet, name: more}"), SERVICE, SLICE)
    assert not good
    assert "spec.parentRefs[0]: ListenerSet default/more does not exist" in lines


def test_a_gateway_of_another_class_is_ignored_and_listed(files: Files) -> None:
    """Issue 3: Gateways of other classes are listed as ignored; that is no error, and --class serves them."""
    other = GATEWAY.replace("gatewayClassName: tidegate", "gatewayClassName: other")
    good, lines = files.judged(other)
    assert good
    assert "ignored Gateway default/web  all.yaml:1" in lines
    assert "ok      Gateway default/web" in CliRunner().invoke(app, ["check", str(files.folder), "--class", "other"]).output


def test_nothing_at_all_is_a_problem(files: Files) -> None:
    """A path that does not exist is named."""
    verdict = check(RunOptions((files.folder / "absent.yaml",)))
    assert not verdict.good
    assert "does not exist" in verdict.reading.change.problems[0].message


def test_json_says_the_same(files: Files) -> None:
    """-o json: objects with the status that Kubernetes would hold, problems with their parts."""
    files.judged(GATEWAY, ROUTE.replace("parentRefs", "parentRef"), SERVICE)
    result = CliRunner().invoke(app, ["check", str(files.folder), "-o", "json"])
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert found["good"] is False
    assert [(named["kind"], named["name"], named["line"], named["status"] is None) for named in found["objects"]] == [
        ("Gateway", "web", 1, False),
        ("Service", "shop", 18, True),
    ]
    (problem,) = found["problems"]
    assert (problem["line"], problem["object"], problem["field"]) == (13, "HTTPRoute default/shop", "spec.parentRef")


@pytest.mark.parametrize(
    ("part", "message", "field"),
    [
        ("", "spec.rules[0].backendRefs[1]: Service default/a does not exist", ("spec", "rules", 0, "backendRefs", 1)),
        ("", "Dropped Rule 2: matches[0].path.value: RE2 refuses it", ("spec", "rules", 2, "matches", 0, "path", "value")),
        ("", "nothing is named", ()),
    ],
)
def test_the_field_is_read_from_the_message(part: str, message: str, field: tuple[str | int, ...], files: Files) -> None:
    """Messages name fields as the API does; where none is named the object's own line is shown."""
    files.judged(GATEWAY)
    (gateway,) = check(RunOptions((files.folder,))).objects()
    assert field_in(gateway, part, message) == field


def test_a_policy_that_is_not_understood_is_a_fault(files: Files) -> None:
    """What is wrong with an AuthorizationPolicy is shown with its line, and makes the verdict bad, though the policy holds all the same."""
    policy = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  rules:\n"
        "  - from:\n    - source: {ipBlocks: [here]}\n"
    )
    good, lines = files.judged(policy, GATEWAY)
    assert not good
    assert "fault   AuthorizationPolicy default/p  all.yaml:1\n" in lines
    assert "all.yaml:7 Invalid: what cannot be read of it allows nothing: spec.rules[0].from[0].source.ipBlocks[0]: 'here' is no" in lines
