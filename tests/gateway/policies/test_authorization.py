"""Authorization policies as pure values: every field of a rule, what comes before what, and what may never allow more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import RequestHead
from gateway.ir.policy import Action, AttributeMatch, AuthorizationPolicy, AuthorizationRule, OperationMatch, SourceMatch
from gateway.ir.value import Source
from gateway.policies.authorization import Authorizations, closed, fault_of
from gateway.policies.caller import NO_REQUEST, Asked, Caller, principal_of

BILLING = b"cluster.local/ns/team/sa/billing"
CALLER = Caller(BILLING, b"team", b"10.0.0.7", b"192.0.2.1", b"shop.test")
CLAIMS = {
    "iss": "https://issuer.test", "sub": "alice", "aud": ["shop", "cart"], "azp": "app", "scope": "read write",
    "realm": {"roles": ["admin"]}, "level": 3, "vip": True,
}  # fmt: skip


def request(path: bytes = b"/shop/1", method: bytes = b"GET", host: bytes = b"shop.test", *fields: tuple[bytes, bytes]) -> RequestHead:
    head = RequestHead(method, path, None, host + b":8080", host)
    head.fields = list(fields)
    return head


def asked(head: RequestHead | None = None, claims: dict[str, Any] | None = CLAIMS, caller: Caller = CALLER) -> Asked:
    return Asked(caller, b"2001:db8::7", 443, head or request(), claims)


def policy(action: Action, *rules: AuthorizationRule, name: str = "p") -> AuthorizationPolicy:
    return AuthorizationPolicy(f"default/{name}", Source("AuthorizationPolicy", "default", name), ("default/web",), action, rules)


def rule(
    source: SourceMatch | None = None, operation: OperationMatch | None = None, *conditions: AttributeMatch, name: str = "0"
) -> AuthorizationRule:
    return AuthorizationRule(name, (source,) if source else (), (operation,) if operation else (), conditions)


def allows(*policies: AuthorizationPolicy, of: Asked | None = None, streams: bool = False) -> bool:
    return not Authorizations(policies, streams=streams).judge(of or asked()).reason


def matches(one: AuthorizationRule, of: Asked | None = None) -> bool:
    """Whether a rule matches, and both actions and the words of `explain` agree on it."""
    allowed, denied = allows(policy("ALLOW", one), of=of), not allows(policy("DENY", one), of=of)
    (considered,) = Authorizations([policy("ALLOW", one)], streams=False).considered(of or asked())
    assert allowed == denied == considered.matched
    return allowed


@pytest.mark.parametrize(
    ("field", "hit", "miss"),
    [
        ("principals", BILLING.decode(), "cluster.local/ns/team/sa/other"),
        ("principals", "cluster.local/ns/team/*", "cluster.local/ns/tea/*"),
        ("principals", "*/ns/team/sa/billing", "*/sa/other"),
        ("principals", "*", "CLUSTER.LOCAL/*"),
        ("namespaces", "team", "tea"),
        ("namespaces", "te*", "desk"),
        ("ip_blocks", "10.0.0.0/24", "10.0.1.0/24"),
        ("ip_blocks", "10.0.0.7/32", "2001:db8::/32"),
        ("remote_ip_blocks", "2001:db8::/32", "10.0.0.7/32"),
        ("request_principals", "https://issuer.test/alice", "https://issuer.test/bob"),
        ("request_principals", "https://issuer.test/*", "https://other.test/*"),
        ("request_principals", "*", "alice"),
    ],
)
def test_sources(field: str, hit: str, miss: str) -> None:
    """Each field of a source, with one value that holds and one that does not, and its negation (Source)."""
    for value, holds in ((hit, True), (miss, False)):
        assert matches(rule(SourceMatch(**{field: (value,)}))) == holds
        assert matches(rule(SourceMatch(**{f"not_{field}": (value,)}))) != holds
        assert matches(rule(SourceMatch(**{field: (hit, miss)})))


@pytest.mark.parametrize(
    ("field", "hit", "miss"),
    [
        ("hosts", "shop.test", "test"),
        ("hosts", "*.test", "*.shop.test"),
        ("hosts", "shop.test:8080", "shop.test:80"),
        ("ports", 443, 80),
        ("methods", "GET", "get"),
        ("methods", "*", "POST"),
        ("paths", "/shop/1", "/shop"),
        ("paths", "/shop*", "/shops*"),
        ("paths", "*/1", "*/2"),
        ("paths", "/shop/{*}", "/{*}"),
        ("paths", "/shop/{**}", "/{*}/{*}/{**}"),
        ("paths", "/{**}/1", "/{*}/2"),
        ("paths", "//shop//1", "/shop/1/"),
        ("paths", "/%73hop/1", "/shop%2F1"),
    ],
)
def test_operations(field: str, hit: Any, miss: Any) -> None:
    """Each field of an operation; hosts with their port or without, paths in the form that requests are brought to (Operation)."""
    for value, holds in ((hit, True), (miss, False)):
        assert matches(rule(None, OperationMatch(**{field: (value,)}))) == holds
        assert matches(rule(None, OperationMatch(**{f"not_{field}": (value,)}))) != holds


@pytest.mark.parametrize(
    ("attribute", "names", "hit", "miss"),
    [
        ("source.ip", (), "10.0.0.0/8", "11.0.0.0/8"),
        ("remote.ip", (), "2001:db8::7/128", "10.0.0.7/32"),
        ("source.namespace", (), "team", "desk"),
        ("source.principal", (), "*/sa/billing", "billing"),
        ("request.auth.principal", (), "*/alice", "alice"),
        ("request.auth.audiences", (), "cart", "car"),
        ("request.auth.presenter", (), "app", "ap"),
        ("request.auth.claims", ("realm", "roles"), "admin", "root"),
        ("request.auth.claims", ("scope",), "write", "read write"),
        ("request.auth.claims", ("level",), "3", "4"),
        ("request.auth.claims", ("vip",), "true", "True"),
        ("destination.ip", (), "192.0.2.0/24", "192.0.3.0/24"),
        ("destination.port", (), "443", "80"),
        ("connection.sni", (), "shop.*", "*.shop.test"),
    ],
)
def test_conditions(attribute: Any, names: tuple[str, ...], hit: str, miss: str) -> None:
    """Each attribute with `values` and `notValues`, both of which must hold (Condition)."""
    for value, holds in ((hit, True), (miss, False)):
        assert matches(rule(None, None, AttributeMatch(attribute, names, (value,)))) == holds
        assert matches(rule(None, None, AttributeMatch(attribute, names, (), (value,)))) != holds
    assert not matches(rule(None, None, AttributeMatch(attribute, names, (hit,), (hit,))))


def test_what_is_not_there_has_no_value() -> None:
    """Without identity, token or field nothing that asks for one holds, not even '*'; what asks for none does."""
    nobody = asked(claims=None, caller=Caller(address=b"10.0.0.7"))
    for field in ("principals", "namespaces", "request_principals"):
        assert not matches(rule(SourceMatch(**{field: ("*",)})), nobody)
        assert matches(rule(SourceMatch(**{f"not_{field}": ("*",)})), nobody)
    for attribute, names in (("request.auth.claims", ("sub",)), ("request.auth.audiences", ()), ("connection.sni", ())):
        assert not matches(rule(None, None, AttributeMatch(attribute, names, ("*",))), nobody)  # type: ignore[arg-type]
    assert not matches(rule(None, None, AttributeMatch("request.headers", ("x-team",), ("*",))), nobody)
    assert matches(rule(None, None, AttributeMatch("request.headers", ("x-team",), (), ("*",))), nobody)


@pytest.mark.parametrize(
    ("values", "denied", "allowed"),
    [
        ((b"blue",), True, True),
        ((b"red",), False, False),
        ((b"red", b"blue"), True, False),
        ((b"blue", b"blue"), True, True),
        ((), False, False),
    ],
)
def test_a_repeated_field_gets_around_nothing(values: tuple[bytes, ...], denied: bool, allowed: bool) -> None:
    """Denied if one of the values of a field matches, allowed only if all do; the other way round for notValues."""
    of = asked(request(b"/", b"GET", b"shop.test", *[(b"X-Team", value) for value in values]))
    one, none = (AttributeMatch("request.headers", ("x-team",), *sides) for sides in ((("blue",),), ((), ("blue",))))
    assert allows(policy("DENY", rule(None, None, one)), of=of) != denied
    assert allows(policy("ALLOW", rule(None, None, one)), of=of) == allowed
    assert allows(policy("ALLOW", rule(None, None, none)), of=of) != denied
    assert allows(policy("DENY", rule(None, None, none)), of=of) == allowed


def test_a_part_of_a_rule_has_alternatives() -> None:
    """One source, one operation and all conditions must hold."""
    good, bad = SourceMatch(namespaces=("team",)), SourceMatch(namespaces=("desk",))
    get, post = OperationMatch(methods=("GET",)), OperationMatch(methods=("POST",))
    assert matches(AuthorizationRule("0", (bad, good), (post, get)))
    assert not matches(AuthorizationRule("0", (bad, bad), (get,)))
    assert not matches(AuthorizationRule("0", (good,), (post,)))
    assert not matches(AuthorizationRule("0", (SourceMatch(namespaces=("team",), ip_blocks=("11.0.0.0/8",)),)))
    assert matches(AuthorizationRule("0"))


def test_without_policies_of_allow_what_no_policy_denies_passes() -> None:
    """Istio, "Implicit enablement": no policy, or DENY alone, allows the rest; an ALLOW policy without rules allows nothing."""
    hit, miss = rule(None, OperationMatch(methods=("GET",))), rule(None, OperationMatch(methods=("POST",)))
    assert allows()
    assert allows(policy("DENY", miss))
    assert allows(policy("DENY"))
    assert not allows(policy("ALLOW"))
    assert not allows(policy("ALLOW", miss))
    assert allows(policy("ALLOW", miss, name="a"), policy("ALLOW", hit, name="b"))
    assert not allows(policy("ALLOW", hit, name="a"), policy("DENY", hit, name="b"))
    assert allows(policy("AUDIT", hit))


def test_a_denial_names_policy_and_rule() -> None:
    """And an audited request the policies that mark it, denied or not."""
    audit = policy("AUDIT", rule(name="0"), name="a")
    elsewhere = rule(None, None, AttributeMatch("source.ip", (), ("11.0.0.0/8",)))
    verdict = Authorizations([policy("DENY", elsewhere, rule(name="1")), audit], streams=False)
    assert verdict.judge(asked()) == ("denied by AuthorizationPolicy default/p, rule 1", "default/p", "default/a rule 0")
    unmatched = Authorizations([policy("ALLOW", name="b"), policy("ALLOW", name="a"), audit], streams=False)
    assert unmatched.judge(asked()) == ("no AuthorizationPolicy allows it; there is default/a, default/b", "", "default/a rule 0")


def test_what_does_not_match_is_said_in_words() -> None:
    """The first part of each rule that does not hold, and in it the first field of each alternative."""
    rules = (
        AuthorizationRule("0", (SourceMatch(namespaces=("desk",)), SourceMatch(principals=("x",))), (OperationMatch(methods=("GET",)),)),
        rule(SourceMatch(namespaces=("team",)), OperationMatch(methods=("GET",), not_paths=("/shop*",)), name="1"),
        rule(None, None, AttributeMatch("request.auth.claims", ("realm", "roles"), ("root",)), name="2"),
    )
    (considered,) = Authorizations([policy("DENY", *rules)], streams=False).considered(asked())
    assert considered == (
        "default/p", "DENY",
        "rule 0: namespaces and principals does not match; rule 1: not paths does not match;"
        " rule 2: request.auth.claims[realm][roles] does not match", False,
    )  # fmt: skip


STREAM = Asked(CALLER, b"10.0.0.7", 5432)
OF_HTTP = [
    rule(SourceMatch(request_principals=("*",))),
    rule(None, OperationMatch(methods=("GET",))),
    rule(None, OperationMatch(not_paths=("/x",))),
    rule(None, OperationMatch(hosts=("*",))),
    rule(None, None, AttributeMatch("request.headers", ("x",), (), ("1",))),
    rule(None, None, AttributeMatch("request.auth.claims", ("x",), (), ("1",))),
]


@pytest.mark.parametrize("one", OF_HTTP)
def test_fields_of_http_on_streams(one: AuthorizationRule) -> None:
    """On what is no request a rule with fields of HTTP never allows, whatever else it has to choose from, and denies without them (Istio,
    "Using Istio authorization on plain TCP protocols"; its rules of ALLOW are left out as a whole)."""
    assert not allows(policy("ALLOW", one), of=STREAM, streams=True)
    assert not allows(policy("DENY", one), of=STREAM, streams=True)
    other = AuthorizationRule(
        "0", (*one.sources, SourceMatch(namespaces=("team",))), (*one.operations, OperationMatch(ports=(5432,))), one.conditions
    )
    assert not allows(policy("ALLOW", other), of=STREAM, streams=True)
    assert not allows(policy("DENY", other), of=STREAM, streams=True)
    narrowed = AuthorizationRule("0", one.sources, one.operations, (*one.conditions, AttributeMatch("source.ip", (), ("11.0.0.0/8",))))
    assert allows(policy("DENY", narrowed), of=STREAM, streams=True)


def test_the_rest_holds_on_streams() -> None:
    """Identity, addresses, ports and the server name."""
    one = rule(
        SourceMatch(principals=("*/sa/billing",), namespaces=("team",), ip_blocks=("10.0.0.0/8",), remote_ip_blocks=("10.0.0.0/8",)),
        OperationMatch(ports=(5432,)),
        AttributeMatch("connection.sni", (), ("shop.test",)), AttributeMatch("destination.ip", (), ("192.0.2.1/32",)),
    )  # fmt: skip
    assert allows(policy("ALLOW", one), of=STREAM, streams=True)
    assert not allows(policy("ALLOW", one), of=STREAM._replace(port=5433), streams=True)


def test_a_policy_that_cannot_be_built_denies_everything() -> None:
    """What takes its place, and why."""
    bad = policy("ALLOW", rule(SourceMatch(ip_blocks=("here",))))
    assert "here" in fault_of(bad)
    assert fault_of(policy("ALLOW", rule())) == ""
    assert not allows(closed(bad), policy("ALLOW", rule(), name="a"))


@pytest.mark.parametrize(
    ("uris", "principal", "namespace"),
    [
        (("spiffe://cluster.local/ns/team/sa/billing",), BILLING, b"team"),
        (("spiffe://cluster.local/workload",), b"cluster.local/workload", b""),
        (("spiffe://cluster.local/ns/team/sa/billing", "spiffe://cluster.local/ns/team/sa/other"), b"", b""),
        (("https://cluster.local/ns/team/sa/billing",), b"", b""),
        (("spiffe://cluster.local",), b"", b""),
        (("spiffe://cluster.local/ns/team/sa/billing\0.evil",), b"", b""),
        (("spiffe://Cluster.local/ns/team/sa/billing\n",), b"", b""),
        ((f"spiffe://cluster.local/{'a' * 2048}",), b"", b""),
        ((), b"", b""),
    ],
)
def test_principals(uris: tuple[str, ...], principal: bytes, namespace: bytes) -> None:
    """Exactly one URI, which is a SPIFFE ID, is an identity (X509-SVID 2); anything else is none."""
    assert principal_of(uris) == (principal, namespace)


def test_a_long_path_costs_little() -> None:
    """A template is no expression with which a path could take its time: 60 KiB of segments take no longer than to read them."""
    one = rule(None, OperationMatch(paths=("/{*}/{*}/{**}/end", "/a/{**}")))
    assert not matches(one, asked(request(b"/b" * 30_000)))


# properties

VALUES = st.sampled_from(["team", "desk", "te*", "*k", "*"])
SOURCES = st.builds(
    SourceMatch, namespaces=st.lists(VALUES, max_size=2).map(tuple), not_namespaces=st.lists(VALUES, max_size=1).map(tuple),
    ip_blocks=st.lists(st.sampled_from(["10.0.0.0/8", "10.0.0.7/32", "11.0.0.0/8"]), max_size=1).map(tuple),
)  # fmt: skip
OPERATIONS = st.builds(
    OperationMatch, methods=st.lists(st.sampled_from(["GET", "POST", "*"]), max_size=1).map(tuple),
    paths=st.lists(st.sampled_from(["/shop/1", "/shop*", "/{*}/1", "/x"]), max_size=2).map(tuple),
)  # fmt: skip
CONDITIONS = st.builds(
    AttributeMatch, st.just("request.headers"), st.just(("x-team",)), st.lists(st.sampled_from(["blue", "*"]), max_size=1).map(tuple),
    st.lists(st.sampled_from(["blue", "red*"]), max_size=1).map(tuple),
)  # fmt: skip
RULES = st.builds(
    AuthorizationRule, st.just("0"), st.lists(SOURCES, max_size=2).map(tuple), st.lists(OPERATIONS, max_size=2).map(tuple),
    st.lists(CONDITIONS, max_size=1).map(tuple),
)  # fmt: skip
LISTS = st.lists(RULES, max_size=2)
ASKED = st.builds(
    lambda namespace, path, method, teams: asked(
        request(path, method, b"shop.test", *[(b"x-team", team) for team in teams]), caller=CALLER._replace(namespace=namespace)
    ),
    st.sampled_from([b"team", b"desk", b""]), st.sampled_from([b"/shop/1", b"/shop", b"/x", b"/y/1"]), st.sampled_from([b"GET", b"POST"]),
    st.lists(st.sampled_from([b"blue", b"red", b"redder"]), max_size=2),
)  # fmt: skip


@given(LISTS, LISTS, LISTS, ASKED, st.booleans())
def test_deny_dominates(denying: Any, allowing: Any, others: Any, of: Asked, streams: bool) -> None:
    """What a DENY policy denies alone is denied whatever else there is."""
    of = of._replace(head=NO_REQUEST) if streams else of
    alone = allows(policy("DENY", *denying), of=of, streams=streams)
    together = allows(
        policy("DENY", *denying), policy("ALLOW", *allowing, name="a"), policy("AUDIT", *others, name="b"), of=of, streams=streams
    )
    assert alone or not together


@given(LISTS, LISTS, LISTS, ASKED)
def test_one_more_policy_allows_no_more_than_it_says(denying: Any, before: Any, added: Any, of: Asked) -> None:
    """An ALLOW policy more lets nothing pass but what its own rules match, or passed before; a DENY policy more lets nothing more pass."""
    held = [policy("DENY", *denying, name="d"), policy("ALLOW", *before, name="a")]
    passed = allows(*held, of=of)
    if allows(*held, policy("ALLOW", *added), of=of) and not passed:
        assert allows(policy("ALLOW", *added), of=of)
    assert passed or not allows(*held, policy("DENY", *added), of=of)
    assert passed == allows(*held, policy("AUDIT", *added), of=of)


@given(RULES, ASKED)
def test_a_rule_that_allows_is_never_wider_than_one_that_denies(one: AuthorizationRule, of: Asked) -> None:
    """Where the two differ, for fields that come twice, the stricter reading holds for each."""
    if allows(policy("ALLOW", one), of=of):
        assert not allows(policy("DENY", one), of=of)


@given(LISTS, ASKED)
def test_explain_and_verdict_agree(rules: Any, of: Asked) -> None:
    """What is said of each policy is what decides."""
    policies = [policy("ALLOW", *rules, name="a"), policy("DENY", *rules, name="d")]
    merged = Authorizations(policies, streams=False)
    matched = {each.action: each.matched for each in merged.considered(of)}
    assert (not merged.judge(of).reason) == (matched["ALLOW"] and not matched["DENY"])
