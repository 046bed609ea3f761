"""`tidegate explain`: what would happen to a request, and why, from files or from a live proxy, as a tree for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any, Final
from urllib.parse import urlencode

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from gateway.explain import Explanation
from gateway.explain.explanation import Authorization, Considered, Portion, Reply
from gateway.http.phrases import phrase
from gateway.offline import Offline
from gateway.policies.authorization import FLAG
from tidegate.admin_client import ask
from tidegate.files import read_files
from tidegate.options import RunOptions

MOST_ROWS: Final = 12
"""Matches shown that do not serve the request; `-o json` has all."""

_WIDE: Final = 4096
"""Columns where there is no terminal: nothing is wrapped."""

Question = dict[str, Any]


def question_of(method: str, url: str, headers: Iterable[str], client: str = "", caller: str = "", *, inbound: bool = False) -> Question:
    """The request to be explained, and who asks; `inbound`: of a sidecar, which also has to do with what its workload asks. Raises
    ValueError for a header without a colon."""
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"-H {header!r} is not of the form 'NAME: VALUE'")
        pairs.append([name.strip(), value.strip()])
    direction = {"direction": "Inbound"} if inbound else {}
    return {"method": method, "url": url, "headers": pairs, "client": client, "caller": caller, **direction}


def explain_files(options: RunOptions, question: Question) -> dict[str, Any]:
    """By a proxy that serves the files of `options`, without its sockets. Raises ValueError for a question that makes no request."""
    resources = read_files(options).translator.resources().values()
    with Offline(resources, options.admin) as offline:
        return offline.explain(question)


def explain_live(admin: str, question: Question) -> dict[str, Any]:
    """By the proxy whose admin server is at the URL `admin`. Raises AdminError, and ValueError for a question that makes no request."""
    headers = [("header", f"{name}: {value}") for name, value in question["headers"]]
    who = [(name, question[name]) for name in ("client", "caller", "direction") if question.get(name)]
    query = urlencode([("method", question["method"]), ("url", question["url"]), *headers, *who])
    answer: dict[str, Any] = msgspec.json.decode(ask(admin, f"/explain?{query}", refusals=frozenset({400})))
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def as_json(answer: dict[str, Any]) -> bytes:
    """The answer as it is."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"


def show(answer: dict[str, Any], stream: IO[str]) -> None:
    """A tree for people."""
    said = msgspec.convert(answer, Explanation)
    headers = "".join(f", {name}: {value}" for name, value in said.request.headers)
    tree = Tree(Text(f"{said.request.method} {said.request.url}{headers}", "bold"))
    if said.listener is not None:
        listener = said.listener
        branch = tree.add(_text(f"listener {listener.name} of Gateway {listener.gateway}, {listener.protocol} on {listener.bound}"))
        branch.add(_text(listener.why))
    for note in said.notes:
        tree.add(_text(f"note: {note}", "yellow"))
    for judged in said.policies:
        words = f"{judged.kind} {judged.policy} ({judged.action}): {judged.outcome}"
        tree.add(_text(words, {"DENY": "red", "ALLOW": "green"}.get(judged.action, "") if judged.matched else "dim"))
    if said.reply is None or said.reply.flag != FLAG:
        _add_considered(tree, said)
    _add_rule(tree, said)
    _add_answer(tree, said)
    width = None if stream.isatty() else _WIDE
    Console(file=stream, highlight=False, width=width).print(tree)


def _text(text: str, style: str = "") -> Text:
    return Text(text, style or "none")


def _add_considered(tree: Tree, said: Explanation) -> None:
    if not said.considered:
        if not said.closed and said.listener is not None and (said.reply is None or said.reply.reason == "no route matches"):
            tree.add(_text("no route is attached to this listener"))
        return
    number = len(said.considered)
    branch = tree.add(_text(f"{number} match{'' if number == 1 else 'es'} considered, in order of precedence"))
    rows = list(_chosen_rows(said.considered))
    for row in rows:
        hosts = ", ".join(row.hostnames).strip()
        named = "server name" if row.kind == "TLSRoute" else "host"
        conditions = f"{row.conditions}{f', {named} {hosts}' if hosts else ''}"
        place = f"{row.kind} {row.route}, rule {row.rule}"
        branch.add(_text(f"{place}: {conditions}: {row.outcome}", "green" if row.matched else "dim"))
    if len(rows) < number:
        branch.add(_text(f"and {number - len(rows)} more, see -o json", "dim"))


