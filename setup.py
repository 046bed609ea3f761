"""Compiles the hottest modules of the data plane with mypyc when TIDEGATE_COMPILE=1; metadata and everything else are in pyproject.toml.

The same sources run uncompiled, which is the default. What is listed here lies on the path of every request or tunnelled byte, so the
gain is worth a C compiler; what runs once a connection or a change stays plain.
"""

import os

from setuptools import setup

COMPILED = [
    "gateway/http/chunked.py",
    "gateway/http/fields.py",
    "gateway/http/frames.py",
    "gateway/http/grpc.py",
    "gateway/http/head.py",
    "gateway/http/hpack.py",
    "gateway/http/hpack_encoder.py",
    "gateway/http/http2_fields.py",
    "gateway/http/http2_request.py",
    "gateway/http/http2_response.py",
    "gateway/http/huffman.py",
    "gateway/http/refused.py",
    "gateway/http/request.py",
    "gateway/http/response.py",
    "gateway/http/target.py",
    "gateway/net/deadlines.py",
    "gateway/policies/retry.py",
    "gateway/proxy/admission.py",
    "gateway/proxy/attempts.py",
    "gateway/proxy/backend_connection.py",
    "gateway/proxy/calls.py",
    "gateway/proxy/client_connection.py",
    "gateway/proxy/core.py",
    "gateway/proxy/exchange.py",
    "gateway/proxy/forwarded.py",
    "gateway/proxy/guarded.py",
    "gateway/proxy/http2/backend_connection.py",
    "gateway/proxy/http2/backend_stream.py",
    "gateway/proxy/http2/client_connection.py",
    "gateway/proxy/http2/client_stream.py",
    "gateway/proxy/http2/connection.py",
    "gateway/proxy/http2/field_blocks.py",
    "gateway/proxy/http2/floods.py",
    "gateway/proxy/http2/reset_streams.py",
    "gateway/proxy/http2/stream.py",
    "gateway/proxy/port.py",
    "gateway/proxy/response_writer.py",
    "gateway/proxy/rule.py",
    "gateway/routing/hosts.py",
    "gateway/routing/paths.py",
    "gateway/routing/predicates.py",
    "gateway/routing/table.py",
    "gateway/telemetry/access_log.py",
    "gateway/telemetry/counters.py",
    "gateway/upstream/balancing.py",
    "gateway/upstream/endpoint.py",
    "gateway/upstream/lease.py",
    "gateway/upstream/original_destination.py",
    "gateway/upstream/shared.py",
]


def extensions() -> list[object]:
    if os.environ.get("TIDEGATE_COMPILE") != "1":
        return []
    try:
        from mypyc.build import mypycify  # noqa: PLC0415  # not there, and not needed, where nothing is compiled
    except ImportError:
        raise SystemExit("TIDEGATE_COMPILE=1 needs mypy beside setuptools: pip install mypy, or `make compiled`") from None

    return list(mypycify(["--config-file=", "--follow-imports=silent", "--ignore-missing-imports", *COMPILED], group_name="tidegate_hot"))


setup(ext_modules=extensions())
