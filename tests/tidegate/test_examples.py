"""The examples as a user runs them: a process, real sockets, httpx and curl; what their comments promise is what is answered."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.wire.grpc_peers import GrpcClient

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
DEMO_PORTS = (19001, 19002, 19003, 19004, 19005, 19006)
LISTENER_PORT, GRPC_PORT, TCP_PORT = 8080, 8081, 9000

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return port < 65_536 and probe.connect_ex(("127.0.0.1", port)) != 0


def high_port() -> int:
    """A free port above the listener's, so that an offset leads to it, and to free ports for the other listeners."""
    others = (GRPC_PORT - LISTENER_PORT, TCP_PORT - LISTENER_PORT)
    return next(port for port in iter(free_port, None) if port > LISTENER_PORT and all(is_free(port + other) for other in others))


def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidegate", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)


class Running:
    """`tidegate run` as a process of its own, and what it shows."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.shown: list[str] = []
        command = [sys.executable, "-m", "tidegate", "run", str(folder), *options]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def until(self, part: str) -> str:
        """The first line shown from here on that holds this."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.shown.append(line)
            if part in line:
                return line
        raise AssertionError(f"{part!r} was never shown, but {self.shown}")

    def interrupt(self) -> int:
        """Ctrl-C, which a terminal sends to the whole group; the exit status. What was shown last stands in `shown`."""
        os.killpg(self.process.pid, signal.SIGINT)
        _, rest = self.process.communicate(timeout=50)
        self.shown.append(rest)
        return self.process.returncode


