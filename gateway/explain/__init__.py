"""What would happen to a request, and why: the decisions of an exchange on the live tables, without sending anything."""

from gateway.explain.decisions import explain, explain_in_steps
from gateway.explain.explanation import Explanation

__all__ = ["Explanation", "explain", "explain_in_steps"]
