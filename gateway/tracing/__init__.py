"""Distributed tracing: a span for each exchange of a listener that is traced, and its way to a collector (OTLP over HTTP)."""
