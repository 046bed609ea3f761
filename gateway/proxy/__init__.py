"""The exchange: one request and its response, between a client stream and a backend stream."""
