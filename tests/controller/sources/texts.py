"""YAML texts for the tests of sources."""


def route(name: str, path: str = "/", namespace: str = "") -> str:
    """An HTTPRoute with one rule for a path."""
    where = f"\n  namespace: {namespace}" if namespace else ""
    return f"""\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}{where}
spec:
  rules:
  - matches:
    - path:
        value: {path}
"""


def namespace(name: str, label: str = "x") -> str:
    """A Namespace with one label."""
    return f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{a: {label}}}\n"


def documents(*texts: str) -> str:
    """One file of several documents."""
    return "---\n".join(texts)


BROKEN = "apiVersion: [\n"
"""What no YAML parser takes."""