@contextmanager
def started(folder: Path, *options: str) -> Iterator[Running]:
    running = Running(folder, *options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@dataclass(frozen=True)
class Quickstart:
    """A running copy of the quick start, its demo backends on free ports. `demo_ports` by the ports that the example names."""

    folder: Path
    port: int
    demo_ports: dict[int, int]
    running: Running
    admin: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bound(self, port: int) -> tuple[str, int]:
        """Where a listener is reached that is written with this port."""
        return "127.0.0.1", self.port + port - LISTENER_PORT

    @property
    def offset(self) -> str:
        return str(self.port - LISTENER_PORT)


@contextmanager
def quickstart_in(folder: Path) -> Iterator[Quickstart]:
    folder = folder / "quickstart"
    shutil.copytree(QUICKSTART, folder)
    demo_ports = {port: free_port() for port in DEMO_PORTS}
    text = (folder / "backends.yaml").read_text()
    for written, port in demo_ports.items():
        text = text.replace(f"port: {written}", f"port: {port}")
    (folder / "backends.yaml").write_text(text)
    port = high_port()
    options = ("--demo-backends", "--admin", "127.0.0.1:0", "--workers", "2", "--port-offset", str(port - LISTENER_PORT))
    with started(folder, *options) as running:
        admin = running.until("admin at ").split()[-1]
        running.until("HTTPRoute default/shop: attached to Gateway web")
        running.until(f"http://127.0.0.1:{port}/")
        running.until(f"tcp://127.0.0.1:{port + TCP_PORT - LISTENER_PORT}")
        yield Quickstart(folder, port, demo_ports, running, admin)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    with quickstart_in(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_curl_is_answered_200_by_a_demo_backend(served: Quickstart) -> None:
    """Issue 3, done when 1: `curl http://127.0.0.1:8080/` answers 200 from a demo backend."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed: make peers")
    answer = subprocess.run([curl, "-sS", "-i", f"{served.url}/"], capture_output=True, text=True, check=True, timeout=30)
    head, _, body = answer.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 ")
    assert json.loads(body)["backend"] in {"shop", "shop-next"}


def test_the_header_chooses_the_next_version(served: Quickstart) -> None:
    """HTTPHeaderMatch: who asks for the next version gets it, always."""
    with httpx.Client(headers={"x-try": "next"}) as client:
        assert {client.get(served.url).json()["backend"] for _ in range(20)} == {"shop-next"}


def test_the_catalog_is_rewritten(served: Quickstart) -> None:
    """HTTPURLRewriteFilter: /catalog/shoes reaches the backend as /v2/shoes, the query stays."""
    received = httpx.get(f"{served.url}/catalog/shoes?size=42").json()
    assert (received["backend"], received["path"], received["query"]) == ("catalog", "/v2/shoes", "size=42")
    assert received["headers"]["x-forwarded-port"] == str(LISTENER_PORT)


def test_the_old_address_redirects_to_one_that_can_be_followed(served: Quickstart) -> None:
    """HTTPRequestRedirectFilter, design 2: with --port-offset Location has the offset port."""
    redirect = httpx.get(f"{served.url}/products/shoes")
    assert (redirect.status_code, redirect.headers["location"]) == (301, f"{served.url}/catalog/shoes")
    assert httpx.get(f"{served.url}/products/shoes", follow_redirects=True).json()["path"] == "/v2/shoes"


def test_calls_reach_the_greeter(served: Quickstart) -> None:
    """GRPCMethodMatch: the service's methods come back from its backend, others are UNIMPLEMENTED."""
    with GrpcClient(served.bound(GRPC_PORT)) as client:
        greeted = client.unary(b"hello", method="/hello.Greeter/SayHello")
        assert (greeted.status, greeted.messages, dict(greeted.initial)["backend"]) == (0, (b"hello",), "greeter")
        assert client.unary(b"hello", method="/hello.Other/SayHello").status == 12


def test_curl_makes_the_call_of_the_comment(served: Quickstart) -> None:
    """examples/quickstart/greeter.yaml: the command that it shows, on the port of this run."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: make peers")
    [command] = [line[1:].strip() for line in (QUICKSTART / "greeter.yaml").read_text().splitlines() if "| curl" in line]
    called = command.replace(f":{GRPC_PORT}/", f":{served.bound(GRPC_PORT)[1]}/")
    shown = subprocess.run(["bash", "-c", called], capture_output=True, text=True, check=True, timeout=30).stdout
    assert "backend: greeter" in shown
    assert "grpc-status: 0" in shown


def test_what_is_sent_to_the_echo_comes_back(served: Quickstart) -> None:
    """TCPRoute: bytes pass both ways, and the end of a side too."""
    with socket.create_connection(served.bound(TCP_PORT), timeout=30) as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        received = connection.makefile("rb").read()
    assert received == b"echo at 127.0.0.1:%d: hello\n" % served.demo_ports[19006]


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:9000", "tcp://127.0.0.1:9001", "udp://127.0.0.1:9000", "tls://a.test:8080"])
def test_explain_says_of_connections_offline_what_it_says_live(url: str, served: Quickstart) -> None:
    """`CONNECT tcp://...`: the same tables answer."""
    question = ("explain", "CONNECT", url, "-o", "json")
    live = tidegate(*question, "--admin", served.admin)
    offline = tidegate(*question, "-f", str(served.folder), "--port-offset", served.offset)
    assert (live.returncode, live.stderr) == (0, "")
    assert json.loads(live.stdout) == json.loads(offline.stdout)
    assert bool(json.loads(live.stdout)["closed"]) == (url != "tcp://127.0.0.1:9000")


@pytest.mark.parametrize("path", ["/", "/catalog/a?b", "/products/a"])
def test_explain_says_offline_what_it_says_live(path: str, served: Quickstart) -> None:
    """Design 2: the same tables answer; --admin asks the running one, -f the files."""
    question = ("explain", "GET", f"{served.url}{path}", "-H", "x-a: b", "-o", "json")
    live = tidegate(*question, "--admin", served.admin)
    offline = tidegate(*question, "-f", str(served.folder), "--port-offset", served.offset)
    assert live.returncode == 0, live.stderr
    assert json.loads(live.stdout) == json.loads(offline.stdout)


def test_explain_agrees_with_what_is_served(served: Quickstart) -> None:
    """Issue 3, done when 5: the endpoint that answers is among those that are said to be possible."""
    said = json.loads(tidegate("explain", "GET", served.url, "--admin", served.admin, "-o", "json").stdout)
    possible = {endpoint["address"] for portion in said["portions"] for endpoint in portion["endpoints"]}
    with httpx.Client() as client:
        answered = {client.get(served.url).json()["endpoint"] for _ in range(20)}
    assert answered <= possible == {f"127.0.0.1:{served.demo_ports[port]}" for port in DEMO_PORTS[:3]}


def test_a_question_that_makes_no_request_is_refused_by_the_live_one(served: Quickstart) -> None:
    """The reason of the proxy reaches the user; exit status 2."""
    answer = tidegate("explain", "GET", "ftp://h/", "--admin", served.admin)
    assert answer.returncode == 2
    assert "'ftp://h/' is not a URL of HTTP" in answer.stderr


def test_status_shows_what_is_live(served: Quickstart) -> None:
    """Design 2: Gateways and routes, and live at N of M proxies with the revision."""
    answer = tidegate("status", "--admin", served.admin)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("ok      revision ")
    assert lines[0].endswith(": live at 2 of 2 proxies")
    assert f"ok      Gateway default/web  {served.folder}/gateway.yaml:9" in lines
    assert "        listener http: Accepted True, ResolvedRefs True, Programmed True; 2 routes" in lines
    found = json.loads(tidegate("status", "--admin", served.admin, "-o", "json").stdout)
    assert [named["name"] for named in found["objects"]] == ["greeter", "web", "tidegate", "catalog", "shop", "echo"]


def test_a_change_is_shown_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    """Issue 3, done when 1: Ctrl-C ends it with exit status 0, and nothing that it started is left."""
    with quickstart_in(tmp_path) as quickstart:
        route = quickstart.folder / "catalog.yaml"
        route.write_text(route.read_text().replace("name: web", "name: nowhere"))
        quickstart.running.until("HTTPRoute default/catalog")
        assert quickstart.running.interrupt() == 0
        shown = "".join(quickstart.running.shown)
        assert "SIGINT: draining" in shown
        assert "Traceback" not in shown
        for port in (quickstart.port, *quickstart.demo_ports.values()):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_https_example_serves_over_tls(tmp_path: Path) -> None:
    """examples/https: the pair it makes is served, and plain HTTP is redirected to it; what its comments say is what is answered."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path / "https"
    shutil.copytree(ROOT / "examples" / "https", folder, ignore=shutil.ignore_patterns("pair.*"))
    subprocess.run([str(folder / "make-pair")], check=True, timeout=30)
    http, https, backend = free_port(), free_port(), free_port()
    for file in folder.glob("*.yaml"):
        text = file.read_text()
        for written, port in (("8080", http), ("8443", https), ("19011", backend)):
            text = text.replace(f"port: {written}", f"port: {port}")
        file.write_text(text)
    assert tidegate("check", str(folder)).returncode == 0
    with started(folder, "--admin", "127.0.0.1:0", "--demo-backends", "--workers", "1") as running:
        running.until("HTTPRoute default/to-https")
        with httpx.Client(verify=ssl.create_default_context(cafile=str(folder / "pair.crt"))) as client:
            redirect = client.get(f"http://localhost:{http}/a")
            assert (redirect.status_code, redirect.headers["location"]) == (301, f"https://localhost:{https}/a")
            assert client.get(f"https://localhost:{https}/a").json()["backend"] == "shop"


def test_the_authorization_example_allows_and_denies(tmp_path: Path) -> None:
    """examples/authorization: what its comments say is what is answered."""
    folder = tmp_path / "authorization"
    shutil.copytree(ROOT / "examples" / "authorization", folder)
    port, backend = free_port(), free_port()
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("port: 8080", f"port: {port}").replace("port: 19021", f"port: {backend}"))
    assert tidegate("check", str(folder)).returncode == 0
    with started(folder, "--admin", "127.0.0.1:0", "--demo-backends", "--workers", "1") as running:
        running.until("HTTPRoute default/shop")
        url = f"http://127.0.0.1:{port}"
        assert (httpx.get(url).status_code, httpx.post(url).status_code) == (200, 403)
        assert httpx.post(url, headers={"X-Team": "shop"}).status_code == 200
        with httpx.Client() as client:
            assert client.get(url, extensions={"target": b"/x/..//admin"}).status_code == 403
