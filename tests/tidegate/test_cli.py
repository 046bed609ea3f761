"""The command line: options, their environment variables, what is refused and with which exit status."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tidegate.cli import app
from tidegate.display import Display
from tidegate.options import RunOptions

QUICKSTART = str(Path(__file__).parents[2] / "examples" / "quickstart")


EVERYTHING = RunOptions(
    (Path("a.yaml"),),
    workers=3,
    admin=("::1", 0),
    bind="0.0.0.0",
    port_offset=8000,
    class_name="mine",
    drain_delay=90.0,
    drain_timeout=0.5,
    access_log="off",
    otlp_endpoint="http://collector:4318",
    trace_sampling=12.5,
    demo_backends=True,
    memory_limit=512 << 20,
)


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """What `tidegate run` is started with, in its stead."""
    seen: list[RunOptions] = []

    async def run(options: RunOptions, show: Display) -> int:
        seen.append(options)
        return 7

    monkeypatch.setattr("tidegate.run.run", run)
    return seen


def test_run_takes_every_option(started: list[RunOptions]) -> None:
    """Design 2: workers, admin, bind, port offset, class, drain, access log, demo backends; the exit status is that of the run."""
    result = call(
        "run", "a.yaml", "--workers", "3", "--admin", "[::1]:0", "--bind", "0.0.0.0", "--port-offset", "8000", "--class", "mine",
        "--drain-delay", "1m30s", "--drain-timeout", "500ms", "--access-log", "off", "--demo-backends",
        "--memory-limit", "512Mi", "--otlp-endpoint", "http://collector:4318", "--trace-sampling", "12.5%",
    )  # fmt: skip
    assert result.exit_code == 7
    assert started == [EVERYTHING]


def test_run_takes_every_option_from_the_environment(started: list[RunOptions]) -> None:
    """Design 2: every option also by TIDEGATE_ and its name; what is written on the command line wins."""
    environment = {
        "TIDEGATE_WORKERS": "3",
        "TIDEGATE_ADMIN": "[::1]:0",
        "TIDEGATE_BIND": "0.0.0.0",
        "TIDEGATE_PORT_OFFSET": "8000",
        "TIDEGATE_CLASS": "mine",
        "TIDEGATE_DRAIN_DELAY": "1m30s",
        "TIDEGATE_DRAIN_TIMEOUT": "500ms",
        "TIDEGATE_ACCESS_LOG": "off",
        "TIDEGATE_DEMO_BACKENDS": "true",
        "TIDEGATE_MEMORY_LIMIT": "512Mi",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "TIDEGATE_TRACE_SAMPLING": "12.5",
    }
    assert call("run", "a.yaml", **environment).exit_code == 7
    call("run", "a.yaml", "--workers", "5", **environment)
    assert started == [EVERYTHING, replace(EVERYTHING, workers=5)]


def test_the_defaults_are_those_of_the_design(started: list[RunOptions]) -> None:
    """Design 2: admin 127.0.0.1:15000, bind 127.0.0.1, a JSON access log."""
    call("run", "a.yaml")
    assert started == [RunOptions((Path("a.yaml"),))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "Missing argument 'PATH'"),
        (("run", "x", "--admin", "15000"), "'15000' is not ADDRESS:PORT; write for example 127.0.0.1:15000"),
        (("run", "x", "--admin", "localhost:1"), "'localhost' is not an IP address"),
        (("run", "x", "--drain-delay", "5"), "'5' is not a duration; write for example 10s, 500ms or 1m30s"),
        (("run", "x", "--workers", "many"), "a valid integer"),
        (("run", "x", "--memory-limit", "lots"), "'lots' is not a size; write for example 512Mi or 2G"),
        (("run", "x", "--access-log", "xml"), "'xml' is not one of"),
        (("run", "x", "--otlp-endpoint", "collector:4318"), "'collector:4318' is not the URL of a collector; write for example"),
        (("run", "x", "--trace-sampling", "101"), "'101' is not a percentage; write a number from 0 to 100"),
        (("run", "x", "--no-such-option", "y"), "No such option"),
        (("check", QUICKSTART, "--bind", "here"), "--bind here: this is no IP address"),
        (("check", QUICKSTART, "--port-offset", "70000"), "--port-offset 70000"),
        (("explain", "GET"), "Missing argument 'URL'"),
        (("explain", "GET", "http://h/", "-H", "x", "-f", QUICKSTART), "-H 'x' is not of the form 'NAME: VALUE'"),
        (("explain", "GET", "ftp://h/", "-f", QUICKSTART), "'ftp://h/' is not a URL of HTTP"),
        (("status", "--output", "yaml"), "'yaml' is not one of"),
        (("sing",), "No such command"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(arguments: tuple[str, ...], said: str) -> None:
    """Design 8: errors at start name the option and what to do; exit status 2."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize("command", [("status",), ("explain", "GET", "http://127.0.0.1:8080/")], ids=" ".join)
def test_when_nothing_answers_the_remedy_is_said(command: tuple[str, ...]) -> None:
    """Issue 3: a clear message when no Tidegate runs; exit status 1."""
    result = call(*command, "--admin", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "nothing answers at http://127.0.0.1:1" in result.output
    assert "start `tidegate run`" in result.output


def test_an_admin_that_is_no_url_is_refused() -> None:
    """Design 8: the message says what to write."""
    result = call("status", "--admin", "http://")
    assert result.exit_code == 1
    assert "is not a URL; write for example http://127.0.0.1:15000" in result.output


def test_help_loads_nothing_of_the_roles() -> None:
    """Each role loads only what it needs, so help comes at once."""
    program = (
        "import sys, tidegate.cli\n"
        "heavy = {'pydantic', 'uvloop', 'yaml', 'msgspec', 'cryptography', 'tidegate.run', 'controller', 'gateway'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2])
    assert answer.stdout == "[]\n"


def test_version_prints_the_version() -> None:
    """`tidegate version` names the program and its version, also from a checkout that is not installed."""
    result = call("version")
    assert result.exit_code == 0
    assert result.output.startswith("tidegate")
