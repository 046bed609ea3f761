"""What would happen to a connection that is passed on, or to a UDP datagram: the decisions of gateway/relay in their order.

They are asked for as `CONNECT tcp://HOST:PORT`, `tls://SERVERNAME:PORT` and `udp://HOST:PORT`. The client's address is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from gateway.descriptors import Place
from gateway.explain.captured import Captures, find_captured, notes_of, proving, toward, turned_away, whither
from gateway.explain.endpoints import balancing_of, reachable
from gateway.explain.explanation import Asked, Considered, Explanation, Listening, Portion, Taken
from gateway.explain.policies import Selections, caller_in, judge_stream, port_in
from gateway.explain.ports import find_port, hostnames, open_ports, why_listener
from gateway.explain.question import Argument, StreamQuestion
from gateway.explain.words import CLIENT_CERTIFICATE, greeting_in_words, time_in_words
from gateway.net.sockets import readable
from gateway.policies.authorization import FLAG
from gateway.proxy.core import Core
from gateway.proxy.port import LiveListener, Port, passes_tls, terminates
from gateway.relay.rule import NO_ROUTE, NO_WEIGHT, LiveStreamRule, StreamShare
from gateway.upstream.backend import Backend

_TAKES: Final = {"UDP": "any datagram"} | dict.fromkeys(("TCP", "TLS", "Detect", "HTTP"), "any connection")
"""What the rules of a listener take, by its protocol; those of TLS by server name. A captured one of HTTP passes on what is TLS."""


def explain_stream(
    core: Core, ports: Mapping[Place, Port], captures: Captures, question: StreamQuestion, selections: Selections
) -> Explanation:
    """Ends early, with `closed`, where nothing is passed on."""
    explaining = _Explaining(core, question, selections)
    explaining.run(ports, captures)
    return explaining.said


class _Explaining:
    """One connection, or flow, on its way; `said` is what has been decided so far."""

    __slots__ = ("_core", "_question", "_selections", "said")

    def __init__(self, core: Core, question: StreamQuestion, selections: Selections) -> None:
        self._core, self._question, self._selections = core, question, selections
        asked = question.argument
        self.said = Explanation(Asked(asked.method, asked.url), question.host.decode("ascii"))

    def _say(self, **fields: Any) -> None:
        self.said = msgspec.structs.replace(self.said, **fields)

    def run(self, ports: Mapping[Place, Port], captures: Captures) -> None:
        found = self._find(ports, captures)
        if isinstance(found, str):
            self._say(closed=found)
            return
        port, why = found
        listener = self._listener(port)
        if listener is not None:
            self._listening(port, listener, why)
            asked = self._question.argument
            refusal = turned_away(listener, asked, tls=self._question.scheme == "tls")
            if refusal:
                self._say(closed=refusal)
                return
            caller = caller_in(self._proven(listener), port, self._server_name(port, listener))
            judged, denied = judge_stream(listener, caller, port_in(asked, listener))
            self._say(policies=judged, notes=(*self.said.notes, *self._selections(listener)))
            if denied:
                self._say(closed=f"{denied} [{FLAG}]")
            else:
                self._route(listener)

    def _proven(self, listener: LiveListener) -> Argument:
        asked, notes = proving(listener, self._question.argument, tls=self._question.scheme == "tls")
        self._say(notes=(*self.said.notes, *notes))
        return asked

    def _server_name(self, port: Port, listener: LiveListener) -> bytes:
        """What is known of it: where nobody looks for TLS it goes unseen."""
        return self._question.server_name if port.kind == "tls" or listener.contexts is not None else b""

    def _find(self, ports: Mapping[Place, Port], captures: Captures) -> tuple[Port, str] | str:
        """The port, and why it is that one; else why there is none."""
        question = self._question
        asked = toward(captures, question.argument, question.host, question.port)
        if asked.destination is not None:
            if question.scheme == "udp":
                return "datagrams are not captured"
            self._question = msgspec.structs.replace(question, argument=asked)
            return find_captured(self._core, captures, asked, "tcp")
        found = find_port(ports, question.host, question.port, "udp" if question.scheme == "udp" else "tcp")
        transport = " of UDP" if question.scheme == "udp" else ""
        return found or f"nothing listens on port {question.port}{transport}; {open_ports(ports)}"

    def _listener(self, port: Port) -> LiveListener | None:
        """None where another protocol is spoken, which `closed` says then."""
        scheme, name = self._question.scheme, self._question.server_name
        match port.kind:
            case "http" if port.captured and scheme == "tls":
                return port.hosts.choose(b"")
            case "http":
                self._say(closed=f"port {port.number} speaks HTTP, where nothing is passed on untouched; write http://")
            case "tls" if scheme == "tcp":
                self._say(closed=f"port {port.number} waits for a ClientHello; write tls:// or https:// with the server name")
            case "tls":
                listener = port.hosts.choose(name)
                if listener is None:
                    client = f"server name {name.decode('ascii')}" if name else "a client that names no server"
                    self._say(closed=f"{hostnames(port)}, not {client}")
                elif listener.resource.protocol != "TLS":
                    self._say(closed=f"listener {listener.resource.name} speaks HTTP; write https://")
                else:
                    return listener
            case "tcp" | "udp":
                return port.hosts.choose(b"")
            case _:
                assert_never(port.kind)
        return None

    def _listening(self, port: Port, listener: LiveListener, why: str) -> None:
        resource = listener.resource
        chosen = f"{why}; {why_listener(self._question.server_name, listener, port)}" if port.kind == "tls" else why
        bound = readable(port.address, port.number)
        self._say(listener=Listening(resource.gateway, resource.name, resource.protocol, resource.hostname, resource.port, bound, chosen))
        notes = [*greeting_in_words(resource.options), *notes_of(listener)] if port.kind != "udp" else []
        if port.kind == "tls":
            notes.append("TLS ends here, and the backend gets what was in it" if terminates(resource) else "TLS is left to the backend")
            if resource.client_validation is not None:
                notes.append(CLIENT_CERTIFICATE[resource.client_validation.mode])
        self._say(notes=tuple(notes), limits=_limits(listener, port))

    def _route(self, listener: LiveListener) -> None:
        named = listener.resource.protocol == "TLS" or (listener.resource.capture is not None and listener.streams.names_servers)
        name = self._question.server_name if named else b""
        entries = listener.streams.considered(name)
        rules = [entry.payload for entry in entries]
        self._say(considered=tuple([_considered(rule, listener, rule is rules[0]) for rule in rules]))
        if not rules:
            self._say(closed=NO_ROUTE if not listener.streams.payloads() else "no route is for this server name")
            return
        rule, source = rules[0], rules[0].resource.source
        self._say(rule=Taken(source.kind, rule.resource.route, rule.name))
        if not rule.choice.total:
            self._say(closed=NO_WEIGHT)
            return
        total = rule.choice.total
        portions = [self._portion(share, 100 * share.reference.weight / total, listener) for share in rule.shares]
        self._say(portions=tuple(portions))

    def _portion(self, share: StreamShare, percent: float, listener: LiveListener) -> Portion:
        said = Portion(share.reference.backend, percent)
        if not percent:
            return said
        fault = _fault(share.backend, listener) if share.backend is not None else f"{share.error or 'invalid backend'} [NC]"
        if fault or share.backend is None:
            return msgspec.structs.replace(said, closed=fault)
        backend, core = share.backend, self._core
        forbidden = core.forbidden_datagrams if self._question.scheme == "udp" else core.forbidden
        tls = backend.resource.tls if backend.resource is not None and not passes_tls(listener.resource) else None
        return msgspec.structs.replace(
            said,
            endpoints=whither(backend, self._question.argument.destination, forbidden) or reachable(backend, None, None, forbidden),
            tls="" if tls is None else tls.hostname,
            balancing=balancing_of(backend),
        )


def _considered(rule: LiveStreamRule, listener: LiveListener, chosen: bool) -> Considered:
    resource = rule.resource
    names = next((binding.hostnames for binding in resource.bindings if binding.listener == listener.key), ())
    outcome = "matches" if chosen else "one that is more specific or older serves"
    return Considered(resource.source.kind, resource.route, rule.name, 0, names, _TAKES[listener.resource.protocol], outcome, chosen)


def _fault(backend: Backend, listener: LiveListener) -> str:
    """Why nothing that falls to a backend is passed on, '' where it is."""
    if backend.error is not None:
        return f"{backend.error} [NC]"
    if backend.destinations is not None:
        captured = listener.resource.capture is not None
        return "" if captured else f"backend {backend.key} is where a captured connection was going, and this one is not captured [UH]"
    if not backend.balancer.candidates:
        return f"backend {backend.key} has no ready endpoint [UH]"
    if not passes_tls(listener.resource):
        try:
            backend.settings(listener.client_certificate, relayed=True)
        except ValueError as refusal:
            return f"{refusal} [NC]"
    return ""


def _limits(listener: LiveListener, port: Port) -> tuple[str, ...]:
    options = listener.options
    if port.kind == "udp":
        return (
            f"a flow ends {time_in_words(options.flow_idle_timeout)} after its last datagram",
            f"at most {options.most_flows} flows a worker",
        )
    idle = options.stream_idle_timeout
    return (f"ends when nothing passes for {time_in_words(idle)}",) if idle else ()
