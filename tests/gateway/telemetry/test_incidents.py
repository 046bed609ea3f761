"""What goes wrong with backends, in a bounded number of series."""

from __future__ import annotations

from gateway.telemetry.incidents import MOST_SERIES, OTHER, Incidents


def test_counts_by_backend_and_label() -> None:
    """One series for each backend and value of the second label."""
    incidents = Incidents()
    for cause in ("connect", "connect", "answers"):
        incidents.count("tidegate_endpoint_ejections_total", "a/b:80", "cause", cause)
    incidents.count("tidegate_health_check_failures_total", "a/b:80")
    found = {(sample.name, sample.labels): sample.value for sample in incidents.counters()}
    assert found == {
        ("tidegate_endpoint_ejections_total", (("backend", "a/b:80"), ("cause", "connect"))): 2,
        ("tidegate_endpoint_ejections_total", (("backend", "a/b:80"), ("cause", "answers"))): 1,
        ("tidegate_health_check_failures_total", (("backend", "a/b:80"),)): 1,
    }


def test_late_backends_are_summed_up() -> None:
    """Beyond the limit one series holds them all, and nothing is lost or ever falls."""
    incidents = Incidents()
    for number in range(MOST_SERIES + 50):
        incidents.count("tidegate_health_check_failures_total", f"a/{number}:80")
        incidents.show("tidegate_endpoints_ejected", f"a/{number}:80", 2)
    counters, gauges = incidents.counters(), incidents.gauges()
    assert len(counters) == len(gauges) == MOST_SERIES + 1
    assert sum(sample.value for sample in counters) == MOST_SERIES + 50
    assert {sample.value for sample in counters if sample.labels == (("backend", OTHER),)} == {50}
    assert sum(sample.value for sample in gauges) == 2 * (MOST_SERIES + 50)


def test_a_gauge_of_zero_is_gone() -> None:
    """Of endpoints that are all well there is nothing to see."""
    incidents = Incidents()
    incidents.show("tidegate_endpoints_ejected", "a/b:80", 1)
    incidents.show("tidegate_endpoints_ejected", "a/b:80", 0)
    assert incidents.gauges() == []
