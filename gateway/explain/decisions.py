"""The decisions of an exchange in their order (ClientConnection, proxy.admission), on the live tables.

Every decision is made by the functions that serve: the codec, the tables of hosts and routes, compiled filters. Nothing is
counted, no turn is taken and no connection is made.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import msgspec

from gateway.descriptors import Place
from gateway.explain.authorization import permit, question_of, refusal_of
from gateway.explain.backends import Matched, Way, portions_of, session_of
from gateway.explain.captured import NOTHING, Captures, find_captured, notes_of, proving, toward, turned_away
from gateway.explain.explanation import Asked, Considered, Copy, Explanation, Listening, Taken
from gateway.explain.policies import Selections, caller_in, judge_request, none_selects, port_in
from gateway.explain.ports import find_port, hostnames, open_ports, why_listener
from gateway.explain.question import Argument, Question, StreamQuestion, read_question
from gateway.explain.replies import filtered, finished
from gateway.explain.streams import explain_stream
from gateway.explain.words import (
    CLIENT_CERTIFICATE,
    filters_in_words,
    greeting_in_words,
    limits_in_words,
    listener_limits_in_words,
    match_in_words,
    tracing_in_words,
)
from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, RequestHead
from gateway.http.refused import Refused
from gateway.http.request import parse_request
from gateway.http.target import parse_authority, parse_target
from gateway.http.trace_context import take
from gateway.net.sockets import readable
from gateway.policies.caller import Caller
from gateway.proxy.admission import MISDIRECTED, NO_HOST, NO_ROUTE, check_absolute
from gateway.proxy.core import Core
from gateway.proxy.port import LiveListener, Port
from gateway.proxy.rule import Rule
from gateway.routing import Considered as Row
from gateway.routing import RouteTable
from gateway.routing import explain_in_steps as explain_routes
from gateway.routing.entry import Entry


def explain(
    core: Core, ports: Mapping[Place, Port], argument: Any, captures: Captures = NOTHING, selections: Selections = none_selects
) -> dict[str, Any]:
    """`argument` has the form of question.Argument, the answer that of explanation.Explanation. Raises ValueError for a bad argument."""
    steps = explain_in_steps(core, ports, argument, captures, selections)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            answer: dict[str, Any] = msgspec.json.decode(done.value)
            return answer


def explain_in_steps(
    core: Core, ports: Mapping[Place, Port], argument: Any, captures: Captures = NOTHING, selections: Selections = none_selects
) -> Generator[None, None, msgspec.Raw]:
    """As `explain`, but the answer is JSON. All is decided in the first step; the others only say why, rule by rule. `captures` are what
    captured listeners serve."""
    question = read_question(argument)
    if isinstance(question, StreamQuestion):
        return msgspec.Raw(msgspec.json.encode(explain_stream(core, ports, captures, question, selections)))
    explaining = _Explaining(question, selections)
    said = explaining.run(core, ports, captures)
    considered = yield from explaining.consider()
    return msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(said, considered=considered)))


class _Explaining:
    """One request on its way; `_said` is what has been decided so far."""

    __slots__ = ("_caller", "_grpc", "_listener", "_passage", "_question", "_said", "_searched", "_selections")

    def __init__(self, question: Question, selections: Selections) -> None:
        self._question, self._selections = question, selections
        self._caller = Caller()
        self._listener: LiveListener | None = None
        self._passage: Passage | None = None
        self._grpc = b""
        """Of the request's head: our own answers to a gRPC call have another form."""
        self._searched: tuple[RouteTable[Rule], RequestHead] | None = None
        """The table of routes that was searched, and for what."""
        asked = question.argument
        self._said = Explanation(Asked(asked.method, asked.url, asked.headers), question.host.decode("ascii"))

    def _say(self, **fields: Any) -> None:
        self._said = msgspec.structs.replace(self._said, **fields)

    def _reply(self, reply: LocalReply) -> None:
        self._say(reply=finished(reply, self._listener, self._passage, self._grpc))

    def run(self, core: Core, ports: Mapping[Place, Port], captures: Captures) -> Explanation:
        question = self._question
        asked = toward(captures, question.argument, question.host, question.port)
        if asked.destination is not None:
            question = self._question = msgspec.structs.replace(question, argument=asked)
            found = find_captured(core, captures, asked, "http")
        else:
            found = find_port(ports, question.host, question.port) or f"nothing listens on port {question.port}; {open_ports(ports)}"
        if isinstance(found, str):
            self._say(closed=found)
        else:
            try:
                self._connect(*found)
            except Refused as refused:
                self._reply(LocalReply(refused.status, refused.reason, flag="DPE"))
        return self._said

    def consider(self) -> Generator[None, None, tuple[msgspec.Raw, ...]]:
        """After `run`: every match, encoded as explanation.Considered."""
        if self._searched is None:
            return ()
        rows = yield from explain_routes(*self._searched)
        encoded = []
        for row in rows:
            encoded.append(msgspec.Raw(msgspec.json.encode(_considered(row))))
            yield
        return tuple(encoded)

    def _place(self, scheme: str) -> str:
        """The URL by which the same is asked of what is passed on."""
        return f"{scheme}://{self._question.host.decode('ascii')}:{self._question.port}"

    def _streaming(self, port: Port) -> str:
        """The same of a port that passes connections on, by server name if it looks for one and the client would say it."""
        named = self._question.tls and any(listener.streams.names_servers for listener in port.hosts.values())
        return self._place("tls" if named else "tcp")

    def _connect(self, port: Port, why: str) -> None:
        """The connection, and on TLS the listener whose certificate the client is shown. Raises ValueError for a caller that cannot be."""
        asked, shown = self._question.argument, None
        if port.captured and (listener := port.hosts.choose(b"")) is not None:
            asked = self._captured(listener, port, why)
            if self._said.closed:
                return
        self._caller = caller_in(asked, port, self._question.server_name if port.tls else b"")
        if port.kind == "tcp":
            instead = f"write CONNECT {self._streaming(port)}"
            self._say(closed=f"port {port.number} passes connections on without looking for requests; {instead}")
            return
        if self._question.tls and not port.tls:
            self._say(closed=f"port {port.number} speaks plain HTTP, so that no TLS handshake comes about; write http://")
            return
        if port.tls:
            if not self._question.tls:
                self._reply(LocalReply(400, "plain HTTP on a TLS port"))
                return
            shown = port.hosts.choose(self._question.server_name)
            if shown is None:
                name = self._question.server_name.decode("ascii")
                client = f"server name {name}" if name else "a client that names no server"
                self._say(closed=f"{hostnames(port)}, not {client}: TLS alert unrecognized_name")
                return
            if shown.resource.protocol == "TLS":
                why = f"listener {shown.resource.name} passes connections on without looking for requests"
                self._say(closed=f"{why}; write CONNECT {self._place('tls')}")
                return
            if shown.resource.client_validation is not None:
                self._say(notes=(CLIENT_CERTIFICATE[shown.resource.client_validation.mode],))
        self._receive(port, shown, why)

    def _captured(self, listener: LiveListener, port: Port, why: str) -> Argument:
        """The question with the caller that is known there; `closed` says why it comes no further."""
        asked, tls = self._question.argument, self._question.tls
        closed = turned_away(listener, asked, tls=tls)
        if not closed and tls:
            closed = f"TLS of the client's own is passed on as it is; write CONNECT {self._place('tls')}"
        if closed:
            self._listening(listener, port, why)
            self._say(closed=closed, notes=notes_of(listener))
            return asked
        asked, notes = proving(listener, asked, tls=tls)
        self._say(notes=notes)
        return asked

    def _receive(self, port: Port, shown: LiveListener | None, why: str) -> None:
        """The head: listener and target. Raises Refused."""
        sent = self._question.head
        head = parse_request(sent, sent.index(b"\r\n\r\n"))
        self._listener = shown
        self._grpc = head.grpc
        listener = self._choose_listener(port, shown, head, why)
        if listener is None:
            return
        target = parse_target(head.method, head.path, listener.path_rules)
        if target.authority is not None:
            check_absolute(head, target.authority, target.scheme, listener.scheme)
        head.path, head.query = target.path, target.query
        self._say(path=head.path.decode("ascii"))
        if target.redirect:
            location = b"%b://%b%b" % (listener.scheme, head.authority, head.target)
            self._reply(LocalReply(307, "path normalised", [(b"location", location)]))
        else:
            self._route(head, listener)

    def _choose_listener(self, port: Port, shown: LiveListener | None, head: RequestHead, why: str) -> LiveListener | None:
        head.host, head.authority = parse_authority(head.authority)
        best = port.hosts.choose(head.host)
        self._say(host=head.host.decode("ascii"))
        if best is None:
            self._reply(_with_reason(NO_HOST, hostnames(port)))
            return None
        self._listener = best
        resource = best.resource
        tracer = best.observer.tracer if best.observer is not None else None
        self._say(notes=(*greeting_in_words(resource.options), *notes_of(best), *self._said.notes, *tracing_in_words(tracer)))
        if tracer is not None:
            take(head)  # what carries the trace is written anew
        self._listening(best, port, why if port.captured else f"{why}; {why_listener(head.host, best, port)}")
        if shown is not None and best is not shown:
            made = f"the connection was made with listener {shown.resource.name} of Gateway {shown.resource.gateway}"
            self._reply(_with_reason(MISDIRECTED, made))
            return None
        return best

    def _listening(self, listener: LiveListener, port: Port, why: str) -> None:
        resource, bound = listener.resource, readable(port.address, port.number)
        self._say(listener=Listening(resource.gateway, resource.name, resource.protocol, resource.hostname, resource.port, bound, why))

    def _route(self, head: RequestHead, listener: LiveListener) -> None:
        """What policies say, the rule, and what the listener takes of its requests."""
        judged, denied = judge_request(listener, self._caller, head, port_in(self._question.argument, listener))
        self._say(policies=judged, notes=(*self._said.notes, *self._selections(listener)))
        if denied is not None:
            self._reply(denied)
            return
        self._searched = (listener.routes, head.copy())
        entry = listener.routes.match(head)
        route = entry.payload.resource.route if entry is not None else ""
        self._say(limits=listener_limits_in_words(listener.options, route))
        if entry is not None:
            resource = entry.payload.resource
            words = (filters_in_words(resource.filters), limits_in_words(resource))
            self._say(rule=Taken(resource.source.kind, resource.route, entry.payload.name, *words))
        limits = listener.request_limits
        if limits is not None and limits.body is not None and (head.length or 0) > limits.body:
            self._reply(limits.too_large())
        elif entry is None:
            self._reply(NO_ROUTE)
        else:
            self._filter(entry, head, listener)

    def _filter(self, entry: Entry[Rule], head: RequestHead, listener: LiveListener) -> None:
        """The rule's filters, then its backends."""
        rule, matched_path, authority = entry.payload, head.path, head.authority
        if not rule.awake:
            rule.wake()
        passage = self._passage = Passage(listener.scheme, listener.location_port, entry.prefix)
        reply = filtered(rule.filters.request, head, passage)
        if reply is None and rule.authorization is not None:
            reply = refusal_of(rule.authorization, head, listener)
            if reply is None:
                self._say(authorization=question_of(rule.authorization, head, matched_path, authority))
                permit(rule.authorization, head)
                reply = filtered(rule.filters.authorized, head, passage)
        if reply is not None:
            self._reply(reply)
            return
        if head.path != matched_path:
            passage.prefix = None  # the filters of a backendRef see the path as rewritten, which has no matched prefix any more
        self._ask_backends(rule, head, listener, Matched(passage, matched_path, authority))

    def _ask_backends(self, rule: Rule, head: RequestHead, listener: LiveListener, matched: Matched) -> None:
        pinned, session = session_of(rule, head)
        self._say(session=session)
        if pinned is None and not rule.choice.total:
            self._reply(LocalReply(500, "no backend with a weight above zero", flag="NC"))
            return
        mirrors = tuple(Copy(mirror.backend, 100 * mirror.numerator / mirror.denominator) for mirror, _ in rule.mirrors)
        self._say(mirrors=mirrors, portions=portions_of(Way(rule, head, listener, matched, pinned, self._question.argument.destination)))


def _with_reason(reply: LocalReply, details: str) -> LocalReply:
    return LocalReply(reply.status, f"{reply.reason}: {details}", flag=reply.flag)


def _considered(row: Row[Rule]) -> Considered:
    rule, index = row.entry.payload, row.entry.index
    resource = rule.resource
    conditions = match_in_words(resource.matches[index])
    return Considered(resource.source.kind, resource.route, rule.name, index, row.hostnames, conditions, row.outcome, row.matched)
