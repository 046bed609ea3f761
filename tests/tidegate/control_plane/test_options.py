"""Options of the controller: what is told to proxies, and what is refused before anything is started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidegate.control_plane.options import ControllerOptions, SidecarOptions

GOOD = ControllerOptions("tidegate-system", "controller-0", "tidegate:1", "tidegate-controller.tidegate-system.svc")


def test_good_options_have_no_complaint_and_reach_the_proxies() -> None:
    """A proxy comes to the Service's port, wherever the stream is bound; drain times and trust domain are handed on."""
    assert GOOD.complaints() == ()
    settings = replace(GOOD, stream=("::", 0), trust_domain="example.org", drain_delay=1, drain_timeout=2).settings()
    assert settings.controller == "tidegate-controller.tidegate-system.svc:15010"
    assert (settings.trust_domain, settings.drain_delay, settings.drain_timeout) == ("example.org", 1, 2)
    assert settings.image == "tidegate:1"


def test_sidecars_are_told_the_same_as_proxies_of_gateways() -> None:
    """Image, controller and trust domain; what is injected is left out of the controller's own namespace."""
    sidecars = replace(GOOD, trust_domain="example.org", sidecar=SidecarOptions(cpu="", access_log="off")).sidecars()
    assert (sidecars.image, sidecars.controller) == ("tidegate:1", "tidegate-controller.tidegate-system.svc:15010")
    assert (sidecars.namespace, sidecars.trust_domain, sidecars.cpu, sidecars.access_log) == ("tidegate-system", "example.org", "", "off")
    assert GOOD.own_webhook() == ("tidegate-injection-tidegate-system", "tidegate-controller", "tidegate-system")


def test_gateways_and_sidecars_are_told_where_traces_go() -> None:
    """A collector and a share that the controller is given reach both as they were written."""
    options = replace(GOOD, otlp_endpoint="http://collector.observability:4318", trace_sampling="0.5%")
    assert options.complaints() == ()
    for told in (options.settings(), options.sidecars()):
        assert (told.otlp_endpoint, told.trace_sampling) == ("http://collector.observability:4318", "0.5%")


def test_translation_is_told_of_the_mesh() -> None:
    """Without --mesh there is none; identities are of the trust domain that the authority gives them in."""
    assert not GOOD.translation().mesh
    options = replace(GOOD, mesh=True, mesh_outbound="RegistryOnly", trust_domain="example.org").translation()
    assert (options.mesh, options.outbound, options.trust_domain) == (True, "RegistryOnly", "example.org")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"namespace": "Not_One"}, "--namespace 'Not_One'"),
        ({"watch_namespaces": ("shop", "")}, "--watch-namespaces ''"),
        ({"name": ""}, "--name is empty: give a name that no other replica has"),
        ({"image": ""}, "--image is empty"),
        ({"service": ""}, "--service is empty"),
        ({"certificate_lifetime": 19.0}, "--certificate-lifetime of 19 s: give a time from 20s to 2160h"),
        ({"certificate_lifetime": 91 * 86_400.0}, "--certificate-lifetime"),
        ({"trust_domain": "Cluster.Local"}, "--trust-domain 'Cluster.Local'"),
        ({"drain_delay": -1}, "--drain-delay -1"),
        ({"drain_timeout": -1}, "--drain-timeout -1"),
        ({"otlp_endpoint": "collector:4318"}, "--otlp-endpoint 'collector:4318' is not the URL of a collector"),
        ({"trace_sampling": "most"}, "--trace-sampling 'most' is not a percentage"),
        ({"sidecar": SidecarOptions(cpu="half")}, "--sidecar-cpu 'half': write a quantity"),
        ({"sidecar": SidecarOptions(memory_limit="-1Gi")}, "--sidecar-memory-limit '-1Gi'"),
    ],
)
def test_each_mistake_is_told_with_its_option(changes: dict[str, object], words: str) -> None:
    """Design 8: errors at start name the option and what to do; all of them at once."""
    (complaint,) = replace(GOOD, **changes).complaints()  # type: ignore[arg-type]  # fields of the options
    assert complaint.startswith(words)
    assert len(replace(GOOD, **{**changes, "image": "", "name": ""}).complaints()) >= 2  # type: ignore[arg-type]
