"""The matrix of mesh policy: PeerAuthentication modes, AuthorizationPolicy actions and conditions, callers and protocols.

Each cell is a call through real sidecars on real sockets, told by Kubernetes objects. Held to what Istio documents (policy_matrix.oracle)
are what the caller gets, what reaches the application, what the access log says, and what `tidegate explain` says beforehand.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import gateway.proxy.captured
import gateway.proxy.detecting
from tests.certificates import Authority
from tests.gateway.policies.tokens import ISSUER, hmac_token, token
from tests.wire.backends import LIMIT
from tests.wire.captured_fixtures import capturing
from tests.wire.capturing import OTHER, OWN
from tests.wire.meshes import spiffe_id
from tests.wire.policy_matrix.application import Application, Reached
from tests.wire.policy_matrix.callers import Callers, call, sent
from tests.wire.policy_matrix.cells import CELLS, SHAPES, SILENT_CELLS, TOKENS, Cell, Due, credentials, due
from tests.wire.policy_matrix.pods import ANY_FIRST, BYTES, FIRST, HTTP, MARKS, NAMESPACES, PORTS, Pods, network
from tests.wire.streaming import serving
from tidegate.explain import show

pytestmark = capturing

SILENCE = 0.25
"""Seconds in the place of the usual 0.05: long for a busy machine, and short for a test."""


class Matrix:
    """Pods, the application and callers; and what is told of cells so far."""

    def __init__(self, folder: Path, enter: Callable[[], None]) -> None:
        self.enter = enter
        """Brings the thread of the test to the network of these Pods."""
        authority, stranger = Authority(), Authority("A stranger")
        self.application = Application(OWN, PORTS, (FIRST, ANY_FIRST), (BYTES, FIRST, ANY_FIRST), serving(authority, "db.shop", folder))
        self.pods = Pods(authority)
        self.callers = Callers(stranger, folder)
        self._cells: list[str] = []
        self._served: list[str] = []

    def ask(self, cell: Cell) -> tuple[str, dict[str, Any], str]:
        """What the caller got, and the one line of the callee's log; the mark of the cell."""
        mark, log = f"cell-{len(self._cells)}", self.pods.callee.site.log
        before = len(log.wait_for(0))
        self._cells.append(mark)
        fields = sent(cell.spoken, cell.host, mark, (*cell.fields, *credentials(cell)))
        try:
            with self.callers.connect(cell.caller, cell.port) as connection:
                word = call(connection, cell.spoken, method_of(cell), cell.path, fields)
        except (ssl.SSLError, OSError):
            word = ""
        return word, log.wait_for(before + 1)[-1], mark

    def reached(self, mark: str) -> Reached:
        """What reached the application of a cell that is served."""
        self._served.append(mark)
        return self.application.wait_for(mark)

    def close(self) -> None:
        """Nothing has reached the application that did not have to; each cell has one line."""
        self.pods.close()
        self.application.close()
        assert sorted(self.application.cells()) == sorted(self._served)
        assert len(self.pods.callee.site.log.wait_for(0)) == len(self._cells)


def made(folder: Path, silence: float) -> Iterator[Matrix]:
    with network() as enter, pytest.MonkeyPatch.context() as patches:
        for module in (gateway.proxy.detecting, gateway.proxy.captured):
            patches.setattr(module, "SILENCE", silence)
        matrix = Matrix(folder, enter)
        yield matrix
        matrix.close()


@pytest.fixture(scope="module")
def patient_pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """What clients send counts, however late it comes."""
    yield from made(tmp_path_factory.mktemp("matrix"), 6 * LIMIT)


@pytest.fixture(scope="module")
def silent_pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """A client that says nothing is noticed."""
    yield from made(tmp_path_factory.mktemp("matrix"), SILENCE)


@pytest.fixture
def patient(patient_pods: Matrix) -> Matrix:
    patient_pods.enter()
    return patient_pods


@pytest.fixture
def silent(silent_pods: Matrix) -> Matrix:
    silent_pods.enter()
    return silent_pods


def method_of(cell: Cell) -> str:
    return "POST" if cell.spoken == "grpc" else cell.method


def named(cell: Cell) -> str:
    return cell.name


@pytest.mark.parametrize("cell", CELLS, ids=named)
def test_a_call_becomes_what_istio_says(cell: Cell, patient: Matrix) -> None:
    """One cell: caller, application, access log, and `explain` at both ends."""
    check(cell, patient)


