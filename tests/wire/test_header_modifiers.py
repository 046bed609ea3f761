"""RequestHeaderModifier and ResponseHeaderModifier, on rules and on backendRefs (HTTPHeaderFilter)."""

from __future__ import annotations

from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing

pytestmark = every_pairing


def test_set_replaces_and_adds(serve: Serve) -> None:
    """`set` replaces every field of the name, whatever its case, and adds it where it is absent (HTTPRouteRequestHeaderModifier)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: X-Header-Set, value: new}]}
  backendRefs: [{name: blue, port: 80}]
""")
    assert site.ask(headers=[("x-header-set", "old"), ("X-HEADER-SET", "older")]).request.values("x-header-set") == ["new"]
    assert site.ask().request.values("x-header-set") == ["new"]


def test_add_appends_to_what_is_there(serve: Serve) -> None:
    """`add` joins a present value with a comma, and adds the field where it is absent (HTTPRouteRequestHeaderModifier)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {add: [{name: X-Header-Add, value: two}]}
  backendRefs: [{name: blue, port: 80}]
""")
    assert site.ask(headers=[("X-Header-Add", "one")]).request.values("x-header-add") == ["one,two"]
    assert site.ask().request.values("x-header-add") == ["two"]


def test_remove_takes_every_field_of_the_name(serve: Serve) -> None:
    """`remove` takes all fields of the name, whatever their case, and leaves others (HTTPRouteRequestHeaderModifier)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {remove: [x-header-remove]}
  backendRefs: [{name: blue, port: 80}]
""")
    request = site.ask(headers=[("X-Header-Remove", "a"), ("x-HEADER-remove", "b"), ("X-Kept", "c")]).request
    assert request.values("x-header-remove") == []
    assert request.value("x-kept") == "c"


def test_set_add_and_remove_in_one_filter(serve: Serve) -> None:
    """One filter may do all three (HTTPRouteRequestHeaderModifier)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier:
      set: [{name: a, value: "1"}]
      add: [{name: b, value: "2"}]
      remove: [c]
  backendRefs: [{name: blue, port: 80}]
""")
    request = site.ask(headers=[("A", "x"), ("B", "y"), ("C", "z")]).request
    assert (request.values("a"), request.values("b"), request.values("c")) == (["1"], ["y,2"], [])


def test_setting_host_changes_what_the_backend_is_asked_for(serve: Serve) -> None:
    """`set` of Host replaces the authority, and the request keeps exactly one Host."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: Host, value: inner.example}]}
  backendRefs: [{name: blue, port: 80}]
""")
    assert site.ask().request.values("host") == ["inner.example"]


def test_the_forwarded_fields_of_the_proxy_can_be_edited(serve: Serve) -> None:
    """What the proxy adds itself is an ordinary field to the rule's filters (RequestHeaderModifier)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {remove: [x-request-id, x-forwarded-for], set: [{name: x-forwarded-proto, value: https}]}
  backendRefs: [{name: blue, port: 80}]
""")
    request = site.ask().request
    assert (request.value("x-request-id"), request.value("x-forwarded-for"), request.value("x-forwarded-proto")) == (None, None, "https")


def test_filters_of_a_rule_do_not_touch_other_rules(serve: Serve) -> None:
    """Filters belong to their rule, also on one kept-alive connection."""
    site = serve("""
- matches: [{path: {value: /edited}}]
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: a, value: edited}]}
  backendRefs: [{name: blue, port: 80}]
- backendRefs: [{name: blue, port: 80}]
""")
    assert site.ask("/edited", headers=[("a", "sent")]).request.value("a") == "edited"
    assert site.ask("/", headers=[("a", "sent")]).request.value("a") == "sent"


def test_response_headers_are_edited(serve: Serve, blue: Echo) -> None:
    """set, add and remove work on the backend's response alike, names without case (HTTPRouteResponseHeaderModifier)."""
    site = serve("""
- filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier:
      set: [{name: X-Header-Set, value: new}]
      add: [{name: X-Header-Add, value: two}, {name: x-new, value: three}]
      remove: [x-header-remove]
  backendRefs: [{name: blue, port: 80}]
""")
    blue.plan(Planned(200, ("x-header-set", "old"), ("X-HEADER-ADD", "one"), ("x-Header-Remove", "gone"), ("x-kept", "kept")))
    headers = site.ask().headers
    assert headers.get_list("x-header-set") == ["new"]
    assert headers.get_list("x-header-add") == ["one,two"]
    assert headers.get_list("x-new") == ["three"]
    assert "x-header-remove" not in headers
    assert headers["x-kept"] == "kept"


def test_added_set_cookie_is_a_field_of_its_own(serve: Serve, blue: Echo) -> None:
    """Set-Cookie fields are never joined (RFC 6265 3)."""
    site = serve("""
- filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier: {add: [{name: Set-Cookie, value: c=d}]}
  backendRefs: [{name: blue, port: 80}]
""")
    blue.plan(Planned(200, ("set-cookie", "a=b")))
    assert site.ask().headers.get_list("set-cookie") == ["a=b", "c=d"]


def test_request_filters_of_a_backend_follow_the_choice(serve: Serve) -> None:
    """A filter on a backendRef touches only requests that this backend gets (HTTPRouteRequestHeaderModifierBackendWeights)."""
    site = serve("""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: all, value: "yes"}]}
  backendRefs:
  - name: blue
    port: 80
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: for, value: blue}], add: [{name: all, value: blue}]}
  - name: green
    port: 80
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: for, value: green}], remove: [all]}
""")
    answers = [site.ask() for _ in range(100)]
    assert {answer.backend for answer in answers} == {"blue", "green"}
    for answer in answers:
        assert answer.request.value("for") == answer.backend
        assert answer.request.value("all") == ("yes,blue" if answer.backend == "blue" else None)


def test_response_filters_of_a_backend_run_before_those_of_the_rule(serve: Serve) -> None:
    """The way back is the way there turned round: the backendRef's edits first, then the rule's, which have the last word."""
    site = serve("""
- filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier: {add: [{name: a, value: rule}], set: [{name: b, value: rule}]}
  backendRefs:
  - name: blue
    port: 80
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: a, value: backend}, {name: b, value: backend}]}
""")
    headers = site.ask().headers
    assert (headers["a"], headers["b"]) == ("backend,rule", "rule")


def test_a_head_request_gets_edited_headers_too(serve: Serve) -> None:
    """Responses without a body are edited like others (ResponseHeaderModifier, RFC 9110 9.3.2)."""
    site = serve("""
- filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier: {set: [{name: a, value: b}]}
  backendRefs: [{name: blue, port: 80}]
""")
    answer = site.ask(method="HEAD")
    assert (answer.headers["a"], answer.body) == ("b", b"")


def test_an_extension_that_does_not_exist_answers_500(serve: Serve) -> None:
    """A filter that cannot be resolved is never skipped: 500 (HTTPRouteFilter.extensionRef)."""
    site = serve("""
- filters:
  - type: ExtensionRef
    extensionRef: {group: example.com, kind: Magic, name: wand}
  backendRefs: [{name: blue, port: 80}]
""")
    answer = site.ask()
    assert (answer.status, answer.backend) == (500, None)
    assert "Magic" in (answer.reason or "")
