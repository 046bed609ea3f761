"""`tidegate run` whole: files in, traffic served by real worker processes, changes, faults, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from controller.sources.problems import Problem
from controller.status import summary
from controller.store import Key
from controller.translate.statuses import Status
from controller.translator import Translator
from tests.running import run
from tidegate import enduring
from tidegate import run as composition
from tidegate.forwarder import Followed
from tidegate.lifecycle import CUT_OFF, GOOD
from tidegate.options import RunOptions
from tidegate.run import BAD_OPTIONS
from tidegate.show import Configuration

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a status is judged after the acknowledgement."""
    monkeypatch.setattr(composition, "_PATIENCE", 20.0)
    monkeypatch.setattr(composition, "_FIRST_PATIENCE", 20.0)


class Recorder:
    """A Show that remembers, and a wait for what it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.configuration: Configuration | None = None
        self._news = asyncio.Event()

    def _add(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()

    def message(self, text: str) -> None:
        self._add(f"message: {text}")

    def problem(self, problem: Problem) -> None:
        self._add(f"problem: {problem}")

    def solved(self, problem: Problem) -> None:
        self._add(f"solved: {problem.message}")

    def state(self, configuration: Configuration) -> None:
        self.configuration = configuration
        for status in configuration.statuses.values():
            self._add(f"state: {summary(status)}")
        self._add("state")

    def listening(self, configuration: Configuration) -> None:
        bound = sorted(listener.bind_port for listener in configuration.listeners.values())
        self._add(f"listening: {bound} {sorted(configuration.failures)}")

    def changed(self, statuses: tuple[Status, ...], gone: tuple[Key, ...]) -> None:
        for status in statuses:
            self._add(f"changed: {summary(status)}")
        for key in gone:
            self._add(f"gone: {'/'.join(key)}")

    async def until(self, part: str) -> str:
        """The first line with this text in it."""
        while True:
            for line in self.lines:
                if part in line:
                    return line
            self._news.clear()
            await self._news.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def gateway(port: int, name: str = "g") -> str:
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
        f"metadata: {{name: {name}}}\nspec:\n  gatewayClassName: tidegate\n  listeners:\n  - {{name: http, port: {port}, protocol: HTTP}}\n"
    )


def route(name: str, path: str, host: str = "one.example") -> str:
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
        f"metadata: {{name: {name}}}\nspec:\n  parentRefs: [{{name: g}}]\n  rules:\n"
        f"  - matches: [{{path: {{value: {path}}}}}]\n"
        f"    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {host}}}}}]\n"
    )


class Running:
    """A running composition, and a client for it."""

    def __init__(self, folder: Path, client: httpx.AsyncClient) -> None:
        self.folder = folder
        self.show = Recorder()
        self.client = client
        self.port = free_port()
        self.task: asyncio.Task[int | Followed]

    @property
    def admin(self) -> str:
        assert self.show.configuration is not None
        assert self.show.configuration.admin is not None
        return f"http://127.0.0.1:{self.show.configuration.admin[1]}"

    def write(self, name: str, text: str) -> None:
        """As careful editors do: whole, by rename."""
        (self.folder / f".{name}.new").write_text(text)
        (self.folder / f".{name}.new").rename(self.folder / name)

    async def get(self, path: str) -> tuple[int, str]:
        answer = await self.client.get(f"http://127.0.0.1:{self.port}{path}")
        return answer.status_code, answer.headers.get("location", "")

    async def metric(self, name: str) -> float:
        text = (await self.client.get(f"{self.admin}/metrics")).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode((await self.client.get(f"{self.admin}/status")).content)
        return found


@asynccontextmanager
async def running(folder: Path, prepare: Callable[[Running], None] = lambda _: None, **fields: Any) -> AsyncIterator[Running]:
    """Ends by SIGTERM and expects a clean drain, unless the test has ended it."""
    async with httpx.AsyncClient() as client:
        composed = Running(folder, client)
        prepare(composed)
        options = RunOptions((folder,), workers=1, admin=("127.0.0.1", 0), access_log="off", drain_timeout=1.0)
        composed.task = asyncio.create_task(composition.run(replace(options, **fields), composed.show))
        try:
            await composed.show.until("listening:" if composed.folder.exists() and any(composed.folder.iterdir()) else "state")
            yield composed
            if not composed.task.done():
                os.kill(os.getpid(), signal.SIGTERM)
                assert await composed.task == GOOD
        finally:
            composed.task.cancel()
            await asyncio.gather(composed.task, return_exceptions=True)


def a_gateway(composed: Running) -> None:
    composed.write("gateway.yaml", gateway(composed.port))
    composed.write("route.yaml", route("r", "/a"))


def test_files_are_served_and_shown(tmp_path: Path) -> None:
    """Issue 3: from YAML files to served traffic; what is shown is programmed when it is shown."""

    async def test() -> None:
        async with running(tmp_path, a_gateway, workers=2) as composed:
            assert await composed.get("/a") == (302, f"http://one.example:{composed.port}/a")
            assert (await composed.get("/b"))[0] == 404
            assert composed.show.lines == [
                "state: Gateway default/g: programmed, http with 1 route",
                "state: HTTPRoute default/r: attached to Gateway g",
                "state",
                f"listening: [{composed.port}] []",
            ]
            status = await composed.status()
            assert [worker["name"] for worker in status["workers"]] == ["worker-0", "worker-1"]
            assert [(found["kind"], found["name"], Path(found["file"]).name, found["line"]) for found in status["objects"]] == [
                ("Gateway", "g", "gateway.yaml", 1),
                ("HTTPRoute", "r", "route.yaml", 1),
            ]
            assert (await composed.client.get(f"{composed.admin}/healthz/ready")).text == "ready\n"

    run(test)


def test_a_change_is_served_and_told_once(tmp_path: Path) -> None:
    """Routes added, edited, removed: each is one line, never Pending first, and nothing else is told."""

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            composed.show.lines.clear()
            composed.write("more.yaml", route("more", "/more"))
            await composed.show.until("HTTPRoute default/more")
            assert (await composed.get("/more"))[0] == 302
            composed.write("more.yaml", route("more", "/more", "two.example"))
            await composed.show.until("default/more")
            (tmp_path / "more.yaml").unlink()
            await composed.show.until("gone: HTTPRoute/default/more")
            assert (await composed.get("/more"))[0] == 404
            assert not any("Pending" in line for line in composed.show.lines)
            assert {line.partition(":")[0] for line in composed.show.lines} == {"changed", "gone"}

    run(test)


def a_selective_gateway(composed: Running) -> None:
    selective = "protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {edge: inside}}}}"
    composed.write("gateway.yaml", gateway(composed.port).replace("protocol: HTTP", selective))
    composed.write("namespace.yaml", namespace("outside"))
    composed.write("route.yaml", route("r", "/a"))


def namespace(label: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: default, labels: {{edge: {label}}}}}\n"


def test_a_label_is_served_before_routes_are_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes a while where there are thousands, and no processor is left for the workers' batch; the statuses say it afterwards."""
    found: list[tuple[int, int]] = []
    ports: list[int] = []
    real = Translator.finish

    def finish(self: Translator) -> Any:
        translation = real(self)
        if ports and translation.statuses:
            answer = httpx.get(f"http://127.0.0.1:{ports[0]}/a", headers={"connection": "close"})
            found.append((answer.status_code, len(translation.set)))
        return translation

    monkeypatch.setattr(Translator, "finish", finish)

    async def test() -> None:
        async with running(tmp_path, a_selective_gateway) as composed:
            assert (await composed.get("/a"))[0] == 404
            ports.append(composed.port)
            composed.write("namespace.yaml", namespace("inside"))
            await composed.show.until("changed: HTTPRoute default/r: attached to Gateway g")
            composed.show.lines.clear()
            composed.write("namespace.yaml", namespace("outside"))
            await composed.show.until("no listener takes HTTPRoutes from namespace default")
            assert found == [(302, 0), (404, 0)]

    run(test)