def check(cell: Cell, matrix: Matrix) -> None:
    wanted = due(cell)
    matrix.pods.set(cell.documents)
    explained = explanation(cell, matrix)
    leads = way(cell, matrix) if cell.caller in MARKS else None
    word, line, mark = matrix.ask(cell)
    assert word == wanted.word, line
    if wanted.is_served:
        check_reached(cell, matrix.reached(mark))
    check_line(cell, wanted, line)
    if explained is not None:
        check_explanation(cell, wanted, explained)
    if leads is not None:
        check_way(cell, wanted, leads)


def check_reached(cell: Cell, reached: Reached) -> None:
    """As it was spoken, and TLS of the caller's own untouched."""
    spoken = "bytes" if cell.spoken == "greeting" else cell.spoken
    assert (reached.port, reached.spoken, reached.tls) == (cell.port, spoken, cell.caller in ("own TLS", "stranger"))


def check_line(cell: Cell, wanted: Due, line: dict[str, Any]) -> None:
    """Flag and reason, which names policy and rule; who called; and the marks of AUDIT."""
    identity = spiffe_id(wanted.identity, NAMESPACES[wanted.identity]) if wanted.identity else None
    assert (line["flags"] or "", line["peer_identity"]) == (wanted.flag or "-", identity), line
    if wanted.reason and wanted.verdict is None:
        assert wanted.reason in line["reason"], line
    else:
        assert (line["reason"] or "") == wanted.reason, line
    assert line["client"] == (OTHER if cell.caller == "elsewhere" else OWN)
    assert (line.get("audit") or "") == (wanted.verdict.marks if wanted.verdict is not None else "")


HOUR = 3_600
TOKENS_REFUSED = [
    pytest.param(
        lambda now: token({"iss": ISSUER, "aud": "shop"}, number=7), 401, "the token's signature is not the issuer's", id="forged"
    ),
    pytest.param(lambda now: hmac_token(b"secret"), 401, "the token's algorithm 'HS256' is not supported", id="symmetric"),
    pytest.param(lambda now: token({"iss": "https://other.test"}), 401, "the token's issuer is none of those", id="of another issuer"),
    pytest.param(lambda now: token({"iss": ISSUER, "aud": "bank"}), 403, "the token is for none of the audiences", id="for somebody else"),
    pytest.param(lambda now: token({"iss": ISSUER, "aud": "shop", "exp": now - HOUR}), 401, "the token has expired", id="expired"),
    pytest.param(
        lambda now: token({"iss": ISSUER, "aud": "shop", "nbf": now + HOUR}), 401, "the token is not valid yet", id="from an hour ahead"
    ),
]


@pytest.mark.parametrize(("made_at", "status", "why"), TOKENS_REFUSED)
def test_a_token_that_is_not_believed_is_refused(made_at: Callable[[float], bytes], status: int, why: str, patient: Matrix) -> None:
    """RequestAuthentication at a workload: before any policy, by both ways in, and `explain` says the same."""
    strict = {**TOKENS, "spec": {**TOKENS["spec"], "jwtRules": [{**TOKENS["spec"]["jwtRules"][0], "audiences": ["shop"]}]}}
    credential = (("Authorization", f"Bearer {made_at(time.time()).decode()}"),)
    for caller in ("web", "plain"):
        cell = Cell("", (strict, *SHAPES["ALLOW everything"]), caller, "http/1.1", HTTP, fields=credential)
        patient.pods.set(cell.documents)
        said = explanation(cell, patient)
        assert said is not None
        word, line, _ = patient.ask(cell)
        assert (word, line["status"]) == (str(status), status)
        assert line["reason"].startswith(why), line
        assert (said["reply"]["status"], said["reply"]["reason"]) == (status, line["reason"])


def test_explain_shows_people_which_policy_and_rule(patient: Matrix) -> None:
    """As `tidegate explain --inbound` prints it in a sidecar."""
    patient.pods.set(SHAPES["DENY web and ALLOW everything"])
    shown = StringIO()
    show(patient.pods.callee.explain("GET", f"http://db.shop:{HTTP}/", [], "", "shop/web", inbound=True), shown)
    assert "AuthorizationPolicy shop/d (DENY): rule 0 matches" in shown.getvalue()
    assert "denied by AuthorizationPolicy shop/d, rule 0" in shown.getvalue()


