"""DNS behind ExternalName Services: late, wrong, hostile or away. Whatever it does concerns requests to that name and nobody else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from gateway.upstream import resolve
from tests.faults.name_server import Behaviour, Fails, Has, NameServer
from tests.faults.seclusion import resolve_by, secluded
from tests.faults.waiting import until
from tests.wire.backends import LIMIT, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import OK, Recorder
from tests.wire.serving import GATEWAY, documents, service

pytestmark = pytest.mark.slow

ONE_ANSWER = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
"""After which the backend's connection is not used again, so that the name is wanted again."""

MakeNames = Callable[[Mapping[str, Behaviour]], NameServer]


@pytest.fixture
def names(tmp_path: Path) -> Iterator[MakeNames]:
    """Makes a name server, in a secluded test, that alone is asked; it is asked once a question, and given a second."""
    servers: list[NameServer] = []

    def make(behaviours: Mapping[str, Behaviour]) -> NameServer:
        resolve_by(tmp_path, "nameserver 127.0.0.1", "options timeout:1 attempts:1")
        servers.append(NameServer(behaviours))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def routes(port: int, *paths: str) -> str:
    """For each name a rule for the path /NAME, to an ExternalName Service of that name; given up after 300 ms."""
    written: list[object] = []
    for number, name in enumerate(paths):
        external = {"type": "ExternalName", "externalName": name, "ports": [{"port": port}]}
        written.append({"kind": "Service", "metadata": {"name": f"s{number}"}, "spec": external})
        target = {"targetRefs": [{"name": f"s{number}"}], "connectTimeout": "300ms"}
        written.append({"kind": "BackendPolicy", "metadata": {"name": f"s{number}"}, "spec": target})
        rule = {"matches": [{"path": {"value": f"/{name}"}}], "backendRefs": [{"name": f"s{number}", "port": port}]}
        written.append({"kind": "HTTPRoute", "metadata": {"name": f"r{number}"}, "spec": {"rules": [rule]}})
    return "\n---\n".join(json.dumps(document) for document in written)