def test_what_cannot_be_read_keeps_its_last_version_and_is_told(tmp_path: Path) -> None:
    """Issue 3, bad input: nothing empties the configuration; the message goes when the file is good again."""

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            composed.write("route.yaml", "kind: [")
            line = await composed.show.until("problem:")
            assert f"{tmp_path}/route.yaml:" in line
            assert (await composed.get("/a"))[0] == 302
            assert await composed.metric("tidegate_problems") == 1
            composed.write("route.yaml", route("r", "/fixed"))
            await composed.show.until("solved:")
            assert (await composed.get("/fixed"))[0] == 302

    run(test)


def test_a_port_in_use_is_told_and_taken_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3, bad input: a port in use; the rest is served; retried by itself until it works."""
    monkeypatch.setattr(composition, "_RETRY", 0.05)

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]

            def two_gateways(composed: Running) -> None:
                a_gateway(composed)
                composed.write("other.yaml", gateway(taken, "other"))

            async with running(tmp_path, two_gateways) as composed:
                assert await composed.show.until("Gateway default/other") != ""
                assert any("PortUnavailable" in line and f"127.0.0.1:{taken}" in line for line in composed.show.lines)
                assert f"listening: [{composed.port}] ['default/other/http']" in composed.show.lines
                assert (await composed.get("/a"))[0] == 302
                other.close()
                await composed.show.until("changed: Gateway default/other: programmed")
                answer = await composed.client.get(f"http://127.0.0.1:{taken}/")
                assert answer.status_code == 404

    run(test)


def test_a_listener_that_moves_leaves_its_old_port(tmp_path: Path) -> None:
    """The old port is closed once the workers have let go of it, the new one serves."""

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            before, composed.port = composed.port, free_port()
            composed.write("gateway.yaml", gateway(composed.port))
            await composed.show.until(f"listening: [{composed.port}]")
            assert (await composed.get("/a"))[0] == 302
            with pytest.raises(httpx.ConnectError):
                await composed.client.get(f"http://127.0.0.1:{before}/a")

    run(test)


def test_a_gateway_that_moves_to_all_addresses_serves_on_the_same_port(tmp_path: Path) -> None:
    """127.0.0.1 and 0.0.0.0 exclude each other on one port: the old socket makes way for the new one by itself."""

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            everywhere = gateway(composed.port).replace("spec:", "spec:\n  addresses: [{value: 0.0.0.0}]")
            composed.show.lines.clear()
            composed.write("gateway.yaml", everywhere)
            await composed.show.until("listening:")
            assert composed.show.lines == ["changed: Gateway default/g: programmed, http with 1 route", f"listening: [{composed.port}] []"]
            assert (await composed.get("/a"))[0] == 302
            assert composed.show.configuration is not None
            assert composed.show.configuration.listeners["default/g/http"].address == "0.0.0.0"

    run(test)


def test_without_any_object_it_is_ready_and_waits(tmp_path: Path) -> None:
    """Design 4: a proxy is Ready after its first snapshot, even one without a valid listener."""

    async def test() -> None:
        async with running(tmp_path) as composed:
            assert (await composed.client.get(f"{composed.admin}/healthz/ready")).text == "ready\n"
            a_gateway(composed)
            await composed.show.until(f"listening: [{composed.port}]")
            await composed.show.until("HTTPRoute default/r")
            assert (await composed.get("/a"))[0] == 302

    run(test)


def test_a_killed_worker_loses_neither_traffic_nor_numbers(tmp_path: Path) -> None:
    """R5: it is restarted with the configuration; what it had counted before stays counted."""

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            for _ in range(3):
                await composed.get("/a")
            assert await composed.metric("istio_requests_total") == 3
            (worker,) = children()
            os.kill(worker, signal.SIGKILL)
            await composed.show.until("was killed by signal SIGKILL")
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{composed.port}/a")
            assert answer.status_code == 302
            assert await composed.metric("istio_requests_total") == 4
            assert await composed.metric("tidegate_worker_ends_total") == 1

    run(test)


def test_a_worker_that_dies_does_not_make_the_others_unready(tmp_path: Path) -> None:
    """A worker in its backoff, or one that is starting, takes no traffic away from those that serve."""

    async def test() -> None:
        async with running(tmp_path, a_gateway, workers=2) as composed:
            os.kill(children()[0], signal.SIGKILL)
            await composed.show.until("was killed by signal SIGKILL")
            while len((await composed.status())["workers"]) < 2:
                assert (await composed.client.get(f"{composed.admin}/healthz/ready")).text == "ready\n"
            assert (await composed.client.get(f"{composed.admin}/healthz/ready")).text == "ready\n"

    run(test)


def children() -> list[int]:
    me = str(os.getpid())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if fields[1] == me and b"gateway.worker" in command:
            found.append(int(folder.name))
    return found


def test_sigterm_drains_and_readiness_fails_first(tmp_path: Path) -> None:
    """During the delay: not ready, yet every request is answered; then exit code 0 and a closed port."""

    async def test() -> None:
        async with running(tmp_path, a_gateway, drain_delay=0.5) as composed:
            admin = composed.admin
            os.kill(os.getpid(), signal.SIGTERM)
            await composed.show.until("message: SIGTERM: draining")
            ready = await composed.client.get(f"{admin}/healthz/ready")
            assert (ready.status_code, ready.text) == (503, "not ready: draining\n")
            assert (await composed.get("/a"))[0] == 302
            assert await composed.task == GOOD
            with pytest.raises(httpx.ConnectError):
                await composed.get("/a")

    run(test)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Ctrl-C twice: no draining, and the exit code says so."""

    async def test() -> None:
        async with running(tmp_path, a_gateway, drain_delay=25.0) as composed:
            os.kill(os.getpid(), signal.SIGINT)
            await composed.show.until("SIGINT: draining")
            os.kill(os.getpid(), signal.SIGINT)
            assert await composed.task == CUT_OFF
            assert children() == []

    run(test)


