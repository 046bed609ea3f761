"""helm, as the box brings it, and what it renders from the chart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tidegate"
HELM = ROOT / "build" / "box" / "helm"
NAMESPACE = "tidegate-system"
KUBERNETES = ("--kube-version", "1.36.0")
"""A helm that was not built by its own Makefile takes the version of no cluster for an old one."""

needs_helm = pytest.mark.skipif(not HELM.is_file(), reason="build/box/helm is not there: make box-build builds it (with Go)")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs helm without a cluster, and without the caller's configuration."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HELM_CONFIG_HOME": "/nonexistent",
        "HELM_CACHE_HOME": "/nonexistent",
        "KUBECONFIG": "/nonexistent",
    }
    return subprocess.run([HELM, *arguments], env=environment, capture_output=True, check=False, text=True, timeout=50)


def template(*arguments: str) -> str:
    """The objects of the chart, as text; the heading of each names the template."""
    answer = helm("template", "tidegate", str(CHART), "--namespace", NAMESPACE, *KUBERNETES, *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def objects(*arguments: str) -> list[dict[str, Any]]:
    """The objects of the chart, those of crds/ left out."""
    return [found for found in yaml.safe_load_all(template(*arguments)) if found is not None]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind]