@secluded
def test_names_lead_to_their_addresses(names: MakeNames, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """The stub is asked, not the machine's own resolver: an address, and an alias of it (RFC 1035 3.3.1)."""
    names({"a.test": Has(("127.0.0.1",)), "b.test": Has(alias="a.test")})
    site = serve(routes(scripted(Recorder()).port, "a.test", "b.test"))
    assert [site.ask(f"/{name}").status for name in ("a.test", "b.test")] == [200, 200]


NO_ANSWER: dict[str, Mapping[str, Behaviour]] = {
    "NXDOMAIN": {},
    "SERVFAIL": {"x.test": Fails("failing")},
    "garbage": {"x.test": Fails("garbage")},
    "silence": {"x.test": Fails("silent")},
    "an alias of itself": {"x.test": Has(alias="x.test")},
    "a loop of aliases": {"x.test": Has(alias="y.test"), "y.test": Has(alias="x.test")},
    "no address": {"x.test": Has()},
}


@pytest.mark.parametrize("behaviours", NO_ANSWER.values(), ids=NO_ANSWER)
@secluded
def test_a_name_without_an_answer_is_503(
    names: MakeNames, serve: Serve, scripted: Callable[..., Scripted], behaviours: Mapping[str, Behaviour], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults, "DNS": a connection that does not come about, in the time that the backend has for it; other names are served, and the name
    itself once it has an address."""
    monkeypatch.setattr(resolve, "FAILED", 0.0)
    server = names({"good.test": Has(("127.0.0.1",)), **behaviours})
    site = serve(routes(scripted(Recorder(otherwise=ONE_ANSWER)).port, "x.test", "good.test"))
    answer = site.ask("/x.test")
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert site.ask("/good.test").status == 200
    server.names["x.test"] = Has(("127.0.0.1",))
    until(lambda: site.ask("/x.test").status == 200, "the name that is mended is not asked for again")


@pytest.mark.parametrize("fault", ["missing", "failing", "silent"])
@secluded
def test_the_last_good_answer_is_kept(
    names: MakeNames, serve: Serve, scripted: Callable[..., Scripted], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults, "DNS": whatever DNS says later, requests go where the last good answer led, and none waits for it."""
    monkeypatch.setattr(resolve, "FRESH", 0.0)
    server = names({"x.test": Has(("127.0.0.1",))})
    site = serve(routes(scripted(Recorder(otherwise=ONE_ANSWER)).port, "x.test"))
    assert site.ask("/x.test").status == 200
    server.names["x.test"] = Fails(fault)
    before = len(server.asked)
    until(lambda: (site.ask("/x.test").status, len(server.asked) >= before + 2) == (200, True), "DNS is not asked again")
    assert [site.ask("/x.test").status for _ in range(20)] == [200] * 20


@secluded
def test_silent_names_hold_up_nobody_else(names: MakeNames, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Faults, "async resolver only": while 25 names are waited for, another one is resolved and served, and the loop answers."""
    silent = [f"s{number}.test" for number in range(25)]
    names({"good.test": Has(("127.0.0.1",)), **dict.fromkeys(silent, Fails("silent"))})
    port = scripted(Recorder()).port
    site = serve(routes(port, *silent, "good.test"), service("plain", port), "- backendRefs: [{name: plain, port: 80}]")
    waiting = [site.begin(f"/{name}") for name in silent]
    assert [site.ask("/good.test").status, site.ask("/").status] == [200, 200]
    assert {flight.answer().status for flight in waiting} == {503}


@secluded
def test_a_huge_answer_is_cut(names: MakeNames, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Faults, "huge answer, bounded cache": of 2,000 addresses, which come over TCP, 64 are kept."""
    names({"x.test": Has((*(f"127.1.{number // 250}.{number % 250}" for number in range(2000)),))})
    site = serve(routes(scripted(Recorder()).port, "x.test"))
    resolver = site.runtime._core.resolver
    until(lambda: (site.ask("/x.test"), resolver._answers)[1], "the name has no address")
    assert len(resolver._answers["x.test"].addresses) == resolve.MOST_ADDRESSES


@secluded
def test_a_time_to_live_of_nothing_is_not_followed(names: MakeNames, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Faults, "TTL 0": DNS is not asked for every connection."""
    server = names({"x.test": Has(("127.0.0.1",), seconds=0)})
    recorder = Recorder(otherwise=ONE_ANSWER)
    site = serve(routes(scripted(recorder).port, "x.test"))
    assert {site.ask("/x.test").status for _ in range(30)} == {200}
    assert recorder.connections == 30
    assert server.asked == ["x.test"]


@secluded
def test_addresses_without_a_route_are_left_out(names: MakeNames, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """RFC 6724 5, rule 1: on a host without a way to them, AAAA records do not take their turns, not even three to one."""
    names({"x.test": Has(("2001:db8::1", "2001:db8::2", "2001:db8::3", "127.0.0.1"))})
    site = serve(routes(scripted(Recorder(otherwise=ONE_ANSWER)).port, "x.test"))
    assert {site.ask("/x.test").status for _ in range(8)} == {200}
    (answer,) = site.runtime._core.resolver._answers.values()
    assert answer.addresses == ("127.0.0.1",)


@secluded
def test_no_name_leads_to_the_gateway_itself(names: MakeNames, serve: Serve) -> None:
    """docs/security.md, what a configuration may reach: an address of Tidegate is never asked, by whatever name."""
    names({"me.test": Has(("127.0.0.1",))})
    site = serve()
    site.change(routes(site.address()[1], "me.test"))
    site.runtime._core.forbidden = frozenset([site.address()])
    answer = site.ask("/me.test")
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert answer.reason is not None
    assert "an address of this proxy itself" in answer.reason


@secluded
def test_a_process_that_waits_for_dns_ends_all_the_same(names: MakeNames, tmp_path: Path, scripted: Callable[..., Scripted]) -> None:
    """SIGTERM: the program drains and ends, while DNS stays silent for ten minutes."""
    names({"x.test": Fails("silent")})
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    folder = tmp_path / "config"
    folder.mkdir()
    texts = (GATEWAY.replace("port: 80", "port: 8080"), routes(80, "x.test"))
    (folder / "all.json").write_text("\n---\n".join(json.dumps(document) for text in texts for document in documents(text)))
    program = (sys.executable, "-m", "tidegate", "run", str(folder), "--workers", "1", "--access-log", "off")
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "listening on" not in process.stdout.readline():
            assert process.poll() is None
        with httpx.Client(timeout=LIMIT, trust_env=False) as client:
            answer = client.get("http://127.0.0.1:8080/x.test")
            assert (answer.status_code, answer.headers["x-tidegate-reason"]) == (503, "no connection to x.test:80 within 0.3 s")
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=LIMIT)
        finally:
            process.kill()
        assert process.returncode == 0