def test_bad_options_end_it_before_it_begins(tmp_path: Path) -> None:
    """Exit code 2 and a message for each; nothing was started."""

    async def test() -> None:
        show = Recorder()
        assert await composition.run(RunOptions((tmp_path,), workers=0, bind="x"), show) == BAD_OPTIONS
        assert len(show.lines) == 2

    run(test)


def test_an_admin_port_in_use_ends_it_with_the_option_to_change(tmp_path: Path) -> None:
    """A second instance exits with a message."""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            show = Recorder()
            options = RunOptions((tmp_path,), admin=("127.0.0.1", other.getsockname()[1]))
            assert await composition.run(options, show) == BAD_OPTIONS
            assert "--admin" in show.lines[0]

    run(test)


def test_a_fault_of_ours_is_told_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a signal ends the process: the change that hit the fault is lost, the next one is served."""
    monkeypatch.setattr(enduring, "_PAUSE_AFTER_FAULT", 0.0)
    real = Translator.begin

    def faulty(self: Translator, puts: Any = (), removes: Any = ()) -> Any:
        if any(put.name == "unlucky" for put in puts):
            raise ZeroDivisionError("in translation")
        return real(self, puts, removes)

    monkeypatch.setattr(Translator, "begin", faulty)

    async def test() -> None:
        async with running(tmp_path, a_gateway) as composed:
            composed.write("unlucky.yaml", route("unlucky", "/unlucky"))
            line = await composed.show.until("a fault of Tidegate")
            assert "reading the files failed" in line
            assert "ZeroDivisionError: in translation" in line
            assert (await composed.get("/a"))[0] == 302
            composed.write("lucky.yaml", route("lucky", "/lucky"))
            await composed.show.until("HTTPRoute default/lucky")
            assert (await composed.get("/lucky"))[0] == 302

    run(test)


def test_demo_backends_answer_for_every_endpoint_on_this_machine(tmp_path: Path) -> None:
    """--demo-backends: the quick start needs no service of its own."""

    async def test() -> None:
        backend = free_port()

        def with_service(composed: Running) -> None:
            composed.write("gateway.yaml", gateway(composed.port))
            composed.write("service.yaml", SERVICE.replace("PORT", str(backend)))

        async with running(tmp_path, with_service, demo_backends=True) as composed:
            answer = await composed.client.post(f"http://127.0.0.1:{composed.port}/x", content=b"hello")
            assert answer.status_code == 200
            assert answer.json()["method"] == "POST"

    run(test)


SERVICE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  rules:
  - backendRefs: [{name: s, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{port: PORT}]
endpoints: [{addresses: [127.0.0.1]}]
"""


def test_a_start_without_its_files_serves_the_snapshot_until_they_are_back(tmp_path: Path) -> None:
    """Issue 4: start without the source, said aloud; then the files take over."""
    files, snapshots = tmp_path / "files", tmp_path / "snapshots"
    files.mkdir()

    async def test() -> None:
        async with running(files, a_gateway, snapshot=snapshots) as composed:
            port = composed.port
            while not (snapshots / "current.snapshot").exists():  # noqa: ASYNC110  # nobody tells when a file has come
                await asyncio.sleep(0.01)
        texts = {path.name: path.read_text() for path in files.iterdir()}

        def unreadable(composed: Running) -> None:
            composed.port = port
            for name in texts:
                composed.write(name, "kind: [")

        async with running(files, unreadable, snapshot=snapshots) as composed:
            await composed.show.until("goes on serving")
            assert f"listening: [{port}] []" in composed.show.lines
            assert (await composed.get("/a"))[0] == 302
            for name, text in texts.items():
                composed.write(name, text)
            await composed.show.until("state: HTTPRoute default/r")
            assert (await composed.get("/a"))[0] == 302
            assert (await composed.status())["snapshot"] == ""
            assert await composed.metric("tidegate_snapshot_served") == 0

    run(test)
