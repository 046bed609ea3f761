"""Filters of the Gateway API: pure functions on heads, compiled once for a rule or for one of its backends."""