def test_explain_says_who_proves_nothing(patient: Matrix) -> None:
    """A caller that is named is nobody where the mode keeps it from proving who it is."""
    patient.pods.set(SHAPES["ALLOW web, but DISABLE"])
    said = patient.pods.callee.explain("GET", f"http://db.shop:{HTTP}/", [], "", "shop/web", inbound=True)
    assert "shop/web proves nothing here: PeerAuthentication says DISABLE" in said["notes"]
    patient.pods.set(SHAPES["ALLOW web"])
    said = patient.pods.callee.explain("CONNECT", f"tls://db.shop:{HTTP}", [], "", "shop/web", inbound=True)
    assert "shop/web proves nothing here: TLS of its own is not the mesh's" in said["notes"]


# explain


def explanation(cell: Cell, matrix: Matrix) -> dict[str, Any] | None:
    """What `tidegate explain --inbound` says at the callee; None where it cannot be asked: nobody is named as a stranger."""
    if cell.caller == "stranger":
        return None
    who = f"{NAMESPACES[cell.caller]}/{cell.caller}" if cell.caller in MARKS else ""
    client = OTHER if cell.caller == "elsewhere" else OWN
    return matrix.pods.callee.explain(*question(cell, OWN), client, who, inbound=True)


def question(cell: Cell, host: str) -> tuple[str, str, list[str]]:
    """Method, URL and headers."""
    if cell.caller in ("own TLS", "stranger"):
        return "CONNECT", f"tls://db.shop:{cell.port}", []
    if cell.spoken in ("bytes", "greeting"):
        return "CONNECT", f"tcp://{host}:{cell.port}", []
    fields = sent(cell.spoken, cell.host, "asked", (*cell.fields, *credentials(cell)))
    return method_of(cell), f"http://{host}:{cell.port}{cell.path}", [f"{name}: {value}" for name, value in fields]


def check_explanation(cell: Cell, wanted: Due, said: dict[str, Any]) -> None:
    """The same verdict, for the same reason, and of each policy the same rule."""
    if wanted.is_served:
        assert (said["closed"], said["reply"]) == ("", None), said
        [portion] = said["portions"]
        [endpoint] = portion["endpoints"]
        assert (endpoint["address"].rpartition(":")[2], endpoint["fault"]) == (str(cell.port), ""), portion
    elif not wanted.word:
        assert wanted.reason in said["closed"], said
        assert said["closed"].endswith(f"[{wanted.flag}]")
    else:
        assert (said["reply"]["reason"], said["reply"]["flag"]) == (wanted.reason, wanted.flag), said
        status = dict(said["reply"]["headers"]).get("grpc-status")
        assert (f"grpc {status}" if status is not None else str(said["reply"]["status"])) == wanted.word
    judged = {each["policy"]: each for each in said["policies"] if each["kind"] == "AuthorizationPolicy"}
    rules = wanted.verdict.rules if wanted.verdict is not None else {}
    assert judged.keys() == rules.keys(), said
    for name, rule in rules.items():
        assert judged[name]["matched"] == (rule is not None), judged[name]
        assert rule is None or judged[name]["outcome"] == f"rule {rule} matches"


def way(cell: Cell, matrix: Matrix) -> dict[str, Any]:
    """What `tidegate explain` says at the caller: where its call leads."""
    return matrix.pods.callers[cell.caller].explain(*question(cell, "db.shop"), inbound=False)


def check_way(cell: Cell, wanted: Due, said: dict[str, Any]) -> None:
    """To the callee, by mutual TLS with its identity where the mode is not DISABLE."""
    assert (said["closed"], said["reply"]) == ("", None), said
    [endpoint] = said["portions"][0]["endpoints"]
    ours = spiffe_id(wanted.identity, NAMESPACES[wanted.identity]) if wanted.identity else ""
    assert endpoint["address"] == f"{OWN}:{cell.port}"
    assert (endpoint["identity"], endpoint["as_identity"]) == ((spiffe_id("db"), ours) if ours else ("", ""))


# with the other silence, so last


@pytest.mark.slow
@pytest.mark.parametrize("cell", SILENT_CELLS, ids=named)
def test_a_call_whose_server_speaks_first_does_too(cell: Cell, silent: Matrix) -> None:
    """The same for a client that waits for its server."""
    check(cell, silent)
