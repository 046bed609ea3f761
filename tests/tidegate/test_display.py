"""What `tidegate run` shows, as plain lines: first everything, then what changes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from controller.sources.files import FileSource
from controller.sources.problems import Problem
from controller.status import Live, programmed
from controller.store import Key
from controller.translate.options import Options
from controller.translate.statuses import Status
from controller.translator import Translator
from gateway.ir.listener import Listener
from gateway.net.sockets import BindError
from tidegate.display import MOST_LINES, Display
from tidegate.show import Configuration

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
"""

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example]
  rules: [{matches: [{path: {value: /NAME}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}]
---
"""

SERVICE_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: shop, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}]}
---
"""


class Stage:
    """Files, what they mean, and a display of it."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / "all.yaml"
        self.stream = io.StringIO()
        self.display = Display(self.stream)
        self._translator = Translator(Options(port_offset=8000))
        self._source = FileSource([folder])
        self.statuses: dict[Key, Status] = {}
        self.write(text)

    def write(self, text: str) -> tuple[tuple[Status, ...], tuple[Key, ...]]:
        self.file.write_text(text)
        change = self._source.read()
        translation = self._translator.apply(change.puts, change.removes)
        changed = tuple(programmed(status, Live()) for status in translation.statuses)
        self.statuses |= {status.object: status for status in changed}
        return changed, translation.gone

    def configuration(self, failures: Mapping[str, BindError] = MappingProxyType({})) -> Configuration:
        resources = self._translator.resources()
        bound = {resource.key: resource for resource in resources.values() if isinstance(resource, Listener)}
        return Configuration(
            self.statuses, resources, bound, failures, self._translator.ignored, self._source.place, ("127.0.0.1", 15000)
        )  # fmt: skip

    def taken(self) -> str:
        """The lines since the last call."""
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text.replace(f"{self.file.parent}/", "")


def test_the_first_state_shows_where_everything_is_reached(tmp_path: Path) -> None:
    """Issue 3: what it listens on, each Gateway and route with its state and URL."""
    stage = Stage(tmp_path, GATEWAY + ROUTE.replace("NAME", "old"))
    stage.display.state(stage.configuration())
    stage.display.listening(stage.configuration())
    assert stage.taken() == (
        "        admin at http://127.0.0.1:15000\n"
        "        listening on 127.0.0.1:8080 for port 80: http://127.0.0.1:8080, listener http of Gateway default/web\n"
        "ok      Gateway default/web: programmed, http with 1 route\n"
        "ok      HTTPRoute default/old: attached to Gateway web\n"
        "          http://shop.example:8080/old\n"
    )


def test_changes_are_shown_as_they_happen(tmp_path: Path) -> None:
    """Issue 3: afterwards only what is new, differs or went."""
    stage = Stage(tmp_path, GATEWAY + ROUTE.replace("NAME", "old"))
    stage.display.state(stage.configuration())
    stage.taken()
    stage.display.changed(*stage.write(GATEWAY + ROUTE.replace("NAME", "new")))
    assert stage.taken() == (
        "ok      HTTPRoute default/new: attached to Gateway web\n          http://shop.example:8080/new\ngone    HTTPRoute default/old\n"
    )


def test_a_fault_is_shown_with_file_and_line(tmp_path: Path) -> None:
    """Design 8: what is wrong, where, and why."""
    stage = Stage(tmp_path, GATEWAY + SERVICE_ROUTE.replace("{name: shop}\nspec: {ports", "{name: other}\nspec: {ports"))
    stage.display.state(stage.configuration())
    expected = (
        "fault   HTTPRoute default/shop (all.yaml:8)\n"
        "          Gateway web: ResolvedRefs False (BackendNotFound): spec.rules[0].backendRefs[0]: Service default/shop does not exist\n"
    )
    assert expected in stage.taken()


def test_a_service_without_endpoint_is_told(tmp_path: Path) -> None:
    """Issue 3, bad input: requests get 503 although every condition is fine."""
    stage = Stage(tmp_path, GATEWAY + SERVICE_ROUTE)
    stage.display.state(stage.configuration())
    expected = "note    Service default/shop (all.yaml:13)\n          port 80 has no endpoint: requests get 503; add an EndpointSlice"
    assert expected in stage.taken()


def test_streams_are_shown_with_where_they_are_reached(tmp_path: Path) -> None:
    """Listeners and routes of TCP and UDP have addresses of the same form as those of HTTP."""
    gateway = GATEWAY.replace("http, port: 80, protocol: HTTP", "dns, port: 53, protocol: UDP")
    route = SERVICE_ROUTE.replace("HTTPRoute", "UDPRoute").replace("{port: 80}", "{port: 80, protocol: UDP}")
    stage = Stage(tmp_path, gateway + route)
    stage.display.state(stage.configuration())
    shown = stage.taken()
    assert "listening on 127.0.0.1:8053 for port 53: udp://127.0.0.1:8053, listener dns of Gateway default/web\n" in shown
    assert "ok      UDPRoute default/shop: attached to Gateway web\n          udp://127.0.0.1:8053\n" in shown
    assert "          port 80 has no endpoint: datagrams are dropped; add an EndpointSlice" in shown


def test_what_is_ignored_is_listed(tmp_path: Path) -> None:
    """Issue 3: Gateways of others are listed as ignored, and without any Gateway that is said."""
    stage = Stage(tmp_path, GATEWAY.replace("gatewayClassName: tidegate", "gatewayClassName: other"))
    stage.display.state(stage.configuration())
    shown = stage.taken()
    assert "ignored Gateway default/web: there is no GatewayClass other" in shown
    assert "problem there is no Gateway to serve" in shown


def test_listeners_come_and_go(tmp_path: Path) -> None:
    """What was bound, what could not be and what was let go, each told once."""
    stage = Stage(tmp_path, GATEWAY)
    failure = BindError("127.0.0.1", 8080, "the port is in use", "choose another port")
    stage.display.listening(stage.configuration())
    stage.taken()
    stage.display.listening(stage.configuration())
    assert not stage.taken()
    stage.display.listening(stage.configuration({"default/web/tls": failure}))
    told = "problem listener default/web/tls: cannot listen on 127.0.0.1:8080: the port is in use; choose another port\n"
    assert stage.taken() == told
    stage.write("")
    stage.display.listening(stage.configuration())
    assert stage.taken().startswith("        no longer listening on 127.0.0.1:8080")


def test_a_burst_is_cut_short(tmp_path: Path) -> None:
    """Thousands of routes do not flood a terminal; how many there are besides is said."""
    names = [f"route-{number:02}" for number in range(MOST_LINES + 5)]
    stage = Stage(tmp_path, GATEWAY + "".join(ROUTE.replace("NAME", name) for name in names))
    stage.display.state(stage.configuration())
    shown = stage.taken()
    assert shown.count("HTTPRoute") == MOST_LINES - 1
    assert shown.endswith("        and 6 more, see `tidegate status`\n")


def test_problems_come_and_are_solved() -> None:
    """A problem is shown with its remedy, and named again when it is gone."""
    stream = io.StringIO()
    display = Display(stream)
    problem = Problem("a.yaml", 3, "HTTPRoute default/a", "spec.parentRef", "the field is not known here", "Did you mean parentRefs?")
    display.problem(problem)
    display.solved(problem)
    display.message("SIGTERM: draining")
    assert stream.getvalue() == (
        "problem a.yaml:3: HTTPRoute default/a: spec.parentRef: the field is not known here. Did you mean parentRefs?\n"
        "solved  a.yaml:3: HTTPRoute default/a: spec.parentRef: the field is not known here\n"
        "        SIGTERM: draining\n"
    )


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_left_ends_nothing() -> None:
    """Show must not raise: a closed terminal or pipe does not stop serving."""
    display = Display(Gone())
    display.message("still here")
