"""The conformance suite of HTTP/2, h2spec, whole and strict, against a gateway in front of an HTTP/1.1 backend (reference S3).

`make h2spec` builds it at the version that conformance/h2spec pins. It judges RFC 7540; where RFC 9113 says otherwise it asks nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.certificates import self_signed
from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.secure import gateway, https
from tests.wire.serving import certificate

H2SPEC = Path(__file__).parents[2] / "build" / "h2spec" / "h2spec"
CASES = 146
"""As many as this version has with those of `--strict`."""
PATIENCE = 50
"""Seconds for all cases; each waits for two at most, and only where nothing comes."""
ROUTE = "- backendRefs: [{name: blue, port: 80}]"

pytestmark = [
    pytest.mark.skipif(not H2SPEC.exists(), reason="h2spec is not there: `make h2spec` builds it where Go is installed"),
    pytest.mark.slow,
]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite: `http2/5.1.1: Sends even-numbered stream identifier`. `fault` is '' for one that passed."""

    name: str
    fault: str


def run(folder: Path, address: tuple[str, int], *options: str) -> list[Case]:
    """All cases against a server. Raises TimeoutExpired if they do not come to their end."""
    host, port = address
    report = folder / "report.xml"
    command = (str(H2SPEC), "--strict", "--host", host, "--port", str(port), "--junit-report", str(report), *options)
    ended = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE, text=True)
    assert report.exists(), f"h2spec gave up: {ended.stdout}{ended.stderr}"
    return [case_of(element) for element in ElementTree.parse(report).iter("testcase")]


def case_of(element: ElementTree.Element) -> Case:
    """From the report: what a case expected and what came stand in elements of other names."""
    return Case(f"{element.get('package')}: {element.get('classname')}", "; ".join(f"{below.tag}: {below.text}" for below in element))


def check(cases: list[Case]) -> None:
    assert len(cases) == CASES
    failed = [f"{case.name}: {' / '.join(case.fault.split(chr(10)))}" for case in cases if case.fault]
    assert not failed, f"{len(failed)} of {len(cases)} cases failed:\n" + "\n".join(failed)


def test_the_suite_passes_with_prior_knowledge(serve: Serve, blue: Echo, tmp_path: Path) -> None:
    """Every case, the strict ones too, none of them skipped, on a plain listener (RFC 9113 3.3)."""
    blue.always(Planned(body=b"hello from blue"))
    check(run(tmp_path, serve(ROUTE).address()))


def test_the_suite_passes_over_tls(serve: Serve, blue: Echo, tmp_path: Path) -> None:
    """The same where TLS negotiates h2 (RFC 9113 3.2, 9.2)."""
    blue.always(Planned(body=b"hello from blue"))
    site = serve(gateway(https("https", "pair")), certificate("pair", self_signed("example.com", "127.0.0.1")), ROUTE)
    check(run(tmp_path, site.address(443), "--tls", "--insecure"))