def _chosen_rows(rows: tuple[Considered, ...]) -> Iterator[Considered]:
    """The one that serves, and the first of the others."""
    others = 0
    for row in rows:
        others += not row.matched
        if row.matched or others <= MOST_ROWS:
            yield row


def _add_rule(tree: Tree, said: Explanation) -> None:
    rule = said.rule
    if rule is None:
        return
    branch = tree.add(_text(f"served by {rule.kind} {rule.route}, rule {rule.rule}"))
    for words in (*rule.filters, *rule.limits):
        branch.add(_text(words))
    for words in said.limits:
        branch.add(_text(words))
    if said.authorization is not None:
        _add_authorization(branch, said.authorization)
    for mirror in said.mirrors:
        branch.add(_text(f"copies {mirror.percent:g}% of the requests to {mirror.backend}"))
    if said.session:
        branch.add(_text(f"session: {said.session}"))


def _add_authorization(branch: Tree, asked: Authorization) -> None:
    """What follows in the tree is what happens if the request is allowed."""
    request, taken = asked.request, ", ".join(asked.fields) or "any field"
    how = " over gRPC" if asked.protocol == "GRPC" else ""
    node = branch.add(_text(f"would ask {asked.backend}{how}: {request.method} {request.target}, Host: {request.host}"))
    for name, value in request.headers:
        node.add(_text(f"{name}: {value}"))
    allowed = "OK" if how else "200"
    node.add(_text(f"{allowed} lets the request pass, and the answer may set {taken}; any other answer goes to the client"))


def _add_answer(tree: Tree, said: Explanation) -> None:
    if said.closed:
        tree.add(_text(f"no answer: {said.closed}", "bold red"))
    if said.reply is not None:
        _add_reply(tree, said.reply)
    for portion in said.portions:
        _add_portion(tree, portion)


def _add_reply(tree: Tree, reply: Reply, share: str = "") -> None:
    flag = f" [{reply.flag}]" if reply.flag else ""
    style = "bold red" if reply.status >= 400 or reply.flag else "bold green"
    branch = tree.add(_text(f"{share}answered {reply.status} {phrase(reply.status).decode()}: {reply.reason}{flag}", style))
    for name, value in reply.headers:
        branch.add(_text(f"{name}: {value}"))


def _spoken(portion: Portion) -> str:
    """What a request is written in, where that is not HTTP/1.1 in the clear."""
    protocol = f", in {portion.protocol}" if portion.protocol not in ("", "HTTP/1.1") else ""
    return f"{protocol}, TLS to {portion.tls}" if portion.tls else protocol


def _add_portion(tree: Tree, portion: Portion) -> None:
    share = f"{portion.percent:.4g}% "
    if portion.reply is not None:
        _add_reply(tree, portion.reply, share)
        return
    if portion.closed:
        tree.add(_text(f"{share}ended: {portion.closed}", "bold red"))
        return
    branch = tree.add(_text(f"{share}to {portion.backend}", "bold green" if portion.percent else "dim"))
    for words in portion.filters:
        branch.add(_text(words))
    if portion.authorization is not None:
        _add_authorization(branch, portion.authorization)
    if portion.forwarded is not None:
        request = portion.forwarded
        branch.add(_text(f"as {request.method} {request.target}, Host: {request.host}{_spoken(portion)}"))
    elif portion.tls:
        branch.add(_text(f"over TLS to {portion.tls}"))
    if portion.balancing:
        branch.add(_text(f"to an endpoint {portion.balancing}"))
    for endpoint in portion.endpoints:
        fault = f": {endpoint.fault}" if endpoint.fault else ""
        mutually = f", by mutual TLS with {endpoint.identity} as {endpoint.as_identity}" if endpoint.identity else ""
        branch.add(_text(f"{endpoint.percent:.4g}% {endpoint.address}{mutually}{fault}", "red" if endpoint.fault else ""))
